# gluewright-incremental 0.1.0 ledger.py
# SPDX-License-Identifier: Apache-2.0
"""What is known of a source, what is new in it, and what comes late: pure functions over listings of objects.

An object is known by its key, version (S3: the ETag) and size, never by its time: S3 stamps a multipart upload with the time
it was *begun*, so an object may appear later and be older than what was processed. An object whose version changed was
rewritten in place.

Objects are grouped by *prefix*: the first ``depth`` folders of the key. A prefix to which nothing was added for some batches
is *closed*. Neighbouring closed prefixes are one :class:`Range`: the number of objects, their bytes and a digest stand for
them, and their names are only read when a listing does not have that digest. Closed ranges need not be listed each time.

The digest of a set of objects is the sum of their hashes modulo 2^128, so it does not depend on their order, and digests of
sets are added (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost", 1997:
AdHash). It tells accidents apart, not forgers.

Example:
    >>> known = {"dt=1/a": SourceObject("dt=1/a", "v1", 10)}
    >>> listed = [SourceObject("dt=1/a", "v2", 11), SourceObject("dt=1/b", "v1", 5)]
    >>> found = compare(listed, known)
    >>> [each.key for each in found.new], [now.version for _, now in found.rewritten], found.gone
    (['dt=1/b'], ['v2'], [])
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import unquote

MODULUS = 1 << 128
LAST_CHARACTER = "\U0010ffff"
Rewritten = Literal["again", "ignore", "fail"]
Gone = Literal["fail", "ignore"]


class IncrementalError(Exception):
    """The base of what is wrong with a source or with what is asked of it. Nothing was changed."""


class ObjectsRewrittenError(IncrementalError):
    """Objects that were processed have another content now."""


class ObjectsDeletedError(IncrementalError):
    """Objects that were processed, or planned, are not in the source any more."""


class UnreadablePartitionError(IncrementalError):
    """A folder looks like a partition and has no value that can be read."""


class InvalidLimitsError(IncrementalError):
    """The limits of a batch contradict each other."""


class SourceObject(NamedTuple):
    """One object as a listing shows it: its key below the source, its version, its size in bytes."""

    key: str
    version: str
    size: int


class Change(NamedTuple):
    """One step of what is known of a key: from a version to another; None is unknown.

    The steps of a batch, taken back in reverse order, give what was known before it.
    """

    key: str
    version: str | None
    size: int
    was_version: str | None = None
    was_size: int = 0

    @property
    def now(self) -> SourceObject | None:
        """The object after the step."""
        return None if self.version is None else SourceObject(self.key, self.version, self.size)

    @property
    def was(self) -> SourceObject | None:
        """The object before the step."""
        return None if self.was_version is None else SourceObject(self.key, self.was_version, self.was_size)

    def undone(self) -> Change:
        """Give the step back."""
        return Change(self.key, self.was_version, self.was_size, self.version, self.size)


def change(was: SourceObject | None, now: SourceObject | None) -> Change:
    """Make the step from one object to another of the same key."""
    some = now or was
    assert some is not None
    before = (was.version, was.size) if was else (None, 0)
    after = (now.version, now.size) if now else (None, 0)
    return Change(some.key, *after, *before)


@dataclass(frozen=True, slots=True)
class Digest:
    """A set of objects in a few bytes: how many, their bytes, and the sum of their hashes modulo 2^128."""

    objects: int = 0
    bytes: int = 0
    total: int = 0

    def __add__(self, other: Digest) -> Digest:
        """Give the digest of two sets that share no object."""
        return Digest(self.objects + other.objects, self.bytes + other.bytes, (self.total + other.total) % MODULUS)

    def __sub__(self, other: Digest) -> Digest:
        """Give the digest of what is left when a subset is taken away."""
        return Digest(self.objects - other.objects, self.bytes - other.bytes, (self.total - other.total) % MODULUS)


def digest(objects: Iterable[SourceObject]) -> Digest:
    """Give the digest of objects.

    Example:
        >>> a, b = SourceObject("a", "1", 3), SourceObject("b", "1", 4)
        >>> digest([a, b]) == digest([b]) + digest([a])
        True
    """
    count = size = total = 0
    sha256, number = hashlib.sha256, int.from_bytes
    for key, version, length in objects:
        # The lengths in front keep two different objects from being the same text.
        text = f"{len(key)}:{key}{len(version)}:{version}{length}"
        total += number(sha256(text.encode("utf-8", "surrogatepass")).digest()[:16], "big")
        count += 1
        size += length
    return Digest(count, size, total % MODULUS)


def is_data(key: str) -> bool:
    """Tell whether Spark would read an object: not a folder's marker, nor hidden by ``_`` or ``.`` (``_SUCCESS``).

    Example:
        >>> is_data("dt=1/part-0.csv"), is_data("dt=1/_SUCCESS"), is_data("_day=1/a.csv"), is_data("dt=1/")
        (True, False, True, False)
    """
    if key.endswith("/"):
        return False
    if "/_" not in key and "/." not in key and key[0] not in "_.":
        return True
    return not any(name.startswith(".") or (name.startswith("_") and "=" not in name) for name in key.split("/"))


def prefix_of(key: str, depth: int) -> str:
    """Give the prefix that an object belongs to: its first folders, or the key itself where it has fewer.

    So no prefix lies within another, and the keys of one stand together in a listing.

    Args:
        key: of the object.
        depth: how many folders; 0 puts all objects into one prefix.

    Example:
        >>> prefix_of("dt=2013-02-03/hour=4/a.csv", 1), prefix_of("a.csv", 1)
        ('dt=2013-02-03/', 'a.csv')
    """
    end = -1
    for _ in range(depth):
        end = key.find("/", end + 1)
        if end < 0:
            return key
    return key[: end + 1]


def partition_of(prefix: str) -> dict[str, str | None]:
    """Read the partition that a prefix is, where its folders are named ``column=value``; without such names it is empty.

    Raises:
        UnreadablePartitionError: a name or a value is missing.

    Example:
        >>> partition_of("dt=2013-02-03/region=a%2Fb/")
        {'dt': '2013-02-03', 'region': 'a/b'}
    """
    named = [level.partition("=") for level in prefix.split("/")[:-1] if "=" in level]
    for name, _, value in named:
        if not name or not value:
            raise UnreadablePartitionError(
                f"{prefix}: the partition {name}={value} has no {'value' if name else 'column'}; move its objects"
            )
    null = "__HIVE_DEFAULT_PARTITION__"
    return {unquote(name): None if value == null else unquote(value) for name, _, value in named}


@dataclass
class Difference:
    """What a listing has and the ledger has not, and the other way round.

    Attributes:
        new: objects whose key is not known.
        rewritten: objects whose key is known by another version or size: as known, as listed.
        gone: objects that are known and not listed.
    """

    new: list[SourceObject] = field(default_factory=list)
    rewritten: list[tuple[SourceObject, SourceObject]] = field(default_factory=list)
    gone: list[SourceObject] = field(default_factory=list)

    def add(self, other: Difference) -> None:
        """Add what was found elsewhere."""
        self.new += other.new
        self.rewritten += other.rewritten
        self.gone += other.gone


def compare(listed: Iterable[SourceObject], known: Mapping[str, SourceObject]) -> Difference:
    """Compare a listing with what is known of the same prefixes.

    Args:
        listed: the objects that are there.
        known: the objects that are known, by key.
    """
    found, seen = Difference(), 0
    there: set[str] = set()
    for each in listed:
        before = known.get(each.key)
        if before is None:
            found.new.append(each)
            continue
        seen += 1
        there.add(each.key)
        if before != each:
            found.rewritten.append((before, each))
    if seen < len(known):
        found.gone = [each for key, each in known.items() if key not in there]
    return found


@dataclass(frozen=True)
class Limits:
    """What a batch may take.

    Attributes:
        max_files: at most so many objects.
        max_bytes: at most so many bytes, but always one object.
        first: only prefixes from this one on, as text, such as ``dt=2013-02-01``.
        last: only prefixes up to this one, and those that begin with it.

    Raises:
        InvalidLimitsError: they contradict each other.
    """

    max_files: int | None = None
    max_bytes: int | None = None
    first: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        for name, value in (("max_files", self.max_files), ("max_bytes", self.max_bytes)):
            if value is not None and value < 1:
                raise InvalidLimitsError(f"{name} is {value}; a batch takes at least one object: give 1 or more, or nothing")
        if self.last and self.first > self.last and not self.first.startswith(self.last):
            raise InvalidLimitsError(
                f"from {self.first} is behind to {self.last}; prefixes are compared as text, as keys are sorted"
            )

    def within(self, key: str) -> bool:
        """Tell whether an object's place is between ``first`` and ``last``."""
        return key >= self.first and (not self.last or key <= self.last or key.startswith(self.last))


def take(found: Difference, limits: Limits, *, rewritten: Rewritten = "again", gone: Gone = "fail") -> list[Change]:
    """Choose what a batch reads, in the order of the keys.

    Args:
        found: the difference between the listing and what is known.
        limits: of the batch.
        rewritten: whether objects with another content are read ``again``, ``ignore`` d, or ``fail`` the batch.
        gone: whether objects that are not there any more ``fail`` the batch; lifecycle rules take away what is old, and are
            the reason to ``ignore`` it.

    Returns:
        The steps from what is known to what will be.

    Raises:
        ObjectsRewrittenError: as the policy says.
        ObjectsDeletedError: as the policy says.
    """
    if found.gone and gone == "fail":
        size = sum(each.size for each in found.gone)
        raise ObjectsDeletedError(
            f"{len(found.gone):,} objects ({size:,} bytes) that were processed are not in the source any more, the first: "
            f"{min(found.gone).key}; restore them, or say gone=ignore if they are deleted on purpose"
        )
    if found.rewritten and rewritten == "fail":
        raise ObjectsRewrittenError(
            f"{len(found.rewritten):,} objects that were processed have another content now, the first: "
            f"{min(found.rewritten)[0].key}; say rewritten=again to read them again, or ignore to leave them"
        )
    again = found.rewritten if rewritten == "again" else []
    steps = sorted([change(None, each) for each in found.new] + [change(was, now) for was, now in again])
    chosen: list[Change] = []
    size = 0
    for step in steps:
        if not limits.within(step.key):
            continue
        size += step.size
        full = limits.max_files is not None and len(chosen) >= limits.max_files
        if full or (limits.max_bytes is not None and size > limits.max_bytes and chosen):
            break
        chosen.append(step)
    return chosen


def late(changes: Iterable[Change], closed: set[str], depth: int) -> list[dict[str, object]]:
    """Tell which closed prefixes a batch touches: their partitions were processed and have to be processed again.

    Args:
        changes: of the batch.
        closed: the prefixes that are closed.
        depth: of prefixes.

    Returns:
        For each prefix ``partition``, ``prefix``, ``objects`` and ``bytes``, in the order of the prefixes.
    """
    touched: dict[str, list[Change]] = {}
    for each in changes:
        if (prefix := prefix_of(each.key, depth)) in closed:
            touched.setdefault(prefix, []).append(each)
    return [
        {
            "partition": partition_of(prefix),
            "prefix": prefix,
            "objects": len(steps),
            "bytes": sum(step.size for step in steps),
        }
        for prefix, steps in sorted(touched.items())
    ]


@dataclass(frozen=True, slots=True)
class Range:
    """Neighbouring closed prefixes, from the first to the last.

    Attributes:
        first: prefix.
        last: prefix.
        prefixes: how many are closed in it.
        digest: of all their objects.
        detail: the side object with their names.
    """

    first: str
    last: str
    prefixes: int
    digest: Digest
    detail: str

    def covers(self, prefix: str) -> bool:
        """Tell whether a prefix lies in the range, closed or not."""
        return self.first <= prefix <= self.last

    def in_turn(self, number: int, every: int) -> bool:
        """Tell whether the range is listed and compared in a batch: one batch in so many."""
        place = int.from_bytes(hashlib.sha256(self.first.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return place % every == number % every


def range_of(prefix: str, ranges: Sequence[Range]) -> Range | None:
    """Find the range that a prefix lies in.

    Args:
        prefix: which.
        ranges: sorted; they do not overlap.
    """
    at = bisect_left(ranges, prefix, key=lambda each: each.last)
    return ranges[at] if at < len(ranges) and ranges[at].covers(prefix) else None


class Span(NamedTuple):
    """A part of a listing: the prefixes behind ``after`` and before ``before``, or those that a range covers."""

    after: str | None = None
    before: str | None = None
    covered_by: Range | None = None

    def has(self, prefix: str) -> bool:
        """Tell whether a prefix belongs to this part."""
        if self.covered_by:
            return self.covered_by.covers(prefix)
        return (self.after is None or prefix > self.after) and not self.ends_at(prefix)

    def ends_at(self, prefix: str) -> bool:
        """Tell whether a prefix is behind this part, so that the listing can stop."""
        if self.covered_by:
            return prefix > self.covered_by.last
        return self.before is not None and prefix >= self.before

    @property
    def start(self) -> str:
        """A key before the first one of this part, not far; a listing begins behind it."""
        if self.covered_by is None:
            after = self.after or ""
            return after + LAST_CHARACTER if after.endswith("/") else after
        first, code = self.covered_by.first[:-1], ord(self.covered_by.first[-1:] or "\0")
        is_usual = 0 < code < 0xD800
        return first + chr(code - 1) + LAST_CHARACTER if is_usual else first


def spans(ranges: Sequence[Range], audited: Iterable[Range]) -> list[Span]:
    """Say what has to be listed: everything outside the closed ranges, and those ranges whose turn it is.

    Args:
        ranges: sorted.
        audited: those that are listed too.

    Returns:
        The parts in the order of the keys.

    Example:
        >>> two = [Range("dt=1/", "dt=3/", 3, Digest(), ""), Range("dt=5/", "dt=5/", 1, Digest(), "")]
        >>> [(span.after, span.before) for span in spans(two, [])]
        [(None, 'dt=1/'), ('dt=3/', 'dt=5/'), ('dt=5/', None)]
    """
    listed, parts = set(audited), []
    after: str | None = None
    for each in ranges:
        parts.append(Span(after, each.first))
        if each in listed:
            parts.append(Span(covered_by=each))
        after = each.last
    return [*parts, Span(after)]
