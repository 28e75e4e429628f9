"""Write values of any type as text: for columns of text, and for quarantine."""

from __future__ import annotations

from pyspark.sql import types as T

from .reading import NUMBERS, Reading

# In microseconds.
DAY = 86_400_000_000
# Decimals with more places have an exponent in their text if they are small and ANSI is off.
PLAIN_SCALE = 6


def text_reading(source: T.DataType) -> Reading | None:
    """Read a value as text; None if its type is never read so."""
    if isinstance(source, T.BinaryType):
        # A regular expression works on Java's texts, in which bytes that are not UTF-8 are replaced.
        return Reading(
            lambda x: f"CAST({x} AS STRING)",
            lambda x, v: f"({x} IS NULL OR regexp_replace({v}, '(?!)', '') = {v})",
            lambda x, v: [("true", "encoding", "is not UTF-8")],
        )
    simple = (*NUMBERS, T.BooleanType, T.DateType, T.TimestampType, T.TimestampNTZType, T.StringType)
    return Reading(lambda x: as_text(x, source)) if isinstance(source, simple) else None


def as_text(x: str, source: T.DataType) -> str:
    """Write a value of any type as the text that stands for it in quarantine and in text columns."""
    if isinstance(source, T.StringType):
        return x
    if isinstance(source, T.TimestampType):
        return f"concat(CAST({wall_clock(x)} AS STRING), 'Z')"
    if isinstance(source, T.DecimalType) and source.scale > PLAIN_SCALE:
        # Without ANSI, Spark writes small ones with an exponent.
        text = f"CAST({x} AS STRING)"
        digits = f"lpad(regexp_replace({text}, 'E.*|[-.]', ''), {source.scale}, '0')"
        return f"CASE WHEN instr({text}, 'E') > 0 THEN concat(if({x} < 0, '-0.', '0.'), {digits}) ELSE {text} END"
    if isinstance(source, T.BinaryType):
        return f"base64({x})"
    return as_json(x) if isinstance(source, (T.StructType, T.ArrayType, T.MapType)) else f"CAST({x} AS STRING)"


def as_json(x: str) -> str:
    """Write a struct, array or map as JSON."""
    options = {
        "ignoreNullFields": "false",
        "timeZone": "UTC",
        "dateFormat": "yyyy-MM-dd",
        "timestampFormat": "yyyy-MM-dd HH:mm:ss.SSSSSSXXX",
        "timestampNTZFormat": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    }
    written = ", ".join(f"'{name}', '{value}'" for name, value in options.items())
    return f"to_json({x}, map({written}))"


def wall_clock(x: str) -> str:
    """Write a timestamp as it stands on a clock in UTC; Spark's own cast takes the session's time zone."""
    # The seconds of an interval have 18 digits, which end in the year 33658, so the days are given apart.
    days = f"CAST(unix_micros({x}) DIV {DAY} AS INT)"
    seconds = f"CAST(unix_micros({x}) % {DAY} / 1000000BD AS DECIMAL(18, 6))"
    return f"(TIMESTAMP_NTZ'1970-01-01 00:00:00' + make_dt_interval({days}, 0, 0, {seconds}))"
