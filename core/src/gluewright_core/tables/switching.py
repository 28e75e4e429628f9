"""The protocol by which a run's partitions are switched in a catalog: planned, decided, applied, recorded.

Beside the table's folder, under ``_gluewright/tables/<table>/``, lie

- ``head``: the version (how many publishes there have been), the plan being applied now if any, and the latest plans;
- ``plans/<...>``: each publish's moves, written once and never changed;
- ``runs/<run>``: a run's receipt, by which the same run is recognised when it publishes again;
- ``staged/<run>``: files that a run has written aside and may publish later;
- ``lease``: who may change the head and the catalog now.

A publish takes the lease; finishes the plan of a run that died, if the head names one; compares the plans since its own
start with the partitions it wants to move; writes its plan; names it in the head, which is the decision; moves the
partitions, renewing the lease before each batch; writes the receipt; and clears the head. Killed before the decision it has
changed nothing; killed after it, the next run, or the same one again, finishes it. Readers of one partition see the old
files or the new ones, because a partition has one location.

This module knows nothing of Spark: it is tested against every interleaving of two writers on an in-memory store.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gluewright_core import state
from gluewright_core.errors import ConcurrentUpdate, PublishTakenOver, TableUnsupported
from gluewright_core.state import Body, Document, Documents, Lease, utc_now
from gluewright_core.storage import Storage
from gluewright_core.tables.catalog import Catalog, Move, relative_to, same_location
from gluewright_core.tables.partitions import Values, name_of

REMEMBERED = 100
"""How many publishes may happen while one run works, before its start is too long ago to compare with."""


@dataclass(frozen=True)
class Receipt:
    """What a run published: the version it made, its plan, its rows, and whether it was taken back."""

    run: str
    version: int
    plan: str
    rows: int
    undone: bool = False


class Switching:
    """The publishing protocol of one table.

    Args:
        catalog: where partitions are moved.
        table: its name in the catalog.
        columns: its partition columns, for messages.
        storage: the folder beside the table, where the protocol's documents lie.
        folder: the table's folder name.
        clock: tells the time, UTC.
        patience: how long to wait for another run that is switching, or died while it did, in seconds; by default a
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
        self._storage = storage
        self._documents = Documents(storage, f"tables/{folder}")
        self._clock = clock
        self._patience = state.LEASE_SECONDS * 1.25 if patience is None else patience

    def version(self) -> int:
        """Tell how many publishes the table has had: what a run notes at its start."""
        head = self._documents.read("head")
        return int(head.body["version"]) if head else 0

    def receipt(self, run: str) -> Receipt | None:
        """Look up what a run has published; None when it has not, or when that was taken back."""
        found = self._documents.read(f"runs/{run}")
        return None if found is None or found.body["undone"] else Receipt(**found.body)

    def staged(self, run: str) -> Body | None:
        """Look up what a run has staged; None when nothing is, or when it is published."""
        found = None if self.receipt(run) else self._documents.read(f"staged/{run}")
        return found.body if found else None

    def stage(self, run: str, body: Body) -> None:
        """Note the files that a run has written aside, to be published later.

        Args:
            run: the run's id.
            body: what there is to know; ``prefix`` tells these files from those of another attempt.

        Raises:
            ConcurrentUpdate: another attempt of the run has staged meanwhile. Nothing was noted.
        """
        self._documents.write(f"staged/{run}", body)

    def unstage(self, run: str, prefix: str) -> bool:
        """Forget what a run has staged, so that it cannot be published any more.

        Returns:
            Whether the files are nobody's now: not when they were published, or forgotten before.

        Raises:
            ConcurrentUpdate: another run is publishing now. Nothing was forgotten.
        """
        with self._lease(run) as lease:
            self._finish(lease, self._documents.read("head"))
            if not self._is_staged(run, prefix):
                return False
            # Also when it was undone: readers may still use the files.
            ever_published = self._documents.read(f"runs/{run}") is not None
            self._documents.delete(f"staged/{run}")
            return not ever_published

    def moves(self, receipt: Receipt) -> list[Move]:
        """Look up the moves of a publish."""
        return self._read_plan(receipt.plan)[1]

    def settle(self, run: str) -> None:
        """Finish what a run that died has decided and not applied.

        Raises:
            ConcurrentUpdate: that run is alive and switching.
        """
        head = self._documents.read("head")
        if head and head.body["publishing"]:
            with self._lease(run) as lease:
                self._finish(lease, self._documents.read("head"))

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
    ) -> Receipt:
        """Move partitions to their new locations.

        Args:
            run: the run's id.
            targets: the new location of each partition; None drops it.
            since: the version at the run's start: a partition moved by another run since then is a conflict.
            rows: how many rows the run has written, for its receipt.
            whole: the whole table is replaced: partitions that are not among the targets are dropped.
            alone: a move of any other partition since the run's start is a conflict too.
            staged: the prefix of files that were staged; they must still be.

        Returns:
            The receipt.

        Raises:
            ConcurrentUpdate: another run moved one of the partitions since, or is publishing now. Nothing was moved.
        """
        with self._lease(run) as lease:
            head = self._finish(lease, self._documents.read("head"))
            if done := self.receipt(run):
                return done
            if staged and not self._is_staged(run, staged):
                raise ConcurrentUpdate(f"{self._table}: what run {run} had staged was discarded; stage it again")
            self._refuse_conflicts(run, head, since, None if whole or alone else set(targets))
            current = self._catalog.locations(self._table, None if whole else list(targets))
            wanted = {**dict.fromkeys(current), **targets} if whole else targets
            moves = [Move(partition, current.get(partition), after) for partition, after in wanted.items()]
            receipt = self._decide_and_apply(lease, head, run, moves, rows)
            if staged:
                self._documents.delete(f"staged/{run}")
            return receipt

    def undo(self, run: str) -> list[Move]:
        """Move a run's partitions back to where they were.

        Returns:
            The moves, back.

        Raises:
            TableUnsupported: the run has not published here, or the files from before it were deleted since. Nothing was
                moved.
            ConcurrentUpdate: a later publish moved one of the partitions. Nothing was moved.
        """
        with self._lease(run) as lease:
            head = self._finish(lease, self._documents.read("head"))
            receipt = self.receipt(run)
            if receipt is None:
                raise TableUnsupported(f"{self._table}: run {run} has not published here, or was undone already")
            done = self.moves(receipt)
            current = self._catalog.locations(self._table, [move.partition for move in done])
            later = [move for move in done if not same_location(current.get(move.partition), move.after)]
            if later:
                raise ConcurrentUpdate(
                    f"{self._table}: {self._names(move.partition for move in later)} was published again after run {run}; "
                    "undo the later run first"
                )
            back = [Move(move.partition, move.after, move.before) for move in done]
            if swept := [move for move in back if move.after and self._is_swept(move.after)]:
                raise TableUnsupported(
                    f"{self._table}: the files of {self._names(move.partition for move in swept)} from before run {run} "
                    "are not there any more; publish these partitions again instead"
                )
            self._decide_and_apply(lease, head, run, back, receipt.rows, undone=True)
            return back

    def _is_swept(self, location: str) -> bool:
        """Tell whether nothing that readers see lies at a location in this storage; of others it is not known."""
        key = relative_to(location, self._storage.uri_of(""))
        names = (found.key.rpartition("/")[2] for found in self._storage.list_objects(f"{key}/"))
        return bool(key) and all(name.startswith(("_", ".")) for name in names)

    def _is_staged(self, run: str, prefix: str) -> bool:
        found = self._documents.read(f"staged/{run}")
        return found is not None and found.body["prefix"] == prefix

    def _lease(self, run: str) -> Lease:
        return Lease(self._documents, "lease", holder=run, clock=self._clock, patience=self._patience)

    def _decide_and_apply(
        self, lease: Lease, head: Document | None, run: str, moves: Sequence[Move], rows: int, *, undone: bool = False
    ) -> Receipt:
        version = (int(head.body["version"]) if head else 0) + 1
        plan = f"{version:08d}-{secrets.token_hex(4)}"
        receipt = Receipt(run, version, plan, rows, undone)
        body = {"receipt": asdict(receipt), "moves": [[list(m.partition), m.before, m.after] for m in moves]}
        self._documents.write(f"plans/{plan}", body)
        decided = {"version": version - 1, "publishing": plan, "recent": head.body["recent"] if head else []}
        lease.renew()
        self._finish(lease, self._documents.write("head", decided, expect=head))
        return receipt

    def _finish(self, lease: Lease, head: Document | None) -> Document | None:
        if head is None or not head.body["publishing"]:
            return head
        try:
            return self._apply_and_record(lease, head)
        except ConcurrentUpdate as error:
            raise PublishTakenOver(f"{self._table}: another run finishes the publish that was decided: {error}") from error

    def _apply_and_record(self, lease: Lease, head: Document) -> Document:
        """Apply the plan that the head names; moves that a run that died had made already change nothing."""
        receipt, moves = self._read_plan(head.body["publishing"])
        for start in range(0, len(moves), self._catalog.batch):
            lease.renew()
            self._catalog.move(self._table, moves[start : start + self._catalog.batch])
        lease.renew()
        self._documents.update(f"runs/{receipt.run}", lambda _: asdict(receipt))
        recent = [*head.body["recent"], [receipt.version, receipt.plan]][-REMEMBERED:]
        return self._documents.write("head", {"version": receipt.version, "publishing": None, "recent": recent}, expect=head)

    def _refuse_conflicts(self, run: str, head: Document | None, since: int, wanted: set[Values] | None) -> None:
        if head is None or int(head.body["version"]) == since:
            return
        later = [plan for version, plan in head.body["recent"] if version > since]
        if len(later) < int(head.body["version"]) - since:
            raise ConcurrentUpdate(
                f"{self._table}: more than {REMEMBERED} publishes since run {run} began; run it again on the newest rows"
            )
        for plan in later:
            receipt, moves = self._read_plan(plan)
            moved = [move.partition for move in moves if wanted is None or move.partition in wanted]
            if moved:
                raise ConcurrentUpdate(
                    f"{self._table}: run {receipt.run} published {self._names(moved)} after run {run} began; "
                    "run it again on the table as it is now"
                )

    def _read_plan(self, plan: str) -> tuple[Receipt, list[Move]]:
        found = self._documents.read(f"plans/{plan}")
        if found is None:
            raise TableUnsupported(
                f"{self._table}: {self._documents.uri_of(f'plans/{plan}')} is gone; restore it from a backup"
            )
        body: Mapping[str, Any] = found.body
        moves = [Move(tuple(partition), before, after) for partition, before, after in body["moves"]]
        return Receipt(**body["receipt"]), moves

    def _names(self, partitions: Any) -> str:
        names = [name_of(self._columns, partition) for partition in partitions]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
