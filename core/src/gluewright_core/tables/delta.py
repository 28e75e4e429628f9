"""Delta: one commit a publish, recognised by the run's id as the commit's application transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import ConcurrentUpdate, TableUnsupported
from gluewright_core.tables.guard import refuse_outside
from gluewright_core.tables.interface import TOUCHED, Partition, Published, Replace, arranged
from gluewright_core.tables.managed import ManagedTable
from gluewright_core.tables.partitions import matching, values_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


class DeltaTable(ManagedTable):
    """A Delta table in Spark's session catalog.

    A publish is one overwrite with ``replaceWhere``; ``txnAppId`` and ``txnVersion`` make Delta skip the same run's second
    commit even when both were under way (Delta Lake documentation, "Table batch reads and writes", "Idempotent writes").

    Args:
        spark: the session, with Delta's extension and catalog.
        spec: the table; its location is required.
    """

    using = "delta"

    def begin(self, run: str) -> str:  # noqa: D102
        return str(self._history()[0]["version"]) if self._evolved() else ""

    def publish(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], since: str | None = None
    ) -> Published:
        rows = arranged(rows, self.spec)
        # Files may be left of a table that was dropped, and their history is this table's then.
        known = self._has_files()
        self._create()
        mine = self._commits(run) if known else []
        if mine and mine[0]["action"] != "undo":
            return self._published(run, next(c for c in mine if c["action"] == "publish"), repeated=True)
        self._refuse_later(run, since)
        options = {
            "txnAppId": f"gluewright/{run}",
            "txnVersion": str(len(mine) + 1),
            "userMetadata": _metadata(run, "publish"),
        }
        if replace is TOUCHED and self.spec.partition_by:
            options["partitionOverwriteMode"] = "dynamic"
        elif not isinstance(replace, Replace):
            wanted = [values_of(self.spec.partition_by, partition) for partition in replace]
            options["replaceWhere"] = matching(self.spec.schema, self.spec.partition_by, wanted)
            # Delta refuses rows outside too, but writes their values into the log.
            rows = refuse_outside(rows, options["replaceWhere"])
        writer = rows.write.format("delta").mode("overwrite").options(**options)
        with self._committing():
            writer.save(self.spec.location)
        done = self._history(1)
        if done[0]["run"] != run:  # another run has published since, or an attempt of this one had
            done = self._commits(run)
        return self._published(run, done[0], repeated=mine[:1] == done[:1])

    def undo(self, run: str) -> Published:  # noqa: D102
        history = self._history() if self.exists() else []
        mine = [commit for commit in history if commit["run"] == run]
        if not mine or mine[0]["action"] == "undo":
            raise TableUnsupported(f"{self.spec.name}: run {run} has not published here, or was undone already")
        version = int(mine[0]["version"])
        if mine[0]["action"] == "kept" or version != _effective_version(history):
            raise ConcurrentUpdate(f"{self.spec.name} was changed after run {run} published; undo the later change first")
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
        raise ConcurrentUpdate(f"{self.spec.name} was changed while run {run} was undone; undo the later change first")

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

    def _history(self, newest: int | None = None) -> list[dict[str, Any]]:
        """List the commits that Delta still knows, newest first, each with its run and action where they are ours."""
        limit = f" LIMIT {newest}" if newest else ""
        described = self._spark.sql(f"DESCRIBE HISTORY {self._name}{limit}")
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


def _effective_version(history: Sequence[dict[str, Any]]) -> int:
    """Find the version whose rows the table has now: an undone publish counts as never made."""
    at = 0
    while history[at]["action"] == "undo":
        undone = next(i for i in range(at + 1, len(history)) if history[i]["run"] == history[at]["run"])
        at = undone + 1
    return int(history[at]["version"])
