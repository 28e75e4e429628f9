"""Checks that run inside the write itself, row by row, so that a table is never published with rows that do not belong.

``raise_error`` is a native Spark expression: the first bad row fails the task, the job, and with it the write, before
anything is committed. The message carries a mark by which the failure is recognised and told as our own exception; it names
columns and never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluewright_core.errors import (
    ConcurrentUpdateError,
    GluewrightError,
    OutcomeUnknownError,
    RowsOutsidePartitionsError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
    TableMismatchError,
)
from gluewright_core.tables.interface import TableSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EMPTY_TEXT = "gluewright: empty text in a partition column"
_OUTSIDE = "gluewright: row outside the partitions to replace"


def refuse_empty_text(rows: DataFrame, spec: TableSpec) -> DataFrame:
    """Fail the write when a partition column holds an empty text, which Hive-style paths would turn into NULL.

    Args:
        rows: about to be written.
        spec: of the table.

    Returns:
        The same rows.
    """
    from pyspark.sql import functions as F  # noqa: PLC0415

    texts = [c for c in spec.partition_by if spec.schema[c].dataType.typeName() in {"string", "varchar", "char"}]
    checked = {
        column: F.when(F.col(f"`{column}`") == "", F.raise_error(F.lit(_EMPTY_TEXT))).otherwise(F.col(f"`{column}`"))
        for column in texts
    }
    return rows.withColumns(checked) if checked else rows


def refuse_outside(rows: DataFrame, inside: str) -> DataFrame:
    """Fail the write when a row does not satisfy a predicate.

    Args:
        rows: about to be written.
        inside: SQL, true for rows that belong.

    Returns:
        The same rows.
    """
    from pyspark.sql import functions as F  # noqa: PLC0415

    # A filter and not a projection: a projected column that nobody reads would be optimised away, check and all.
    return rows.where(F.when(F.expr(inside), F.lit(True)).otherwise(F.raise_error(F.lit(_OUTSIDE)).isNull()))


def explained(spec: TableSpec, error: Exception) -> GluewrightError | None:
    """Tell a failed Spark write as one of our own errors.

    Args:
        spec: of the table.
        error: what Spark raised, with the causes from the JVM in its text.

    Returns:
        Our error; None when the failure is not of the storage's or table's making and should stay as it is.
    """
    text = str(error)
    if _EMPTY_TEXT in text:
        return TableMismatchError(
            f"{spec.name}: a row has an empty text in one of the partition columns {list(spec.partition_by)}; Hive-style "
            "paths would make it NULL. Give it a value or NULL; nothing was published"
        )
    if _OUTSIDE in text:
        return RowsOutsidePartitionsError(
            f"{spec.name}: rows belong to partitions that are not among those to replace; nothing was published"
        )
    for kind, marks, advice in _STORAGE_FAILURES:
        if any(mark in text for mark in marks):
            unknown = "whether it was published is not known, run again to find out"
            is_unknown = issubclass(kind, OutcomeUnknownError)
            return kind(f"{spec.name}: {advice}; {unknown if is_unknown else 'nothing was published'}")
    return None


_STORAGE_FAILURES: tuple[tuple[type[GluewrightError], tuple[str, ...], str], ...] = (
    (
        OutcomeUnknownError,
        ("CommitStateUnknownException",),
        "the catalog did not answer to the commit",
    ),
    (
        StorageFullError,
        ("No space left on device", "Disk quota exceeded"),
        "the disk is full while writing; free space or choose another place, then run again",
    ),
    (
        StorageDeniedError,
        ("AccessDenied", "Access Denied", "Permission denied", "Read-only file system", "Mkdirs failed to create"),
        "the target may not be written, or what the rows are made from not be read; check the permissions of the folders or "
        "of the job's role",
    ),
    (
        StorageUnreachableError,
        ("Connection refused", "UnknownHostException", "connect timed out", "Unable to execute HTTP request"),
        "the storage does not answer; check endpoint, Region and network",
    ),
    (
        ConcurrentUpdateError,
        ("CommitFailedException", "ValidationException: Found conflicting", "ValidationException: Found new conflicting",
         "ValidationException: Cannot determine history", "ConcurrentAppendException", "ConcurrentDeleteReadException",
         "ConcurrentDeleteDeleteException", "ConcurrentTransactionException", "ConcurrentWriteException",
         "MetadataChangedException", "DELTA_CONCURRENT"),
        "another run changed the same partitions at the same time; run again on the table as it is now",
    ),
    (StorageError, ("NoSuchBucket",), "the bucket does not exist; check its name and Region"),
)  # fmt: skip
