"""A storage and a catalog in memory, with the promises of the real ones, for exploring protocols in microseconds.

Both announce their reads as well as their effects, keep a journal of what was seen and done, and can tell their state, so
that :mod:`gluewright_testing.interleavings` can stop before each step and recognise a state.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdate, ObjectNotFound
from gluewright_core.storage import ABSENT, ANY, Expect, Storage, StoredObject
from gluewright_core.tables.catalog import SWITCHED, Catalog, CatalogTable, Move, kinds_of
from gluewright_core.tables.interface import TableSpec
from gluewright_core.tables.partitions import Values


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
            raise ObjectNotFound(f"{self.uri_of(key)} does not exist")
        return found

    def write(self, key: str, body: bytes, *, expect: str | Expect = ANY) -> str:
        """See :meth:`Storage.write`."""
        with effect("storage.write", self.uri_of(key)), self._lock:
            found = self._objects.get(key)
            refused = (expect is ABSENT and found) or (isinstance(expect, str) and (found is None or found[1] != expect))
            self.journal.append((key, body, bool(refused)))
            if refused:
                raise ConcurrentUpdate(f"{self.uri_of(key)} was written by another writer")
            version = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self._objects[key] = (body, version)
            return version

    def delete(self, keys: Iterable[str]) -> int:
        """See :meth:`Storage.delete`."""
        doomed = list(keys)
        for key in doomed:
            with effect("storage.delete", self.uri_of(key)), self._lock:
                self.journal.append(("delete", key))
                self._objects.pop(key, None)
        return len(doomed)

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
        with effect("storage.read", self.uri_of(key)), self._lock:
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
        self._lock = threading.Lock()

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
        with effect("catalog.read", name), self._lock:
            found = {key: at for key, at in self.partitions.items() if partitions is None or key in partitions}
        self.journal.append(tuple(found.items()))
        return found

    def move(self, name: str, moves: Sequence[Move]) -> None:
        """See :meth:`Catalog.move`. Each partition is one effect, as in a catalog that applies a batch one by one."""
        added, switched, dropped = kinds_of(moves)
        for move in [*added, *switched]:
            with effect("catalog.move", str(move.partition)), self._lock:
                self.journal.append(move)
                self.partitions[move.partition] = str(move.after)
        for move in dropped:
            with effect("catalog.move", str(move.partition)), self._lock:
                self.journal.append(move)
                self.partitions.pop(move.partition, None)
