"""Writing a run's rows aside, where no reader looks, and finding out which partitions they make.

A run writes to ``gluewright-runs/<table>/<run>-<random>/`` beside the table's folder. The random part keeps two attempts of
one run apart. Nothing of this is visible to a reader until it is published.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluewright_core.effects import effect
from gluewright_core.errors import RowsOutsidePartitionsError, TableMismatchError
from gluewright_core.state import Body
from gluewright_core.storage import Storage
from gluewright_core.tables.commit_state import RUNS
from gluewright_core.tables.guard import explained, refuse_empty_text
from gluewright_core.tables.interface import ALL, Partition, Published, Replace, Staging, TableSpec, arranged
from gluewright_core.tables.partitions import Values, name_of, parse_path, values_of
from gluewright_core.tables.swept import is_visible

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Staged:
    """Rows written aside.

    Attributes:
        prefix: of the attempt's files, as a key with a trailing ``/``.
        partitions: each partition that has rows, with the prefix of its files.
        rows: how many were written.
        files: how many files and bytes each partition has.
    """

    prefix: str
    partitions: dict[Values, str]
    rows: int
    files: dict[Values, tuple[int, int]]


@dataclass(frozen=True)
class Aside:
    """Rows written aside for partitions that they are to replace.

    Attributes:
        prefix: of the attempt's files, as a key with a trailing ``/``.
        rows: how many were written.
        targets: each partition to replace, with the prefix of its files; None for one that is emptied.
        whole: whether every other partition is emptied too.
        since: the table's version at the start: another run that has published the same partitions since is a conflict.
        files: how many files and bytes each partition has.
    """

    prefix: str
    rows: int
    targets: Mapping[Values, str | None]
    whole: bool
    since: str
    files: Mapping[Values, tuple[int, int]]

    def body(self) -> Body:
        """Give what :meth:`of` reads."""
        targets = [[list(values), prefix, self.files.get(values)] for values, prefix in self.targets.items()]
        return {"prefix": self.prefix, "rows": self.rows, "targets": targets, "whole": self.whole, "since": self.since}

    @classmethod
    def of(cls, body: Body) -> Aside:
        """Read what :meth:`body` gave."""
        targets = {tuple(values): prefix for values, prefix, _ in body["targets"]}
        files = {tuple(values): (files[0], files[1]) for values, _, files in body["targets"] if files}
        return cls(body["prefix"], body["rows"], targets, body["whole"], body["since"], files)

    def partitions(self, columns: Sequence[str]) -> dict[str, str]:
        """Name the partitions, each with what becomes of it: ``written`` or ``emptied``."""
        return {name_of(columns, values): "written" if prefix else "emptied" for values, prefix in self.targets.items()}


class StagedFiles(Staging):
    """Staged rows that lie aside as Parquet.

    Args:
        spark: the session.
        spec: of the table.
        storage: the folder beside the table.
        run: the run that staged.
        aside: where the rows are.
        publish: publishes them.
        discard: takes them away.
    """

    def __init__(
        self,
        spark: SparkSession,
        spec: TableSpec,
        storage: Storage,
        run: str,
        aside: Aside,
        *,
        publish: Callable[[str, Aside], Published],
        discard: Callable[[str, Aside], None],
    ) -> None:
        self.table, self.run, self.count = spec.name, run, aside.rows
        self._spark, self._spec, self._storage, self._aside = spark, spec, storage, aside
        self._publish, self._discard = publish, discard

    @property
    def rows(self) -> DataFrame:  # noqa: D102
        return read_aside(self._spark, self._spec, self._storage, self._aside)

    @property
    def partitions(self) -> Mapping[str, str]:  # noqa: D102
        return self._aside.partitions(self._spec.partition_by)

    def publish(self) -> Published:  # noqa: D102
        return self._publish(self.run, self._aside)

    def discard(self) -> None:  # noqa: D102
        self._discard(self.run, self._aside)


def set_aside(
    rows: DataFrame,
    spec: TableSpec,
    storage: Storage,
    folder: str,
    run: str,
    *,
    replace: Replace | Sequence[Partition],
    since: str,
) -> Aside:
    """Write a run's rows aside for the partitions that they are to replace.

    Args:
        rows: with the table's columns.
        spec: of the table.
        storage: the folder beside the table.
        folder: the table's folder name.
        run: the run's id.
        replace: which partitions.
        since: the table's version at the run's start.

    Raises:
        RowsOutsidePartitionsError: rows belong to other partitions. Nothing is left of them.
        TableMismatchError: the rows do not fit the table, or a partition is not named by the partition columns.
    """
    staged = write_aside(rows, spec, storage, folder, run)
    try:
        wanted = targets(staged, spec, replace)
    except (RowsOutsidePartitionsError, TableMismatchError):
        discard(storage, staged.prefix)
        raise
    return Aside(staged.prefix, staged.rows, wanted, replace is ALL, since, staged.files)


def read_aside(spark: SparkSession, spec: TableSpec, storage: Storage, aside: Aside) -> DataFrame:
    """Read rows that were written aside; exactly these files or none: one that is taken away meanwhile fails the reader.

    Args:
        spark: the session.
        spec: of the table.
        storage: the folder beside the table.
        aside: where the rows are.
    """
    found = [storage.uri_of(found.key) for found in storage.list_objects(aside.prefix) if found.key.endswith(".parquet")]
    if not found:
        return spark.createDataFrame([], spec.row_schema)
    rows = spark.read.schema(spec.schema).option("basePath", storage.uri_of(aside.prefix.rstrip("/"))).parquet(*found)
    return rows.select([f"`{name}`" for name in spec.schema.names])


def write_aside(rows: DataFrame, spec: TableSpec, storage: Storage, folder: str, run: str) -> Staged:
    """Write a run's rows aside as Parquet, laid out by partition.

    Args:
        rows: with the table's columns.
        spec: of the table.
        storage: the folder beside the table.
        folder: the table's folder name.
        run: the run's id.

    Returns:
        What was written.

    Raises:
        StorageError: the target cannot be written, is full or does not answer.
        TableMismatchError: the rows do not fit the table.
    """
    from pyspark.sql import Observation  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: PLC0415

    prefix = f"{RUNS}/{folder}/{run}-{secrets.token_hex(4)}/"
    uri = storage.uri_of(prefix.rstrip("/"))
    written = Observation()
    checked = refuse_empty_text(arranged(rows, spec), spec).observe(written, F.count(F.lit(1)).alias("rows"))
    writer = checked.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    if spec.partition_by:
        writer = writer.partitionBy(*spec.partition_by)
    with effect("spark.write", uri):
        try:
            writer.parquet(uri)
        except Exception as error:
            discard(storage, prefix)
            if told := explained(spec, error):
                raise told from error
            require_writable(storage, prefix)
            raise
    partitions, files = _written(storage, prefix, spec.partition_by)
    return Staged(prefix, partitions, int(written.get["rows"]), files)


def targets(staged: Staged, spec: TableSpec, replace: Replace | Sequence[Partition]) -> dict[Values, str | None]:
    """Say where the files of each partition that is replaced are now; None for one that is emptied.

    Raises:
        RowsOutsidePartitionsError: rows were written for partitions that are not replaced.
        TableMismatchError: a partition is not named by the partition columns.
    """
    found: dict[Values, str | None] = dict(staged.partitions)
    if isinstance(replace, Replace):
        return found
    wanted = [values_of(spec.partition_by, partition) for partition in replace]
    outside = [name_of(spec.partition_by, values) for values in found if values not in wanted]
    if outside:
        raise RowsOutsidePartitionsError(
            f"{spec.name}: {len(outside)} partitions have rows and are not among those to replace, the first: "
            f"{outside[0]}; nothing was published"
        )
    return {values: found.get(values) for values in wanted}


def discard(storage: Storage, prefix: str) -> None:
    """Delete what an attempt wrote aside and never published."""
    storage.delete([found.key for found in storage.list_objects(prefix)])


def require_writable(storage: Storage, prefix: str) -> None:
    """Find out whether a write that failed without a plain reason failed because the target cannot be written.

    Spark's own message for a read-only folder and no rows is only that a folder of its committer does not exist.

    Raises:
        StorageError: the target cannot be written, is full or does not answer.
    """
    storage.write(f"{prefix}written-to-see-whether-it-can-be", b"")
    discard(storage, prefix)


def _written(
    storage: Storage, prefix: str, columns: Sequence[str]
) -> tuple[dict[Values, str], dict[Values, tuple[int, int]]]:
    """List the partitions that were written, with the prefix of each, and with its files and bytes."""
    partitions: dict[Values, str] = {} if columns else {(): prefix}
    files: dict[Values, tuple[int, int]] = {}
    for found in storage.list_objects(prefix):
        below = found.key.removeprefix(prefix)
        if not is_visible(below):
            continue
        values = parse_path(columns, below) if columns else ()
        folder = "/".join(below.split("/")[: len(columns)])
        partitions.setdefault(values, f"{prefix}{folder}/")
        count, size = files.get(values, (0, 0))
        files[values] = (count + 1, size + found.size)
    return partitions, files
