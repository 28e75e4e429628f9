"""From what was known and a batch to what is known then: prefixes are opened, closed, and closed ones joined to ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from math import ceil

from gluewright_incremental.job.manifests import Known, Plan, Shelf
from gluewright_incremental.job.source_state import Entry, Section
from gluewright_incremental.ledger import Change, Digest, Range, digest, prefix_of, range_of

MOST_SEGMENTS = 16
MOST_RANGES = 32


@dataclass
class Open:
    """The open prefixes.

    Attributes:
        known: their objects.
        last: the number of the batch that last had something new for each.
    """

    known: Known = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def apply(self, changes: Iterable[Change], number: int, depth: int) -> Digest:
        """Take the steps of a batch; return the digest of what is added, less what is taken away."""
        was, now = [], []
        for each in changes:
            prefix = prefix_of(each.key, depth)
            objects = self.known.setdefault(prefix, {})
            self.last[prefix] = number
            if before := objects.pop(each.key, None):
                was.append(before)
            if each.now:
                objects[each.key] = each.now
                now.append(each.now)
            if not objects:
                self.drop(prefix)
        return digest(now) - digest(was)

    def drop(self, prefix: str) -> None:
        """Take a prefix out."""
        self.last.pop(prefix, None)
        self.known.pop(prefix, None)


def opened(section: Section, shelf: Shelf) -> Open:
    """Read the open prefixes of a section."""
    found = Open()
    for name in section.segments:
        if name.startswith("batches/"):
            plan = shelf.read_plan(name)
            found.apply(plan.changes, plan.number, section.depth)
            _touch(found, plan)
        else:
            found.known, found.last = shelf.read_segment(name)
    return found


def settle(section: Section, entry: Entry, plan: Plan, there: Open, shelf: Shelf, *, close_after: int) -> Section:
    """Make the section that stands after a batch, and write the side objects that it names.

    Args:
        section: before.
        entry: the batch as the document will name it.
        plan: of the batch.
        there: the open prefixes before; changed on the way.
        shelf: for side objects.
        close_after: a prefix is closed when so many batches had nothing new for it.

    Returns:
        The section; what it does not name any more may be discarded when it is written.
    """
    touched = {prefix_of(each.key, section.depth) for each in plan.changes}
    closed, reopened = _reopened(section.closed, touched - there.last.keys(), there, plan.number, shelf)
    added = there.apply(plan.changes, plan.number, section.depth)
    _touch(there, plan)
    closing = {prefix for prefix, number in there.last.items() if plan.number - number >= close_after}
    segments = (*section.segments, entry.plan)
    if closing or reopened or len(segments) > MOST_SEGMENTS:
        away = {prefix: there.known[prefix] for prefix in closing}
        for prefix in closing:
            there.drop(prefix)
        closed = _put_away(closed, away, sorted(there.last), plan.number, shelf)
        segments = (shelf.write_segment(plan.number, there.known, there.last),) if there.known else ()
    return replace(
        section,
        number=plan.number,
        last=entry,
        open_batch=None,
        known=section.known + added,
        open_prefixes=len(there.last),
        segments=segments,
        closed=tuple(closed),
    )


def superseded(before: Section, after: Section) -> list[str]:
    """List the side objects that only the section before names; plans stay, they are the history."""
    old, new = (
        {*(name for name in each.segments if name.startswith("segments/")), *(part.detail for part in each.closed)}
        for each in (before, after)
    )
    return sorted(old - new)


def _touch(there: Open, plan: Plan) -> None:
    for prefix in plan.touched:
        if prefix in there.last:
            there.last[prefix] = plan.number


def _reopened(
    ranges: Sequence[Range], prefixes: Iterable[str], there: Open, number: int, shelf: Shelf
) -> tuple[list[Range], bool]:
    """Move closed prefixes, those of them that are closed, to the open ones."""
    wanted: dict[Range, list[str]] = {}
    for prefix in prefixes:
        if found := range_of(prefix, ranges):
            wanted.setdefault(found, []).append(prefix)
    kept = [each for each in ranges if each not in wanted]
    any_reopened = False
    for each, inside in wanted.items():
        detail = shelf.read_detail(each.detail)
        moved = {prefix: detail.pop(prefix) for prefix in inside if prefix in detail}
        there.known.update(moved)
        there.last.update(dict.fromkeys(moved, number))
        any_reopened |= bool(moved)
        if not moved:
            kept.append(each)
        elif detail:
            kept.append(_written(detail, number, shelf))
    return sorted(kept, key=lambda each: each.first), any_reopened


@dataclass
class _Piece:
    """A range that may still be joined with its neighbour; its objects are read when that happens."""

    first: str
    last: str
    objects: int
    stands: Range | None = None
    known: Known = field(default_factory=dict)

    def loaded(self, shelf: Shelf) -> Known:
        if self.stands:
            self.known, self.stands = shelf.read_detail(self.stands.detail), None
        return self.known


def _put_away(ranges: Sequence[Range], closing: Known, still_open: Sequence[str], number: int, shelf: Shelf) -> list[Range]:
    """Add closed prefixes to the ranges, and join neighbours while there are too many with nothing open between them."""
    pieces = [_Piece(each.first, each.last, each.digest.objects, each) for each in ranges]
    by_range = {each.stands: each for each in pieces}
    outside: list[str] = []
    homes = {prefix: range_of(prefix, ranges) for prefix in sorted(closing)}
    for prefix, home in homes.items():
        if home is None:
            outside.append(prefix)
        else:
            by_range[home].loaded(shelf)[prefix] = closing[prefix]
            by_range[home].objects += len(closing[prefix])
    barriers = sorted([*still_open, *(each.first for each in ranges)])
    for chunk in _chunks(outside, barriers):
        known = {prefix: closing[prefix] for prefix in chunk}
        pieces.append(_Piece(chunk[0], chunk[-1], sum(map(len, known.values())), None, known))
    pieces.sort(key=lambda each: each.first)
    while len(pieces) > MOST_RANGES:
        pairs = [
            (left.objects + right.objects, at)
            for at, (left, right) in enumerate(pairwise(pieces))
            if _same_gap(left.last, right.first, still_open)
        ]
        if not pairs:
            break
        _, at = min(pairs)
        left, right = pieces[at : at + 2]
        known = {**left.loaded(shelf), **right.loaded(shelf)}
        pieces[at : at + 2] = [_Piece(left.first, right.last, left.objects + right.objects, None, known)]
    return [each.stands or _written(each.known, number, shelf) for each in pieces]


def _chunks(prefixes: Sequence[str], barriers: Sequence[str]) -> list[list[str]]:
    """Group sorted prefixes with nothing between them; not one by one when there are many."""
    runs: list[list[str]] = []
    for prefix in prefixes:
        if runs and _same_gap(runs[-1][-1], prefix, barriers):
            runs[-1].append(prefix)
        else:
            runs.append([prefix])
    size = max(1, ceil(len(prefixes) / MOST_RANGES))
    return [run[at : at + size] for run in runs for at in range(0, len(run), size)]


def _same_gap(one: str, other: str, barriers: Sequence[str]) -> bool:
    return bisect_right(barriers, one) == bisect_right(barriers, other)


def _written(known: Known, number: int, shelf: Shelf) -> Range:
    names = sorted(known)
    every = digest(chain.from_iterable(objects.values() for objects in known.values()))
    return Range(names[0], names[-1], len(names), every, shelf.write_detail(number, known))
