"""Compare the rows of two DataFrames as a set with counts, and show only what differs. Stands on chispa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import isnan
from typing import Any

from chispa import DataFramesNotEqualError
from chispa.rows_comparer import assert_basic_rows_equality
from chispa.schema_comparer import assert_schema_equality
from pyspark.sql import DataFrame, Row
from pyspark.sql.types import StructField, StructType

from gluewright_testing.rows import RowLike, rows

SHOWN = 20


def assert_same_rows(actual: DataFrame, expected: DataFrame | Iterable[RowLike]) -> None:
    """Assert that both hold the same rows, each as often, in whatever order of rows and columns.

    Columns must agree in name and type; whether they may be NULL is not compared. NaN equals NaN.

    Args:
        actual: what the code under test made.
        expected: a DataFrame, or tuples and dicts that are built with the schema of ``actual`` as
            `gluewright_testing.rows.rows` does.

    Raises:
        chispa.SchemasNotEqualError: columns or types differ.
        chispa.DataFramesNotEqualError: rows differ; the message shows those that only one side has, similar ones
            side by side.

    Example:
        >>> assert_same_rows(newest, [("a", 2), ("b", 1)])  # doctest: +SKIP
    """
    if not isinstance(expected, DataFrame):
        expected = rows(actual.sparkSession, _all_nullable(actual), expected)
    if sorted(actual.columns) == sorted(expected.columns):
        expected = expected.select(*(f"`{name}`" for name in actual.columns))
    assert_schema_equality(actual.schema, expected.schema, ignore_nullable=True, ignore_metadata=True)
    actual_rows, expected_rows = actual.collect(), expected.collect()
    only_actual, only_expected = _left_over(actual_rows, expected_rows), _left_over(expected_rows, actual_rows)
    if only_actual or only_expected:
        raise DataFramesNotEqualError(
            f"{_count(only_actual)} only in actual (of {len(actual_rows)}), {_count(only_expected)} only in expected "
            f"(of {len(expected_rows)}). Left actual, right expected:\n{_table(only_actual, only_expected)}"
        )


def _all_nullable(frame: DataFrame) -> StructType:
    return StructType([StructField(field.name, field.dataType) for field in frame.schema])


def _left_over(these: list[Row], those: list[Row]) -> list[Row]:
    """Return the rows of ``these`` that ``those`` has not, or has less often."""
    there = Counter(_comparable(row) for row in those)
    left = []
    for row in these:
        key = _comparable(row)
        if there[key]:
            there[key] -= 1
        else:
            left.append(row)
    return left


def _comparable(value: Any) -> Any:
    """Return a hashable value that is equal exactly when the Spark values are."""
    if isinstance(value, float) and isnan(value):
        return "NaN", float
    if isinstance(value, list | tuple):
        return tuple(_comparable(item) for item in value)
    if isinstance(value, dict):
        return frozenset((_comparable(key), _comparable(item)) for key, item in value.items())
    if isinstance(value, bytearray):
        return bytes(value)
    # A bool equals 0 or 1 in Python; a variant equals nothing but itself and shows as text.
    return (type(value).__name__, value) if value.__hash__ is not None else repr(value)


def _count(some: list[Row]) -> str:
    return f"{len(some)} row{'' if len(some) == 1 else 's'}"


def _table(only_actual: list[Row], only_expected: list[Row]) -> str:
    """Draw chispa's table of the differing rows, each actual one beside the expected one that is most like it."""
    waiting = list(only_expected[:SHOWN])
    left: list[Any] = []
    right: list[Any] = []
    for row in only_actual[:SHOWN]:
        nearest = max(waiting, key=lambda other: _alike(row, other), default=None)
        if nearest is not None and _alike(row, nearest) > 0:
            waiting.remove(nearest)
        else:
            nearest = None
        left.append(row)
        right.append(nearest)
    left += [None] * len(waiting)
    right += waiting
    try:
        assert_basic_rows_equality(left, right)
    except DataFramesNotEqualError as difference:
        hidden = max(len(only_actual), len(only_expected)) - SHOWN
        return str(difference).strip() + (f"\n... and {hidden} more" if hidden > 0 else "")
    return ""


def _alike(one: Row, other: Row) -> int:
    return sum(_comparable(mine) == _comparable(theirs) for mine, theirs in zip(one, other, strict=True))
