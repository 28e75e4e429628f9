"""Keep the newest row of every key of a folder of Parquet, as a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pyspark.sql import DataFrame

from gluewright_core.job import Job
from gluewright_core.landing import LANDED, read_landing
from gluewright_core.locations import LOCATION
from gluewright_core.tables import ALL, Kind, TableSpec, open_table
from gluewright_{{recipe}} import newest_per_key


@dataclass(frozen=True)
class Arguments:
    """What the job is told."""

    source: Annotated[str, LOCATION, "Folder of Parquet files with every version of every row."]
    target: Annotated[str, LOCATION, "Folder that gets one row per key. Its old content is replaced."]
    key: Annotated[list[str], "The columns that identify a thing."]
    newest_by: Annotated[list[str], "The columns that order its versions, the most important first."]


def main(job: Job[Arguments]) -> None:
    """Read, keep the newest, publish."""
    with job.step("keep the newest", changes_grain=True) as step:
        versions = step.counting(load_versions(job), "read")
        newest = newest_per_key(versions, job.arguments.key, job.arguments.newest_by)
        step.add(written=save_newest(newest, job))


def load_versions(job: Job[Arguments]) -> DataFrame:
    """Read every version. A folder without files and a file that is damaged are one clear error."""
    return read_landing(job.spark, job.arguments.source, format="parquet").drop(LANDED)


def save_newest(rows: DataFrame, job: Job[Arguments]) -> int:
    """Replace the target by these rows and return how many they are."""
    table = TableSpec(name="newest", schema=rows.schema, location=job.arguments.target)
    return open_table(job.spark, table, Kind.FOLDER).publish(rows, run=job.run.id, replace=ALL).rows
