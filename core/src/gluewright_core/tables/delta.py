"""Delta: one commit a publish, recognised by the run's id as the commit's application transaction."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gluewright_core.effects import effect
from gluewright_core.errors import (
    ConcurrentUpdateError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    TableChangedError,
    UnsupportedTableError,
)
from gluewright_core.storage import open_storage, parent_uri
from gluewright_core.tables.commit_state import CommitState
from gluewright_core.tables.guard import refuse_outside
from gluewright_core.tables.interface import (
    ALL,
    TOUCHED,
    Partition,
    Published,
    Replace,
    Staging,
    TableSpec,
    arranged,
    require_unpublished,
)
from gluewright_core.tables.managed import ManagedTable
from gluewright_core.tables.partitions import Values, matching, values_of
from gluewright_core.tables.staging import Aside, StagedFiles, discard, read_aside, set_aside

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType, StructType

_COMMIT = re.compile(r"(\d{20})\.json")
_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


def _storable(schema: StructType) -> StructType:
    """Leave out what Delta refuses to be told: NOT NULL of fields inside arrays and maps."""
    from pyspark.sql.types import ArrayType, MapType, StructField, StructType  # noqa: PLC0415 - not needed to import a job

    def stored(kind: DataType, inside: bool) -> DataType:
        if isinstance(kind, ArrayType):
            return ArrayType(stored(kind.elementType, True), kind.containsNull)
        if isinstance(kind, MapType):
            return MapType(stored(kind.keyType, True), stored(kind.valueType, True), kind.valueContainsNull)
        if isinstance(kind, StructType):
            return StructType(
                [StructField(f.name, stored(f.dataType, inside), inside or f.nullable, f.metadata) for f in kind]
            )
        return kind

    return StructType([StructField(f.name, stored(f.dataType, False), f.nullable, f.metadata) for f in schema])


class DeltaTable(ManagedTable):
    """A Delta table in Spark's session catalog.

    A publish is one overwrite with ``replaceWhere``; ``txnAppId`` and ``txnVersion`` make Delta skip the same run's second
    commit even when both were under way (Delta Lake documentation, "Table batch reads and writes", "Idempotent writes").
    Staged rows lie aside as Parquet and are written a second time when they are published. Whether others have changed the
    same partitions meanwhile is read in the transaction log (Delta Transaction Log Protocol, "Add File and Remove File").

    Args:
        spark: the session, with Delta's extension and catalog.
        spec: the table; its location is required.
    """

    using = "delta"

    def __init__(self, spark: SparkSession, spec: TableSpec) -> None:
        super().__init__(spark, dataclasses.replace(spec, schema=_storable(spec.schema)))
        parent, self._folder = parent_uri(spec.location)
        self._storage = open_storage(parent)
        self._state = CommitState(self._storage, self._folder, spec.name)

    def begin(self, run: str) -> str:  # noqa: D102
        return str(self._last()["version"]) if self._evolved() else ""

    def publish(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], since: str | None = None
    ) -> Published:
        rows = arranged(rows, self.spec)
        # Files may be left of a table that was dropped, and their history is this table's then.
        known = self._has_files()
        self._create()
        mine = self._commits(run) if known else []
        if done := _in_effect(mine):
            return self._published(run, done, repeated=True)
        self._refuse_later(run, since)
        base = int(since or 0)
        wanted = replace if isinstance(replace, Replace) else [values_of(self.spec.partition_by, each) for each in replace]
        done = self._commit(rows, run, wanted, attempt=len(mine) + 1)
        if since is not None and mine[:1] != [done]:
            self._require_next(run, base, int(done["version"]))
        return self._published(run, done, repeated=mine[:1] == [done])

    def _require_next(self, run: str, base: int, version: int) -> None:
        """Take a publish back if other rows were committed between the version that its own were made from and it.

        Delta compares a commit with those since its own transaction began: others came after our look and before that.
        """
        others = [other for other in range(base + 1, version) if self._changed(other) != set()]
        if not others:
            return
        try:
            self.undo(run)
        except ConcurrentUpdateError as error:
            raise TableChangedError(
                f"{self.spec.name}: run {run} was published as version {version} although version {others[0]} came after it "
                f"began, and later versions keep it from being taken back; restore version {version - 1} and run again"
            ) from error
        raise ConcurrentUpdateError(
            f"{self.spec.name}: version {others[0]} was published after run {run} began to read; run it again on the table "
            "as it is now"
        )

    def _commit(self, rows: DataFrame, run: str, replace: Replace | Sequence[Values], *, attempt: int) -> dict[str, Any]:
        """Replace partitions by rows, in one commit, and return it."""
        options = {
            "txnAppId": f"gluewright/{run}",
            "txnVersion": str(attempt),
            "userMetadata": _metadata(run, "publish"),
        }
        if replace is TOUCHED and self.spec.partition_by:
            options["partitionOverwriteMode"] = "dynamic"
        elif not isinstance(replace, Replace):
            options["replaceWhere"] = matching(self.spec.schema, self.spec.partition_by, replace)
            # Delta refuses rows outside too, but writes their values into the log.
            rows = refuse_outside(rows, options["replaceWhere"])
        writer = rows.write.format("delta").mode("overwrite").options(**options)
        try:
            with self._committing():
                writer.save(self.spec.location)
        except OutcomeUnknownError:
            if not self._commits(run):
                raise
        done = self._last()
        # Another run may have published since, or an attempt of this one had.
        return done if done["run"] == run else self._commits(run)[0]

    def published(self, run: str) -> Published | None:  # noqa: D102
        done = _in_effect(self._commits(run)) if self.exists() else None
        return self._published(run, done) if done else None

    def stage(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], began: str | None = None
    ) -> Staging:
        self._create()
        require_unpublished(self, run)
        if earlier := self.staged(run):
            earlier.discard()
        since = str(self._last()["version"]) if began is None else began or "-1"
        aside = set_aside(rows, self.spec, self._storage, self._folder, run, replace=replace, since=since)
        document, there = self._state.staged(run)
        try:
            if there:
                raise ConcurrentUpdateError(f"{self.spec.name}: another attempt of run {run} has staged at the same time")
            self._state.write_staged(run, aside.body(), document)
        except ConcurrentUpdateError:
            discard(self._storage, aside.prefix)
            raise
        return self._staging(run, aside)

    def staged(self, run: str) -> Staging | None:  # noqa: D102
        _, found = self._state.staged(run)
        return self._staging(run, Aside.of(found)) if found and not self.published(run) else None

    def _staging(self, run: str, aside: Aside) -> Staging:
        return StagedFiles(
            self._spark, self.spec, self._storage, run, aside, publish=self._publish_staged, discard=self._discard_staged
        )

    def _publish_staged(self, run: str, aside: Aside) -> Published:
        mine = self._commits(run)
        if done := _in_effect(mine):
            self._discard_staged(run, aside)
            return self._published(run, done, repeated=True)
        _, found = self._state.staged(run)
        if found is None or found["prefix"] != aside.prefix:
            raise ConcurrentUpdateError(f"{self.spec.name}: what run {run} had staged was discarded; stage it again")
        seen = self._refuse_changed(run, aside, int(aside.since))
        rows = read_aside(self._spark, self.spec, self._storage, aside)
        everything = aside.whole or not self.spec.partition_by
        done = self._commit(rows, run, ALL if everything else list(aside.targets), attempt=len(mine) + 1)
        try:
            self._refuse_changed(run, aside, seen, until=int(done["version"]) - 1)
        except ConcurrentUpdateError:
            # Delta compares with what was there when its own transaction began: these came after our look and before it.
            self.undo(run)
            raise
        self._discard_staged(run, aside)
        return self._published(run, done)

    def _discard_staged(self, run: str, aside: Aside) -> None:
        _, found = self._state.staged(run)
        if found and found["prefix"] == aside.prefix:
            self._state.clear_staged(run, aside.prefix)
            discard(self._storage, aside.prefix)

    def _refuse_changed(self, run: str, aside: Aside, since: int, *, until: int | None = None) -> int:
        """Refuse to publish over commits that changed the partitions after a version, and return the last version seen."""
        until = int(self._last()["version"]) if until is None else until
        for version in range(since + 1, until + 1):
            changed = self._changed(version)
            if changed is None or (changed if aside.whole else changed & set(aside.targets)):
                raise ConcurrentUpdateError(
                    f"{self.spec.name}: version {version} changed the same partitions after run {run} began; run it again "
                    "on the table as it is now"
                )
        return until

    def _changed(self, version: int) -> set[Values] | None:
        """List the partitions whose rows a commit changed; None when its log does not tell (any more)."""
        columns = self.spec.partition_by
        try:
            log, _ = self._storage.read(f"{self._folder}/_delta_log/{version:020d}.json")
        except ObjectNotFoundError:
            return None
        if any("timestamp" in self.spec.schema[column].dataType.typeName() for column in columns):
            return None  # the log spells times in more than one way
        actions = [action for line in log.decode().splitlines() for action in json.loads(line).items()]
        files = [action for kind, action in actions if kind in {"add", "remove"} and action.get("dataChange", True)]
        if not all(set(columns) <= set(file.get("partitionValues") or {}) for file in files):
            return None
        return {tuple(file["partitionValues"][column] or None for column in columns) for file in files}

    def undo(self, run: str) -> Published:  # noqa: D102
        history = self._history() if self.exists() else []
        mine = [commit for commit in history if commit["run"] == run]
        if not mine or mine[0]["action"] == "undo":
            raise UnsupportedTableError(f"{self.spec.name}: run {run} has not published here, or was undone already")
        version = int(mine[0]["version"])
        if mine[0]["action"] == "kept" or version != _effective_version(history):
            raise ConcurrentUpdateError(
                f"{self.spec.name} was changed after run {run} published; undo the later change first"
            )
        with self._committing(), self._marked(_metadata(run, "undo")):
            self._spark.sql(f"RESTORE TABLE {self._name} TO VERSION AS OF {version - 1}")
        self._keep_what_came_between(run, int(history[0]["version"]))
        return Published(self.spec.name, run, 0, {})

    def _keep_what_came_between(self, run: str, seen: int) -> None:
        """RESTORE takes back whatever is there when it begins: a commit made since we looked is brought back."""
        after = self._history()
        restored = next(i for i, commit in enumerate(after) if (commit["run"], commit["action"]) == (run, "undo"))
        before = int(after[restored]["version"]) - 1
        if before == seen:
            return
        with self._committing(), self._marked(_metadata(run, "kept")):
            self._spark.sql(f"RESTORE TABLE {self._name} TO VERSION AS OF {before}")
        raise ConcurrentUpdateError(f"{self.spec.name} was changed while run {run} was undone; undo the later change first")

    @contextmanager
    def _marked(self, metadata: str) -> Iterator[None]:
        self._spark.conf.set(_METADATA, metadata)
        try:
            yield
        finally:
            self._spark.conf.unset(_METADATA)

    def _has_files(self) -> bool:
        jvm: Any = self._spark._jvm
        jspark: Any = self._spark._jsparkSession  # type: ignore[attr-defined,unused-ignore]
        return bool(jvm.io.delta.tables.DeltaTable.isDeltaTable(jspark, self.spec.location))

    def _last(self) -> dict[str, Any]:
        """Read the newest commit as `_history` tells it, but in the log itself: that takes no job of Spark's.

        (Delta Transaction Log Protocol, "Delta Log Entries", "Last Checkpoint File".)
        """
        log = f"{self._folder}/_delta_log/"
        with effect("table.read", self.spec.name):
            return self._newest(log)

    def _newest(self, log: str) -> dict[str, Any]:
        try:
            checkpoint = json.loads(self._storage.read(f"{log}_last_checkpoint")[0])["version"]
        except ObjectNotFoundError:
            checkpoint = 0
        names = (found.key.removeprefix(log) for found in self._storage.list_objects(log, after=f"{log}{checkpoint:020d}"))
        versions = [int(found[1]) for name in names if (found := _COMMIT.fullmatch(name))]
        if not versions:
            return self._history()[0]
        lines = self._storage.read(f"{log}{max(versions):020d}.json")[0].decode().splitlines()
        told = [json.loads(line)["commitInfo"] for line in lines if line.startswith('{"commitInfo"')]
        commit = {name: told[0].get(name) if told else None for name in ("userMetadata", "operationMetrics")}
        return {"version": max(versions), **commit, **_mark(commit["userMetadata"])}

    def _history(self) -> list[dict[str, Any]]:
        """List the commits that Delta still knows, newest first, each with its run and action where they are ours."""
        described = self._spark.sql(f"DESCRIBE HISTORY {self._name}")
        commits = described.select("version", "userMetadata", "operationMetrics")
        return [{**row.asDict(), **_mark(row["userMetadata"])} for row in commits.collect()]

    def _commits(self, run: str) -> list[dict[str, Any]]:
        return [commit for commit in self._history() if commit["run"] == run]

    def _published(self, run: str, commit: dict[str, Any], *, repeated: bool = False) -> Published:
        rows = int((commit["operationMetrics"] or {}).get("numOutputRows", 0))
        return Published(self.spec.name, run, rows, {}, repeated)


def _metadata(run: str, action: str) -> str:
    return json.dumps({"gluewright.run": run, "action": action})


def _mark(metadata: str | None) -> dict[str, str | None]:
    try:
        mark = json.loads(metadata or "{}")
        return {"run": mark["gluewright.run"], "action": mark["action"]}
    except (ValueError, KeyError, TypeError):
        return {"run": None, "action": None}


def _in_effect(commits: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Find a run's publish among its commits, newest first; None when it was taken back."""
    if not commits or commits[0]["action"] == "undo":
        return None
    return next(commit for commit in commits if commit["action"] == "publish")


def _effective_version(history: Sequence[dict[str, Any]]) -> int:
    """Find the version whose rows the table has now: an undone publish counts as never made."""
    at = 0
    while history[at]["action"] == "undo":
        undone = next(i for i in range(at + 1, len(history)) if history[i]["run"] == history[at]["run"])
        at = undone + 1
    return int(history[at]["version"])
