"""Merge changes into a published table, rewriting only the partitions that they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from gluewright_cdc_merge.expressions import checkpointed
from gluewright_cdc_merge.key_moves import Moves, carry_moves, columns_left_out, fetch_ending_rows, keys_that_end
from gluewright_cdc_merge.merge import (
    apply_changes,
    fetch_target_rows,
    join_target_state,
    latest_by_key,
    match_target,
    resolve,
    tally,
    update_tombstones,
    with_all_keys,
)
from gluewright_cdc_merge.schemas import COLUMN_SEQUENCES, key_columns, table_schema, tombstone_schema
from gluewright_cdc_merge.ties import tied_with_table
from gluewright_core.errors import GluewrightError
from gluewright_core.tables import ALL, Kind, Partition, Table, TableSpec, open_table
from gluewright_core.tables.partitions import matching, values_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

SMALL = 1_000_000
"""Up to so many keys are sent to every executor; more are shuffled, and the table with them."""
FEW = 200_000
"""Up to so many keys all that is known of them is sent to every executor; of more it is shuffled."""
_TIED = "tied"


class TiesError(GluewrightError):
    """Nothing orders changes and what is in the table, and they contradict it. The table is as it was."""


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

    def merge(
        self,
        changes: DataFrame,
        *,
        run: str,
        now: datetime,
        keep: timedelta = timedelta(days=30),
        refuse_ties: bool = False,
        tie_by: Sequence[str] = (),
    ) -> dict[str, int]:
        """Merge changes and publish the result: tombstones first, then the rows of the partitions that changed.

        Killed anywhere and run again, with the same run or another, the same rows result.

        Args:
            changes: change rows; see the module `gluewright_cdc_merge.merge`.
            run: the logical run's id.
            now: the time of the merge, in UTC.
            keep: how long a delete is remembered. A change that is older than a delete and arrives later than this after
                it brings the row back.
            refuse_ties: fail if a change has the sequence of the table's row or tombstone and contradicts it. Otherwise the
                rule of the module `gluewright_cdc_merge.merge` decides.
            tie_by: with ``refuse_ties``, SQL expressions over ``sequence`` that are equal where nothing orders two changes.

        Returns:
            The records by what became of them.

        Raises:
            TiesError: the order of a change and the table's row is not known. The table is as it was.
            ConcurrentUpdateError: another run published to the table meanwhile. No row was changed; run it again.
        """
        changes = _saying_nothing(changes, self.silent, self.absent)
        table_version, tombstones_version = self.table.begin(run), self.tombstones.begin(run)
        rows = self.table.read()
        tombstones = checkpointed(self.tombstones.read())
        moves = self._moves(changes, tombstones, rows, now) if "moved" in changes.columns else None
        found = checkpointed(latest_by_key(changes, moves))
        size, buried, truncates = _sizes(found, tombstones)
        if truncates:
            found = checkpointed(with_all_keys(found, rows, self.keys))
            size, _, _ = _sizes(found, tombstones)
        where = _sent(match_target(rows, _sent(found, size), self.keys, self.partition_by), size, FEW)
        facts = join_target_state(found, where, _sent(tombstones, buried, FEW))
        partial = "unset" in changes.columns
        done = checkpointed(resolve(facts, None, partial=partial))
        told = self._told(done, tie_by if refuse_ties else None)
        if told.needs_lookup:
            facts = done.select(facts.columns)
            old = fetch_target_rows(self._within(rows, told.needs_lookup), _sent(facts, size), self.keys)
            done = checkpointed(resolve(facts, old, partial=partial))
            told = self._told(done, tie_by if refuse_ties else None)
        if refuse_ties and told.tied:
            raise TiesError(
                f"{self.table.spec.name}: {told.tied} keys have a change with the sequence of the table's row, and another "
                "content: their order is not known. Order the feed by more columns, or let a rule decide with --ties rule"
            )
        lasting = update_tombstones(tombstones, _sent(done, size), now, moves).where(F.col("since") >= F.lit(now - keep))
        # A table takes a run once; an attempt again may have more changes, and merging them twice changes nothing.
        attempt = f"{run}-{tombstones_version}"
        self.tombstones.publish(lasting.coalesce(1), run=attempt, replace=ALL, since=tombstones_version)
        if told.changed or self.partition_by:
            result = apply_changes(self._within(rows, told.changed), _sent(done, size), self.keys)
            replaced = told.changed if self.partition_by else ALL
            self.table.publish(result, run=attempt, replace=replaced, since=table_version)
        return told.counts

    def _moves(self, changes: DataFrame, tombstones: DataFrame, rows: DataFrame, now: datetime) -> Moves:
        names = columns_left_out(changes, tombstones)
        of = checkpointed(keys_that_end(changes, names))
        of = _sent(of, of.count())
        within = rows
        if self.partition_by:
            within = self._within(rows, _partitions(match_target(rows, of, self.keys, self.partition_by)))
        return carry_moves(changes, tombstones, checkpointed(fetch_ending_rows(within, of, self.keys)), names, now)

    def _told(self, done: DataFrame, tie_by: Sequence[str] | None) -> _Told:
        """Find out in one job what became of the records, and of which partitions rows change or have to be looked at."""
        tied = F.lit(False)
        if tie_by is not None:
            tied = tied_with_table(done.select("said.*").columns, partial="columns_before" in done.columns, by=tie_by)
        columns = [f"`{name}`" for name in self.partition_by]
        was = F.struct("partition.*") if columns else F.struct()
        becomes = F.struct(*(F.col(f"new.{name}") for name in columns))
        left = F.col("exists") & F.col("outcome").isin("updated", "deleted")

        def place(what: str, partition: Column) -> Column:
            return F.struct(F.lit(what).alias("what"), partition.alias("partition"), F.lit(1).cast("long").alias("records"))

        places = F.array(
            F.when(F.col("needs_lookup"), place("needs_lookup", was)),
            F.when(left, place("changed", was)),
            F.when(F.col("new").isNotNull(), place("changed", becomes)),
            F.when(tied, place(_TIED, F.when(F.lit(False), was))),
        )
        nowhere = F.when(F.lit(False), was).alias("partition")
        records = F.transform(tally(), lambda each: F.struct(each["outcome"].alias("what"), nowhere, each["records"]))
        every = done.select(F.explode(F.concat(F.array_compact(places), records)).alias("each")).select("each.*")
        found = every.groupBy("what", "partition").agg(F.sum("records").alias("records")).collect()
        partitions = {
            what: [row["partition"].asDict() for row in found if row["what"] == what] for what in ("needs_lookup", "changed")
        }
        records_of = {row["what"]: row["records"] for row in found if row["what"] not in partitions}
        return _Told(tied=records_of.pop(_TIED, 0), counts=records_of, **partitions)

    def _within(self, rows: DataFrame, partitions: Sequence[Partition]) -> DataFrame:
        """Read these partitions only."""
        if not self.partition_by:
            return rows
        named = [values_of(self.partition_by, partition) for partition in partitions]
        return rows.where(matching(self.table.spec.schema, self.partition_by, named))


@dataclass(frozen=True)
class _Told:
    """What has to be known of the settled keys before anything is published.

    Attributes:
        tied: how many keys have a change that ties with the table's row and contradicts it.
        counts: records by outcome.
        needs_lookup: partitions with rows that have to be looked at; of an unpartitioned table one without values, if any.
        changed: partitions that lose, get or change rows, in the same way.
    """

    tied: int
    counts: dict[str, int]
    needs_lookup: list[Partition]
    changed: list[Partition]


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


def _sizes(found: DataFrame, tombstones: DataFrame) -> tuple[int, int, int]:
    """Count the keys, the tombstones, and the truncates among the keys, in one job."""
    own = found.select(F.lit(True).alias("found"), F.col("key").isNull().alias("truncate"))
    other = tombstones.select(F.lit(False).alias("found"), F.lit(False).alias("truncate"))
    counted = own.unionByName(other).agg(F.count_if("found"), F.count_if(~F.col("found")), F.count_if("truncate"))
    keys, buried, truncates = counted.collect()[0]
    return keys, buried, truncates


def _sent(rows: DataFrame, size: int, most: int = SMALL) -> DataFrame:
    return F.broadcast(rows) if size <= most else rows


def _partitions(rows: DataFrame) -> list[Partition]:
    return [row.asDict() for row in rows.select("partition.*").distinct().collect()]
