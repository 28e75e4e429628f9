"""Text of Spark SQL: literals, names, types, structs and conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pyspark.sql import types as T


def text_literal(text: str) -> str:
    """Write a text as a literal."""
    # Spark reads escapes in a literal or does not: spark.sql.parser.escapedStringLiterals decides.
    parts = [part for part in re.split(r"(['\\])", text) if part]
    written = [f"char({ord(part)})" if part in "'\\" else f"'{part}'" for part in parts]
    return written[0] if len(written) == 1 else f"concat({', '.join(written)})" if written else "''"


def quote(name: str) -> str:
    """Write a name in backticks."""
    return "`" + name.replace("`", "``") + "`"


def ddl(data_type: T.DataType) -> str:
    """Write a type as it stands in CAST. A name inside it may be anything, which simpleString does not heed."""
    if isinstance(data_type, T.StructType):
        return f"STRUCT<{', '.join(f'{quote(field.name)}: {ddl(field.dataType)}' for field in data_type)}>"
    if isinstance(data_type, T.ArrayType):
        return f"ARRAY<{ddl(data_type.elementType)}>"
    if isinstance(data_type, T.MapType):
        return f"MAP<{ddl(data_type.keyType)}, {ddl(data_type.valueType)}>"
    return "STRING" if isinstance(data_type, (T.CharType, T.VarcharType)) else data_type.simpleString()


def type_name(data_type: T.DataType) -> str:
    """Name a type for people; what has parts by its kind only."""
    kinds = {T.StructType: "struct", T.ArrayType: "array", T.MapType: "map"}
    return kinds.get(type(data_type)) or data_type.simpleString()


def struct_sql(parts: Iterable[tuple[str, str]]) -> str:
    """Write a struct of named values."""
    return f"named_struct({', '.join(f'{text_literal(name)}, {value}' for name, value in parts)})"


def field_sql(x: str, name: str) -> str:
    """Write a field of a struct."""
    return f"{x}.{quote(name)}"


def itself(x: str) -> str:
    """Return the SQL of a value unchanged."""
    return x


def matches(x: str, pattern: str) -> str:
    """Write whether a text matches a regular expression."""
    return f"{x} RLIKE {text_literal(pattern)}"


def both_or_none(x: str, v: str) -> str:
    """Write whether a cast kept the value: NULL came in, or something other than NULL came out."""
    return f"({x} IS NULL OR {v} IS NOT NULL)"


def all_true(conditions: Sequence[str], *, apart: bool) -> str:
    """Write AND, flat: as a tree it would be as deep as there are columns.

    What is said twice becomes a method of its own in the code that Spark generates for whole stages. As one method, many
    checks would be longer than the 8,000 bytes up to which the JVM compiles.
    """
    every = ", ".join(conditions)
    if len(conditions) == 1:
        return conditions[0]
    return f"(least({every}) AND greatest({every}))" if apart else f"least({every})"
