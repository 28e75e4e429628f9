# gluewright-cdc-merge 0.1.0 feeds/debezium.py
# SPDX-License-Identifier: Apache-2.0
"""Decode Debezium's messages: the envelope, and rows flattened by its transformation."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from .._sql import literal, quoted
from .changes import decode_staged
from .connect import ENVELOPE_TYPES, ROW_TYPES, parse_flattened, parse_messages
from .decoded import ARRIVAL, LINE, PLACEHOLDER, POSITION, TOMBSTONE, Decimals, Decoded, Unit
from .records import NOT_UTF8, Encodings, Feed, Image, names_where, operation_of, with_sequence
from .sql import first_present, named_struct, struct_of_texts, with_columns_replaced


def debezium(
    records: DataFrame,
    columns: StructType,
    keys: Sequence[str],
    *,
    value: str = "value",
    key: str | None = None,
    sequence_by: Sequence[str] = (),
    tables: Sequence[str] = (),
    placeholder: str = PLACEHOLDER,
    decimals: Decimals = "string",
    timestamps: Unit | None = None,
) -> Decoded:
    """Decode Debezium's change events, with their envelope.

    An update's column that is absent or has the placeholder is ``unset``; an insert's absent column is NULL. A changed key
    is told by Debezium as a delete and an insert with one sequence: an insert with the placeholder has ``moved`` the row,
    and its value is that of the deleted one. So is an update whose ``before`` has another key. Ignored: null values
    (tombstones), heartbeats, logical messages (``m``), and events of other tables.

    Args:
        records: one event a row.
        columns: the table's columns; those tagged ``pii`` in their metadata are withheld from quarantine.
        keys: the table's key columns; none if it has no key, and then nothing but truncates can be merged.
        value: the column with the envelope: JSON as text or binary, or a struct; with or without Connect's ``schema`` and
            ``payload`` around it.
        key: the column with the message key, in the same forms, if the records have it.
        sequence_by: SQL expressions that order the changes of a key, over ``source``, ``ts_ms``, ``ts_us``, ``ts_ns`` and
            the other columns of ``records``, such as ``source.pos`` or ``offset``; PostgreSQL's own sequence if none.
        tables: the source tables whose events are meant, as ``schema.table``; all if none.
        placeholder: the connector's ``unavailable.value.placeholder``.
        decimals: the connector's ``decimal.handling.mode``, where the record has no schema: ``string`` and ``double`` read
            text and numbers, ``precise`` reads base64 only.
        timestamps: the unit of timestamps that are numbers, where the record has no schema; microseconds if None, but then
            a time within three years of 1970 is quarantined.

    Raises:
        UnsupportedFeedError: naming the column that is not there, or its type.
    """
    source_fields = _SOURCE if sequence_by else _ORDER_AND_TABLE
    images = (("before", keys or columns.names), ("after", columns.names), ("source", source_fields))
    fields = {name: struct_of_texts(names) for name, names in images}
    fields |= dict.fromkeys(("op", "ts_ms", "ts_us", "ts_ns"), "string")
    frame, message = parse_flattened(records, key, keys)
    frame, envelope = parse_messages(frame, value, fields, ENVELOPE_TYPES)
    source, op = envelope("source"), envelope("op")
    if envelope.text:
        source = named_struct({name: f"try_cast({source}.{name} AS {_SOURCE[name]})" for name in source_fields})
    times = {name: f"try_cast({envelope(name)} AS BIGINT)" for name in ("ts_ms", "ts_us", "ts_ns")}
    view = with_columns_replaced(frame, {"source": source, **times})
    pair = _pair(first_present(view, "source.sequence"), first_present(view, "source.lsn"))
    table = _table_name(first_present(view, "source.schema", "source.db"), first_present(view, "source.table"))
    empty = " AND ".join(f"{envelope(name)} IS NULL" for name in ("op", "before", "after", "source"))
    whole, after = quoted(value), Image("_gw_after", envelope.type_of("after"), envelope.text)
    tombstone = f"{envelope.null} OR ({empty} AND {_payload_is_null(envelope, whole)})"
    heartbeat = f"{empty} AND {envelope('ts_ms')} IS NOT NULL"
    text, partial = f"CAST({whole} AS STRING)", f"{op} = 'u'"
    row_text = f"coalesce(get_json_object({text}, '$.after'), get_json_object({text}, '$.payload.after'))"
    row_text = row_text if envelope.text else ""
    named = Image(envelope("after"), envelope.type_of("after"), envelope.text)
    staged = with_sequence(view, sequence_by, pair).selectExpr(
        *ARRIVAL.intersection(records.columns),
        "_gw_sequence",
        f"{op} AS _gw_kind",
        operation_of(op, upserts="cru", deletes="d", truncates="t"),
        f"CASE WHEN {tombstone} THEN 'tombstone' WHEN {heartbeat} THEN 'heartbeat'"
        f" WHEN {op} = 'm' THEN 'logical message'{_other_table(table, tables)} END AS _gw_ignored",
        f"{table} AS _gw_table",
        f"CASE {_not_utf8(whole, envelope)}"
        f" WHEN {empty} THEN 'it is not a JSON object with op, before, after and source' END AS _gw_broken",
        f"{envelope('after')} AS _gw_after",
        f"{envelope('before')} AS _gw_before",
        f"{message.sql} AS _gw_key_message",
        f"{partial} AS _gw_partial",
        f"{_present(envelope('after'), columns, row_text, partial)} AS _gw_present",
        f"{_unnamed(named, columns, row_text)} AS _gw_fields",
        "_gw_types",
        f"{_quarantined_as(view, value, envelope)} AS _gw_original",
    )
    before = Image("_gw_before", envelope.type_of("before"))
    how = Encodings(placeholder, decimals, timestamps, base64=True, hints=envelope.text)
    feed = Feed(after, [Image("_gw_key_message", message.type), before], before, partial=True)
    return decode_staged(staged, columns, keys, feed, how)


def debezium_flattened(
    records: DataFrame,
    columns: StructType,
    keys: Sequence[str],
    *,
    value: str | None = None,
    key: str | None = None,
    sequence_by: Sequence[str] = (),
    tables: Sequence[str] = (),
    placeholder: str = PLACEHOLDER,
    decimals: Decimals = "string",
    timestamps: Unit | None = None,
) -> Decoded:
    """Decode Debezium's change events as ``ExtractNewRecordState`` leaves them: the row, ``__op``, ``__deleted`` and others.

    It needs ``__op`` or ``__deleted``, and the fields of the sequence (``add.fields=op,source.sequence,source.lsn``). Such
    records know no truncate, and the old row of no update. Without ``__op``, absent columns are ``unset``.

    A NULL value is a delete of the message key: it is all that the transform leaves of a delete unless it is told to rewrite
    deletes. Without a key it is quarantined. It has no field with a sequence: name in ``sequence_by`` what the message has,
    such as its offset. If the records have a column ``_gw_position`` instead, the sequence of such a delete is NULL, to be
    filled in from the records around it.

    Args:
        records: one event a row.
        columns: see :func:`debezium`.
        keys: see :func:`debezium`.
        value: the column with the row: JSON as text or binary, or a struct; None if the row is the columns of ``records``.
        key: see :func:`debezium`.
        sequence_by: see :func:`debezium`; over the added fields, such as ``__source_pos``, and the other columns
            of ``records``.
        tables: see :func:`debezium`; it needs the field ``table`` (``add.fields=...,source.schema,source.table``).
        placeholder: see :func:`debezium`.
        decimals: see :func:`debezium`.
        timestamps: see :func:`debezium`.

    Raises:
        UnsupportedFeedError: naming the column that is not there, or its type.
    """
    source_fields = _SOURCE if sequence_by else _ORDER_AND_TABLE
    types = {f"__{prefix}{name}": _SOURCE[name] for prefix in ("", "source_") for name in source_fields}
    names = [*columns.names, "__op", "__deleted", *types]
    frame, message = parse_flattened(records, key, keys)
    frame, row = parse_messages(frame, value, dict.fromkeys(names, "string"), ROW_TYPES)
    fields = row.type.names if isinstance(row.type, StructType) else []
    added = {name: row(name) for name in fields if name.startswith("__")} if value else {}
    if row.text:
        added = {name: f"try_cast({row(name)} AS {to})" for name, to in types.items()}
    view = with_columns_replaced(frame, added)
    pair = _pair(first_present(view, "__source_sequence", "__sequence"), first_present(view, "__source_lsn", "__lsn"))
    schemas = [f"__{prefix}{name}" for name in ("schema", "db") for prefix in ("source_", "")]
    table = _table_name(first_present(view, *schemas), first_present(view, "__source_table", "__table"))
    op, deleted = (f"CAST({row(name)} AS STRING)" for name in ("__op", "__deleted"))
    kind = f"CASE WHEN {deleted} = 'true' THEN 'd' ELSE coalesce({op}, CASE {deleted} WHEN 'false' THEN 'u' END) END"
    tombstone, row_text, partial = row.null, "", f"{kind} = 'u'"
    has_position = POSITION in records.columns and row.text and not sequence_by
    if value and row.text:
        tombstone = f"{row.null} OR ({op} IS NULL AND {deleted} IS NULL AND {_payload_is_null(row, quoted(value))})"
        row_text = f"CAST({quoted(value)} AS STRING)"
        row_text = row_text if "payload" in names else f"coalesce(get_json_object({row_text}, '$.payload'), {row_text})"
    after, kind = Image("_gw_after", row.type, row.text), f"CASE WHEN {tombstone} THEN '{TOMBSTONE}' ELSE {kind} END"
    pair = f"named_struct('commit', {pair}.commit, 'lsn', {pair}.lsn, 'after', 0)" if has_position else pair
    staged = with_sequence(view, sequence_by, pair).selectExpr(
        *ARRIVAL.intersection(records.columns),
        "_gw_sequence",
        f"{kind} AS _gw_kind",
        operation_of(kind, upserts="cru", deletes=("d", TOMBSTONE)),
        f"CASE WHEN {kind} = 'm' THEN 'logical message'{_other_table(table, tables)} END AS _gw_ignored",
        f"{table} AS _gw_table",
        f"CASE {_not_utf8(quoted(value or ''), row)}"
        f" WHEN {row.sql} IS NULL AND NOT ({tombstone}) THEN 'it is not a JSON object' END AS _gw_broken",
        f"{row.sql} AS _gw_after",
        f"{message.sql} AS _gw_key_message",
        f"{partial} AS _gw_partial",
        f"{_present(row.sql, columns, row_text, partial)} AS _gw_present",
        f"{_unnamed(row, columns, row_text)} AS _gw_fields",
        "_gw_types",
        f"{_quarantined_as(view, value, row) if value else row.sql} AS _gw_original",
    )
    how = Encodings(placeholder, decimals, timestamps, base64=True, hints=row.text)
    feed = Feed(after, [Image("_gw_key_message", message.type), after], None, partial=True, fills=has_position)
    return decode_staged(staged, columns, keys, feed, how)


# The fields of `source`, by the documentation of Debezium's connectors; as text, numbers would not sort.
_SOURCE = {
    **dict.fromkeys(("ts_ms", "ts_us", "ts_ns", "lsn", "xmin", "pos", "row", "server_id"), "BIGINT"),
    **dict.fromkeys(("ssn", "event_serial_no"), "BIGINT"),
    **dict.fromkeys(("scn", "commit_scn"), "DECIMAL(38, 0)"),
    **dict.fromkeys(("sequence", "snapshot", "txId", "file", "gtid", "rs_id", "change_lsn", "commit_lsn"), "STRING"),
    **dict.fromkeys(("name", "db", "schema", "table"), "STRING"),
}


# Of these, what is needed where no other order is asked for.
_ORDER_AND_TABLE = ("sequence", "lsn", "db", "schema", "table")


def _payload_is_null(record: Image, value: str) -> str:
    return f"CAST({value} AS STRING) RLIKE '\"payload\" *: *null'" if record.text else "false"


def _present(row: str, columns: StructType, row_text: str, partial: str) -> str:
    """Give the names that a partial row has in its JSON, where a column is NULL: it may be absent."""
    if not row_text:
        return "NULL"
    nulls = " OR ".join(f"{row}.{quoted(name)} IS NULL" for name in columns.names)
    return f"CASE WHEN {partial} AND ({nulls}) THEN json_object_keys({row_text}) END"


def _unnamed(row: Image, columns: StructType, row_text: str) -> str:
    """Return the fields of a row that are no column of the table, as SQL; those that Debezium adds begin with ``__``."""
    if not row_text:
        names = row.type.names if isinstance(row.type, StructType) else []
        known = {name.lower() for name in columns.names}
        return names_where([n for n in names if n.lower() not in known and not n.startswith("__")], of=row.sql)
    named = ", ".join(map(literal, columns.names))
    # The schema has the names already, where there is one.
    every = f"CASE WHEN _gw_types IS NULL THEN json_object_keys({row_text}) ELSE _gw_types.field END"
    found = f"filter({every}, n -> n NOT IN ({named}) AND NOT startswith(n, '__'))"
    return f"CASE WHEN {row.sql} IS NOT NULL THEN {found} END"


def _not_utf8(value: str, record: Image) -> str:
    """Return a branch of CASE for bytes that are not UTF-8, which Spark would replace by U+FFFD without a word."""
    invalid = _invalid(f"CAST({value} AS STRING)") if record.text else "false"
    return f"WHEN {invalid} THEN {literal(NOT_UTF8)}"


def _invalid(text: str) -> str:
    # Encoding decodes the bytes first, and what is not UTF-8 becomes U+FFFD.
    return f"coalesce(CAST({text} AS BINARY) <> encode({text}, 'UTF-8'), false)"


def _quarantined_as(view: DataFrame, value: str, record: Image) -> str:
    """Return what quarantine shows of a record: its line or its value."""
    whole = f"coalesce({LINE}, CAST({quoted(value)} AS STRING))" if LINE in view.columns else quoted(value)
    return f"CAST({whole} AS STRING)" if record.text else whole


def _pair(sequence: str, lsn: str) -> str:
    """Give PostgreSQL's sequence as a struct of two numbers, from text such as ``[null,"24023128"]``, else from the lsn."""
    if sequence == lsn == "NULL":
        return "NULL"
    lsn = f"try_cast({lsn} AS BIGINT)"
    pattern = '\'^. *("[0-9]+"|null) *, *"([0-9]+)" *.$\''
    first, second = (f"try_cast(translate(regexp_extract({sequence}, {pattern}, {n}), '\"', '') AS BIGINT)" for n in (1, 2))
    commit = f"CASE WHEN {sequence} IS NULL THEN {lsn} ELSE coalesce({first}, {second}) END"
    own = f"CASE WHEN {sequence} IS NULL THEN {lsn} ELSE {second} END"
    return f"named_struct('commit', {commit}, 'lsn', {own})"


def _table_name(schema: str, table: str) -> str:
    return f"CASE WHEN {table} IS NOT NULL THEN concat_ws('.', {schema}, {table}) END"


def _other_table(table: str, tables: Sequence[str]) -> str:
    return f" WHEN {table} NOT IN ({', '.join(map(literal, tables))}) THEN 'another table'" if tables else ""
