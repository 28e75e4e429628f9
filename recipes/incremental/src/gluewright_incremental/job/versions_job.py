"""Append what was committed to an Iceberg or Delta table to another table, as a job: no code needed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from gluewright_core.job import Job, run
from gluewright_core.locations import LOCATION
from gluewright_core.tables import Kind
from gluewright_incremental.job.sink import append_range
from gluewright_incremental.job.versions import IncrementalVersions


class SourceKind(Enum):
    """How the table that is read is kept."""

    iceberg = "iceberg"
    delta = "delta"


@dataclass(frozen=True)
class Arguments:
    """Appends what was committed to an Iceberg or Delta table since the last run; each commit once, whatever dies."""

    source: Annotated[str, "The table that is read; for iceberg catalog.database.table."]
    kind: Annotated[SourceKind, "How it is kept."]
    target: Annotated[str, "The table: database.table, for iceberg catalog.database.table; it has the column batch too."]
    state: Annotated[str, LOCATION, "Where watermarks are kept, below _gluewright/watermarks/: s3://lake."]
    consumer: Annotated[str, "Whose watermark; other jobs that read the same table have their own."]
    location: Annotated[str, LOCATION, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept to which rows are appended."] = Kind.PARQUET
    name: Annotated[str, "Of the source in the state."] = "versions"
    changes: Annotated[bool, "Read deletes and updates too: the column change says what became of a row."] = False


def main(job: Job[Arguments]) -> None:
    """Plan, read, publish, record."""
    asked = job.arguments
    versions = IncrementalVersions(
        job.spark,
        asked.source,
        kind=asked.kind.value,
        consumer=asked.consumer,
        state=asked.state,
        name=asked.name,
        changes=asked.changes,
    )
    append_range(job, versions.batch(), target=asked.target, location=asked.location, kind=asked.catalog)


if __name__ == "__main__":
    run(main, Arguments)
