"""Value rules of a contract: allowed values, bounds, lengths, patterns, unique columns and SQL over a row.

Example:
    >>> from gluewright_core.schema import Column, Contract, Rule
    >>> orders = Contract(
    ...     "shop.orders",
    ...     (
    ...         Column("id", "bigint", nullable=False),
    ...         Column("currency", "string", rules=(Rule(allowed=("EUR", "USD")),)),
    ...         Column("price", "decimal(10,2)", rules=(Rule(minimum=0), Rule(maximum=1000, severity="warn", name="high"))),
    ...     ),
    ...     rules=(Rule(name="free in dollars", sql="price > 0 OR currency = 'USD'"), Rule(unique=("id",))),
    ... )
    >>> [rule.name for rule in orders["price"].rules]
    ['between', 'high']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pyspark.sql.types import BooleanType, DataType, StringType

from gluewright_core.errors import InvalidContractError
from gluewright_core.schema.conform import Check
from gluewright_core.schema.rule_values import literal, plain_value, typed_value
from gluewright_core.schema.types import type_text, without_lengths
from gluewright_core.tables.sql import text_expression

_SHOWN = 10
NONE: Mapping[str, Any] = {
    "allowed": (),
    "minimum": None,
    "maximum": None,
    "min_length": None,
    "max_length": None,
    "pattern": "",
    "sql": "",
    "unique": (),
}
"""What a rule may check, with the value that means that it does not."""
_NAMES = {"allowed": "allowed", "minimum": "between", "min_length": "value_length", "pattern": "pattern", "unique": "unique"}
_PAIRS = {"maximum": "minimum", "max_length": "min_length"}


class Severity(StrEnum):
    """What happens to a row that breaks a rule.

    Attributes:
        WARN: it is written, counted and logged.
        QUARANTINE: it goes to quarantine.
        FAIL: the job fails before anything is published.
    """

    WARN = "warn"
    QUARANTINE = "quarantine"
    FAIL = "fail"


@dataclass(frozen=True)
class Rule:
    """One rule: exactly one of the checks, or a pair of limits. NULL keeps every rule.

    Attributes:
        name: as quarantine and the counts have it; by default ``allowed``, ``between``, ``value_length``, ``pattern`` or
            ``unique``. A rule in SQL needs one.
        allowed: the values that a column may have.
        minimum: the smallest value, itself included.
        maximum: the largest value, itself included.
        min_length: the smallest number of characters.
        max_length: the largest number of characters.
        pattern: a regular expression in Java's syntax (``java.util.regex``) that the whole text matches.
        sql: a condition over the columns of a row, in Spark SQL with ANSI semantics in every session. A row that it cannot
            be evaluated for, such as for a division by zero, breaks the rule; one for which it is NULL does not.
        unique: columns whose values no two rows have in common, of the rows that fit otherwise. All rows that share them
            break the rule. Each such rule shuffles the rows once.
        severity: what happens to a row that breaks the rule.

    Raises:
        InvalidContractError: it checks nothing or more than one thing, or its limits contradict each other.
    """

    name: str = ""
    allowed: Sequence[Any] = ()
    minimum: Any = None
    maximum: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    sql: str = ""
    unique: Sequence[str] = ()
    severity: Severity | str = Severity.QUARANTINE

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for field in ("allowed", "unique"):
            given = getattr(self, field)
            set_field(self, field, (given,) if isinstance(given, str) else tuple(given))
        try:
            set_field(self, "severity", Severity(self.severity))
        except ValueError:
            raise _wrong("severity", f"unknown severity {self.severity!r}; use one of {', '.join(Severity)}") from None
        kinds = {_PAIRS.get(field, field) for field, none in NONE.items() if getattr(self, field) != none}
        if len(kinds) != 1:
            raise _wrong("", f"a rule has one of {', '.join(NONE)}, not {', '.join(sorted(kinds)) or 'none'}")
        (kind,) = kinds
        if kind == "sql" and not self.name:
            raise _wrong("name", f"the rule {self.sql!r} needs a name, which quarantine and the counts show")
        set_field(self, "name", self.name or _NAMES[kind])
        for field in ("min_length", "max_length"):
            length = getattr(self, field)
            if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 0):
                raise _wrong(field, f"{field} is {length!r}; give a number of characters")
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise _wrong("max_length", f"max_length {self.max_length} is less than min_length {self.min_length}")

    @property
    def of_rows(self) -> bool:
        """Whether it belongs to a contract, not to a column."""
        return bool(self.sql or self.unique)

    def of_type(self, kind: DataType) -> Rule:
        """Return the rule with its values as those of a column's type.

        Args:
            kind: of the column.

        Raises:
            InvalidContractError: a value is none of that type, or the rule is none for it.
        """
        if self.of_rows:
            raise _wrong("", "sql and unique are rules of the contract, not of a column; move it to the contract's rules")
        text = isinstance(without_lengths(kind), StringType)
        for field in ("min_length", "max_length", "pattern"):
            if getattr(self, field) != NONE[field] and not text:
                raise _wrong(field, f"{field} is for text, not for {type_text(kind)}")
        limits = {field: _typed(getattr(self, field), kind, field) for field in ("minimum", "maximum")}
        if isinstance(kind, BooleanType) and limits != {"minimum": None, "maximum": None}:
            raise _wrong("minimum", "a boolean has no order; list its values in allowed")
        if None not in limits.values() and limits["minimum"] > limits["maximum"]:
            raise _wrong("maximum", f"maximum {self.maximum} is less than minimum {self.minimum}")
        return replace(self, allowed=tuple(_typed(value, kind, "allowed") for value in self.allowed), **limits)

    def holds(self, value: Any) -> bool:
        """Test a Python value of the column's type, as Spark tests it; patterns are not tested.

        Args:
            value: None always holds.
        """
        if value is None:
            return True
        if self.allowed:
            return value in self.allowed
        if self.min_length is not None or self.max_length is not None:
            return (self.min_length or 0) <= len(value) <= (len(value) if self.max_length is None else self.max_length)
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def check(self, column: str = "", kind: DataType | None = None) -> Check:
        """Return the rule as SQL over the columns of a row.

        Args:
            column: that it is a rule of; empty for a rule of rows.
            kind: its type.
        """
        severity = str(self.severity)
        if self.unique:
            path = ", ".join(self.unique)
            return Check(path, self.name, "", "another row has the same values", severity, unique=tuple(self.unique))
        if self.sql:
            return Check("", self.name, self.sql, f"is not true: {self.sql}", severity, may_raise=True)
        assert kind is not None
        sql, reason = self._condition(f"`{column.replace('`', '``')}`", kind)
        return Check(column, self.name, sql, reason, severity)

    def _condition(self, x: str, kind: DataType) -> tuple[str, str]:
        if self.allowed:
            shown = ", ".join(map(_shown, self.allowed[:_SHOWN])) + (", ..." if len(self.allowed) > _SHOWN else "")
            return f"{x} IN ({', '.join(literal(value, kind) for value in self.allowed)})", f"is not one of {shown}"
        if self.pattern:
            return f"{x} RLIKE {text_expression(f'^(?:{self.pattern})' + chr(92) + 'z')}", f"does not match {self.pattern}"
        if self.min_length is not None or self.max_length is not None:
            terms = [f"char_length({x}) >= {self.min_length}"] if self.min_length is not None else []
            terms += [f"char_length({x}) <= {self.max_length}"] if self.max_length is not None else []
            return " AND ".join(terms), f"has not {_range(self.min_length, self.max_length)} characters"
        terms = [f"{x} >= {literal(self.minimum, kind)}"] if self.minimum is not None else []
        terms += [f"{x} <= {literal(self.maximum, kind)}"] if self.maximum is not None else []
        return " AND ".join(terms), f"is not {_range(self.minimum, self.maximum)}"

    def __str__(self) -> str:
        """Return ``high: maximum 1000 (warn)``."""
        (document,) = rules_document([self])
        said = [f"{field} {value}" for field, value in document.items() if field in NONE]
        return f"{self.name}: {', '.join(said)} ({self.severity})"


def rules_document(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Write rules as mappings of texts, numbers and lists.

    Args:
        rules: of a column or a contract.
    """
    found = []
    for rule in rules:
        checks = {field: plain_value(getattr(rule, field)) for field, none in NONE.items() if getattr(rule, field) != none}
        kind = next(_PAIRS.get(field, field) for field in checks)
        named = {} if rule.name == _NAMES.get(kind) else {"name": rule.name}
        severity = {} if rule.severity == Severity.QUARANTINE else {"severity": str(rule.severity)}
        found.append({**named, **checks, **severity})
    return found


def duplicates(labels: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Find rules of the same name: their numbers and names.

    Args:
        labels: the names.
    """
    for number, label in enumerate(labels):
        if label in labels[:number]:
            yield number, f"two rules are called {label!r}; give one of them a name of its own"


def _typed(value: Any, kind: DataType, field: str) -> Any:
    found = None if value is None else typed_value(value, kind)
    if found is None and value is not None:
        raise _wrong(field, f"{field} {value!r} is no value of type {type_text(kind)}")
    return found


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _range(low: Any, high: Any) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"between {low} and {high}"


def _wrong(field: str, reason: str) -> InvalidContractError:
    return InvalidContractError(reason, [((field,) if field else (), reason)])
