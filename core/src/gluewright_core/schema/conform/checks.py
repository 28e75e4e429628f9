"""Hold rows to rules: SQL that must not be false, and values that no two rows may share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from .nodes import ColumnPlan
from .problems import problem_sql
from .sql import quote, struct_sql
from .terms import LANDED, Check, State
from .text import as_json, as_text


@dataclass(frozen=True)
class Checks:
    """The rules of one contract, over its planned columns. Rule number ``n`` has its result in the column ``g<n>``.

    Attributes:
        checks: the rules.
        columns: every planned column.
        key: the columns that no two rows may share; empty if rows may share the key.
        key_state: what becomes of a row that shares its key.
        unparsed: the condition for a row that could not be parsed; empty if every row was.
    """

    checks: tuple[Check, ...]
    columns: Sequence[ColumnPlan]
    key: Sequence[ColumnPlan]
    key_state: State
    unparsed: str

    @property
    def columns_read(self) -> list[ColumnPlan]:
        """The columns whose values the rules read."""
        if any(not check.column or check.unique for check in self.checks):
            return [column for column in self.columns if not column.extra]
        named = {check.column for check in self.checks}
        return [column for column in self.columns if column.name in named and not column.extra]

    @property
    def compares_rows(self) -> bool:
        """Whether any rule compares rows with each other."""
        return bool(self.key or self._of_rows)

    @property
    def _of_rows(self) -> list[tuple[int, Check]]:
        return [(number, check) for number, check in enumerate(self.checks) if check.unique]

    @property
    def _of_values(self) -> list[tuple[int, Check]]:
        return [(number, check) for number, check in enumerate(self.checks) if check.sql]

    def states(self) -> list[str]:
        """Write what becomes of a row by each rule in SQL."""
        return [f"if(g{number} > 0, {check.state}, {State.FITS})" for number, check in self._of_values if check.state]

    def evaluate(self, staged: DataFrame, carried: list[str], stored: Sequence[ColumnPlan]) -> DataFrame:
        """Add ``g<n>`` for each rule in SQL: 0 if a row keeps it, 1 if not, 2 if it cannot be evaluated.

        Args:
            staged: the rows.
            carried: the names of their columns, to which those added are appended.
            stored: the columns that have their check in a column.
        """
        if not self._of_values:
            return staged
        # Under their names in the contract there is nothing but the contract's columns.
        values = [
            f"{f'CASE WHEN {column.fits(stored)} THEN {column.v} END' if column.check else column.v} AS {quote(column.name)}"
            for column in self.columns_read
        ]
        staged = staged.selectExpr(*(f"{quote(name)} AS `_gw_of_{name}`" for name in carried), *values)
        unparsed = self.unparsed.replace(LANDED, f"`_gw_of_{LANDED}`")
        broken = []
        for number, check in self._of_values:
            found = guarded(check.sql) if check.may_raise else f"coalesce(CAST(NOT ({check.sql}) AS TINYINT), 0)"
            broken.append(f"{f'if({unparsed}, 0, {found})' if unparsed else found} AS g{number}")
        with ansi(staged.sparkSession):
            staged = staged.selectExpr(*(f"`_gw_of_{name}` AS {quote(name)}" for name in carried), *broken)
        carried += [f"g{number}" for number, _ in self._of_values]
        return staged

    def compare_rows(self, staged: DataFrame, carried: list[str]) -> DataFrame:
        """Compare the rows that fit otherwise, whatever other rules of this kind say of them."""
        found = [("twice", self.key_state, [column.v for column in self.key])] if self.key else []
        by_name = {column.name: column for column in self.columns if not column.extra}
        for number, check in self._of_rows:
            found.append((f"g{number}", check.state, [by_name[name].value for name in check.unique]))
        kept = [*carried, "state"]
        for name, _, values in found:
            counted = f"state < {State.OUT} AND {' AND '.join(f'{value} IS NOT NULL' for value in values)}"
            same = f"count(CASE WHEN {counted} THEN 1 END) OVER (PARTITION BY {', '.join(values)})"
            staged = staged.selectExpr(*kept, f"{same} AS same")
            twice = f"{counted} AND same > 1"
            staged = staged.selectExpr(*kept, f"{twice if name == 'twice' else f'CAST({twice} AS TINYINT)'} AS {name}")
            kept.append(name)
        states = [
            f"if({name if name == 'twice' else f'{name} > 0'}, {severity}, {State.FITS})"
            for name, severity, _ in found
            if severity
        ]
        if states:
            worst = f"CAST(greatest(state, {', '.join(states)}) AS TINYINT) AS state"
            staged = staged.selectExpr(*carried, worst, *(name for name, _, _ in found))
        return staged

    def problems(self) -> list[str]:
        """Write the problems of a row that breaks rules, an array or NULL for each rule."""
        found = [self._value_problem(number, check) for number, check in self._of_values if check.state]
        found += [self._row_problem(number, check) for number, check in self._of_rows if check.state]
        return [*found, self._key_problem()] if self.key else found

    def _value_problem(self, number: int, check: Check) -> str:
        text = "NULL"
        for column in self.columns:
            if column.name == check.column and not column.pii and not column.extra:
                text = as_text(column.raw, column.source)
        problem = problem_sql(check.column, check.name, check.reason, text, check.state)
        raised = problem_sql(check.column, check.name, f"could not be evaluated: {check.sql}", text, check.state)
        raising = f"WHEN g{number} = 2 THEN array({raised}) " if check.may_raise else ""
        return f"CASE {raising}WHEN g{number} > 0 THEN array({problem}) END"

    def _row_problem(self, number: int, check: Check) -> str:
        columns = [column for name in check.unique for column in self.columns if column.name == name]
        withheld = any(column.pii for column in columns)
        text = "NULL" if withheld else as_json(struct_sql((column.name, column.value) for column in columns))
        problem = problem_sql(check.column, check.name, check.reason, text, check.state)
        return f"CASE WHEN g{number} > 0 THEN array({problem}) END"

    def _key_problem(self) -> str:
        withheld = any(column.pii for column in self.key)
        text = "NULL" if withheld else as_json(struct_sql((column.name, column.v) for column in self.key))
        path = ", ".join(column.name for column in self.key)
        problem = problem_sql(path, "unique", "another row has the same key", text, self.key_state)
        return f"CASE WHEN twice THEN array({problem}) END"


def guarded(sql: str) -> str:
    """Write 0 for a condition that is true or NULL, 1 for one that is false, and 2 for one that fails for the row.

    Spark has no TRY for any expression, but ``try_to_binary`` catches what its argument raises. Inside a lambda, because
    Spark moves what is written twice out of other expressions, and so out of the TRY.
    """
    tried = f"try_to_binary(coalesce(CAST(({sql}) AS STRING), 'null'), 'utf-8')"
    return f"get(transform(array(0), _gw_row -> coalesce(CAST({tried} = X'66616C7365' AS TINYINT), 2)), 0)"


@contextmanager
def ansi(session: SparkSession) -> Iterator[None]:
    """Resolve expressions with ANSI semantics: without, numbers overflow without a word. They keep what they are.

    Spark 4 moves the operand of BETWEEN and NULLIF below the projection, out of the TRY, unless it is told to repeat it.
    """
    settings = ("spark.sql.ansi.enabled", "spark.sql.legacy.duplicateBetweenInput", "spark.sql.alwaysInlineCommonExpr")
    before = {name: session.conf.get(name, None) for name in settings}
    for name in settings:
        session.conf.set(name, "true")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                session.conf.unset(name)
            else:
                session.conf.set(name, value)
