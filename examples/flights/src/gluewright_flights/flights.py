"""The flights of a landing zone: what a landed row is, what a flight is, and what the contract's types cannot say."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.schema import Column as Field
from gluewright_core.schema import Contract
from gluewright_core.schema.conform import PROBLEM

FLIGHTS = Contract(
    "flights",
    (
        Field("dep_time", "int", comment="Actual departure, local time as HHMM; NULL if the flight was cancelled."),
        Field("sched_dep_time", "int", nullable=False, comment="Scheduled departure, local time as HHMM."),
        Field("dep_delay", "int", comment="Minutes late at departure; negative is early."),
        Field("arr_time", "int", comment="Actual arrival, local time as HHMM."),
        Field("sched_arr_time", "int", nullable=False, comment="Scheduled arrival, local time as HHMM."),
        Field("arr_delay", "int", comment="Minutes late at arrival; negative is early; NULL if cancelled or diverted."),
        Field("carrier", "string", nullable=False, comment="The airline's two-letter code."),
        Field("flight", "int", nullable=False, comment="Flight number."),
        Field("tailnum", "string", comment="The plane's tail number."),
        Field("origin", "string", nullable=False, comment="Airport of departure: EWR, JFK or LGA."),
        Field("dest", "string", nullable=False, comment="Airport of destination."),
        Field("air_time", "int", comment="Minutes in the air."),
        Field("distance", "int", nullable=False, comment="Miles between the airports."),
        Field("hour", "int", nullable=False, comment="Hour of the scheduled departure, local time."),
        Field("minute", "int", nullable=False, comment="Minute of the scheduled departure."),
        Field("time_hour", "timestamp", nullable=False, comment="Scheduled departure, to the hour."),
        Field("dt", "date", nullable=False, comment="Day of the scheduled departure, local time."),
    ),
    key=("time_hour", "carrier", "flight"),
    partition_by=("dt",),
    comment="Flights from New York City.",
)
"""A flight. The files also say year, month and day, which the folder says already."""

_DAY_PARTS = ("year", "month", "day")
_LANDED = (*_DAY_PARTS, *(name for name in FLIGHTS.names if name != "dt"))
PROBLEMS = "_problems"

HEADER = ",".join(_LANDED)
"""The first line of a file; the columns may come in another order."""

LANDED = StructType([StructField(name, StringType()) for name in (*_LANDED, "dt")])
"""A landed row: texts, with the day that its folder is named after."""


def examined(landed: DataFrame) -> DataFrame:
    """Add the column `PROBLEMS`: what is wrong with a landed row beyond its values, as quarantine tells it.

    Args:
        landed: rows with the columns of `LANDED`.
    """
    folder = F.expr("try_cast(dt AS date)")
    parts = (F.expr(f"try_cast(`{name}` AS int)") for name in _DAY_PARTS)
    same = F.lit(True)
    for part, of_folder in zip(parts, (F.year(folder), F.month(folder), F.dayofmonth(folder)), strict=True):
        same &= part.eqNullSafe(of_folder)
    other_day = _problem(~same, "dt", "folder", "is not the day that the row says")
    return landed.withColumn(PROBLEMS, F.array_compact(F.array(other_day)))


def _problem(found: Column, column: str, rule: str, reason: str) -> Column:
    told = F.struct(F.lit(column), F.lit(rule), F.lit(reason), F.lit(None).cast("string")).cast(PROBLEM)
    return F.when(found, told)
