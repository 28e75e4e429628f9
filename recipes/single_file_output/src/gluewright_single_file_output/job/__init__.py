"""Write a table, or what a query selects, as one file or one for each group, as a job: no code needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from gluewright_core.effects import effect
from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job
from gluewright_core.locations import LOCATION
from gluewright_single_file_output.single_file import (
    Csv,
    Format,
    JsonLines,
    SingleFile,
    SingleFileError,
    format_of,
    named,
    write_file_per_group,
    write_single_file,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Existing(Enum):
    """What becomes of a file of that name."""

    overwrite = "overwrite"
    refuse = "refuse"
    keep_version = "keep_version"


class NotWrittenError(GluewrightError):
    """The file was not written."""


@dataclass(frozen=True)
class Arguments:
    """Writes a table, or what a query selects, as one file or one for each group, each with a control file beside it."""

    source: Annotated[str, "A table such as database.table, or a query that begins with SELECT or WITH."]
    target: Annotated[
        str, LOCATION, "The file, such as s3://bucket/exports/{as_of:%Y-%m}/on_time.csv.gz; its ending says the format."
    ]
    as_of: Annotated[date | None, "The day that {as_of} in the name stands for."] = None
    values: Annotated[dict[str, str], "More values for the name."] = field(default_factory=dict)
    by: Annotated[list[str], "Columns: a file for each group of rows that agree in them, which the name has in braces."] = (
        field(default_factory=list)
    )
    without_by: Annotated[bool, "Leave the columns of --by out of the files."] = False
    order_by: Annotated[list[str], "The columns to sort by; ties by all others."] = field(default_factory=list)
    existing: Annotated[Existing, "What becomes of a file of that name."] = Existing.overwrite
    staging: Annotated[
        str | None, LOCATION, "Where parts wait; by default _gluewright/ in the bucket or a hidden folder."
    ] = None
    sha256: Annotated[bool, "Compute the file's digest; on S3 the driver reads it once, as a stream."] = True
    separator: Annotated[str, "csv: between values; by default what the ending says."] = ""
    header: Annotated[bool, "csv: whether the first line has the names."] = True
    quote_all: Annotated[bool, "csv: quote every value."] = False
    null: Annotated[str, "csv: what stands for NULL."] = ""
    bom: Annotated[bool, "csv: begin with a byte order mark, for Excel."] = False
    nulls: Annotated[bool, "JSON lines: write NULL as null, or leave it out."] = True


def main(job: Job[Arguments]) -> None:
    """Read, write."""
    with job.step("write") as step:
        try:
            rows = load_rows(job)
            files = save_files(rows, job) if job.arguments.by else [save_file(rows, job)]
        except SingleFileError as error:
            raise NotWrittenError("; ".join([str(error), *getattr(error, "__notes__", [])])) from error
        step.add(written=sum(file.rows for file in files))
        for file in files:
            job.log.info("wrote %s: %d rows, %d bytes, sha256 %s", file.uri, file.rows, file.bytes, file.sha256)


def load_rows(job: Job[Arguments]) -> DataFrame:
    """Read the table, or what the query selects."""
    source = job.arguments.source
    is_query = source.split(maxsplit=1)[0].lower() in {"select", "with"} if source.strip() else False
    return job.spark.sql(source) if is_query else job.spark.table(source)


def save_file(rows: DataFrame, job: Job[Arguments]) -> SingleFile:
    """Write the rows under the name of this run."""
    asked = job.arguments
    target = named(asked.target, **values_of(job))
    return write_single_file(
        rows,
        target,
        format=dialect(target, asked),
        order_by=asked.order_by,
        existing=asked.existing.value,
        run=job.run.id,
        staging=asked.staging,
        sha256=asked.sha256,
        effect=effect,
    )


def save_files(rows: DataFrame, job: Job[Arguments]) -> list[SingleFile]:
    """Write a file for each group, under the names of this run."""
    asked = job.arguments
    return write_file_per_group(
        rows,
        asked.target,
        by=asked.by,
        values=values_of(job),
        without=asked.without_by,
        format=dialect(asked.target, asked),
        order_by=asked.order_by,
        existing=asked.existing.value,
        run=job.run.id,
        staging=asked.staging,
        sha256=asked.sha256,
        effect=effect,
    )


def values_of(job: Job[Arguments]) -> dict[str, object]:
    """Give the values that the name may use."""
    known: dict[str, object] = {**job.arguments.values, "run_id": job.run.id}
    return known if job.arguments.as_of is None else known | {"as_of": job.arguments.as_of}


def dialect(target: str, asked: Arguments) -> Format:
    """Tell the format by the name, and how it is spoken by the arguments."""
    found = format_of(target)
    if isinstance(found, Csv):
        separator = asked.separator or found.separator
        return Csv(separator, header=asked.header, quote_all=asked.quote_all, null=asked.null, bom=asked.bom)
    return JsonLines(nulls=asked.nulls) if isinstance(found, JsonLines) else found
