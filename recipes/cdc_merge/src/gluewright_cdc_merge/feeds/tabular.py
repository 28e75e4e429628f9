# gluewright-cdc-merge 0.1.0 feeds/tabular.py
# SPDX-License-Identifier: Apache-2.0
"""Decode records that are rows already: AWS DMS on S3, and any table with a column for the operation."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from .._sql import quoted
from .changes import decode_staged
from .decoded import ARRIVAL, MALFORMED, UNREADABLE, Decoded
from .records import Encodings, Feed, Image, feed_columns, names_where, operation_of, require_columns, with_sequence
from .sql import named_struct, struct_of_columns


def dms(
    records: DataFrame, columns: StructType, keys: Sequence[str], *, sequence_by: Sequence[str], op: str = "Op"
) -> Decoded:
    """Decode the rows of files that AWS DMS writes to S3.

    A row without operation is of a full load: an upsert, of kind ``load``. Updates with before-image columns (``BI_id``)
    tell a changed key. All changes are of whole rows: a column that the files lack is NULL. Text is read as DMS writes it;
    binary columns must come as binary.

    Args:
        records: the files' rows, as text or typed. A bare word that means NULL must have been read as NULL. Rows with
            something in a column ``_gw_malformed``, or with a reason in ``_gw_unreadable``, go to quarantine. Other columns
            whose name begins with ``_gw_`` are no part of a record; ``sequence_by`` may use them.
        columns: see :func:`debezium`.
        keys: see :func:`debezium`.
        sequence_by: SQL expressions over the columns of ``records`` that order the changes of a key, such as the
            column of DMS's ``TimestampColumnName``. What is text sorts as text.
        op: the column with ``I``, ``U`` or ``D``; it need not be there.

    Raises:
        UnsupportedFeedError: naming the type that is not supported.
    """
    own = next((name for name in records.columns if name.lower() == op.lower()), None)
    kind = f"coalesce(nullif({quoted(own)}, ''), 'load')" if own else "'load'"
    names = [name for name in feed_columns(records) if name != own]
    shown = [*feed_columns(records), *{MALFORMED}.intersection(records.columns)]
    has_before = bool(keys) and all(f"BI_{name}" in names for name in keys)
    before = {name: quoted(f"BI_{name}") for name in keys} if has_before else {}
    others = [name for name in names if name.lower() not in _known_to_dms(columns, sequence_by)]
    broken = [UNREADABLE] if UNREADABLE in records.columns else []
    if MALFORMED in records.columns:
        broken.append(f"if({MALFORMED} IS NULL, NULL, 'its fields are not those of its file')")
    staged = with_sequence(records, sequence_by, "NULL").selectExpr(
        *ARRIVAL.intersection(records.columns),
        "_gw_sequence",
        f"{kind} AS _gw_kind",
        operation_of(kind, upserts=("I", "U", "load"), deletes="D"),
        "CAST(NULL AS STRING) AS _gw_ignored",
        f"coalesce({', '.join([*broken, 'CAST(NULL AS STRING)'])}) AS _gw_broken",
        f"{names_where(others)} AS _gw_fields",
        f"{struct_of_columns(names)} AS _gw_after",
        f"{named_struct(before)} AS _gw_before" if before else "NULL AS _gw_before",
        "false AS _gw_partial",
        f"{struct_of_columns(shown)} AS _gw_original",
    )
    after, old = (Image(name, staged.schema[name].dataType) for name in ("_gw_after", "_gw_before"))
    how = Encodings(None, "string", None, base64=False, hints=False)
    return decode_staged(staged, columns, keys, Feed(after, [after], old if before else None, partial=False), how)


def plain(
    records: DataFrame,
    keys: Sequence[str],
    *,
    op: str,
    sequence_by: Sequence[str],
    upserts: Sequence[str] = ("c", "r", "u", "i", "insert", "update", "upsert"),
    deletes: Sequence[str] = ("d", "delete"),
    truncates: Sequence[str] = ("t", "truncate"),
    unset: str | None = None,
) -> Decoded:
    """Take any rows with an operation as changes. The table's columns are all others, in the types they have.

    Args:
        records: the rows.
        keys: the key columns.
        op: the column with the operation.
        sequence_by: SQL expressions over the columns of ``records`` that order the changes of a key.
        upserts: the operations that insert or update, in lower case; any case counts.
        deletes: those that delete; only the key of such rows is read.
        truncates: those that empty the table.
        unset: the column with an array of the names of columns that the row says nothing about; rows are whole without it.

    Raises:
        UnsupportedFeedError: naming the column that is not there.
    """
    require_columns(records, op, *([unset] if unset else []))
    own = set(feed_columns(records)) - {op, unset}
    columns = StructType([field for field in records.schema if field.name in own])
    staged = with_sequence(records, sequence_by, "NULL").selectExpr(
        *ARRIVAL.intersection(records.columns),
        "_gw_sequence",
        f"CAST({quoted(op)} AS STRING) AS _gw_kind",
        operation_of(f"lower({quoted(op)})", upserts=upserts, deletes=deletes, truncates=truncates),
        "CAST(NULL AS STRING) AS _gw_ignored",
        "CAST(NULL AS STRING) AS _gw_broken",
        f"{struct_of_columns(columns.names)} AS _gw_after",
        "false AS _gw_partial",
        f"{quoted(unset)} AS _gw_told" if unset else "NULL AS _gw_told",
        f"{struct_of_columns(feed_columns(records))} AS _gw_original",
    )
    after = Image("_gw_after", columns)
    how = Encodings(None, "string", None, base64=False, hints=False)
    return decode_staged(staged, columns, keys, Feed(after, [after], None, partial=bool(unset), told=bool(unset)), how)


def _known_to_dms(columns: StructType, sequence_by: Sequence[str]) -> set[str]:
    """Return the columns of a file that are the table's, their before images, headers, or order its changes."""
    own = {name.lower() for name in columns.names}
    return own | {f"bi_{name}" for name in own} | {name.lower().strip("`") for name in sequence_by}
