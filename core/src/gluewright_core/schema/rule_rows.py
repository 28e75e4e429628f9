"""Values for test rows that keep the rules of a contract, and such that break one."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

from pyspark.sql.types import ByteType, CharType, DataType, IntegerType, LongType, ShortType, StringType, VarcharType

from gluewright_core.errors import SchemaError
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.rules import Rule
from gluewright_core.schema.types import without_lengths

_ATTEMPTS = 100
_WHOLE = (ByteType, ShortType, IntegerType, LongType)


def require_made(contract: Contract) -> None:
    """Refuse rules for which no values can be made.

    Args:
        contract: with rules.

    Raises:
        SchemaError: names the first of them.
    """
    of_columns = [(column, rule) for column in contract.columns for rule in column.rules]
    refused = [f"{column.name}: {rule.name}" for column, rule in of_columns if rule.pattern or column.name in contract.key]
    refused += [rule.name for rule in contract.rules if {*rule.unique} != {*contract.key}]
    refused += [f"{column.name}: {rule.name}" for column, rule in of_columns if column.name in contract.partition_by]
    if refused:
        raise SchemaError(
            f"{contract.name}: no rows can be made that keep the rule {refused[0]} for certain; make them of the contract "
            "without it, and change them"
        )


def value_within(column: Column, make: Callable[[], Any], choose: random.Random) -> Any:
    """Make a value that keeps the column's rules.

    Args:
        column: with rules, or without.
        make: makes any value.
        choose: chance.

    Raises:
        SchemaError: none was found.
    """
    for _ in range(_ATTEMPTS):
        made = make()
        if made is None or all(rule.holds(made) for rule in column.rules):
            return made
        for rule in column.rules:
            choice = _within(rule, column.data_type, choose)
            if choice is not None and all(other.holds(choice) for other in column.rules):
                return choice
    raise SchemaError(f"{column.name}: no value was found that keeps its rules; do they contradict each other?")


def _within(rule: Rule, kind: DataType, choose: random.Random) -> Any:
    if rule.allowed:
        return choose.choice(rule.allowed)
    if rule.min_length is not None or rule.max_length is not None:
        least = rule.min_length or 0
        most = rule.max_length if rule.max_length is not None else least + 5
        return "".join(choose.choices(string.ascii_lowercase, k=choose.randint(least, most)))
    low, high = rule.minimum, rule.maximum
    if isinstance(kind, _WHOLE) and low is not None and high is not None:
        return choose.randint(low, high)
    return choose.choice([limit for limit in (low, high) if limit is not None])


def value_against(rule: Rule, make: Callable[[], Any], kind: DataType) -> Any:
    """Make a value of the column's type that breaks a rule; None where none is found.

    Args:
        rule: of the column.
        make: makes any value.
        kind: of the column.
    """
    texts = ["", "x" * ((rule.max_length or 0) + 1), "?"] if isinstance(without_lengths(kind), StringType) else []
    if isinstance(kind, VarcharType | CharType):
        texts = [text[: kind.length] for text in texts]
    values = [*texts, *(make() for _ in range(_ATTEMPTS))]
    return next((value for value in values if not rule.holds(value)), None)
