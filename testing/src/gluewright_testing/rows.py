"""Rows for tests: a test states the columns that matter to it and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    DecimalType,
    MapType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from gluewright_testing.errors import InvalidRowsError

RowLike = Mapping[str, Any] | Sequence[Any]


def rows(
    spark: SparkSession, schema: str | StructType, values: Iterable[RowLike], defaults: Mapping[str, Any] | None = None
) -> DataFrame:
    """Build a DataFrame from tuples or dicts.

    Dates, timestamps and decimals may be written as text: ``"2024-02-29"``, ``"2024-02-29T10:00:00"`` (UTC, unless the
    text has an offset), ``"12.50"``. A ``datetime`` without a time zone means UTC too, not the zone of the machine.

    Args:
        spark: the session.
        schema: as DDL, such as ``"id bigint not null, name string, at timestamp"``, or a ``StructType``.
        values: one tuple or dict a row. A dict may leave out any column, a tuple the last ones.
        defaults: what a column holds that a row leaves out; NULL without one.

    Returns:
        The rows, in the order given, with exactly this schema.

    Raises:
        InvalidRowsError: a row names a column that the schema has not, has too many values, leaves out a column that must
            not be NULL, or holds a value that its type does not take.

    Example:
        >>> rows(spark, "id bigint, day date", [(1, "2024-02-29"), {"id": 2}]).show()  # doctest: +SKIP
    """
    struct = schema if isinstance(schema, StructType) else spark.createDataFrame([], schema).schema
    built = [_row(number, given, struct, defaults or {}) for number, given in enumerate(values, 1)]
    return spark.createDataFrame(built, struct)


def _row(number: int, given: RowLike, struct: StructType, defaults: Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(given, Mapping):
        named = dict(given)
    elif len(given) <= len(struct.names):
        named = dict(zip(struct.names, given, strict=False))
    else:
        raise InvalidRowsError(
            f"Row {number} has {len(given)} values for the {len(struct.names)} columns {', '.join(struct.names)}."
        )
    unknown = sorted((set(named) | set(defaults)) - set(struct.names))
    if unknown:
        raise InvalidRowsError(f"Row {number} names {', '.join(unknown)}, and the columns are {', '.join(struct.names)}.")
    named = dict(defaults) | named
    missing = [field.name for field in struct if not field.nullable and named.get(field.name) is None]
    if missing:
        raise InvalidRowsError(
            f"Row {number} leaves out {', '.join(missing)}, which must not be NULL: give a value or a default."
        )
    return tuple(_fitting(number, field, named.get(field.name)) for field in struct)


def _fitting(number: int, field: StructField, value: Any) -> Any:
    try:
        return _converted(value, field.dataType)
    except (ValueError, ArithmeticError, TypeError) as problem:
        kind = field.dataType.simpleString()
        raise InvalidRowsError(f"Row {number}, column {field.name}: {value!r} is no {kind} ({problem}).") from problem


def _converted(value: Any, kind: DataType) -> Any:
    """Turn text into the Python value of its type, at any depth."""
    if value is None:
        return None
    if isinstance(kind, ArrayType):
        return [_converted(item, kind.elementType) for item in value]
    if isinstance(kind, MapType):
        return {_converted(key, kind.keyType): _converted(item, kind.valueType) for key, item in value.items()}
    if isinstance(kind, StructType):
        named = value if isinstance(value, Mapping) else dict(zip(kind.names, value, strict=True))
        return tuple(_converted(named.get(field.name), field.dataType) for field in kind)
    convert = _FROM_PYTHON.get(type(kind))
    return convert(value) if convert else value


def _date(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _wall_clock(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _instant(value: Any) -> Any:
    moment = _wall_clock(value)
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) and moment.tzinfo is None else moment


def _decimal(value: Any) -> Any:
    return Decimal(value) if isinstance(value, str | int) else value


_FROM_PYTHON: dict[type[DataType], Callable[[Any], Any]] = {
    DateType: _date,
    TimestampType: _instant,
    TimestampNTZType: _wall_clock,
    DecimalType: _decimal,
}
