"""A storage and a catalog in memory, with the promises of the real ones, for exploring protocols in microseconds.

Both announce their reads as well as their effects, keep a journal of what was seen and done, and can tell their state, so
that :mod:`gluewright_testing.interleavings` can stop before each step and recognise a state.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any, Protocol

from gluewright_core.effects import Effect, effect
from gluewright_core.errors import ConcurrentUpdateError, ObjectNotFoundError, OutcomeUnknownError
from gluewright_core.storage import ABSENT, ANY, Expect, Storage, StoredObject
from gluewright_core.tables.catalog import SWITCHED, Catalog, CatalogTable, PartitionChange, kinds_of, unprotected
from gluewright_core.tables.interface import TableSpec
from gluewright_core.tables.partitions import Values

_TRIES = 4


class Network(Protocol):
    """What lies between a writer and its storage or catalog; a test may lose answers, or deliver late or twice."""

    def deliver(self, request: Effect, perform: Callable[[], Any], content: Hashable) -> Any:
        """Perform a request and return the answer.

        Args:
            request: its kind and target.
            perform: does it; may be called later, or more than once.
            content: tells it from another request of the same kind and target.

        Raises:
            OutcomeUnknownError: there is no answer.
        """


_networks: list[Network] = []


@contextmanager
def through(network: Network) -> Iterator[None]:
    """Send every request of the storages and catalogs in memory through a network while the body runs.

    Args:
        network: delivers them.
    """
    _networks.append(network)
    try:
        yield
    finally:
        _networks.pop()


def send(kind: str, target: str, perform: Callable[[], Any], content: Hashable = None) -> Any:
    """Announce a request as an effect, and let the network deliver it.

    Args:
        kind: of the effect, such as ``storage.write``.
        target: what it acts on.
        perform: does it, atomically.
        content: tells it from another request of the same kind and target.
    """
    request = Effect(kind, target)
    with effect(kind, target):
        return _networks[-1].deliver(request, perform, content) if _networks else perform()


class MemoryStorage(Storage):
    """Objects in a dictionary. Every effect happens between its announcements, atomically, like one request to S3."""

    def __init__(self, uri: str = "memory://store") -> None:
        self.uri = uri
        self.journal: list[Hashable] = []
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._lock = threading.Lock()

    def fingerprint(self) -> Hashable:
        """Tell one state from another."""
        return hash(tuple(sorted(self._objects.items())))

    def list_objects(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See :meth:`Storage.list_objects`."""
        with self._reading(prefix):
            found = {key: stored for key, stored in self._objects.items() if key.startswith(prefix)}
        self.journal.append(tuple(sorted(found)))
        for key in sorted(found, key=str.encode):
            if key.encode() > after.encode():
                yield _stored(key, found[key])

    def list_folders(self, prefix: str = "") -> list[str]:
        """See :meth:`Storage.list_folders`."""
        below = (found.key.removeprefix(prefix) for found in self.list_objects(prefix))
        return sorted({key.split("/")[0] for key in below if "/" in key})

    def stat(self, key: str) -> StoredObject | None:
        """See :meth:`Storage.stat`."""
        found = self._seen(key)
        return _stored(key, found) if found else None

    def read(self, key: str) -> tuple[bytes, str]:
        """See :meth:`Storage.read`."""
        found = self._seen(key)
        if found is None:
            raise ObjectNotFoundError(f"{self.uri_of(key)} does not exist")
        return found

    def write(self, key: str, body: bytes, *, expect: str | Expect = ANY) -> str:
        """See :meth:`Storage.write`."""

        def perform() -> str:
            with self._lock:
                found = self._objects.get(key)
                refused = (expect is ABSENT and found) or (isinstance(expect, str) and (found is None or found[1] != expect))
                self.journal.append((key, body, bool(refused)))
                if refused:
                    raise ConcurrentUpdateError(f"{self.uri_of(key)} was written by another writer")
                version = hashlib.md5(body, usedforsecurity=False).hexdigest()
                self._objects[key] = (body, version)
                return version

        return str(send("storage.write", self.uri_of(key), perform, (body, expect)))

    def delete(self, keys: Iterable[str]) -> int:
        """See :meth:`Storage.delete`."""
        doomed = list(keys)
        for key in doomed:
            send("storage.delete", self.uri_of(key), partial(self._remove, key))
        return len(doomed)

    def _remove(self, key: str) -> None:
        self.journal.append(("delete", key))
        self._objects.pop(key, None)

    def delete_version(self, key: str, version: str) -> None:
        """See :meth:`Storage.delete_version`."""

        def perform() -> None:
            found = self._objects.get(key)
            refused = found is not None and found[1] != version
            self.journal.append(("delete", key, version, refused))
            if refused:
                raise ConcurrentUpdateError(f"{self.uri_of(key)} was written by another writer")
            self._objects.pop(key, None)

        send("storage.delete", self.uri_of(key), perform, version)

    def join(self, sources: Sequence[str], target: str, *, expect: Expect = ANY) -> str:
        """See :meth:`Storage.join`."""
        return self.write(target, b"".join(self.read(source)[0] for source in sources), expect=expect)

    def _seen(self, key: str) -> tuple[bytes, str] | None:
        with self._reading(key):
            found = self._objects.get(key)
        self.journal.append((key, found))
        return found

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with effect("storage.read", self.uri_of(key)):
            yield


def _stored(key: str, found: tuple[bytes, str]) -> StoredObject:
    return StoredObject(key, len(found[0]), found[1], datetime.fromtimestamp(0, UTC))


class MemoryCatalog(Catalog):
    """One table's partitions in a dictionary.

    Args:
        batch: how many partitions one protected step moves.
    """

    def __init__(self, *, batch: int = 100) -> None:
        self.batch = batch
        self.journal: list[Hashable] = []
        self.partitions: dict[Values, str] = {}

    def fingerprint(self) -> Hashable:
        """Tell one state from another."""
        return hash(frozenset(self.partitions.items()))

    def table(self, name: str) -> CatalogTable | None:
        """See :meth:`Catalog.table`."""
        return CatalogTable({}, (), "memory://store/table", {SWITCHED: "memory://store/table"})

    def create(self, spec: TableSpec, properties: Mapping[str, str]) -> None:
        """See :meth:`Catalog.create`."""

    def evolve(self, spec: TableSpec) -> None:
        """See :meth:`Catalog.evolve`."""

    def mark(self, name: str, properties: Mapping[str, str]) -> None:
        """See :meth:`Catalog.mark`."""

    def locations(self, name: str, partitions: Sequence[Values] | None = None) -> dict[Values, str]:
        """See :meth:`Catalog.locations`."""
        with effect("catalog.read", name):
            found = {key: at for key, at in self.partitions.items() if partitions is None or key in partitions}
        self.journal.append(tuple(found.items()))
        return found

    def move(
        self, name: str, moves: Sequence[PartitionChange], *, require: Callable[[], None] = unprotected, version: str = ""
    ) -> None:
        """See :meth:`Catalog.move`. Each partition is one effect, as in a catalog that applies a batch one by one."""
        for move in chain.from_iterable(kinds_of(moves)):
            self._change(move, require)

    def _change(self, move: PartitionChange, require: Callable[[], None]) -> None:
        """Change one partition, again while there is no answer, as a client of a real catalog does."""

        def perform() -> None:
            self.journal.append(move)
            if move.after is None:
                self.partitions.pop(move.partition, None)
            else:
                self.partitions[move.partition] = move.after

        for _ in range(_TRIES):
            require()
            with suppress(OutcomeUnknownError):
                send("catalog.move", str(move.partition), perform, move.after)
                return
        raise OutcomeUnknownError(f"the catalog did not answer for {move.partition}")
