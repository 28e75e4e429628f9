"""Merge changes into a published table, rewriting only the partitions that they touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from gluewright_cdc_merge.merge import (
    COLUMN_SEQUENCES,
    Moves,
    counts,
    ending,
    key_columns,
    located,
    moved,
    newest,
    recalled,
    remembered,
    rewritten,
    settled,
    table_schema,
    tombstone_schema,
    weighed,
    with_all_keys,
)
from gluewright_core.tables import ALL, Kind, Partition, Table, TableSpec, open_table
from gluewright_core.tables.partitions import matching, values_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SMALL = 1_000_000
"""Up to so many keys are sent to every executor; more are shuffled, and the table with them."""


@dataclass(frozen=True)
class Target:
    """A table that changes are merged into. :func:`open_target` makes it.

    Attributes:
        table: current state.
        tombstones: what was deleted.
        keys: the key columns.
        partition_by: the partition columns.
        silent: the table's columns that the changes do not have any more.
        absent: what other changes had and these do not: ``unset``, ``moved``.
    """

    table: Table
    tombstones: Table
    keys: Sequence[str]
    partition_by: Sequence[str]
    silent: Sequence[StructField] = ()
    absent: Sequence[str] = ()

    def merge(self, changes: DataFrame, *, run: str, now: datetime, keep: timedelta = timedelta(days=30)) -> dict[str, int]:
        """Merge changes and publish the result: tombstones first, then the rows of the partitions that changed.

        Killed anywhere and run again, with the same run or another, the same rows result.

        Args:
            changes: change rows; see the module `gluewright_cdc_merge.merge`.
            run: the logical run's id.
            now: the time of the merge, in UTC.
            keep: how long a delete is remembered. A change that is older than a delete and arrives later than this after
                it brings the row back.

        Returns:
            The records by what became of them.

        Raises:
            ConcurrentUpdate: another run published to the table meanwhile. No row was changed; run it again.
        """
        changes = _saying_nothing(changes, self.silent, self.absent)
        table_version, tombstones_version = self.table.begin(run), self.tombstones.begin(run)
        rows, tombstones = self.table.read(), self.tombstones.read()
        with _kept() as keep_frame:
            moves = self._moves(changes, tombstones, rows, now, keep_frame) if "moved" in changes.columns else None
            found = keep_frame(newest(changes, moves))
            size, truncates = _size(found)
            if truncates:
                found = keep_frame(with_all_keys(found, rows, self.keys))
                size, _ = _size(found)
            where = located(rows, _sent(found, size), self.keys, self.partition_by)
            facts = keep_frame(weighed(found, where, tombstones))
            done = keep_frame(self._settled(facts, rows))
            counted = {row["outcome"]: row["records"] for row in counts(done).collect()}
            buried = remembered(tombstones, done, now, moves).where(F.col("since") >= F.lit(now - keep))
            # A table takes a run once; an attempt again may have more changes, and merging them twice changes nothing.
            attempt = f"{run}-{tombstones_version}"
            self.tombstones.publish(buried.coalesce(1), run=attempt, replace=ALL, since=tombstones_version)
            self._publish(rows, _sent(done, size), attempt, table_version)
        return counted

    def _moves(
        self,
        changes: DataFrame,
        tombstones: DataFrame,
        rows: DataFrame,
        now: datetime,
        keep: Callable[[DataFrame], DataFrame],
    ) -> Moves:
        dead = changes.where("op = 'delete'").select("key").distinct()
        within = rows
        if self.partition_by:
            where = located(rows, _sent(dead, dead.count()), self.keys, self.partition_by)
            within = self._within(rows, _partitions(where))
        return moved(changes, tombstones, keep(ending(within, changes, self.keys)), now, keep)

    def _settled(self, facts: DataFrame, rows: DataFrame) -> DataFrame:
        partial = "unset" in facts.columns or "columns_before" in facts.columns
        doubtful = facts.where("doubtful")
        partitions = _partitions(doubtful) if self.partition_by else []
        if not partitions and (self.partition_by or doubtful.isEmpty()):
            return settled(facts, None, partial=partial)
        within = self._within(rows, partitions) if self.partition_by else rows
        return settled(facts, recalled(within, facts, self.keys), partial=partial)

    def _publish(self, rows: DataFrame, done: DataFrame, run: str, version: str) -> None:
        changed = done.where("outcome IN ('updated', 'deleted') OR new IS NOT NULL")
        if not self.partition_by:
            if not changed.isEmpty():
                self.table.publish(rewritten(rows, done, self.keys), run=run, replace=ALL, since=version)
            return
        entered = F.struct(*(F.col(f"new.`{name}`").alias(name) for name in self.partition_by))
        left = F.when(F.col("there"), F.col("partition"))
        both = F.array(left, F.when(F.col("new").isNotNull(), entered))
        partitions = _partitions(changed.select(F.explode(F.array_compact(both)).alias("partition")))
        result = rewritten(self._within(rows, partitions), done, self.keys)
        self.table.publish(result, run=run, replace=partitions, since=version)

    def _within(self, rows: DataFrame, partitions: Sequence[Partition]) -> DataFrame:
        """Read these partitions only."""
        named = [values_of(self.partition_by, partition) for partition in partitions]
        return rows.where(matching(self.table.spec.schema, self.partition_by, named))


def open_target(
    spark: SparkSession,
    name: str,
    changes: StructType,
    *,
    kind: Kind | str = Kind.PARQUET,
    location: str = "",
    partition_by: Sequence[str] = (),
    comment: str = "",
) -> Target:
    """Open the table and its tombstones; merging creates them where they do not exist.

    Columns that the table does not have yet are added, and old rows have NULL there. Columns that the changes do not have
    any more stay: a whole row has NULL there, a partial change says nothing about them.

    Args:
        spark: the session.
        name: ``database.table``, for Iceberg ``catalog.database.table``.
        changes: the schema of the change rows.
        kind: how both tables are kept.
        location: the table's folder; tombstones are kept in ``<location>_tombstones``. Iceberg may leave it to its catalog.
        partition_by: the partition columns.
        comment: of the table.
    """
    beside = f"{location.rstrip('/')}_tombstones" if location else ""

    def opened(changes: StructType) -> tuple[Table, Table]:
        table = TableSpec(name, table_schema(changes), tuple(partition_by), location, comment)
        buried = TableSpec(f"{name}_tombstones", tombstone_schema(changes), (), beside, f"What was deleted from {name}.")
        return open_table(spark, table, kind), open_table(spark, buried, kind)

    table, tombstones = opened(changes)
    there, buried = (each.columns() or StructType() for each in (table, tombstones))
    # The Glue Data Catalog has its names in lower case.
    own = {name.lower() for name in (*table.spec.schema.names, COLUMN_SEQUENCES)}
    silent = [column for column in there if column.name.lower() not in own]
    needed = {"unset": COLUMN_SEQUENCES in there.names, "moved": "moved" in buried.names}
    absent = [name for name, is_needed in needed.items() if is_needed and name not in changes.names]
    if silent or absent:
        table, tombstones = opened(_saying_nothing(spark.createDataFrame([], changes), silent, absent).schema)
    return Target(table, tombstones, key_columns(changes), tuple(partition_by), silent, absent)


def _saying_nothing(changes: DataFrame, silent: Sequence[StructField], absent: Sequence[str]) -> DataFrame:
    """Give changes the columns that only the table has, about which they say nothing."""
    if "unset" in absent:
        changes = changes.withColumn("unset", F.lit(None).cast("array<string>"))
    if "moved" in absent:
        changes = changes.withColumn("moved", F.lit(False))
    if not silent:
        return changes
    if "unset" in changes.columns:
        names = F.array(*(F.lit(column.name) for column in silent))
        unset = F.array_union(F.coalesce("unset", F.array().cast("array<string>")), names)
        changes = changes.withColumn("unset", F.when(F.col("row").isNotNull(), unset))
    nulls = (F.lit(None).cast(column.dataType).alias(column.name) for column in silent)
    return changes.withColumn("row", F.when(F.col("row").isNotNull(), F.struct("row.*", *nulls)))


@contextmanager
def _kept() -> Iterator[Callable[[DataFrame], DataFrame]]:
    """Keep small DataFrames that are used more than once, until the end."""
    frames: list[DataFrame] = []

    def keep(frame: DataFrame) -> DataFrame:
        frames.append(frame.persist())
        return frame

    try:
        yield keep
    finally:
        # The newest first: Spark plans again what is kept and stands on something that is not kept any more.
        for frame in reversed(frames):
            frame.unpersist()


def _size(found: DataFrame) -> tuple[int, int]:
    """Count the keys and the truncates among them."""
    keys, truncates = found.agg(F.count(F.lit(1)), F.count_if(F.col("key").isNull())).collect()[0]
    return keys, truncates


def _sent(keys: DataFrame, size: int) -> DataFrame:
    return F.broadcast(keys) if size <= SMALL else keys


def _partitions(rows: DataFrame) -> list[Partition]:
    return [row.asDict() for row in rows.select("partition.*").distinct().collect()]
