"""A local folder with the promises of S3: whole objects, conditional writes with one winner, no empty folders."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from gluewright_core.effects import effect
from gluewright_core.errors import (
    ConcurrentUpdateError,
    ObjectNotFoundError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
)
from gluewright_core.storage.interface import ABSENT, ANY, Expect, Storage, StoredObject

_UNFINISHED = ".gluewright-unfinished-"
_CHUNK = 1 << 20


class LocalStorage(Storage):
    """Objects as files below a folder.

    A write goes to a temporary file that is renamed into place. A conditional write holds an exclusive lock (``flock``) on
    the key's folder while it looks and renames; the system drops the lock when the process dies, so none is ever left
    behind. Needs a POSIX system (Linux, macOS, WSL) and a file system with working locks; not NFS without them.

    Args:
        root: the folder; made when first written to.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links
        self.uri = f"file://{self._root.as_posix()}"

    def list_objects(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:  # noqa: D102
        folder, _, _ = prefix.rpartition("/")
        wanted, passed = prefix.encode(), after.encode()
        for key in self._walk(folder):
            encoded = key.encode()
            if encoded.startswith(wanted) and encoded > passed and (found := self.stat(key)):
                yield found

    def list_folders(self, prefix: str = "") -> list[str]:  # noqa: D102
        with _explained(self.uri_of(prefix)):
            try:
                found = [entry.name for entry in os.scandir(self._root / prefix) if entry.is_dir()]
                return sorted(name for name in found if not name.startswith(_UNFINISHED))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def stat(self, key: str) -> StoredObject | None:  # noqa: D102
        path = self._path(key)
        with _explained(self.uri_of(key)):
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return StoredObject(key, status.st_size, _version(status), datetime.fromtimestamp(status.st_mtime, UTC))

    def read(self, key: str) -> tuple[bytes, str]:  # noqa: D102
        with _explained(self.uri_of(key)):
            try:
                with self._path(key).open("rb") as file:
                    return file.read(), _version(os.fstat(file.fileno()))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectNotFoundError(f"{self.uri_of(key)} does not exist") from None

    def read_range(self, key: str, start: int, length: int) -> bytes:  # noqa: D102
        with _explained(self.uri_of(key)):
            try:
                with self._path(key).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    file.seek(start if start >= 0 else max(size + start, 0))
                    return file.read(length)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectNotFoundError(f"{self.uri_of(key)} does not exist") from None

    def write(self, key: str, body: bytes, *, expect: str | Expect = ANY) -> str:  # noqa: D102
        def fill(file: BinaryIO) -> None:
            file.write(body)

        return self._put(key, fill, expect)

    def delete(self, keys: Iterable[str]) -> int:  # noqa: D102
        asked = 0
        for key in keys:
            asked += 1
            with _explained(self.uri_of(key)), effect("storage.delete", self.uri_of(key)):
                self._path(key).unlink(missing_ok=True)
                self._prune(self._path(key).parent)
        return asked

    def join(self, sources: Sequence[str], target: str, *, expect: Expect = ANY) -> str:  # noqa: D102
        def fill(file: BinaryIO) -> None:
            for source in sources:
                try:
                    part = self._path(source).open("rb")
                except FileNotFoundError:
                    raise ObjectNotFoundError(f"{self.uri_of(source)} does not exist, so it cannot be joined") from None
                with part:
                    shutil.copyfileobj(part, file, _CHUNK)

        return self._put(target, fill, expect)

    def delete_version(self, key: str, version: str) -> None:  # noqa: D102
        path = self._path(key)
        with _explained(self.uri_of(key)):
            if self.stat(key) is None:
                return
            with _locked(path.parent, version):
                if self.stat(key) is not None:
                    self._check(key, version)
                    with effect("storage.delete", self.uri_of(key)):
                        path.unlink(missing_ok=True)
            self._prune(path.parent)

    def clear(self, prefix: str, *, keep: Collection[str] = ()) -> None:
        """Take a folder away by one rename, so that no reader sees half of it; see :meth:`Storage.clear`."""
        doomed = self._path(prefix)
        if keep or not prefix:
            super().clear(prefix, keep=keep)
        elif doomed.is_dir():
            with _explained(self.uri_of(prefix)):
                away = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._root))
                with effect("storage.delete", self.uri_of(prefix)):
                    doomed.rename(away / "doomed")
                shutil.rmtree(away)
                self._prune(doomed.parent)

    def move(self, source: str, target: str) -> None:
        """Move a folder by one rename where nothing is in its place; see :meth:`Storage.move`."""
        origin, goal = self._path(source), self._path(target)
        if goal.exists():
            super().move(source, target)
        elif origin.exists():
            with _explained(self.uri_of(target)), effect("storage.write", self.uri_of(target)):
                goal.parent.mkdir(parents=True, exist_ok=True)
                origin.rename(goal)
                self._prune(origin.parent)

    def _put(self, key: str, fill: Callable[[BinaryIO], None], expect: str | Expect) -> str:
        path = self._path(key)
        # The temporary file keeps the folder from being pruned, so the folder that is locked is the one that is written to.
        with _explained(self.uri_of(key)), _temporary(path.parent, fill) as written, _locked(path.parent, expect):
            self._check(key, expect)
            version = _version(written.stat())
            with effect("storage.write", self.uri_of(key)):
                written.replace(path)
            return version

    def _check(self, key: str, expect: str | Expect) -> None:
        if expect is ANY:
            return
        found = self.stat(key)
        if expect is ABSENT and found:
            raise ConcurrentUpdateError(f"{self.uri_of(key)} exists already: another writer made it first")
        if expect is not ABSENT and (found is None or found.version != expect):
            raise ConcurrentUpdateError(f"{self.uri_of(key)} was changed by another writer since it was read; read it again")

    def _walk(self, folder: str) -> Iterator[str]:
        with _explained(self.uri_of(folder)):
            try:
                entries = [(e.name + "/" if e.is_dir() else e.name) for e in os.scandir(self._root / folder)]
            except (FileNotFoundError, NotADirectoryError):
                return
        for name in sorted(entries, key=str.encode):
            key = f"{folder}/{name}" if folder else name
            if name.startswith(_UNFINISHED):
                continue
            if name.endswith("/"):
                yield from self._walk(key[:-1])
            else:
                yield key

    def _path(self, key: str) -> Path:
        if ".." in key.split("/") or key.startswith("/"):
            raise StorageError(f"{key!r} is not a key below {self.uri}: it must be relative and without '..'")
        return self._root / key

    def _prune(self, folder: Path) -> None:
        """S3 has no empty folders; a reader by path must not find one here."""
        with suppress(OSError):
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent


def _version(status: os.stat_result) -> str:
    """Tell contents apart without reading them: every write is a new file with a time of its own, in nanoseconds."""
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


@contextmanager
def _temporary(folder: Path, fill: Callable[[BinaryIO], None]) -> Iterator[Path]:
    descriptor, name = _make_temporary(folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        # The kernel's own stamp is only as fine as its clock tick: two writes within one could look the same.
        os.utime(name, ns=(now := time.time_ns(), now))
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _make_temporary(folder: Path) -> tuple[int, str]:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process pruned the folder just now
            return tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)


@contextmanager
def _locked(folder: Path, expect: str | Expect) -> Iterator[None]:
    if expect is ANY:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError(f"{uri}: the disk is full; free space or choose another place, then run again") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StorageDeniedError(
                f"{uri}: may not be read or written ({error.strerror}); check its permissions"
            ) from error
        raise StorageError(f"{uri}: {error.strerror or error}") from error
