"""Small JSON documents with compare-and-swap.

A document lies at ``_gluewright/<kind>/<name>.json`` below a storage's root. It carries a format, a number that grows by one
with each write, the marks of its latest writers, and its body; anyone can read it. Two writers who read the same document:
one wins, the other gets :class:`~gluewright_core.errors.ConcurrentUpdateError` and nothing of it is written.

A storage does not always answer: a write whose answer was lost may have been performed, and may be performed later. Each
writer therefore leaves a random mark, and the next writers carry the latest marks along. A writer that got no answer, or a
refusal that an earlier attempt of its own may have caused, reads the document again and finds out by its mark whether its
write happened.

Documents are overwritten and not deleted when they are over, because a delayed request to create one would bring it back.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gluewright_core.errors import (
    ConcurrentUpdateError,
    DocumentOverwrittenError,
    InvalidStateError,
    ObjectNotFoundError,
    OutcomeUnknownError,
)
from gluewright_core.storage import ABSENT, Storage
from gluewright_core.storage.conditions import require_conditional_writes

FORMAT = 1
MARKS = 32
"""How many writers back a document tells whether one of them wrote it."""
RETRY_PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8)
"""How long a writer without a certain answer waits before each attempt, in seconds."""
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read or written.

    Attributes:
        name: without kind and ending.
        body: the JSON object.
        number: 1 for the first write, one more for each that followed.
        version: the storage's version, for the next conditional write.
        marks: of its latest writers, the newest last.
    """

    name: str
    body: Body
    number: int
    version: str = field(repr=False)
    marks: tuple[str, ...] = field(default=(), repr=False)

    def written_by(self, mark: str, number: int) -> bool | None:
        """Return whether a writer made the document with this number; None if that is too long ago to tell."""
        at = number - (self.number - len(self.marks) + 1)
        return self.marks[at] == mark if 0 <= at < len(self.marks) else None


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
        """Return the URI of a document, for messages."""
        return self._storage.uri_of(self._key(name))

    def names(self, folder: str = "") -> list[str]:
        """List the documents directly in a folder, sorted, without their ending.

        Args:
            folder: below the kind's own, without a trailing ``/``; empty for the kind's own.
        """
        prefix = f"{self._folder}/{folder}/" if folder else f"{self._folder}/"
        keys = (found.key.removeprefix(prefix) for found in self._storage.list_objects(prefix))
        return [key.removesuffix(".json") for key in keys if "/" not in key and key.endswith(".json")]

    def read(self, name: str) -> Document | None:
        """Read a document; None when there is none.

        Raises:
            InvalidStateError: it is not a document of this format.
        """
        try:
            raw, version = self._storage.read(self._key(name))
        except ObjectNotFoundError:
            return None
        with self.parsing(name):
            envelope = json.loads(raw)
            if envelope["format"] > FORMAT:
                raise InvalidStateError(
                    f"{self.uri_of(name)} has format {envelope['format']}, this version reads up to {FORMAT}; "
                    "update gluewright"
                )
            if not isinstance(envelope["body"], dict) or envelope["number"] < 1:
                raise ValueError("no body or number")
            marks = tuple(envelope.get("marks", ()))
            return Document(name, envelope["body"], envelope["number"], version, marks)

    def write(self, name: str, body: Body, *, expect: Document | None = None) -> Document:
        """Write a document if nobody else has since it was read.

        Args:
            name: may contain ``/``.
            body: a JSON object.
            expect: the document as it was read; None when there was none.

        Returns:
            The document as written.

        Raises:
            ConcurrentUpdateError: another writer was first; nothing was written, and nothing will be.
            DocumentOverwrittenError: it was written, and another writer has written it again since.
            OutcomeUnknownError: the storage does not say whether it was written.
        """
        mark = secrets.token_hex(8)
        number = expect.number + 1 if expect else 1
        marks = (*(expect.marks if expect else ()), mark)[-MARKS:]
        envelope = {"format": FORMAT, "number": number, "marks": marks, "body": body}
        raw = json.dumps(envelope, indent=1, ensure_ascii=False).encode()
        require_conditional_writes(self._storage)
        doubt: Exception | None = None
        for pause in RETRY_PAUSES:
            if pause:
                time.sleep(pause)
            try:
                version = self._storage.write(self._key(name), raw, expect=expect.version if expect else ABSENT)
                return Document(name, body, number, version, marks)
            except (ConcurrentUpdateError, OutcomeUnknownError) as error:
                doubt = error
            found = self._read_or_none(name, doubt)
            if found and found.marks[-1:] == (mark,):
                return found
            if (found.version if found else None) != (expect.version if expect else None):
                self._raise_lost(name, number, mark, found, doubt)
        raise OutcomeUnknownError(
            f"{self.uri_of(name)}: whether it was written is not known, the storage gives no certain answer; nothing was "
            "discarded, run again to find out"
        ) from doubt

    def _read_or_none(self, name: str, doubt: Exception) -> Document | None:
        try:
            return self.read(name)
        except OutcomeUnknownError as error:
            raise OutcomeUnknownError(
                f"{self.uri_of(name)}: whether it was written is not known, the storage does not answer ({error}); nothing "
                "was discarded, run again to find out"
            ) from doubt

    def _raise_lost(self, name: str, number: int, mark: str, found: Document | None, doubt: Exception) -> None:
        """Tell what became of a write from a document that is neither the expected one nor the written one."""
        was_mine = found.written_by(mark, number) if found else None
        if was_mine is None:
            raise OutcomeUnknownError(
                f"{self.uri_of(name)} was deleted or written many times since; whether this write happened is not known"
            ) from doubt
        if was_mine:
            raise DocumentOverwrittenError(f"{self.uri_of(name)} was written, and another writer has written it since")
        raise ConcurrentUpdateError(f"{self.uri_of(name)} was written by another writer at the same time; read it again")

    def update(self, name: str, change: Callable[[Body | None], Body], *, attempts: int = 10) -> Document:
        """Read, change and write a document, again when another writer was faster.

        Args:
            name: of the document.
            change: from the body (None when there is no document) to the new body; may run several times.
            attempts: how often, before giving up.

        Returns:
            The document as written, or as another writer has written it after this one.

        Raises:
            ConcurrentUpdateError: another writer was faster every time.
            OutcomeUnknownError: the storage does not say whether it was written.
        """
        for _ in range(attempts - 1):
            with suppress(ConcurrentUpdateError):
                return self._update_once(name, change)
        return self._update_once(name, change)

    def _update_once(self, name: str, change: Callable[[Body | None], Body]) -> Document:
        found = self.read(name)
        body = change(found.body if found else None)
        if found and body == found.body:
            return found
        try:
            return self.write(name, body, expect=found)
        except DocumentOverwrittenError:
            now = self.read(name)
            assert now is not None
            return now

    def remove(self, document: Document) -> None:
        """Remove a document if it still is what was read or written: only one that does no harm when it comes back.

        Args:
            document: as it was read or written.

        Raises:
            ConcurrentUpdateError: another writer has written it since. Nothing was removed.
        """
        self._storage.delete_version(self._key(document.name), document.version)

    @contextmanager
    def parsing(self, name: str) -> Iterator[None]:
        """Raise InvalidStateError, with the document's URI, for whatever is missing or of another type in its content."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise InvalidStateError(
                f"{self.uri_of(name)} is not a gluewright document ({what}); restore it from a backup"
            ) from error

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}.json"
