"""The job: flights from the landing zone into published tables.

This file runs as it is with ``python``, with ``spark-submit`` and as a Glue script; the packages it imports are given as
``.zip`` files in ``--py-files`` or ``--extra-py-files`` where they are not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Annotated

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from gluewright_core.effects import effect
from gluewright_core.job import Job, run
from gluewright_core.storage import open_storage
from gluewright_core.tables import Published, Table, TableSpec, open_table
from gluewright_core.tables.sql import identifier
from gluewright_flights.flights import FLIGHTS, HEADER, LANDED, QUARANTINE, READING, accepted, judged, rejected
from gluewright_flights.on_time import AIRLINES, ON_TIME, month_of, on_time_by_month
from gluewright_flights.report import chart, lines_of, show
from gluewright_flights.zone import Zone, find_flights, require_readable, telling_unreadable

AIRLINES_FILE = "reference/airlines.csv"
CHART_FILE = "on_time.svg"


class Catalog(Enum):
    """How the tables are kept."""

    parquet = "parquet"
    iceberg = "iceberg"
    delta = "delta"


@dataclass(frozen=True)
class Arguments:
    """Publishes flights, flights_quarantine and on_time from a landing zone, and shows who is on time."""

    landing: Annotated[str, "The landing zone: a folder or s3:// URI with flights/dt=<day>/ and reference/."]
    warehouse: Annotated[str, "Where the tables' files go: a folder or s3:// URI. Iceberg's catalog has its own."]
    report: Annotated[str, "Where the chart on_time.svg goes: a folder or s3:// URI."]
    catalog: Annotated[Catalog, "parquet (partitions switched in the catalog), iceberg or delta."] = Catalog.parquet
    database: Annotated[str, "The tables' database; for iceberg <catalog>.<database>."] = "flights"
    from_: Annotated[date | None, "The first day to publish; without it the first that has landed."] = None
    to: Annotated[date | None, "The last day to publish; without it the last that has landed."] = None


def main(job: Job[Arguments]) -> None:
    """Publish the flights of the days asked for, then the figures of their months, and show the result."""
    zone = find_days(job)
    ensure_database(job)
    with job.step("flights") as step:
        rows = judged(step.counting(load_flights(job, zone), "read"))
        quarantined = save_quarantine(rejected(rows), job, zone)
        written = save_flights(accepted(rows), job, zone)
        step.add(written=written.rows, quarantined=quarantined.rows)
    with job.step("on time", changes_grain=True) as step:
        flights = step.counting(published_flights(job, zone.months), "read")
        step.add(written=save_on_time(on_time_by_month(flights, load_airlines(job)), job, zone.months).rows)
    with job.step("report"):
        save_report(job)


def find_days(job: Job[Arguments]) -> Zone:
    """Find the files of the days asked for, and say which days are not there."""
    zone = find_flights(open_storage(job.arguments.landing), job.arguments.from_, job.arguments.to)
    require_readable(zone.storage, [AIRLINES_FILE], ",".join(AIRLINES.names))
    if zone.missing:
        days = ", ".join(map(str, zone.missing[:5])) + (" ..." if len(zone.missing) > 5 else "")
        job.log.warning("%d days have not landed and stay as they are: %s", len(zone.missing), days)
    return zone


def ensure_database(job: Job[Arguments]) -> None:
    """Create the tables' database if the catalog has none of that name."""
    database = job.arguments.database
    if not job.spark.catalog.databaseExists(database):
        with effect("catalog.create", database):
            job.spark.sql(f"CREATE DATABASE IF NOT EXISTS {identifier(database)}")


def load_flights(job: Job[Arguments], zone: Zone) -> DataFrame:
    """Read the landed rows as texts, each with the day of its folder and the name of its file."""
    reader = job.spark.read.options(**READING).option("basePath", zone.storage.uri_of("flights"))
    return reader.schema(LANDED).csv(zone.paths).select("*", F.col("_metadata.file_name").alias("file"))


def load_airlines(job: Job[Arguments]) -> DataFrame:
    """Read the airlines' names."""
    path = open_storage(job.arguments.landing).uri_of(AIRLINES_FILE)
    return job.spark.read.option("header", True).schema(AIRLINES).csv(path)


def published_flights(job: Job[Arguments], months: list[str]) -> DataFrame:
    """Read whole months of the published flights."""
    first, last = date.fromisoformat(f"{months[0]}-01"), date.fromisoformat(f"{months[-1]}-01") + timedelta(days=30)
    # The range is what catalogs push down; it may reach into the month after.
    wanted = F.col("dt").between(first, last) & F.expr(month_of("dt")).isin(months)
    return flights_table(job).read().where(wanted)


def save_flights(rows: DataFrame, job: Job[Arguments], zone: Zone) -> Published:
    """Replace the days by their rows; a day without any becomes empty."""
    # One file a day.
    return _save_days(flights_table(job), rows.repartition("dt"), job, zone)


def save_quarantine(rows: DataFrame, job: Job[Arguments], zone: Zone) -> Published:
    """Replace the days' rows that do not fit."""
    table = _table(job, "flights_quarantine", QUARANTINE, ("dt",), "Landed rows that are no flights, and why.")
    return _save_days(table, rows.repartition("dt"), job, zone)


def save_on_time(rows: DataFrame, job: Job[Arguments], months: list[str]) -> Published:
    """Replace the months by their figures."""
    replace = [{"month": month} for month in months]
    return on_time_table(job).publish(rows.coalesce(1), run=job.run.id, replace=replace)


def save_report(job: Job[Arguments]) -> None:
    """Show the table ``on_time`` in the terminal, and write it as a chart."""
    lines = lines_of(on_time_table(job).read().collect())
    show(lines)
    report = open_storage(job.arguments.report)
    report.write(CHART_FILE, chart(lines).encode())
    print(f"chart: {report.uri_of(CHART_FILE)}")


def flights_table(job: Job[Arguments]) -> Table:
    """Return the table of flights, a partition a day."""
    return _table(job, "flights", FLIGHTS, ("dt",), "Flights from New York City.")


def on_time_table(job: Job[Arguments]) -> Table:
    """Return the table of figures, a partition a month."""
    return _table(job, "on_time", ON_TIME, ("month",), "How often each airline is on time, by airport and month.")


def _table(job: Job[Arguments], name: str, schema: StructType, partition_by: tuple[str, ...], comment: str) -> Table:
    asked = job.arguments
    # Iceberg's catalog decides where its tables are.
    location = "" if asked.catalog is Catalog.iceberg else open_storage(asked.warehouse).uri_of(name)
    spec = TableSpec(f"{asked.database}.{name}", schema, partition_by, location, comment)
    return open_table(job.spark, spec, asked.catalog.value)


def _save_days(table: Table, rows: DataFrame, job: Job[Arguments], zone: Zone) -> Published:
    with telling_unreadable(zone.storage, zone.keys, HEADER):
        return table.publish(rows, run=job.run.id, replace=[{"dt": day} for day in zone.days])


if __name__ == "__main__":
    run(main, Arguments)
