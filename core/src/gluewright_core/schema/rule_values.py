"""The values that rules of a contract name: checked against a column's type, and written as SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from gluewright_core.schema.types import without_lengths
from gluewright_core.tables.sql import text_expression

_BITS: Mapping[type[DataType], int] = {ByteType: 8, ShortType: 16, IntegerType: 32, LongType: 64}


def typed_value(value: Any, kind: DataType) -> Any:
    """Return a value as one of a type; None where it is none.

    Args:
        value: of Python, or as YAML reads it.
        kind: of the column.
    """
    plain = without_lengths(kind)
    found: Any = None
    if type(plain) in _BITS:
        most = 2 ** (_BITS[type(plain)] - 1)
        found = value if isinstance(value, int) and not isinstance(value, bool) and -most <= value < most else None
    elif isinstance(plain, DecimalType):
        found = _decimal(value, plain)
    elif isinstance(plain, DoubleType | FloatType):
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    elif isinstance(plain, StringType):
        found = value if isinstance(value, str) else None
    elif isinstance(plain, BooleanType):
        found = value if isinstance(value, bool) else None
    elif isinstance(plain, DateType | TimestampType | TimestampNTZType):
        found = _moment(value, plain)
    return found


def _decimal(value: Any, kind: DecimalType) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    scaled = number.scaleb(kind.scale)
    return number if scaled == scaled.to_integral_value() and abs(scaled) < 10**kind.precision else None


def _moment(value: Any, kind: DataType) -> dt.date | None:
    try:
        if isinstance(kind, DateType):
            if isinstance(value, str):
                return dt.date.fromisoformat(value)
            return value if isinstance(value, dt.date) and not isinstance(value, dt.datetime) else None
        found = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, dt.datetime):
        return None
    if isinstance(kind, TimestampNTZType):
        return found if found.tzinfo is None else None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def plain_value(value: Any) -> Any:
    """Return a value as a file of a contract holds it.

    Args:
        value: of a rule.
    """
    if isinstance(value, tuple):
        return [plain_value(item) for item in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


def literal(value: Any, kind: DataType) -> str:
    """Write a value as SQL, the same in every session.

    Args:
        value: of the type.
        kind: of the column.
    """
    plain = without_lengths(kind)
    text = text_expression(str(value).lower() if isinstance(value, bool) else str(value))
    return text if isinstance(plain, StringType) else f"CAST({text} AS {plain.simpleString()})"
