# gluewright-pii-masking 0.1.0 unicode_nfc.py
# SPDX-License-Identifier: Apache-2.0
"""Unicode's normal form C in native Spark expressions."""

from __future__ import annotations

import functools
import json
import unicodedata

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from .expressions import let
from .one_row import one_row

_PAGE = 32


_TABLES = (
    "pages array<int>, slots array<int>, parts array<array<int>>, classes array<int>, firsts array<array<int>>, "
    "composites array<array<int>>"
)


# Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12): where the four ranges begin.
_S, _L, _V, _T = 0xAC00, 0x1100, 0x1161, 0x11A7


# The only letter that becomes a letter and a mark when it is made small.
_DOTTED_I = "\u0130"


@functools.cache
def unicode_data() -> tuple[str, str]:
    """Make the tables as JSON, and the ranges, as a regular expression has them, of what the normal form may change.

    From the Unicode database of the Python that makes the plan. In every later version of Unicode a text has the same normal
    form (Unicode Standard Annex 15, "Unicode Normalization Forms", section 3), if the version had all of its characters.
    """
    parts: dict[int, list[int]] = {}
    classes: dict[int, int] = {}
    firsts: dict[int, list[int]] = {}
    composites: dict[int, list[int]] = {}
    changed = {*range(_V, _V + 21), *range(_T + 1, _T + 28)}
    for point in {*range(0x30000)} - {*range(_S, _S + 11172)}:
        char = chr(point)
        if found := unicodedata.combining(char):
            classes[point] = found
        mapping = unicodedata.decomposition(char)
        if mapping and not mapping.startswith("<"):
            parts[point] = [ord(part) for part in unicodedata.normalize("NFD", char)]
            if unicodedata.normalize("NFC", char) == char:
                first, second = (int(part, 16) for part in mapping.split())
                firsts.setdefault(second, []).append(first)
                composites.setdefault(second, []).append(point)
            else:
                changed.add(point)
    changed |= {*classes, *firsts}
    entries = [0, *sorted({*parts, *classes, *firsts})]
    numbers = {point: number for number, point in enumerate(entries)}
    full = sorted({point // _PAGE for point in entries[1:]})
    tables = {
        "pages": [full.index(page) if page in full else None for page in range(full[-1] + 1)],
        "slots": [numbers.get(page * _PAGE + place, 0) for page in full for place in range(_PAGE)],
        "parts": [parts.get(point) for point in entries],
        "classes": [classes.get(point, 0) for point in entries],
        "firsts": [firsts.get(point, []) for point in entries],
        "composites": [composites.get(point, []) for point in entries],
    }
    # Few wide ranges instead of many narrow ones: what lies between is looked at in vain, and the plan stays short.
    ranges: list[list[int]] = []
    for point in sorted(changed):
        if ranges and point - ranges[-1][1] <= 128:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return json.dumps(tables), "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges)


def unicode_tables(spark: SparkSession, name: str) -> DataFrame:
    """Make a frame of one row and one column with the tables that :func:`nfc` needs."""
    row = one_row(spark, {name: unicode_data()[0].encode()})
    return row.select(F.from_json(F.col(name).cast("string"), _TABLES).alias(name))


def nfc(text: Column, tables: Column) -> Column:
    """Bring a text into Unicode's normal form C, in native expressions.

    A text without a character that the form may change is left alone after one look. Others are cut where nothing reaches
    across, and only the pieces with such a character are decomposed, ordered and composed.

    Args:
        text: any; NULL stays NULL.
        tables: of :func:`unicode_tables`; may be NULL beside texts that have no such character.
    """
    some = unicode_data()[1]
    pieces = F.regexp_extract_all(text, F.lit(rf"(?s)[^{some}]+(?![{some}])|[^{some}]?[{some}]+"), F.lit(0))
    normal = F.transform(pieces, lambda piece: F.when(piece.rlike(f"[{some}]"), _composed(piece, tables)).otherwise(piece))
    return F.when(may_change_in_nfc(text), F.array_join(normal, "")).otherwise(text)


def may_change_in_nfc(text: Column) -> Column:
    """Tell whether a text, or the small letters of it, may change. A look at one range first makes Latin texts quick."""
    return text.rlike(rf"(?=[^\x00-\xff])[{_DOTTED_I}{unicode_data()[1]}]")


def _composed(piece: Column, tables: Column) -> Column:
    """Decompose, order and compose the characters of a short text (The Unicode Standard, section 3.11)."""

    def told(table: str, point: Column) -> Column:
        place = F.get(tables["pages"], F.shiftright(point, _PAGE.bit_length() - 1)) * _PAGE + point.bitwiseAND(_PAGE - 1)
        return F.get(tables[table], F.coalesce(F.get(tables["slots"], place), F.lit(0)))

    def decomposed(point: Column) -> Column:
        number = point - _S
        syllable = F.array(_L + F.floor(number / 588), _V + F.floor(number % 588 / 28), _T + number % 28)
        jamo = F.filter(syllable.cast("array<int>"), lambda part: part != _T)
        return F.when(point.between(_S, _S + 11171), jamo).otherwise(F.coalesce(told("parts", point), F.array(point)))

    points = F.flatten(F.transform(F.transform(F.split(piece, ""), F.ascii), decomposed))
    pairs = F.transform(
        points, lambda point: F.struct(F.coalesce(told("classes", point), F.lit(0)).alias("class"), point.alias("point"))
    )
    # Marks are sorted by their class, without passing a character of class 0.
    ordered = let(
        pairs,
        lambda all_: F.array_sort(
            F.transform(
                all_,
                lambda pair, place: F.struct(
                    F.size(F.filter(F.slice(all_, F.lit(1), place + 1), lambda one: one["class"] == 0)).alias("stretch"),
                    pair["class"].alias("class"),
                    place.alias("place"),
                    pair["point"].alias("point"),
                ),
            )
        ),
    )

    def composite(first: Column, second: Column) -> Column:
        # F.array_position takes no column as the value on Spark 3.5.
        place = F.call_function("array_position", told("firsts", second), first).cast("int") - 1
        is_lead = first.between(_L, _L + 18) & second.between(_V, _V + 20)
        is_open = first.between(_S, _S + 11171) & ((first - _S) % 28 == 0) & second.between(_T + 1, _T + 27)
        return F.coalesce(
            F.when(is_lead, ((first - _L) * 21 + (second - _V)) * 28 + _S),
            F.when(is_open, first + second - _T),
            F.get(told("composites", second), place),
        )

    none = F.array().cast("array<int>")

    def state(before: Column, starter: Column, after: Column, last: Column) -> Column:
        return F.struct(before.alias("before"), starter.alias("starter"), after.alias("after"), last.alias("last"))

    def so_far(found: Column) -> Column:
        return F.concat(found["before"], F.filter(F.array(found["starter"]), lambda one: one.isNotNull()), found["after"])

    def step(found: Column, one: Column) -> Column:
        # A character of the same class, or of class 0, stands between: then two are not composed.
        joined = F.when(found["last"] < one["class"], composite(found["starter"], one["point"]))
        return let(
            joined,
            lambda made: F.when(made.isNotNull(), state(found["before"], made, found["after"], found["last"]))
            .when(one["class"] == 0, state(so_far(found), one["point"], none, F.lit(-1)))
            .otherwise(
                state(found["before"], found["starter"], F.concat(found["after"], F.array(one["point"])), one["class"])
            ),
        )

    start = state(none, F.lit(None).cast("int"), none, F.lit(-1))
    done = F.aggregate(ordered, start, step, so_far)
    digits = F.array_join(F.transform(done, lambda point: F.lpad(F.hex(point), 8, "0")), "")
    # With a byte order mark of ours in front, one of the text's own is kept.
    return F.decode(F.unhex(F.concat(F.lit("0000FEFF"), digits)), "UTF-32")
