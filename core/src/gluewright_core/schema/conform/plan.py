"""Plan what conform does with given columns, as SQL, and apply it to rows."""

from __future__ import annotations

import json

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from .checks import Checks
from .conformed import Output
from .nodes import ColumnPlan
from .planner import Planner, require_distinct
from .problems import with_severity
from .quarantine import Landing, quarantine_sql
from .sql import all_true
from .tags import has_pii
from .terms import DIFFERENCES, LANDED, RESERVED, Check, ContractViolationError, Difference, Mode, State

PROBLEMS_COLUMN = "_gw_conform_problems"
"""The column with the problems that were found before: by the caller, or by the reader of files."""


class Plan:
    """What conform does with these columns, as SQL; each incoming column is ``r<n>``, its candidate ``v<n>``."""

    def __init__(
        self,
        incoming: T.StructType,
        contract: T.StructType,
        values: Mode,
        unknown: Mode,
        key: tuple[str, ...],
        *,
        unique_key: bool,
        found_before: bool,
        landing: Landing,
        zone: str | None,
        show_unknown: bool | None,
        checks: tuple[Check, ...],
    ) -> None:
        self.differences: list[Difference] = []
        self._found_before, self._landing = found_before, landing
        self._incoming = incoming
        # What becomes of a row for what is not about one column.
        self._row_state = State.FROZEN if Mode(values) is Mode.FREEZE else State.OUT
        self._shown = not (has_pii(contract) or has_pii(incoming)) if show_unknown is None else show_unknown
        planner = Planner(Mode(unknown), self.differences, utc=zone in {"UTC", "Etc/UTC"}, shown=self._shown)
        require_distinct(incoming, "the incoming rows have")
        require_distinct(contract, "the contract has")
        absent = [name for name in key if name not in contract.names]
        if absent or (unique_key and not key):
            raise ContractViolationError(f"the key {list(key)} is not made of the contract's columns {contract.names}")
        self._columns = list(planner.fields(incoming, contract, "", Mode(values), key))
        unique = [column for name in key for column in self._columns if column.name == name] if unique_key else []
        self._checks = Checks(checks, self._columns, unique, self._row_state, landing.unparsed)
        self.outputs = self._list_outputs()
        for column in self._columns:
            if column.has_variant:
                told = f"a value that does not fit goes as text into {column.variant_name}"
                self.differences.append(Difference("variant", column.name, told))
        for name, told in json.loads((landing.field.metadata if landing.field else {}).get(DIFFERENCES, "{}")).items():
            self.differences.append(Difference("missing", name, told))

    def _list_outputs(self) -> list[Output]:
        """List the columns of the conformed rows: the contract's, those beside, and the evolved ones."""
        kept = [column for column in self._columns if column.node.output]
        outputs = [Output(column.name, column.value, column.metadata) for column in kept if not column.extra]
        outputs += [
            Output(column.variant_name, column.variant, {"tags": column.tags})
            for column in self._columns
            if column.has_variant
        ]
        outputs += [Output(column.name, column.raw, column.metadata) for column in kept if column.extra]
        names = [output.name for output in outputs]
        if reserved := [name for name in names if name.lower().startswith(RESERVED)]:
            raise ContractViolationError(f"{', '.join(reserved)}: names that begin with {RESERVED} are reserved; rename it")
        require_distinct(names, "the conformed rows would have")
        return outputs

    def apply_to(self, rows: DataFrame) -> tuple[DataFrame, str]:
        """Build the one DataFrame from which rows and quarantine are made, and the SQL of quarantine.

        Its projections stand on one another so that each cast is evaluated once: Spark merges two only where it would not
        evaluate anything twice.
        """
        more = [name for name, given in ((PROBLEMS_COLUMN, self._found_before), (LANDED, self._landing.field)) if given]
        raw = rows.toDF(*(f"r{place}" for place in range(len(self._incoming))), *more)
        carried = list(raw.columns)
        candidates = [f"{column.candidate} AS {column.v}" for column in self._columns if not column.bare]
        staged = raw.selectExpr(*carried, *candidates) if candidates else raw
        carried += [column.v for column in self._columns if not column.bare]
        read_by_checks = self._checks.columns_read
        stored = [
            column
            for column in self._columns
            if column.check and (column.discards or column.has_variant or column in read_by_checks)
        ]
        if stored:
            staged = staged.selectExpr(*carried, *(f"{column.check} AS {column.ok}" for column in stored))
            carried += [column.ok for column in stored]
        staged = self._checks.evaluate(staged, carried, stored)
        staged = staged.selectExpr(*carried, f"{self._state(stored, len(carried))} AS state")
        if self._checks.compares_rows:
            staged = self._checks.compare_rows(staged, carried)
        if self._checks.checks:
            flags = ", ".join(f"g{number} > 0" for number in range(len(self._checks.checks)))
            staged = staged.selectExpr("*", f"array({flags}) AS broken")
        return staged, quarantine_sql(self._problems(), self._columns, self._landing, shown=self._shown)

    def _problems(self) -> list[str]:
        problems = [column.problems for column in self._columns if column.problems]
        if self._found_before:
            problems.append(f"transform({PROBLEMS_COLUMN}, p -> {with_severity('p', self._row_state)})")
        return problems + self._checks.problems()

    @property
    def certain(self) -> bool:
        """Whether every row fits by its types alone."""
        return not (self._found_before or self._checks.key or self._checks.checks or self._judged)

    @property
    def may_freeze(self) -> bool:
        """Whether a row can be frozen."""
        frozen = self._row_state is State.FROZEN and bool(self._checks.key or self._found_before)
        frozen = frozen or any(check.state == State.FROZEN for check in self._checks.checks)
        return frozen or any(State.FROZEN in column.severities for column in self._columns)

    @property
    def _judged(self) -> list[ColumnPlan]:
        return [column for column in self._columns if column.check and not column.has_variant]

    def _state(self, stored: list[ColumnPlan], carried: int) -> str:
        if self.certain:
            return f"CAST({State.FITS} AS TINYINT)"
        # With more columns Spark generates no code for whole stages (spark.sql.codegen.maxFields), but smaller methods.
        apart = carried <= 100
        worst = [str(State.FITS)]
        for severity in (State.FROZEN, State.OUT, State.KEPT):
            fitting = [column.fits(stored) for column in self._judged if column.severities == {severity}]
            if fitting:
                worst.append(f"if({all_true(fitting, apart=apart)}, {State.FITS}, {severity})")
        if self._found_before:
            worst.append(f"if(coalesce(size({PROBLEMS_COLUMN}), 0) > 0, {self._row_state}, {State.FITS})")
        worst += self._checks.states()
        for column in self._judged:
            if len(column.severities) > 1:
                of_problems = f"array_max(transform({column.problems}, p -> p.severity))"
                worst.append(f"if({column.fits(stored)}, {State.FITS}, {of_problems})")
        # A filter is not pushed below what is not deterministic. Pushed below the casts it would evaluate them once more.
        nothing = f"least(spark_partition_id(), {State.FITS})"
        state = f"greatest({', '.join([*worst, nothing])})"
        if self._landing.unparsed:
            # Nothing was read of it, so nothing is known of its columns.
            state = f"if({self._landing.unparsed}, greatest({self._row_state}, {nothing}), {state})"
        return f"CAST({state} AS TINYINT)"
