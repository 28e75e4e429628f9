"""The ways in which one column of a contract can be broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import (
    ArrayType,
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
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from gluewright_core.schema.types import without_lengths

BITS: dict[type[DataType], int] = {ByteType: 8, ShortType: 16, IntegerType: 32, LongType: 64}
"""The size of whole numbers."""
_NUMBERS = [("format", "much"), ("range", "1e999"), ("precision", "0.12345678901234567890")]
_MOMENTS = [("format", "noon"), ("range", "2024-02-30 00:00:00")]
_TEXTS: dict[type[DataType], list[tuple[str, str]]] = {
    BooleanType: [("format", "maybe")],
    FloatType: _NUMBERS,
    DoubleType: _NUMBERS,
    DateType: [("format", "yesterday"), ("range", "2024-02-30")],
    TimestampType: _MOMENTS,
    TimestampNTZType: _MOMENTS,
}


@dataclass(frozen=True)
class Way:
    """One way to break a value.

    Attributes:
        path: of the value that is wrong.
        rule: that it breaks, as quarantine names it.
        value: the whole column's value, with the wrong one inside.
        type: the whole column's type, with which ``createDataFrame`` takes it.
    """

    path: str
    rule: str
    value: Any
    type: DataType


def ways_to_break(field: StructField, value: Any, *, is_key: bool = False) -> Iterator[Way]:
    """Give every way to break a column.

    Args:
        field: of the contract.
        value: a valid value, without NULL or an empty collection anywhere.
        is_key: whether NULL is forbidden because the column belongs to the key.
    """
    kind = without_lengths(field.dataType)
    if is_key:
        yield Way(field.name, "key", None, kind)
    yield from _of_value(field.dataType, value, field.name, field.nullable, str((field.metadata or {}).get("format", "")))


def _of_value(kind: DataType, value: Any, path: str, nullable: bool, pattern: str) -> Iterator[Way]:
    if not nullable:
        yield Way(path, "required", None, without_lengths(kind))
    match kind:
        case StructType():
            yield from _of_struct(kind, value, path)
        case ArrayType():
            for way in _of_value(kind.elementType, value[0], f"{path}[]", kind.containsNull, pattern):
                yield Way(way.path, way.rule, [way.value], ArrayType(way.type))
        case MapType():
            key, inner = next(iter(value.items()))
            for way in _of_value(kind.valueType, inner, f"{path}{{}}.value", kind.valueContainsNull, pattern):
                yield Way(way.path, way.rule, {key: way.value}, MapType(without_lengths(kind.keyType), way.type))
        case _:
            for rule, text in _texts(kind, pattern):
                yield Way(path, rule, text, StringType())


def _of_struct(kind: StructType, value: Any, path: str) -> Iterator[Way]:
    for field in kind:
        pattern = str((field.metadata or {}).get("format", ""))
        for way in _of_value(field.dataType, value[field.name], f"{path}.{field.name}", field.nullable, pattern):
            fields = [
                StructField(other.name, way.type if other is field else without_lengths(other.dataType)) for other in kind
            ]
            yield Way(way.path, way.rule, {**value, field.name: way.value}, StructType(fields))


def _texts(kind: DataType, pattern: str) -> list[tuple[str, str]]:
    """Give texts that cannot be read as the type, each with the rule that it breaks."""
    if type(kind) in BITS:
        return [("format", "twelve"), ("range", str(2 ** (BITS[type(kind)] - 1)))]
    if isinstance(kind, DecimalType):
        too_large, too_exact = "1" + "0" * (kind.precision - kind.scale), "0." + "0" * kind.scale + "1"
        return [("format", "1,5"), ("range", too_large), ("precision", too_exact)]
    if isinstance(kind, CharType | VarcharType):
        return [("length", "x" * (kind.length + 1))]
    found = _TEXTS.get(type(kind), [])
    # By a pattern of its own, a day that does not exist is one that is written otherwise.
    return [(rule, text) for rule, text in found if not (pattern and rule == "range")]
