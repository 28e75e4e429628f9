"""The flights of a landing zone: texts in, typed rows out, and what does not fit set aside with a reason."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    IntegerType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

_INSTANT = "yyyy-MM-dd'T'HH:mm:ssX"
_TEXT, _NUMBER, _TIME = StringType(), IntegerType(), TimestampType()
_MAY_BE_MISSING = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}
_COLUMNS: dict[str, tuple[DataType, str]] = {
    "year": (_NUMBER, ""),
    "month": (_NUMBER, ""),
    "day": (_NUMBER, ""),
    "dep_time": (_NUMBER, "Actual departure, local time as HHMM; NULL if the flight was cancelled."),
    "sched_dep_time": (_NUMBER, "Scheduled departure, local time as HHMM."),
    "dep_delay": (_NUMBER, "Minutes late at departure; negative is early."),
    "arr_time": (_NUMBER, "Actual arrival, local time as HHMM."),
    "sched_arr_time": (_NUMBER, "Scheduled arrival, local time as HHMM."),
    "arr_delay": (_NUMBER, "Minutes late at arrival; negative is early; NULL if cancelled or diverted."),
    "carrier": (_TEXT, "The airline's two-letter code."),
    "flight": (_NUMBER, "Flight number."),
    "tailnum": (_TEXT, "The plane's tail number."),
    "origin": (_TEXT, "Airport of departure: EWR, JFK or LGA."),
    "dest": (_TEXT, "Airport of destination."),
    "air_time": (_NUMBER, "Minutes in the air."),
    "distance": (_NUMBER, "Miles between the airports."),
    "hour": (_NUMBER, "Hour of the scheduled departure, local time."),
    "minute": (_NUMBER, "Minute of the scheduled departure."),
    "time_hour": (_TIME, "Scheduled departure, to the hour."),
}
# The folder says the day already.
_DAY_PARTS = ("year", "month", "day")
_KINDS = {"int": "whole number", "timestamp": "time such as 2013-01-31T12:00:00Z"}
_MALFORMED = "_malformed"

HEADER = ",".join(_COLUMNS)
"""The first line of every file."""

LANDED = StructType(
    [*(StructField(name, _TEXT) for name in _COLUMNS), StructField(_MALFORMED, _TEXT), StructField("dt", DateType())]
)
"""A landed row: texts, and the day its folder is named after."""

_DT = StructField("dt", DateType(), True, {"comment": "Day of the scheduled departure, local time."})

FLIGHTS = StructType(
    [
        *(
            StructField(name, kind, True, {"comment": comment})
            for name, (kind, comment) in _COLUMNS.items()
            if name not in _DAY_PARTS
        ),
        _DT,
    ]
)
"""A typed flight."""

QUARANTINE = StructType(
    [
        StructField("reason", _TEXT, True, {"comment": "Every column that does not fit, and why."}),
        StructField("original", _TEXT, True, {"comment": "The row as it came, as JSON."}),
        StructField("file", _TEXT, True, {"comment": "The file it came in."}),
        StructField("dt", DateType(), True, {"comment": "The day whose folder it was in."}),
    ]
)
"""A row that does not fit."""

READING = {
    "header": "true",
    # The header is compared with the schema instead of being skipped unread.
    "enforceSchema": "false",
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _MALFORMED,
}
"""Spark's options for reading the files."""


def judged(landed: DataFrame) -> DataFrame:
    """Add to each landed row the reason why it does not fit: empty if it does.

    Args:
        landed: rows of the schema `LANDED`, and the name of the file they came in.
    """
    malformed = F.when(F.col(_MALFORMED).isNotNull(), f"the line does not have {len(_COLUMNS)} values")
    reasons = F.concat_ws("; ", *(_reason(name) for name in _COLUMNS), _wrong_day())
    return landed.withColumn("reason", F.coalesce(malformed, reasons))


def accepted(rows: DataFrame) -> DataFrame:
    """Return the rows that fit, typed.

    Args:
        rows: what `judged` returns.
    """
    typed = [_value(name).alias(name) for name in FLIGHTS.names if name != "dt"]
    return rows.where("reason = ''").select(*typed, "dt")


def rejected(rows: DataFrame) -> DataFrame:
    """Return the rows that do not fit, as they came, with the reason.

    Args:
        rows: what `judged` returns.
    """
    line = F.struct(F.col(_MALFORMED).alias("line"))
    as_json = F.when(F.col(_MALFORMED).isNotNull(), F.to_json(line)).otherwise(F.to_json(F.struct(*_COLUMNS)))
    return rows.where("reason <> ''").select("reason", as_json.alias("original"), "file", "dt")


def _given(name: str) -> str:
    """Return SQL for a value's text; the sender writes NA where it has none."""
    return f"nullif(`{name}`, 'NA')"


def _value(name: str) -> Column:
    """Return a value as its type, or NULL if it does not fit; the same with and without ANSI mode."""
    kind = _COLUMNS[name][0].simpleString()
    if kind == "timestamp":
        # A plain cast takes "10:00" for today at ten.
        return F.expr(f'try_to_timestamp({_given(name)}, "{_INSTANT}")')
    return F.expr(f"try_cast({_given(name)} AS {kind})")


def _reason(name: str) -> Column:
    given = F.expr(_given(name))
    kind = _KINDS.get(_COLUMNS[name][0].simpleString())
    unfit = F.when(given.isNotNull() & _value(name).isNull(), f"{name} is no {kind}") if kind else F.lit(None)
    return unfit if name in _MAY_BE_MISSING else F.coalesce(F.when(given.isNull(), f"{name} is missing"), unfit)


def _wrong_day() -> Column:
    same = (_value("year") == F.year("dt")) & (_value("month") == F.month("dt")) & (_value("day") == F.dayofmonth("dt"))
    return F.when(~same, "the date is not that of the folder")
