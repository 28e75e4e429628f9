"""A storage and a catalog in memory, with the promises of the real ones, for exploring protocols in microseconds."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    def list_objects(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See :meth:`Storage.list_objects`."""
        with self._lock:
            found = sorted(self._objects, key=str.encode)
        for key in found:
            if key.startswith(prefix) and key.encode() > after.encode() and (stored := self.stat(key)):
                yield stored

    def list_folders(self, prefix: str = "") -> list[str]:
        """See :meth:`Storage.list_folders`."""
        below = (found.key.removeprefix(prefix) for found in self.list_objects(prefix))
        return sorted({key.split("/")[0] for key in below if "/" in key})

    def stat(self, key: str) -> StoredObject | None:
        """See :meth:`Storage.stat`."""
        found = self._objects.get(key)
        return StoredObject(key, len(found[0]), found[1], datetime.fromtimestamp(0, UTC)) if found else None

    def read(self, key: str) -> tuple[bytes, str]:
        """See :meth:`Storage.read`."""
        found = self._objects.get(key)
        if found is None:
            raise ObjectNotFound(f"{self.uri_of(key)} does not exist")
        return found

    def write(self, key: str, body: bytes, *, expect: str | Expect = ANY) -> str:
        """See :meth:`Storage.write`."""
        with effect("storage.write", self.uri_of(key)), self._lock:
            found = self._objects.get(key)
            if (expect is ABSENT and found) or (isinstance(expect, str) and (found is None or found[1] != expect)):
                raise ConcurrentUpdate(f"{self.uri_of(key)} was written by another writer")
            version = str(next(self._versions))
            self._objects[key] = (body, version)
            return version

    def delete(self, keys: Iterable[str]) -> int:
        """See :meth:`Storage.delete`."""
        doomed = list(keys)
        for key in doomed:
            with effect("storage.delete", self.uri_of(key)), self._lock:
                self._objects.pop(key, None)
        return len(doomed)

    def join(self, sources: Sequence[str], target: str, *, expect: Expect = ANY) -> str:
        """See :meth:`Storage.join`."""
        return self.write(target, b"".join(self.read(source)[0] for source in sources), expect=expect)


class MemoryCatalog(Catalog):
    """One table's partitions in a dictionary.

    Args:
        spec: of the table.
        batch: how many partitions one protected step moves.
    """

    def __init__(self, spec: TableSpec, *, batch: int = 100) -> None:
        self.batch = batch
        self.partitions: dict[Values, str] = {}
        self._spec = spec
        self._lock = threading.Lock()

    def table(self, name: str) -> CatalogTable | None:
        """See :meth:`Catalog.table`."""
        return CatalogTable({}, self._spec.partition_by, self._spec.location, {SWITCHED: self._spec.location})

    def create(self, spec: TableSpec, properties: Mapping[str, str]) -> None:
        """See :meth:`Catalog.create`."""

    def mark(self, name: str, properties: Mapping[str, str]) -> None:
        """See :meth:`Catalog.mark`."""

    def locations(self, name: str, partitions: Sequence[Values] | None = None) -> dict[Values, str]:
        """See :meth:`Catalog.locations`."""
        with self._lock:
            return {key: at for key, at in self.partitions.items() if partitions is None or key in partitions}

    def move(self, name: str, moves: Sequence[Move]) -> None:
        """See :meth:`Catalog.move`. Each partition is one effect, as in a catalog that applies a batch one by one."""
        added, switched, dropped = kinds_of(moves)
        for move in [*added, *switched]:
            with effect("catalog.move", str(move.partition)), self._lock:
                self.partitions[move.partition] = str(move.after)
        for move in dropped:
            with effect("catalog.move", str(move.partition)), self._lock:
                self.partitions.pop(move.partition, None)
