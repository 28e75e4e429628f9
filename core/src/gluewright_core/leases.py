"""Leases: the right to be the only one, for a while, that renews itself while its holder lives.

Example:
    >>> import tempfile
    >>> from gluewright_core.leases import Lease
    >>> from gluewright_core.state import Documents
    >>> from gluewright_core.storage import open_storage
    >>> documents = Documents(open_storage(tempfile.mkdtemp()), "leases")
    >>> with Lease(documents, "nightly", holder="run-1") as lease:
    ...     lease.require()  # before each protected step
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from gluewright_core.effects import run_in_background
from gluewright_core.errors import ConcurrentUpdateError, DocumentOverwrittenError, OutcomeUnknownError, StorageError
from gluewright_core.state import Body, Document, Documents

LEASE_SECONDS = 120.0
"""How long a lease lasts without renewal, by default."""
PATIENCE = 1.25
"""How many times its length a waiter waits for a lease, by default: long enough for a holder that died."""
_log = logging.getLogger("gluewright.leases")


def utc_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)


class Lease:
    """The right to be the only one, for a while.

    A lease is a document with a holder and a time. Whoever finds it free or expired may take it by compare-and-swap. As a
    context manager it renews itself in the background until it is given back; before each protected step its holder calls
    :meth:`require`. A lease is expired when its time has passed, or when a waiter has seen it unchanged for its whole
    length: so a holder that died with a wrong clock keeps nobody out for longer.

    A lease cannot stop a holder that was paused and does not know that its time has passed: what it protects checks its
    effects afterwards. (Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file cache
    consistency", 1989.)

    Args:
        documents: where leases are kept.
        name: of the thing that is protected.
        holder: who asks: the run.
        seconds: how long it lasts without renewal; two minutes by default.
        clock: returns the time, UTC.
        patience: how long :meth:`acquire` waits for another holder, in seconds; by default a little longer than a lease.
        note: what the document says beside the holder, such as what is claimed.
        reentrant: whether a lease that the same holder has is taken over at once: a second attempt of a run.
        transient: whether the document is removed when the lease is given back.
    """

    def __init__(
        self,
        documents: Documents,
        name: str,
        *,
        holder: str,
        seconds: float | None = None,
        clock: Callable[[], datetime] = utc_now,
        patience: float | None = None,
        note: Mapping[str, Any] | None = None,
        reentrant: bool = False,
        transient: bool = False,
    ) -> None:
        self._documents = documents
        self._name = name
        self._holder = holder
        self.seconds = LEASE_SECONDS if seconds is None else seconds
        self._clock = clock
        self._patience = self.seconds * PATIENCE if patience is None else patience
        self._note = dict(note or {})
        self._reentrant = reentrant
        self._transient = transient
        self._token = secrets.token_hex(8)
        self._held: Document | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> Lease:
        self.acquire()
        if self._clock is utc_now:  # a clock that a test moves knows nothing of a thread that waits
            self._over.clear()
            self._keeper = threading.Thread(target=self._keep, name=f"lease {self._name}", daemon=True)
            self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper is not None:
            self._over.set()
            self._keeper.join()
            self._keeper = None
        self.release()

    def acquire(self) -> None:
        """Take the lease, waiting for another holder for as long as the patience lasts.

        Raises:
            ConcurrentUpdateError: another holder has it; the message says who and until when.
        """
        began = self._clock()
        seen, since = "", began
        while True:
            found = self._documents.read(self._name)
            now = self._clock()
            if found and found.version != seen:
                seen, since = found.version, now
            is_own = found is not None and found.body.get("token") == self._token
            if (is_own or self._is_free(found, (now - since).total_seconds())) and self._try_to_hold(found):
                return
            left = self._patience - (self._clock() - began).total_seconds()
            if left <= 0:
                raise ConcurrentUpdateError(self._refusal(self._documents.read(self._name)))
            time.sleep(min(left, 0.2))

    def require(self) -> None:
        """Make sure that the lease is held for at least half of its length, before the next protected step.

        Raises:
            ConcurrentUpdateError: the lease had expired and another has taken it, or may have: stop at once.
        """
        with self._lock:
            if self._held is None:
                raise ConcurrentUpdateError(f"{self._name}: the lease is not held; acquire it first")
            if self._seconds_left(self._held) < self.seconds / 2:
                self._renew()

    def renew(self) -> None:
        """Hold on for another full length.

        Raises:
            ConcurrentUpdateError: the lease had expired and another has taken it, or may have: stop at once.
        """
        with self._lock:
            if self._held is None:
                raise ConcurrentUpdateError(f"{self._name}: the lease is not held; acquire it first")
            self._renew()

    def release(self) -> None:
        """Give the lease back; no error when it was lost."""
        with self._lock:
            if self._held is not None:
                with suppress(ConcurrentUpdateError, DocumentOverwrittenError, StorageError):
                    free = self._documents.write(self._name, self._body(datetime.fromtimestamp(0, UTC)), expect=self._held)
                    if self._transient:
                        self._documents.remove(free)
                self._held = None

    def _keep(self) -> None:
        run_in_background()
        while not self._over.wait(self.seconds / 3):
            try:
                self.renew()
            except ConcurrentUpdateError:
                return
            except StorageError:
                _log.warning("the lease %s was not renewed; trying again", self._name, exc_info=True)

    def _renew(self) -> None:
        try:
            self._hold(self._held)
        except (ConcurrentUpdateError, DocumentOverwrittenError):
            # A renewal that got no answer may have been performed: then the document is still this lease's.
            found = self._documents.read(self._name)
            if found and found.body.get("token") == self._token and self._try_to_hold(found):
                return
            self._held = None
            raise ConcurrentUpdateError(
                f"{self._name}: {self._holder} lost its lease to another writer; nothing more was applied"
            ) from None

    def _try_to_hold(self, found: Document | None) -> bool:
        try:
            self._hold(found)
        except (ConcurrentUpdateError, DocumentOverwrittenError, OutcomeUnknownError):
            return False  # another was faster, or perhaps not: the next look tells whose it is
        return True

    def _hold(self, found: Document | None) -> None:
        """Write the lease; again if so much time passed before the write was through that too little of it is left."""
        while True:
            until = self._clock() + timedelta(seconds=self.seconds)
            found = self._documents.write(self._name, self._body(until), expect=found)
            if self._seconds_left(found) > self.seconds / 2:
                self._held = found
                return

    def _is_free(self, found: Document | None, unchanged: float) -> bool:
        if found is None or self._seconds_left(found) <= 0:
            return True
        with self._documents.parsing(self._name):
            is_own = self._reentrant and found.body["holder"] == self._holder
            return is_own or unchanged > float(found.body.get("seconds", self.seconds))

    def _seconds_left(self, found: Document) -> float:
        with self._documents.parsing(self._name):
            return (datetime.fromisoformat(found.body["until"]) - self._clock()).total_seconds()

    def _refusal(self, found: Document | None) -> str:
        uri = self._documents.uri_of(self._name)
        if found is None or self._seconds_left(found) <= 0:
            return f"{uri}: another run took it at the same moment; run again"
        return (
            f"{uri} is held by {found.body['holder']} until {found.body['until']}; run again when it is done (or after that "
            "time, if it died)"
        )

    def _body(self, until: datetime) -> Body:
        term = {"until": until.isoformat(), "seconds": self.seconds}
        return {**self._note, "holder": self._holder, "token": self._token, **term}


def holder_of(document: Document, now: datetime) -> str | None:
    """Return who holds a lease at a time; None when it is free."""
    return document.body["holder"] if datetime.fromisoformat(document.body["until"]) > now else None


def break_lease(documents: Documents, name: str, *, who: str, why: str) -> str:
    """End a lease whose holder is known to be dead. A holder that lives stops at its next step.

    Args:
        documents: where leases are kept.
        name: of the lease.
        who: breaks it.
        why: it is kept in the document.

    Returns:
        The holder whose lease was broken; empty when nobody held it.

    Raises:
        OutcomeUnknownError: the storage does not say whether it was broken.
    """
    found = documents.read(name)
    if found is None or holder_of(found, utc_now()) is None:
        return ""
    free = {**found.body, "until": datetime.fromtimestamp(0, UTC).isoformat()}
    documents.write(name, {**free, "broken": {"who": who, "why": why, "when": utc_now().isoformat()}}, expect=found)
    return str(found.body["holder"])
