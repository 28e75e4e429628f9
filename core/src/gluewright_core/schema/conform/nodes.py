"""What is planned for one value and for one column, and where each stands in the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pyspark.sql import types as T

from .sql import ddl
from .terms import Mode, State
from .text import as_text


@dataclass(frozen=True)
class Node:
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
    severities: frozenset[State] = frozenset()

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
class ColumnPlan:
    """One column, of the contract or of the incoming rows only, and the SQL for it.

    Attributes:
        name: in the result.
        original: its name in the incoming rows; empty if they lack it.
        place: among the incoming columns, from 0.
        source: the incoming type.
        metadata: in the result.
        node: what is planned for its values.
        mode: what happens to a value that does not fit.
        pii: whether anything in it is tagged ``pii``.
        extra: whether the contract lacks it.
    """

    name: str
    original: str
    place: int
    source: T.DataType
    metadata: dict[str, object]
    node: Node
    mode: Mode
    pii: bool = False
    extra: bool = False

    @property
    def tags(self) -> list[str]:
        """What its text in another column is tagged with."""
        return ["pii"] if self.pii else []

    @property
    def raw(self) -> str:
        """The incoming value."""
        return f"r{self.place}" if self.original else f"CAST(NULL AS {ddl(self.source)})"

    @property
    def bare(self) -> bool:
        """Whether the candidate needs no column of its own."""
        return self.node.bare or not self.original

    @property
    def v(self) -> str:
        """The column of the candidate."""
        return self.raw if self.bare else f"v{self.place}"

    @property
    def ok(self) -> str:
        """The column of the check, where it is stored."""
        return f"ok{self.place}"

    @property
    def candidate(self) -> str:
        """The incoming value, cast."""
        return self.node.candidate(self.raw)

    @cached_property
    def check(self) -> str | None:
        """Whether the value fits; None if it always does."""
        if self.extra:
            return self.node.whole(self.raw, "")
        terms = [f"{self.raw} IS NOT NULL"] if self.node.required else []
        if self.node.lossless:
            terms.append(self.node.lossless(self.raw, self.v))
        return f"({' AND '.join(terms)})" if terms else None

    @cached_property
    def problems(self) -> str | None:
        """An array of what does not fit, or NULL; None if nothing is reported of this column."""
        if self.mode is Mode.EVOLVE and not self.required and not self.extra:
            return None
        return self.node.problems(self.raw, self.v) if self.node.problems else None

    @property
    def shown(self) -> str:
        """The incoming value without what is tagged ``pii``."""
        return self.node.shown(self.raw) if self.node.shown else self.raw

    @property
    def required(self) -> bool:
        """Whether NULL must not go out."""
        return self.node.must

    @property
    def leaf(self) -> bool:
        """Whether the value has no parts."""
        return self.node.leaf

    @property
    def severities(self) -> frozenset[State]:
        """What becomes of a row, one for each problem that is possible."""
        return self.node.severities

    @property
    def discards(self) -> bool:
        """Whether a row may be written without a value that does not fit."""
        return State.KEPT in self.node.severities

    @property
    def has_variant(self) -> bool:
        """Whether what does not fit goes as text into a column beside."""
        return self.mode is Mode.EVOLVE and bool(self.check) and not self.required

    @property
    def variant_name(self) -> str:
        """The name of the column beside."""
        return f"{self.name}__v_text"

    @property
    def variant(self) -> str:
        """The value of the column beside."""
        return f"CASE WHEN NOT {self.ok} THEN {as_text(self.raw, self.source)} END"

    @property
    def value(self) -> str:
        """The value that is written; the check must be stored where it may be left out."""
        # A complex value has NULL in place of what was discarded inside already.
        if self.has_variant or (self.leaf and self.discards):
            return f"CASE WHEN {self.ok} THEN {self.v} END"
        return self.v

    def fits(self, stored: Sequence[ColumnPlan]) -> str:
        """Write whether the value fits.

        Args:
            stored: the columns that have their check in a column.
        """
        return self.ok if self in stored else self.check or "true"


@dataclass(frozen=True)
class Spot:
    """Where a value stands in the contract, and what holds there.

    Attributes:
        path: such as ``items[].price``.
        nullable_in: whether the incoming value may be NULL.
        nullable_out: whether the contract allows NULL.
        mode: what happens to a value that does not fit.
        absorbed: whether the value or one around it, within the column, may become NULL.
        pii: whether it or a value around it is tagged ``pii``.
        utc: whether the session's time zone is UTC.
        pattern: the ``format`` of its metadata.
        null_rule: the rule that NULL breaks here.
    """

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
    def severity(self) -> State:
        """What becomes of a row if the value here does not fit."""
        if self.mode in {Mode.FREEZE, Mode.DISCARD_ROW}:
            return State.FROZEN if self.mode is Mode.FREEZE else State.OUT
        return State.KEPT if self.absorbed else State.OUT

    def inside(self, step: str, *, nullable_in: bool, nullable_out: bool) -> Spot:
        """Return the spot of a value one step further inside."""
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
