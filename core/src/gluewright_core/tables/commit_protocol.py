"""The protocol by which a run's partitions are switched in a catalog: planned, decided, applied, checked, recorded.

Beside the table's folder, under ``_gluewright/tables/<table>/``, lie

- ``head``: the version (how many publishes there have been), the plan being applied now if any, and the latest plans;
- ``plans/<...>``: each publish's changes, written once and never changed;
- ``runs/<run>``: a run's commit record, by which the same run is recognised when it publishes again;
- ``staged/<run>``: files that a run has written and may publish later;
- ``lease``: who may change the head and the catalog now.

A publish takes the lease; finishes the plan of a run that died, if the head names one; compares the plans since its own
start with the partitions it wants to change; writes its plan; names it in the head, which is the decision; changes the
partitions, with the lease required before each request; looks whether the catalog has what was planned; writes the commit
record; and clears the head. Killed before the decision it has changed nothing; killed after it, the next run, or the same
one again, finishes it. Readers of one partition see the old files or the new ones, because a partition has one location.

A catalog cannot refuse a request that is late: one of a run that was paused beyond its lease, or a duplicate that arrives
after a later publish. Therefore every begin and every publish first compares the catalog with the plans that are recent
enough for that (:meth:`CommitProtocol.finish`), and puts back what a late request has changed. What no plan explains was
changed by something else: that is an error, not repaired.

This module knows nothing of Spark: it is tested against every interleaving of two writers on an in-memory store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from gluewright_core.errors import ConcurrentUpdateError, InvalidStateError, UnsupportedTableError
from gluewright_core.leases import utc_now
from gluewright_core.state import Body
from gluewright_core.storage import Storage
from gluewright_core.tables.catalog import Catalog, PartitionChange, same_location
from gluewright_core.tables.commit_engine import REMEMBERED, CommitEngine
from gluewright_core.tables.commit_state import REPAIR, CommitPlan, CommitRecord, Head, plan_name
from gluewright_core.tables.partitions import Values, name_of
from gluewright_core.tables.swept import count_files, is_complete


class CommitProtocol:
    """The publishing protocol of one table.

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
        self.engine = CommitEngine(catalog, table, columns, storage, folder, clock=clock, patience=patience)
        self.state = self.engine.state
        self._locations = self.engine.locations
        self._catalog = catalog
        self._table = table
        self._columns = columns
        self._storage = storage

    def version(self) -> int:
        """Return how many publishes the table has had, repairs included: what a run notes at its start."""
        return self.state.head().version

    def record(self, run: str) -> CommitRecord | None:
        """Look up what a run has published; None when it has not, or when that was taken back."""
        found = self.state.record(run)
        return None if found is None or found.undone else found

    def staged(self, run: str) -> Body | None:
        """Look up what a run has staged; None when nothing is, or when it is published."""
        return None if self.record(run) else self.state.staged(run)[1]

    def stage(self, run: str, body: Body) -> None:
        """Note the files that a run has written, to be published later.

        Args:
            run: the run's id.
            body: what there is to know; ``prefix`` tells these files from those of another attempt.

        Raises:
            ConcurrentUpdateError: another attempt of the run has staged meanwhile. Nothing was noted.
        """
        document, there = self.state.staged(run)
        if there:
            raise ConcurrentUpdateError(f"{self._table}: another attempt of run {run} has staged at the same time")
        self.state.write_staged(run, body, document)

    def unstage(self, run: str, prefix: str) -> bool:
        """Forget what a run has staged, so that it cannot be published any more.

        Returns:
            Whether nobody needs the files: not when they were published, or forgotten before.

        Raises:
            ConcurrentUpdateError: another run is publishing now. Nothing was forgotten.
        """
        with self.engine.lease(run) as lease:
            head = self.engine.finish_decided(lease, self.state.head())
            if not self._is_staged(run, prefix):
                return False
            # A head that an earlier attempt wrote without an answer, and that is still under way, comes too late now.
            lease.require()
            self.state.write_head(head)
            # Also when it was undone: readers may still use the files.
            ever_published = self.state.record(run) is not None
            self.state.clear_staged(run, prefix)
            return not ever_published

    def changes(self, record: CommitRecord) -> Sequence[PartitionChange]:
        """Look up the changes of a publish."""
        return self.state.plan(record.plan).changes

    def pending(self) -> dict[str, str]:
        """Return the partitions that a decided publish has still to change, each with the run that publishes it."""
        head = self.state.head()
        if not head.publishing:
            return {}
        plan = self.state.plan(head.publishing)
        left = self._locations.not_applied(plan.changes) if self._catalog.keeps_locations else plan.changes
        return {name_of(self._columns, change.partition): plan.record.run for change in left}

    def finish(self, run: str) -> int:
        """Finish what a run that died has decided, and put back what late requests have changed.

        Returns:
            How many publishes the table has had, repairs included.

        Raises:
            ConcurrentUpdateError: that run is alive and publishing.
            TableChangedError: the catalog has locations that no publish explains.
        """
        return self.engine.finish(run)

    def publish(
        self,
        run: str,
        targets: Mapping[Values, str | None],
        *,
        since: int,
        rows: int,
        whole: bool = False,
        alone: bool = False,
        staged: str = "",
        files: Mapping[Values, tuple[int, int]] | None = None,
    ) -> CommitRecord:
        """Change partitions to their new locations.

        Args:
            run: the run's id.
            targets: the new location of each partition; None drops it.
            since: the version at the run's start: a partition changed by another run since then is a conflict.
            rows: how many rows the run has written, for its commit record.
            whole: the whole table is replaced: partitions that are not among the targets are dropped.
            alone: a change of any other partition since the run's start is a conflict too.
            staged: the prefix of files that were staged; they must still be.
            files: how many files and bytes each target has, by which an undo knows later whether they are all there.

        Returns:
            The commit record.

        Raises:
            ConcurrentUpdateError: another run changed one of the partitions since, or is publishing now. Nothing was
                decided, and
                nothing ever will be: the run's files may be deleted.
            PublishTakenOverError: decided; another run finishes it.
            OutcomeUnknownError: the storage does not say whether it was decided.
        """
        with self.engine.lease(run) as lease:
            head, current = self.engine.ready(lease, targets, whole=whole, replacing=not alone)
            if done := self.record(run):
                return done
            if staged and not self._is_staged(run, staged):
                raise ConcurrentUpdateError(f"{self._table}: what run {run} had staged was discarded; stage it again")
            self._refuse_conflicts(run, head, since, None if whole or alone else set(targets), repairs=alone)
            wanted = {**dict.fromkeys(current), **targets} if whole else targets
            changes = tuple(
                PartitionChange(partition, current.get(partition), after, (files or {}).get(partition))
                for partition, after in wanted.items()
            )
            record = CommitRecord(run, head.version + 1, plan_name(head.version + 1), rows)
            plan = CommitPlan(record, changes, self.engine.table_version(), staged)
            return self.engine.decide_and_apply(lease, head, plan)

    def undo(self, run: str) -> list[PartitionChange]:
        """Change a run's partitions back to where they were.

        Returns:
            The changes, back.

        Raises:
            UnsupportedTableError: the run has not published here, or files from before it were deleted since. Nothing was
                changed.
            ConcurrentUpdateError: a later publish changed one of the partitions. Nothing was changed.
        """
        with self.engine.lease(run) as lease:
            head, _ = self.engine.ready(lease)
            record = self.record(run)
            if record is None:
                raise UnsupportedTableError(f"{self._table}: run {run} has not published here, or was undone already")
            done = self.changes(record)
            current = self._catalog.locations(self._table, [change.partition for change in done])
            later = [c for c in done if not same_location(current.get(c.partition), c.after)]
            if later:
                names = self._locations.names(change.partition for change in later)
                raise ConcurrentUpdateError(
                    f"{self._table}: {names} was published again after run {run}; undo the later run first"
                )
            back = [self._back(head, change) for change in done]
            if swept := [c for c in back if c.after and not is_complete(self._storage, c.after, c.files)]:
                names = self._locations.names(change.partition for change in swept)
                raise UnsupportedTableError(
                    f"{self._table}: files of {names} from before run {run} are not there any more; publish these "
                    "partitions again instead"
                )
            undone = CommitRecord(run, head.version + 1, plan_name(head.version + 1), record.rows, undone=True)
            self.engine.decide_and_apply(lease, head, CommitPlan(undone, tuple(back), self.engine.table_version()))
            return back

    def _is_staged(self, run: str, prefix: str) -> bool:
        _, body = self.state.staged(run)
        return body is not None and body["prefix"] == prefix

    def _back(self, head: Head, change: PartitionChange) -> PartitionChange:
        files = None if change.before is None else count_files(self.state, head, change.partition, change.before)
        return PartitionChange(change.partition, change.after, change.before, files)

    def _refuse_conflicts(self, run: str, head: Head, since: int, wanted: set[Values] | None, *, repairs: bool) -> None:
        if head.version < since:
            raise InvalidStateError(
                f"{self.state.uri}: version {head.version}, and run {run} began at version {since}: the head was deleted or "
                "restored from an older backup meanwhile; run again"
            )
        later = head.after(since)
        if len(later) < head.version - since:
            raise ConcurrentUpdateError(
                f"{self._table}: more than {REMEMBERED} publishes since run {run} began; run it again on the newest rows"
            )
        for commit in later:
            plan = self.state.plan(commit.plan)
            is_repair = plan.record.run == REPAIR
            if is_repair and not repairs:
                continue  # the rows are those that were published before
            changed = [c.partition for c in plan.changes if wanted is None or c.partition in wanted]
            if changed:
                names = self._locations.names(changed)
                what = f"a late request changed {names}" if is_repair else f"run {plan.record.run} published {names}"
                raise ConcurrentUpdateError(
                    f"{self._table}: {what} after run {run} began; run it again on the table as it is now"
                )
