# gluewright-cdc-merge 0.1.0 feeds/sql.py
# SPDX-License-Identifier: Apache-2.0
"""Write SQL expressions over the fields of a record."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import DataFrame
from pyspark.sql.types import DataType, NullType, StructType

from .._sql import literal, quoted


def with_columns_replaced(frame: DataFrame, made: dict[str, str]) -> DataFrame:
    """Add columns, in place of those that have their names."""
    gone = {name.lower() for name in made}
    kept = [quoted(name) for name in frame.columns if name.lower() not in gone]
    return frame.selectExpr(*kept, *(f"{sql} AS {quoted(name)}" for name, sql in made.items()))


def first_present(view: DataFrame, *paths: str) -> str:
    """Give the first of these columns or fields that has a value, as SQL; NULL if none is there."""
    found = []
    for path in paths:
        column, _, field = path.partition(".")
        kind: DataType = view.schema[column].dataType if column in view.columns else NullType()
        there = field in kind.names if isinstance(kind, StructType) else not field and column in view.columns
        found += [f"CAST({path} AS STRING)"] if there else []
    return f"coalesce({', '.join(found)})" if found else "NULL"


def to_json(sql: str) -> str:
    """Return SQL for the JSON of a struct, with its NULL fields."""
    return f"to_json({sql}, map('ignoreNullFields', 'false'))"


def struct_of_columns(columns: Iterable[str]) -> str:
    """Return SQL for a struct of columns under their own names."""
    return named_struct({name: quoted(name) for name in columns})


def named_struct(values: dict[str, str]) -> str:
    """Return SQL for a struct of these expressions by name."""
    return f"named_struct({', '.join(f'{literal(name)}, {sql}' for name, sql in values.items())})"


def struct_of_texts(names: Iterable[str]) -> str:
    """Return the type of a struct whose fields are all text."""
    return f"struct<{', '.join(f'{quoted(name)}: string' for name in names)}>"


def null_of(kind: DataType) -> str:
    """Return SQL for the NULL of a type."""
    return f"CAST(NULL AS {kind.simpleString()})"
