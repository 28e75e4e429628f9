"""The words that conform shares with its callers: modes, problems, counts, and what becomes of a row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from pyspark.sql import types as T


class Mode(StrEnum):
    """What happens to what the contract does not foresee: an unknown column, or a value that does not fit its column.

    The names and their meaning are dlt's ("Schema and data contracts", dlt's documentation).

    Attributes:
        EVOLVE: an unknown column is kept, behind the contract's; a value that does not fit goes as text into a column of its
            own, ``<column>__v_text``, and its column becomes NULL.
        FREEZE: the job must fail. An unknown column fails at once; for a value, see :meth:`Conformed.require`.
        DISCARD_ROW: the row goes to quarantine.
        DISCARD_VALUE: an unknown column is left out; a value that does not fit becomes NULL and its row is written, and
            quarantine reports it. Where NULL is not allowed, the nearest enclosing value that may be NULL becomes it; if
            there is none within the column, the row goes to quarantine.
    """

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD_ROW = "discard_row"
    DISCARD_VALUE = "discard_value"


RESERVED = "_gw_"
"""The prefix of the columns that are added here; no column of the conformed rows may have it."""

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


PROBLEM = T.StructType([T.StructField(name, T.StringType()) for name in ("column", "rule", "reason", "value")])
"""One thing that does not fit. ``column`` is a path such as ``items[].price`` or ``tags{}.value``. ``rule`` is one of
``required``, ``key``, ``unique``, ``kind``, ``format``, ``range``, ``precision``, ``length``, ``encoding``, ``map_key`` and
``unknown_column``. ``value`` is its text, NULL for what is tagged ``pii`` and, beside it, for what is unknown."""

QUARANTINE = T.StructType(
    [
        T.StructField("original", T.StringType()),
        T.StructField("problems", T.ArrayType(PROBLEM)),
        T.StructField("kept", T.BooleanType()),
    ]
)
"""A quarantined row: all of the incoming row as JSON (``pii`` withheld, and unknown columns and fields with it), what does
not fit, and whether the row was written as well, without the values that do not fit. A map whose keys have ``pii`` is an
array of its entries."""


class State(IntEnum):
    """What becomes of a row, by the worst of its problems.

    Attributes:
        FITS: it is written.
        KEPT: it is written without the values that do not fit, and is in quarantine too.
        OUT: it goes to quarantine.
        FROZEN: the job must fail.
    """

    FITS = 0
    KEPT = 1
    OUT = 2
    FROZEN = 3


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
    def state(self) -> State:
        """What becomes of a row that breaks it."""
        return {"warn": State.FITS, "quarantine": State.OUT, "fail": State.FROZEN}[self.severity]


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
