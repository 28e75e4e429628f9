# gluewright-cdc-merge 0.1.0 feeds/records.py
# SPDX-License-Identifier: Apache-2.0
"""Describe where a feed has its rows and keys, and how it writes values."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DataType, NullType, StringType, StructField, StructType

from .._sql import literal, quoted
from .decoded import ARRIVAL, RESERVED, Decimals, Unit, UnsupportedFeedError

# How a feed is read.


@dataclass(frozen=True)
class Image:
    """A struct of a record, such as its row: whether its values are JSON's texts, and when the record is null."""

    sql: str
    type: DataType
    text: bool = False
    null: str = "false"

    def __call__(self, name: str) -> str:
        """Give the value of a field, NULL where there is none."""
        found = self._field(name)
        return f"{self.sql}.{quoted(found.name)}" if found else "NULL"

    def type_of(self, name: str) -> DataType:
        """Tell the type in which a field comes."""
        found = self._field(name)
        return found.dataType if found else NullType()

    def _field(self, name: str) -> StructField | None:
        fields = self.type if isinstance(self.type, StructType) else ()
        return next((field for field in fields if field.name.lower() == name.lower()), None)


@dataclass(frozen=True)
class Feed:
    """Where the row, the key of a delete (the first that has it), and the key before an update are found."""

    after: Image
    deleted: list[Image]
    before: Image | None
    partial: bool
    told: bool = False
    fills: bool = False


@dataclass(frozen=True)
class Encodings:
    """How a feed writes values: by option, and by Connect's schema where it may be there (``hints``)."""

    placeholder: str | None
    decimals: Decimals
    timestamps: Unit | None
    base64: bool
    hints: bool

    def placeholders(self) -> list[str]:
        """List how the placeholder is written for text, binary, arrays of both and of numbers, and maps."""
        if self.placeholder is None:
            return []
        text, encoded = self.placeholder, base64.b64encode(self.placeholder.encode()).decode()
        lists = [[text], [encoded], list(text.encode())]
        return [text, encoded, *(json.dumps(each, separators=(",", ":")) for each in [*lists, {text: text}])]


def names_where(names: Sequence[str], of: str = "") -> str:
    """Return the names of these columns, or fields of a struct, that are not NULL, as SQL."""
    names = [name for name in names if not name.upper().startswith("AR_H_")]
    dot = f"{of}." if of else ""
    each = ", ".join(f"CASE WHEN {dot}{quoted(name)} IS NOT NULL THEN {literal(name)} END" for name in names)
    return f"array_compact(array({each}))" if names else "CAST(NULL AS ARRAY<STRING>)"


NOT_UTF8 = "it has bytes that are not UTF-8; original is its base64"


def with_sequence(view: DataFrame, sequence_by: Sequence[str], default: str) -> DataFrame:
    """Add the column ``_gw_sequence``: a struct of these expressions, or the default."""
    if sequence_by:
        return view.withColumn("_gw_sequence", F.struct(*map(F.expr, sequence_by)))
    if default == "NULL":
        raise UnsupportedFeedError("the feed has no sequence of its own; name what orders its changes (sequence_by)")
    return view.selectExpr("*", f"{default} AS _gw_sequence")


def operation_of(kind: str, *, upserts: Sequence[str], deletes: Sequence[str], truncates: Sequence[str] = ()) -> str:
    """Return SQL for the operation that a feed's own kind of change stands for; NULL for an unknown kind."""
    groups = {"upsert": upserts, "delete": deletes, "truncate": truncates}
    whens = (f"WHEN {kind} IN ({', '.join(map(literal, ops))}) THEN '{op}'" for op, ops in groups.items() if ops)
    return f"CASE {' '.join(whens)} END AS _gw_op"


def type_of_column(records: DataFrame, name: str) -> DataType:
    """Return the type of a column with messages: JSON as text or binary, or a struct."""
    require_columns(records, name)
    kind = records.schema[name].dataType
    if not isinstance(kind, StringType | BinaryType | StructType):
        raise UnsupportedFeedError(f"column {name} is {kind.simpleString()}; it must be JSON as text or binary, or a struct")
    return kind


def feed_columns(records: DataFrame) -> list[str]:
    """List the columns that the feed itself has."""
    return [name for name in records.columns if name not in ARRIVAL and not name.startswith(RESERVED)]


def require_columns(records: DataFrame, *names: str) -> None:
    """Raise an error that names the columns that the records lack."""
    if missing := [name for name in names if name not in records.columns]:
        raise UnsupportedFeedError(
            f"the records have no column {', '.join(missing)}; they have {', '.join(records.columns)}"
        )
