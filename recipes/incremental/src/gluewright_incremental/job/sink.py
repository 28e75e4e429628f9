"""The table to which a job appends batches: each one is a partition of its own, named by the column ``batch``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.tables import ALL, Kind, Published, TableSpec, open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.job import Job
    from gluewright_incremental.job.watermark import RangeBatch

BATCH = "batch"
_COLUMN = StructField(BATCH, StringType(), True, {"comment": "The batch that read the row."})


def append_batch(
    rows: DataFrame,
    columns: StructType,
    batch: str,
    *,
    target: str,
    location: str,
    kind: Kind,
    replaces: Sequence[str] = (),
    replaces_all: bool = False,
) -> Published:
    """Publish a batch under its id, which a table takes once.

    Args:
        rows: of the batch.
        columns: of the table, without ``batch``.
        batch: the id.
        target: the table, made if it is not there.
        location: of its files.
        kind: of the table.
        replaces: earlier batches whose rows these take the place of.
        replaces_all: whether they take the place of all there are.

    Returns:
        What was published, with its count.

    Raises:
        GluewrightError: see ``publish`` of core's tables.

    Example:
        >>> append_batch(batch.read(), rows.schema, batch.id, target="lake.orders", location="s3://lake/orders",
        ...     kind=Kind.PARQUET)                                                        # doctest: +SKIP
    """
    spec = TableSpec(target, StructType([*columns, _COLUMN]), (BATCH,), location)
    partitions = [{BATCH: name} for name in (batch, *replaces)]
    table = open_table(rows.sparkSession, spec, kind)
    return table.publish(rows.withColumn(BATCH, F.lit(batch)), run=batch, replace=ALL if replaces_all else partitions)


def append_range(
    job: Job[Any], batches: AbstractContextManager[RangeBatch], *, target: str, location: str, kind: Kind
) -> None:
    """Publish the rows of a range, with the columns that they have, as a step of the job.

    Args:
        job: that runs.
        batches: of rows or versions, as their ``batch()`` gives them.
        target: the table, made if it is not there.
        location: of its files.
        kind: of the table.

    Raises:
        GluewrightError: see the batches, and ``publish`` of core's tables.
    """
    with job.step("append what is new") as step, batches as batch:
        job.log.info("%s: behind %s, up to %s", batch.id or "nothing new", batch.low, batch.high)
        if batch:
            rows = step.counting(batch.read(), "read")
            published = append_batch(rows, rows.schema, batch.id, target=target, location=location, kind=kind)
            step.add(written=published.rows)
