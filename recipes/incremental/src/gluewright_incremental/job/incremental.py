"""Batches of what is new in a source: planned once, published under their id, then recorded as known."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import ConcurrentUpdateError
from gluewright_core.leases import Lease, utc_now
from gluewright_core.state import Documents
from gluewright_core.storage import Storage, open_storage
from gluewright_incremental.job.compaction import Open, opened, settle, superseded
from gluewright_incremental.job.manifests import Known, Plan, Shelf
from gluewright_incremental.job.notifications import Message, ObjectQueue, settled
from gluewright_incremental.job.source_state import Entry, InvalidLedgerError, Ledger, Section
from gluewright_incremental.ledger import (
    Change,
    Difference,
    Gone,
    IncrementalError,
    InvalidLimitsError,
    Limits,
    ObjectsDeletedError,
    ObjectsRewrittenError,
    Rewritten,
    SourceObject,
    Span,
    compare,
    digest,
    is_data,
    late,
    prefix_of,
    range_of,
    spans,
    take,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

NO_LIMITS = Limits()
_log = logging.getLogger("gluewright.incremental")
_GLOB = re.compile(r"([\\{}\[\]*?])")


@dataclass(frozen=True)
class Batch:
    """What one run reads. It is false when nothing is new.

    Attributes:
        id: the run id under which the sink publishes it; the same in every attempt. Empty for a dry run or no objects.
        number: 1 for the first batch of the source.
        objects: what is read, sorted by key.
        rewritten: how many of them were read before with another content.
        late: the closed prefixes that the batch touches, with ``partition``, ``prefix``, ``objects``, ``bytes``: what was
            made from them has to be made again.
        replayed: an earlier run planned this batch and did not commit it.
        replaces: ids of batches that were taken back by hand; this one takes their place in the sink.
        replaces_all: everything was taken back.
        root: the URI of the source.
        gone: objects that were planned and are not in the source any more, where that is ignored: they are not read.
    """

    id: str
    number: int
    objects: Sequence[SourceObject]
    root: str
    rewritten: int = 0
    late: Sequence[Mapping[str, Any]] = ()
    replayed: bool = False
    replaces: Sequence[str] = ()
    replaces_all: bool = False
    gone: Sequence[SourceObject] = ()

    def __bool__(self) -> bool:
        return bool(self.objects)

    @property
    def bytes(self) -> int:
        """The size of all objects."""
        return sum(each.size for each in self.objects)

    @property
    def paths(self) -> list[str]:
        """The objects as Spark takes them: characters that would match other names are escaped."""
        return [_GLOB.sub(r"\\\1", f"{self.root}/{each.key}") for each in self.objects]

    def read(
        self,
        spark: SparkSession,
        format: str = "parquet",  # noqa: A002 - Spark's own name for it
        schema: StructType | str | None = None,
        **options: str,
    ) -> DataFrame:
        """Read the objects, and nothing else that lies beside them. Folders ``column=value`` become columns.

        Args:
            spark: the session.
            format: of the objects, such as ``parquet``, ``csv``, ``json``.
            schema: with the columns of the folders; without it types may change from batch to batch.
            options: for Spark's reader.

        Raises:
            IncrementalError: the batch is empty and there is no schema.
        """
        if not self.objects:
            if schema is None:
                raise IncrementalError("the batch has no objects: test it before it is read (`if batch:`), or give a schema")
            return spark.createDataFrame([], schema)
        reader = spark.read.format(format).option("basePath", self.root).options(**options)
        return (reader.schema(schema) if schema is not None else reader).load(self.paths)


@dataclass(frozen=True)
class Found:
    """What a look at the source found.

    Attributes:
        difference: between the listing and what is known.
        closed: closed prefixes that differ.
        everything: whether all of the source was listed.
    """

    difference: Difference
    closed: set[str] = field(default_factory=set)
    everything: bool = True


class Incremental:
    """Reads what is new in a source, each object once.

    The ledger says what is known; the sink takes each batch under its id once. A run that dies between the two leaves the
    batch open, and the next run reads the same objects under the same id: the sink has them, or takes them now.

    Args:
        source: the folder of the objects: a URI, or a storage.
        consumer: who reads; every consumer has a ledger of its own.
        state: where ledgers are kept (below ``_gluewright/ledgers/``): a URI, or a storage.
        name: of the source in the ledger, for consumers with several.
        depth: how many folders of a key make its prefix.
        close_after: a prefix is closed when so many batches found nothing new for it.
        audit_every: in a listing that is not full, each closed range is listed in one of so many batches.
        rewritten: objects with another content are read ``again``, ``ignore`` d, or ``fail`` the batch.
        gone: objects that are known and not there any more ``fail`` the batch, or are ``ignore`` d.
        holder: who holds the lease, for messages; by default the machine and process.
        lease_seconds: how long a run that died keeps others out; by default two minutes.
        patience: how long to wait for another run; by default a little longer than that.
        clock: tells the time, UTC.

    Example:
        >>> incremental = Incremental("s3://landing/flights", consumer="flights", state="s3://lake")  # doctest: +SKIP
        >>> with incremental.batch() as batch:                                                        # doctest: +SKIP
        ...     if batch:
        ...         rows = batch.read(spark, "csv", schema).withColumn("batch", F.lit(batch.id))
        ...         table.publish(rows, run=batch.id, replace=[{"batch": batch.id}])
    """

    def __init__(
        self,
        source: str | Storage,
        *,
        consumer: str,
        state: str | Storage,
        name: str = "source",
        depth: int = 1,
        close_after: int = 10,
        audit_every: int = 32,
        rewritten: Rewritten = "again",
        gone: Gone = "fail",
        holder: str = "",
        lease_seconds: float | None = None,
        patience: float | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        for what, value, least in (("depth", depth, 0), ("close_after", close_after, 1), ("audit_every", audit_every, 1)):
            if value < least:
                raise InvalidLimitsError(f"{what} is {value}; give {least} or more")
        self._source = open_storage(source) if isinstance(source, str) else source
        state = open_storage(state) if isinstance(state, str) else state
        self.ledger = Ledger(state, consumer, name)
        self.shelf = Shelf(state, consumer, name)
        self.depth = depth
        self.close_after = close_after
        self._audit_every = audit_every
        self._rewritten = rewritten
        self._gone = gone
        self._clock = clock
        self._lease = Lease(
            Documents(state, "leases"),
            f"ledgers/{consumer}/{name}",
            holder=holder or f"{socket.gethostname()}:{os.getpid()}",
            seconds=lease_seconds,
            clock=clock,
            patience=patience,
        )

    @contextmanager
    def notified(self, queue: ObjectQueue, limits: Limits = NO_LIMITS) -> Iterator[Batch]:
        """Plan a batch of the objects that a queue tells of, without listing anything; else as :meth:`batch`.

        A batch that an earlier run left open comes first; the queue waits meanwhile.

        Args:
            queue: with S3's notifications.
            limits: of a new batch.

        Yields:
            The batch. An empty one says only that the queue had nothing new.

        Raises:
            UnreadableMessageError: the queue has a message that is no notification of the source.
            ConcurrentUpdateError, ObjectsDeletedError, ObjectsRewrittenError, InvalidLedgerError: see :meth:`batch`.
        """
        with self.held():
            read = self.ledger.read()
            section = self.require_own(read)
            messages: list[Message] = []
            waiting: set[str] = set()
            if section.open_batch is None:
                messages = queue.receive(self._source.uri)
                there = opened(section, self.shelf)
                found = self._look_at(section, there, sorted(set().union(*(each.keys for each in messages))))
                changes = take(found.difference, limits, rewritten=self._rewritten, gone=self._gone)
                every = take(found.difference, NO_LIMITS, rewritten=self._rewritten, gone=self._gone)
                waiting = {each.key for each in every} - {each.key for each in changes}
                batch = self._opened(read, section, changes, found)
            else:
                batch = self._open_batch(section, section.open_batch)
                if not batch:
                    self._commit(batch.id)
            yield batch
            if batch:
                self._commit(batch.id)
            queue.delete(settled(messages, waiting))

    @contextmanager
    def batch(self, limits: Limits = NO_LIMITS, *, full: bool = False) -> Iterator[Batch]:
        """Plan a batch, or take up the one that an earlier run left open, and record it when the body ends.

        Leaving the body by an exception leaves the batch open.

        Args:
            limits: of a new batch; one that is open stays as it is.
            full: list everything.

        Yields:
            The batch. An empty one has listed everything: nothing within the limits is unknown. It writes nothing.

        Raises:
            ConcurrentUpdateError: another run works on the same source for the same consumer.
            ObjectsDeletedError, ObjectsRewrittenError: as the policies say; or objects of an open batch changed. The ledger
                is as it was.
            InvalidLedgerError: the ledger cannot be read, or is of another source.
        """
        with self.held():
            found = self._begin(limits, full=full)
            yield found
            if found:
                self._commit(found.id)

    def plan(self, limits: Limits = NO_LIMITS, *, full: bool = False) -> Batch:
        """Tell what a batch would read now. Nothing is written, and no lease is taken.

        Args:
            limits: of the batch.
            full: list everything.

        Raises:
            ObjectsDeletedError, ObjectsRewrittenError, InvalidLedgerError: see :meth:`batch`.
        """
        section = self.section()
        if section.open_batch:
            return self._open_batch(section, section.open_batch)
        changes, found = self._new(section, opened(section, self.shelf), limits, full=full)
        return self._batch("", section, changes, late(changes, found.closed, self.depth))

    def section(self) -> Section:
        """Read what the ledger says of the source.

        Raises:
            InvalidLedgerError: it is of another source, or of another depth.
        """
        return self.require_own(self.ledger.read())

    def require_own(self, section: Section | None) -> Section:
        """Refuse a section of another source; an empty one stands for none."""
        uri = self._source.uri.replace("s3a://", "s3://", 1)
        if section is None:
            return Section(uri, self.depth)
        if (section.uri, section.depth) != (uri, self.depth):
            raise InvalidLedgerError(
                f"{self.ledger.uri}: {self.ledger.source} is {section.uri} with depth {section.depth}, asked for {uri} with "
                f"depth {self.depth}; give another name to another source"
            )
        return section

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only run for this source and consumer while the body runs, however long it takes.

        The lease saves work and gives a clear error. What is exact does not depend on it: one batch is open at a time, by
        compare-and-swap, and the sink takes an id once.
        """
        with self._lease:
            yield

    def _begin(self, limits: Limits, *, full: bool) -> Batch:
        read = self.ledger.read()
        section = self.require_own(read)
        if section.open_batch:
            batch = self._open_batch(section, section.open_batch)
            if batch:
                return batch
            # All its objects are gone, and that is ignored: whether or not the sink has it, there is nothing left to read.
            self._commit(batch.id)
            return self._begin(limits, full=full)
        changes, found = self._new(section, opened(section, self.shelf), limits, full=full)
        return self._opened(read, section, changes, found)

    def _opened(self, read: Section | None, section: Section, changes: Sequence[Change], found: Found) -> Batch:
        """Write the plan, and open the batch by one compare-and-swap."""
        if not changes:
            return self._batch("", section, [], [])
        self.begin_section(read, section)
        entry, plan = self.planned(section, "read", changes, found)
        try:
            self.ledger.replace(section, replace(section, open_batch=entry))
        except ConcurrentUpdateError:
            # Refused for good. After any other error the plan may be named by the ledger, now or later.
            self.shelf.discard([entry.plan])
            raise
        return self._batch(entry.id, section, changes, plan.late)

    def begin_section(self, read: Section | None, section: Section) -> None:
        """Write the section of a source that has none, before its first side object: without it, that tells of a loss.

        Args:
            read: the section as it was read.
            section: what stands for none.
        """
        if read is None:
            self.ledger.replace(None, section)

    def _commit(self, batch_id: str) -> None:
        section = self.section()
        if section.last and section.last.id == batch_id:
            return
        if section.open_batch is None or section.open_batch.id != batch_id:
            raise ConcurrentUpdateError(
                f"{self.ledger.uri}: batch {batch_id} is not open any more, another run committed it or it was decided by "
                "hand; its rows are published under its id, so nothing is lost or double"
            )
        entry = section.open_batch
        self.record(section, section, entry, self.shelf.read_plan(entry.plan), replaces=(), replaces_all=False)

    def record(self, read: Section | None, section: Section, entry: Entry, plan: Plan, **more: Any) -> None:
        """Make a batch known, by one compare-and-swap.

        Args:
            read: the section as it was read.
            section: the same, or what stands for none.
            entry: the batch.
            plan: of the batch.
            more: other attributes of the section to be set.
        """
        there = opened(section, self.shelf)
        after = settle(section, entry, plan, there, self.shelf, close_after=self.close_after)
        self.ledger.replace(read, replace(after, **more))
        self.shelf.discard(superseded(section, after))

    def planned(
        self, section: Section, kind: str, changes: Sequence[Change], found: Found, note: Mapping[str, str] | None = None
    ) -> tuple[Entry, Plan]:
        """Write the plan of a batch."""
        number = section.number + 1
        at = self._clock().isoformat(timespec="seconds")
        name = f"{self.ledger.consumer}-{self.ledger.source}-{number:06d}-{secrets.token_hex(4)}"
        missed = chain(found.difference.new, (now for _, now in found.difference.rewritten))
        touched = sorted({prefix_of(each.key, self.depth) for each in missed})
        previous = section.last.plan if section.last else ""
        told = late(changes, found.closed, self.depth) if kind == "read" else []
        plan = Plan(name, number, kind, at, previous, changes, touched, told, note or {})
        size = sum(each.size for each in changes)
        return Entry(name, number, kind, len(changes), size, at, self.shelf.write_plan(plan)), plan

    def _batch(self, name: str, section: Section, changes: Sequence[Change], told: Sequence[Mapping[str, Any]]) -> Batch:
        objects = [each.now for each in changes if each.now]
        again = sum(each.was is not None for each in changes)
        number = section.number + 1
        replaced = (section.replaces, section.replaces_all) if objects else ((), False)
        return Batch(name, number, objects, self._source.uri, again, told, False, *replaced)

    def _open_batch(self, section: Section, entry: Entry) -> Batch:
        plan = self.shelf.read_plan(entry.plan)
        gone = {each.key: each for each in self._require_unchanged(plan)}
        if gone:
            _log.warning("%s: %d planned objects are not in the source any more, and are not read", plan.id, len(gone))
        left = [each for each in plan.changes if each.key not in gone]
        return replace(self._batch(plan.id, section, left, plan.late), replayed=True, gone=tuple(gone.values()))

    def _require_unchanged(self, plan: Plan) -> list[SourceObject]:
        """Refuse an open batch whose objects changed; return those that are gone where that is ignored."""
        wanted = {each.key: each.now for each in plan.changes if each.now}
        prefixes = sorted({prefix_of(key, self.depth) for key in wanted})
        listed = chain.from_iterable(self._below(prefix) for prefix in prefixes)
        found = compare((each for each in listed if each.key in wanted), wanted)
        changed = [*found.gone, *(was for was, _ in found.rewritten)]
        if self._gone == "ignore" and not found.rewritten:
            return found.gone
        if changed:
            kind = ObjectsDeletedError if found.gone else ObjectsRewrittenError
            raise kind(
                f"batch {plan.id} is open and {len(found.gone):,} of its {len(wanted):,} objects are gone, "
                f"{len(found.rewritten):,} have another content, the first: {min(changed).key}; restore them, or look "
                "whether the sink has the batch and say `mark --published` or `mark --dropped`"
            )
        return []

    def _new(self, section: Section, there: Open, limits: Limits, *, full: bool) -> tuple[list[Change], Found]:
        """Find what is new; look everywhere before saying that nothing is."""
        found = self.look(section, there, full=full)
        changes = take(found.difference, limits, rewritten=self._rewritten, gone=self._gone)
        if not changes and not found.everything:
            found = self.look(section, there, full=True)
            changes = take(found.difference, limits, rewritten=self._rewritten, gone=self._gone)
        return changes, found

    def look(self, section: Section, there: Open, *, full: bool) -> Found:
        """Compare the source with what is known: what is outside the closed ranges, and those whose turn it is.

        Args:
            section: what the ledger says.
            there: the open prefixes.
            full: compare all ranges.
        """
        number = section.number + 1
        full = full or (section.last is not None and section.last.kind != "read")  # what is unknown may lie anywhere
        audited = [each for each in section.closed if full or each.in_turn(number, self._audit_every)]
        found = Found(Difference(), set(), len(audited) == len(section.closed))
        loose: list[SourceObject] = []
        for span in spans(section.closed, audited):
            if span.covered_by is None:
                loose += self._listed(span)
                continue
            objects: list[SourceObject] = []
            for each in self._listed(span):
                (loose if prefix_of(each.key, self.depth) in there.last else objects).append(each)
            if digest(objects) != span.covered_by.digest:
                detail = self.shelf.read_detail(span.covered_by.detail)
                found.difference.add(compare(objects, by_key(detail)))
                found.closed.update(detail)
        for prefix in there.last:
            if (inside := range_of(prefix, section.closed)) and inside not in audited:
                loose += self._below(prefix)
        found.difference.add(compare(loose, by_key(there.known)))
        return found

    def _look_at(self, section: Section, there: Open, keys: Sequence[str]) -> Found:
        """Compare single objects with what is known of them."""
        stored = (self._source.stat(key) for key in keys if is_data(key))
        objects = [SourceObject(each.key, each.version, each.size) for each in stored if each]
        known: dict[str, SourceObject] = {}
        closed: set[str] = set()
        details: dict[str, Known] = {}
        for each in objects:
            prefix = prefix_of(each.key, self.depth)
            here = there.known.get(prefix)
            if here is None and (home := range_of(prefix, section.closed)):
                if home.detail not in details:
                    details[home.detail] = self.shelf.read_detail(home.detail)
                here = details[home.detail].get(prefix)
                closed |= set() if here is None else {prefix}
            if here and each.key in here:
                known[each.key] = here[each.key]
        return Found(compare(objects, known), closed, everything=False)

    def _listed(self, span: Span) -> Iterator[SourceObject]:
        for each in self._source.list_objects(after=span.start):
            prefix = prefix_of(each.key, self.depth)
            if span.ends_at(prefix):
                return
            if span.has(prefix) and is_data(each.key):
                yield SourceObject(each.key, each.version, each.size)

    def _below(self, prefix: str) -> Iterator[SourceObject]:
        for each in self._source.list_objects(prefix):
            if prefix_of(each.key, self.depth) == prefix and is_data(each.key):
                yield SourceObject(each.key, each.version, each.size)


def by_key(known: Known) -> dict[str, SourceObject]:
    """Give objects by key only."""
    found: dict[str, SourceObject] = {}
    for objects in known.values():
        found.update(objects)
    return found
