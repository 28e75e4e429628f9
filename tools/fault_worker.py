"""A worker process of ``hatch run faults``: increments counter tables and reads sources through the real protocols."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gluewright_core import leases
from gluewright_core.errors import ConcurrentUpdateError, GluewrightError, ObjectNotFoundError, StorageError
from gluewright_core.storage import ABSENT, Storage, open_storage
from gluewright_core.tables.catalog import relative_to
from gluewright_core.tables.catalog_glue import GlueDataCatalog
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.commit_state import RUNS
from gluewright_incremental.job.incremental import Incremental
from gluewright_incremental.ledger import Limits
from gluewright_testing.aws import fake_environment

DATABASE = "faults"
LEASE_SECONDS = 2.0
SHORT_TIMEOUTS = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=1, read_timeout=1)
_FILE = "data.json"


@dataclass(frozen=True)
class Place:
    """Where a worker works: the endpoints of S3 and Glue, the root of the storage, and the file of its log."""

    s3: str
    glue: str
    root: str
    log: Path | None = None


@dataclass(frozen=True)
class Task:
    """What a worker does in one pair.

    Attributes:
        kind: ``partitioned``, ``unpartitioned`` or ``ledger``.
        name: of the table, or of the ledger's consumer.
        run: the id of the run; unused for a ledger.
        seconds: how long the worker tries.
    """

    kind: str
    name: str
    run: str
    seconds: float = 60.0


@dataclass
class Result:
    """What became of a task.

    Attributes:
        done: whether the run was told that it published, or that nothing is left to read.
        outcomes: how many attempts ended in which way.
        dead: locations in the catalog that had no file.
    """

    done: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    dead: list[str] = field(default_factory=list)


def work(place: Place, connection: Connection) -> None:
    """Receive tasks and send their results until the connection closes: the entry point of a worker process.

    Args:
        place: where.
        connection: to the process that coordinates the pairs.
    """
    # Glue's clients are those that a job has: they repeat reads, and changes only after a look at the lease.
    os.environ.update(fake_environment() | {"AWS_ENDPOINT_URL_GLUE": place.glue})
    leases.LEASE_SECONDS = LEASE_SECONDS
    client = boto3.client("s3", endpoint_url=place.s3, config=SHORT_TIMEOUTS)
    worker = Worker(place.root, client, GlueDataCatalog(), place.log)
    connection.send("ready")
    with suppress(EOFError):
        while True:
            connection.send(worker.perform(connection.recv()))


class Worker:
    """Performs tasks.

    Args:
        root: the URI below which tables, sources and state are.
        client: of S3.
        catalog: of the tables.
        log: a file that gets a line per event; None for no log.
    """

    def __init__(self, root: str, client: Any, catalog: GlueDataCatalog, log: Path | None = None) -> None:
        self._storage = open_storage(root, client=client)
        self._client = client
        self.root = root
        self._catalog = catalog
        self._log = log
        self._protocols: dict[str, CommitProtocol] = {}

    def perform(self, task: Task) -> Result:
        """Try a task until it is done or its time is over."""
        result, until = Result(), time.monotonic() + task.seconds
        while not result.done and time.monotonic() < until:
            try:
                outcome = self._read_source(task) if task.kind == "ledger" else self._increment(task, result)
                result.done = True
            except (GluewrightError, BotoCoreError, ClientError) as error:
                outcome = type(error).__name__
                self._note(task, f"{outcome}: {error}")
                time.sleep(random.uniform(0, 0.3))
            result.outcomes[outcome] += 1
            self._note(task, outcome)
        return result

    def protocol(self, task: Task) -> CommitProtocol:
        """Return the commit protocol of a task's table; the same one for each run, so that it reads each plan once."""
        if task.name not in self._protocols:
            columns = ["p"] if task.kind == "partitioned" else []
            self._protocols[task.name] = CommitProtocol(
                self._catalog, f"{DATABASE}.{task.name}", columns, self._storage, task.name
            )
        return self._protocols[task.name]

    def runs_in(self, task: Task) -> list[str]:
        """Read the runs whose increments a table has.

        Raises:
            ObjectNotFoundError: the catalog names a location that has no file.
        """
        partition = partition_of(task)
        location = self._catalog.locations(f"{DATABASE}.{task.name}", [partition])[partition]
        inside = relative_to(location, self._storage.uri)
        raw, _ = self._storage.read(f"{inside}/{_FILE}")
        content = json.loads(raw)
        runs: list[str] = content["runs"]
        assert content["number"] == len(runs), f"{location} has number {content['number']} and {len(runs)} runs"
        return runs

    def write_runs(self, task: Task, runs: Sequence[str]) -> str:
        """Write a new file with a table's runs; return the key of its folder."""
        folder = f"{RUNS}/{task.name}/{task.run}-{secrets.token_hex(4)}"
        self._storage.write(f"{folder}/{_FILE}", json.dumps({"number": len(runs), "runs": runs}).encode())
        return folder

    def publish(self, task: Task, folder: str, since: int) -> None:
        """Publish a folder as a table's content; delete it when that is refused."""
        partition = partition_of(task)
        try:
            self.protocol(task).publish(task.run, {partition: self._storage.uri_of(folder)}, since=since, rows=1, alone=True)
        except ConcurrentUpdateError:
            with suppress(StorageError):
                self._storage.delete([f"{folder}/{_FILE}"])
            raise

    def source(self, name: str) -> Storage:
        """Return the storage of a ledger's source."""
        return open_storage(self._storage.uri_of(f"sources/{name}"), client=self._client)

    def sink(self, name: str) -> list[tuple[str, str]]:
        """List what a sink has: each object of the source with the batch that wrote it."""
        prefix = f"sinks/{name}/"
        keys = [found.key.removeprefix(prefix) for found in self._storage.list_objects(prefix)]
        return [(key.rpartition("@")[0], key.rpartition("@")[2]) for key in keys]

    def _increment(self, task: Task, result: Result) -> str:
        protocol = self.protocol(task)
        since = protocol.finish(task.run)
        if protocol.record(task.run):
            return "published before"
        try:
            runs = self.runs_in(task)
        except ObjectNotFoundError as error:
            result.dead.append(str(error))
            raise
        folder = self.write_runs(task, [*runs, task.run])
        self._note(task, f"publishes {folder}, number {len(runs) + 1}, since {since}")
        self.publish(task, folder, since)
        return "published"

    def _read_source(self, task: Task) -> str:
        """Read what is new until nothing is; the sink takes each object of a batch once."""
        source = self.source(task.name)
        incremental = Incremental(source, consumer=task.name, state=self._storage, close_after=3)
        while True:
            with incremental.batch(Limits(max_files=2)) as batch:
                for each in batch.objects:
                    with suppress(ConcurrentUpdateError):  # the same batch wrote it before
                        self._storage.write(sink_key(task.name, each.key, batch.id), b"", expect=ABSENT)
            if not batch:
                return "read everything"
            self._note(task, f"{batch.id} replayed={batch.replayed} {[each.key for each in batch.objects]}")

    def _note(self, task: Task, what: str) -> None:
        if self._log:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {task.name} {task.run} {what}\n")


def partition_of(task: Task) -> tuple[str, ...]:
    """Return the partition of a task's counter: an unpartitioned table has one without values."""
    return ("x",) if task.kind == "partitioned" else ()


def sink_key(name: str, key: str, batch: str) -> str:
    """Return the key of the object that a sink has for a source object of a batch."""
    return f"sinks/{name}/{key}@{batch}"
