# gluewright-cdc-merge 0.1.0 schemas.py
# SPDX-License-Identifier: Apache-2.0
"""The columns of the table, of its tombstones, and the keys."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

SEQUENCE = "_gw_sequence"
"""The table's column with the sequence of each row's newest change."""
COLUMN_SEQUENCES = "_gw_column_sequences"
"""The table's column with the sequences of columns that are older than their row; only for feeds with partial changes."""


def table_schema(changes: StructType) -> StructType:
    """Return the columns of the table that these changes are merged into."""
    row, sequence = changes["row"].dataType, changes["sequence"].dataType
    assert isinstance(row, StructType)
    own = [StructField(SEQUENCE, sequence, True, {"comment": "Sequence of the newest change of the row."})]
    if "unset" in changes.names:
        kind = MapType(StringType(), _path_type(sequence))
        own.append(StructField(COLUMN_SEQUENCES, kind, True, {"comment": "Sequences of columns older than the row."}))
    return StructType([*row.fields, *own])


def tombstone_schema(changes: StructType) -> StructType:
    """Return the columns of the tombstones that go with these changes."""
    row, sequence = changes["row"].dataType, changes["sequence"].dataType
    assert isinstance(row, StructType)
    own = [
        StructField("key", changes["key"].dataType, True, {"comment": "Of the deleted row; NULL for a truncate."}),
        StructField("sequence", sequence, True, {"comment": "Of the delete; NULL with a value that was overwritten."}),
        StructField("since", TimestampType(), True, {"comment": "When the delete was merged."}),
    ]
    if "moved" in changes.names:
        path = StructField("path", _path_type(sequence))
        last = [StructField(each.name, StructType([path, StructField("value", each.dataType)])) for each in row]
        own.append(StructField("last", StructType(last), True, {"comment": "What the deleted row was."}))
        own.append(StructField("moved", BooleanType(), True, {"comment": "No delete, but a row that a change moved here."}))
        own.append(StructField("unset", ArrayType(StringType()), True, {"comment": "What the moved row left out."}))
    return StructType(own)


def key_columns(changes: StructType) -> list[str]:
    """Return the names of the key columns."""
    key = changes["key"].dataType
    assert isinstance(key, StructType)
    return key.names


def _path_type(sequence: DataType) -> ArrayType:
    return ArrayType(StructType([StructField("sequence", sequence), StructField("tie", LongType())]))


def value_type(said: StructField) -> DataType:
    """Return the type of the values that a column of statements has."""
    kind = said.dataType
    assert isinstance(kind, StructType)
    return kind["value"].dataType
