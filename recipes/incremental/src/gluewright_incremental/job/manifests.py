"""The side objects of a ledger: immutable, compressed JSON, each written once before the document names it."""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gluewright_core.errors import ConcurrentUpdateError, ObjectNotFoundError
from gluewright_core.storage import ABSENT, Storage
from gluewright_incremental.job.source_state import KIND, InvalidLedgerError
from gluewright_incremental.ledger import Change, SourceObject

Known = dict[str, dict[str, SourceObject]]
"""Objects by prefix and key."""


@dataclass(frozen=True)
class Plan:
    """The objects of a batch, and what is to be known about it. It is also the segment that the batch adds.

    Attributes:
        id: of the batch.
        number: of the batch.
        kind: ``read``, ``mark`` or ``rewind``.
        at: when it was planned, UTC, as text.
        previous: the plan of the batch before; empty for the first.
        changes: what the batch does to what is known.
        touched: the prefixes that have something new, taken or not.
        late: see :func:`gluewright_incremental.ledger.late`.
        note: who and why, for changes by hand.
    """

    id: str
    number: int
    kind: str
    at: str
    previous: str
    changes: Sequence[Change]
    touched: Sequence[str]
    late: Sequence[Mapping[str, Any]] = ()
    note: Mapping[str, str] = field(default_factory=dict)


class Shelf:
    """Keeps the side objects of one consumer and source.

    Args:
        state: the storage of the ledger.
        consumer: whose.
        source: which.
    """

    def __init__(self, state: Storage, consumer: str, source: str) -> None:
        self._state = state
        self._folder = f"_gluewright/{KIND}/{consumer}/{source}"

    def write_plan(self, plan: Plan) -> str:
        """Write a plan; return its name."""
        body = {**plan.__dict__, "changes": [_short(each) for each in plan.changes], "touched": list(plan.touched)}
        return self._write("batches", plan.number, {**body, "late": list(plan.late), "note": dict(plan.note)})

    def read_plan(self, name: str) -> Plan:
        """Read a plan.

        Raises:
            ConcurrentUpdateError: it is not there.
            InvalidLedgerError: it is none.
        """
        body = self._read(name)
        try:
            return Plan(**{**body, "changes": [Change(*each) for each in body["changes"]]})
        except (KeyError, TypeError) as error:
            raise self._broken(name, error) from error

    def write_segment(self, number: int, known: Known, last: Mapping[str, int]) -> str:
        """Write the objects of all open prefixes, each prefix with the batch that last had something new for it."""
        prefixes = {prefix: [last[prefix], [list(each) for each in objects.values()]] for prefix, objects in known.items()}
        return self._write("segments", number, {"prefixes": prefixes})

    def read_segment(self, name: str) -> tuple[Known, dict[str, int]]:
        """Read the objects of open prefixes, and the batch of each."""
        body = self._read(name)
        try:
            known = {prefix: _by_key(objects) for prefix, (_, objects) in body["prefixes"].items()}
            return known, {prefix: int(number) for prefix, (number, _) in body["prefixes"].items()}
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(name, error) from error

    def write_detail(self, number: int, known: Known) -> str:
        """Write the objects of a range of closed prefixes."""
        return self._write(
            "ranges", number, {"prefixes": {prefix: [list(e) for e in o.values()] for prefix, o in known.items()}}
        )

    def read_detail(self, name: str) -> Known:
        """Read the objects of a range of closed prefixes."""
        body = self._read(name)
        try:
            return {prefix: _by_key(objects) for prefix, objects in body["prefixes"].items()}
        except (KeyError, TypeError) as error:
            raise self._broken(name, error) from error

    def discard(self, names: Sequence[str]) -> None:
        """Delete side objects that no document names any more."""
        if names:
            self._state.delete([f"{self._folder}/{name}" for name in names])

    def _write(self, kind: str, number: int, body: Mapping[str, Any]) -> str:
        name = f"{kind}/{number:08d}-{secrets.token_hex(4)}.json.gz"
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        self._state.write(f"{self._folder}/{name}", gzip.compress(raw, 5, mtime=0), expect=ABSENT)
        return name

    def _read(self, name: str) -> Any:
        key = f"{self._folder}/{name}"
        try:
            raw, _ = self._state.read(key)
            return json.loads(gzip.decompress(raw))
        except ObjectNotFoundError as error:
            raise ConcurrentUpdateError(
                f"{self._state.uri_of(key)} is not there: if another run replaced it just now, run again; if it was "
                "deleted, restore it"
            ) from error
        except (ValueError, EOFError, OSError) as error:
            raise self._broken(name, error) from error

    def _broken(self, name: str, error: Exception) -> InvalidLedgerError:
        uri = self._state.uri_of(f"{self._folder}/{name}")
        return InvalidLedgerError(
            f"{uri} is no side object of a ledger ({type(error).__name__}); restore it from a version before"
        )


def _short(each: Change) -> list[Any]:
    return list(each if each.was_version is not None else each[:3])


def _by_key(objects: Sequence[Sequence[Any]]) -> dict[str, SourceObject]:
    return {each[0]: SourceObject(*each) for each in objects}
