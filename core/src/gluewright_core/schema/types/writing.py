"""Write types as text, for Spark and for Hive and Glue."""

from __future__ import annotations

import re
from typing import Literal

from pyspark.sql import types as T

from .names import PLAIN, InvalidTypeError, quoted_name, quoted_text

Dialect = Literal["spark", "hive", "glue"]

_HIVE_NAME = re.compile(r"[^,:<>()`'\"\s]+( +[^,:<>()`'\"\s]+)*")
LONGEST_CHAR, LONGEST_VARCHAR = 255, 65535


def type_text(kind: T.DataType, dialect: Dialect = "spark") -> str:
    """Write a type as text.

    Args:
        kind: the type.
        dialect: ``spark`` quotes names where needed and keeps NOT NULL and comments of fields; ``hive`` and ``glue``, which
            are the same, have neither, and write a timestamp without zone as ``timestamp``.

    Returns:
        The text; ``parse_type(type_text(kind))`` is the type again, except that elements and values of collections always
        read as nullable.

    Raises:
        InvalidTypeError: the dialect cannot express it.

    Example:
        >>> type_text(parse_type("STRUCT<id: BIGINT NOT NULL, `unit price`: DEC(5)>"))
        'struct<id:bigint NOT NULL,`unit price`:decimal(5,0)>'
        >>> type_text(parse_type("struct<id:bigint not null>"), "glue")
        'struct<id:bigint>'
    """
    if isinstance(kind, T.ArrayType):
        return f"array<{type_text(kind.elementType, dialect)}>"
    if isinstance(kind, T.MapType):
        return f"map<{type_text(kind.keyType, dialect)},{type_text(kind.valueType, dialect)}>"
    if isinstance(kind, T.StructType):
        write = _spark_field if dialect == "spark" else _hive_field
        return f"struct<{','.join(write(field) for field in kind)}>"
    if isinstance(kind, T.TimestampNTZType) and dialect != "spark":
        return "timestamp"
    if isinstance(kind, T.CharType | T.VarcharType):
        _check_hive_length(kind, dialect)
    text = kind.simpleString()
    if text.partition("(")[0] not in {*PLAIN, "decimal", "char", "varchar"}:
        raise InvalidTypeError(f"{text} is not a type of Hive or Glue; convert the column first")
    return text


def without_lengths(kind: T.DataType) -> T.DataType:
    """Return the type as a DataFrame has it: char and varchar are string there."""
    match kind:
        case T.CharType() | T.VarcharType():
            return T.StringType()
        case T.ArrayType():
            return T.ArrayType(without_lengths(kind.elementType), kind.containsNull)
        case T.MapType():
            return T.MapType(without_lengths(kind.keyType), without_lengths(kind.valueType), kind.valueContainsNull)
        case T.StructType():
            return T.StructType(
                [
                    T.StructField(field.name, without_lengths(field.dataType), field.nullable, field.metadata)
                    for field in kind
                ]
            )
    return kind


def _spark_field(field: T.StructField) -> str:
    required = "" if field.nullable else " NOT NULL"
    comment = (field.metadata or {}).get("comment")
    commented = f" COMMENT {quoted_text(comment)}" if comment else ""
    return f"{quoted_name(field.name)}:{type_text(field.dataType)}{required}{commented}"


def _hive_field(field: T.StructField) -> str:
    if not _HIVE_NAME.fullmatch(field.name):
        raise InvalidTypeError(f"the field name {field.name!r} cannot stand in a Hive type; rename the field")
    return f"{field.name}:{type_text(field.dataType, 'hive')}"


def _check_hive_length(kind: T.CharType | T.VarcharType, dialect: Dialect) -> None:
    longest = LONGEST_CHAR if isinstance(kind, T.CharType) else LONGEST_VARCHAR
    if dialect != "spark" and kind.length > longest:
        raise InvalidTypeError(f"{kind.simpleString()} is longer than Hive's {longest}; use string")
