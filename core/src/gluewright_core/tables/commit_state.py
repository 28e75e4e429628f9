"""The documents of the commit protocol: head, plans, commit records and staged writes, each read and checked in one place.

See :mod:`gluewright_core.tables.commit_protocol` for what they mean.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gluewright_core.errors import InvalidStateError, UnsupportedTableError
from gluewright_core.state import Body, Document, Documents
from gluewright_core.storage import Storage
from gluewright_core.tables.catalog import PartitionChange
from gluewright_core.tables.partitions import Values

RUNS = "gluewright-runs"
"""The folder beside a table in which runs write their files."""

REPAIR = "_gw_repair"
"""The run of plans that put back what late requests have changed; it has no commit record."""


@dataclass(frozen=True)
class CommitRecord:
    """What a run published: the version it made, its plan, its rows, and whether it was taken back."""

    run: str
    version: int
    plan: str
    rows: int
    undone: bool = False


@dataclass(frozen=True)
class CommitPlan:
    """What a publish changes; written once.

    Attributes:
        record: the commit record that is written at its end.
        changes: of partitions.
        table_version: the catalog's version of the table when the plan was made; empty where it keeps none.
        staged: the prefix of staged files that are published; empty where they were not staged before.
    """

    record: CommitRecord
    changes: tuple[PartitionChange, ...]
    table_version: str = ""
    staged: str = ""


@dataclass(frozen=True)
class RecentCommit:
    """A publish as the head remembers it: its version, its plan, and when it was recorded, UTC as ISO 8601."""

    version: int
    plan: str
    at: str


@dataclass(frozen=True)
class Head:
    """The state of a table.

    Attributes:
        version: how many publishes there have been.
        publishing: the plan that is being applied now; empty when none is.
        recent: the latest publishes, oldest first.
        confirmed: publishes up to this version were found in the catalog when no request of theirs could still arrive.
        document: as it was read, for the next conditional write.
    """

    version: int = 0
    publishing: str = ""
    recent: tuple[RecentCommit, ...] = ()
    confirmed: int = 0
    document: Document | None = field(default=None, compare=False, repr=False)

    def after(self, version: int) -> list[RecentCommit]:
        """List the remembered publishes after a version."""
        return [commit for commit in self.recent if commit.version > version]

    def as_json(self) -> Body:
        """Return the body of the document."""
        recent = [[commit.version, commit.plan, commit.at] for commit in self.recent]
        return {"version": self.version, "publishing": self.publishing, "recent": recent, "confirmed": self.confirmed}


class CommitState:
    """The documents of one table, below ``_gluewright/tables/<table>/``.

    Args:
        storage: the folder beside the table.
        folder: the table's folder name.
        table: its name in the catalog, for messages.
    """

    def __init__(self, storage: Storage, folder: str, table: str) -> None:
        self.documents = Documents(storage, f"tables/{folder}")
        self._storage = storage
        self._prefix = f"_gluewright/tables/{folder}/"
        self._table = table
        self._plans: dict[str, CommitPlan] = {}

    @property
    def uri(self) -> str:
        """Where the documents lie."""
        return self._storage.uri_of(self._prefix)

    def head(self) -> Head:
        """Read the head; a table that has none yet has version 0.

        Raises:
            InvalidStateError: it cannot be read, or it was deleted although the table has been published.
        """
        found = self.documents.read("head")
        if found is None and (plan := self._any_plan()):
            # The head is written before the first plan: by now it is there, or it was deleted.
            found = self.documents.read("head")
            if found is None:
                raise InvalidStateError(
                    f"{self._table}: {self.documents.uri_of('head')} is gone, although the table has been published "
                    f"({plan} is there). Restore it from a backup, or let `python -m gluewright_core.tables doctor` make it "
                    "anew from the plans"
                )
        if found is None:
            return Head()
        with self.documents.parsing("head"):
            body = found.body
            recent = tuple(RecentCommit(int(version), str(plan), str(at)) for version, plan, at in body["recent"])
            return Head(int(body["version"]), str(body["publishing"]), recent, int(body["confirmed"]), found)

    def write_head(self, head: Head) -> Head:
        """Write the head, if it still is the one that it was made from; see :meth:`Documents.write` for the errors."""
        document = self.documents.write("head", {"table": self._table, **head.as_json()}, expect=head.document)
        return replace(head, document=document)

    def plan(self, name: str) -> CommitPlan:
        """Read a plan.

        Raises:
            UnsupportedTableError: it is gone.
            InvalidStateError: it cannot be read.
        """
        if name not in self._plans:
            document = f"plans/{name}"
            found = self.documents.read(document)
            if found is None:
                raise UnsupportedTableError(
                    f"{self._table}: {self.documents.uri_of(document)} is gone; restore it from a backup"
                )
            with self.documents.parsing(document):
                self._plans[name] = _plan_of(found.body)
        return self._plans[name]

    def write_plan(self, plan: CommitPlan) -> None:
        """Write a plan under the name that its record gives."""
        changes = [[list(c.partition), c.before, c.after, list(c.files) if c.files else None] for c in plan.changes]
        body = {"record": asdict(plan.record), "changes": changes}
        self.documents.write(
            f"plans/{plan.record.plan}", {**body, "table_version": plan.table_version, "staged": plan.staged}
        )
        self._plans[plan.record.plan] = plan

    def plan_names(self) -> list[str]:
        """List all plans, oldest first."""
        return self.documents.names("plans")

    def record(self, run: str) -> CommitRecord | None:
        """Read a run's commit record, also one that was taken back; None when the run has none."""
        found = self.documents.read(f"runs/{run}")
        if found is None:
            return None
        with self.documents.parsing(f"runs/{run}"):
            return CommitRecord(**found.body)

    def write_record(self, record: CommitRecord) -> None:
        """Write a run's commit record, unless a later one is there already: a writer that slept may come late."""

        def newest(body: Body | None) -> Body:
            return asdict(record) if body is None or int(body["version"]) < record.version else body

        with self.documents.parsing(f"runs/{record.run}"):
            self.documents.update(f"runs/{record.run}", newest)

    def staged(self, run: str) -> tuple[Document | None, Body | None]:
        """Read what a run has staged: the document, and its body unless it was published or discarded."""
        found = self.documents.read(f"staged/{run}")
        with self.documents.parsing(f"staged/{run}"):
            return found, found.body if found and found.body["prefix"] else None

    def write_staged(self, run: str, body: Body, expect: Document | None) -> None:
        """Note what a run has staged."""
        self.documents.write(f"staged/{run}", body, expect=expect)

    def clear_staged(self, run: str, prefix: str) -> None:
        """Note that a run has nothing staged any more, if it still is these files."""

        def cleared(body: Body | None) -> Body:
            return {"prefix": ""} if body is None or body["prefix"] == prefix else body

        with self.documents.parsing(f"staged/{run}"):
            self.documents.update(f"staged/{run}", cleared)

    def _any_plan(self) -> str:
        """Return the key of some plan or commit record; empty when there is none."""
        for folder in ("plans/", "runs/"):
            for found in self._storage.list_objects(self._prefix + folder):
                return found.key
        return ""


def plan_name(version: int) -> str:
    """Name a new plan, so that names sort by version."""
    return f"{version:08d}-{secrets.token_hex(4)}"


def _plan_of(body: Mapping[str, Any]) -> CommitPlan:
    changes = tuple(
        PartitionChange(tuple(partition), before, after, tuple(files) if files else None)
        for partition, before, after, files in body["changes"]
    )
    return CommitPlan(CommitRecord(**body["record"]), changes, str(body["table_version"]), str(body["staged"]))


def last_changes(plans: Sequence[CommitPlan]) -> dict[Values, PartitionChange]:
    """Return the last change of each partition.

    Args:
        plans: oldest first.
    """
    return {change.partition: change for plan in plans for change in plan.changes}
