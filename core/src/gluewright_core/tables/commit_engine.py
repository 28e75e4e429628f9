"""The engine of the commit protocol: decides a plan, applies it, looks whether it took, and finishes what others left.

See :mod:`gluewright_core.tables.commit_protocol` for the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from gluewright_core.errors import ConcurrentUpdateError, DocumentOverwrittenError, PublishTakenOverError, TableError
from gluewright_core.leases import Lease, utc_now
from gluewright_core.storage import Storage
from gluewright_core.tables.catalog import Catalog, PartitionChange
from gluewright_core.tables.commit_state import (
    REPAIR,
    CommitPlan,
    CommitRecord,
    CommitState,
    Head,
    RecentCommit,
    last_changes,
    plan_name,
)
from gluewright_core.tables.locations import Locations
from gluewright_core.tables.partitions import Values

REMEMBERED = 100
"""How many publishes may happen while one run works, before its start is too long ago to compare with."""
LATE_SECONDS = 1800.0
"""How long a request can still arrive after its publish: twice the 15 minutes for which AWS accepts a signature."""
_ROUNDS = 4


class CommitEngine:
    """Decides, applies and finishes plans of one table.

    Args:
        catalog: where partitions are changed.
        table: its name in the catalog.
        columns: its partition columns, for messages.
        storage: the folder beside the table, where the protocol's documents lie.
        folder: the table's folder name.
        clock: returns the time, UTC.
        patience: how long to wait for another run that is publishing, or died while it did, in seconds; by default a
            little longer than a lease.
    """

    def __init__(
        self,
        catalog: Catalog,
        table: str,
        columns: Sequence[str],
        storage: Storage,
        folder: str,
        *,
        clock: Callable[[], datetime] = utc_now,
        patience: float | None = None,
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._columns = columns
        self._clock = clock
        self._patience = patience
        self.state = CommitState(storage, folder, table)
        self.locations = Locations(catalog, table, columns, self.state)

    def finish(self, run: str) -> int:
        """Finish what a run that died has decided, and put back what late requests have changed.

        Returns:
            How many publishes the table has had, repairs included.

        Raises:
            ConcurrentUpdateError: that run is alive and publishing.
            TableChangedError: the catalog has locations that no publish explains.
        """
        head = self.state.head()
        if head.publishing or any(self.locations.differences(head)):
            with self.lease(run) as lease:
                head, _ = self.ready(lease)
        return head.version

    def lease(self, run: str) -> Lease:
        """Return the table's lease, to be taken: sweepers and other tools hold the same one as writers.

        Args:
            run: that will hold it.
        """
        return Lease(self.state.documents, "lease", holder=run, clock=self._clock, patience=self._patience)

    def ready(
        self, lease: Lease, targets: Iterable[Values] = (), *, whole: bool = False, replacing: bool = False
    ) -> tuple[Head, dict[Values, str]]:
        """Finish a decided plan and put back what late requests changed.

        Args:
            lease: held.
            targets: partitions whose locations are wanted too.
            whole: whether those of all partitions are.
            replacing: whether the caller replaces the targets whatever they are now.

        Returns:
            The head, with what is confirmed by this look, and the locations of the targets or of all partitions.
        """
        head = self.finish_decided(lease, self.state.head())
        plans, wanted = self.locations.recent_plans(head), set(targets)
        every = None if whole else [*dict.fromkeys([*last_changes(plans), *targets])]
        actual = {} if every == [] else self._catalog.locations(self._table, every)
        late, unexplained = self.locations.compare(plans, actual)
        foreign = [c for c in unexplained if not (replacing and (whole or c.partition in wanted))]
        if foreign:
            raise self.locations.changed_error(foreign)
        if late:
            head = self.repair(lease, head, late)
        actual.update({change.partition: change.after for change in late if change.after})
        for change in late:
            if change.after is None:
                actual.pop(change.partition, None)
        return self._confirmed(head), {p: at for p, at in actual.items() if whole or p in wanted}

    def repair(self, lease: Lease, head: Head, late: Sequence[PartitionChange]) -> Head:
        """Put back what late requests changed, as a publish of its own: a run that read it meanwhile finds a conflict.

        Args:
            lease: held.
            head: as it is now.
            late: the changes that put it back.
        """
        record = CommitRecord(REPAIR, head.version + 1, plan_name(head.version + 1), rows=0)
        try:
            decided = self._decide(lease, head, CommitPlan(record, tuple(late), self.table_version()))
        except DocumentOverwrittenError as error:
            raise ConcurrentUpdateError(
                f"{self._table}: another run repairs the table at the same time; run again"
            ) from error
        return self.finish_decided(lease, decided, fresh=True)

    def _decide(self, lease: Lease, head: Head, plan: CommitPlan) -> Head:
        if head.document is None:
            # Before the first plan, so that plans without a head tell of a head that was deleted.
            head = self.state.write_head(head)
        self.state.write_plan(plan)
        lease.require()
        return self.state.write_head(replace(head, publishing=plan.record.plan))

    def _confirmed(self, head: Head) -> Head:
        """Note which publishes were just found in the catalog and are too old for late requests."""
        before = self._clock() - timedelta(seconds=LATE_SECONDS)
        confirmed = head.confirmed
        for commit in head.after(head.confirmed):
            if datetime.fromisoformat(commit.at) > before:
                break
            confirmed = commit.version
        return replace(head, confirmed=confirmed)

    def table_version(self) -> str:
        """Return the catalog's version of an unpartitioned table: its location is changed on the condition of it."""
        found = None if self._columns else self._catalog.table(self._table)
        return found.version if found else ""

    def decide_and_apply(self, lease: Lease, head: Head, plan: CommitPlan) -> CommitRecord:
        """Write a plan, name it in the head, which is the decision, and bring it to its end.

        Args:
            lease: held.
            head: as :meth:`ready` returned it.
            plan: of the publish.

        Raises:
            ConcurrentUpdateError: it was not decided, and never will be.
            PublishTakenOverError: decided; another run finishes it.
            OutcomeUnknownError: the storage does not say whether it was decided.
        """
        record = plan.record
        try:
            decided = self._decide(lease, head, plan)
        except DocumentOverwrittenError:
            return self._await_other(record)
        try:
            self.finish_decided(lease, decided, fresh=True)
        except ConcurrentUpdateError:
            return self._await_other(record)
        return record

    def _await_other(self, record: CommitRecord) -> CommitRecord:
        """Return the record of a publish that was decided and that another run is finishing, or finish it."""
        try:
            self.finish(record.run)
        except ConcurrentUpdateError as error:
            raise PublishTakenOverError(
                f"{self._table}: run {record.run} decided its publish and lost its lease, another run finishes it: {error}"
            ) from error
        found = self.state.record(record.run)
        if found is None or found.version < record.version:
            raise PublishTakenOverError(
                f"{self._table}: run {record.run} lost its lease before its publish; run it again to see whether it was "
                "published"
            )
        return record

    def finish_decided(self, lease: Lease, head: Head, *, fresh: bool = False) -> Head:
        """Apply the plan that the head names; changes that a run that died had made already change nothing.

        Args:
            lease: held.
            head: as it is now.
            fresh: whether the plan was made just now, so that nothing of it is applied yet.

        Raises:
            ConcurrentUpdateError: another run has taken the lease, and finishes it.
        """
        if not head.publishing:
            return head
        plan = self.state.plan(head.publishing)
        record = plan.record
        try:
            self.apply(lease, plan.changes, plan.table_version, fresh=fresh)
            lease.require()
            if record.run != REPAIR:
                self.state.write_record(record)
            if plan.staged:
                self.state.clear_staged(record.run, plan.staged)
            now = RecentCommit(record.version, record.plan, self._clock().isoformat())
            recent = (*head.recent, now)[-REMEMBERED:]
            return self.state.write_head(replace(head, version=record.version, publishing="", recent=recent))
        except (ConcurrentUpdateError, DocumentOverwrittenError) as error:
            # This run slept beyond its lease: what it changed since may have undone what others published.
            lease.release()
            self.finish(record.run)
            raise ConcurrentUpdateError(
                f"{self._table}: another run finished the publish of {record.run}: {error}"
            ) from error

    def apply(
        self, lease: Lease, changes: Sequence[PartitionChange], table_version: str = "", *, fresh: bool = False
    ) -> None:
        """Change partitions until the catalog has what is planned.

        Args:
            lease: held.
            changes: that are planned.
            table_version: see :meth:`Catalog.move`.
            fresh: whether nothing of it can be applied yet.
        """
        if fresh or not self._catalog.keeps_locations:
            self._move(lease, changes, table_version)
        if not self._catalog.keeps_locations:
            return
        for _ in range(_ROUNDS):
            left = self.locations.not_applied(changes)
            if not left:
                return
            self._move(lease, left, table_version)
        left = self.locations.not_applied(changes)
        if left:
            names = self.locations.names(change.partition for change in left)
            raise TableError(
                f"{self._table}: the catalog does not keep the location of {names}, {_ROUNDS} times; the next publish, or "
                "`python -m gluewright_core.tables doctor`, finishes what is left"
            )

    def _move(self, lease: Lease, changes: Sequence[PartitionChange], table_version: str) -> None:
        for start in range(0, len(changes), self._catalog.batch):
            lease.require()
            batch = changes[start : start + self._catalog.batch]
            self._catalog.move(self._table, batch, require=lease.require, version=table_version)
