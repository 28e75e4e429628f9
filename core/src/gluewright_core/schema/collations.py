"""Strings with a collation, which Spark 4 has and no catalog can store."""

from __future__ import annotations

from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructType


def collated(kind: DataType, path: str) -> tuple[str, str] | None:
    """Find a string with a collation, which neither Hive nor Glue can store.

    Args:
        kind: the type of a column, in which to look.
        path: the column's name.

    Returns:
        The path of the string and its collation; None if there is none.
    """
    # Spark 3.5 has no collations.
    collation = getattr(kind, "collation", "UTF8_BINARY") if isinstance(kind, StringType) else "UTF8_BINARY"
    if collation != "UTF8_BINARY":
        return path, collation
    inner: list[tuple[DataType, str]] = []
    if isinstance(kind, ArrayType):
        inner = [(kind.elementType, f"{path}[]")]
    elif isinstance(kind, MapType):
        inner = [(kind.keyType, f"{path}{{}}.key"), (kind.valueType, f"{path}{{}}.value")]
    elif isinstance(kind, StructType):
        inner = [(field.dataType, f"{path}.{field.name}" if path else field.name) for field in kind]
    return next((found for part in inner if (found := collated(*part))), None)
