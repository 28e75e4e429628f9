"""Append what is new in a folder to a table, each batch into a partition of its own, as a job: no code needed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job
from gluewright_core.locations import LOCATION
from gluewright_core.schema.files import load_contract
from gluewright_core.schema.types import parse_fields
from gluewright_core.tables import Kind
from gluewright_incremental.job.incremental import Batch, Incremental
from gluewright_incremental.job.notifications import ObjectQueue
from gluewright_incremental.job.sink import append_batch
from gluewright_incremental.ledger import IncrementalError, Limits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType


class Format(Enum):
    """What the objects hold."""

    parquet = "parquet"
    csv = "csv"
    json = "json"


class Rewritten(Enum):
    """What becomes of objects that have another content than when they were read."""

    again = "again"
    ignore = "ignore"
    fail = "fail"


class Gone(Enum):
    """What becomes of a run when objects that were read are not there any more."""

    fail = "fail"
    ignore = "ignore"


class NothingReadError(GluewrightError):
    """The batch was refused; neither the table nor the ledger changed."""


@dataclass(frozen=True)
class Arguments:
    """Appends what is new in a folder to a table; each object once, whatever dies."""

    source: Annotated[str, LOCATION, "The folder of the objects."]
    format: Annotated[Format, "What they hold."]
    columns: Annotated[str, "Their columns, folders' too: 'id bigint, dt date', or the path of a contract (.yaml, .json)."]
    target: Annotated[str, "The table: database.table, for iceberg catalog.database.table; it has the column batch too."]
    state: Annotated[str, LOCATION, "Where ledgers are kept, below _gluewright/ledgers/: s3://lake."]
    consumer: Annotated[str, "Whose ledger; other jobs that read the same source have their own."]
    location: Annotated[str, LOCATION, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    options: Annotated[dict[str, str], "More options of Spark's reader."] = field(default_factory=dict)
    name: Annotated[str, "Of the source in the ledger."] = "source"
    depth: Annotated[int, "How many folders of a key make its prefix."] = 1
    close_after: Annotated[int, "A prefix is closed when so many batches had nothing new for it."] = 10
    audit_every: Annotated[int, "Closed prefixes are listed in one of so many batches."] = 32
    rewritten: Annotated[Rewritten, "What becomes of objects with another content."] = Rewritten.again
    gone: Annotated[Gone, "What becomes of a run when objects are gone."] = Gone.fail
    max_files: Annotated[int | None, "At most so many objects."] = None
    max_bytes: Annotated[int | None, "At most so many bytes, but always one object."] = None
    from_: Annotated[str, "Only prefixes from this one on, such as dt=2013-02-01."] = ""
    to: Annotated[str, "Only prefixes up to this one."] = ""
    full: Annotated[bool, "List everything."] = False
    queue: Annotated[str, "URL of the SQS queue that S3 notifies: it takes the place of listing, unless full."] = ""
    dry_run: Annotated[bool, "Only tell what would be read."] = False


def main(job: Job[Arguments]) -> None:
    """Plan, read, publish, record."""
    incremental = open_source(job)
    asked = job.arguments
    try:
        limits = Limits(asked.max_files, asked.max_bytes, asked.from_, asked.to)
        if asked.dry_run:
            tell(job, incremental.plan(limits, full=asked.full))
            return
        with job.step("append what is new") as step, next_batch(incremental, limits, asked) as batch:
            tell(job, batch)
            if batch:
                published = append_batch(
                    step.counting(load_rows(batch, job), "read"),
                    columns_of(asked),
                    batch.id,
                    target=asked.target,
                    location=asked.location,
                    kind=asked.catalog,
                    replaces=batch.replaces,
                    replaces_all=batch.replaces_all,
                )
                step.add(written=published.rows)
    except IncrementalError as error:
        raise NothingReadError(str(error)) from error


def open_source(job: Job[Arguments]) -> Incremental:
    """Open the source with the ledger of this consumer."""
    asked = job.arguments
    try:
        return Incremental(
            asked.source,
            consumer=asked.consumer,
            state=asked.state,
            name=asked.name,
            depth=asked.depth,
            close_after=asked.close_after,
            audit_every=asked.audit_every,
            rewritten=asked.rewritten.value,
            gone=asked.gone.value,
            holder=job.run.id,
        )
    except IncrementalError as error:
        raise NothingReadError(str(error)) from error


def next_batch(incremental: Incremental, limits: Limits, asked: Arguments) -> AbstractContextManager[Batch]:
    """List what is new, or hear of it."""
    if asked.queue and not asked.full:
        return incremental.notified(ObjectQueue(asked.queue), limits)
    return incremental.batch(limits, full=asked.full)


def load_rows(batch: Batch, job: Job[Arguments]) -> DataFrame:
    """Read the objects of the batch. A record that does not fit the columns fails the run: none is lost silently."""
    strict = {
        Format.csv: {"header": "true", "enforceSchema": "false", "mode": "FAILFAST"},
        Format.json: {"mode": "FAILFAST"},
        Format.parquet: {},
    }
    asked = job.arguments
    return batch.read(job.spark, asked.format.value, columns_of(asked), **{**strict[asked.format], **asked.options})


def columns_of(asked: Arguments) -> StructType:
    """Tell the columns of the objects."""
    if Path(asked.columns).suffix in {".yaml", ".yml", ".json"}:
        return load_contract(asked.columns).struct
    return parse_fields(asked.columns)


def tell(job: Job[Arguments], batch: Batch) -> None:
    """Log what is read, and what comes late."""
    size = f"{len(batch.objects):,} objects, {batch.bytes:,} bytes"
    again = f", {batch.rewritten} with another content than before" if batch.rewritten else ""
    job.log.info("%s%s: %s%s", "again " if batch.replayed else "", batch.id or "new", size, again)
    for each in batch.late:
        job.log.warning("late: %s", each["prefix"], extra={"late": dict(each)})
