"""What a run did with its rows: steps with counts that add up, as a table and as JSON.

A step reads rows and lets each end somewhere: written, quarantined, or ignored for a reason. If it counted what it read and
also where rows ended, the figures have to agree, else the run fails with `CountMismatchError`: rows would be lost or doubled
silently. A step that only reads or only writes has nothing to add up, and one that changes what a row stands for (an
aggregation, an explode) is declared with ``changes_grain``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from gluewright_core.errors import CountMismatchError
from gluewright_core.logs import RunIdentity

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from gluewright_core.counting import Counted

_IGNORED = "ignored:"
Outcome = Literal["read", "written", "quarantined"]
Status = Literal["running", "succeeded", "failed"]


class Step:
    """One step of a run and its counts. `Job.step` makes it.

    Args:
        name: what the step does, as it appears in the summary.
        changes_grain: rows read and rows written are different things, so their numbers are not compared.
    """

    def __init__(self, name: str, *, changes_grain: bool = False) -> None:
        self.name = name
        self.changes_grain = changes_grain
        self.started = datetime.now(UTC)
        self.seconds: float | None = None
        self._plain: Counter[str] = Counter()
        self._pending: list[Counted] = []
        self._unknown: set[str] = set()
        self._reported: dict[str, Any] = {}
        self.differences: dict[str, dict[str, list[str]]] = {}
        self.broken_rules: dict[str, Counter[str]] = {}

    def counting(
        self,
        rows: DataFrame,
        all_as: Outcome | None = None,
        *,
        written: Column | None = None,
        quarantined: Column | None = None,
        ignored: Mapping[str, Column] | None = None,
    ) -> DataFrame:
        """Count rows while the next action reads them, without a pass of their own.

        Args:
            rows: the rows to count.
            all_as: count every row as this.
            written: count the rows for which this condition is true as written.
            quarantined: the same for quarantined.
            ignored: the same for ignored, by reason.

        Returns:
            The same rows. Only an action over these is counted, and only the first one, even if it reads but a few rows
            or fails: build them anew to run again. Spark moves no filter below a count, so filter by partition before.

        Example:
            ``flown = step.counting(flights, "read", ignored={"cancelled": F.col("dep_time").isNull()})``
        """
        from gluewright_core.counting import Counted  # noqa: PLC0415 - imports PySpark

        conditions = {"written": written, "quarantined": quarantined}
        figures: dict[str, Column | None] = {all_as: None} if all_as else {}
        figures |= {name: condition for name, condition in conditions.items() if condition is not None}
        figures |= {_IGNORED + reason: condition for reason, condition in (ignored or {}).items()}
        counted = Counted(rows, figures)
        self._pending.append(counted)
        return counted.rows

    def add(
        self,
        *,
        read: int | None = None,
        written: int | None = None,
        quarantined: int | None = None,
        ignored: Mapping[str, int] | None = None,
    ) -> None:
        """Add rows that were counted elsewhere, such as by the table they were published to.

        Args:
            read: rows read.
            written: rows written.
            quarantined: rows set aside.
            ignored: rows left out, by reason.
        """
        figures = {"read": read, "written": written, "quarantined": quarantined}
        self._plain.update({name: rows for name, rows in figures.items() if rows is not None})
        self._plain.update({_IGNORED + reason: rows for reason, rows in (ignored or {}).items()})

    def report(self, **figures: Any) -> None:
        """Add figures to the summary that are no outcome of a row, such as how many records have an unknown field.

        Args:
            figures: by name, such as ``fields_not_in_columns={"email": 3}``.
        """
        self._reported |= figures

    def add_differences(self, table: str, texts: Mapping[str, list[str]]) -> None:
        """Add to the written summary how incoming columns differ from a contract's.

        Args:
            table: that the rows were saved to.
            texts: sentences by the kind of difference, such as ``missing``.
        """
        self.differences.setdefault(table, {}).update(texts)

    def add_broken_rules(self, table: str, rows: Mapping[str, int]) -> None:
        """Add to the written summary how many rows broke each rule of a contract.

        Args:
            table: that the rows were saved to.
            rows: by rule.
        """
        self.broken_rules.setdefault(table, Counter()).update(rows)

    def resolve(self) -> None:
        """Take over the figures that actions have yielded since; what has not come stays unknown."""
        waiting = []
        for counted in self._pending:
            figures = counted.figures()
            if figures is None:
                waiting.append(counted)
            else:
                self._plain.update(figures)
        self._pending = waiting
        self._unknown = {name for counted in waiting for name in counted.names}

    def check(self) -> None:
        """Compare what was read with where it ended, if both were counted and are known.

        Raises:
            CountMismatchError: names the step and its figures.
        """
        known = dict(self._plain)
        outcomes = {name: rows for name, rows in known.items() if name != "read"}
        if self.changes_grain or self._unknown or "read" not in known or not outcomes:
            return
        if known["read"] != sum(outcomes.values()):
            parts = " + ".join(f"{rows:,} {name.replace(_IGNORED, 'ignored as ')}" for name, rows in outcomes.items())
            raise CountMismatchError(
                f"step {self.name!r}: {known['read']:,} rows read, but {parts} = {sum(outcomes.values()):,}. Rows were lost "
                "or doubled, or an outcome is not counted; if the step changes what a row is, declare changes_grain=True"
            )

    def counts(self) -> dict[str, Any]:
        """Return the figures that the step counted: a number of rows, or None where it cannot be told."""
        every = {**self._plain, **dict.fromkeys(self._unknown)}
        counts: dict[str, Any] = {name: every[name] for name in ("read", "written", "quarantined") if name in every}
        ignored = {name.removeprefix(_IGNORED): rows for name, rows in every.items() if name.startswith(_IGNORED)}
        return counts | ({"ignored": ignored} if ignored else {}) | self._reported


@dataclass
class RunSummary:
    """What a run did.

    Attributes:
        run: which run.
        steps: its steps, in the order they began.
        status: running, succeeded or failed.
        error: the failure's type and message.
        started: when the run began.
        finished: when it ended.
    """

    run: RunIdentity
    steps: list[Step] = field(default_factory=list)
    status: Status = "running"
    error: str | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished: datetime | None = None

    def resolve(self) -> None:
        """Take over every figure that has come."""
        for step in self.steps:
            step.resolve()

    def check(self) -> None:
        """Check every step's counts.

        Raises:
            CountMismatchError: a step's figures disagree.
        """
        for step in self.steps:
            step.check()

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as it is written."""
        return {
            "job": self.run.job,
            "run": self.run.id,
            "attempt": self.run.attempt,
            "status": self.status,
            "error": self.error,
            "started": self.started.isoformat(timespec="milliseconds"),
            "finished": self.finished and self.finished.isoformat(timespec="milliseconds"),
            "steps": [_step_as_dict(step) for step in self.steps],
        }

    def as_table(self) -> str:
        """Return the summary as a small table; ``?`` stands for a figure that cannot be told."""
        rows = [["step", "seconds", "read", "written", "quarantined", "ignored"]]
        for step in self.steps:
            counts = step.counts()
            seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
            figures = [_shown(counts, name) for name in ("read", "written", "quarantined")]
            reasons = [f"{_shown(counts['ignored'], reason)} {reason}" for reason in counts.get("ignored", {})]
            rows.append([step.name, seconds, *figures, ", ".join(reasons)])
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = []
        for row in rows:
            numbers = [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:], strict=True)]
            lines.append("  ".join([row[0].ljust(widths[0]), *numbers, row[5]]).rstrip())
        return "\n".join(lines)


def _step_as_dict(step: Step) -> dict[str, Any]:
    differences = {"differences": step.differences} if step.differences else {}
    rules = {"rules": {table: dict(rows) for table, rows in step.broken_rules.items()}} if step.broken_rules else {}
    return {"name": step.name, "seconds": step.seconds, **step.counts(), **rules, **differences}


def write_summary(summary: RunSummary, where: str) -> None:
    """Write the summary as JSON, whole or not at all.

    Args:
        summary: what to write.
        where: a file's path or an s3:// URI; its folders need not exist.

    Raises:
        StorageError: it cannot be written there.
    """
    from gluewright_core.storage import open_storage  # noqa: PLC0415 - not needed by a run without --summary

    folder, _, name = where.rpartition("/")
    body = json.dumps(summary.as_dict(), indent=2, ensure_ascii=False)
    open_storage(folder or ("/" if where.startswith("/") else ".")).write(name, f"{body}\n".encode())


def _shown(counts: Mapping[str, int | None], name: str) -> str:
    if name not in counts:
        return ""
    rows = counts[name]
    return "?" if rows is None else f"{rows:,}"
