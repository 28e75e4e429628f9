"""The ledger of a consumer: one small JSON document with a section for each source, changed by compare-and-swap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gluewright_core.errors import ConcurrentUpdateError, DocumentOverwrittenError, GluewrightError
from gluewright_core.state import Document, Documents
from gluewright_core.storage import Storage
from gluewright_incremental.ledger import Digest, Range

FORMAT = 1
KIND = "ledgers"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class InvalidLedgerError(GluewrightError):
    """A ledger cannot be read, or is not the one of this source."""


@dataclass(frozen=True)
class Entry:
    """A batch as the document names it.

    Attributes:
        id: under which the sink publishes it.
        number: 1 for the first of a source; never used twice.
        kind: ``read``, or ``mark`` and ``rewind`` for changes by hand.
        objects: how many it takes.
        bytes: of them.
        at: when it was planned, UTC.
        plan: the side object with the objects.
    """

    id: str
    number: int
    kind: str
    objects: int
    bytes: int
    at: str
    plan: str


@dataclass(frozen=True)
class Section:
    """What the document says of one source.

    Attributes:
        uri: of the source.
        depth: of prefixes, see :func:`~gluewright_incremental.ledger.prefix_of`.
        number: the last one that was used.
        last: the last batch that is committed; None before the first.
        open_batch: the batch that is planned and not committed.
        known: the digest of all objects that are known.
        open_prefixes: how many there are.
        segments: the side objects with the names of their objects, in the order they are applied.
        closed: the ranges of closed prefixes, sorted.
        replaces: batches that were taken back: the next batch takes their place in the sink.
        replaces_all: everything was taken back.
        by_hand: the last change by hand: what, who, when, why.
    """

    uri: str
    depth: int
    number: int = 0
    last: Entry | None = None
    open_batch: Entry | None = None
    known: Digest = field(default_factory=Digest)
    open_prefixes: int = 0
    segments: tuple[str, ...] = ()
    closed: tuple[Range, ...] = ()
    replaces: tuple[str, ...] = ()
    replaces_all: bool = False
    by_hand: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Give the section as it stands in the document."""
        body = asdict(self)
        body["known"] = _told(self.known)
        body["closed"] = [
            {"first": each.first, "last": each.last, "prefixes": each.prefixes, **_told(each.digest), "detail": each.detail}
            for each in self.closed
        ]
        return body

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> Section:
        """Read the section.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is not one.
        """
        closed = (
            Range(each["first"], each["last"], int(each["prefixes"]), _digest(each), each["detail"])
            for each in body["closed"]
        )
        return Section(
            **{
                **body,
                "known": _digest(body["known"]),
                "closed": tuple(closed),
                "last": Entry(**body["last"]) if body["last"] else None,
                "open_batch": Entry(**body["open_batch"]) if body["open_batch"] else None,
                "segments": tuple(body["segments"]),
                "replaces": tuple(body["replaces"]),
            }
        )


class Ledger:
    """The section of one source in the document of a consumer.

    Args:
        state: the storage that keeps ledgers, below ``_gluewright/ledgers/``.
        consumer: who reads: a job, a team. Each knows for itself what it has read.
        source: the name of what is read.

    Raises:
        InvalidLedgerError: a name has other characters than letters, digits, ``_`` and ``-``.
    """

    def __init__(self, state: Storage, consumer: str, source: str) -> None:
        for what, name in (("consumer", consumer), ("source", source)):
            if not _NAME.fullmatch(name):
                raise InvalidLedgerError(
                    f"{what} {name!r}: use letters, digits, _ and -; the name becomes part of keys and run ids"
                )
        self.consumer = consumer
        self.source = source
        self._state = state
        self._documents = Documents(state, KIND)

    @property
    def uri(self) -> str:
        """Where the document is."""
        return self._documents.uri_of(self.consumer)

    def read(self) -> Section | None:
        """Read the section; None when this source was never read.

        Raises:
            InvalidStateError: the document cannot be read at all.
            InvalidLedgerError: it is no ledger, or a newer one, or it was deleted although batches were read.
        """
        found = self._section(self._documents.read(self.consumer))
        prefix = f"_gluewright/{KIND}/{self.consumer}/{self.source}/"
        if found is None and (side_object := next(iter(self._state.list_objects(prefix)), None)):
            # The section is written before the first side object: by now it is there, or it was deleted.
            found = self._section(self._documents.read(self.consumer))
            if found is None:
                raise InvalidLedgerError(
                    f"{self.uri} says nothing of {self.source}, although batches of it were read ({side_object.key} is "
                    "there), so everything would be read again. Restore the document from a version before; to begin anew "
                    f"on purpose, delete {self._state.uri_of(prefix)}"
                )
        return found

    def sources(self) -> list[str]:
        """List the sources of the consumer."""
        found = self._documents.read(self.consumer)
        return sorted(found.body.get("sources", {})) if found else []

    def replace(self, old: Section | None, new: Section) -> None:
        """Write the section if it still is what was read; the sections of other sources may change meanwhile.

        Args:
            old: as it was read.
            new: to be written.

        Raises:
            ConcurrentUpdateError: another run changed the section. Nothing was written.
        """
        for attempt in range(10):
            found = self._documents.read(self.consumer)
            if self._section(found) != old:
                raise ConcurrentUpdateError(
                    f"{self.uri}: another run changed what is known of {self.source}; nothing was written, run again"
                )
            others = found.body["sources"] if found else {}
            body = {"ledger": FORMAT, "consumer": self.consumer, "sources": {**others, self.source: new.as_json()}}
            try:
                self._documents.write(self.consumer, body, expect=found)
                return
            except DocumentOverwrittenError:
                return  # written, and another source's section, or the next change of this one, has been written since
            except ConcurrentUpdateError:
                if attempt == 9:
                    raise

    def _section(self, found: Document | None) -> Section | None:
        if found is None:
            return None
        try:
            if found.body["ledger"] > FORMAT:
                raise InvalidLedgerError(
                    f"{self.uri} is a ledger of format {found.body['ledger']}, this version reads up to {FORMAT}; update "
                    "gluewright-incremental"
                )
            body = found.body["sources"].get(self.source)
            return None if body is None else Section.from_json(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidLedgerError(
                f"{self.uri}: what it says of {self.source} is no ledger ({type(error).__name__}: {error}); restore the "
                "document from a version before"
            ) from error


def _told(found: Digest) -> dict[str, Any]:
    return {"objects": found.objects, "bytes": found.bytes, "digest": f"{found.total:032x}"}


def _digest(body: Mapping[str, Any]) -> Digest:
    return Digest(int(body["objects"]), int(body["bytes"]), int(body["digest"], 16))
