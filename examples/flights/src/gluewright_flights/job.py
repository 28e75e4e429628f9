"""The job: flights from the landing zone into published tables.

This file runs as it is with ``python``, with ``spark-submit`` and as a Glue script; the packages it imports are given as
``.zip`` files in ``--py-files`` or ``--extra-py-files`` where they are not installed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum
from typing import Annotated

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gluewright_core.dataset import Dataset, OnDifference, Saved, open_dataset
from gluewright_core.effects import effect
from gluewright_core.job import Job, run
from gluewright_core.landing import read_landing
from gluewright_core.locations import LOCATION
from gluewright_core.schema import Contract
from gluewright_core.secret import Secret
from gluewright_core.storage import open_storage
from gluewright_core.summary import Step
from gluewright_core.tables import ALL, Partition, Published, Replace, TableSpec, open_table
from gluewright_core.tables.sql import identifier
from gluewright_flights.flights import FLIGHTS, PROBLEMS, examined
from gluewright_flights.handover import PLANES, handed_over, shared_flights, shared_planes, sharing_key
from gluewright_flights.live import LINE, open_live
from gluewright_flights.news import corrections, unread
from gluewright_flights.on_time import AIRLINES, ON_TIME, month_of, on_time_by_month
from gluewright_flights.report import chart, lines_of, show
from gluewright_flights.zone import (
    Feed,
    Zone,
    find_days_of,
    find_flight_events,
    find_flights,
    require_readable,
    telling_unreadable,
)
from gluewright_incremental.job.incremental import Batch

AIRLINES_FILE = "reference/airlines.csv"
PLANES_FILE = "reference/planes.csv"
CHART_FILE = "on_time.svg"
LIVE = "flights_live"


class Catalog(Enum):
    """How the tables are kept."""

    parquet = "parquet"
    iceberg = "iceberg"
    delta = "delta"


@dataclass(frozen=True)
class Arguments:
    """Publishes flights, flights_quarantine and on_time from a landing zone, and shows who is on time.

    Flight events, if there are any, are merged into flights_live and compared with flights, provided that --from and --to
    leave out none of the days that they tell about. The feed is merged whole, because events come late.
    """

    landing: Annotated[str, LOCATION, "The landing zone: a folder or s3:// URI with flights/dt=<day>/ and reference/."]
    warehouse: Annotated[str, LOCATION, "Where the tables' files go: a folder or s3:// URI. Iceberg's catalog has its own."]
    report: Annotated[str, LOCATION, "Where the chart on_time.svg goes: a folder or s3:// URI."]
    catalog: Annotated[Catalog, "parquet (partitions switched in the catalog), iceberg or delta."] = Catalog.parquet
    database: Annotated[str, "The tables' database; for iceberg <catalog>.<database>."] = "flights"
    from_: Annotated[date | None, "The first day to publish; without it the first that has landed."] = None
    to: Annotated[date | None, "The last day to publish; without it the last that has landed."] = None
    state: Annotated[
        str | None, LOCATION, "Where the ledger of files that were read is; with it a run takes only new ones."
    ] = None
    exports: Annotated[str | None, LOCATION, "Where on_time_<month>.csv goes: a folder or s3:// URI."] = None
    share_key: Annotated[
        Secret | None, "Where the key of tokens lies; with it flights_shared and planes_shared are made."
    ] = None


def main(job: Job[Arguments]) -> None:
    """Publish the days asked for, or those that no run has published yet."""
    with unread_files(job) as batch:
        if zone := find_days(job, batch):
            publish(job, zone)
        else:
            job.log.info("no flights have landed since the last run; what is published stays as it is")


def publish(job: Job[Arguments], zone: Zone) -> None:
    """Publish the flights of some days, then the figures of their months, and show the result."""
    feed = find_feed(job, zone)
    key = sharing_key(job.arguments.share_key) if job.arguments.share_key else None
    ensure_database(job)
    if job.arguments.state:
        with job.step("corrections"):
            show_corrections(load_flights(job, zone), job, zone)
    with job.step("flights") as step:
        save_flights(examined(load_flights(job, zone)), job, zone).told(step)
    with job.step("on time", changes_grain=True) as step:
        flights = step.counting(published_flights(job, zone.months), "read")
        step.add(written=save_on_time(on_time_by_month(flights, load_airlines(job)), job, zone.months).published.rows)
    with job.step("report"):
        save_report(job)
    if job.arguments.exports:
        with job.step("hand over") as step:
            save_exports(job, zone.months, step)
    if key:
        with job.step("share") as step:
            flights = step.counting(published_flights(job, zone.months), "read")
            save_shared_flights(shared_flights(flights, key), job, zone.months, step)
            save_shared_planes(shared_planes(step.counting(load_planes(job), "read"), key), job, step)
    if feed:
        with job.step("live") as step:
            save_live(load_events(job, feed), job, feed, step)


def unread_files(job: Job[Arguments]) -> AbstractContextManager[Batch | None]:
    """Take what no run has published yet; nothing in particular if the run is told its days, or has no ledger."""
    asked = job.arguments
    if not asked.state or asked.from_ or asked.to:
        return nullcontext()
    return unread(asked.landing, asked.state, job.run.id)


def find_days(job: Job[Arguments], batch: Batch | None) -> Zone | None:
    """Find the files of the days asked for, or of those that the batch has files of, and say which days are not there."""
    storage, asked = open_storage(job.arguments.landing), job.arguments
    if batch is None:
        zone = find_flights(storage, asked.from_, asked.to)
    elif found := find_days_of(storage, (each.key for each in batch.objects)):
        zone = found
        for each in batch.late:
            job.log.warning("late: %d files for %s, which was closed", each["objects"], each["prefix"])
    else:
        return None
    require_readable(zone.storage, [AIRLINES_FILE], ",".join(AIRLINES.names))
    if zone.missing:
        days = ", ".join(map(str, zone.missing[:5])) + (" ..." if len(zone.missing) > 5 else "")
        job.log.warning("%d days have not landed and stay as they are: %s", len(zone.missing), days)
    return zone


def find_feed(job: Job[Arguments], zone: Zone) -> Feed | None:
    """Find the drops of flight events, unless the run leaves out days that they tell about: then they stay unmerged."""
    feed, asked = find_flight_events(open_storage(job.arguments.landing)), job.arguments
    if feed and zone.days[0] > max(feed.files):
        return None
    if feed and ((asked.from_ and asked.from_ > feed.first) or (asked.to and asked.to < feed.last)):
        job.log.info("flight events are not merged: they tell about %s to %s, not all asked for", feed.first, feed.last)
        return None
    return feed


def ensure_database(job: Job[Arguments]) -> None:
    """Create the tables' database if the catalog has none of that name."""
    database = job.arguments.database
    if not job.spark.catalog.databaseExists(database):
        with effect("catalog.create", database):
            job.spark.sql(f"CREATE DATABASE IF NOT EXISTS {identifier(database)}")


def load_flights(job: Job[Arguments], zone: Zone) -> DataFrame:
    """Read the landed rows as texts, each with the day of its folder; NA is what the sender writes where it has no value."""
    return read_landing(job.spark, zone.paths, FLIGHTS, base=zone.storage.uri_of("flights"), null="NA")


def load_airlines(job: Job[Arguments]) -> DataFrame:
    """Read the airlines' names."""
    path = open_storage(job.arguments.landing).uri_of(AIRLINES_FILE)
    return AIRLINES.conform(read_landing(job.spark, path, AIRLINES)).rows


def load_planes(job: Job[Arguments]) -> DataFrame:
    """Read the planes."""
    path = open_storage(job.arguments.landing).uri_of(PLANES_FILE)
    return PLANES.conform(read_landing(job.spark, path, PLANES, null="NA")).rows


def load_events(job: Job[Arguments], feed: Feed) -> dict[date, DataFrame]:
    """Read the landed events as they came, drop by drop."""
    paths = {day: [feed.storage.uri_of(key) for key in keys] for day, keys in feed.files.items()}
    file = F.col("_metadata.file_name").alias("file")
    return {day: job.spark.read.text(path).select(F.col("value").alias(LINE), file) for day, path in paths.items()}


def published_flights(job: Job[Arguments], months: list[str]) -> DataFrame:
    """Read whole months of the published flights."""
    first, last = date.fromisoformat(f"{months[0]}-01"), date.fromisoformat(f"{months[-1]}-01") + timedelta(days=30)
    # The range is what catalogs push down; it may reach into the month after.
    wanted = F.col("dt").between(first, last) & F.expr(month_of("dt")).isin(months)
    return flights_dataset(job).load().where(wanted)


def save_flights(landed: DataFrame, job: Job[Arguments], zone: Zone) -> Saved:
    """Replace the days by their flights, and what was quarantined of them; a day without any becomes empty."""
    days = [{"dt": day} for day in zone.days]
    with telling_unreadable(zone.storage, zone.keys):
        return flights_dataset(job).save(
            landed,
            run=job.run.id,
            replace=days,
            problems=PROBLEMS,
            # One file a day.
            layout=lambda rows: rows.repartition("dt"),
            # What the files have beside the contract, the parts of the day, is only for quarantine.
            on_difference={"extra": OnDifference.LOG},
        )


def show_corrections(landed: DataFrame, job: Job[Arguments], zone: Zone) -> None:
    """Say what changes in days that are published already."""
    dataset = flights_dataset(job)
    if not dataset.table.exists():
        return
    published = dataset.load().where(F.col("dt").isin(zone.days))
    if published.isEmpty():
        return
    with telling_unreadable(zone.storage, zone.keys):
        fitting = FLIGHTS.conform(examined(landed), problems=PROBLEMS).rows
        for line in corrections(published, fitting):
            print(f"sent again: {line}")


def save_on_time(rows: DataFrame, job: Job[Arguments], months: list[str]) -> Saved:
    """Replace the months by their figures."""
    partitions = [{"month": month} for month in months]
    return on_time_dataset(job).save(rows.coalesce(1), run=job.run.id, replace=partitions)


def save_live(drops: dict[date, DataFrame], job: Job[Arguments], feed: Feed, step: Step) -> None:
    """Merge the drops into the table ``flights_live``, and hold the result to the published flights."""
    live = open_live(job.spark, f"{job.arguments.database}.{LIVE}", job.arguments.catalog.value, _location(job, LIVE))
    live.merge(drops, job.run.id, step)
    rows = live.require_same(flights_dataset(job).load(), (feed.first, feed.last))
    print(f"flights_live: {rows:,} rows of {feed.first} to {feed.last} merged from events, equal to flights")


def save_report(job: Job[Arguments]) -> None:
    """Show the table ``on_time`` in the terminal, and write it as a chart."""
    lines = lines_of(on_time_dataset(job).load().collect())
    show(lines)
    report = open_storage(job.arguments.report)
    report.write(CHART_FILE, chart(lines).encode())
    print(f"chart: {report.uri_of(CHART_FILE)}")


def save_exports(job: Job[Arguments], months: list[str], step: Step) -> None:
    """Hand each month over as one file."""
    figures = on_time_dataset(job).load()
    for month in months:
        written = handed_over(figures.where(F.col("month") == month), month, str(job.arguments.exports), job.run.id)
        step.add(read=written.rows, written=written.rows)
        job.log.info("handed over: %s, %d rows", written.uri, written.rows)


def save_shared_flights(rows: DataFrame, job: Job[Arguments], months: list[str], step: Step) -> None:
    """Replace the months of the flights that are shared."""
    step.add(written=_share(rows, "flights_shared", ("month",), [{"month": month} for month in months], job).rows)


def save_shared_planes(rows: DataFrame, job: Job[Arguments], step: Step) -> None:
    """Replace the planes that are shared."""
    step.add(written=_share(rows, "planes_shared", (), ALL, job).rows)


def _share(
    rows: DataFrame, name: str, partition_by: tuple[str, ...], replaced: Replace | list[Partition], job: Job[Arguments]
) -> Published:
    asked = job.arguments
    spec = TableSpec(f"{asked.database}.{name}", rows.schema, partition_by, _location(job, name), "Tokens for tail numbers.")
    # One file a month.
    laid_out = rows.repartition(*partition_by) if partition_by else rows.coalesce(1)
    return open_table(job.spark, spec, asked.catalog.value).publish(laid_out, run=job.run.id, replace=replaced)


def flights_dataset(job: Job[Arguments]) -> Dataset:
    """Return the flights, a partition a day, with their quarantine."""
    return _dataset(job, FLIGHTS)


def on_time_dataset(job: Job[Arguments]) -> Dataset:
    """Return the figures, a partition a month."""
    return _dataset(job, ON_TIME)


def _dataset(job: Job[Arguments], contract: Contract) -> Dataset:
    asked = job.arguments
    named = replace(contract, name=f"{asked.database}.{contract.name}")
    return open_dataset(job.spark, named, asked.catalog.value, location=_location(job, contract.name))


def _location(job: Job[Arguments], table: str) -> str:
    # Iceberg's catalog decides where its tables are.
    return "" if job.arguments.catalog is Catalog.iceberg else open_storage(job.arguments.warehouse).uri_of(table)


if __name__ == "__main__":
    run(main, Arguments)
