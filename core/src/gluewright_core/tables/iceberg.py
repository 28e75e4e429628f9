"""Iceberg: one snapshot a publish, with the run's id in the snapshot's summary."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError, OutcomeUnknownError, UnsupportedTableError
from gluewright_core.tables.evolving import filled
from gluewright_core.tables.guard import refuse_outside
from gluewright_core.tables.interface import (
    ALL,
    TOUCHED,
    Partition,
    Published,
    Replace,
    Staging,
    arranged,
    require_unpublished,
)
from gluewright_core.tables.managed import ManagedTable
from gluewright_core.tables.partitions import Values, matching, name_of, value_text, values_of
from gluewright_core.tables.sql import quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriterV2

RUN = "gluewright.run"
UNDONE = "gluewright.undone"
STAGED = "gluewright.staged"


def _branch_at(table: Any, branch: str, since: str) -> None:
    manage = table.manageSnapshots()
    (manage.createBranch(branch, int(since)) if since else manage.createBranch(branch)).commit()


def branch_of(run: str) -> str:
    """Name the branch that holds what a run has staged."""
    return f"gluewright_{run}"


class StagedBranch(Staging):
    """Staged rows of an Iceberg table: the newest snapshot of a branch.

    Args:
        table: the table.
        run: the run that staged.
        snapshot: Iceberg's snapshot.
        told: what was noted with it: which partitions are replaced, and the main branch's snapshot at the start.
    """

    def __init__(self, table: IcebergTable, run: str, snapshot: Any, told: dict[str, Any]) -> None:
        self.table, self.run = table.spec.name, run
        self.count = int(snapshot.summary().get("added-records") or 0)
        self.snapshot, self.since = int(snapshot.snapshotId()), str(told["since"])
        self.replace: Replace | list[Values] = (
            Replace(told["replace"]) if isinstance(told["replace"], str) else [tuple(each) for each in told["replace"]]
        )
        self._table = table

    @property
    def rows(self) -> DataFrame:  # noqa: D102
        return self._table._staged_rows(self)

    @property
    def partitions(self) -> Mapping[str, str]:  # noqa: D102
        return self._table._staged_partitions(self)

    def publish(self) -> Published:  # noqa: D102
        return self._table._publish_staged(self.run, self)

    def discard(self) -> None:  # noqa: D102
        self._table._drop(self.run, self.snapshot)


class IcebergTable(ManagedTable):
    """An Iceberg table, partitioned by columns as they are (identity transforms).

    A publish is one overwrite commit under serializable isolation, checked from the snapshot that was current when it began
    (Apache Iceberg documentation, "Spark Writes"). Iceberg accepts rows outside an overwrite's filter and would leave them
    beside what is there; they are refused here. A run is recognised by the snapshots that are still kept.

    Staged rows are a snapshot on a branch of their own. Publishing commits the same data files to the main branch, as
    cherry-picking does (Apache Iceberg documentation, "Branching and Tagging"), so nothing is written twice.

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
        inside = self._inside(self._wanted(replace))
        try:
            if since is None:
                self._commit(rows, inside, {RUN: run})
            else:
                self._commit_onto(since, rows, inside, run)
        except OutcomeUnknownError:
            if not self._snapshot_of(run):
                raise
        return self._published(run, self._snapshot_of(run) or {})

    def published(self, run: str) -> Published | None:  # noqa: D102
        done = self._snapshot_of(run) if self.exists() else None
        return self._published(run, done) if done else None

    def stage(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], began: str | None = None
    ) -> Staging:
        rows = arranged(rows, self.spec)
        self._create()
        require_unpublished(self, run)
        self._drop(run)
        wanted = self._wanted(replace)
        told = wanted.value if isinstance(wanted, Replace) else wanted
        since = str(self._current() or "") if began is None else began
        self._change(lambda table: table.manageSnapshots().createBranch(branch_of(run)).commit())
        marks = {STAGED: json.dumps({"replace": told, "since": since})}
        try:
            self._commit(rows, self._inside(wanted), marks, branch=branch_of(run))
        except Exception:
            self._drop(run)
            raise
        found = self.staged(run)
        if found is None:
            raise ConcurrentUpdateError(f"{self.spec.name}: what run {run} had staged was discarded; stage it again")
        return found

    def staged(self, run: str) -> Staging | None:  # noqa: D102
        if not self.exists() or self.published(run):
            return None
        snapshot = self._loaded().snapshot(branch_of(run))
        told = snapshot and snapshot.summary().get(STAGED)
        # A run that died may have made the branch and not written to it.
        return StagedBranch(self, run, snapshot, json.loads(told)) if told else None

    def _wanted(self, replace: Replace | Sequence[Partition]) -> Replace | list[Values]:
        if isinstance(replace, Replace):
            return replace if self.spec.partition_by else ALL
        return [values_of(self.spec.partition_by, partition) for partition in replace]

    def _inside(self, wanted: Replace | Sequence[Values]) -> str | None:
        """Write as SQL which rows are replaced; None for those of the partitions that have new ones."""
        if isinstance(wanted, Replace):
            return "true" if wanted is ALL else None
        return matching(self.spec.schema, self.spec.partition_by, wanted)

    def _publish_staged(self, run: str, staged: StagedBranch) -> Published:
        """Commit the data files of a branch to main, under the rules of a publish that began with the branch."""
        if done := self._snapshot_of(run):
            return self._published(run, done, repeated=True)
        inside = self._inside(staged.replace)
        where = None if inside is None else self._expression(inside)

        def to_main(table: Any) -> None:
            branch = table.snapshot(branch_of(run))
            if branch is None or branch.snapshotId() != staged.snapshot:
                raise ConcurrentUpdateError(f"{self.spec.name}: what run {run} had staged was discarded; stage it again")
            both = table.newTransaction()
            commit = both.newReplacePartitions() if where is None else both.newOverwrite().overwriteByRowFilter(where)
            if staged.since:
                commit = commit.validateFromSnapshot(int(staged.since))
            files = branch.addedDataFiles(table.io()).iterator()
            while files.hasNext():
                commit.addFile(files.next())
            commit.validateNoConflictingData().validateNoConflictingDeletes().set(RUN, run).commit()
            both.manageSnapshots().removeBranch(branch_of(run)).commit()
            both.commitTransaction()

        self._change(to_main)
        return self._published(run, self._snapshot_of(run) or {})

    def _staged_rows(self, staged: StagedBranch) -> DataFrame:
        rows = self._spark.sql(f"SELECT * FROM {self._name} VERSION AS OF {staged.snapshot}")
        within = self._written(staged) if staged.replace is TOUCHED else staged.replace
        return filled(rows.where(self._inside(within) or "true"), self.spec.row_schema)

    def _staged_partitions(self, staged: StagedBranch) -> dict[str, str]:
        columns = self.spec.partition_by
        if not columns:
            return {name_of(columns, ()): "written" if staged.count else "emptied"}
        emptied = {} if isinstance(staged.replace, Replace) else dict.fromkeys(staged.replace, "emptied")
        every = emptied | dict.fromkeys(self._written(staged), "written")
        return {name_of(columns, values): what for values, what in every.items()}

    def _written(self, staged: StagedBranch) -> list[Values]:
        """List the partitions of the files that a staged snapshot has added."""
        entries = self._spark.sql(f"SELECT * FROM {self._name}.entries VERSION AS OF {staged.snapshot}")
        added = entries.where(f"status = 1 AND snapshot_id = {staged.snapshot}")
        found = added.select([f"data_file.partition.{quoted(column)}" for column in self.spec.partition_by]).distinct()
        return [tuple(value_text(value) for value in row) for row in found.collect()]

    def _drop(self, run: str, snapshot: int | None = None) -> None:
        """Remove a run's branch; only if it has the snapshot, where one is told."""
        table, branch = self._loaded(), branch_of(run)
        found = table.snapshot(branch) if table.refs().containsKey(branch) else None
        if found is not None and snapshot in {None, int(found.snapshotId())}:
            self._change(lambda table: table.manageSnapshots().removeBranch(branch).commit())

    def _change(self, change: Callable[[Any], None]) -> None:
        """Commit a change to the table's newest metadata, again when another commit was first.

        Iceberg itself tries again to commit rows, but not branches. What contradicts another commit is found each time.
        """
        for pause in (0.1, 0.2, 0.4, 0.8, 1.6, None):
            try:
                with self._committing():
                    change(self._loaded())
                return
            except ConcurrentUpdateError as error:
                if pause is None or "CommitFailedException" not in str(error.__cause__):
                    raise
            time.sleep(pause)

    def _expression(self, sql: str) -> Any:
        """Translate a predicate into Iceberg's own form, by what Iceberg's procedures use for theirs."""
        jvm: Any = self._spark._jvm
        jspark: Any = self._spark._jsparkSession  # type: ignore[attr-defined,unused-ignore]
        converter = jvm.org.apache.spark.sql.execution.datasources.SparkExpressionConverter
        resolved = converter.collectResolvedSparkExpression(jspark, self._name, sql)
        return converter.convertToIcebergExpression(resolved)

    def undo(self, run: str) -> Published:  # noqa: D102
        done = self._snapshot_of(run) if self.exists() else None
        if done is None:
            raise UnsupportedTableError(
                f"{self.spec.name}: run {run} has not published here, was undone, or its snapshot has expired"
            )
        if done["snapshot_id"] != self._current():
            raise ConcurrentUpdateError(
                f"{self.spec.name} was changed after run {run} published; undo the later change first"
            )
        if done["parent_id"] is None:
            empty = self._spark.createDataFrame([], self.spec.row_schema)
            self._commit(empty, "true", {UNDONE: run})
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
                raise ConcurrentUpdateError(f"{self.spec.name} was changed while it was undone; undo the later change first")
            back = jvm.org.apache.iceberg.TableMetadata.buildFrom(base).setBranchSnapshot(parent, "main").build()
            operations.commit(base, back)  # refused when another commit was first

    def _commit(self, rows: DataFrame, inside: str | None, properties: dict[str, str], *, branch: str = "") -> None:
        from pyspark.sql import functions as F  # noqa: PLC0415

        target = f"{self._name}.{quoted(f'branch_{branch}')}" if branch else self.spec.name
        if inside not in {None, "true"}:
            rows = refuse_outside(rows, str(inside))
        writer: DataFrameWriterV2 = rows.writeTo(target).option("isolation-level", "serializable")
        if current := self._current(branch or "main"):
            writer = writer.option("validate-from-snapshot-id", str(current))
        for key, value in properties.items():
            writer = writer.option(f"snapshot-property.{key}", value)
        with self._committing():
            if inside is None:
                writer.overwritePartitions()
            else:
                writer.overwrite(F.expr(inside))

    def _commit_onto(self, since: str, rows: DataFrame, inside: str | None, run: str) -> None:
        """Commit rows only if the table still has the snapshot that they were made from, whatever partitions they touch.

        They are written to a branch of that snapshot, and the branch becomes the table in one conditional commit. (Iceberg's
        own validation of an overwrite looks at commits to the same rows only.)
        """
        branch = branch_of(run)
        self._drop(run)
        try:
            self._change(lambda table: _branch_at(table, branch, since))
            self._commit(rows, inside, {RUN: run}, branch=branch)
            self._fast_forward(branch, int(since) if since else None)
        except ConcurrentUpdateError:
            self._drop(run)
            raise

    def _fast_forward(self, branch: str, since: int | None) -> None:
        """Make a branch the table, if the table has not changed since; the procedure of this name would wait and rebase."""
        jvm: Any = self._spark._jvm
        operations = self._loaded().operations()
        with self._committing():
            base = operations.refresh()
            current, ref = base.currentSnapshot(), base.ref(branch)
            if ref is None or (int(current.snapshotId()) if current is not None else None) != since:
                raise ConcurrentUpdateError(
                    f"{self.spec.name}: another run published after this one began to read it; run it again on the table as "
                    "it is now"
                )
            forward = jvm.org.apache.iceberg.TableMetadata.buildFrom(base).setBranchSnapshot(ref.snapshotId(), "main")
            operations.commit(base, forward.removeRef(branch).build())  # refused when another commit was first

    def _loaded(self) -> Any:
        """Load the table as it is now; a metadata table of SQL would take a Spark job for each look."""
        jvm: Any = self._spark._jvm
        jspark: Any = self._spark._jsparkSession  # type: ignore[attr-defined,unused-ignore]
        with effect("table.read", self.spec.name):
            loaded = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(jspark, self._name)
            loaded.refresh()
        return loaded

    def _current(self, branch: str = "main") -> int | None:
        snapshot = self._loaded().snapshot(branch)
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
