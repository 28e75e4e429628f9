"""What is new in an Iceberg or Delta table, by its own versions: the same batches, from one snapshot or version to another.

The first batch reads the table as it is, every later one what was committed since. An expired or rolled back version is an
error that says so: what happened in between cannot be told any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pyspark.sql import functions as F

from gluewright_core.errors import GluewrightError
from gluewright_core.leases import utc_now
from gluewright_core.storage import Storage, open_storage
from gluewright_core.tables.sql import identifier
from gluewright_incremental.job.watermark import Planned, Range, RangeBatch, Watermark

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CHANGE = "change"
"""The column that says what became of a row: ``insert``, ``delete``, ``update_before``, ``update_after``."""
_COMPACTION = "replace"


class InvalidVersionsError(GluewrightError):
    """What was committed to a table since the last batch cannot be read as asked. Nothing was changed."""


class IncrementalVersions:
    """Reads what was committed to a table since the last batch.

    Args:
        spark: the session, with the format's extension and catalog.
        table: its name; for Iceberg ``catalog.database.table``.
        kind: of the table.
        consumer: who reads; every consumer has a watermark of its own.
        state: where watermarks are kept (below ``_gluewright/watermarks/``): a URI, or a storage.
        name: of the table in the state.
        changes: read deletes and updates too, in the column ``change``; a Delta table needs the property
            ``delta.enableChangeDataFeed``. Without it only rows that were added are read, and a commit that took rows away
            is an error.
        lease_seconds: how long a run that died keeps others out; by default two minutes.
        patience: how long to wait for another run; by default a little longer than that.
        clock: tells the time, UTC.

    Example:
        >>> versions = IncrementalVersions(spark, "ice.lake.orders", kind="iceberg", consumer="mart",    # doctest: +SKIP
        ...     state="s3://lake")
        >>> with versions.batch() as batch:                                                              # doctest: +SKIP
        ...     if batch:
        ...         table.publish(batch.read().withColumn("batch", F.lit(batch.id)), run=batch.id, ...)
    """

    def __init__(
        self,
        spark: SparkSession,
        table: str,
        *,
        kind: Literal["iceberg", "delta"],
        consumer: str,
        state: str | Storage,
        name: str = "versions",
        changes: bool = False,
        lease_seconds: float | None = None,
        patience: float | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._spark = spark
        self._table = table
        self._changes = changes
        self._source: _Iceberg | _Delta = _Iceberg(spark, table) if kind == "iceberg" else _Delta(spark, table)
        state = open_storage(state) if isinstance(state, str) else state
        self.watermark = Watermark(
            state, consumer, name, [kind, table], values=1, lease_seconds=lease_seconds, patience=patience, clock=clock
        )

    @contextmanager
    def batch(self) -> Iterator[RangeBatch]:
        """Plan a batch, or take up the one that an earlier run left open, and record it when the body ends.

        Yields:
            The batch; its ends are a snapshot or a version. An empty one writes nothing.

        Raises:
            ConcurrentUpdateError: another run works on the same table for the same consumer.
            InvalidVersionsError: the last batch's version is gone, or a commit took rows away and ``changes`` is off.
            InvalidWatermarkError: the watermark is of another table.
        """
        with self.watermark.batch(self._planned, self._rows) as found:
            yield found

    def _planned(self, low: list[str] | None, _: int, __: str) -> Planned | None:
        high = self._source.newest()
        if high is None or (low is not None and low[0] == high):
            return None
        if low is not None:
            self._source.require_readable(low[0], high, changes=self._changes)
        return Planned([high])

    def _rows(self, range_: Range) -> DataFrame:
        if range_.low is None:
            rows = self._source.at(range_.high[0])
            return rows.withColumn(CHANGE, F.lit("insert")) if self._changes else rows
        return self._source.between(range_.low[0], range_.high[0], changes=self._changes)


class _Iceberg:
    def __init__(self, spark: SparkSession, table: str) -> None:
        self._spark = spark
        self._table = table

    def newest(self) -> str | None:
        current = self._spark.sql(f"SELECT snapshot_id FROM {identifier(self._table)}.refs WHERE name = 'main'").collect()
        return str(current[0][0]) if current else None

    def require_readable(self, low: str, high: str, *, changes: bool) -> None:
        snapshots = self._spark.table(f"{self._table}.snapshots").select("snapshot_id", "parent_id", "operation").collect()
        by_id = {str(each[0]): each for each in snapshots}
        at: str | None = high
        while at is not None and at != low:
            found = by_id.get(at)
            if found is None:
                break
            if not changes and found["operation"] not in {"append", _COMPACTION}:
                raise InvalidVersionsError(
                    f"{self._table}: snapshot {at} is of kind {found['operation']}, it may have taken rows away; read it "
                    "with changes=True, or publish the whole table anew and set the watermark to its snapshot"
                )
            at = None if found["parent_id"] is None else str(found["parent_id"])
        if at != low:
            raise InvalidVersionsError(
                f"{self._table}: snapshot {low}, where the last batch ended, has expired or was rolled back, so what "
                "changed since cannot be told; publish the whole table anew and set the watermark to its snapshot"
            )

    def at(self, snapshot: str) -> DataFrame:
        return self._spark.read.option("versionAsOf", snapshot).table(self._table)

    def between(self, low: str, high: str, *, changes: bool) -> DataFrame:
        if not changes:
            reader = self._spark.read.format("iceberg").option("start-snapshot-id", low).option("end-snapshot-id", high)
            return reader.load(self._table)
        catalog, _, name = self._table.partition(".")
        view = f"gluewright_changes_{secrets.token_hex(6)}"
        options = f"map('start-snapshot-id', '{low}', 'end-snapshot-id', '{high}')"
        self._spark.sql(
            f"CALL {identifier(catalog)}.system.create_changelog_view("
            f"table => '{name}', changelog_view => '{view}', options => {options})"
        )
        rows = self._spark.table(view)
        return _with_change(rows, F.lower("_change_type")).drop("_change_ordinal", "_commit_snapshot_id")


class _Delta:
    def __init__(self, spark: SparkSession, table: str) -> None:
        self._spark = spark
        self._table = table

    def newest(self) -> str | None:
        return str(self._spark.sql(f"DESCRIBE HISTORY {identifier(self._table)} LIMIT 1").collect()[0]["version"])

    def require_readable(self, low: str, high: str, *, changes: bool) -> None:
        properties = {
            row["key"]: row["value"] for row in self._spark.sql(f"SHOW TBLPROPERTIES {identifier(self._table)}").collect()
        }
        if properties.get("delta.enableChangeDataFeed", "false") != "true":
            raise InvalidVersionsError(
                f"{self._table} has no change data feed; set the table property delta.enableChangeDataFeed = true, publish "
                "the whole table anew and set the watermark to its version"
            )
        history = self._spark.sql(f"DESCRIBE HISTORY {identifier(self._table)}").select("version").collect()
        if (first := int(low) + 1) not in {row["version"] for row in history} or int(low) > int(high):
            raise InvalidVersionsError(
                f"{self._table}: version {first} is not in its history any more, so what changed since the last batch "
                "cannot be told; publish the whole table anew and set the watermark to its version"
            )
        if not changes and (taken := self._feed(low, high).where("_change_type != 'insert'").limit(1).collect()):
            raise InvalidVersionsError(
                f"{self._table}: version {taken[0]['_commit_version']} has a row of kind {taken[0]['_change_type']}; "
                "read it with changes=True, or publish the whole table anew and set the watermark to its version"
            )

    def at(self, version: str) -> DataFrame:
        return self._spark.read.option("versionAsOf", version).table(self._table)

    def between(self, low: str, high: str, *, changes: bool) -> DataFrame:
        kinds = F.regexp_replace(F.regexp_replace("_change_type", "preimage", "before"), "postimage", "after")
        rows = _with_change(self._feed(low, high), kinds).drop("_commit_version", "_commit_timestamp")
        return rows if changes else rows.drop(CHANGE)

    def _feed(self, low: str, high: str) -> DataFrame:
        reader = self._spark.read.option("readChangeFeed", "true").option("startingVersion", int(low) + 1)
        return reader.option("endingVersion", high).table(self._table)


def _with_change(rows: DataFrame, kind: Column) -> DataFrame:
    return rows.withColumn(CHANGE, kind).drop("_change_type")
