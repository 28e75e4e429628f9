"""Iceberg: one snapshot a publish, with the run's id in the snapshot's summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import ConcurrentUpdate, TableUnsupported
from gluewright_core.tables.guard import refuse_outside
from gluewright_core.tables.interface import TOUCHED, Partition, Published, Replace, arranged
from gluewright_core.tables.managed import ManagedTable
from gluewright_core.tables.partitions import matching, values_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriterV2

RUN = "gluewright.run"
UNDONE = "gluewright.undone"


class IcebergTable(ManagedTable):
    """An Iceberg table, partitioned by columns as they are (identity transforms).

    A publish is one overwrite commit under serializable isolation, checked from the snapshot that was current when it began
    (Apache Iceberg documentation, "Spark Writes"). Iceberg accepts rows outside an overwrite's filter and would leave them
    beside what is there; they are refused here. A run is recognised by the snapshots that are still kept.

    Args:
        spark: the session, with an Iceberg catalog.
        spec: the table; named ``catalog.database.table``.
    """

    using = "iceberg"

    def begin(self, run: str) -> str:  # noqa: D102
        return str(self._current() or "") if self._evolved() else ""

    def publish(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], since: str | None = None
    ) -> Published:
        rows = arranged(rows, self.spec)
        self._create()
        if done := self._snapshot_of(run):
            return self._published(run, done, repeated=True)
        self._refuse_later(run, since)
        inside = "true"
        if not isinstance(replace, Replace):
            wanted = [values_of(self.spec.partition_by, partition) for partition in replace]
            inside = matching(self.spec.schema, self.spec.partition_by, wanted)
            rows = refuse_outside(rows, inside)
        self._commit(rows, inside, {RUN: run}, dynamic=replace is TOUCHED and bool(self.spec.partition_by))
        return self._published(run, self._snapshot_of(run) or {})

    def undo(self, run: str) -> Published:  # noqa: D102
        done = self._snapshot_of(run) if self.exists() else None
        if done is None:
            raise TableUnsupported(
                f"{self.spec.name}: run {run} has not published here, was undone, or its snapshot has expired"
            )
        if done["snapshot_id"] != self._current():
            raise ConcurrentUpdate(f"{self.spec.name} was changed after run {run} published; undo the later change first")
        if done["parent_id"] is None:
            empty = self._spark.createDataFrame([], self.spec.row_schema)
            self._commit(empty, "true", {UNDONE: run}, dynamic=False)
        else:
            self._roll_back(done["snapshot_id"], done["parent_id"])
        return Published(self.spec.name, run, 0, {})

    def _roll_back(self, snapshot: int, parent: int) -> None:
        """Make the parent current, if the snapshot still is: the procedure of this name would drop a commit in between."""
        jvm: Any = self._spark._jvm
        operations = self._loaded().operations()
        with self._committing():
            base = operations.refresh()
            if base.currentSnapshot().snapshotId() != snapshot:
                raise ConcurrentUpdate(f"{self.spec.name} was changed while it was undone; undo the later change first")
            back = jvm.org.apache.iceberg.TableMetadata.buildFrom(base).setBranchSnapshot(parent, "main").build()
            operations.commit(base, back)  # refused when another commit was first

    def _commit(self, rows: DataFrame, inside: str, properties: dict[str, str], *, dynamic: bool) -> None:
        from pyspark.sql import functions as F  # noqa: PLC0415

        writer: DataFrameWriterV2 = rows.writeTo(self.spec.name).option("isolation-level", "serializable")
        if current := self._current():
            writer = writer.option("validate-from-snapshot-id", str(current))
        for key, value in properties.items():
            writer = writer.option(f"snapshot-property.{key}", value)
        with self._committing():
            if dynamic:
                writer.overwritePartitions()
            else:
                writer.overwrite(F.expr(inside))

    def _loaded(self) -> Any:
        """Load the table as it is now; a metadata table of SQL would take a Spark job for each look."""
        jvm: Any = self._spark._jvm
        jspark: Any = self._spark._jsparkSession  # type: ignore[attr-defined,unused-ignore]
        loaded = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(jspark, self._name)
        loaded.refresh()
        return loaded

    def _current(self) -> int | None:
        snapshot = self._loaded().currentSnapshot()
        return int(snapshot.snapshotId()) if snapshot else None

    def _snapshot_of(self, run: str) -> dict[str, Any] | None:
        """Find the run's snapshot among the ancestors of the current one; None when it was taken back."""
        table = self._loaded()
        snapshot = table.currentSnapshot()
        while snapshot is not None:
            summary, parent = snapshot.summary(), snapshot.parentId()
            if summary.get(UNDONE) == run:
                return None
            if summary.get(RUN) == run:
                added = int(summary.get("added-records") or 0)
                return {"snapshot_id": snapshot.snapshotId(), "parent_id": parent, "added": added}
            snapshot = None if parent is None else table.snapshot(parent)  # None when it has expired
        return None

    def _published(self, run: str, snapshot: dict[str, Any], *, repeated: bool = False) -> Published:
        return Published(self.spec.name, run, snapshot.get("added", 0), {}, repeated)
