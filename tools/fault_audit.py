"""The checks of ``hatch run faults``: each increment and each object exactly once, and no file missing."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gluewright_core.errors import ObjectNotFoundError
from tools.fault_worker import DATABASE, Task, Worker

_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}


@dataclass
class _Counted:
    """A table: its first run, the runs that were told that they published, and those that gave up without knowing."""

    first: Task
    published: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


class Audit:
    """Creates tables and sources, remembers what runs were told, and compares.

    Args:
        direct: a worker whose requests meet no faults.
        glue: a client of Glue whose requests meet no faults.
    """

    def __init__(self, direct: Worker, glue: Any) -> None:
        self._direct = direct
        self._glue = glue
        self._tables: dict[str, _Counted] = {}
        self._sources: dict[str, int] = {}
        self._lock = threading.Lock()

    def prepare(self, task: Task) -> None:
        """Create a task's table with the number 0, or add objects to its source."""
        with self._lock:
            if task.kind == "ledger":
                self._grow(task.name)
            elif task.name not in self._tables:
                self._create(Task(task.kind, task.name, "first"))

    def note(self, task: Task, *, told: bool) -> None:
        """Remember that a run was told that it published, or that it gave up."""
        with self._lock:
            if task.kind != "ledger":
                table = self._tables[task.name]
                (table.published if told else table.unknown).add(task.run)

    def check(self) -> tuple[list[str], list[str]]:
        """Compare tables and sinks with what was told, once no request can still arrive.

        Returns:
            The increments and objects that are not there exactly once, and the locations without a file.
        """
        lost, dead = [], []
        for table in self._tables.values():
            try:
                lost += self._check_table(table)
            except ObjectNotFoundError as error:
                dead.append(f"{table.first.name}: {error}")
        for name in self._sources:
            found = Counter(key for key, _ in self._direct.sink(name))
            wanted = {each.key for each in self._direct.source(name).list_objects()}
            for key in sorted(wanted | found.keys()):
                if found[key] != (key in wanted):
                    lost.append(f"{name}: {key} is in the sink {found[key]} times")
        return lost, dead

    def _check_table(self, table: _Counted) -> list[str]:
        protocol = self._direct.protocol(table.first)
        protocol.finish("audit")
        found = Counter(self._direct.runs_in(table.first))
        recorded = {run for run in table.unknown if protocol.record(run)}
        wanted = Counter(table.published | recorded)
        return [
            f"{table.first.name}: the increment of run {run} is in the table {found[run]} times and not {wanted[run]}"
            for run in sorted(wanted | found)
            if found[run] != wanted[run]
        ]

    def _create(self, first: Task) -> None:
        location = f"{self._direct.root}/{first.name}"
        keys = [{"Name": "p", "Type": "string"}] if first.kind == "partitioned" else []
        self._glue.create_table(
            DatabaseName=DATABASE,
            TableInput={
                "Name": first.name,
                "TableType": "EXTERNAL_TABLE",
                "PartitionKeys": keys,
                "StorageDescriptor": {"Columns": [{"Name": "n", "Type": "bigint"}], "Location": location, **_PARQUET},
            },
        )
        self._tables[first.name] = _Counted(first)
        self._direct.publish(first, self._direct.write_runs(first, []), self._direct.protocol(first).finish("first"))

    def _grow(self, name: str) -> None:
        source, before = self._direct.source(name), self._sources.get(name, 0)
        for number in range(before, before + 3):
            source.write(f"dt={number // 4:03d}/{number:04d}.csv", str(number).encode())
        self._sources[name] = before + 3
