"""Partition values as text, as Hive-style paths, and as predicates.

Within core a partition is a tuple of texts in the order of the partition columns, None for NULL. The text is what Spark
writes into a path: a date as ``2013-01-31``, a number in digits.

The escaping is Hive's, as Spark applies it (``ExternalCatalogUtils`` of Spark SQL; ``FileUtils`` of Apache Hive).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import TableMismatchError
from gluewright_core.tables.sql import quoted, text_expression

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED = re.compile(r"[\x01-\x1f\x7f\"#%'*/:=?\\{\[\]^]")

Values = tuple[str | None, ...]


def value_text(value: Any) -> str | None:
    """Give a partition value as the text that Spark writes into a path.

    Args:
        value: None, text, number, bool, date or timestamp.

    Returns:
        The text; None for NULL.

    Example:
        >>> value_text(date(2013, 1, 31))
        '2013-01-31'
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds" if value.microsecond else "seconds")
    return value.isoformat() if isinstance(value, date) else str(value)


def escape(text: str | None) -> str:
    """Write one value, or one column name, as it stands in a path."""
    return NULL_PARTITION if text is None else _ESCAPED.sub(lambda found: f"%{ord(found.group()):02X}", text)


def unescape(text: str) -> str | None:
    """Read one value from a path."""
    if text == NULL_PARTITION:
        return None
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda found: chr(int(found.group(1), 16)), text)


def partition_path(columns: Sequence[str], values: Values) -> str:
    """Write a partition as a path.

    Example:
        >>> partition_path(["dt", "carrier"], ("2013-01-31", "A/B"))
        'dt=2013-01-31/carrier=A%2FB'
    """
    return "/".join(f"{escape(column)}={escape(value)}" for column, value in zip(columns, values, strict=True))


def parse_path(columns: Sequence[str], path: str) -> Values:
    """Read a partition from the beginning of a path.

    Args:
        columns: the partition columns.
        path: ``dt=2013-01-31/part-0.parquet``.

    Returns:
        The values.

    Raises:
        TableMismatchError: the path does not name these columns in this order.
    """
    levels = [level.partition("=") for level in path.split("/")[: len(columns)]]
    if [unescape(name) for name, _, _ in levels] != list(columns) or not all(sign for _, sign, _ in levels):
        raise TableMismatchError(f"{path!r} is not laid out by partition columns {list(columns)}")
    return tuple(unescape(value) for _, _, value in levels)


def values_of(columns: Sequence[str], partition: Mapping[str, Any]) -> Values:
    """Give a partition that a caller named, such as ``{"dt": date(2013, 1, 31)}``, as values.

    Raises:
        TableMismatchError: it does not name exactly the partition columns.
    """
    if set(partition) != set(columns):
        raise TableMismatchError(
            f"partition {sorted(partition)} does not name exactly the partition columns {list(columns)}"
        )
    return tuple(value_text(partition[column]) for column in columns)


def name_of(columns: Sequence[str], values: Values) -> str:
    """Name a partition in a message: ``dt=2013-01-31``; the whole table when there are no partition columns."""
    return partition_path(columns, values) if columns else "(whole table)"


def matching(schema: StructType, columns: Sequence[str], partitions: Iterable[Values]) -> str:
    """Write partitions as a SQL predicate over the partition columns, in a form that data sources push down.

    Partitions that share all values but the last column's become one ``IN``.

    Args:
        schema: has the types of the partition columns.
        columns: the partition columns.
        partitions: which ones.

    Returns:
        True for rows of these partitions; false or NULL for all others.
    """
    by_prefix: dict[Values, list[str | None]] = {}
    for values in partitions:
        by_prefix.setdefault(values[:-1], []).append(values[-1])
    terms = []
    for prefix, lasts in by_prefix.items():
        pinned = [_one_of(schema, column, [value]) for column, value in zip(columns, prefix, strict=False)]
        terms.append(" AND ".join([*pinned, _one_of(schema, columns[-1], lasts)]))
    return " OR ".join(f"({term})" for term in terms) or "false"


def _one_of(schema: StructType, column: str, texts: Sequence[str | None]) -> str:
    name, kind = quoted(column), schema[column].dataType.simpleString()
    known = [f"CAST({text_expression(text)} AS {kind})" for text in texts if text is not None]
    if kind == "string":  # Iceberg (1.10, 1.11) fails on IN over texts where a partition's own value is NULL
        terms = [f"{name} = {text}" for text in known]
    else:
        terms = [f"{name} IN ({', '.join(known)})"] if known else []
    terms += [f"{name} IS NULL"] if None in texts else []
    return f"({' OR '.join(terms)})"
