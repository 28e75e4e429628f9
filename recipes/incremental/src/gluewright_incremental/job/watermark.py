"""The protocol of batches that are a range: from where the last one ended to an end that is fixed when it is planned."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import ConcurrentUpdateError, GluewrightError
from gluewright_core.leases import Lease, utc_now
from gluewright_core.state import Document, Documents
from gluewright_core.storage import Storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

KIND = "watermarks"


class InvalidWatermarkError(GluewrightError):
    """A watermark is of something else, or cannot be set so. Nothing was changed."""


class EmptyBatchError(GluewrightError):
    """An empty batch was read."""


@dataclass(frozen=True)
class Range:
    """A batch as the document names it: behind ``low``, up to ``high``.

    Attributes:
        id: under which the sink publishes it.
        number: 1 for the first.
        low: None for the first.
        high: the end.
        at: when it was planned, UTC.
        plan: a side object that says more; may be empty.
    """

    id: str
    number: int
    low: list[str] | None
    high: list[str]
    at: str
    plan: str = ""


@dataclass(frozen=True)
class RangeBatch:
    """What one run reads. It is false when nothing is new.

    Attributes:
        id: the run id under which the sink publishes it; the same in every attempt.
        number: 1 for the first batch.
        low: up to where everything was read; None for the first batch.
        high: the end of this batch.
        replayed: an earlier run planned this batch and did not commit it.
        rows: the rows; None when nothing is new.
    """

    id: str
    number: int
    low: Sequence[str] | None
    high: Sequence[str] | None
    replayed: bool = False
    rows: DataFrame | None = None

    def __bool__(self) -> bool:
        return self.rows is not None

    def read(self) -> DataFrame:
        """Give the rows of the batch.

        Raises:
            EmptyBatchError: there are none.
        """
        if self.rows is None:
            raise EmptyBatchError("the batch has no rows: test it before it is read (`if batch:`)")
        return self.rows


@dataclass(frozen=True)
class Planned:
    """The end of a new batch, and a side object that says more."""

    high: list[str]
    plan: str = ""


class Watermark:
    """Where one consumer is in one source; a document at ``_gluewright/watermarks/<consumer>/<name>.json``.

    Args:
        state: the storage.
        consumer: who reads.
        name: of the source.
        what: describes the source; a watermark of another is refused.
        values: how many values say where a batch ends; by default as many as ``what`` has.
        lease_seconds: how long a run that died keeps others out; by default two minutes.
        patience: how long to wait for another run; by default a little longer than that.
        clock: tells the time, UTC.
    """

    def __init__(
        self,
        state: Storage,
        consumer: str,
        name: str,
        what: Sequence[str],
        *,
        values: int | None = None,
        lease_seconds: float | None = None,
        patience: float | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._state = state
        self._documents = Documents(state, KIND)
        self._name = f"{consumer}/{name}"
        self._what = list(what)
        self._values = len(what) if values is None else values
        self._clock = clock
        self._lease = Lease(
            Documents(state, "leases"),
            f"{KIND}/{self._name}",
            holder=f"{socket.gethostname()}:{os.getpid()}",
            seconds=lease_seconds,
            clock=clock,
            patience=patience,
        )

    @classmethod
    def existing(cls, state: Storage, consumer: str, name: str) -> Watermark:
        """Open a watermark of whatever source it is.

        Args:
            state: the storage.
            consumer: who reads.
            name: of the source.

        Raises:
            InvalidWatermarkError: there is none.
        """
        opened = cls(state, consumer, name, [])
        found = opened._documents.read(opened._name)
        if found is None:
            raise InvalidWatermarkError(f"{opened.uri}: there is no watermark; the first batch of the source makes it")
        return cls(state, consumer, name, found.body["what"], values=found.body.get("values"))

    @property
    def uri(self) -> str:
        """Where the document is."""
        return self._documents.uri_of(self._name)

    def tell(self) -> dict[str, Any]:
        """Give what the document says: ``what``, ``number``, ``high``, ``open_batch``, ``by_hand`` and some more."""
        return self._own(self._documents.read(self._name))

    def side_key(self, number: int) -> str:
        """Name a new side object of a batch."""
        return f"_gluewright/{KIND}/{self._name}/plans/{number:08d}-{secrets.token_hex(4)}.json.gz"

    @contextmanager
    def batch(
        self, plan: Callable[[list[str] | None, int, str], Planned | None], read: Callable[[Range], DataFrame]
    ) -> Iterator[RangeBatch]:
        """Plan a batch, or take up the one that an earlier run left open, and record it when the body ends.

        Args:
            plan: finds the end of a new batch, from the last one's end, the new number and the last one's plan; None when
                nothing is new.
            read: gives the rows of a range.

        Raises:
            ConcurrentUpdateError: another run works on the same source for the same consumer.
            InvalidWatermarkError: it is of another source.
        """
        with self._lease:
            found = self._documents.read(self._name)
            body = self._own(found)
            replayed = body["open_batch"] is not None
            if not replayed:
                planned = plan(body["high"], body["number"] + 1, body["plan"])
                if planned is None:
                    yield RangeBatch("", body["number"] + 1, body["high"], body["high"])
                    return
                body = {**body, "open_batch": asdict(self._range(body, planned))}
                found = self._documents.write(self._name, body, expect=found)
            opened = Range(**body["open_batch"])
            yield RangeBatch(opened.id, opened.number, opened.low, opened.high, replayed, read(opened))
            done = {**body, "number": opened.number, "high": opened.high, "plan": opened.plan, "open_batch": None}
            self._commit(found, done, opened.id)
            if body["plan"]:
                self._state.delete([body["plan"]])

    def set_to(self, high: Sequence[str] | None, *, who: str, why: str, dry_run: bool = False) -> None:
        """Say by hand where to go on.

        Args:
            high: everything up to here is known; None to begin anew.
            who: changes it.
            why: it is changed.
            dry_run: only find out whether it may be.

        Raises:
            InvalidWatermarkError: a batch is open, the number of values is wrong, or nobody says why.
        """
        found = self._documents.read(self._name)
        body = self._own(found)
        if body["open_batch"]:
            raise InvalidWatermarkError(f"{self.uri}: batch {body['open_batch']['id']} is open; let a run finish it first")
        if not (who.strip() and why.strip()):
            raise InvalidWatermarkError(f"{self.uri}: say who changes it, and why: it is kept with the change")
        if high is not None and len(high) != self._values:
            raise InvalidWatermarkError(f"{self.uri}: a batch ends at {self._values} values ({self._what}), not {len(high)}")
        if dry_run:
            return
        when = self._clock().isoformat(timespec="seconds")
        by_hand = {"was": body["high"], "who": who, "why": why, "when": when}
        new = {**body, "high": None if high is None else list(high), "plan": "", "by_hand": by_hand}
        self._documents.write(self._name, new, expect=found)
        if body["plan"]:
            self._state.delete([body["plan"]])

    def _own(self, found: Document | None) -> dict[str, Any]:
        empty = {"what": self._what, "values": self._values, "number": 0, "high": None, "plan": ""}
        empty |= {"open_batch": None, "by_hand": None}
        body = found.body if found else empty
        if body.get("what") != self._what:
            raise InvalidWatermarkError(
                f"{self.uri} is of {body.get('what')}, asked for {self._what}; give another name to another source"
            )
        return {**empty, **body}

    def _range(self, body: dict[str, Any], planned: Planned) -> Range:
        number = body["number"] + 1
        name = f"{self._name.replace('/', '-')}-{number:06d}-{secrets.token_hex(4)}"
        at = self._clock().isoformat(timespec="seconds")
        return Range(name, number, body["high"], planned.high, at, planned.plan)

    def _commit(self, found: Document | None, body: dict[str, Any], batch: str) -> None:
        try:
            self._documents.write(self._name, body, expect=found)
        except ConcurrentUpdateError as error:
            raise ConcurrentUpdateError(
                f"{self.uri}: batch {batch} was committed by another run, or decided by hand; its rows are published under "
                "its id, so nothing is lost or double"
            ) from error
