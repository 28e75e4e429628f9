"""Test rows from a contract: valid ones by construction, and one for each way to break it.

Example:
    ``spark.createDataFrame(valid_rows(orders, 100), row_struct(orders))`` gives rows that the contract takes as they are.
"""

from __future__ import annotations

import datetime as dt
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from math import prod
from typing import Any

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from gluewright_core.errors import SchemaError
from gluewright_core.schema.breaking import BITS, ways_to_break
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.rule_rows import require_made, value_against, value_within
from gluewright_core.schema.rules import Severity
from gluewright_core.schema.types import without_lengths

Row = dict[str, Any]
_CAPACITIES: dict[type[DataType], int] = {
    BooleanType: 2,
    FloatType: 2**24,
    DateType: 365 * 1000,
    **dict.fromkeys((StringType, BinaryType, DoubleType, TimestampType, TimestampNTZType), 10**9),
}
_DAY = dt.datetime(2024, 1, 1)
_PARTITIONS = 3
_DIGITS = string.digits + string.ascii_lowercase
# Texts that programs stumble over, beside plain ones.
_TEXTS = ("", "a", "Zürich", "naïve, with comma", 'says "no"', " leading", "two\nlines", "null", "0012", "日本語")


@dataclass(frozen=True)
class Broken:
    """Rows that break a contract in one way.

    Attributes:
        name: of the way, such as ``items[].price: range``.
        path: of the column that is wrong.
        rule: that is broken, as quarantine names it.
        rows: one, or the two that share a key.
        struct: the schema for ``createDataFrame``; what does not fit comes as text.
    """

    name: str
    path: str
    rule: str
    rows: tuple[Row, ...]
    struct: StructType


def row_struct(contract: Contract) -> StructType:
    """Give the schema with which ``createDataFrame`` takes the rows: the contract's, without char and varchar."""
    struct = without_lengths(contract.struct)
    assert isinstance(struct, StructType)
    return struct


def valid_rows(contract: Contract, n: int, *, seed: int = 0) -> list[Row]:
    """Make rows that keep the contract: types, limits, rules, NULL where it is allowed, and distinct keys.

    Args:
        contract: what they keep.
        n: how many rows.
        seed: another one gives other rows; the same one always the same.

    Returns:
        Rows as dictionaries; partition columns have up to three values.

    Raises:
        SchemaError: the key cannot have so many values, or a rule is a pattern, SQL, about the key's values or about unique
            columns other than the key: no values can be made that keep it for certain.

    Example:
        >>> [row["id"] for row in valid_rows(Contract("t", (Column("id", "int"),), key=("id",)), 3)]
        [0, 1, 2]
    """
    require_made(contract)
    key = [contract[name].data_type for name in contract.key]
    most = prod(_capacity(kind) for kind in key)
    if key and n > most:
        raise SchemaError(f"{contract.name}: the key {', '.join(contract.key)} has {most} values only; ask for fewer rows")
    maker = _Maker(random.Random(f"{contract.name} {seed}"))  # noqa: S311 - test data
    return [_row(contract, number, maker) for number in range(n)]


def broken_rows(contract: Contract) -> list[Broken]:
    """Make rows that break the contract, each in one way: a NULL, an unreadable text, a number out of range.

    Keys of maps are left alone.

    Args:
        contract: what they break. Everything else in a row is valid.

    Returns:
        One item for each way, at every depth, one for two rows with the same key, and one for each rule of a column.

    Raises:
        SchemaError: see :func:`valid_rows`.
    """
    require_made(contract)
    maker = _Maker(random.Random(contract.name), full=True)  # noqa: S311 - test data
    row = _row(contract, 0, maker)
    struct = row_struct(contract)
    broken = []
    for column in contract.columns:
        is_key = column.name in contract.key and column.nullable
        for way in ways_to_break(column.field, row[column.name], is_key=is_key):
            fields = [StructField(f.name, way.type) if f.name == column.name else f for f in struct]
            rows = ({**row, column.name: way.value},)
            broken.append(Broken(f"{way.path}: {way.rule}", way.path, way.rule, rows, StructType(fields)))
        for rule in column.rules:
            found = value_against(rule, partial(maker.value, column.data_type, nullable=False), column.data_type)
            if found is not None and rule.severity != Severity.WARN:
                rows = ({**row, column.name: found},)
                broken.append(Broken(f"{column.name}: {rule.name}", column.name, rule.name, rows, struct))
    if contract.key:
        path = ", ".join(contract.key)
        broken.append(Broken(f"{path}: unique", path, "unique", (row, row), struct))
    return broken


def _row(contract: Contract, number: int, maker: _Maker) -> Row:
    row = {}
    for column in contract.columns:
        make = partial(maker.value, column.data_type, column.nullable)
        row[column.name] = value_within(column, make, maker.random)
    for name in contract.partition_by:
        kind = contract[name].data_type
        row[name] = maker.numbered(kind, maker.random.randrange(min(_PARTITIONS, _capacity(kind))))
    for name in contract.key:
        kind = contract[name].data_type
        number, place = divmod(number, _capacity(kind))
        row[name] = maker.numbered(kind, place)
    return row


def _capacity(kind: DataType) -> int:
    """Tell how many different values can be counted off."""
    if isinstance(kind, ArrayType):
        return _capacity(kind.elementType)
    if isinstance(kind, StructType):
        return prod(_capacity(field.dataType) for field in kind)
    if type(kind) in BITS:
        return int(2 ** (BITS[type(kind)] - 1))
    if isinstance(kind, DecimalType):
        return int(10**kind.precision)
    if isinstance(kind, CharType | VarcharType):
        return int(len(_DIGITS) ** kind.length)
    return _CAPACITIES.get(type(kind), 1)


class _Maker:
    """Makes values. A full one makes no NULL and no empty collection."""

    def __init__(self, generator: random.Random, *, full: bool = False) -> None:
        self.random, self._full = generator, full

    def value(self, kind: DataType, nullable: bool, *, hashable: bool = False) -> Any:
        """Make any value; a hashable one for the keys of maps."""
        if nullable and not self._full and self.random.random() < 0.2:
            return None
        match kind:
            case ArrayType():
                items = [self.value(kind.elementType, kind.containsNull, hashable=hashable) for _ in range(self._size())]
                return tuple(items) if hashable else items
            case MapType():
                keys = [self.value(kind.keyType, nullable=False, hashable=True) for _ in range(self._size())]
                return {key: self.value(kind.valueType, kind.valueContainsNull) for key in keys}
            case StructType():
                values = {f.name: self.value(f.dataType, f.nullable, hashable=hashable) for f in kind}
                return tuple(values.values()) if hashable else values
        return self._plain(kind)

    def numbered(self, kind: DataType, number: int) -> Any:
        """Make the value with a number: another one for every number below the type's capacity."""
        if isinstance(kind, ArrayType):
            return [self.numbered(kind.elementType, number)]
        if isinstance(kind, StructType):
            values = {}
            for field in kind:
                number, place = divmod(number, _capacity(field.dataType))
                values[field.name] = self.numbered(field.dataType, place)
            return values
        if type(kind) in BITS:
            return number
        return _NUMBERED[type(kind)](kind, number) if type(kind) in _NUMBERED else None

    def _plain(self, kind: DataType) -> Any:
        if type(kind) in BITS:
            most = 2 ** (BITS[type(kind)] - 1)
            common, any_other = self.random.randint(-100, 100), self.random.randint(-most, most - 1)
            return self.random.choice([-most, most - 1, 0, common, any_other])
        return _PLAIN[type(kind)](kind, self.random) if type(kind) in _PLAIN else None

    def _size(self) -> int:
        return self.random.randint(1 if self._full else 0, 3)


def _at(kind: DataType, after: dt.timedelta) -> dt.datetime:
    moment = _DAY + after
    return moment.replace(tzinfo=dt.UTC) if isinstance(kind, TimestampType) else moment


def _in_digits(number: int, length: int) -> str:
    """Write a number in letters and digits, in up to so many of them."""
    text = ""
    while number or not text:
        number, place = divmod(number, len(_DIGITS))
        text = _DIGITS[place] + text
    return text.rjust(min(length, 6), "0")


def _any_decimal(kind: Any, choose: random.Random) -> Decimal:
    # Digit by digit: arithmetic would round to the 28 digits of Decimal's context.
    digits = tuple(choose.randrange(10) for _ in range(kind.precision))
    return Decimal((choose.choice([0, 1]), digits, -kind.scale))


def _any_moment(kind: DataType, choose: random.Random) -> dt.datetime:
    seconds, microseconds = choose.randint(-(10**8), 10**8), choose.choice([0, 1, 999_999])
    return _at(kind, dt.timedelta(seconds=seconds, microseconds=microseconds))


_PLAIN: dict[type[DataType], Callable[[Any, random.Random], Any]] = {
    BooleanType: lambda _, choose: choose.random() < 0.5,
    DecimalType: _any_decimal,
    # Quarters are exact in both.
    FloatType: lambda _, choose: choose.randint(-1000, 1000) / 4,
    DoubleType: lambda _, choose: choose.randint(-1000, 1000) / 4,
    CharType: lambda kind, choose: choose.choice(_TEXTS)[: kind.length],
    VarcharType: lambda kind, choose: choose.choice(_TEXTS)[: kind.length],
    StringType: lambda _, choose: choose.choice(_TEXTS),
    BinaryType: lambda _, choose: choose.randbytes(choose.randrange(5)),
    DateType: lambda _, choose: _DAY.date() + dt.timedelta(days=choose.randint(-3000, 3000)),
    TimestampType: _any_moment,
    TimestampNTZType: _any_moment,
}
_NUMBERED: dict[type[DataType], Callable[[Any, int], Any]] = {
    BooleanType: lambda _, number: bool(number),
    DecimalType: lambda kind, number: Decimal((0, tuple(map(int, str(number))), -kind.scale)),
    FloatType: lambda _, number: float(number),
    DoubleType: lambda _, number: float(number),
    CharType: lambda kind, number: _in_digits(number, kind.length),
    VarcharType: lambda kind, number: _in_digits(number, kind.length),
    StringType: lambda _, number: f"k{number:06d}",
    BinaryType: lambda _, number: number.to_bytes(8, "big"),
    DateType: lambda _, number: _DAY.date() + dt.timedelta(days=number),
    TimestampType: lambda kind, number: _at(kind, dt.timedelta(seconds=number)),
    TimestampNTZType: lambda kind, number: _at(kind, dt.timedelta(seconds=number)),
}
