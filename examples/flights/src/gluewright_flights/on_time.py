"""How often each airline is on time: flights in, one row per carrier, origin and month out."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType

LATE_AFTER = 15
"""Minutes. A flight is on time if it arrives less than this after its schedule (U.S. Bureau of Transportation Statistics,
"Airline On-Time Statistics: Definitions")."""

AIRLINES = StructType([StructField("carrier", StringType()), StructField("name", StringType())])
"""A row of the airlines' reference table."""


def _column(name: str, kind: StringType | LongType | DoubleType, comment: str) -> StructField:
    return StructField(name, kind, True, {"comment": comment})


ON_TIME = StructType(
    [
        _column("carrier", StringType(), "The airline's two-letter code."),
        _column("carrier_name", StringType(), "The airline's name; NULL if the reference table lacks it."),
        _column("origin", StringType(), "Airport of departure."),
        _column("flights", LongType(), "Scheduled flights."),
        _column("cancelled", LongType(), "Flights that never departed."),
        _column(
            "on_time_share",
            DoubleType(),
            f"Share of the flights that were not cancelled which arrived less than {LATE_AFTER} minutes late.",
        ),
        _column("delay_median", DoubleType(), "Median delay at arrival in minutes, of the flights that arrived."),
        _column("delay_p95", DoubleType(), "95th percentile of the same, interpolated."),
        _column("month", StringType(), "Month of the scheduled departure, such as 2013-01."),
    ]
)
"""A row of the result."""


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
