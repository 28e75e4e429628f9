"""Append what is new in a table of a database to a table of the lake, as a job: no code needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job, run
from gluewright_core.locations import LOCATION
from gluewright_core.secret import Secret
from gluewright_core.tables import Kind
from gluewright_incremental.job.rows import IncrementalRows
from gluewright_incremental.job.sink import append_range

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class NullCursor(Enum):
    """What becomes of rows without a value in a cursor column."""

    fail = "fail"
    ignore = "ignore"


class AmbiguousLagError(GluewrightError):
    """A lag was given as a time and as a number. Nothing was read."""


@dataclass(frozen=True)
class Arguments:
    """Appends what is new in a table of a database, by columns that only grow; each row once, whatever dies."""

    url: Annotated[str, "Of the database: jdbc:postgresql://host:5432/shop."]
    table: Annotated[str, "Its table, or a query in brackets with an alias."]
    cursor: Annotated[list[str], "The columns that only grow, the most important first."]
    target: Annotated[str, "The table: database.table, for iceberg catalog.database.table; it has the column batch too."]
    state: Annotated[str, LOCATION, "Where watermarks are kept, below _gluewright/watermarks/: s3://lake."]
    consumer: Annotated[str, "Whose watermark; other jobs that read the same table have their own."]
    user: Annotated[str, "Who logs in."] = ""
    password: Annotated[Secret | None, "Their password."] = None
    options: Annotated[dict[str, str], "More options of Spark's JDBC reader, such as driver."] = field(default_factory=dict)
    location: Annotated[str, LOCATION, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    name: Annotated[str, "Of the source in the state."] = "rows"
    key: Annotated[list[str], "The columns that identify a row; a lag needs them."] = field(default_factory=list)
    lag_seconds: Annotated[int | None, "How far to look back where the first cursor column is a time."] = None
    lag: Annotated[Decimal | None, "How far to look back where it is a number."] = None
    null_cursor: Annotated[NullCursor, "What becomes of rows without a value in a cursor column."] = NullCursor.fail


def main(job: Job[Arguments]) -> None:
    """Plan, read, publish, record."""
    asked = job.arguments
    rows = IncrementalRows(
        lambda sql: query(job, sql),
        asked.table,
        cursor=asked.cursor,
        consumer=asked.consumer,
        state=asked.state,
        name=asked.name,
        lag=lag_of(asked),
        key=asked.key,
        null_cursor=asked.null_cursor.value,
    )
    append_range(job, rows.batch(), target=asked.target, location=asked.location, kind=asked.catalog)


def query(job: Job[Arguments], sql: str) -> DataFrame:
    """Run a SELECT in the database."""
    asked = job.arguments
    reader = job.spark.read.format("jdbc").options(**{"url": asked.url, "query": sql, **asked.options})
    if asked.user:
        reader = reader.option("user", asked.user)
    # Spark redacts this option wherever it shows options.
    return (reader.option("password", asked.password.reveal()) if asked.password else reader).load()


def lag_of(asked: Arguments) -> timedelta | Decimal | None:
    """Tell how far to look back."""
    if asked.lag_seconds is not None and asked.lag is not None:
        raise AmbiguousLagError("give --lag_seconds if the first cursor column is a time, --lag if it is a number, not both")
    return asked.lag if asked.lag_seconds is None else timedelta(seconds=asked.lag_seconds)


if __name__ == "__main__":
    run(main, Arguments)
