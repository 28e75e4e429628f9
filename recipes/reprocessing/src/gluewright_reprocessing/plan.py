# gluewright-reprocessing 0.1.0 plan.py
# SPDX-License-Identifier: Apache-2.0
"""Which partitions to redo, and how far each has come.

A partition is named by its columns' values as text, ``{"dt": "2013-02-03"}``, None for NULL. Each partition of a run has an
:class:`Entry`, and goes its way by :meth:`Entry.moved`:

    planned -> running -> written -> audited -> published
               (any of them) -> failed -> running ...
               published -> undoing -> undone

A run that died goes on with what :func:`left` tells, from where each partition was. What failed stays failed until it is
retried: the next attempt of a job that an orchestrator starts again does not repeat what an audit has refused.

Only plain values in and out: where a ledger is kept is for others to say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

FORMAT = 1
Partition = dict[str, str | None]

PLANNED, RUNNING, WRITTEN, AUDITED = "planned", "running", "written", "audited"
PUBLISHED, FAILED, SKIPPED, UNDOING, UNDONE = "published", "failed", "skipped", "undoing", "undone"

NEXT: Mapping[str, frozenset[str]] = {
    PLANNED: frozenset({RUNNING, SKIPPED}),
    RUNNING: frozenset({RUNNING, WRITTEN, PUBLISHED, FAILED}),
    WRITTEN: frozenset({RUNNING, AUDITED, PUBLISHED, FAILED, UNDOING}),
    AUDITED: frozenset({RUNNING, PUBLISHED, FAILED, UNDOING}),
    FAILED: frozenset({RUNNING}),
    SKIPPED: frozenset(),
    PUBLISHED: frozenset({UNDOING}),
    UNDOING: frozenset({UNDONE, PUBLISHED}),
    UNDONE: frozenset(),
}
"""Where a partition may go from where it is. From running and written to published: it was, and its run died before it
could say so. Rows that wait for approval are undone too: they are discarded."""


class InvalidPlanError(ValueError):
    """What to redo cannot be told from what was given; the message names the value's place and says what to do."""


class InvalidLedgerError(ValueError):
    """A ledger cannot be read, or a partition was to go where it cannot."""


@dataclass(frozen=True)
class Entry:
    """How far a partition of a run has come.

    Attributes:
        partition: which.
        state: planned, running, written, audited, published, failed, skipped, undoing or undone.
        attempts: how often it was begun.
        fingerprint: of its inputs and of the code, when it was last begun; empty where nobody asks.
        rows: how many it has now, if it was written.
        before: how many it had before, if that was looked at.
        changes: old rows beside new ones, in figures, if they were compared.
        problems: why it failed, or why it was skipped.
    """

    partition: Partition
    state: str = PLANNED
    attempts: int = 0
    fingerprint: str = ""
    rows: int | None = None
    before: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()

    def moved(self, state: str, **facts: Any) -> Entry:
        """Return the entry one step further.

        Args:
            state: where to.
            facts: what is known now, by attribute.

        Raises:
            InvalidLedgerError: there is no way from where it is.

        Example:
            >>> Entry({"dt": "2013-02-03"}).moved("running").attempts
            1
        """
        if state not in NEXT[self.state]:
            raise InvalidLedgerError(f"{name(self.partition)} is {self.state} and cannot become {state}")
        if state == RUNNING:
            return replace(Entry(self.partition), state=RUNNING, attempts=self.attempts + 1, **facts)
        return replace(self, state=state, **facts)

    def as_json(self) -> dict[str, Any]:
        """Return the entry as a ledger keeps it."""
        return {"format": FORMAT, **asdict(self), "problems": list(self.problems)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Entry:
        """Read what :meth:`as_json` gave.

        Raises:
            InvalidLedgerError: it is something else, or of a newer version.
        """
        known = dict(body)
        if not isinstance(known.get("format"), int):
            raise InvalidLedgerError(f"no entry of a ledger: {sorted(known)}; restore it from a backup")
        if known.pop("format") > FORMAT:
            raise InvalidLedgerError(
                f"an entry has format {body['format']}, this version reads up to {FORMAT}; update the recipe"
            )
        try:
            entry = cls(**known | {"problems": tuple(known.get("problems", ()))})
        except TypeError as error:
            raise InvalidLedgerError(f"no entry of a ledger: {error}; restore it from a backup") from error
        if entry.state not in NEXT:
            raise InvalidLedgerError(
                f"{name(entry.partition)} has the unknown state {entry.state!r}; restore it from a backup"
            )
        return entry


def name(partition: Mapping[str, str | None]) -> str:
    """Name a partition in messages.

    Example:
        >>> name({"dt": "2013-02-03", "shop": None})
        'dt=2013-02-03/shop=NULL'
    """
    return "/".join(f"{column}={'NULL' if value is None else value}" for column, value in partition.items()) or "whole table"


def digest(partition: Mapping[str, str | None]) -> str:
    """Give a short name of a partition that is fit for paths, the same in every run."""
    return hashlib.sha256(json.dumps(sorted(partition.items())).encode()).hexdigest()[:12]


def days(first: date, last: date, columns: Mapping[str, str]) -> list[Partition]:
    """List the partitions of a range of days, both ends included.

    Args:
        first: the first day.
        last: the last day.
        columns: each partition column, and how a day is written in it, as for ``strftime``.

    Raises:
        InvalidPlanError: the first day is after the last one.

    Example:
        >>> days(date(2013, 1, 31), date(2013, 2, 1), {"dt": "%Y-%m-%d"})
        [{'dt': '2013-01-31'}, {'dt': '2013-02-01'}]
        >>> days(date(2013, 1, 31), date(2013, 2, 28), {"month": "%Y-%m"})
        [{'month': '2013-01'}, {'month': '2013-02'}]
    """
    if first > last:
        raise InvalidPlanError(f"the range begins on {first}, after it ends on {last}; exchange them")
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return _distinct({column: day.strftime(form) for column, form in columns.items()} for day in every)


def listed(given: Sequence[Any], columns: Sequence[str]) -> list[Partition]:
    """Read a list of partitions, as a person writes it or as another job reports late ones.

    Args:
        given: ``[{"dt": "2013-02-03"}, ...]`` or ``[{"partition": {"dt": "2013-02-03"}, ...}, ...]``, decoded JSON.
        columns: the table's partition columns, in order.

    Returns:
        Each partition once, in the order given.

    Raises:
        InvalidPlanError: it is something else, or does not name exactly the partition columns; the message says where.

    Example:
        >>> listed([{"partition": {"year": 2013}, "rows": 7}, {"year": "2013"}], ["year"])
        [{'year': '2013'}]
    """
    if not isinstance(given, list):
        raise InvalidPlanError(f'partitions are a JSON list such as [{{"{columns[0] if columns else "dt"}": "..."}}]')
    found = []
    for place, each in enumerate(given):
        partition = each.get("partition", each) if isinstance(each, dict) else None
        if not isinstance(partition, dict) or set(partition) != set(columns):
            names = sorted(partition) if isinstance(partition, dict) else type(each).__name__
            raise InvalidPlanError(f"partition {place} of the list has {names}; the partition columns are {list(columns)}")
        found.append({column: _text(partition[column], place) for column in columns})
    return _distinct(found)


def chosen(partitions: Iterable[Partition], wanted: Callable[[Partition], bool]) -> list[Partition]:
    """List the partitions that a predicate chooses, each once."""
    return _distinct(partition for partition in partitions if wanted(partition))


def fingerprint(inputs: Iterable[tuple[str, str]], code: str) -> str:
    """Tell one state of a partition's inputs, and of the code, from another.

    Args:
        inputs: each object's name and version, such as an S3 key and its ETag, in any order.
        code: the version of what computes the rows.

    Example:
        >>> fingerprint([("b", "2"), ("a", "1")], "v1") == fingerprint([("a", "1"), ("b", "2")], "v1")
        True
    """
    return hashlib.sha256(json.dumps([code, sorted(inputs)]).encode()).hexdigest()[:32]


def left(entries: Iterable[Entry]) -> list[Entry]:
    """List what a run that died has still to do."""
    return [entry for entry in entries if entry.state in {PLANNED, RUNNING, WRITTEN, AUDITED}]


def failed(entries: Iterable[Entry]) -> list[Entry]:
    """List what a retry has to do: what failed, and nothing else."""
    return [entry for entry in entries if entry.state == FAILED]


def gaps(wanted: Iterable[Partition], known: Iterable[str]) -> list[Partition]:
    """List the partitions that nobody has published.

    Args:
        wanted: the partitions that should have been.
        known: those that were, by :func:`digest`.
    """
    published = set(known)
    return [partition for partition in wanted if digest(partition) not in published]


def unchanged(wanted: Mapping[str, str], known: Mapping[str, Entry]) -> set[str]:
    """Tell which partitions were published from the same inputs by the same code, so that they need not be redone.

    Args:
        wanted: each partition, by :func:`digest`, with its fingerprint now; empty where it has none.
        known: the last published entry of each partition, likewise.
    """
    return {each for each, now in wanted.items() if now and each in known and known[each].fingerprint == now}


def _distinct(partitions: Iterable[Partition]) -> list[Partition]:
    return list({digest(partition): partition for partition in partitions}.values())


def _text(value: Any, place: int) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    raise InvalidPlanError(f"partition {place} of the list has a {type(value).__name__} for a value; write it as text")
