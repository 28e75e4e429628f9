"""What every storage can do, and in which words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Expect(Enum):
    """What a conditional write expects to find, when it is not one known version."""

    ANY = "any"
    ABSENT = "absent"


ANY = Expect.ANY
"""Write whatever is there."""
ABSENT = Expect.ABSENT
"""Write only if no object has the key (S3: ``If-None-Match: *``)."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as a listing shows it.

    Attributes:
        key: relative to the storage's root, with ``/``.
        size: in bytes.
        version: changes whenever the content does (S3: the ETag).
        modified: when it was written, UTC. For a multipart upload S3 gives the time it was *begun*.
    """

    key: str
    size: int
    version: str
    modified: datetime


class Storage(ABC):
    """Objects below one root.

    Every method that changes something is one effect, or one effect an object. The errors are
    :class:`~gluewright_core.errors.StorageError` and its kinds, whatever lies below.

    Attributes:
        uri: the root, without a trailing ``/``, as Spark understands it.
        conditions_known: whether conditional writes are known to be honoured, or were stated not to be needed.
        request_seconds: how long one small request may take, all attempts together.
    """

    uri: str
    conditions_known: bool = True
    request_seconds: float = 0.0

    def uri_of(self, key: str) -> str:
        """Give the URI of a key (or of a prefix), as Spark understands it."""
        return f"{self.uri}/{key}" if key else self.uri

    @abstractmethod
    def list_objects(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List the objects whose key starts with ``prefix``, sorted by key as UTF-8 bytes.

        Args:
            prefix: a literal beginning of the key; end it with ``/`` to mean a folder.
            after: only keys greater than this one.

        Returns:
            The objects, read page by page as they are consumed; each key once.
        """

    @abstractmethod
    def list_folders(self, prefix: str = "") -> list[str]:
        """Give the names of the folders directly under ``prefix`` (which ends with ``/`` or is empty), sorted."""

    @abstractmethod
    def stat(self, key: str) -> StoredObject | None:
        """Look at one object; None when there is none."""

    @abstractmethod
    def read(self, key: str) -> tuple[bytes, str]:
        """Read one object.

        Returns:
            Its content and its version.

        Raises:
            ObjectNotFoundError: no object has that key.
        """

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part of one object.

        Args:
            key: of the object.
            start: the first byte; a negative number counts from the end.
            length: how many bytes; fewer are returned where the object ends.

        Raises:
            ObjectNotFoundError: no object has that key.
        """
        content, _ = self.read(key)
        first = start if start >= 0 else max(len(content) + start, 0)
        return content[first : first + length]

    @abstractmethod
    def write(self, key: str, body: bytes, *, expect: str | Expect = ANY) -> str:
        """Write one object; it appears whole.

        Args:
            key: where.
            body: the whole content, held in memory; for small objects.
            expect: :data:`ANY`, :data:`ABSENT`, or the version that must still be there.

        Returns:
            The new version.

        Raises:
            ConcurrentUpdateError: what is there is not what was expected. This request wrote nothing; where it was sent more
                than once, or another one is under way, it is an OutcomeUnknownError instead.
            OutcomeUnknownError: the storage gave no certain answer; the object may have been written, or may be later.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> int:
        """Delete objects; one that is not there is no error.

        Returns:
            How many keys were asked for.
        """

    @abstractmethod
    def delete_version(self, key: str, version: str) -> None:
        """Delete one object if it still has a version; no error when it is not there.

        Args:
            key: of the object.
            version: that must still be there.

        Raises:
            ConcurrentUpdateError: it has another version. Nothing was deleted.
        """

    @abstractmethod
    def join(self, sources: Sequence[str], target: str, *, expect: Expect = ANY) -> str:
        """Write the concatenation of objects as one object, without carrying the data through this process where possible.

        With one source this is a copy. The target appears whole; the sources stay.

        Args:
            sources: keys, in order.
            target: the key of the result, none of the sources.
            expect: :data:`ANY` or :data:`ABSENT`.

        Returns:
            The version of the target.

        Raises:
            ObjectNotFoundError: a source is missing.
            ConcurrentUpdateError: the target exists and was expected to be absent.
        """

    def clear(self, prefix: str, *, keep: Collection[str] = ()) -> None:
        """Delete every object below a prefix, in as few steps as the storage has.

        Args:
            prefix: with a trailing ``/``.
            keep: keys that stay.
        """
        self.delete([found.key for found in self.list_objects(prefix) if found.key not in keep])

    def move(self, source: str, target: str) -> None:
        """Move every object below one prefix to another; killed in between and called again, it finishes.

        Args:
            source: a prefix with a trailing ``/``.
            target: likewise; objects of the same name are replaced.
        """
        keys = [found.key for found in self.list_objects(source)]
        for key in keys:
            self.join([key], target + key.removeprefix(source))
        self.delete(keys)
