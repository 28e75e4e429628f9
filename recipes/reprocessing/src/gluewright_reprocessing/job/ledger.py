"""The ledger of a table's reprocessings, as documents beside the table.

Under ``_gluewright/reprocessings/<table>/`` lie

- ``<run>``: what the run was asked to redo, written once;
- ``<run>/<partition>``: how far each partition has come, changed by compare-and-swap;
- ``published/<partition>``: what was published last of a partition, by whichever run;
- ``claims/<run>``: which partitions a run that is at work has, until when.

Each is small and about one partition, so a step costs the same however many partitions and runs there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import ConcurrentUpdateError, DocumentOverwrittenError, InvalidStateError
from gluewright_core.leases import Lease, holder_of, utc_now
from gluewright_core.state import Document, Documents
from gluewright_reprocessing.plan import Entry, InvalidLedgerError, Partition, digest, name

if TYPE_CHECKING:
    from gluewright_core.storage import Storage


class RunTakenError(ConcurrentUpdateError):
    """Another process goes on with the same run: this one stops."""


@dataclass(frozen=True)
class Plan:
    """What a run was asked to redo.

    Attributes:
        partitions: which.
        began: when it was planned, UTC, as ISO 8601.
    """

    partitions: Sequence[Partition]
    began: str


class Ledger:
    """The documents of one table's reprocessings.

    Args:
        storage: the folder beside the table.
        table: its name.
    """

    def __init__(self, storage: Storage, table: str) -> None:
        self._table = table
        self._kind = f"reprocessings/{table}"
        self._documents = Documents(storage, self._kind)
        self._known: dict[str, Document] = {}

    def plan(self, run: str, partitions: Sequence[Partition] | None = None) -> Plan | None:
        """Look up what a run was asked to redo, or note it.

        Args:
            run: the run's id.
            partitions: noted if nothing is yet.

        Returns:
            What was noted first; None if nothing was and nothing is given.
        """
        found = self._documents.read(run)
        if found is None:
            if partitions is None:
                return None
            body = {"partitions": list(partitions), "began": datetime.now(UTC).isoformat(timespec="microseconds")}
            try:
                found = self._documents.write(run, body)
            except (ConcurrentUpdateError, DocumentOverwrittenError) as error:
                raise RunTakenError(f"{self._table}: another process begins run {run} now; let it work") from error
        try:
            return Plan(found.body["partitions"], found.body["began"])
        except KeyError as error:
            raise InvalidStateError(f"{self._documents.uri_of(run)} has no {error}; restore it from a backup") from error

    def entries(self, run: str, partitions: Iterable[Partition]) -> list[Entry]:
        """Look up how far each partition of a run has come."""
        return [self._entry(run, partition) for partition in partitions]

    def _entry(self, run: str, partition: Partition) -> Entry:
        document = f"{run}/{digest(partition)}"
        found = self._documents.read(document)
        if found is None:
            self._known.pop(document, None)
            return Entry(partition)
        self._known[document] = found
        return self._read(found)

    def move(self, run: str, entry: Entry, to: str, **facts: Any) -> Entry:
        """Note that a partition has come one step further.

        Args:
            run: the run's id.
            entry: where it was, as this ledger told or returned it.
            to: the next state.
            facts: what is known now.

        Raises:
            RunTakenError: another process has moved it meanwhile. Nothing was noted.
        """
        document = f"{run}/{digest(entry.partition)}"
        moved = entry.moved(to, **facts)
        try:
            self._known[document] = self._documents.write(document, moved.as_json(), expect=self._known.get(document))
        except (ConcurrentUpdateError, DocumentOverwrittenError) as error:
            raise RunTakenError(
                f"{self._table}: another process goes on with run {run} and has {name(entry.partition)}; let it work"
            ) from error
        return moved

    def note_published(self, run: str, entry: Entry) -> None:
        """Note what is published of a partition now."""
        self._documents.update(f"published/{digest(entry.partition)}", lambda _: {"run": run, **entry.as_json()})

    def forget_published(self, run: str, partition: Partition) -> None:
        """Forget what is published of a partition, if it was the run's."""

        def forgotten(body: dict[str, Any] | None) -> dict[str, Any]:
            return body if body and body["run"] != run else {"run": ""}

        self._documents.update(f"published/{digest(partition)}", forgotten)

    def published(self, partitions: Iterable[Partition]) -> dict[str, Entry]:
        """Look up what was published last of partitions, by :func:`digest`."""
        there = set(self._documents.names("published"))
        wanted = [each for each in map(digest, partitions) if each in there]
        found = {each: self._documents.read(f"published/{each}") for each in wanted}
        return {each: self._read(document) for each, document in found.items() if document and document.body["run"]}

    def runs(self) -> list[str]:
        """List the runs, oldest first."""
        found = {run: plan for run in self._documents.names() if (plan := self.plan(run))}
        return sorted(found, key=lambda run: found[run].began)

    @contextmanager
    def claimed(self, run: str, partitions: Sequence[Partition]) -> Iterator[None]:
        """Keep other runs from the same partitions while the body runs.

        A claim is a lease that renews itself. The same run may take it over at once: its process has died, or notices by the
        entries that it is not alone.

        Raises:
            ConcurrentUpdateError: another run works on some of them.
        """
        mine = {digest(partition): name(partition) for partition in partitions}
        # Noted before looking at others': of two that begin at once, none may overlook the other.
        with self._claim(run, mine):
            self._refuse_overlap(run, mine)
            yield

    def _claim(self, run: str, mine: dict[str, str]) -> Lease:
        note = {"partitions": mine}
        return Lease(self._documents, f"claims/{run}", holder=run, note=note, reentrant=True, transient=True)

    def _refuse_overlap(self, run: str, mine: dict[str, str]) -> None:
        for other in self._documents.names("claims"):
            found = self._documents.read(f"claims/{other}") if other != run else None
            if found is None or holder_of(found, utc_now()) is None:
                continue
            if both := [mine[each] for each in found.body["partitions"] if each in mine]:
                raise ConcurrentUpdateError(
                    f"{self._table}: run {other} reprocesses {both[0]}{' and others' if both[1:] else ''} now; run again "
                    f"when it is done (or after {found.body['until']}, if it died)"
                )

    def _read(self, document: Document) -> Entry:
        body = {key: value for key, value in document.body.items() if key != "run"}
        try:
            return Entry.from_json(body)
        except InvalidLedgerError as error:
            raise InvalidStateError(f"{self._documents.uri_of(document.name)}: {error}") from error
