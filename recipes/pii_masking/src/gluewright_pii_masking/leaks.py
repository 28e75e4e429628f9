# gluewright-pii-masking 0.1.0 leaks.py
# SPDX-License-Identifier: Apache-2.0
"""Find plain values that came through masking: whole, or inside other texts.

A policy says what is masked, not what else is in the data: the e-mail address that is tokenised stands in the notes too, or
in a URL. So every text of the masked rows is searched for every plain value of the columns that should be gone.

The search is exact and no product of all texts and values: a text that has a value in it has the value's first characters in
it, so texts and values are joined by those, and only pairs that join are compared.

Example:
    >>> leaks(people, masked, ["email", "phones[]"]).show()                                     # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, MapType, StructType

from .errors import MaskingError
from .paths import quoted


class InvalidLeakCheckError(MaskingError):
    """The check is asked to look for a column that is not there, or for values too short to tell anything."""


def leaks(
    plain: DataFrame,
    masked: DataFrame,
    columns: Sequence[str],
    *,
    shortest: int = 5,
    fraction: float | None = None,
    seed: int = 0,
) -> DataFrame:
    """Search the masked rows for plain values.

    Case and white space of every kind at both ends are ignored. Values of numbers, dates and the like are searched for as
    Spark writes them as text. Binary columns are not looked into.

    Args:
        plain: the rows before masking.
        masked: the rows after it.
        columns: the plain columns whose values should be gone, by path: ``email``, ``address.street``, ``phones[]``,
            ``labels{}.value``.
        shortest: characters; shorter values are not searched for, because they occur by chance.
        fraction: search only so much of the masked rows, between 0 and 1; by default all.
        seed: of the sample.

    Returns:
        ``found_in`` and ``value_of`` (paths of the masked and the plain column), ``texts`` and ``values`` (how many
        different ones). No rows: nothing was found. It has no values itself.

    Raises:
        InvalidLeakCheckError: a column is not there, or ``shortest`` is below 3.
    """
    if shortest < 3:
        raise InvalidLeakCheckError(
            f"shortest is {shortest}: texts of fewer than 3 characters are everywhere; give 3 or more"
        )
    values = _texts(plain, columns).where(F.length("text") >= shortest).distinct()
    sampled = masked if fraction is None else masked.sample(fraction, seed)
    texts = _texts(sampled).where(F.length("text") >= shortest).distinct()
    starts = F.sequence(F.lit(1), F.greatest(F.length("text") - (shortest - 1), F.lit(1)))
    pieces = F.array_distinct(F.transform(starts, lambda start: F.col("text").substr(start, F.lit(shortest))))
    haystack = texts.select(F.col("place").alias("found_in"), F.col("text").alias("hay"), F.explode(pieces).alias("piece"))
    needles = values.select(
        F.col("place").alias("value_of"), F.col("text").alias("needle"), F.substring("text", 1, shortest).alias("piece")
    )
    found = haystack.join(needles, "piece").where(F.contains("hay", "needle"))
    return found.groupBy("found_in", "value_of").agg(
        F.countDistinct("hay").alias("texts"), F.countDistinct("needle").alias("values")
    )


def _texts(rows: DataFrame, only: Sequence[str] | None = None) -> DataFrame:
    """Return every value as text with the path of its column, in small letters and without white space around it."""
    found = [pair for each in rows.schema for pair in _reached(_quoted(each.name), each.dataType, F.col(quoted(each.name)))]
    if only is not None:
        if missing := [path for path in only if path not in {place for place, _ in found}]:
            known = ", ".join(place for place, _ in found)
            raise InvalidLeakCheckError(f"there is no column {missing[0]} to search for; there are {known}")
        found = [(place, texts) for place, texts in found if place in only]
    kind = "array<struct<place:string,text:string>>"
    pairs = [F.transform(texts, _placed(place)) for place, texts in found]
    every = F.concat(F.array().cast(kind), *(F.coalesce(each, F.array().cast(kind)) for each in pairs))
    return rows.select(F.explode(every).alias("pair")).select("pair.*").where("text IS NOT NULL")


def _placed(place: str) -> Callable[[Column], Column]:
    return lambda text: F.struct(F.lit(place).alias("place"), F.lower(_trimmed(text)).alias("text"))


def _trimmed(text: Column) -> Column:
    """Remove white space at both ends, what Unicode calls so and what has no width. F.trim removes spaces only."""
    space = r"[\p{IsWhite_Space}\x{180E}\x{200B}-\x{200D}\x{2060}\x{FEFF}]"
    return F.regexp_replace(text, rf"^{space}+|{space}+\z", "")


def _reached(path: str, kind: DataType, value: Column) -> list[tuple[str, Column]]:
    """Return the path of every part of a value that has no parts itself, with an array of its texts."""
    if isinstance(kind, StructType):
        inner = [(f"{path}.{_quoted(each.name)}", each.dataType, value.getField(each.name)) for each in kind]
        return [pair for place, part, part_value in inner for pair in _reached(place, part, part_value)]
    if isinstance(kind, ArrayType):
        return _inside(f"{path}[]", kind.elementType, value)
    if isinstance(kind, MapType):
        keys = _inside(f"{path}{{}}.key", kind.keyType, F.map_keys(value))
        return keys + _inside(f"{path}{{}}.value", kind.valueType, F.map_values(value))
    return [] if isinstance(kind, BinaryType) else [(path, F.array(value.cast("string")))]


def _inside(path: str, kind: DataType, values: Column) -> list[tuple[str, Column]]:
    """Return the parts of an array's elements. Each needs a pass of its own over the array."""
    places = [place for place, _ in _reached(path, kind, F.lit(None).cast(kind))]
    return [(place, _gathered(path, kind, values, number)) for number, place in enumerate(places)]


def _gathered(path: str, kind: DataType, values: Column, number: int) -> Column:
    none = F.array().cast("array<string>")
    return F.flatten(F.transform(values, lambda each: F.coalesce(_reached(path, kind, each)[number][1], none)))


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else quoted(name)
