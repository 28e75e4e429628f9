"""Find landed files, and refuse by name those that cannot be read at all."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from os.path import commonprefix
from urllib.parse import unquote

from gluewright_core.errors import LandingError
from gluewright_core.storage import Storage, open_storage

HEAD, LONG_HEAD = 4 << 10, 4 << 20
"""How many bytes of a file are looked at: first, and where its first line is longer."""
UTF8_BOM = codecs.BOM_UTF8
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP = b"\x1f\x8b"
_OTHER_CODECS = re.compile(r"[.](bz2|zst|snappy|lz4|deflate|xz|zip|7z|lzo)$", re.IGNORECASE)
_THREADS = 16
# Characters that a path in Spark's readers does not have literally.
_GLOB = re.compile(r"([\\{}\[\]*?])")


@dataclass(frozen=True)
class LandedFile:
    """One file that is not empty.

    Attributes:
        storage: that holds it.
        key: in the storage.
        size: in bytes.
        head: its first bytes, decompressed; empty for Parquet.
        complete: whether the head is the whole file.
    """

    storage: Storage
    key: str
    size: int
    head: bytes = b""
    complete: bool = False

    @property
    def uri(self) -> str:
        """Its URI."""
        return self.storage.uri_of(self.key)

    @property
    def path(self) -> str:
        """Its URI as a path for Spark's readers, which take some characters for patterns."""
        return _GLOB.sub(r"\\\1", self.uri)


@dataclass(frozen=True)
class Landing:
    """The files of a landing.

    Attributes:
        location: as it was asked for, for messages.
        files: those that are not empty, sorted.
        base: the folder below which folders are columns, or empty.
        partitions: the names of those columns.
    """

    location: str
    files: tuple[LandedFile, ...]
    base: str
    partitions: tuple[str, ...]

    @property
    def options(self) -> dict[str, str]:
        """Options for Spark's readers."""
        return {"basePath": self.base} if self.partitions else {"recursiveFileLookup": "true"}


def find_files(locations: Sequence[str], base: str, *, text: bool) -> Landing:
    """List the files and look at their first bytes.

    Args:
        locations: folders or files.
        base: the folder below which folders are columns; empty for the location, if it is one.
        text: whether they are text, perhaps compressed.

    Raises:
        LandingError: there are none, or one of them cannot be read as text in UTF-8.
    """
    shown = ", ".join(locations[:3]) + (", ..." if len(locations) > 3 else "")
    listed = list(_listed(locations))
    if not listed:
        raise LandingError(f"{shown or 'the landing'}: there are no files; check the location, and whether they have landed")
    folder = open_storage(base or locations[0]).uri if base or len(locations) == 1 else ""
    partitions = _partitions(folder, listed)
    filled = [file for file in listed if file.size]
    if text:
        with ThreadPoolExecutor(_THREADS) as pool:
            filled = list(pool.map(with_head, filled))
    return Landing(shown, tuple(file for file in filled if not text or file.head), folder, partitions)


def with_head(file: LandedFile, size: int = HEAD) -> LandedFile:
    """Read the first bytes of a text file.

    Args:
        file: to look at.
        size: of the part that is read.

    Raises:
        LandingError: it is compressed in a way that is not read, damaged, or UTF-16.
    """
    refuse = partial(_refused, file)
    if found := _OTHER_CODECS.search(file.key):
        raise refuse(f"{found[1]} is not decompressed; send gzip or plain text")
    raw = file.storage.read_range(file.key, 0, size)
    head, ended = raw, len(raw) >= file.size
    if file.key.endswith(".gz"):
        inflate = zlib.decompressobj(wbits=31)
        try:
            head = inflate.decompress(raw, size)
        except zlib.error as error:
            raise refuse(f"is not sound gzip data ({error}); have it sent again") from error
        if ended and not inflate.eof and not inflate.unconsumed_tail:
            raise refuse("is cut off: its gzip data has no end; have it sent again")
        ended = ended and inflate.eof and not inflate.unused_data
    elif raw.startswith(_GZIP):
        raise refuse("is gzip data but is not named .gz, so Spark would read it as text; rename it")
    if head.startswith(_UTF16) or (b"\0" in head[:2] and len(head) > 1):
        raise refuse("is not UTF-8 but UTF-16 or UTF-32; convert it to UTF-8")
    return LandedFile(file.storage, file.key, file.size, head, ended)


def _refused(file: LandedFile, reason: str) -> LandingError:
    return LandingError(f"{file.uri} {reason}")


def _listed(locations: Sequence[str]) -> Iterator[LandedFile]:
    """List files and the files in folders, through one storage."""
    uris = [location.rstrip("/") if "://" in location else open_storage(location).uri for location in locations]
    if not uris:
        return
    parents = [uri.split("/")[:-1] for uri in uris]
    root = "/".join(commonprefix(parents))
    if root.endswith(("/", ":")):
        # Nothing is above a bucket, and nothing but the root folder above these.
        if len(uris) > 1:
            yield from (file for uri in uris for file in _listed([uri]))
            return
        root = uris[0]
    storage = open_storage(root)
    for uri in uris:
        key = uri.removeprefix(root).strip("/")
        if key and (found := storage.stat(key)):
            if _hidden(key.rpartition("/")[2]):
                raise LandingError(f"{uri}: Spark passes over files whose names begin with _ or .; rename it")
            yield LandedFile(storage, found.key, found.size)
            continue
        folder = f"{key}/" if key else ""
        for each in storage.list_objects(folder):
            if not _hidden(each.key.removeprefix(folder)):
                yield LandedFile(storage, each.key, each.size)


def _hidden(key: str) -> bool:
    # As Spark does. Keys that end with / are folders in S3.
    return key.endswith(("/", "._COPYING_")) or any(
        part.startswith(".") or (part.startswith("_") and "=" not in part) for part in key.split("/")
    )


def _partitions(base: str, files: Sequence[LandedFile]) -> tuple[str, ...]:
    """Find the columns that folders are named after, the same ones for all files."""
    if not base:
        return ()
    found: dict[tuple[str, ...], str] = {}
    for file in files:
        inside = file.uri.removeprefix(base).strip("/").split("/")[:-1] if file.uri.startswith(base + "/") else []
        found.setdefault(tuple(unquote(part.partition("=")[0]) for part in inside if "=" in part), file.uri)
    if len(found) > 1:
        (first, one), (second, other), *_ = found.items()
        raise LandingError(
            f"{base}: the folders name different columns: {', '.join(first) or 'none'} for {one}, "
            f"{', '.join(second) or 'none'} for {other}; read them apart"
        )
    return next(iter(found))
