"""How often each airline is on time: flights in, one row per carrier, origin and month out."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gluewright_core.schema import Column as Field
from gluewright_core.schema import Contract, Mode

LATE_AFTER = 15
"""Minutes. A flight is on time if it arrives less than this after its schedule (U.S. Bureau of Transportation Statistics,
"Airline On-Time Statistics: Definitions")."""

AIRLINES = Contract(
    "airlines",
    (Field("carrier", "string", nullable=False), Field("name", "string", nullable=False)),
    key=("carrier",),
    values=Mode.FREEZE,
)
"""The airlines' reference table. What does not fit fails the job: figures without a name are of no use."""

ON_TIME = Contract(
    "on_time",
    (
        Field("carrier", "string", nullable=False, comment="The airline's two-letter code."),
        Field("carrier_name", "string", comment="The airline's name; NULL if the reference table lacks it."),
        Field("origin", "string", nullable=False, comment="Airport of departure."),
        Field("flights", "bigint", nullable=False, comment="Scheduled flights."),
        Field("cancelled", "bigint", nullable=False, comment="Flights that never departed."),
        Field(
            "on_time_share",
            "double",
            comment=f"Share of the flights that were not cancelled which arrived less than {LATE_AFTER} minutes late.",
        ),
        Field("delay_median", "double", comment="Median delay at arrival in minutes, of the flights that arrived."),
        Field("delay_p95", "double", comment="95th percentile of the same, interpolated."),
        Field("month", "string", nullable=False, comment="Month of the scheduled departure, such as 2013-01."),
    ),
    key=("carrier", "origin", "month"),
    partition_by=("month",),
    comment="How often each airline is on time, by airport and month.",
    values=Mode.FREEZE,
)
"""A row of the result. It is computed, so what does not fit is a mistake of ours and fails the job."""


def month_of(day: str) -> str:
    """Return SQL for the month of a date column.

    Args:
        day: the column's name.
    """
    return f"date_format(`{day}`, 'yyyy-MM')"


def on_time_by_month(flights: DataFrame, airlines: DataFrame) -> DataFrame:
    """Return how many flights were on time, and how late they were.

    Percentiles are exact, so both Spark lines, and any other engine that interpolates, give the same.

    Args:
        flights: of whole months.
        airlines: names by carrier.
    """
    cancelled, late = F.col("dep_time").isNull(), F.col("arr_delay") >= LATE_AFTER
    counted = flights.groupBy("carrier", "origin", F.expr(month_of("dt")).alias("month")).agg(
        F.count(F.lit(1)).alias("flights"),
        F.count(F.when(cancelled, 1)).alias("cancelled"),
        F.count(F.when(~cancelled & ~late, 1)).alias("on_time"),
        F.percentile("arr_delay", 0.5).alias("delay_median"),
        F.percentile("arr_delay", 0.95).alias("delay_p95"),
    )
    flown = F.col("flights") - F.col("cancelled")
    share = F.when(flown > 0, F.col("on_time") / flown)
    names = airlines.withColumnRenamed("name", "carrier_name")
    return counted.withColumn("on_time_share", share).join(F.broadcast(names), "carrier", "left").select(*ON_TIME.names)
