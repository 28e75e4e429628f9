"""Find out what is wrong with a table's publishing, and put it right: dead publishes, leases, locations, missing files.

Used by ``python -m gluewright_core.tables doctor``. Looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gluewright_core.errors import InvalidStateError
from gluewright_core.leases import utc_now
from gluewright_core.storage import Storage
from gluewright_core.tables.catalog import Catalog, PartitionChange, relative_to, same_location
from gluewright_core.tables.commit_engine import REMEMBERED
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.commit_state import (
    REPAIR,
    RUNS,
    CommitPlan,
    CommitRecord,
    CommitState,
    Head,
    RecentCommit,
    last_changes,
    plan_name,
)
from gluewright_core.tables.partitions import name_of
from gluewright_core.tables.swept import is_visible

RUN = "doctor"
"""The run under which the doctor holds leases."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        what: a sentence.
        repair: what is done about it with ``--apply``; empty if nothing can be.
    """

    what: str
    repair: str = ""

    def __str__(self) -> str:
        return f"{self.what}{f' [{self.repair}]' if self.repair else ''}"


@dataclass(frozen=True)
class Patient:
    """A table of Parquet files in a catalog.

    Attributes:
        catalog: that has it.
        table: its name there.
        storage: the folder beside the table's.
        folder: the table's folder name.
        protocol: its publishing.
        columns: its partition columns.
    """

    catalog: Catalog
    table: str
    storage: Storage
    folder: str
    protocol: CommitProtocol
    columns: tuple[str, ...]

    def examine(self) -> list[Finding]:
        """Look at everything; nothing is changed."""
        state = self.protocol.state
        findings = [*lease_findings(state)]
        try:
            head = state.head()
        except InvalidStateError as error:
            return [*findings, Finding(str(error), "it is made anew from the plans")]
        if head.publishing:
            plan, pending = state.plan(head.publishing), self.protocol.pending()
            repair = f"finished: {len(pending)} partitions are still to be changed" if pending else "it is recorded"
            findings.append(Finding(f"run {plan.record.run} decided its publish and did not finish it", repair))
        else:
            findings += self._location_findings(head)
        return [*findings, *self._missing_files(head)]

    def _location_findings(self, head: Head) -> Iterator[Finding]:
        late, unexplained = self.protocol.engine.locations.differences(head)
        for change in late:
            yield Finding(f"{self._sentence(change)}; a request of an earlier publish came late", "it is put back")
        for change in unexplained:
            yield Finding(
                f"{self._sentence(change)}; no publish explains it",
                "--keep catalog records the catalog's location as a publish, --keep publishes puts it back",
            )

    def _sentence(self, change: PartitionChange) -> str:
        name = name_of(self.columns, change.partition)
        here, there = (at or "no such partition" for at in (change.before, change.after))
        return f"{name}: the catalog has {here}, the last publish was {there}"

    def _missing_files(self, head: Head) -> Iterator[Finding]:
        """Compare the files that are there with the locations that the catalog has."""
        sizes: dict[str, list[int]] = {}
        for found in self.storage.list_objects(f"{RUNS}/{self.folder}/"):
            if is_visible(found.key):
                sizes.setdefault(found.key.rpartition("/")[0], []).append(found.size)
        plans = [self.protocol.state.plan(commit.plan) for commit in head.recent]
        planned = last_changes(plans)
        for partition, location in self.catalog.locations(self.table).items():
            below = relative_to(location, self.storage.uri_of(""))
            if below is None or not below.startswith(f"{RUNS}/"):
                continue
            there = sizes.get(below, [])
            change = planned.get(partition)
            wanted = change.files if change and same_location(change.after, location) else None
            if not there or (wanted and len(there) < wanted[0]):
                count = f"{len(there)} of {wanted[0]} files are" if wanted else "no file is"
                name = name_of(self.columns, partition)
                yield Finding(
                    f"{name}: {count} there at {location}; restore them from the bucket's versions, or publish the "
                    "partition again"
                )

    def repair(self, *, keep: str = "") -> None:
        """Make the head anew if it is gone, finish a dead publish, and put locations right.

        Args:
            keep: what to do where no publish explains a location: ``catalog`` or ``publishes``; empty leaves it.

        Raises:
            ConcurrentUpdateError: a run is publishing now.
            TableChangedError: a location is not explained, and nothing was said about it.
        """
        try:
            self.protocol.state.head()
        except InvalidStateError:
            self._rebuild_head()
        if keep:
            self._settle_unexplained(keep)
        self.protocol.finish(RUN)

    def _settle_unexplained(self, keep: str) -> None:
        engine = self.protocol.engine
        with engine.lease(RUN) as lease:
            head = engine.finish_decided(lease, engine.state.head())
            late, unexplained = engine.locations.differences(head)
            back = [*late, *unexplained] if keep == "publishes" else late
            head = engine.repair(lease, head, back) if back else head
            if keep == "publishes":
                return
            taken = tuple(PartitionChange(c.partition, c.after, c.before) for c in unexplained)
            if taken:
                run = f"{RUN}-{utc_now():%Y%m%dT%H%M%S}"
                record = CommitRecord(run, head.version + 1, plan_name(head.version + 1), 0)
                engine.decide_and_apply(lease, head, CommitPlan(record, taken))

    def _rebuild_head(self) -> None:
        """Write a head from the plans: those that were recorded, and the one after them that the catalog has begun."""
        state = self.protocol.state
        with self.protocol.engine.lease(RUN):
            recorded: list[RecentCommit] = []
            later: list[CommitPlan] = []
            for name in state.plan_names()[-2 * REMEMBERED :]:
                plan = state.plan(name)
                record = state.record(plan.record.run)
                if plan.record.run == REPAIR or (record and record.version >= plan.record.version):
                    recorded.append(RecentCommit(plan.record.version, name, utc_now().isoformat()))
                else:
                    later.append(plan)
            version = recorded[-1].version if recorded else 0
            begun = [plan.record.plan for plan in later if plan.record.version > version and self._has_begun(plan)]
            state.write_head(Head(version, begun[0] if begun else "", tuple(recorded[-REMEMBERED:])))

    def _has_begun(self, plan: CommitPlan) -> bool:
        actual = self.catalog.locations(self.table, [change.partition for change in plan.changes])
        return any(same_location(actual.get(c.partition), c.after) and c.before != c.after for c in plan.changes)


def lease_findings(state: CommitState) -> Iterator[Finding]:
    """Tell who holds the lease of a table.

    Args:
        state: of the table.
    """
    found = state.documents.read("lease")
    if found is None:
        return
    with state.documents.parsing("lease"):
        until = datetime.fromisoformat(found.body["until"])
        holder = str(found.body["holder"])
    if until > utc_now():
        yield Finding(f"the lease is held by {holder} until {until.isoformat()}", "--break-lease '<why>' ends it")
