# gluewright-cdc-merge 0.1.0 feeds/changes.py
# SPDX-License-Identifier: Apache-2.0
"""Turn staged records into change rows, with the problems of those that are no valid change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DecimalType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from .._sql import literal, quoted
from .decoded import ARRIVAL, TOMBSTONE, Decoded, UnsupportedFeedError
from .records import NOT_UTF8, Encodings, Feed, Image
from .sql import named_struct, null_of, to_json, with_columns_replaced
from .values import NO_UNIT, as_text, conversions, convert, plain_type

# From records to changes, the same for all feeds.


def decode_staged(staged: DataFrame, columns: StructType, keys: Sequence[str], feed: Feed, how: Encodings) -> Decoded:
    """Decode values in stages: what is used more than once is a column first, so that Spark computes it once."""
    wanted = {field.name: plain_type(field.dataType) for field in columns}
    if unknown := [name for name in keys if name not in wanted]:
        raise UnsupportedFeedError(f"the key {', '.join(unknown)} is not among the columns; they are {', '.join(wanted)}")
    number = {name: n for n, name in enumerate(wanted)}
    pii = {field.name for field in columns if has_pii(field)}

    # As few columns as can be: each is copied from stage to stage.
    left = {name: _placeholder(feed, how, name, kind) for name, kind in wanted.items()}
    frame = staged.selectExpr("*", *(f"{sql} AS _gw_left{number[name]}" for name, sql in left.items() if sql))
    left = {name: f"_gw_left{number[name]}" if sql else "" for name, sql in left.items()}
    said = {name: f"_gw_op = 'upsert' AND NOT {sql}" if sql else "_gw_op = 'upsert'" for name, sql in left.items()}
    after = feed.after
    steps = {n: conversions(name, after(name), after.type_of(name), wanted[name], how) for name, n in number.items()}
    frame = frame.selectExpr(
        "*", *(f"CASE WHEN {said[name]} THEN {feed.after(name)} END AS _gw_value{n}" for name, n in number.items())
    )
    for stage in range(max(map(len, steps.values()), default=0)):
        made = {f"_gw_value{n}": mine[stage](f"_gw_value{n}") for n, mine in steps.items() if stage < len(mine)}
        frame = with_columns_replaced(frame, made)
    key_values = [f"{_deleted_key(feed, name, wanted[name], how)} AS _gw_deleted{number[name]}" for name in keys]
    key_values += [f"{_old_key(feed, name, wanted[name], how)} AS _gw_old{number[name]}" for name in keys]
    frame = frame.selectExpr("*", *key_values)

    sequence = staged.schema["_gw_sequence"].dataType
    assert isinstance(sequence, StructType)
    problems = _problems(wanted, keys, number, sequence.names, feed, said, pii, how)
    row = named_struct({name: f"_gw_value{n}" for name, n in number.items()})
    unset = {name: " OR ".join(filter(None, (sql, _absent(feed, name)))) for name, sql in left.items()}
    names = ", ".join(f"CASE WHEN {sql} THEN {literal(name)} END" for name, sql in unset.items() if sql)
    some = " OR ".join(f"({sql})" for sql in unset.values() if sql) or "false"
    frame = frame.selectExpr(
        "*",
        f"{problems} AS _gw_problems",
        f"CASE WHEN _gw_op = 'upsert' THEN {row} END AS _gw_row",
        f"CASE WHEN _gw_op = 'upsert' AND ({some}) THEN array_compact(array({names})) END AS _gw_names",
        f"{_key_struct(keys, number, '_gw_value')} AS _gw_new_key",
        f"{_key_struct(keys, number, '_gw_deleted')} AS _gw_deleted_key",
        f"{_key_struct(keys, number, '_gw_old')} AS _gw_old_key",
    )
    return Decoded(_changes(frame, keys, number, feed, pii))


def _changes(frame: DataFrame, keys: Sequence[str], number: dict[str, int], feed: Feed, pii: set[str]) -> DataFrame:
    """Make one or two rows of each record. Filters stop at the generator: each record is decoded once for each of them."""
    differs = " OR ".join(f"_gw_old{number[name]} <> _gw_value{number[name]}" for name in keys) or "false"
    known = " AND ".join(f"_gw_old{number[name]} IS NOT NULL" for name in keys) or "false"
    fine = "_gw_ignored IS NULL AND size(_gw_problems) = 0"
    moved = f"_gw_op = 'upsert' AND {known} AND ({differs})" if feed.before else "false"
    frame = frame.selectExpr(
        "*",
        f"CASE WHEN {fine} THEN 'change' WHEN _gw_ignored IS NULL THEN 'quarantined' ELSE 'ignored' END AS _gw_what",
        f"coalesce({fine} AND {moved}, false) AS _gw_moved",
    )
    original = _original(frame, feed, pii)
    unset = "CASE WHEN size(_gw_names) > 0 THEN _gw_names END"
    # An insert has all its values. One that leaves some out is a row with a new key; its old key was deleted with it.
    leaving = "coalesce(size(_gw_names) > 0 AND (_gw_moved OR _gw_kind = 'c'), false)"

    key = "CASE _gw_op WHEN 'upsert' THEN _gw_new_key WHEN 'delete' THEN _gw_deleted_key END"
    no_fields = "CAST(NULL AS ARRAY<STRING>)"

    def part(*, second: bool) -> str:
        """Return SQL for one part of a record: of a moved row the first is the delete, the second the upsert."""

        def unless_moved(sql: str, otherwise: str = "NULL") -> str:
            return sql if second else f"CASE WHEN _gw_moved THEN {otherwise} ELSE {sql} END"

        fields = {
            "what": "_gw_what",
            "op": unless_moved("_gw_op", "'delete'"),
            "key": unless_moved(key, "_gw_old_key"),
            "sequence": "_gw_sequence",
            "row": unless_moved("_gw_row"),
            **({"unset": unless_moved(unset)} if feed.partial else {}),
            **({"moved": unless_moved(leaving, "false")} if feed.partial and not feed.told else {}),
            "old_key": "_gw_old_key" if second else "CASE WHEN false THEN _gw_old_key END",
            "kind": "_gw_kind",
            **{name: name for name in ARRIVAL.intersection(frame.columns)},
            **({"table": "_gw_table"} if "_gw_table" in frame.columns else {}),
            **({"fields": no_fields if second else "_gw_fields"} if "_gw_fields" in frame.columns else {}),
            "record": "0" if second else "1",
            "original": f"CASE WHEN _gw_what = 'quarantined' THEN {original} END",
            "problems": "_gw_problems",
            "reason": "_gw_ignored",
        }
        return named_struct(fields)

    first, second = part(second=False), part(second=True)
    return frame.selectExpr(f"inline(CASE WHEN _gw_moved THEN array({first}, {second}) ELSE array({first}) END)")


def _problems(
    wanted: dict[str, DataType],
    keys: Sequence[str],
    number: dict[str, int],
    sequence: list[str],
    feed: Feed,
    said: dict[str, str],
    pii: set[str],
    how: Encodings,
) -> str:
    """Find what keeps a record from being a change."""
    conditions = []

    def problem(when: str, column: str, rule: str, reason: str, value: str = "CAST(NULL AS STRING)") -> str:
        conditions.append(f"({when})")
        parts = {"column": literal(column), "rule": literal(rule), "reason": reason, "value": value}
        return f"CASE WHEN {when} THEN {named_struct(parts)} END"

    broken = f"array({problem('true', '', 'record', '_gw_broken')})"
    found = [problem("_gw_op IS NULL", "", "op", "'it is no operation that this feed has'", "_gw_kind")]
    missing = " OR ".join(f"_gw_sequence.{quoted(name)} IS NULL" for name in sequence)
    missing = f"({missing}) AND NOT coalesce(_gw_kind = '{TOMBSTONE}', false)" if feed.fills else missing
    found.append(problem(missing, "", "sequence", "'it does not say where in the order of changes it stands'"))
    rowless = "_gw_op = 'upsert' AND _gw_after IS NULL"
    found.append(problem(rowless, "", "required", "'it is an insert or update without a row'"))
    if not keys:
        reason = "'the table has no key: what this changes cannot be found'"
        found.append(problem("_gw_op IN ('upsert', 'delete')", "", "key", reason))
    for name, kind in wanted.items():
        n, text = number[name], as_text(feed.after(name), feed.after.type_of(name))
        shown = text if name not in pii else "CAST(NULL AS STRING)"
        reason = literal(f"it is no {kind.simpleString()}, or would lose something as one")
        if isinstance(kind, TimestampType | TimestampNTZType) and how.timestamps is None:
            reason = f"CASE WHEN {text} RLIKE '^-?[0-9]+$' THEN {literal(NO_UNIT)} ELSE {reason} END"
        unfit = f"_gw_value{n} IS NULL AND {feed.after(name)} IS NOT NULL AND {said[name]}"
        if feed.after.type_of(name).simpleString() != kind.simpleString():
            found.append(problem(unfit, name, "format", reason, shown))
        if name in keys:
            nameless = f"_gw_value{n} IS NULL AND _gw_op = 'upsert' AND _gw_after IS NOT NULL"
            nameless = f"({nameless} AND NOT coalesce({unfit}, false)) OR (_gw_op = 'delete' AND _gw_deleted{n} IS NULL)"
            found.append(problem(nameless, name, "key", "'it has no value in a key column'"))
    # Asked first, because it is cheaper, and seldom true.
    some = " OR ".join(conditions[1:])
    return (
        f"CASE WHEN _gw_ignored IS NOT NULL THEN array() WHEN _gw_broken IS NOT NULL THEN {broken}"
        f" WHEN {some} THEN array_compact(array({', '.join(found)})) ELSE array() END"
    )


def _placeholder(feed: Feed, how: Encodings, name: str, kind: DataType) -> str:
    """Tell whether a change says that it says nothing about a column; empty for never."""
    if feed.told:
        return f"coalesce(array_contains(_gw_told, {literal(name)}), false)"
    comes_as, texts = feed.after.type_of(name), ", ".join(map(literal, how.placeholders()))
    large = isinstance(kind, StringType | BinaryType | ArrayType | DecimalType)
    if not texts or not large or isinstance(comes_as, NullType | DecimalType):
        return ""
    return f"coalesce({as_text(feed.after(name), comes_as)} IN ({texts}), false)"


def _absent(feed: Feed, name: str) -> str:
    """Tell whether a partial row lacks a column, which is not the same as NULL; empty for never."""
    if feed.after.text:
        return f"({feed.after(name)} IS NULL AND coalesce(NOT array_contains(_gw_present, {literal(name)}), false))"
    return "coalesce(_gw_partial AND _gw_after IS NOT NULL, false)" if isinstance(feed.after.type_of(name), NullType) else ""


def _deleted_key(feed: Feed, name: str, kind: DataType, how: Encodings) -> str:
    having = [image for image in feed.deleted if not isinstance(image.type_of(name), NullType)]
    found = [convert(image(name), name, image.type_of(name), kind, how) for image in having]
    return f"CASE WHEN _gw_op = 'delete' THEN coalesce({', '.join(found)}) END" if found else null_of(kind)


def _old_key(feed: Feed, name: str, kind: DataType, how: Encodings) -> str:
    if feed.before is None or isinstance(feed.before.type_of(name), NullType):
        return null_of(kind)
    return f"CASE WHEN _gw_op = 'upsert' THEN {convert(feed.before(name), name, feed.before.type_of(name), kind, how)} END"


def _key_struct(keys: Sequence[str], number: dict[str, int], prefix: str) -> str:
    values = {name: f"{prefix}{number[name]}" for name in keys}
    return named_struct(values) if keys else "CAST(NULL AS STRUCT<key: STRING>)"


def _original(frame: DataFrame, feed: Feed, pii: set[str]) -> str:
    """Give the record as JSON text, without the values that are tagged ``pii``."""
    if not pii:
        is_json = not isinstance(frame.schema["_gw_original"].dataType, StructType)
        # Spark 3.5 may break lines in base64.
        encoded = "regexp_replace(base64(CAST(_gw_original AS BINARY)), '[^A-Za-z0-9+/=]', '')"
        text = f"CASE WHEN _gw_broken = {literal(NOT_UTF8)} THEN {encoded} ELSE CAST(_gw_original AS STRING) END"
        return text if is_json else to_json("_gw_original")
    images = [image for image in (feed.before, feed.after) if image]
    shown = {image.sql.strip("_"): _masked(image, pii) for image in images}
    kind = frame.schema["_gw_sequence"].dataType
    # The place in a task's input is another one in another run, and quarantine holds a record once.
    names = [name for name in kind.names if name != "_gw_line"] if isinstance(kind, StructType) else []
    sequence = named_struct({name: f"_gw_sequence.{quoted(name)}" for name in names})
    told = to_json(named_struct({"op": "_gw_kind", **shown, "sequence": sequence}))
    return f"CASE WHEN _gw_broken IS NULL THEN {told} ELSE '(withheld)' END"


def _masked(image: Image, pii: set[str]) -> str:
    hidden = {f"{prefix}{name}".lower() for prefix in ("", "BI_") for name in pii}
    names = image.type.names if isinstance(image.type, StructType) else []
    values = {name: image(name) for name in names}
    values |= {
        name: f"CASE WHEN {image(name)} IS NOT NULL THEN '(withheld)' END" for name in names if name.lower() in hidden
    }
    return f"CASE WHEN {image.sql} IS NOT NULL THEN {named_struct(values)} END" if names else "NULL"


def has_pii(field: StructField) -> bool:
    """Return whether a column, or a field in it, is tagged ``pii``: quarantine withholds its values."""
    kinds, tags = [field.dataType], field.metadata.get("tags") or ()
    tags = re.split(r"[\s,;]+", tags) if isinstance(tags, str) else map(str, tags)
    inside: list[StructField] = []
    while kinds:
        match kinds.pop():
            case ArrayType() as kind:
                kinds.append(kind.elementType)
            case MapType() as kind:
                kinds += [kind.keyType, kind.valueType]
            case StructType() as kind:
                inside += kind
    return "pii" in (tag.strip().lower() for tag in tags) or any(map(has_pii, inside))
