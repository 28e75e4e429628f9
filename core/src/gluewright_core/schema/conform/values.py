"""Find how a simple value of one type is read as another; numbers, text and times each have a module."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import types as T

from .nodes import Spot
from .numbers import DIGITS, decimal_reading, float_reading, number_reading, whole_number_reading
from .reading import NUMBERS, Cases, Reading
from .sql import both_or_none, ddl, itself, type_name
from .text import text_reading
from .times import moment_reading, time_reading


def find_reading(source: T.DataType, target: T.DataType, spot: Spot) -> Reading:
    """Find how a simple value of one type becomes one of another."""
    if isinstance(target, (T.CharType, T.VarcharType)):
        return _with_limit(find_reading(source, T.StringType(), replace(spot, pattern="")), target.length)
    if type(source) is type(target) and source == target:
        return Reading(itself, bare=True)
    wanted = ddl(target)
    if isinstance(source, T.NullType):
        return Reading(lambda x: f"CAST({x} AS {wanted})")
    if isinstance(source, NUMBERS) and isinstance(target, NUMBERS):
        return number_reading(source, target)
    if isinstance(target, T.StringType):
        found = text_reading(source)
    elif isinstance(source, T.StringType):
        found = _from_text(target, spot)
    else:
        found = time_reading(source, target)
    return found or _refusal(source, target)


def _refusal(source: T.DataType, target: T.DataType) -> Reading:
    reason = f"{type_name(source)} is not read as {type_name(target)}"
    return Reading(
        lambda x: f"CAST(NULL AS {ddl(target)})", lambda x, v: f"{x} IS NULL", lambda x, v: [("true", "kind", reason)]
    )


def _with_limit(text: Reading, length: int) -> Reading:
    def lossless(x: str, v: str) -> str:
        fits = f"({v} IS NULL OR char_length({v}) <= {length})"
        return f"({text.lossless(x, v)} AND {fits})" if text.lossless else fits

    def why(x: str, v: str) -> Cases:
        readable = text.lossless(x, v) if text.lossless else "true"
        return [(readable, "length", f"has more than {length} characters"), *text.why(x, v)]

    return Reading(text.candidate, lossless, why, bare=text.bare)


def _from_text(target: T.DataType, spot: Spot) -> Reading | None:
    if type(target) in DIGITS:
        return whole_number_reading(ddl(target))
    if isinstance(target, T.DecimalType):
        return decimal_reading(target)
    if isinstance(target, (T.FloatType, T.DoubleType)):
        return float_reading(target)
    if isinstance(target, T.BooleanType):
        return Reading(_word, both_or_none, lambda x, v: [("true", "format", "is neither true nor false")])
    if isinstance(target, T.BinaryType):
        return Reading(lambda x: f"CAST({x} AS BINARY)")
    return moment_reading(target, spot) if isinstance(target, (T.DateType, T.TimestampType, T.TimestampNTZType)) else None


def _word(x: str) -> str:
    in_any_case = f"CASE lower({x}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    return f"CASE WHEN {x} = 'true' THEN true WHEN {x} = 'false' THEN false ELSE {in_any_case} END"
