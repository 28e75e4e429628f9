"""Small JSON documents with compare-and-swap, and leases that expire.

A document lies at ``_gluewright/<kind>/<name>.json`` below a storage's root. It carries a format, a number that grows by one
with each write, and its body; anyone can read it. Two writers who read the same document: one wins, the other gets
:class:`~gluewright_core.errors.ConcurrentUpdate` and nothing of it is written.

Example:
    >>> import tempfile
    >>> from gluewright_core.state import Documents
    >>> from gluewright_core.storage import open_storage
    >>> documents = Documents(open_storage(tempfile.mkdtemp()), "watermarks")
    >>> first = documents.write("orders", {"until": "2026-01-31"})
    >>> documents.write("orders", {"until": "2026-02-28"}, expect=first).number
    2
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gluewright_core.errors import ConcurrentUpdate, ObjectNotFound, StateInvalid
from gluewright_core.storage import ABSENT, Storage

FORMAT = 1
LEASE_SECONDS = 120.0
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read or written.

    Attributes:
        name: without kind and ending.
        body: the JSON object.
        number: 1 for the first write, one more for each that followed.
        version: the storage's version, for the next conditional write.
    """

    name: str
    body: Body
    number: int
    version: str = field(repr=False)


class Documents:
    """The documents of one kind below a storage's root.

    Args:
        storage: where.
        kind: the folder's name: ``tables``, ``leases``, ``ledgers``.
    """

    def __init__(self, storage: Storage, kind: str) -> None:
        self._storage = storage
        self._folder = f"_gluewright/{kind}"

    def uri_of(self, name: str) -> str:
        """Give the URI of a document, for messages."""
        return self._storage.uri_of(self._key(name))

    def read(self, name: str) -> Document | None:
        """Read a document; None when there is none.

        Raises:
            StateInvalid: it is not a document of this format.
        """
        try:
            raw, version = self._storage.read(self._key(name))
        except ObjectNotFound:
            return None
        envelope = self._opened(name, raw)
        return Document(name, envelope["body"], envelope["number"], version)

    def write(self, name: str, body: Body, *, expect: Document | None = None) -> Document:
        """Write a document if nobody else has since it was read.

        Args:
            name: may contain ``/``.
            body: a JSON object.
            expect: the document as it was read; None when there was none.

        Returns:
            The document as written.

        Raises:
            ConcurrentUpdate: another writer was first; nothing was written.
        """
        number = expect.number + 1 if expect else 1
        # When S3 took a write and the answer was lost, boto3 sends it again and is refused: the mark tells that it was ours.
        mark = secrets.token_hex(8)
        envelope = {"format": FORMAT, "number": number, "writer": mark, "body": body}
        raw = json.dumps(envelope, indent=1, ensure_ascii=False).encode()
        try:
            version = self._storage.write(self._key(name), raw, expect=expect.version if expect else ABSENT)
        except ConcurrentUpdate:
            version = self._own_version(name, mark)
            if not version:
                raise
        return Document(name, body, number, version)

    def update(self, name: str, change: Callable[[Body | None], Body], *, attempts: int = 10) -> Document:
        """Read, change and write a document, again when another writer was faster.

        Args:
            name: of the document.
            change: from the body (None when there is no document) to the new body; may run several times.
            attempts: how often, before giving up.

        Returns:
            The document as written.

        Raises:
            ConcurrentUpdate: another writer was faster every time.
        """
        for _ in range(attempts - 1):
            with suppress(ConcurrentUpdate):
                return self._update_once(name, change)
        return self._update_once(name, change)

    def _update_once(self, name: str, change: Callable[[Body | None], Body]) -> Document:
        found = self.read(name)
        return self.write(name, change(found.body if found else None), expect=found)

    def delete(self, name: str) -> None:
        """Delete a document, whatever its version."""
        self._storage.delete([self._key(name)])

    def _own_version(self, name: str, mark: str) -> str:
        with suppress(ObjectNotFound):
            raw, version = self._storage.read(self._key(name))
            if self._opened(name, raw).get("writer") == mark:
                return version
        return ""

    def _opened(self, name: str, raw: bytes) -> Body:
        try:
            envelope = json.loads(raw)
            known = envelope["format"] <= FORMAT and isinstance(envelope["body"], dict) and envelope["number"] > 0
        except (ValueError, KeyError, TypeError) as error:
            raise StateInvalid(
                f"{self.uri_of(name)} is not a gluewright document ({error}); restore it from a backup"
            ) from error
        if not known:
            raise StateInvalid(
                f"{self.uri_of(name)} has format {envelope['format']}, this version reads up to {FORMAT}; update gluewright"
            )
        return dict(envelope)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}.json"


def utc_now() -> datetime:
    """Tell the time, UTC."""
    return datetime.now(UTC)


class Lease:
    """The right to be the only one, for a while.

    A lease is a document with a holder and a time. Whoever finds it free or expired may take it by compare-and-swap; the
    holder renews it before each step it protects and gives it back at the end. A holder that dies is waited for until the
    lease expires.

    Two assumptions: a single protected step lasts less than half the lease, and clocks differ by less than that too.
    (Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file cache consistency", 1989.)

    Args:
        documents: where leases are kept.
        name: of the thing that is protected.
        holder: who asks: the run.
        seconds: how long it lasts without renewal; by default two minutes.
        clock: tells the time, UTC.
        patience: how long :meth:`acquire` waits for another holder to give it back or to expire, in seconds.
    """

    def __init__(
        self,
        documents: Documents,
        name: str,
        *,
        holder: str,
        seconds: float | None = None,
        clock: Callable[[], datetime] = utc_now,
        patience: float = 0,
    ) -> None:
        self._documents = documents
        self._name = name
        self._holder = holder
        self._length = timedelta(seconds=LEASE_SECONDS if seconds is None else seconds)
        self._clock = clock
        self._patience = patience
        self._held: Document | None = None

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            ConcurrentUpdate: another holder has it, or took it at the same moment; the message says who and until when.
        """
        patient_until = self._clock() + timedelta(seconds=self._patience)
        while (found := self._documents.read(self._name)) and self._seconds_left(found) > 0:
            if self._clock() >= patient_until:
                raise ConcurrentUpdate(
                    f"{self._documents.uri_of(self._name)} is held by {found.body['holder']} until {found.body['until']}; "
                    "run again when it is done (or after that time, if it died)"
                )
            time.sleep(min(self._seconds_left(found), 0.5))
        self._hold(found)

    def renew(self) -> None:
        """Hold on for another full length, before the next protected step.

        Raises:
            ConcurrentUpdate: the lease had expired and another has taken it: stop at once.
        """
        if self._held is None:
            raise ConcurrentUpdate(f"{self._name}: the lease is not held; acquire it first")
        try:
            self._hold(self._held)
        except ConcurrentUpdate:
            self._held = None
            raise ConcurrentUpdate(
                f"{self._name}: {self._holder} lost its lease to another writer; nothing more was applied"
            ) from None

    def release(self) -> None:
        """Give the lease back; no error when it was lost."""
        if self._held is not None:
            with suppress(ConcurrentUpdate):
                self._documents.write(self._name, self._body(datetime.fromtimestamp(0, UTC)), expect=self._held)
            self._held = None

    def _hold(self, found: Document | None) -> None:
        """Write the lease; again if so much time passed before the write was through that too little of it is left."""
        while True:
            found = self._documents.write(self._name, self._body(self._clock() + self._length), expect=found)
            if self._seconds_left(found) > self._length.total_seconds() / 2:
                self._held = found
                return

    def _seconds_left(self, found: Document) -> float:
        return (datetime.fromisoformat(found.body["until"]) - self._clock()).total_seconds()

    def _body(self, until: datetime) -> Body:
        return {"holder": self._holder, "until": until.isoformat()}
