# gluewright-cdc-merge 0.1.0 messages.py
# SPDX-License-Identifier: Apache-2.0
"""Read the messages of a topic from lines of JSON, with their keys, and place the deletes among them that have no sequence.

A line is a message if it is an object with ``value``, or with ``key`` and Kafka Connect's ``payload``, and with nothing but
the parts of a message. Any other line is a value without a key::

    {"key": {"id": 1}, "value": {"id": 1, "name": "Ada", "__op": "u"}, "offset": 12}
    {"key": {"id": 1}, "value": null}
    {"key": {"schema": ..., "payload": {"id": 1}}, "schema": ..., "payload": {...}}

Debezium's ``ExtractNewRecordState`` leaves a NULL value of a delete unless it is told to rewrite deletes. It says nothing
about its place in the order. But the connector writes the records of a table in the order of their changes, and a file has
them in this order: so a delete comes right after the last record of its key that stands before it in the file; without one,
after the record before it; without any, right before the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from .feeds import LINE, POSITION, TOMBSTONE
from .ties import describe_change

if TYPE_CHECKING:
    from collections.abc import Collection

PARTS = ("key", "value", "headers", "topic", "partition", "offset", "timestamp", "timestampType", "schema", "payload")
"""What a message may consist of."""
_OUTER = "array<struct<key: string, value: string, topic: string, partition: int, offset: bigint, timestamp: bigint>>"
_BOM = "\ufeff"


def read_messages(lines: DataFrame, *, placed: bool) -> DataFrame:
    """Split lines into messages.

    Args:
        lines: ``value``, a line each; other columns stay.
        placed: whether to add ``_gw_position``, where a line stands, for :func:`place_deletes`. The lines come right from
            the reader then.

    Returns:
        ``key`` and ``value`` as JSON text, NULL where there is none; ``topic``, ``partition``, ``offset`` and
        ``timestamp``, which may order the changes; and ``_gw_message``, the line itself.
    """
    others = [name for name in lines.columns if name != "value"]
    place = [F.struct("_metadata.file_path", "_metadata.file_block_start", _row()).alias(POSITION)] if placed else []
    lines = lines.select(*others, _line().alias(LINE), *place)
    # Bytes that are not UTF-8 would be lost in parsing: such a line stays whole, and is quarantined.
    readable = f"CAST({LINE} AS BINARY) = encode({LINE}, 'UTF-8')"
    names = f"CASE WHEN {LINE} RLIKE '\"(key|value)\" *:' AND {readable} THEN json_object_keys({LINE}) END"
    parts = ", ".join(f"'{part}'" for part in PARTS)
    lines = lines.selectExpr("*", f"{names} AS _gw_names")
    wrapped = "array_contains(_gw_names, 'key') AND array_contains(_gw_names, 'payload')"
    is_message = f"(array_contains(_gw_names, 'value') OR ({wrapped})) AND size(array_except(_gw_names, array({parts}))) = 0"
    # In brackets, so that what follows the object, or a second one, is not passed over.
    parsed = f"CASE WHEN {is_message} THEN from_json(concat('[', {LINE}, ']'), '{_OUTER}') END"
    lines = lines.selectExpr("*", f"{parsed} AS _gw_parsed")
    one = "size(_gw_parsed) = 1 AND get(_gw_parsed, 0) IS NOT NULL"
    whole = "array_contains(_gw_names, 'payload')"
    fields = [f"CASE WHEN {one} THEN get(_gw_parsed, 0).`{name}` END AS `{name}`" for name in PARTS if f"{name}:" in _OUTER]
    fields[1] = f"CASE WHEN {one} AND NOT {whole} THEN get(_gw_parsed, 0).value ELSE {LINE} END AS value"
    return lines.selectExpr(*(f"`{name}`" for name in others), LINE, *([POSITION] if placed else []), *fields)


def place_deletes(records: DataFrame, *, pii: Collection[str] = ()) -> DataFrame:
    """Give deletes that are NULL values a sequence, from the records around them.

    Args:
        records: the decoded records (:attr:`gluewright_cdc_merge.feeds.Decoded.records`) of lines with a position. The
            sequence ends with a number, ``after``: 0, of these deletes 1 (after their neighbour) or -1 (before it).
        pii: the columns whose values are withheld from quarantine.

    Returns:
        The records. A delete in a file without any other record is quarantined.
    """
    path, block, row = (f"{POSITION}.{name}" for name in ("file_path", "file_block_start", "row"))
    has_order = F.col("sequence.commit").isNotNull() & F.col("sequence.lsn").isNotNull()
    known = F.when(has_order, F.col("sequence"))
    before = Window.partitionBy(path).orderBy(block, row).rowsBetween(Window.unboundedPreceding, -1)
    after = Window.partitionBy(path).orderBy(F.desc(block), F.desc(row)).rowsBetween(Window.unboundedPreceding, -1)
    same_key = Window.partitionBy(path, "key").orderBy(block, row).rowsBetween(Window.unboundedPreceding, -1)

    def near(window: object, step: int) -> Column:
        return F.last(known, ignorenulls=True).over(window).withField("after", F.lit(step))  # type: ignore[arg-type]

    is_delete = F.col("kind").eqNullSafe(TOMBSTONE) & F.col("what").eqNullSafe("change") & ~has_order
    found = F.coalesce(near(same_key, 1), near(before, 1), near(after, -1))
    placed = records.withColumn("_gw_near", found)
    lost = is_delete & F.col("_gw_near").isNull()
    problem = F.struct(
        F.lit("").alias("column"),
        F.lit("sequence").alias("rule"),
        F.lit("it is a delete without a sequence, and its file has nothing that places it").alias("reason"),
        F.lit(None).cast("string").alias("value"),
    )
    made = {
        "sequence": F.when(is_delete, F.col("_gw_near")).otherwise(F.col("sequence")),
        "what": F.when(lost, "quarantined").otherwise(F.col("what")),
        "original": F.when(lost, describe_change(records, pii)).otherwise(F.col("original")),
        "problems": F.when(lost, F.array(problem)).otherwise(F.col("problems")),
    }
    return placed.withColumns(made).drop("_gw_near")


def _line() -> Column:
    value = F.col("value")
    return F.when(F.startswith(value, F.lit(_BOM)), F.substring(value, 2, 2_000_000_000)).otherwise(value)


def _row() -> Column:
    return F.monotonically_increasing_id().alias("row")
