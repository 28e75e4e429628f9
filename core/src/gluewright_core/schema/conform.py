"""Bring rows to a contract's columns and types without losing anything: what does not fit goes to quarantine, with a reason.

This file can be copied alone into a job: it needs the standard library and PySpark 3.5 or newer. Everything is native
Spark SQL in one projection, with the same answer on Spark 3.5 and 4.1, with ANSI on and off, in every session time zone.

**A value fits when nothing of it is lost.** A cast that would null, truncate, round, overflow or replace it is a problem:

=====================  =================================================================================================
from                   to
=====================  =================================================================================================
whole number           any number that holds it exactly; text (``-5``)
decimal                any number that holds it exactly; text with all its decimals, never an exponent (``0.0000001``)
float, double          any number that reads back as the same float or double, so ``NaN`` and infinities only each other;
                       text as Java writes it (``1.0E10``)
boolean                text (``true``, ``false``); never a number, nor a number a boolean
date                   timestamp and timestamp_ntz, at midnight; text (``2024-01-05``)
timestamp              timestamp_ntz: its wall clock in UTC; date: only at midnight UTC; text in UTC
                       (``2024-01-05 10:00:00.5Z``); never a number
timestamp_ntz          timestamp: read as UTC; date: only at midnight; text (``2024-01-05 10:00:00.5``)
binary                 text, only if it is valid UTF-8
text                   binary (its UTF-8), char(n) and varchar(n) of at most n characters, and what the next table says
struct, array, map     the same kind, by the rules for what is inside; struct fields by name
anything               itself, untouched; NULL is NULL of every type
=====================  =================================================================================================

``char(n)`` is not padded: Spark pads when it writes a table. Trailing spaces count as characters.

**Text is read strictly**, because what looks like a number may be a code, and what looks like a date may be another one:

=========================  ==================================  =========================================================
to                         is read                             is not read
=========================  ==================================  =========================================================
whole numbers              ``0``, ``42``, ``-7``               ``+7``, ``007``, ``-0``, ``1.0``, ``1e3``, ``0x1F``
decimal(p,s)               ``12``, ``-1.5``, ``-0.00``; zeros  ``+1``, ``01``, ``.5``, ``5.``, ``1e3``, ``1,000``,
                           beyond the scale (``1.500``)        ``1,5``, decimals beyond the scale, ``NaN``
float, double              the same, and ``1e3``, ``1.5E-7``,  ``inf``, ``nan``, ``1d``, ``0x1p3``, ``1e999``, and digits
                           ``NaN``, ``Infinity``,              that the type cannot hold (``0.12345678901234567890``)
                           ``-Infinity``
boolean                    ``true``, ``false``, in any case    ``t``, ``yes``, ``y``, ``1``, ``0``
date                       ``2024-01-05``                      ``2024-1-5``, ``20240105``, ``05.01.2024``, ``2024-02-30``,
                                                               a time behind it
timestamp                  ``2024-01-05 10:00:00``, with ``T``  no seconds, no time, ``24:00:00``, ``:60``, a seventh
                           too, up to 6 decimals; UTC unless    decimal, names of zones, ``+0100``
                           ``Z`` or ``+01:00`` stands behind
timestamp_ntz              the same without a zone              the same, and any zone
=========================  ==================================  =========================================================

Nowhere are spaces around a value dropped, an empty text taken for NULL (the reader of the file decides that), thousands
separators or decimal commas understood, digits other than ``0`` to ``9`` read, or years outside 0001 to 9999. A column whose
metadata has a ``format`` is read by that pattern instead: ``yyyy MM dd HH mm ss S…`` and any other characters, each part
with exactly so many digits (``dd.MM.yyyy``, ``yyyyMMdd``, ``yyyy-MM-dd'T'HH:mm``).

Example:
    >>> orders = conform(raw, contract, dataset="orders", key=["id"])          # doctest: +SKIP
    >>> orders.require(max_share=0.01)                                        # doctest: +SKIP
    >>> orders.rows.write.parquet(...); orders.quarantine.write.parquet(...)  # doctest: +SKIP
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import count
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    NullType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)


@dataclass(frozen=True)
class Check:
    """A rule as SQL over the contract's columns, for :func:`conform`.

    Attributes:
        column: that the rule is about, as quarantine names it; empty for a whole row.
        name: of the rule, as quarantine names it.
        sql: what must not be false; it sees NULL in place of a value that does not fit its column.
        reason: why a row that breaks it does not fit.
        severity: ``warn`` (the row is written and counted), ``quarantine`` or ``fail`` (as a frozen value).
        may_raise: whether the SQL can fail for a row; such a row breaks the rule.
        unique: columns, in place of SQL, whose values no two rows that fit otherwise share; rows with a NULL there are left
            out.
    """

    column: str
    name: str
    sql: str
    reason: str
    severity: str
    may_raise: bool = False
    unique: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name under which broken rows are counted."""
        return f"{self.column}: {self.name}" if self.column else self.name

    @property
    def state(self) -> int:
        """What becomes of a row that breaks it."""
        return {"warn": _FITS, "quarantine": _OUT, "fail": _FROZEN}[self.severity]


class Mode(StrEnum):
    """What happens to what the contract does not foresee: an unknown column, or a value that does not fit its column.

    The names and their meaning are dlt's ("Schema and data contracts", dlt's documentation).

    Attributes:
        EVOLVE: an unknown column is kept, behind the contract's; a value that does not fit goes as text into a column of its
            own, ``<column>__v_text``, and its column becomes NULL.
        FREEZE: the job must fail. An unknown column fails at once; for a value, see :meth:`Conformed.require`.
        DISCARD_ROW: the row goes to quarantine.
        DISCARD_VALUE: an unknown column is left out; a value that does not fit becomes NULL and its row is written, and
            quarantine tells of it. Where NULL is not allowed, the nearest enclosing value that may be NULL becomes it; if
            there is none within the column, the row goes to quarantine.
    """

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD_ROW = "discard_row"
    DISCARD_VALUE = "discard_value"


LANDED = "_gw_landing"
"""The column in which a reader of files passes on what it could not parse: a struct with ``file`` and, unless the reader
parses everything, ``record`` and ``problems`` (an array of `PROBLEM`). A row with problems goes to quarantine for these, and
nothing else is checked."""

DIFFERENCES = "missing"
"""The metadata of that column: as JSON, the contract's columns that some of the files lack, each with a sentence."""

FROZEN = "a value does not fit a frozen column; Conformed.require() tells which"
"""The message with which rows fail that hold such a value."""


class ContractViolationError(Exception):
    """Rows cannot be brought to the contract: by their columns, or because too many of them do not fit."""


PROBLEM = StructType([StructField(name, StringType()) for name in ("column", "rule", "reason", "value")])
"""One thing that does not fit. ``column`` is a path such as ``items[].price`` or ``tags{}.value``. ``rule`` is one of
``required``, ``key``, ``unique``, ``kind``, ``format``, ``range``, ``precision``, ``length``, ``encoding``, ``map_key`` and
``unknown_column``. ``value`` is its text, NULL for what is tagged ``pii`` and, beside it, for what is unknown."""

QUARANTINE = StructType(
    [StructField("original", StringType()), StructField("problems", ArrayType(PROBLEM)), StructField("kept", BooleanType())]
)
"""A quarantined row: all of the incoming row as JSON (``pii`` withheld, and unknown columns and fields with it), what does
not fit, and whether the row was written as well, without the values that do not fit. A map whose keys have ``pii`` is an
array of its entries."""


@dataclass(frozen=True)
class Difference:
    """One way in which the incoming columns are not the contract's. Its text is a sentence.

    Attributes:
        kind: ``extra``, ``missing``, ``renamed`` (by case), ``reordered``, ``retyped`` or ``variant`` (a column beside).
        column: path.
        told: what is different and what is done about it.
    """

    kind: str
    column: str
    told: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.column}: {self.told}"


@dataclass(frozen=True)
class ProblemCount:
    """How often one rule was broken in one column.

    Attributes:
        column: path.
        rule: as in quarantine.
        values: how many values.
        examples: up to three of them; none for ``pii``.
    """

    column: str
    rule: str
    values: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """Return ``price: range, 3 values, such as '1e9'``."""
        shown = ", ".join(repr(example) for example in self.examples)
        return f"{self.column}: {self.rule}, {self.values:,} values{f', such as {shown}' if shown else ''}"


@dataclass(frozen=True)
class Counts:
    """What became of the rows: ``read == written + quarantined - kept``.

    Attributes:
        read: incoming rows.
        written: rows that conform, with those of which only values were discarded.
        quarantined: rows in quarantine.
        kept: rows that are in both.
        frozen: quarantined rows with a value that must not occur (`Mode.FREEZE`).
        problems: by column and rule.
    """

    read: int
    written: int
    quarantined: int
    kept: int
    frozen: int
    problems: tuple[ProblemCount, ...]


# What becomes of a row, the worst of its problems.
_FITS, _KEPT, _OUT, _FROZEN = range(4)
_STATE, _QUARANTINE, _TOLD, _BROKEN = "_conform_state", "_conform_quarantine", "_conform_told", "_conform_broken"


@dataclass(frozen=True)
class _Output:
    """A column of the conformed rows, made from the judged ones."""

    name: str
    sql: str
    metadata: dict[str, Any]

    @property
    def column(self) -> Column:
        return F.expr(self.sql).alias(self.name, metadata=self.metadata)


@dataclass(frozen=True)
class Conformed:
    """Rows held to a contract. Nothing is computed before one of its DataFrames is used.

    Actions on both ``rows`` and ``quarantine`` compute them twice, unless :meth:`from_checked` gives them something kept.

    Attributes:
        judged: every incoming row with the state it is in, from which the others are made.
        differences: between the incoming columns and the contract's.
        dataset: the name used in messages.
        certain: every row fits by its types alone, so there is nothing to check or count.
    """

    judged: DataFrame
    differences: tuple[Difference, ...]
    dataset: str
    certain: bool
    _outputs: tuple[_Output, ...]
    _quarantined: str
    _may_freeze: bool
    _checks: tuple[Check, ...] = ()
    _checked: DataFrame | None = None

    @property
    def checked(self) -> DataFrame:
        """Every incoming row: its conformed values, what became of it, and what quarantine tells of it."""
        if self._checked is not None:
            return self._checked
        names = _free_names([_STATE, _QUARANTINE, _BROKEN], [output.name for output in self._outputs])
        told = F.col("state").alias(names[0]), F.expr(self._quarantined).alias(names[1])
        broken = [F.col("broken").alias(names[2])] if self._checks else []
        return self.judged.select(*(output.column for output in self._outputs), *broken, *told)

    def from_checked(self, checked: DataFrame) -> Conformed:
        """Make ``rows`` and ``quarantine`` from :attr:`checked` as it was kept, counted or watched.

        Example:
            >>> conformed = conformed.from_checked(conformed.checked.persist())        # doctest: +SKIP
        """
        return replace(self, _checked=checked)

    @property
    def rows(self) -> DataFrame:
        """The rows that conform: exactly the contract's columns in its order, then evolved ones.

        With a value in a column of `Mode.FREEZE` that does not fit, every use of these rows fails.
        """
        # What quarantine tells takes long to plan; the rows do not need it.
        state = "state" if self._checked is None else self._state
        made = [output.column if self._checked is None else F.col(_quoted(output.name)) for output in self._outputs]
        message = _text_literal(f"{self._named}{FROZEN}")
        # The state is a literal where nothing had to be checked: Spark then drops the filter.
        passing = f"{state} < {_OUT}"
        if self._may_freeze:
            passing = f"if({state} = {_FROZEN}, CAST(raise_error({message}) AS BOOLEAN), {passing})"
        return (self.judged if self._checked is None else self._checked).filter(passing).select(*made)

    @property
    def quarantine(self) -> DataFrame:
        """What does not fit, with the columns of `QUARANTINE`."""
        return self.quarantine_with()

    def quarantine_with(self, *columns: str) -> DataFrame:
        """Return quarantine with some of the conformed columns behind it, such as those that partition the table.

        Args:
            columns: of the contract; NULL where their own value does not fit.
        """
        unfit = self.checked.filter(f"{self._state} > {_FITS}")
        return unfit.select(f"{_quoted(self.checked.columns[-1])}.*", *map(_quoted, columns))

    @property
    def outcomes(self) -> dict[str, Column]:
        """Conditions over ``checked``: whether a row is ``written``, ``quarantined``, ``kept`` (in both) or ``frozen``."""
        return {
            "written": F.expr(f"{self._state} < {_OUT}"),
            "quarantined": F.expr(f"{self._state} > {_FITS}"),
            "kept": F.expr(f"{self._state} = {_KEPT}"),
            "frozen": F.expr(f"{self._state} = {_FROZEN}"),
        }

    @property
    def broken(self) -> dict[str, Column]:
        """Conditions over ``checked``: whether a row breaks a rule, by the rule's name behind its column's."""
        if not self._checks:
            return {}
        column = _quoted(self.checked.columns[-3])
        return {check.label: F.expr(f"get({column}, {number})") for number, check in enumerate(self._checks)}

    def count_broken(self) -> dict[str, int]:
        """Count how many rows break each rule, in one pass over them."""
        counted = [F.count(F.when(broken, True)).alias(label) for label, broken in self.broken.items()]
        return self.checked.agg(*counted).first().asDict() if counted else {}  # type: ignore[union-attr]

    def counts(self) -> Counts:
        """Count what became of the rows, in one pass over them.

        Returns:
            The counts; they add up.
        """
        told = _quoted(self.checked.columns[-1])
        exploded = self.checked.selectExpr(
            f"{self._state} AS state", f"posexplode_outer({told}.problems) AS (place, problem)"
        )
        found = exploded.groupBy("problem.column", "problem.rule").agg(
            *(F.expr(f"count_if(coalesce(place, 0) = 0 AND state = {state})").alias(f"s{state}") for state in range(4)),
            F.count("problem").alias("values"),
            # Bounded and the same on every run, unlike collect_set and first.
            F.expr(
                "array_sort(array_compact(array_distinct(array(min(problem.value), max(problem.value),"
                " min_by(problem.value, xxhash64(problem.value))))))"
            ).alias("examples"),
        )
        groups = found.collect()
        fits, kept, out, frozen = (sum(group[f"s{state}"] for group in groups) for state in range(4))
        problems = sorted(
            (
                ProblemCount(group["column"], group["rule"], group["values"], tuple(group["examples"]))
                for group in groups
                if group["rule"]
            ),
            key=lambda problem: (problem.column, problem.rule),
        )
        return Counts(fits + kept + out + frozen, fits + kept, kept + out + frozen, kept, frozen, tuple(problems))

    def require(self, *, max_rows: int | None = None, max_share: float | None = None) -> Counts:
        """Fail before anything is published if too many rows do not fit, or any value does not fit a frozen column.

        Args:
            max_rows: how many rows may be in quarantine; None for any number.
            max_share: which share of all rows may be in quarantine, between 0 and 1; None for any.

        Returns:
            The counts, from one pass over the rows.

        Raises:
            ContractViolationError: with the counts, examples, and what to do.
        """
        counts = self.counts()
        limits = []
        if counts.frozen:
            rules = " or against rules of severity fail" if any(check.state == _FROZEN for check in self._checks) else ""
            where = f"in frozen columns{rules}, where no value may be other than the contract says"
            limits.append(f"{counts.frozen:,} of them {where}")
        if max_rows is not None and counts.quarantined > max_rows:
            limits.append(f"{max_rows:,} rows are allowed")
        if max_share is not None and counts.quarantined > max_share * counts.read:
            limits.append(f"{max_share:.2%} of the rows are allowed")
        if not limits:
            return counts
        lines = [
            f"{self._named}{counts.quarantined:,} of {counts.read:,} rows do not fit the contract: {'; '.join(limits)}."
        ]
        lines += [f"  {problem}" for problem in counts.problems]
        lines.append(
            "Mend the source, or change the contract (type, nullable, on_surprise) or the limit; the rows are in quarantine."
        )
        raise ContractViolationError("\n".join(lines))

    def observed(self, observation: Observation) -> Conformed:
        """Count while the rows are used, without a pass of its own: ``read``, each of :attr:`outcomes` and :attr:`broken`.

        Args:
            observation: is filled by the first action on the result's ``rows`` or ``quarantine``.

        Returns:
            The same rows, observed.

        Example:
            >>> seen = Observation()                                              # doctest: +SKIP
            >>> conform(raw, contract).observed(seen).rows.write.parquet(...)     # doctest: +SKIP
            >>> seen.get["quarantined"]                                           # doctest: +SKIP
        """
        numbers = {"read": F.lit(True), **self.outcomes, **self.broken}
        counted = (F.count(F.when(condition, True)).alias(name) for name, condition in numbers.items())
        return self.from_checked(self.checked.observe(observation, *counted))

    @property
    def _state(self) -> str:
        return _quoted(self.checked.columns[-2])

    @property
    def _named(self) -> str:
        return f"{self.dataset}: " if self.dataset else ""


def conform(
    rows: DataFrame,
    schema: StructType,
    *,
    dataset: str = "",
    values: Mode = Mode.DISCARD_ROW,
    columns: Mode = Mode.DISCARD_VALUE,
    key: Sequence[str] = (),
    unique_key: bool = False,
    problems: str = "",
    show_unknown: bool | None = None,
    checks: Sequence[Check] = (),
) -> Conformed:
    """Hold rows to a contract.

    Args:
        rows: from any source, text or typed.
        schema: the contract. Metadata of a field, at any depth: ``tags`` (``pii``, in any case, keeps values out of
            quarantine and messages; tags of the incoming fields count too), ``on_surprise`` (a `Mode` in place of
            ``values``; ``evolve`` for whole columns only), ``format`` (how dates and timestamps stand in text).
        dataset: its name, for messages.
        values: what happens to a value that does not fit.
        columns: what happens to an unknown column or struct field; with `Mode.DISCARD_ROW` a row where it is NULL passes.
        key: columns that must not be NULL.
        unique_key: send every row whose key another row has too to quarantine: all of them, since none is better than
            the others. Only rows that fit otherwise are compared. This shuffles the rows.
        problems: an incoming column of type ``array<struct>`` of `PROBLEM`, with what the caller found wrong with a row; a
            row with any goes to quarantine. The column itself is no part of the data, and neither is `LANDED`.
        show_unknown: whether quarantine has the values of columns and fields that the contract does not have. By default
            not if anything is tagged ``pii``: what is unknown may be personal data too.
        checks: rules over the contract's columns.

    Returns:
        Rows and quarantine, lazily.

    Raises:
        ContractViolationError: a required column is missing, an unknown one is frozen, names differ only by case, or the
            contract contradicts itself.
    """
    try:
        zone = rows.sparkSession.conf.get("spark.sql.session.timeZone")
        landed = next((field for field in rows.schema if field.name == LANDED), None)
        incoming = rows.drop(LANDED, *([problems] if problems else []))
        told = [F.col(_quoted(problems))] if problems else []
        told += [F.col(f"{LANDED}.problems")] if _has_problems(landed) else []
        if told or landed:
            every = told[0] if len(told) == 1 else F.flatten(F.array_compact(F.array(*told)))
            carried = [every.alias(_TOLD)] if told else []
            carried += [F.col(LANDED)] if landed else []
            rows = rows.select(*map(_quoted, incoming.columns), *carried)
        plan = _Plan(
            incoming.schema,
            schema,
            values,
            columns,
            tuple(key),
            unique_key=unique_key,
            has_problems=bool(told),
            landed=landed,
            zone=zone,
            show_unknown=show_unknown,
            checks=tuple(checks),
        )
        judged, quarantined = plan.applied_to(rows)
    except ContractViolationError as broken:
        raise ContractViolationError(f"{dataset}: {broken}") if dataset else broken from None
    return Conformed(
        judged,
        tuple(plan.differences),
        dataset,
        plan.certain,
        tuple(plan.outputs),
        quarantined,
        plan.may_freeze,
        tuple(checks),
    )


class _Plan:
    """What conform does with these columns, as SQL; each incoming column is ``r<n>``, its candidate ``v<n>``."""

    def __init__(
        self,
        incoming: StructType,
        contract: StructType,
        values: Mode,
        unknown: Mode,
        key: tuple[str, ...],
        *,
        unique_key: bool,
        has_problems: bool,
        landed: StructField | None,
        zone: str | None,
        show_unknown: bool | None,
        checks: tuple[Check, ...],
    ) -> None:
        self.differences: list[Difference] = []
        self.checks = checks
        self._told, self._landed = has_problems, landed
        self._unparsed = f"coalesce(size({LANDED}.problems), 0) > 0" if _has_problems(landed) else ""
        self._incoming, self._unique_key, self._frozen_key = incoming, unique_key, Mode(values) is Mode.FREEZE
        shown = not (_has_pii(contract) or _has_pii(incoming)) if show_unknown is None else show_unknown
        self._shown = shown
        self._planner = _Planner(Mode(unknown), self.differences, utc=zone in {"UTC", "Etc/UTC"}, shown=shown)
        _require_distinct(incoming, "the incoming rows have")
        _require_distinct(contract, "the contract has")
        absent = [name for name in key if name not in contract.names]
        if absent or (unique_key and not key):
            raise ContractViolationError(f"the key {list(key)} is not made of the contract's columns {contract.names}")
        self._columns = list(self._planner.fields(incoming, contract, "", Mode(values), key))
        self._key = [column for name in key for column in self._columns if column.name == name]
        self._variants = [
            column for column in self._columns if column.mode is Mode.EVOLVE and column.check and not column.required
        ]
        kept = [column for column in self._columns if column.node.output]
        self.outputs = [_Output(column.name, self._value(column), column.metadata) for column in kept if not column.extra]
        self.outputs += [
            _Output(f"{column.name}__v_text", self._variant(column), {"tags": column.tags}) for column in self._variants
        ]
        self.outputs += [_Output(column.name, column.raw, column.metadata) for column in kept if column.extra]
        for column in self._variants:
            told = f"a value that does not fit goes as text into {column.name}__v_text"
            self.differences.append(Difference("variant", column.name, told))
        for name, told in json.loads((landed.metadata if landed else {}).get(DIFFERENCES, "{}")).items():
            self.differences.append(Difference("missing", name, told))
        _require_distinct([output.name for output in self.outputs], "the conformed rows would have")

    def applied_to(self, rows: DataFrame) -> tuple[DataFrame, str]:
        """Build the one DataFrame from which rows and quarantine are made, and tell how quarantine is.

        Its projections stand on one another so that each cast is evaluated once: Spark merges two only where it would not
        evaluate anything twice.
        """
        more = [name for name, given in ((_TOLD, self._told), (LANDED, self._landed)) if given]
        raw = rows.toDF(*(f"r{place}" for place in range(len(self._incoming))), *more)
        carried = list(raw.columns)
        candidates = [f"{column.candidate} AS {column.v}" for column in self._columns if not column.bare]
        staged = raw.selectExpr(*carried, *candidates) if candidates else raw
        carried += [column.v for column in self._columns if not column.bare]
        judged_apart = self._checked_columns()
        told = [
            column
            for column in self._columns
            if column.check and (column.discards or column in self._variants or column in judged_apart)
        ]
        if told:
            staged = staged.selectExpr(*carried, *(f"{column.check} AS {column.ok}" for column in told))
            carried += [column.ok for column in told]
        staged = self._with_checks(staged, carried, told)
        staged = staged.selectExpr(*carried, f"{self._state(told, len(carried))} AS state")
        problems = [column.problems for column in self._columns if column.problems]
        if self._told:
            problems.append(f"transform({_TOLD}, p -> {_with_severity('p', self._told_severity)})")
        problems += [self._check_problem(n, check) for n, check in enumerate(self.checks) if check.sql and check.state]
        unique = [(n, check) for n, check in enumerate(self.checks) if check.unique]
        if self._unique_key or unique:
            staged = self._with_unique(staged, carried, unique)
            problems += [self._check_problem(n, check) for n, check in unique if check.state]
            problems += [self._unique_problem()] if self._unique_key else []
        if self.checks:
            flags = ", ".join(f"g{number} > 0" for number in range(len(self.checks)))
            staged = staged.selectExpr("*", f"array({flags}) AS broken")
        return staged, self._quarantined(problems)

    def _checked_columns(self) -> list[_Column]:
        """Find the columns whose values rules look at."""
        if any(not check.column or check.unique for check in self.checks):
            return [column for column in self._columns if not column.extra]
        named = {check.column for check in self.checks}
        return [column for column in self._columns if column.name in named and not column.extra]

    def _with_checks(self, staged: DataFrame, carried: list[str], told: list[_Column]) -> DataFrame:
        """Add ``g<n>`` for each rule in SQL: 0 if a row keeps it, 1 if not, 2 if it cannot be evaluated."""
        checks = [(number, check) for number, check in enumerate(self.checks) if check.sql]
        if not checks:
            return staged
        # Under their names in the contract there is nothing but the contract's columns.
        values = [
            f"{f'CASE WHEN {_ok(column, told)} THEN {column.v} END' if column.check else column.v} AS {_quoted(column.name)}"
            for column in self._checked_columns()
        ]
        staged = staged.selectExpr(*(f"{_quoted(name)} AS `_gw_of_{name}`" for name in carried), *values)
        unparsed = self._unparsed.replace(LANDED, f"`_gw_of_{LANDED}`")
        broken = []
        for number, check in checks:
            found = guarded(check.sql) if check.may_raise else f"coalesce(CAST(NOT ({check.sql}) AS TINYINT), 0)"
            broken.append(f"{f'if({unparsed}, 0, {found})' if unparsed else found} AS g{number}")
        with ansi(staged.sparkSession):
            staged = staged.selectExpr(*(f"`_gw_of_{name}` AS {_quoted(name)}" for name in carried), *broken)
        carried += [f"g{number}" for number, _ in checks]
        return staged

    def _check_problem(self, number: int, check: Check) -> str:
        if check.unique:
            columns = [column for name in check.unique for column in self._columns if column.name == name]
            withheld = any(column.pii for column in columns)
            text = "NULL" if withheld else _as_json(_struct_sql((column.name, self._value(column)) for column in columns))
            problem = _problem(check.column, check.name, check.reason, text, check.state)
            return f"CASE WHEN g{number} > 0 THEN array({problem}) END"
        text = "NULL"
        for column in self._columns:
            if column.name == check.column and not column.pii and not column.extra:
                text = _as_text(column.raw, column.source)
        problem = _problem(check.column, check.name, check.reason, text, check.state)
        raised = _problem(check.column, check.name, f"could not be evaluated: {check.sql}", text, check.state)
        raising = f"WHEN g{number} = 2 THEN array({raised}) " if check.may_raise else ""
        return f"CASE {raising}WHEN g{number} > 0 THEN array({problem}) END"

    @property
    def certain(self) -> bool:
        """Whether every row fits by its types alone."""
        judged = (column for column in self._columns if column.check and column not in self._variants)
        return not (self._told or self._unique_key or self.checks or any(judged))

    @property
    def may_freeze(self) -> bool:
        """Whether a row can be frozen."""
        frozen = self._frozen_key and (self._unique_key or self._told)
        frozen = frozen or any(check.state == _FROZEN for check in self.checks)
        return frozen or any(_FROZEN in column.severities for column in self._columns)

    @property
    def _told_severity(self) -> int:
        return _FROZEN if self._frozen_key else _OUT

    def _value(self, column: _Column) -> str:
        # A complex value has NULL in place of what was discarded inside already.
        if column in self._variants or (column.leaf and column.discards):
            return f"CASE WHEN {column.ok} THEN {column.v} END"
        return column.v

    def _variant(self, column: _Column) -> str:
        return f"CASE WHEN NOT {column.ok} THEN {_as_text(column.raw, column.source)} END"

    def _state(self, told: list[_Column], carried: int) -> str:
        if self.certain:
            return f"CAST({_FITS} AS TINYINT)"
        judged = [column for column in self._columns if column.check and column not in self._variants]
        # Beyond so many columns Spark generates no code for whole stages (spark.sql.codegen.maxFields), but smaller methods.
        apart = carried <= 100
        worst = [str(_FITS)]
        for severity in (_FROZEN, _OUT, _KEPT):
            fitting = [_ok(column, told) for column in judged if column.severities == {severity}]
            if fitting:
                worst.append(f"if({_all(fitting, apart=apart)}, {_FITS}, {severity})")
        if self._told:
            worst.append(f"if(coalesce(size({_TOLD}), 0) > 0, {self._told_severity}, {_FITS})")
        worst += [
            f"if(g{number} > 0, {check.state}, {_FITS})"
            for number, check in enumerate(self.checks)
            if check.sql and check.state
        ]
        for column in judged:
            if len(column.severities) > 1:
                worst.append(f"if({_ok(column, told)}, {_FITS}, array_max(transform({column.problems}, p -> p.severity)))")
        # A filter is not pushed below what is not deterministic. Pushed below the casts it would evaluate them once more.
        nothing = f"least(spark_partition_id(), {_FITS})"
        state = f"greatest({', '.join([*worst, nothing])})"
        if self._unparsed:
            # Nothing was read of it, so nothing is known of its columns.
            state = f"if({self._unparsed}, greatest({self._told_severity}, {nothing}), {state})"
        return f"CAST({state} AS TINYINT)"

    def _with_unique(self, staged: DataFrame, carried: list[str], rules: list[tuple[int, Check]]) -> DataFrame:
        """Compare rows that fit otherwise, whatever the other rules of this kind say of them."""
        severity = _FROZEN if self._frozen_key else _OUT
        found = [("twice", severity, [column.v for column in self._key])] if self._unique_key else []
        by_name = {column.name: column for column in self._columns if not column.extra}
        for number, check in rules:
            found.append((f"g{number}", check.state, [self._value(by_name[name]) for name in check.unique]))
        kept = [*carried, "state"]
        for name, _, values in found:
            counted = f"state < {_OUT} AND {' AND '.join(f'{value} IS NOT NULL' for value in values)}"
            same = f"count(CASE WHEN {counted} THEN 1 END) OVER (PARTITION BY {', '.join(values)})"
            staged = staged.selectExpr(*kept, f"{same} AS same")
            twice = f"{counted} AND same > 1"
            staged = staged.selectExpr(*kept, f"{twice if name == 'twice' else f'CAST({twice} AS TINYINT)'} AS {name}")
            kept.append(name)
        states = [
            f"if({name if name == 'twice' else f'{name} > 0'}, {severity}, {_FITS})"
            for name, severity, _ in found
            if severity
        ]
        if states:
            worst = f"CAST(greatest(state, {', '.join(states)}) AS TINYINT) AS state"
            staged = staged.selectExpr(*carried, worst, *(name for name, _, _ in found))
        return staged

    def _unique_problem(self) -> str:
        withheld = any(column.pii for column in self._key)
        text = "NULL" if withheld else _as_json(_struct_sql((column.name, column.v) for column in self._key))
        path = ", ".join(column.name for column in self._key)
        severity = _FROZEN if self._frozen_key else _OUT
        problem = _problem(path, "unique", "another row has the same key", text, severity)
        return f"CASE WHEN twice THEN array({problem}) END"

    def _quarantined(self, problems: list[str]) -> str:
        if not problems:
            return f"CAST(NULL AS {_ddl(QUARANTINE)})"
        public = _struct_sql((name, f"p.{name}") for name in PROBLEM.names)
        told = f"transform({_joined(problems)}, p -> {public})"
        if self._unparsed:
            told = f"if({self._unparsed}, transform({LANDED}.problems, p -> {public}), {told})"
        incoming = sorted((column for column in self._columns if column.original), key=lambda column: column.place)
        parts = [(column.original, column.shown) for column in incoming]
        if self._landed:
            parts.append(("_gw_file", f"{LANDED}.file"))
        if self._unparsed:
            record = f"{LANDED}.record"
            parts.append(("_gw_record", record if self._shown else _withheld(record)))
        shown = _as_json(_struct_sql(parts)) if parts else "'{}'"
        row = _struct_sql([("original", shown), ("problems", told), ("kept", f"state = {_KEPT}")])
        return f"CASE WHEN state > {_FITS} THEN {row} END"


@dataclass(frozen=True)
class _Node:
    """How one value becomes the contract's, at any depth. The functions write SQL for the SQL of an incoming value ``x``.

    Attributes:
        candidate: the value, perhaps not the same one any more.
        strict: the value, NULL in place of what does not fit.
        lossless: of ``x`` and its candidate: whether they are the same, and everything inside them; true for NULL.
            None if that is always so.
        problems: an array of what does not fit, or NULL, of ``x`` and its candidate, if that is there already; None if
            everything always fits.
        shown: ``x`` without what is tagged ``pii``; None if nothing is.
        bare: the candidate is ``x`` itself.
        output: whether it is part of the result.
        required: NULL comes in and must not.
        must: NULL must not go out.
        severities: what becomes of a row, one for each problem that is possible.
    """

    candidate: Callable[[str], str]
    strict: Callable[[str], str]
    lossless: Callable[[str, str], str] | None = None
    problems: Callable[..., str] | None = None
    shown: Callable[[str], str] | None = None
    bare: bool = False
    output: bool = True
    required: bool = False
    must: bool = False
    leaf: bool = True
    severities: frozenset[int] = frozenset()

    @property
    def untouched(self) -> bool:
        """Whether it stays as it is inside another value: a leaf that is checked is taken out where it does not fit."""
        return self.bare and not (self.leaf and self.lossless)

    def whole(self, x: str, v: str) -> str | None:
        """Write whether nothing of ``x`` is missing in its strict value ``v``."""
        if not self.output:
            return f"{x} IS NULL" if self.problems else None
        terms = [f"{v} IS NOT NULL"] if self.required else []
        if self.lossless and not self.leaf:
            terms.append(self.lossless(x, v))
        elif self.lossless and not self.required:
            terms.append(f"({x} IS NULL OR {v} IS NOT NULL)")
        return " AND ".join(terms) or None


@dataclass(frozen=True)
class _Column:
    """One column, of the contract or of the incoming rows only."""

    name: str
    original: str
    place: int
    source: DataType
    metadata: dict[str, object]
    node: _Node
    mode: Mode
    pii: bool = False
    extra: bool = False

    @property
    def tags(self) -> list[str]:
        """What its text in another column is tagged with."""
        return ["pii"] if self.pii else []

    @property
    def raw(self) -> str:
        return f"r{self.place}" if self.original else f"CAST(NULL AS {_ddl(self.source)})"

    @property
    def bare(self) -> bool:
        return self.node.bare or not self.original

    @property
    def v(self) -> str:
        return self.raw if self.bare else f"v{self.place}"

    @property
    def ok(self) -> str:
        return f"ok{self.place}"

    @property
    def candidate(self) -> str:
        return self.node.candidate(self.raw)

    @property
    def check(self) -> str | None:
        if self.extra:
            return self.node.whole(self.raw, "")
        terms = [f"{self.raw} IS NOT NULL"] if self.node.required else []
        if self.node.lossless:
            terms.append(self.node.lossless(self.raw, self.v))
        return f"({' AND '.join(terms)})" if terms else None

    @cached_property
    def problems(self) -> str | None:
        if self.mode is Mode.EVOLVE and not self.required and not self.extra:
            return None
        return self.node.problems(self.raw, self.v) if self.node.problems else None

    @property
    def shown(self) -> str:
        return self.node.shown(self.raw) if self.node.shown else self.raw

    @property
    def required(self) -> bool:
        return self.node.must

    @property
    def leaf(self) -> bool:
        return self.node.leaf

    @property
    def severities(self) -> frozenset[int]:
        return self.node.severities

    @property
    def discards(self) -> bool:
        return _KEPT in self.node.severities


@dataclass(frozen=True)
class _Place:
    """Where a value stands in the contract, and what holds there."""

    path: str
    nullable_in: bool
    nullable_out: bool
    mode: Mode
    absorbed: bool
    pii: bool
    utc: bool
    pattern: str = ""
    null_rule: str = "required"

    @property
    def severity(self) -> int:
        if self.mode in {Mode.FREEZE, Mode.DISCARD_ROW}:
            return _FROZEN if self.mode is Mode.FREEZE else _OUT
        return _KEPT if self.absorbed else _OUT

    def inside(self, step: str, *, nullable_in: bool, nullable_out: bool) -> _Place:
        absorbed = self.absorbed or nullable_out
        return replace(
            self,
            path=self.path + step,
            nullable_in=nullable_in,
            nullable_out=nullable_out,
            absorbed=absorbed,
            pattern="",
            null_rule="required",
        )


def _ok(column: _Column, told: Sequence[_Column]) -> str:
    return column.ok if column in told else column.check or "true"


class _Planner:
    """Finds how incoming types become the contract's, and tells what is different."""

    def __init__(self, unknown: Mode, differences: list[Difference], *, utc: bool, shown: bool) -> None:
        self._unknown, self._differences, self._utc, self._shown = unknown, differences, utc, shown
        self._numbers = count()

    def fields(
        self,
        incoming: StructType,
        contract: StructType,
        prefix: str,
        mode: Mode,
        key: tuple[str, ...] = (),
        within: _Place | None = None,
    ) -> Iterator[_Column]:
        """Pair the fields of two structs by name: the contract's in its order, then the others."""
        by_name = {field.name.lower(): place for place, field in enumerate(incoming)}
        exact = {field.name: place for place, field in enumerate(incoming)}
        matched = []
        for field in contract:
            path = prefix + field.name
            place = exact.get(field.name, by_name.get(field.name.lower()))
            if place is None:
                yield self._missing(field, path, must=not field.nullable or field.name in key)
                continue
            matched.append(place)
            original = incoming[place].name
            if original != field.name:
                self._tell("renamed", path, f"comes as {original}")
            spot = self._spot(field, incoming[place], path, mode, within, is_key=field.name in key)
            node = self.node(incoming[place].dataType, field.dataType, spot)
            yield _Column(
                field.name,
                original,
                place,
                incoming[place].dataType,
                _with_tags(field.metadata, incoming[place].metadata),
                node,
                spot.mode,
                spot.pii or _has_pii(field.dataType) or _has_pii(incoming[place].dataType),
            )
        if matched != sorted(matched):
            order = ", ".join(incoming[place].name for place in sorted(matched))
            self._tell("reordered", prefix.rstrip(".") or "columns", f"come as {order}")
        for place, field in enumerate(incoming):
            if place not in matched:
                yield self._extra(field, prefix + field.name, place)

    def node(self, source: DataType, target: DataType, spot: _Place) -> _Node:
        """Find how a value of one type becomes one of another."""
        if isinstance(source, StructType) and isinstance(target, StructType):
            return self._struct(source, target, spot)
        if isinstance(source, ArrayType) and isinstance(target, ArrayType):
            return self._array(source, target, spot)
        if isinstance(source, MapType) and isinstance(target, MapType):
            return self._map(source, target, spot)
        return self._leaf(source, target, spot)

    def _spot(
        self, field: StructField, incoming: StructField, path: str, mode: Mode, within: _Place | None, *, is_key: bool
    ) -> _Place:
        own = field.metadata.get("on_surprise")
        if own is not None:
            if own not in set(Mode):
                raise ContractViolationError(f"{path}: on_surprise is {own!r}; it is one of {', '.join(Mode)}")
            mode = Mode(own)
            if within and mode is Mode.EVOLVE:
                raise ContractViolationError(
                    f"{path}: on_surprise=evolve is for whole columns: a column beside has no place in here"
                )
        nullable = field.nullable and not is_key
        pattern = str(field.metadata.get("format") or "")
        null_rule = "key" if is_key and field.nullable else "required"
        pii = _is_pii(field.metadata) or _is_pii(incoming.metadata)
        if within is None:
            return _Place(path, incoming.nullable, nullable, mode, nullable, pii, self._utc, pattern, null_rule)
        # NULL in the place of an enclosing struct is not a problem of its fields.
        inner = within.inside("", nullable_in=incoming.nullable, nullable_out=nullable)
        return replace(inner, path=path, mode=mode, pii=within.pii or pii, pattern=pattern)

    def _missing(self, field: StructField, path: str, *, must: bool) -> _Column:
        if must:
            raise ContractViolationError(
                f"{path}: the column is required and missing; add it to the source or allow NULL in the contract"
            )
        self._tell("missing", path, "is missing and becomes NULL")
        nothing = f"CAST(NULL AS {_ddl(field.dataType)})"
        node = _Node(lambda _: nothing, lambda _: nothing)
        return _Column(field.name, "", -1, field.dataType, field.metadata, node, Mode.DISCARD_VALUE)

    def _extra(self, field: StructField, path: str, place: int) -> _Column:
        if self._unknown is Mode.FREEZE:
            raise ContractViolationError(
                f"{path}: the contract has no such column, and unknown ones are frozen; add it there or leave it out"
            )
        done = {
            Mode.EVOLVE: "is kept",
            Mode.DISCARD_VALUE: "is left out",
            Mode.DISCARD_ROW: "rows that have it are discarded",
        }
        self._tell("extra", path, f"is not in the contract and {done[self._unknown]}")
        withheld = not self._shown or _is_pii(field.metadata) or _has_pii(field.dataType)

        def problems(x: str, _: str = "") -> str:
            reason = "the contract has no such column"
            text = "NULL" if withheld else _as_text(x, field.dataType)
            problem = _problem(path, "unknown_column", reason, text, _OUT)
            return f"CASE WHEN {x} IS NOT NULL THEN array({problem}) END"

        judged = self._unknown is Mode.DISCARD_ROW
        node = _Node(
            _itself,
            _itself,
            problems=problems if judged else None,
            shown=_withheld if withheld else None,
            bare=True,
            output=self._unknown is Mode.EVOLVE,
            severities=frozenset({_OUT} if judged else ()),
        )
        tags = _with_tags({}, field.metadata)
        return _Column(field.name, field.name, place, field.dataType, tags, node, self._unknown, extra=True)

    def _leaf(self, source: DataType, target: DataType, spot: _Place) -> _Node:
        reading = _reading(source, target, spot)
        if not reading.bare and not isinstance(source, NullType):
            self._tell("retyped", spot.path, f"comes as {_shown_type(source)} and is {_shown_type(target)}")
        required = spot.nullable_in and not spot.nullable_out
        # What has parts has come in place of a simple value: as little is known of them as of an unknown column.
        unknown = isinstance(source, (StructType, ArrayType, MapType)) and not self._shown
        withheld = spot.pii or unknown or _has_pii(target) or _has_pii(source)
        cast, lossless = reading.candidate, reading.lossless

        def strict(x: str) -> str:
            return f"CASE WHEN {lossless(x, cast(x))} THEN {cast(x)} END" if lossless else cast(x)

        def problems(x: str, v: str = "") -> str:
            v = v or cast(x)
            branches = []
            if required:
                null = _problem(spot.path, spot.null_rule, "NULL where a value is required", "NULL", spot.severity)
                branches.append(f"WHEN {x} IS NULL THEN array({null})")
            if lossless:
                branches.append(f"WHEN {lossless(x, v)} THEN NULL")
                text = "NULL" if withheld else _as_text(x, source)
                for condition, rule, reason in reading.why(x, v):
                    problem = _problem(spot.path, rule, reason, text, spot.severity)
                    branches.append(f"WHEN {condition} THEN array({problem})")
            return f"CASE {' '.join(branches)} END"

        return _Node(
            cast,
            strict,
            lossless,
            problems if required or lossless else None,
            _withheld if withheld else None,
            bare=reading.bare,
            required=required,
            must=not spot.nullable_out,
            severities=frozenset({spot.severity} if required or lossless else ()),
        )

    def _struct(self, source: StructType, target: StructType, spot: _Place) -> _Node:
        _require_distinct(source, f"{spot.path}: the incoming struct has")
        _require_distinct(target, f"{spot.path}: the contract's struct has")
        fields = list(self.fields(source, target, f"{spot.path}.", spot.mode, within=spot))
        in_place = [field.place for field in fields] == list(range(len(source)))
        same = (field.node.untouched and field.node.output and field.name == field.original for field in fields)
        bare = in_place and all(same)
        kept = [field for field in fields if field.node.output]
        fatal = [field for field in kept if field.node.must and _KEPT in field.severities]

        def value(x: str) -> str:
            if bare and not fatal:
                return x
            parts = [(field.name, field.node.strict(_field(x, field.original))) for field in kept]
            lost = [f"{field.node.strict(_field(x, field.original))} IS NULL" for field in fatal]
            refused = "".join(f" WHEN {condition} THEN NULL" for condition in lost)
            return f"CASE WHEN {x} IS NULL THEN NULL{refused} ELSE {_struct_sql(parts)} END"

        def lossless(x: str, v: str) -> str:
            wholes = (
                field.node.whole(_field(x, field.original), _field(v, field.name)) for field in fields if field.original
            )
            terms = " AND ".join(f"({whole})" for whole in wholes if whole)
            return f"({x} IS NULL OR ({v} IS NOT NULL AND {terms}))"

        def inner(x: str) -> str:
            return _joined(field.node.problems(_field(x, field.original)) for field in fields if field.node.problems)

        def shown(x: str) -> str:
            by_place = sorted((field for field in fields if field.original), key=lambda field: field.place)
            parts = [(field.original, (field.node.shown or _itself)(_field(x, field.original))) for field in by_place]
            return f"CASE WHEN {x} IS NOT NULL THEN {_struct_sql(parts)} END"

        may_fail = any(field.node.problems for field in fields)
        hides = any(field.node.shown for field in fields)
        severities = frozenset[int]().union(*(field.severities for field in fields))
        return self._complex(
            spot,
            value,
            lossless if may_fail else None,
            inner,
            shown if hides else None,
            bare=bare and not fatal,
            severities=severities,
        )

    def _array(self, source: ArrayType, target: ArrayType, spot: _Place) -> _Node:
        inside = spot.inside("[]", nullable_in=source.containsNull, nullable_out=target.containsNull)
        element = self.node(source.elementType, target.elementType, inside)
        e = self._variable()
        fatal = element.must and _KEPT in element.severities

        def value(x: str) -> str:
            made = x if element.untouched else f"transform({x}, {e} -> {element.strict(e)})"
            return f"CASE WHEN NOT exists({made}, {e} -> {e} IS NULL) THEN {made} END" if fatal else made

        def lossless(x: str, v: str) -> str:
            return _pairwise(x, v, x, v, element, e)

        def inner(x: str) -> str:
            return _each(x, e, element)

        def shown(x: str) -> str:
            return f"transform({x}, {e} -> {element.shown(e)})" if element.shown else x

        bare = element.untouched and not fatal
        return self._complex(
            spot,
            value,
            lossless if element.problems else None,
            inner,
            shown if element.shown else None,
            bare=bare,
            severities=element.severities,
        )

    def _map(self, source: MapType, target: MapType, spot: _Place) -> _Node:
        key = self.node(source.keyType, target.keyType, spot.inside("{}.key", nullable_in=False, nullable_out=False))
        inside = spot.inside("{}.value", nullable_in=source.valueContainsNull, nullable_out=target.valueContainsNull)
        element = self.node(source.valueType, target.valueType, inside)
        k, e = self._variable(), self._variable()
        fatal = element.must and _KEPT in element.severities

        def keys(x: str) -> str:
            return f"transform(map_keys({x}), {k} -> {key.strict(k)})"

        def collide(x: str) -> str:
            return f"size(array_distinct({keys(x)})) < size(map_keys({x}))"

        def value(x: str) -> str:
            values = f"transform(map_values({x}), {e} -> {element.strict(e)})"
            conditions = [f"NOT exists({values}, {e} -> {e} IS NULL)"] if fatal else []
            if key.untouched:
                made = x if element.untouched else f"transform_values({x}, ({k}, {e}) -> {element.strict(e)})"
            else:
                made = f"map_from_arrays({keys(x)}, {values})"
                # A map cannot be made with a NULL key or two equal ones.
                conditions += [f"NOT exists({keys(x)}, {k} -> {k} IS NULL)", f"NOT {collide(x)}"]
            return f"CASE WHEN {' AND '.join(conditions)} THEN {made} END" if conditions else made

        def lossless(x: str, v: str) -> str:
            return _pairwise(f"map_values({x})", f"map_values({v})", x, v, element, e)

        def inner(x: str) -> str:
            parts = []
            if key.problems:
                parts.append(_each(f"map_keys({x})", k, key))
            if not key.untouched:
                problem = _problem(f"{spot.path}{{}}.key", "map_key", "two keys become the same", "NULL", spot.severity)
                parts.append(f"CASE WHEN {collide(x)} THEN array({problem}) END")
            if element.problems:
                parts.append(_each(f"map_values({x})", e, element))
            return _joined(parts)

        def shown(x: str) -> str:
            show_key, show_value = key.shown or _itself, element.shown or _itself
            if not key.shown:
                return f"transform_values({x}, ({k}, {e}) -> {show_value(e)})"
            # Keys that are withheld are the same, which keys of a map cannot be.
            entry = _struct_sql([("key", show_key(f"{e}.key")), ("value", show_value(f"{e}.value"))])
            return f"transform(map_entries({x}), {e} -> {entry})"

        bare = key.untouched and element.untouched and not fatal
        may_fail = element.problems or not key.untouched
        severities = key.severities | element.severities | frozenset(() if key.untouched else {spot.severity})
        return self._complex(
            spot,
            value,
            lossless if may_fail else None,
            inner,
            shown if key.shown or element.shown else None,
            bare=bare,
            severities=severities,
        )

    def _complex(
        self,
        spot: _Place,
        value: Callable[[str], str],
        lossless: Callable[[str, str], str] | None,
        inner: Callable[[str], str],
        shown: Callable[[str], str] | None,
        *,
        bare: bool,
        severities: frozenset[int],
    ) -> _Node:
        required = spot.nullable_in and not spot.nullable_out

        def problems(x: str, _: str = "") -> str:
            null = _problem(spot.path, spot.null_rule, "NULL where a value is required", "NULL", spot.severity)
            missing = f"array({null})" if required else "NULL"
            return f"CASE WHEN {x} IS NULL THEN {missing} {f'ELSE {inner(x)} ' if lossless else ''}END"

        return _Node(
            value,
            value,
            lossless,
            problems if required or lossless else None,
            _withheld if spot.pii else shown,
            bare=bare,
            required=required,
            must=not spot.nullable_out,
            leaf=False,
            severities=severities | frozenset({spot.severity} if required else ()),
        )

    def _variable(self) -> str:
        return f"e{next(self._numbers)}"

    def _tell(self, kind: str, column: str, told: str) -> None:
        self._differences.append(Difference(kind, column, told))


# A condition in SQL, a rule and a reason.
_Cases = list[tuple[str, str, str]]


@dataclass(frozen=True)
class _Reading:
    """How a simple value is read: its cast, when nothing was lost, and else why: the first case that holds."""

    candidate: Callable[[str], str]
    lossless: Callable[[str, str], str] | None = None
    why: Callable[[str, str], _Cases] = lambda x, v: []
    bare: bool = False


_DIGITS: dict[type[DataType], int] = {ByteType: 3, ShortType: 5, IntegerType: 10, LongType: 19}
_EXACT_DIGITS: dict[type[DataType], int] = {FloatType: 6, DoubleType: 15}
_NUMBERS = (ByteType, ShortType, IntegerType, LongType, FloatType, DoubleType, DecimalType)
# Unlike $, the end before which there may be no line break.
_END = r"\z"
_WHOLE = "^-?(0|[1-9][0-9]*)" + _END
_PLAIN = "^-?(0|[1-9][0-9]*)([.][0-9]+)?" + _END
_FLOATING = "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?" + _END
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}" + _END
_TIMESTAMP = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?"
_ZONE = "(Z|[+-][0-9]{2}:[0-9]{2})"
# No float from here on is a long, although Spark casts the first of them to the largest long.
_BEYOND_LONG = "9.223372036854775807E18D"
# In microseconds.
_DAY = 86_400_000_000
# The first and the last day since 1970 whose midnight is a timestamp: microseconds in 64 bits.
_FIRST_DAY, _LAST_DAY = -106_751_991, 106_751_991
# Decimals with more places have an exponent in their text if they are small and ANSI is off.
_PLAIN_SCALE = 6


def _reading(source: DataType, target: DataType, spot: _Place) -> _Reading:
    """Find how a simple value of one type becomes one of another."""
    if isinstance(target, (CharType, VarcharType)):
        return _limited(_reading(source, StringType(), replace(spot, pattern="")), target.length)
    if type(source) is type(target) and source == target:
        return _Reading(_itself, bare=True)
    wanted = _ddl(target)
    if isinstance(source, NullType):
        return _Reading(lambda x: f"CAST({x} AS {wanted})")
    if isinstance(source, _NUMBERS) and isinstance(target, _NUMBERS):
        return _number(source, target)
    if isinstance(target, StringType):
        found = _to_text(source)
    elif isinstance(source, StringType):
        found = _from_text(target, spot)
    else:
        found = _between_times(source, target)
    return found or _refused(source, target)


def _refused(source: DataType, target: DataType) -> _Reading:
    reason = f"{_shown_type(source)} is not read as {_shown_type(target)}"
    return _Reading(
        lambda x: f"CAST(NULL AS {_ddl(target)})", lambda x, v: f"{x} IS NULL", lambda x, v: [("true", "kind", reason)]
    )


def _limited(text: _Reading, length: int) -> _Reading:
    def lossless(x: str, v: str) -> str:
        fits = f"({v} IS NULL OR char_length({v}) <= {length})"
        return f"({text.lossless(x, v)} AND {fits})" if text.lossless else fits

    def why(x: str, v: str) -> _Cases:
        readable = text.lossless(x, v) if text.lossless else "true"
        return [(readable, "length", f"has more than {length} characters"), *text.why(x, v)]

    return _Reading(text.candidate, lossless, why, bare=text.bare)


def _number(source: DataType, target: DataType) -> _Reading:
    wanted, given = _ddl(target), _ddl(source)
    if _always_exact(source, target):
        return _Reading(lambda x: f"CAST({x} AS {wanted})")
    floating = (FloatType, DoubleType)

    whole = type(source) in _DIGITS or (isinstance(source, DecimalType) and source.scale == 0)

    def lossless(x: str, v: str) -> str:
        if whole and not isinstance(target, floating):
            return f"({x} IS NULL OR {v} IS NOT NULL)"
        same = f"try_cast({v} AS {given}) <=> {x}"
        if isinstance(source, LongType):
            return f"({same} AND ({x} IS NULL OR {v} < {_BEYOND_LONG}))"
        if isinstance(target, LongType) and isinstance(source, floating):
            return f"({same} AND ({x} IS NULL OR {x} < {_BEYOND_LONG}))"
        return f"({same})"

    def why(x: str, v: str) -> _Cases:
        return [(f"{v} IS NULL", "range", f"does not fit {wanted}"), ("true", "precision", f"is not exactly a {wanted}")]

    return _Reading(lambda x: f"try_cast({x} AS {wanted})", lossless, why)


def _always_exact(source: DataType, target: DataType) -> bool:
    digits = _DIGITS.get(type(source))
    if isinstance(target, DecimalType):
        if isinstance(source, DecimalType):
            return target.scale >= source.scale and target.precision - target.scale >= source.precision - source.scale
        return digits is not None and target.precision - target.scale >= digits
    if type(target) in _DIGITS:
        return digits is not None and digits < _DIGITS[type(target)]
    if digits is not None:
        return digits <= _EXACT_DIGITS[type(target)]
    return isinstance(source, FloatType) and isinstance(target, DoubleType)


def _to_text(source: DataType) -> _Reading | None:
    if isinstance(source, BinaryType):
        # A regular expression works on Java's texts, in which bytes that are not UTF-8 are replaced.
        return _Reading(
            lambda x: f"CAST({x} AS STRING)",
            lambda x, v: f"({x} IS NULL OR regexp_replace({v}, '(?!)', '') = {v})",
            lambda x, v: [("true", "encoding", "is not UTF-8")],
        )
    simple = (*_NUMBERS, BooleanType, DateType, TimestampType, TimestampNTZType, StringType)
    return _Reading(lambda x: _as_text(x, source)) if isinstance(source, simple) else None


def _from_text(target: DataType, spot: _Place) -> _Reading | None:
    if type(target) in _DIGITS:
        return _whole_number(_ddl(target))
    if isinstance(target, DecimalType):
        return _decimal(target)
    if isinstance(target, (FloatType, DoubleType)):
        return _floating(target)
    if isinstance(target, BooleanType):
        return _Reading(_word, _both_or_none, lambda x, v: [("true", "format", "is neither true nor false")])
    if isinstance(target, BinaryType):
        return _Reading(lambda x: f"CAST({x} AS BINARY)")
    return _moment(target, spot) if isinstance(target, (DateType, TimestampType, TimestampNTZType)) else None


def _moment(target: DataType, spot: _Place) -> _Reading:
    if spot.pattern:
        return _by_pattern(target, _Pattern(spot.pattern, spot.path, target))
    return _date() if isinstance(target, DateType) else _timestamp(target, spot)


def _word(x: str) -> str:
    in_any_case = f"CASE lower({x}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    return f"CASE WHEN {x} = 'true' THEN true WHEN {x} = 'false' THEN false ELSE {in_any_case} END"


def _whole_number(wanted: str) -> _Reading:
    # The least number that has so many digits. One that has as many as the text has characters leaves no room in it for
    # spaces, signs or zeros: a proof without writing the number. One string, because Spark parses that faster than numbers.
    digits = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}[wanted]
    least = ",".join(["0", "0", *(str(10**length) for length in range(1, digits))])

    def lossless(x: str, v: str) -> str:
        length, known = f"octet_length({x})", f"CAST(split('{least}', ',') AS ARRAY<BIGINT>)"
        fills = f"if({v} >= 0, {v} >= get({known}, {length}), {v} <= -get({known}, {length} - 1))"
        return f"({x} IS NULL OR coalesce({fills}, false))"

    return _Reading(
        lambda x: f"try_cast({x} AS {wanted})",
        lossless,
        lambda x, v: [
            (f"{_matches(x, _WHOLE)} AND {x} <> '-0'", "range", f"does not fit {wanted}"),
            ("true", "format", "is not a whole number in plain digits"),
        ],
    )


def _decimal(target: DecimalType) -> _Reading:
    wanted, scale = _ddl(target), target.scale
    decimals = f"([.][0-9]{{1,{scale}}}0*)?" if scale else "([.]0+)?"
    exact = f"^-?(0|[1-9][0-9]*){decimals}{_END}"

    def why(x: str, v: str) -> _Cases:
        return [
            (f"NOT {_matches(x, _PLAIN)}", "format", "is not a number in plain digits"),
            (f"{v} IS NULL", "range", f"does not fit {wanted}"),
            ("true", "precision", f"has more than {scale} decimals"),
        ]

    def lossless(x: str, v: str) -> str:
        known = f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false"
        if 0 < scale < target.precision:
            known += f" WHEN {_all_decimals_written(x, v, target)} THEN true"
        # The text that the number has itself needs no look at how it is written. Without ANSI it may have an exponent.
        plain = f" AND {_no_exponent(x)}" if scale > _PLAIN_SCALE else ""
        return f"CASE {known} WHEN CAST({v} AS STRING) = {x}{plain} THEN true ELSE {_matches(x, exact)} END"

    return _Reading(lambda x: f"try_cast({x} AS {wanted})", lossless, why)


def _all_decimals_written(x: str, v: str, target: DecimalType) -> str:
    """Prove of most texts with as many decimals as the type has that they are plain digits, without writing the number.

    As many bytes as decimals stand behind the point, without an exponent, and the last one is a digit, so each of them is
    one. The number is so large that each byte before the point is a digit of it, the first of them none but 1 to 9.
    """
    whole, scale = target.precision - target.scale, target.scale
    least = f"CAST(split('{','.join(str(10**place) for place in range(whole))}', ',') AS ARRAY<{_ddl(target)}>)"
    terms = [
        f"{v} >= get({least}, octet_length({x}) - {scale + 2})",
        f"substring(CAST({x} AS BINARY), -{scale + 1}, 1) = X'2E'",
        _ends_with_digit(x),
        # Java takes the digits of all alphabets.
        f"octet_length({x}) = char_length({x})",
        _no_exponent(x),
    ]
    return " AND ".join(terms)


def _floating(target: DataType) -> _Reading:
    wanted, digits = _ddl(target), _EXACT_DIGITS[type(target)]
    smallest, largest = ("1.2E-38D", "3.4E38D") if isinstance(target, FloatType) else ("2.3E-308D", "1.79E308D")

    def significant(text: str) -> str:
        return f"trim(BOTH '0' FROM regexp_replace({text}, '[eE].*|[-.]', ''))"

    def lossless(x: str, v: str) -> str:
        # So few digits survive every way there and back (IEEE 754), more of them only if the number shows them again.
        short = f"octet_length({x}) <= {digits} AND {_plainly_written(x)}"
        same = f"{significant(x)} = {significant(f'CAST({v} AS STRING)')}"
        few = f"(char_length({significant(x)}) <= {digits} AND abs({v}) BETWEEN {smallest} AND {largest})"
        long = f"({_matches(x, _FLOATING)} AND ({same} OR {few}))"
        known = f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false WHEN {short} THEN true"
        # With CASE, because Spark computes what OR has on both sides first of all.
        return f"CASE {known} WHEN CAST({v} AS STRING) = {x} THEN true ELSE {long} END"

    def why(x: str, v: str) -> _Cases:
        return [
            (f"NOT {_matches(x, _FLOATING)}", "format", "is not a number"),
            (f"abs({v}) = CAST('Infinity' AS DOUBLE) OR {v} = 0", "range", f"does not fit {wanted}"),
            ("true", "precision", f"has more digits than {wanted} holds"),
        ]

    return _Reading(lambda x: f"try_cast({x} AS {wanted})", lossless, why)


def _plainly_written(x: str) -> str:
    """Prove of most of the texts that Java reads as a number that they are digits and perhaps a point, without a pattern.

    Java reads more: signs, zeros and spaces in front, which show in the first characters, spaces and type letters behind,
    which show in the last one, and exponents.
    """
    begins = f"({_begins_1_to_9(x)} OR ({x} >= '0.' AND {x} < '0/') OR ({x} >= '-1' AND {x} < '-:'))"
    return f"{begins} AND {_no_exponent(x)} AND {_ends_with_digit(x)}"


def _no_exponent(x: str) -> str:
    return f"NOT contains({x}, 'e') AND NOT contains({x}, 'E')"


def _ends_with_digit(x: str) -> str:
    last = f"substring(CAST({x} AS BINARY), -1, 1)"
    return f"{last} >= X'30' AND {last} < X'3A'"


def _date() -> _Reading:
    def lossless(x: str, v: str) -> str:
        # Spark reads much more, so its date proves little; a pattern would prove all, but costs more than the cast. Ten
        # bytes that begin with a digit other than 0, whose year is below 10000 and so has four digits, and that end with a
        # hyphen and the day in two: that leaves two for the month.
        canonical = f"{_begins_1_to_9(x)} AND {v} <= DATE'9999-12-31' AND endswith({x}, {_two_digits('-', f'day({v})', 32)})"
        known = (
            f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false WHEN octet_length({x}) = 10 AND {canonical} THEN true"
        )
        return f"CASE {known} ELSE {_matches(x, '^(?!0000)' + _DATE[1:])} END"

    def why(x: str, v: str) -> _Cases:
        return [
            (_matches(x, _DATE), "range", "is no day of the years 0001 to 9999"),
            ("true", "format", "is not yyyy-MM-dd"),
        ]

    return _Reading(lambda x: f"try_cast({x} AS DATE)", lossless, why)


def _timestamp(target: DataType, spot: _Place) -> _Reading:
    zoned = isinstance(target, TimestampType)
    wanted = _ddl(target)
    pattern = f"^(?!0000){_TIMESTAMP[1:]}{_ZONE + '?' if zoned else ''}{_END}"

    def lossless(x: str, v: str) -> str:
        # As for dates: 19 bytes that end with a colon and the seconds in two digits leave two for every other part, unless
        # they are a zone's minutes behind a text as short as can be: then the fourteenth byte is no colon.
        second = f"CAST(pmod(unix_seconds({v}), 60) AS INT)" if zoned else f"second({v})"
        last = f"{v} < {wanted}'9999-12-31 00:00:00{'Z' if zoned else ''}'"
        ends = f"endswith({x}, {_two_digits(':', second, 60)}) AND substring(CAST({x} AS BINARY), 14, 1) = X'3A'"
        plain = f"octet_length({x}) = 19 AND {_begins_1_to_9(x)} AND {last} AND {ends}"
        known = f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false WHEN {plain} THEN true"
        return f"CASE {known} ELSE {_matches(x, pattern)} END"

    def why(x: str, v: str) -> _Cases:
        zone = "a zone such as +01:00" if zoned else "no zone"
        return [
            (
                _matches(x, _TIMESTAMP + (f"{_ZONE}?" if zoned else "") + _END),
                "range",
                "is no time of the years 0001 to 9999",
            ),
            ("true", "format", f"is not yyyy-MM-dd HH:mm:ss, with up to 6 decimals and {zone}"),
        ]

    return _Reading(lambda x: _utc_or_zoned(x, spot) if zoned else f"try_cast({x} AS TIMESTAMP_NTZ)", lossless, why)


def _begins_1_to_9(x: str) -> str:
    return f"{x} >= '1' AND {x} < ':'"


def _two_digits(mark: str, number: str, limit: int) -> str:
    texts = ",".join(f"{mark}{place:02}" for place in range(limit))
    return f"get(split('{texts}', ','), {number})"


def _utc_or_zoned(x: str, spot: _Place) -> str:
    # Without a zone Spark takes the session's. Reading a Z takes longer than all the rest, so it is added only where needed.
    if spot.utc:
        return f"try_cast({x} AS TIMESTAMP)"
    return f"try_cast(CASE WHEN {_matches(x, _ZONE + _END)} THEN {x} ELSE concat({x}, 'Z') END AS TIMESTAMP)"


class _Pattern:
    """A ``format`` as a regular expression with groups, and the ISO 8601 text that its groups make."""

    def __init__(self, pattern: str, path: str, target: DataType) -> None:
        self.pattern = pattern
        groups: list[str] = []
        regex = ""
        for token in re.finditer(r"'([^']*)'|(([A-Za-z])\3*)|([^'])", pattern):
            quoted, part, _, other = token.groups()
            if part:
                groups.append("S" if set(part) == {"S"} and len(part) <= 6 else part)
                digits = f"{'(?!0000)' if part == 'yyyy' else ''}[0-9]{{{len(part)}}}"
                regex += _ZONE if part == "XXX" else f"({digits})"
            else:
                regex += "".join(_for_regex(character) for character in (other or quoted or "'"))
        allowed = {"yyyy", "MM", "dd"} | (set() if isinstance(target, DateType) else {"HH", "mm", "ss", "S"})
        allowed |= {"XXX"} if isinstance(target, TimestampType) else set()
        if set(groups) - allowed or len(set(groups)) < len(groups) or not {"yyyy", "MM", "dd"} <= set(groups):
            raise ContractViolationError(
                f"{path}: the format {pattern!r} of a {_shown_type(target)} needs yyyy, MM and dd, and may have nothing but"
                f" {', '.join(sorted(allowed))} (S up to six times), each once; quote other letters, such as 'T'"
            )
        self.regex, self.zoned = f"^{regex}{_END}", "XXX" in groups
        found = {part: f"${place}" for place, part in enumerate(groups, start=1)}
        self.iso = f"{found['yyyy']}-{found['MM']}-{found['dd']}"
        if not isinstance(target, DateType):
            clock = ":".join(found.get(part, "00") for part in ("HH", "mm", "ss"))
            self.iso += f" {clock}.{found.get('S', '0')}{found.get('XXX', '')}"


def _for_regex(character: str) -> str:
    return character if character.isalnum() or character in " ,:;/_-'" else "\\" + character


def _by_pattern(target: DataType, pattern: _Pattern) -> _Reading:
    zone = "Z" if isinstance(target, TimestampType) and not pattern.zoned else ""

    def candidate(x: str) -> str:
        iso = f"regexp_replace({x}, {_text_literal(pattern.regex)}, {_text_literal(pattern.iso + zone)})"
        return f"CASE WHEN {_matches(x, pattern.regex)} THEN try_cast({iso} AS {_ddl(target)}) END"

    def lossless(x: str, v: str) -> str:
        return f"({x} IS NULL OR {v} IS NOT NULL)"

    def why(x: str, v: str) -> _Cases:
        return [
            (_matches(x, pattern.regex), "range", "is no day or time of the years 0001 to 9999"),
            ("true", "format", f"is not {pattern.pattern}"),
        ]

    return _Reading(candidate, lossless, why)


def _between_times(source: DataType, target: DataType) -> _Reading | None:
    known: dict[tuple[type[DataType], type[DataType]], _Reading] = {
        (DateType, TimestampNTZType): _midnight(target, lambda x: f"CAST({x} AS TIMESTAMP_NTZ)"),
        (DateType, TimestampType): _midnight(target, lambda x: f"timestamp_seconds(CAST(unix_date({x}) AS BIGINT) * 86400)"),
        (TimestampType, TimestampNTZType): _Reading(_wall_clock),
        (TimestampNTZType, TimestampType): _Reading(lambda x: f"CAST(concat(CAST({x} AS STRING), 'Z') AS TIMESTAMP)"),
        # The first day of all has a midnight that is no timestamp.
        (TimestampNTZType, DateType): _Reading(
            lambda x: f"CAST({x} AS DATE)",
            lambda x, v: f"if(unix_date({v}) < {_FIRST_DAY}, false, CAST({v} AS TIMESTAMP_NTZ) <=> {x})",
            _has_time,
        ),
        # Division truncates, which is a day only where nothing is left over.
        (TimestampType, DateType): _Reading(
            lambda x: f"date_from_unix_date(CAST(unix_micros({x}) DIV {_DAY} AS INT))",
            lambda x, v: f"({x} IS NULL OR unix_micros({x}) % {_DAY} = 0)",
            _has_time,
        ),
    }
    return known.get((type(source), type(target)))


def _midnight(target: DataType, cast: Callable[[str], str]) -> _Reading:
    """Read a date as a time. Dates reach further than timestamps, and Spark fails where they do."""
    return _Reading(
        lambda x: f"CASE WHEN unix_date({x}) BETWEEN {_FIRST_DAY} AND {_LAST_DAY} THEN {cast(x)} END",
        _both_or_none,
        lambda x, v: [("true", "range", f"does not fit {_ddl(target)}")],
    )


def _has_time(x: str, v: str) -> _Cases:
    return [("true", "precision", "has a time of day")]


def _wall_clock(x: str) -> str:
    """Write a timestamp as it stands on a clock in UTC; Spark's own cast takes the session's time zone."""
    # The seconds of an interval have 18 digits, which end in the year 33658, so the days are given apart.
    days = f"CAST(unix_micros({x}) DIV {_DAY} AS INT)"
    seconds = f"CAST(unix_micros({x}) % {_DAY} / 1000000BD AS DECIMAL(18, 6))"
    return f"(TIMESTAMP_NTZ'1970-01-01 00:00:00' + make_dt_interval({days}, 0, 0, {seconds}))"


def _as_text(x: str, source: DataType) -> str:
    """Write a value of any type as the text that stands for it in quarantine and in text columns."""
    if isinstance(source, StringType):
        return x
    if isinstance(source, TimestampType):
        return f"concat(CAST({_wall_clock(x)} AS STRING), 'Z')"
    if isinstance(source, DecimalType) and source.scale > _PLAIN_SCALE:
        # Without ANSI, Spark writes small ones with an exponent.
        text = f"CAST({x} AS STRING)"
        digits = f"lpad(regexp_replace({text}, 'E.*|[-.]', ''), {source.scale}, '0')"
        return f"CASE WHEN instr({text}, 'E') > 0 THEN concat(if({x} < 0, '-0.', '0.'), {digits}) ELSE {text} END"
    if isinstance(source, BinaryType):
        return f"base64({x})"
    return _as_json(x) if isinstance(source, (StructType, ArrayType, MapType)) else f"CAST({x} AS STRING)"


def _as_json(x: str) -> str:
    options = {
        "ignoreNullFields": "false",
        "timeZone": "UTC",
        "dateFormat": "yyyy-MM-dd",
        "timestampFormat": "yyyy-MM-dd HH:mm:ss.SSSSSSXXX",
        "timestampNTZFormat": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    }
    written = ", ".join(f"'{name}', '{value}'" for name, value in options.items())
    return f"to_json({x}, map({written}))"


def _problem(path: str, rule: str, reason: str, value: str, severity: int) -> str:
    parts = [
        ("column", _text_literal(path)),
        ("rule", _text_literal(rule)),
        ("reason", _text_literal(reason)),
        ("value", f"CAST({value} AS STRING)"),
    ]
    return _struct_sql([*parts, ("severity", str(severity))])


def _with_severity(problem: str, severity: int) -> str:
    parts = [(name, f"{problem}.{_quoted(name)}") for name in PROBLEM.names]
    return _struct_sql([*parts, ("severity", str(severity))])


def _joined(arrays: Iterable[str]) -> str:
    """Write arrays of problems, some of them NULL, as one."""
    return f"flatten(filter(array({', '.join(arrays)}), p -> p IS NOT NULL))"


def _each(array: str, variable: str, node: _Node) -> str:
    problems = node.problems(variable) if node.problems else "NULL"
    return f"flatten(filter(transform({array}, {variable} -> {problems}), p -> p IS NOT NULL))"


def _pairwise(incoming: str, made: str, x: str, v: str, node: _Node, variable: str) -> str:
    whole = node.whole(variable, f"{variable}v") or "true"
    pairs = f"zip_with({incoming}, {made}, ({variable}, {variable}v) -> {whole})"
    return f"({x} IS NULL OR ({v} IS NOT NULL AND forall({pairs}, {variable} -> {variable})))"


def _all(conditions: Sequence[str], *, apart: bool) -> str:
    """Write AND, flat: as a tree it would be as deep as there are columns.

    What is said twice becomes a method of its own in the code that Spark generates for whole stages. As one method, many
    checks would be longer than the 8,000 bytes up to which the JVM compiles.
    """
    every = ", ".join(conditions)
    if len(conditions) == 1:
        return conditions[0]
    return f"(least({every}) AND greatest({every}))" if apart else f"least({every})"


def _struct_sql(parts: Iterable[tuple[str, str]]) -> str:
    return f"named_struct({', '.join(f'{_text_literal(name)}, {value}' for name, value in parts)})"


def _field(x: str, name: str) -> str:
    return f"{x}.{_quoted(name)}"


def _itself(x: str) -> str:
    return x


def _matches(x: str, pattern: str) -> str:
    return f"{x} RLIKE {_text_literal(pattern)}"


def _both_or_none(x: str, v: str) -> str:
    return f"({x} IS NULL OR {v} IS NOT NULL)"


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


def _withheld(x: str) -> str:
    return f"CASE WHEN {x} IS NOT NULL THEN '(withheld)' END"


def _text_literal(text: str) -> str:
    # Spark reads escapes in a literal or does not: spark.sql.parser.escapedStringLiterals decides.
    parts = [part for part in re.split(r"(['\\])", text) if part]
    written = [f"char({ord(part)})" if part in "'\\" else f"'{part}'" for part in parts]
    return written[0] if len(written) == 1 else f"concat({', '.join(written)})" if written else "''"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _ddl(data_type: DataType) -> str:
    """Write a type as it stands in CAST. A name inside it may be anything, which simpleString does not heed."""
    if isinstance(data_type, StructType):
        return f"STRUCT<{', '.join(f'{_quoted(field.name)}: {_ddl(field.dataType)}' for field in data_type)}>"
    if isinstance(data_type, ArrayType):
        return f"ARRAY<{_ddl(data_type.elementType)}>"
    if isinstance(data_type, MapType):
        return f"MAP<{_ddl(data_type.keyType)}, {_ddl(data_type.valueType)}>"
    return "STRING" if isinstance(data_type, (CharType, VarcharType)) else data_type.simpleString()


def _shown_type(data_type: DataType) -> str:
    kinds = {StructType: "struct", ArrayType: "array", MapType: "map"}
    return kinds.get(type(data_type)) or data_type.simpleString()


def tags_of(metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the tags in a field's metadata as they are written there: a list, or a text with one or more of them.

    Example:
        >>> tags_of({"tags": "pii, gdpr"})
        ('pii', 'gdpr')
    """
    tags = (metadata or {}).get("tags") or ()
    given = re.split(r"[\s,;]+", tags) if isinstance(tags, str) else map(str, tags) if isinstance(tags, Iterable) else ()
    return tuple(tag for tag in given if tag.strip())


def _is_pii(metadata: Mapping[str, Any] | None) -> bool:
    return "pii" in (tag.strip().lower() for tag in tags_of(metadata))


def _with_tags(metadata: dict[str, Any], incoming: dict[str, Any] | None) -> dict[str, Any]:
    """Add the tags of the incoming rows to a field's metadata: a contract that does not know of a tag does not remove it."""
    tags = tags_of(metadata)
    more = [tag for tag in tags_of(incoming) if tag.lower() not in {known.lower() for known in tags}]
    return {**metadata, "tags": [*tags, *more]} if more else metadata


def _has_pii(data_type: DataType) -> bool:
    if isinstance(data_type, StructType):
        return any(_is_pii(field.metadata) or _has_pii(field.dataType) for field in data_type)
    if isinstance(data_type, ArrayType):
        return _has_pii(data_type.elementType)
    return isinstance(data_type, MapType) and (_has_pii(data_type.keyType) or _has_pii(data_type.valueType))


def _has_problems(landed: StructField | None) -> bool:
    return landed is not None and isinstance(landed.dataType, StructType) and "problems" in landed.dataType.names


def _require_distinct(names: StructType | Sequence[str], who: str) -> None:
    seen: dict[str, str] = {}
    for name in names.names if isinstance(names, StructType) else names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise ContractViolationError(
                f"{who} both {other!r} and {name!r}, which only case tells apart, if anything; rename one"
            )


def _free_names(wanted: Sequence[str], taken: Sequence[str]) -> list[str]:
    used = {name.lower() for name in taken}
    free = []
    for name in wanted:
        while name in used:
            name = f"_{name}"  # noqa: PLW2901
        free.append(name)
    return free
