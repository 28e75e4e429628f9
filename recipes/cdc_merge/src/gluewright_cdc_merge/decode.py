# gluewright-cdc-merge 0.1.0 decode.py
# SPDX-License-Identifier: Apache-2.0
"""Decode the records of change feeds into change rows, whatever the feed; what cannot be decoded goes to quarantine.

This file can be copied alone into a job: it needs the standard library and PySpark 3.5 or newer. Everything is native Spark
SQL, one narrow pass without a shuffle, with the same answer on Spark 3.5 and 4.1, with ANSI on and off, in every time zone.

=============================  =====================================  ============  ===============================
feed                           upsert; delete; truncate               sequence      key of a delete
=============================  =====================================  ============  ===============================
:func:`debezium` (enveloped)   c, r, u; d; t                          PostgreSQL's  message key, else ``before``
:func:`debezium_flattened`     c, r, u; d or ``__deleted``; none      PostgreSQL's  message key, else the row
:func:`dms` (AWS DMS on S3)    I, U or nothing (full load); D; none   as told       the row
:func:`plain`                  as told                                as told       the row
=============================  =====================================  ============  ===============================

PostgreSQL's sequence is the pair of numbers in ``source.sequence``, last commit and own position, of which the first may be
null; without it ``source.lsn``. It is emission order, and places incremental-snapshot rows too. ``source.ts_ms`` ties within
a transaction, and ``lsn`` alone runs backwards where transactions interleave.

**Values** become the types of the table's columns, without loss, or the record goes to quarantine:

======================  =====================================================================================================
to                      from
======================  =====================================================================================================
decimal                 text, a number, the base64 of unscaled bytes (``precise``), ``{"scale": ..., "value": base64}``
float, double           a number, ``NAN``, ``POSITIVE_INFINITY``, ``NEGATIVE_INFINITY``, and what a decimal is read from
date                    days since 1970-01-01; ``2024-01-05``, also with ``Z`` or midnight behind it
timestamp, with and     seconds, millis, micros or nanos since 1970-01-01 in UTC; ``2024-01-05T10:00:00.5Z``; without a
without zone            zone it is UTC
whole number, boolean   its text; ``0`` and ``1`` are booleans too; ``TIME`` comes as a number and stays one
binary                  base64
text                    anything, as it comes: JSON, UUID, enums, ``TIME`` as text
array of these          a JSON array
======================  =====================================================================================================

Where records carry Kafka Connect's schema, it defines how decimals and timestamps are written; else the caller does. A
number whose unit neither of them defines is read as microseconds, and quarantined if that is a time within three years of
1970: it is almost certainly in another unit. Decimals that are ``precise`` are base64 and nothing else, also ``"0000"``.
Connect's JSON converter must write decimals as base64, its default (``decimal.format``): Spark 3.5 reads a JSON number as a
double, so of more than 15 digits it keeps what a double keeps, and ``1.10`` becomes ``1.1`` in a column of text.

Sources: "Debezium connector for PostgreSQL", "New Record State Extraction" (Debezium's documentation), "Using Amazon S3 as a
target for AWS Database Migration Service" (its user guide).

Example:
    >>> decoded = debezium(kafka, orders, ["id"], key="key")                     # doctest: +SKIP
    >>> merge(table, tombstones, decoded.changes, now=started)                   # doctest: +SKIP
    >>> decoded.quarantine.write.parquet(...)                                    # doctest: +SKIP
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

PLACEHOLDER = "__debezium_unavailable_value"
"""What Debezium writes for a large value that an update left as it was (``unavailable.value.placeholder``)."""

MALFORMED = "_malformed"
"""The column, if the records have it, with the text of a line whose fields are not those of its file; see :func:`dms`."""
UNREADABLE = "_gw_unreadable"
"""The column, if the records have it, with the reason why a line cannot be read at all; see :func:`dms`."""
LINE = "_gw_message"
"""The column, if the records have it, with the line that a message was read from: quarantine shows it."""
POSITION = "_gw_position"
"""The column, if the records have it, with the place of a record in its file; see :func:`debezium_flattened`."""
TOMBSTONE = "tombstone"
"""The kind of a message with a key and a NULL value."""
_ARRIVAL = frozenset({"_arrival", "_gw_path", POSITION})
"""Columns about where a record came from. They are no part of it and go with its changes."""
_RESERVED = "_gw_"

Unit = Literal["seconds", "millis", "micros", "nanos"]
Decimals = Literal["string", "precise", "double"]


class UnsupportedFeedError(Exception):
    """A feed cannot be decoded as asked: by the columns it has, or the types they should become. No record was read."""


@dataclass(frozen=True)
class Decoded:
    """A decoded feed, lazily: three filters of ``records``; persist that to use more than one of them in one pass.

    The records read are those of ``changes``, ``quarantine`` and ``ignored`` together, each counted by its sum of ``record``
    (quarantine: by its rows).

    Attributes:
        records: every change, quarantined and ignored record; ``what`` tells which it is.
    """

    records: DataFrame

    @property
    def changes(self) -> DataFrame:
        """The changes.

        ``op`` (``upsert``, ``delete``, ``truncate``), ``key``, ``sequence``, ``row`` (NULL but for upserts), ``unset`` (the
        names of columns that the change says nothing about, NULL for none; only of feeds that have partial changes),
        ``moved`` (only of Debezium's: the upsert takes what it leaves out from the row that its sequence deletes),
        ``old_key`` (of the upsert that gave a row another key), ``kind`` (the feed's own operation), ``record``; and
        ``_arrival`` if the records have a column of that name.

        An update that changes the key is two rows: a delete of the old key with ``record`` 1, an upsert of the new with 0.
        """
        named = ["op", "key", "sequence", "row", "unset", "moved", "old_key", "kind", "record", *_ARRIVAL]
        return self.records.where("what = 'change'").select([name for name in named if name in self.records.columns])

    @property
    def quarantine(self) -> DataFrame:
        """Records that are no valid change: ``original`` (as JSON), ``problems``, ``kept`` (always false)."""
        return self.records.where("what = 'quarantined'").selectExpr("original", "problems", "false AS kept")

    @property
    def ignored(self) -> DataFrame:
        """Records that are no change: the ``kind`` of each, the ``reason``, and ``record`` (always 1)."""
        return self.records.where("what = 'ignored'").select("kind", "reason", "record")


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
    fields = {"before": _texts(keys or columns.names), "after": _texts(columns.names), "source": _texts(source_fields)}
    fields |= dict.fromkeys(("op", "ts_ms", "ts_us", "ts_ns"), "string")
    frame, message = _with_message(records, key, keys)
    frame, envelope = _parsed(frame, value, fields, _ENVELOPE_TYPES)
    source, op = envelope("source"), envelope("op")
    if envelope.text:
        source = _struct_of({name: f"try_cast({source}.{name} AS {_SOURCE[name]})" for name in source_fields})
    times = {name: f"try_cast({envelope(name)} AS BIGINT)" for name in ("ts_ms", "ts_us", "ts_ns")}
    view = _replacing(frame, {"source": source, **times})
    pair = _pair(_first(view, "source.sequence"), _first(view, "source.lsn"))
    table = _table_name(_first(view, "source.schema", "source.db"), _first(view, "source.table"))
    empty = " AND ".join(f"{envelope(name)} IS NULL" for name in ("op", "before", "after", "source"))
    whole, after = _quoted(value), _Image("_after", envelope.type_of("after"), envelope.text)
    tombstone = f"{envelope.null} OR ({empty} AND {_payload_is_null(envelope, whole)})"
    heartbeat = f"{empty} AND {envelope('ts_ms')} IS NOT NULL"
    text, partial = f"CAST({whole} AS STRING)", f"{op} = 'u'"
    row_text = f"coalesce(get_json_object({text}, '$.after'), get_json_object({text}, '$.payload.after'))"
    row_text = row_text if envelope.text else ""
    named = _Image(envelope("after"), envelope.type_of("after"), envelope.text)
    staged = _with_sequence(view, sequence_by, pair).selectExpr(
        *_ARRIVAL.intersection(records.columns),
        "_sequence",
        f"{op} AS _kind",
        _operation(op, upserts="cru", deletes="d", truncates="t"),
        f"CASE WHEN {tombstone} THEN 'tombstone' WHEN {heartbeat} THEN 'heartbeat'"
        f" WHEN {op} = 'm' THEN 'logical message'{_other_table(table, tables)} END AS _ignored",
        f"{table} AS _table",
        f"CASE {_not_utf8(whole, envelope)}"
        f" WHEN {empty} THEN 'it is not a JSON object with op, before, after and source' END AS _broken",
        f"{envelope('after')} AS _after",
        f"{envelope('before')} AS _before",
        f"{message.sql} AS _message",
        f"{partial} AS _partial",
        f"{_present(envelope('after'), columns, row_text, partial)} AS _present",
        f"{_unnamed(named, columns, row_text)} AS _fields",
        "_types",
        f"{_quarantined_as(view, value, envelope)} AS _original",
    )
    before = _Image("_before", envelope.type_of("before"))
    how = _Encodings(placeholder, decimals, timestamps, base64=True, hints=envelope.text)
    feed = _Feed(after, [_Image("_message", message.type), before], before, partial=True)
    return _decode(staged, columns, keys, feed, how)


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
    frame, message = _with_message(records, key, keys)
    frame, row = _parsed(frame, value, dict.fromkeys(names, "string"), _ROW_TYPES)
    fields = row.type.names if isinstance(row.type, StructType) else []
    added = {name: row(name) for name in fields if name.startswith("__")} if value else {}
    if row.text:
        added = {name: f"try_cast({row(name)} AS {to})" for name, to in types.items()}
    view = _replacing(frame, added)
    pair = _pair(_first(view, "__source_sequence", "__sequence"), _first(view, "__source_lsn", "__lsn"))
    schemas = [f"__{prefix}{name}" for name in ("schema", "db") for prefix in ("source_", "")]
    table = _table_name(_first(view, *schemas), _first(view, "__source_table", "__table"))
    op, deleted = (f"CAST({row(name)} AS STRING)" for name in ("__op", "__deleted"))
    kind = f"CASE WHEN {deleted} = 'true' THEN 'd' ELSE coalesce({op}, CASE {deleted} WHEN 'false' THEN 'u' END) END"
    tombstone, row_text, partial = row.null, "", f"{kind} = 'u'"
    has_position = POSITION in records.columns and row.text and not sequence_by
    if value and row.text:
        tombstone = f"{row.null} OR ({op} IS NULL AND {deleted} IS NULL AND {_payload_is_null(row, _quoted(value))})"
        row_text = f"CAST({_quoted(value)} AS STRING)"
        row_text = row_text if "payload" in names else f"coalesce(get_json_object({row_text}, '$.payload'), {row_text})"
    after, kind = _Image("_after", row.type, row.text), f"CASE WHEN {tombstone} THEN '{TOMBSTONE}' ELSE {kind} END"
    pair = f"named_struct('commit', {pair}.commit, 'lsn', {pair}.lsn, 'after', 0)" if has_position else pair
    staged = _with_sequence(view, sequence_by, pair).selectExpr(
        *_ARRIVAL.intersection(records.columns),
        "_sequence",
        f"{kind} AS _kind",
        _operation(kind, upserts="cru", deletes=("d", TOMBSTONE)),
        f"CASE WHEN {kind} = 'm' THEN 'logical message'{_other_table(table, tables)} END AS _ignored",
        f"{table} AS _table",
        f"CASE {_not_utf8(_quoted(value or ''), row)}"
        f" WHEN {row.sql} IS NULL AND NOT ({tombstone}) THEN 'it is not a JSON object' END AS _broken",
        f"{row.sql} AS _after",
        f"{message.sql} AS _message",
        f"{partial} AS _partial",
        f"{_present(row.sql, columns, row_text, partial)} AS _present",
        f"{_unnamed(row, columns, row_text)} AS _fields",
        "_types",
        f"{_quarantined_as(view, value, row) if value else row.sql} AS _original",
    )
    how = _Encodings(placeholder, decimals, timestamps, base64=True, hints=row.text)
    feed = _Feed(after, [_Image("_message", message.type), after], None, partial=True, fills=has_position)
    return _decode(staged, columns, keys, feed, how)


def dms(
    records: DataFrame, columns: StructType, keys: Sequence[str], *, sequence_by: Sequence[str], op: str = "Op"
) -> Decoded:
    """Decode the rows of files that AWS DMS writes to S3.

    A row without operation is of a full load: an upsert, of kind ``load``. Updates with before-image columns (``BI_id``)
    tell a changed key. All changes are of whole rows: a column that the files lack is NULL. Text is read as DMS writes it;
    binary columns must come as binary.

    Args:
        records: the files' rows, as text or typed. A bare word that means NULL must have been read as NULL. Rows with
            something in a column ``_malformed``, or with a reason in ``_gw_unreadable``, go to quarantine. Other columns
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
    kind = f"coalesce(nullif({_quoted(own)}, ''), 'load')" if own else "'load'"
    names = [name for name in _told_by(records) if name not in {own, MALFORMED}]
    has_before = bool(keys) and all(f"BI_{name}" in names for name in keys)
    before = {name: _quoted(f"BI_{name}") for name in keys} if has_before else {}
    others = [name for name in names if name.lower() not in _known_to_dms(columns, sequence_by)]
    broken = [UNREADABLE] if UNREADABLE in records.columns else []
    if MALFORMED in records.columns:
        broken.append(f"if({MALFORMED} IS NULL, NULL, 'its fields are not those of its file')")
    staged = _with_sequence(records, sequence_by, "NULL").selectExpr(
        *_ARRIVAL.intersection(records.columns),
        "_sequence",
        f"{kind} AS _kind",
        _operation(kind, upserts=("I", "U", "load"), deletes="D"),
        "CAST(NULL AS STRING) AS _ignored",
        f"coalesce({', '.join([*broken, 'CAST(NULL AS STRING)'])}) AS _broken",
        f"{_named_where_set(others)} AS _fields",
        f"{_struct(names)} AS _after",
        f"{_struct_of(before)} AS _before" if before else "NULL AS _before",
        "false AS _partial",
        f"{_struct(_told_by(records))} AS _original",
    )
    after, old = _Image("_after", staged.schema["_after"].dataType), _Image("_before", staged.schema["_before"].dataType)
    how = _Encodings(None, "string", None, base64=False, hints=False)
    return _decode(staged, columns, keys, _Feed(after, [after], old if before else None, partial=False), how)


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
    _require(records, op, *([unset] if unset else []))
    own = set(_told_by(records)) - {op, unset}
    columns = StructType([field for field in records.schema if field.name in own])
    staged = _with_sequence(records, sequence_by, "NULL").selectExpr(
        *_ARRIVAL.intersection(records.columns),
        "_sequence",
        f"CAST({_quoted(op)} AS STRING) AS _kind",
        _operation(f"lower({_quoted(op)})", upserts=upserts, deletes=deletes, truncates=truncates),
        "CAST(NULL AS STRING) AS _ignored",
        "CAST(NULL AS STRING) AS _broken",
        f"{_struct(columns.names)} AS _after",
        "false AS _partial",
        f"{_quoted(unset)} AS _told" if unset else "NULL AS _told",
        f"{_struct(_told_by(records))} AS _original",
    )
    after = _Image("_after", columns)
    how = _Encodings(None, "string", None, base64=False, hints=False)
    return _decode(staged, columns, keys, _Feed(after, [after], None, partial=bool(unset), told=bool(unset)), how)


# How a feed is read.


@dataclass(frozen=True)
class _Image:
    """A struct of a record, such as its row: whether its values are JSON's texts, and when the record is null."""

    sql: str
    type: DataType
    text: bool = False
    null: str = "false"

    def __call__(self, name: str) -> str:
        """Give the value of a field, NULL where there is none."""
        found = self._field(name)
        return f"{self.sql}.{_quoted(found.name)}" if found else "NULL"

    def type_of(self, name: str) -> DataType:
        """Tell the type in which a field comes."""
        found = self._field(name)
        return found.dataType if found else NullType()

    def _field(self, name: str) -> StructField | None:
        fields = self.type if isinstance(self.type, StructType) else ()
        return next((field for field in fields if field.name.lower() == name.lower()), None)


@dataclass(frozen=True)
class _Feed:
    """Where the row, the key of a delete (the first that has it), and the key before an update are found."""

    after: _Image
    deleted: list[_Image]
    before: _Image | None
    partial: bool
    told: bool = False
    fills: bool = False


@dataclass(frozen=True)
class _Encodings:
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


# What Connect's schema says of the types of columns: its type, and where they are in it.
_NAMED = "name: string, parameters: map<string, string>"
_TYPES = f"array<struct<field: string, {_NAMED}, items: struct<{_NAMED}>>>"
_AFTER = "CAST(array_position({0}.fields.field, 'after') AS INT) - 1"
_ENVELOPE_TYPES = f"struct<fields: array<struct<field: string, fields: {_TYPES}>>>", f"get({{0}}.fields.fields, {_AFTER})"
_ROW_TYPES = f"struct<fields: {_TYPES}>", "{0}.fields"

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


def _parsed(
    records: DataFrame, value: str | None, fields: dict[str, str], types: tuple[str, str]
) -> tuple[DataFrame, _Image]:
    """Parse records once: the fields as the column ``_feed``, what Connect says of types as ``_types``."""
    if value is None:
        mine = records.select(*map(_quoted, _told_by(records)))
        return records.selectExpr("*", "NULL AS _types"), _Image(_struct(mine.columns), mine.schema)
    kind = _type_of(records, value)
    if isinstance(kind, StructType):
        whole = _Image(_quoted(value), kind)
        if isinstance(whole.type_of("payload"), StructType):
            whole = _Image(whole("payload"), whole.type_of("payload"))
        return records.selectExpr("*", "NULL AS _types"), _Image(whole.sql, whole.type, null=f"{whole.sql} IS NULL")
    own = ", ".join(f"{_quoted(name)}: {to}" for name, to in fields.items())
    # A table with such columns cannot be told from the wrapper.
    can_be_wrapped = not {"payload", "schema"} & set(fields)
    wrapper = f", payload: struct<{own}>, schema: {types[0]}" if can_be_wrapped else ""
    text = f"CAST({_quoted(value)} AS STRING)"
    # In brackets, so that what follows the object, or a second one, is not passed over.
    parse = f"from_json(concat('[', {text}, ']'), {_literal(f'array<struct<{own}{wrapper}>>')})"
    outer = "get(_parsed, 0)"
    event = _struct_of({name: f"{outer}.{_quoted(name)}" for name in fields})
    event = f"coalesce({outer}.payload, {event})" if can_be_wrapped else event
    frame = records.selectExpr("*", f"{parse} AS _parsed").selectExpr(
        "*",
        f"CASE WHEN size(_parsed) = 1 AND {outer} IS NOT NULL THEN {event} END AS _feed",
        f"{types[1].format(outer + '.schema') if can_be_wrapped else f'CAST(NULL AS {_TYPES})'} AS _types",
    )
    null = f"{text} IS NULL OR trim({text}) = 'null'"
    return frame, _Image("_feed", frame.schema["_feed"].dataType, True, null)


def _with_message(records: DataFrame, key: str | None, keys: Sequence[str]) -> tuple[DataFrame, _Image]:
    """Parse the message key."""
    if key is None or not keys:
        return records, _Image("NULL", NullType())
    kind = _type_of(records, key)
    if isinstance(kind, StructType):
        whole = _Image(_quoted(key), kind)
        wrapped = isinstance(whole.type_of("payload"), StructType)
        return records, _Image(whole("payload"), whole.type_of("payload")) if wrapped else whole
    own = _texts(keys)
    wrapper = "" if "payload" in keys else f", payload: {own}"
    parse = f"from_json(CAST({_quoted(key)} AS STRING), {_literal(own[:-1] + wrapper + '>')})"
    values = _struct_of({name: f"_key.{_quoted(name)}" for name in keys})
    frame = records.selectExpr("*", f"{parse} AS _key")
    sql = f"CASE WHEN _key IS NOT NULL THEN {f'coalesce(_key.payload, {values})' if wrapper else values} END"
    if len(keys) == 1:
        # A key of one column may be its value, such as `7` or `"seven"`.
        text = f"CAST({_quoted(key)} AS STRING)"
        alone = f"coalesce(get(from_json(concat('[', {text}, ']'), 'array<string>'), 0), {text})"
        sql = f"CASE WHEN {text} RLIKE '^ *[^ {{]' THEN {_struct_of({keys[0]: alone})} ELSE {sql} END"
    return frame, _Image(sql, frame.selectExpr(f"{sql} AS m").schema["m"].dataType)


def _payload_is_null(record: _Image, value: str) -> str:
    return f"CAST({value} AS STRING) RLIKE '\"payload\" *: *null'" if record.text else "false"


def _present(row: str, columns: StructType, row_text: str, partial: str) -> str:
    """Give the names that a partial row has in its JSON, where a column is NULL: it may be absent."""
    if not row_text:
        return "NULL"
    nulls = " OR ".join(f"{row}.{_quoted(name)} IS NULL" for name in columns.names)
    return f"CASE WHEN {partial} AND ({nulls}) THEN json_object_keys({row_text}) END"


def _unnamed(row: _Image, columns: StructType, row_text: str) -> str:
    """Return the fields of a row that are no column of the table, as SQL; those that Debezium adds begin with ``__``."""
    if not row_text:
        names = row.type.names if isinstance(row.type, StructType) else []
        known = {name.lower() for name in columns.names}
        return _named_where_set([n for n in names if n.lower() not in known and not n.startswith("__")], of=row.sql)
    named = ", ".join(map(_literal, columns.names))
    # The schema has the names already, where there is one.
    every = f"CASE WHEN _types IS NULL THEN json_object_keys({row_text}) ELSE _types.field END"
    found = f"filter({every}, n -> n NOT IN ({named}) AND NOT startswith(n, '__'))"
    return f"CASE WHEN {row.sql} IS NOT NULL THEN {found} END"


def _known_to_dms(columns: StructType, sequence_by: Sequence[str]) -> set[str]:
    """Return the columns of a file that are the table's, their before images, headers, or order its changes."""
    own = {name.lower() for name in columns.names}
    return own | {f"bi_{name}" for name in own} | {name.lower().strip("`") for name in sequence_by}


def _named_where_set(names: Sequence[str], of: str = "") -> str:
    """Return the names of these columns, or fields of a struct, that are not NULL, as SQL."""
    names = [name for name in names if not name.upper().startswith("AR_H_")]
    dot = f"{of}." if of else ""
    each = ", ".join(f"CASE WHEN {dot}{_quoted(name)} IS NOT NULL THEN {_literal(name)} END" for name in names)
    return f"array_compact(array({each}))" if names else "CAST(NULL AS ARRAY<STRING>)"


def _not_utf8(value: str, record: _Image) -> str:
    """Return a branch of CASE for bytes that are not UTF-8, which Spark would replace by U+FFFD without a word."""
    invalid = _invalid(f"CAST({value} AS STRING)") if record.text else "false"
    return f"WHEN {invalid} THEN {_literal(_NOT_UTF8)}"


_NOT_UTF8 = "it has bytes that are not UTF-8; original is its base64"


def _invalid(text: str) -> str:
    # Encoding decodes the bytes first, and what is not UTF-8 becomes U+FFFD.
    return f"coalesce(CAST({text} AS BINARY) <> encode({text}, 'UTF-8'), false)"


def _quarantined_as(view: DataFrame, value: str, record: _Image) -> str:
    """Return what quarantine shows of a record: its line or its value."""
    whole = f"coalesce({LINE}, CAST({_quoted(value)} AS STRING))" if LINE in view.columns else _quoted(value)
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


def _with_sequence(view: DataFrame, sequence_by: Sequence[str], default: str) -> DataFrame:
    if sequence_by:
        return view.withColumn("_sequence", F.struct(*map(F.expr, sequence_by)))
    if default == "NULL":
        raise UnsupportedFeedError("the feed has no sequence of its own; name what orders its changes (sequence_by)")
    return view.selectExpr("*", f"{default} AS _sequence")


def _table_name(schema: str, table: str) -> str:
    return f"CASE WHEN {table} IS NOT NULL THEN concat_ws('.', {schema}, {table}) END"


def _other_table(table: str, tables: Sequence[str]) -> str:
    return f" WHEN {table} NOT IN ({', '.join(map(_literal, tables))}) THEN 'another table'" if tables else ""


def _operation(kind: str, *, upserts: Sequence[str], deletes: Sequence[str], truncates: Sequence[str] = ()) -> str:
    groups = {"upsert": upserts, "delete": deletes, "truncate": truncates}
    whens = (f"WHEN {kind} IN ({', '.join(map(_literal, ops))}) THEN '{op}'" for op, ops in groups.items() if ops)
    return f"CASE {' '.join(whens)} END AS _op"


# From records to changes, the same for all feeds.


def _decode(staged: DataFrame, columns: StructType, keys: Sequence[str], feed: _Feed, how: _Encodings) -> Decoded:
    """Decode values in stages: what is used more than once is a column first, so that Spark computes it once."""
    wanted = {field.name: _plain_type(field.dataType) for field in columns}
    if unknown := [name for name in keys if name not in wanted]:
        raise UnsupportedFeedError(f"the key {', '.join(unknown)} is not among the columns; they are {', '.join(wanted)}")
    number = {name: n for n, name in enumerate(wanted)}
    pii = {field.name for field in columns if has_pii(field)}

    # As few columns as can be: each is copied from stage to stage.
    left = {name: _placeholder(feed, how, name, kind) for name, kind in wanted.items()}
    frame = staged.selectExpr("*", *(f"{sql} AS _left{number[name]}" for name, sql in left.items() if sql))
    left = {name: f"_left{number[name]}" if sql else "" for name, sql in left.items()}
    said = {name: f"_op = 'upsert' AND NOT {sql}" if sql else "_op = 'upsert'" for name, sql in left.items()}
    steps = {n: _steps(name, feed.after(name), feed.after.type_of(name), wanted[name], how) for name, n in number.items()}
    frame = frame.selectExpr(
        "*", *(f"CASE WHEN {said[name]} THEN {feed.after(name)} END AS _value{n}" for name, n in number.items())
    )
    for stage in range(max(map(len, steps.values()), default=0)):
        made = {f"_value{n}": mine[stage](f"_value{n}") for n, mine in steps.items() if stage < len(mine)}
        frame = _replacing(frame, made)
    key_values = [f"{_deleted_key(feed, name, wanted[name], how)} AS _deleted{number[name]}" for name in keys]
    key_values += [f"{_old_key(feed, name, wanted[name], how)} AS _old{number[name]}" for name in keys]
    frame = frame.selectExpr("*", *key_values)

    sequence = staged.schema["_sequence"].dataType
    assert isinstance(sequence, StructType)
    problems = _problems(wanted, keys, number, sequence.names, feed, said, pii, how)
    row = _struct_of({name: f"_value{n}" for name, n in number.items()})
    unset = {name: " OR ".join(filter(None, (sql, _absent(feed, name)))) for name, sql in left.items()}
    names = ", ".join(f"CASE WHEN {sql} THEN {_literal(name)} END" for name, sql in unset.items() if sql)
    some = " OR ".join(f"({sql})" for sql in unset.values() if sql) or "false"
    frame = frame.selectExpr(
        "*",
        f"{problems} AS _problems",
        f"CASE WHEN _op = 'upsert' THEN {row} END AS _row",
        f"CASE WHEN _op = 'upsert' AND ({some}) THEN array_compact(array({names})) END AS _names",
        f"{_key_struct(keys, number, '_value')} AS _new_key",
        f"{_key_struct(keys, number, '_deleted')} AS _deleted_key",
        f"{_key_struct(keys, number, '_old')} AS _old_key",
    )
    return Decoded(_changes(frame, keys, number, feed, pii))


def _changes(frame: DataFrame, keys: Sequence[str], number: dict[str, int], feed: _Feed, pii: set[str]) -> DataFrame:
    """Make one or two rows of each record. Filters stop at the generator: each record is decoded once for each of them."""
    differs = " OR ".join(f"_old{number[name]} <> _value{number[name]}" for name in keys) or "false"
    known = " AND ".join(f"_old{number[name]} IS NOT NULL" for name in keys) or "false"
    fine = "_ignored IS NULL AND size(_problems) = 0"
    moved = f"_op = 'upsert' AND {known} AND ({differs})" if feed.before else "false"
    frame = frame.selectExpr(
        "*",
        f"CASE WHEN {fine} THEN 'change' WHEN _ignored IS NULL THEN 'quarantined' ELSE 'ignored' END AS _what",
        f"coalesce({fine} AND {moved}, false) AS _moved",
    )
    original = _original(frame, feed, pii)
    unset = "CASE WHEN size(_names) > 0 THEN _names END"
    # An insert has all its values. One that leaves some out is a row with a new key; its old key was deleted with it.
    leaving = "coalesce(size(_names) > 0 AND (_moved OR _kind = 'c'), false)"

    def told(*, second: bool) -> str:
        """Tell the record; of a moved row the first part is the delete, the second the upsert."""

        def unless_moved(sql: str, otherwise: str = "NULL") -> str:
            return sql if second else f"CASE WHEN _moved THEN {otherwise} ELSE {sql} END"

        fields = {
            "what": "_what",
            "op": unless_moved("_op", "'delete'"),
            "key": unless_moved("CASE _op WHEN 'upsert' THEN _new_key WHEN 'delete' THEN _deleted_key END", "_old_key"),
            "sequence": "_sequence",
            "row": unless_moved("_row"),
            **({"unset": unless_moved(unset)} if feed.partial else {}),
            **({"moved": unless_moved(leaving, "false")} if feed.partial and not feed.told else {}),
            "old_key": "_old_key" if second else "CASE WHEN false THEN _old_key END",
            "kind": "_kind",
            **{name: name for name in _ARRIVAL.intersection(frame.columns)},
            **({"table": "_table"} if "_table" in frame.columns else {}),
            **({"fields": "CAST(NULL AS ARRAY<STRING>)" if second else "_fields"} if "_fields" in frame.columns else {}),
            "record": "0" if second else "1",
            "original": f"CASE WHEN _what = 'quarantined' THEN {original} END",
            "problems": "_problems",
            "reason": "_ignored",
        }
        return _struct_of(fields)

    first, second = told(second=False), told(second=True)
    return frame.selectExpr(f"inline(CASE WHEN _moved THEN array({first}, {second}) ELSE array({first}) END)")


def _problems(
    wanted: dict[str, DataType],
    keys: Sequence[str],
    number: dict[str, int],
    sequence: list[str],
    feed: _Feed,
    said: dict[str, str],
    pii: set[str],
    how: _Encodings,
) -> str:
    """Find what keeps a record from being a change."""
    conditions = []

    def problem(when: str, column: str, rule: str, reason: str, value: str = "CAST(NULL AS STRING)") -> str:
        conditions.append(f"({when})")
        parts = {"column": _literal(column), "rule": _literal(rule), "reason": reason, "value": value}
        return f"CASE WHEN {when} THEN {_struct_of(parts)} END"

    broken = f"array({problem('true', '', 'record', '_broken')})"
    found = [problem("_op IS NULL", "", "op", "'it is no operation that this feed has'", "_kind")]
    missing = " OR ".join(f"_sequence.{_quoted(name)} IS NULL" for name in sequence)
    missing = f"({missing}) AND NOT coalesce(_kind = '{TOMBSTONE}', false)" if feed.fills else missing
    found.append(problem(missing, "", "sequence", "'it does not say where in the order of changes it stands'"))
    found.append(problem("_op = 'upsert' AND _after IS NULL", "", "required", "'it is an insert or update without a row'"))
    if not keys:
        reason = "'the table has no key: what this changes cannot be found'"
        found.append(problem("_op IN ('upsert', 'delete')", "", "key", reason))
    for name, kind in wanted.items():
        n, text = number[name], _as_text(feed.after(name), feed.after.type_of(name))
        shown = text if name not in pii else "CAST(NULL AS STRING)"
        reason = _literal(f"it is no {kind.simpleString()}, or would lose something as one")
        if isinstance(kind, TimestampType | TimestampNTZType) and how.timestamps is None:
            reason = f"CASE WHEN {text} RLIKE '^-?[0-9]+$' THEN {_literal(_NO_UNIT)} ELSE {reason} END"
        unfit = f"_value{n} IS NULL AND {feed.after(name)} IS NOT NULL AND {said[name]}"
        if feed.after.type_of(name).simpleString() != kind.simpleString():
            found.append(problem(unfit, name, "format", reason, shown))
        if name in keys:
            nameless = f"_value{n} IS NULL AND _op = 'upsert' AND _after IS NOT NULL AND NOT coalesce({unfit}, false)"
            nameless = f"({nameless}) OR (_op = 'delete' AND _deleted{n} IS NULL)"
            found.append(problem(nameless, name, "key", "'it has no value in a key column'"))
    # Asked first, because it is cheaper, and seldom true.
    some = " OR ".join(conditions[1:])
    return (
        f"CASE WHEN _ignored IS NOT NULL THEN array() WHEN _broken IS NOT NULL THEN {broken}"
        f" WHEN {some} THEN array_compact(array({', '.join(found)})) ELSE array() END"
    )


def _placeholder(feed: _Feed, how: _Encodings, name: str, kind: DataType) -> str:
    """Tell whether a change says that it says nothing about a column; empty for never."""
    if feed.told:
        return f"coalesce(array_contains(_told, {_literal(name)}), false)"
    comes_as, texts = feed.after.type_of(name), ", ".join(map(_literal, how.placeholders()))
    large = isinstance(kind, StringType | BinaryType | ArrayType | DecimalType)
    if not texts or not large or isinstance(comes_as, NullType | DecimalType):
        return ""
    return f"coalesce({_as_text(feed.after(name), comes_as)} IN ({texts}), false)"


def _absent(feed: _Feed, name: str) -> str:
    """Tell whether a partial row lacks a column, which is not the same as NULL; empty for never."""
    if feed.after.text:
        return f"({feed.after(name)} IS NULL AND coalesce(NOT array_contains(_present, {_literal(name)}), false))"
    return "coalesce(_partial AND _after IS NOT NULL, false)" if isinstance(feed.after.type_of(name), NullType) else ""


def _deleted_key(feed: _Feed, name: str, kind: DataType, how: _Encodings) -> str:
    having = [image for image in feed.deleted if not isinstance(image.type_of(name), NullType)]
    found = [_read(image(name), name, image.type_of(name), kind, how) for image in having]
    return f"CASE WHEN _op = 'delete' THEN coalesce({', '.join(found)}) END" if found else _null(kind)


def _old_key(feed: _Feed, name: str, kind: DataType, how: _Encodings) -> str:
    if feed.before is None or isinstance(feed.before.type_of(name), NullType):
        return _null(kind)
    return f"CASE WHEN _op = 'upsert' THEN {_read(feed.before(name), name, feed.before.type_of(name), kind, how)} END"


def _key_struct(keys: Sequence[str], number: dict[str, int], prefix: str) -> str:
    values = {name: f"{prefix}{number[name]}" for name in keys}
    return _struct_of(values) if keys else "CAST(NULL AS STRUCT<key: STRING>)"


def _original(frame: DataFrame, feed: _Feed, pii: set[str]) -> str:
    """Give the record as JSON text, without the values that are tagged ``pii``."""
    if not pii:
        is_json = not isinstance(frame.schema["_original"].dataType, StructType)
        # Spark 3.5 may break lines in base64.
        encoded = "regexp_replace(base64(CAST(_original AS BINARY)), '[^A-Za-z0-9+/=]', '')"
        text = f"CASE WHEN _broken = {_literal(_NOT_UTF8)} THEN {encoded} ELSE CAST(_original AS STRING) END"
        return text if is_json else _json("_original")
    images = [image for image in (feed.before, feed.after) if image]
    shown = {image.sql.strip("_"): _masked(image, pii) for image in images}
    kind = frame.schema["_sequence"].dataType
    # The place in a task's input is another one in another run, and quarantine holds a record once.
    names = [name for name in kind.names if name != "_gw_line"] if isinstance(kind, StructType) else []
    sequence = _struct_of({name: f"_sequence.{_quoted(name)}" for name in names})
    told = _json(_struct_of({"op": "_kind", **shown, "sequence": sequence}))
    return f"CASE WHEN _broken IS NULL THEN {told} ELSE '(withheld)' END"


def _masked(image: _Image, pii: set[str]) -> str:
    hidden = {f"{prefix}{name}".lower() for prefix in ("", "BI_") for name in pii}
    names = image.type.names if isinstance(image.type, StructType) else []
    values = {name: image(name) for name in names}
    values |= {
        name: f"CASE WHEN {image(name)} IS NOT NULL THEN '(withheld)' END" for name in names if name.lower() in hidden
    }
    return f"CASE WHEN {image.sql} IS NOT NULL THEN {_struct_of(values)} END" if names else "NULL"


# How values are read: one or more steps of SQL, each of which is a column before the next uses it, often more than once.

_Step = Callable[[str], str]
_NUMBER = "'^-?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?$'"
_PLAIN = "'^-?([0-9]+([.][0-9]*)?|[.][0-9]+)$'"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ZONE = "(Z|[-+][0-9]{2}(:[0-9]{2})?)"
# A number below is a time before March 1973 in microseconds, and one of our time in milliseconds or seconds.
_LEAST_MICROS = 100_000_000_000_000
_NO_UNIT = "in microseconds it is a time near 1970, or far from any; declare the unit of timestamps"
_FIRST_MICROS, _LAST_MICROS = -62_135_596_800_000_000, 253_402_300_799_999_999
_CONNECT_DECIMAL = "'org.apache.kafka.connect.data.Decimal'"
_UNITS = {
    "millis": ("io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp"),
    "micros": ("io.debezium.time.MicroTimestamp",),
    "nanos": ("io.debezium.time.NanoTimestamp",),
}


def _read(x: str, name: str, comes_as: DataType, kind: DataType, how: _Encodings) -> str:
    """Read a value in one expression, for the few that are keys."""
    steps = _steps(name, x, comes_as, kind, how)
    if len(steps) < 2:
        return steps[0](x) if steps else x
    made = f"array({x})"
    for step in steps:
        made = f"transform({made}, x -> {step('x')})"
    return f"get({made}, 0)"


def _steps(name: str, raw: str, comes_as: DataType, kind: DataType, how: _Encodings) -> list[_Step]:
    """Give the steps that bring a value to a column's type. Their last gives NULL for a value that does not fit."""
    if comes_as.simpleString() == kind.simpleString():
        return []
    if isinstance(comes_as, NullType):
        return [lambda _: _null(kind)]
    at = f"CAST(array_position(_types.field, {_literal(name)}) AS INT) - 1"
    connect = f"get(_types.name, {at})", f"get(_types.parameters, {at})"
    if not isinstance(kind, ArrayType):
        return _scalar(name, comes_as, kind, connect if how.hints else None, how)
    connect = f"get(_types.items.name, {at})", f"get(_types.items.parameters, {at})"
    typed = isinstance(comes_as, ArrayType)
    element: DataType = comes_as.elementType if isinstance(comes_as, ArrayType) else StringType()
    each = []
    if element.simpleString() != kind.elementType.simpleString():
        each = _scalar(name, element, kind.elementType, connect if how.hints else None, how)

    def parsed(x: str) -> str:
        return x if typed else f"from_json({_as_text(x, comes_as)}, 'array<string>')"

    def fitting(x: str) -> str:
        nulls = (f"size(filter({of}, v -> v IS NULL))" for of in (x, parsed(raw)))
        return f"CASE WHEN NOT exists({x}, v -> v IS NULL) OR {' = '.join(nulls)} THEN {x} END"

    return [parsed, *(lambda x, step=step: f"transform({x}, e -> {step('e')})" for step in each), fitting]


def _scalar(name: str, comes_as: DataType, kind: DataType, connect: tuple[str, str] | None, how: _Encodings) -> list[_Step]:  # noqa: PLR0911
    def text(x: str) -> str:
        return _as_text(x, comes_as)

    sql = kind.simpleString().upper()
    match kind:
        case StringType():
            return [text]
        case BooleanType():
            return [lambda x: f"try_cast({text(x)} AS BOOLEAN)"]
        case IntegralType():
            return [lambda x: _whole(text(x), sql)]
        case DecimalType():
            return [*_numerals(comes_as, kind.scale, connect, how), lambda x: _decimal(x, kind.precision, kind.scale)]
        case FloatType() | DoubleType():
            return [*_numerals(comes_as, None, connect, how), lambda x: _floating(x, sql)]
        case DateType():
            return [text, _date]
        case TimestampType() | TimestampNTZType():
            made = _timestamp if isinstance(kind, TimestampType) else _timestamp_ntz
            return [lambda x: _micros(x, comes_as, connect, how.timestamps), made]
        case BinaryType() if how.base64:
            return [lambda x: f"try_to_binary({text(x)}, 'base64')"]
    raise UnsupportedFeedError(
        f"column {name}: a {comes_as.simpleString()} cannot be decoded to {kind.simpleString()};"
        " declare it text, or convert it before"
    )


def _numerals(comes_as: DataType, scale: int | None, connect: tuple[str, str] | None, how: _Encodings) -> list[_Step]:
    """Write a number as text: as it is, or from the unscaled bytes of a decimal as ``12345E-2``."""
    if isinstance(comes_as, BinaryType) and scale is not None:
        return [lambda x: f"named_struct('text', '', 'bytes', hex({x}), 'scale', {scale})", _numeral]
    if isinstance(comes_as, StructType) and {"scale", "value"} <= set(comes_as.names):
        return [lambda x: f"named_struct('text', '', 'bytes', hex({x}.value), 'scale', CAST({x}.scale AS INT))", _numeral]
    if not how.base64 or not isinstance(comes_as, StringType):
        return [lambda x: _as_text(x, comes_as)]
    precise, known = "true" if how.decimals == "precise" and scale is not None else "false", f"{scale or 0}"
    if connect:
        precise = f"(CASE WHEN _types IS NULL THEN {precise} ELSE coalesce({connect[0]} = {_CONNECT_DECIMAL}, false) END)"
        known = f"coalesce(try_cast(try_element_at({connect[1]}, 'scale') AS INT), {known})"

    def parsed(x: str) -> str:
        own = f"hex(try_to_binary(get_json_object({x}, '$.value'), 'base64'))"
        padded = f"{precise} AND length({x}) % 4 = 0"
        encoded = f"CASE WHEN {x} LIKE '{{%' THEN {own} WHEN {padded} THEN hex(try_to_binary({x}, 'base64')) END"
        places = f"CASE WHEN {x} LIKE '{{%' THEN try_cast(get_json_object({x}, '$.scale') AS INT) ELSE {known} END"
        # Base64 that is no number of this length is no number at all; and zeros in front are base64.
        text = f"CASE WHEN NOT {precise} AND NOT {x} RLIKE '^-?0[0-9]' THEN {x} END"
        return f"named_struct('text', {text}, 'bytes', {encoded}, 'scale', {places})"

    return [parsed, _numeral]


def _numeral(x: str) -> str:
    number = f"concat({_unscaled(f'{x}.bytes')}, 'E', CAST(-{x}.scale AS STRING))"
    return f"CASE WHEN {x}.bytes IS NULL THEN {x}.text ELSE {number} END"


def _unscaled(digits: str) -> str:
    """Write the number in up to 16 bytes, given as hexadecimal digits of big-endian two's complement, as decimal digits."""
    negative = f"{digits} >= '8'"
    short = f"conv(lpad({digits}, 16, if({negative}, 'F', '0')), 16, -10)"
    # Of a negative number the complement, one less than its magnitude: no part exceeds 38 digits before the whole does.
    complement = f"if({negative}, translate({digits}, '0123456789ABCDEF', 'FEDCBA9876543210'), {digits})"
    limb = "CAST(conv(substr(lpad({}, 32, '0'), {}, {}), 16, 10) AS DECIMAL({}, 0))"
    high, middle, low = (limb.format(complement, *part) for part in ((1, 4, 5), (5, 14, 17), (19, 14, 17)))
    upper = f"try_add(try_multiply({high}, {1 << 112}BD), try_multiply({middle}, {1 << 56}BD))"
    magnitude = f"try_add(try_add({upper}, {low}), if({negative}, 1BD, 0BD))"
    long = f"concat(if({negative}, '-', ''), CAST({magnitude} AS STRING))"
    size = f"length({digits})"
    return f"CASE WHEN {size} BETWEEN 2 AND 16 THEN {short} WHEN {size} BETWEEN 17 AND 32 THEN {long} END"


def _whole(x: str, kind: str) -> str:
    return f"CASE WHEN CAST(try_cast({x} AS {kind}) AS STRING) = {x} THEN try_cast({x} AS {kind}) END"


def _decimal(x: str, precision: int, scale: int) -> str:
    value = f"try_cast({x} AS DECIMAL({precision}, {scale}))"
    places = f"length(regexp_extract({x}, '[.]([0-9]*?)0*$', 1))"
    mantissa, exponent = f"substring_index({x}, 'E', 1)", f"try_cast(substring_index({x}, 'E', -1) AS INT)"
    zeros = f"length({mantissa}) - length(trim(TRAILING '0' FROM {mantissa}))"
    whole = f"{mantissa} IN ('0', '-0') OR -{exponent} - ({zeros}) <= {scale}"
    return (
        f"CASE WHEN CAST({value} AS STRING) = {x} THEN {value}"
        f" WHEN {x} RLIKE {_PLAIN} THEN CASE WHEN {places} <= {scale} THEN {value} END"
        f" WHEN {x} RLIKE '^-?[0-9]+E-?[0-9]+$' THEN CASE WHEN {whole} THEN {value} END"
        f" WHEN {x} RLIKE {_NUMBER} AND CAST({value} AS DOUBLE) = try_cast({x} AS DOUBLE) THEN {value} END"
    )


def _floating(x: str, kind: str) -> str:
    """Read a number that the type holds: all its digits, neither infinite nor zero because it is too great or too small."""
    value = f"try_cast({x} AS {kind})"
    digits = f"trim(BOTH '0' FROM regexp_replace(regexp_replace({x}, '[eE].*$', ''), '[-.]', ''))"
    held = f"length({digits}) <= {9 if kind == 'FLOAT' else 17}"
    if kind == "FLOAT":
        held = f"({held} OR CAST({value} AS DOUBLE) = try_cast({x} AS DOUBLE))"
    sized = f"abs({value}) < CAST('Infinity' AS {kind}) AND ({value} <> 0 OR NOT {x} RLIKE '^[^eE]*[1-9]')"
    return (
        f"CASE WHEN {x} IN ('NaN', 'NAN') THEN CAST('NaN' AS {kind})"
        f" WHEN {x} IN ('Infinity', 'POSITIVE_INFINITY') THEN CAST('Infinity' AS {kind})"
        f" WHEN {x} IN ('-Infinity', 'NEGATIVE_INFINITY') THEN CAST('-Infinity' AS {kind})"
        f" WHEN CAST({value} AS STRING) = {x} THEN {value}"
        f" WHEN {x} RLIKE {_NUMBER} AND {sized} AND {held} THEN {value} END"
    )


def _date(x: str) -> str:
    days, day = f"try_cast({x} AS INT)", f"try_cast(substr({x}, 1, 10) AS DATE)"
    return (
        f"CASE WHEN {x} RLIKE '^-?[0-9]{{1,7}}$' THEN"
        f" CASE WHEN {days} BETWEEN -719162 AND 2932896 THEN date_add(DATE'1970-01-01', {days}) END"
        f" WHEN {x} RLIKE '^{_DAY}([ T]00:00:00([.]0+)?)?Z?$' AND {day} >= DATE'0001-01-01' THEN {day} END"
    )


def _micros(x: str, comes_as: DataType, connect: tuple[str, str] | None, unit: Unit | None) -> str:
    """Count microseconds since 1970-01-01 in UTC."""
    if isinstance(comes_as, TimestampType):
        return f"unix_micros({x})"
    text = _as_text(x, comes_as)
    number, first, last = f"try_cast({text} AS BIGINT)", _FIRST_MICROS // 1000, _LAST_MICROS // 1000
    counted: dict[str | None, str] = {
        None: f"CASE WHEN {number} = 0 OR {number} NOT BETWEEN -{_LEAST_MICROS} AND {_LEAST_MICROS} THEN {number} END",
        "seconds": f"CASE WHEN {number} BETWEEN {first // 1000} AND {last // 1000} THEN {number} * 1000000 END",
        "millis": f"CASE WHEN {number} BETWEEN {first} AND {last} THEN {number} * 1000 END",
        "micros": number,
        "nanos": f"CASE WHEN {number} % 1000 = 0 THEN {number} div 1000 END",
    }
    whens = ""
    if connect:
        names = {each: ", ".join(map(_literal, known)) for each, known in _UNITS.items()}
        whens = " ".join(f"WHEN {connect[0]} IN ({names[each]}) THEN {counted[each]}" for each in _UNITS)
    told = f"CASE {whens} ELSE {counted[unit]} END" if whens else counted[unit]
    readable = f"{text} RLIKE '^{_DAY}[ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]{{1,9}})?)?{_ZONE}?$'"
    exact = f"NOT {text} RLIKE '[.][0-9]{{6}}[0-9]*[1-9]'"
    zoned = f"if({text} RLIKE ':[0-9]{{2}}([.][0-9]+)?{_ZONE}$', {text}, concat({text}, 'Z'))"
    return (
        f"CASE WHEN {text} RLIKE '^-?[0-9]{{1,19}}$' THEN {told}"
        f" WHEN {readable} AND {exact} THEN unix_micros(try_cast({zoned} AS TIMESTAMP)) END"
    )


def _timestamp(x: str) -> str:
    return f"CASE WHEN {x} BETWEEN {_FIRST_MICROS} AND {_LAST_MICROS} THEN timestamp_micros({x}) END"


def _timestamp_ntz(x: str) -> str:
    seconds = f"CAST({x} * 0.000001BD AS DECIMAL(18, 6))"
    made = f"TIMESTAMP_NTZ'1970-01-01 00:00:00' + make_dt_interval(0, 0, 0, {seconds})"
    return f"CASE WHEN {x} BETWEEN {_FIRST_MICROS} AND {_LAST_MICROS} THEN {made} END"


def _as_text(x: str, kind: DataType) -> str:
    """Write a value as Debezium would in JSON; the time of a timestamp in UTC."""
    match kind:
        case StringType():
            return x
        case NullType():
            return "CAST(NULL AS STRING)"
        case BinaryType():
            # Spark 3.5 may break lines in it.
            return f"regexp_replace(base64({x}), '[^A-Za-z0-9+/=]', '')"
        case StructType() | ArrayType() | MapType():
            return f"to_json({x})"
        case TimestampType():
            return f"concat(CAST({_timestamp_ntz(f'unix_micros({x})')} AS STRING), 'Z')"
    return f"CAST({x} AS STRING)"


# Small parts.


def _plain_type(kind: DataType) -> DataType:
    return StringType() if isinstance(kind, CharType | VarcharType) else kind


def has_pii(field: StructField) -> bool:
    """Return whether a column, or a field in it, is tagged ``pii``: quarantine withholds its values."""
    kinds, tags = [field.dataType], field.metadata.get("tags") or ()
    tags = re.split(r"[\s,;]+", tags) if isinstance(tags, str) else map(str, tags)
    inside: list[StructField] = []
    while kinds:
        match kinds.pop():
            case ArrayType() as kind:
                kinds.append(kind.elementType)
            case MapType() as kind:
                kinds += [kind.keyType, kind.valueType]
            case StructType() as kind:
                inside += kind
    return "pii" in (tag.strip().lower() for tag in tags) or any(map(has_pii, inside))


def _type_of(records: DataFrame, name: str) -> DataType:
    _require(records, name)
    kind = records.schema[name].dataType
    if not isinstance(kind, StringType | BinaryType | StructType):
        raise UnsupportedFeedError(f"column {name} is {kind.simpleString()}; it must be JSON as text or binary, or a struct")
    return kind


def _told_by(records: DataFrame) -> list[str]:
    """List the columns that the feed itself has."""
    return [name for name in records.columns if name not in _ARRIVAL and not name.startswith(_RESERVED)]


def _require(records: DataFrame, *names: str) -> None:
    if missing := [name for name in names if name not in records.columns]:
        raise UnsupportedFeedError(
            f"the records have no column {', '.join(missing)}; they have {', '.join(records.columns)}"
        )


def _replacing(frame: DataFrame, made: dict[str, str]) -> DataFrame:
    """Add columns, in place of those that have their names."""
    gone = {name.lower() for name in made}
    kept = [_quoted(name) for name in frame.columns if name.lower() not in gone]
    return frame.selectExpr(*kept, *(f"{sql} AS {_quoted(name)}" for name, sql in made.items()))


def _first(view: DataFrame, *paths: str) -> str:
    """Give the first of these columns or fields that has a value, as SQL; NULL if none is there."""
    found = []
    for path in paths:
        column, _, field = path.partition(".")
        kind: DataType = view.schema[column].dataType if column in view.columns else NullType()
        there = field in kind.names if isinstance(kind, StructType) else not field and column in view.columns
        found += [f"CAST({path} AS STRING)"] if there else []
    return f"coalesce({', '.join(found)})" if found else "NULL"


def _json(sql: str) -> str:
    return f"to_json({sql}, map('ignoreNullFields', 'false'))"


def _struct(columns: Iterable[str]) -> str:
    return _struct_of({name: _quoted(name) for name in columns})


def _struct_of(values: dict[str, str]) -> str:
    return f"named_struct({', '.join(f'{_literal(name)}, {sql}' for name, sql in values.items())})"


def _texts(names: Iterable[str]) -> str:
    return f"struct<{', '.join(f'{_quoted(name)}: string' for name in names)}>"


def _null(kind: DataType) -> str:
    return f"CAST(NULL AS {kind.simpleString()})"


def _literal(text: str) -> str:
    # Spark reads escapes in a literal or does not: spark.sql.parser.escapedStringLiterals decides.
    parts = [part for part in re.split(r"(['\\])", text) if part]
    written = [f"char({ord(part)})" if part in "'\\" else f"'{part}'" for part in parts]
    return written[0] if len(written) == 1 else f"concat({', '.join(written)})" if written else "''"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
