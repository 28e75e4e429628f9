"""Redo partitions of a table: each is computed, staged, looked at and published by one switch, and a ledger says how far.

What is published of one partition does not wait for the others, and one that fails does not stop them. Killed anywhere and
run again, a run goes on with what is left.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import ConcurrentUpdateError, GluewrightError, UnsupportedTableError
from gluewright_core.progress import metering
from gluewright_core.secret import masked
from gluewright_core.storage import open_storage, parent_uri
from gluewright_core.tables import ALL
from gluewright_core.tables.partitions import matching, value_text, values_of
from gluewright_reprocessing.compare import Checks, InvalidCompareError, check, counted, diff
from gluewright_reprocessing.job.ledger import Ledger, RunTakenError
from gluewright_reprocessing.plan import (
    AUDITED,
    FAILED,
    PUBLISHED,
    RUNNING,
    SKIPPED,
    UNDOING,
    UNDONE,
    WRITTEN,
    Entry,
    Partition,
    digest,
    failed,
    fingerprint,
    gaps,
    left,
    listed,
    name,
    unchanged,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.tables import Replace, Staging, Table

_log = logging.getLogger("gluewright.reprocessing")

Compute = Callable[[dict[str, Any], "DataFrame"], "DataFrame"]
"""From a partition (its values, typed as its columns) and its old rows to its new rows."""
Audit = Callable[["DataFrame"], Sequence[str]]
"""From new rows to what is wrong with them."""
Inputs = Callable[[dict[str, Any]], Iterable[str]]
"""From a partition to the URIs of the files and folders that it is made from."""


class InvalidReprocessingError(GluewrightError):
    """What was asked for cannot be done with this table or run. Nothing was changed."""


class ReprocessingFailedError(GluewrightError):
    """Some partitions were not published. The message says which and why; the others were."""


@dataclass(frozen=True)
class Report:
    """How far the partitions of a run have come.

    Attributes:
        table: its name.
        run: the run's id.
        entries: one for each partition.
    """

    table: str
    run: str
    entries: Sequence[Entry]

    def states(self) -> dict[str, int]:
        """Count the partitions by state."""
        found: dict[str, int] = {}
        for entry in self.entries:
            found[entry.state] = found.get(entry.state, 0) + 1
        return found

    def require(self) -> Report:
        """Return the report, if no partition failed.

        Raises:
            ReprocessingFailedError: names those that did, and why.
        """
        wrong = failed(self.entries)
        if wrong:
            told = "; ".join(f"{name(entry.partition)}: {', '.join(entry.problems)}" for entry in wrong[:10])
            more = f"; and {len(wrong) - 10} more" if len(wrong) > 10 else ""
            raise ReprocessingFailedError(
                f"{self.table}: {len(wrong)} of {len(self.entries)} partitions failed and keep their old rows: "
                f"{told}{more}. Mend the cause and retry run {self.run}"
            )
        return self

    def __str__(self) -> str:
        """Show a line for each partition."""
        rows = [["partition", "state", "attempts", "before", "rows", ""]]
        for entry in self.entries:
            figures = [_figure(entry.attempts), _figure(entry.before), _figure(entry.rows)]
            rows.append([name(entry.partition), entry.state, *figures, "; ".join(entry.problems) or _told(entry.changes)])
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return "\n".join("  ".join([*map(str.ljust, row[:5], widths), row[5]]).rstrip() for row in rows)


@dataclass(frozen=True)
class Preview:
    """What a run would do with a partition.

    Attributes:
        partition: which.
        skipped: whether its inputs and the code are those that it was last published from.
        objects: how many objects it is made from; None where nobody says which.
        bytes: their size, likewise.
        rows: how many rows were last published; None if that is not known.
    """

    partition: Partition
    skipped: bool
    objects: int | None
    bytes: int | None
    rows: int | None


@dataclass(frozen=True)
class Reprocessing:
    """How partitions of a table are redone. :func:`open_reprocessing` makes it.

    Attributes:
        table: whose partitions.
        compute: makes a partition's new rows.
        ledger: how far each partition has come.
        checks: what new rows must fulfil.
        audits: more checks: each is given the staged rows and returns what is wrong.
        compare_by: the columns that identify a row, to count what changes; empty to leave that out.
        ignore: columns that may differ.
        inputs: what a partition is made from; with it, unchanged partitions are skipped.
        code: the version of what ``compute`` does.
    """

    table: Table
    compute: Compute
    ledger: Ledger
    checks: Checks = field(default_factory=Checks)
    audits: Sequence[Audit] = ()
    compare_by: Sequence[str] = ()
    ignore: Sequence[str] = ()
    inputs: Inputs | None = None
    code: str = ""
    _switch: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def run(
        self,
        partitions: Iterable[Mapping[str, Any]] | None = None,
        *,
        run: str,
        concurrency: int = 1,
        require_approval: bool = False,
        skip_unchanged: bool = True,
    ) -> Report:
        """Redo partitions; called again with the same run, go on with what is left of them.

        Args:
            partitions: which; what the run was first given stands, so that an attempt again does the same. None to go on.
            run: the logical run's id.
            concurrency: how many partitions at once, in threads of this Spark application.
            require_approval: whether to stop before the switch, until :meth:`approve`.
            skip_unchanged: whether to leave out partitions whose inputs and code have not changed, where inputs are told.

        Returns:
            How far each has come; :meth:`Report.require` raises if any has failed.

        Raises:
            InvalidReprocessingError: the table is not there, or a partition is not one of its.
            ConcurrentUpdateError: another run reprocesses some of the same partitions now.
        """
        if not self.table.exists():
            raise InvalidReprocessingError(f"{self.table.spec.name} is not there; create it, or name another")
        wanted = None if partitions is None else self._named(partitions)
        plan = self.ledger.plan(run, wanted)
        if plan is None:
            raise InvalidReprocessingError(f"{self.table.spec.name}: run {run} is not known; say which partitions to redo")
        if wanted is not None and wanted != list(plan.partitions):
            _log.warning("run %s was planned for other partitions than it is given now; it goes on with those", run)
        with self.ledger.claimed(run, plan.partitions):
            entries = left(self.ledger.entries(run, plan.partitions))
            if skip_unchanged:
                entries = self._without_unchanged(run, entries)
            self._each(entries, partial(self._redo, run, publishing=not require_approval), concurrency)
        return self.show(run)

    def retry(self, run: str, *, concurrency: int = 1, require_approval: bool = False) -> Report:
        """Redo the partitions of a run that failed, and no other."""
        partitions = self._planned(run)
        with self.ledger.claimed(run, partitions):
            entries = failed(self.ledger.entries(run, partitions))
            self._each(entries, partial(self._redo, run, publishing=not require_approval), concurrency)
        return self.show(run)

    def approve(self, run: str) -> Report:
        """Publish what a run has staged and audited.

        Raises:
            InvalidReprocessingError: nothing waits.
        """
        partitions = self._planned(run)
        with self.ledger.claimed(run, partitions):
            entries = [entry for entry in self.ledger.entries(run, partitions) if entry.state == AUDITED]
            if not entries:
                raise InvalidReprocessingError(f"{self.table.spec.name}: nothing of run {run} waits for approval")
            self._each(entries, partial(self._redo, run, publishing=True), 1)
        return self.show(run)

    def undo(self, run: str) -> Report:
        """Take back what a run has published, and discard what waits for approval.

        Raises:
            ConcurrentUpdateError: later runs have published over some partitions; those stay, the others were taken back.
            UnsupportedTableError: the table kind keeps no old rows.
        """
        partitions = self._planned(run)
        with self.ledger.claimed(run, partitions):
            entries = self.ledger.entries(run, partitions)
            left = [entry for entry in entries if entry.state in {WRITTEN, AUDITED, PUBLISHED, UNDOING}]
            # Iceberg and Delta take back the newest commit only; which that is, they know best.
            while left:
                kept = [entry for entry in reversed(left) if not self._take_back(run, entry)]
                if len(kept) == len(left):
                    raise ConcurrentUpdateError(
                        f"{self.table.spec.name} was changed after run {run} published: {len(kept)} partitions keep its "
                        f"rows, the first: {name(kept[-1].partition)}; undo the later change first"
                    )
                left = self.ledger.entries(run, [entry.partition for entry in reversed(kept)])
        return self.show(run)

    def show(self, run: str) -> Report:
        """Tell how far the partitions of a run have come."""
        return Report(self.table.spec.name, run, self.ledger.entries(run, self._planned(run)))

    def preview(self, partitions: Iterable[Mapping[str, Any]]) -> list[Preview]:
        """Tell what a run would do, and change nothing."""
        wanted = self._named(partitions)
        known = self.ledger.published(wanted)
        found = []
        for partition in wanted:
            last = known.get(digest(partition))
            objects = self._inputs_of(partition)
            marks = {digest(partition): self._fingerprint(objects)}
            size = None if objects is None else sum(each[2] for each in objects)
            count = None if objects is None else len(objects)
            found.append(Preview(partition, bool(unchanged(marks, known)), count, size, last.rows if last else None))
        return found

    def gaps(self, partitions: Iterable[Mapping[str, Any]]) -> list[Partition]:
        """List the partitions that have no rows, and that no reprocessing has published either (as empty)."""
        columns = list(self.table.spec.partition_by)
        there = self.table.read().select(columns).distinct().collect() if columns else []
        known = [digest({column: value_text(row[column]) for column in columns}) for row in there]
        wanted = self._named(partitions)
        return gaps(wanted, [*known, *self.ledger.published(wanted)])

    def _redo(self, run: str, entry: Entry, *, publishing: bool) -> None:
        """Bring one partition as far as it comes; its failure is noted, and does not stop the others."""
        unit = unit_of(run, entry.partition)
        try:
            self._advance(run, unit, entry, publishing=publishing)
        except RunTakenError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever fails one partition does not stop the others
            _log.warning("%s: %s failed", self.table.spec.name, name(entry.partition), exc_info=True)
            with suppress(GluewrightError):
                if staged := self.table.staged(unit):
                    staged.discard()
            now = self.ledger.entries(run, [entry.partition])[0]
            if now.state not in {PUBLISHED, FAILED}:  # another attempt of the run may have come first
                self.ledger.move(run, now, FAILED, problems=[_reason(error)])

    def _advance(self, run: str, unit: str, entry: Entry, *, publishing: bool) -> None:
        if entry.attempts and (done := self.table.published(unit)):
            self._note_published(run, entry, done.rows)
            return
        staged = self.table.staged(unit) if entry.state in {WRITTEN, AUDITED} else None
        if staged is None:
            entry = self.ledger.move(run, entry, RUNNING, fingerprint=self._fingerprint(self._inputs_of(entry.partition)))
            began = self.table.begin(unit)
            old = self._old(entry.partition)
            rows = self.compute(self._typed(entry.partition), old)
            staged = self.table.stage(rows, run=unit, replace=self._replaced(entry.partition), began=began)
            entry = self.ledger.move(run, entry, WRITTEN, rows=staged.count)
        else:
            old = self._old(entry.partition)
        if entry.state == WRITTEN:
            facts, problems = self._looked_at(staged, old)
            if problems:
                staged.discard()
                self.ledger.move(run, entry, FAILED, problems=problems, **facts)
                return
            entry = self.ledger.move(run, entry, AUDITED, **facts)
        if publishing:
            # One after the other: they would only wait for each other at the table.
            with self._switch:
                staged.publish()
            self._note_published(run, entry, staged.count)

    def _looked_at(self, staged: Staging, old: DataFrame) -> tuple[dict[str, Any], list[str]]:
        """Compare and audit staged rows, in as few passes as that takes: none, if nothing is asked."""
        facts: dict[str, Any] = {}
        if self.compare_by:
            changes = counted(diff(old, staged.rows, self.compare_by, ignore=self.ignore))
            facts = {"before": changes.before, "changes": changes.as_json()}
        elif self.checks.need_old_rows:
            facts = {"before": old.count()}
        problems: list[str] = []
        if self.checks.need_new_rows or self.checks.need_old_rows:
            problems += check(staged.rows, facts.get("before"), self.checks, after=staged.count)
        for audit in self.audits:
            problems += audit(staged.rows)
        return facts, problems

    def _note_published(self, run: str, entry: Entry, rows: int) -> None:
        if entry.state == FAILED:
            entry = self.ledger.move(run, entry, RUNNING)
        self.ledger.note_published(run, entry.moved(PUBLISHED, rows=rows))
        self.ledger.move(run, entry, PUBLISHED, rows=rows)

    def _take_back(self, run: str, entry: Entry) -> bool:
        """Undo one partition; tell whether it was."""
        unit = unit_of(run, entry.partition)
        if staged := self.table.staged(unit):
            staged.discard()
        # An attempt that died may have taken it back already; and what waited may have been published by one.
        certain = entry.state == PUBLISHED
        if entry.state != UNDOING:
            entry = self.ledger.move(run, entry, UNDOING)
        if certain or self.table.published(unit):
            try:
                self.table.undo(unit)
            except (ConcurrentUpdateError, UnsupportedTableError) as error:
                self.ledger.move(run, entry, PUBLISHED)
                if isinstance(error, UnsupportedTableError):
                    raise
                return False
        self.ledger.forget_published(run, entry.partition)
        self.ledger.move(run, entry, UNDONE)
        return True

    def _each(self, entries: Sequence[Entry], work: Callable[[Entry], None], concurrency: int) -> None:
        with metering(len(entries), f"{self.table.spec.name}: partitions") as meter:

            def one(entry: Entry) -> None:
                work(entry)
                meter.advance()

            if concurrency == 1:
                for entry in entries:
                    one(entry)
                return
            with ThreadPoolExecutor(concurrency, "reprocessing") as pool:
                working = [pool.submit(one, entry) for entry in entries]
                done, others = wait(working, return_when=FIRST_EXCEPTION)
                for each in others:
                    each.cancel()
            for each in done:
                each.result()

    def _without_unchanged(self, run: str, entries: Sequence[Entry]) -> list[Entry]:
        if self.inputs is None:
            return list(entries)
        fresh = [entry for entry in entries if not entry.attempts]
        marks = {digest(entry.partition): self._fingerprint(self._inputs_of(entry.partition)) for entry in fresh}
        known = self.ledger.published([entry.partition for entry in fresh])
        same = unchanged(marks, known)
        skipped = [entry for entry in fresh if digest(entry.partition) in same]
        for entry in skipped:
            rows = known[digest(entry.partition)].rows
            self.ledger.move(run, entry, SKIPPED, rows=rows, problems=["inputs and code are unchanged"])
        return [entry for entry in entries if entry not in skipped]

    def _inputs_of(self, partition: Partition) -> list[tuple[str, str, int]] | None:
        """List what a partition is made from: names, versions and sizes; None where nobody says."""
        if self.inputs is None:
            return None
        found = []
        for uri in self.inputs(self._typed(partition)):
            folder, last = parent_uri(uri)
            storage = open_storage(folder)
            file = storage.stat(last) if not uri.endswith("/") else None
            for each in [file] if file else storage.list_objects(f"{last}/"):
                found.append((storage.uri_of(each.key), each.version, each.size))
        return found

    def _fingerprint(self, objects: Sequence[tuple[str, str, int]] | None) -> str:
        return "" if objects is None else fingerprint([(key, version) for key, version, _ in objects], self.code)

    def _planned(self, run: str) -> Sequence[Partition]:
        plan = self.ledger.plan(run)
        if plan is None:
            raise InvalidReprocessingError(
                f"{self.table.spec.name}: run {run} is not known; known are {self.ledger.runs()[-5:]}"
            )
        return plan.partitions

    def _named(self, partitions: Iterable[Mapping[str, Any]]) -> list[Partition]:
        columns = self.table.spec.partition_by
        texts = [{key: value_text(value) for key, value in partition.items()} for partition in partitions]
        try:
            found = listed(texts, columns)
            for partition in found:
                self._typed(partition)
        except ValueError as error:  # InvalidPlanError, or a value that is none of its column's type
            raise InvalidReprocessingError(f"{self.table.spec.name}: {error}") from error
        return found

    def _old(self, partition: Partition) -> DataFrame:
        spec, rows = self.table.spec, self.table.read()
        if not partition:
            return rows
        return rows.where(matching(spec.schema, spec.partition_by, [values_of(spec.partition_by, partition)]))

    def _replaced(self, partition: Partition) -> Replace | list[Partition]:
        return [partition] if partition else ALL

    def _typed(self, partition: Partition) -> dict[str, Any]:
        """Give a partition's values as Python has them: days and whole numbers; everything else stays text."""
        kinds = {column: self.table.spec.schema[column].dataType.typeName() for column in partition}
        return {column: _READ.get(kinds[column], str)(value) if value else value for column, value in partition.items()}


def open_reprocessing(
    table: Table,
    compute: Compute,
    *,
    state: str = "",
    checks: Checks | None = None,
    audits: Sequence[Audit] = (),
    compare_by: Sequence[str] = (),
    ignore: Sequence[str] = (),
    inputs: Inputs | None = None,
    code: str = "",
) -> Reprocessing:
    """Say how partitions of a table are redone.

    Args:
        table: whose partitions.
        compute: makes a partition's new rows, from its values and its old rows.
        state: the folder for the ledger; by default the one beside the table's.
        checks: what new rows must fulfil.
        audits: more checks: each is given the staged rows and returns what is wrong.
        compare_by: the columns that identify a row, to count what changes.
        ignore: columns that may differ.
        inputs: the files and folders that a partition is made from; with it, unchanged partitions are skipped.
        code: the version of what ``compute`` does.

    Raises:
        InvalidReprocessingError: there is no folder for the ledger.
    """
    if not state and not table.spec.location:
        raise InvalidReprocessingError(f"{table.spec.name} has no location: say in which folder its ledger is kept (state)")
    storage = open_storage(state or parent_uri(table.spec.location)[0])
    ledger = Ledger(storage, table.spec.name)
    return Reprocessing(table, compute, ledger, checks or Checks(), audits, compare_by, ignore, inputs, code)


def unit_of(run: str, partition: Partition) -> str:
    """Name what a run publishes of a partition, as tables know it."""
    return f"{run}.{digest(partition)}"


_READ: Mapping[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
}


def _reason(error: Exception) -> str:
    """Say why a partition failed. Spark's messages may hold values of rows: only what kind of error it is is kept."""
    if isinstance(error, GluewrightError | InvalidCompareError):
        return masked(str(error))
    told = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    condition = told() if told else None
    return f"{type(error).__name__}{f' {condition}' if condition else ''}; the log says more"


def _figure(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _told(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in changes.items() if isinstance(count, int) and count)
