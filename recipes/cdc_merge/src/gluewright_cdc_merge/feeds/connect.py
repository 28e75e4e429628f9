# gluewright-cdc-merge 0.1.0 feeds/connect.py
# SPDX-License-Identifier: Apache-2.0
"""Parse a message of Kafka Connect's JSON converter, with its schema where it carries one."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import NullType, StructType

from .._sql import literal, quoted
from .records import Image, feed_columns, type_of_column
from .sql import named_struct, struct_of_columns, struct_of_texts

# What Connect's schema says of the types of columns: its type, and where they are in it.
_NAMED = "name: string, parameters: map<string, string>"


_TYPES = f"array<struct<field: string, {_NAMED}, items: struct<{_NAMED}>>>"


_AFTER = "CAST(array_position({0}.fields.field, 'after') AS INT) - 1"


ENVELOPE_TYPES = f"struct<fields: array<struct<field: string, fields: {_TYPES}>>>", f"get({{0}}.fields.fields, {_AFTER})"


ROW_TYPES = f"struct<fields: {_TYPES}>", "{0}.fields"


def parse_messages(
    records: DataFrame, value: str | None, fields: dict[str, str], types: tuple[str, str]
) -> tuple[DataFrame, Image]:
    """Parse records once: the fields as the column ``_gw_feed``, what Connect says of types as ``_gw_types``."""
    if value is None:
        mine = records.select(*map(quoted, feed_columns(records)))
        return records.selectExpr("*", "NULL AS _gw_types"), Image(struct_of_columns(mine.columns), mine.schema)
    kind = type_of_column(records, value)
    if isinstance(kind, StructType):
        whole = Image(quoted(value), kind)
        if isinstance(whole.type_of("payload"), StructType):
            whole = Image(whole("payload"), whole.type_of("payload"))
        return records.selectExpr("*", "NULL AS _gw_types"), Image(whole.sql, whole.type, null=f"{whole.sql} IS NULL")
    own = ", ".join(f"{quoted(name)}: {to}" for name, to in fields.items())
    # A table with such columns cannot be told from the wrapper.
    can_be_wrapped = not {"payload", "schema"} & set(fields)
    wrapper = f", payload: struct<{own}>, schema: {types[0]}" if can_be_wrapped else ""
    text = f"CAST({quoted(value)} AS STRING)"
    # In brackets, so that what follows the object, or a second one, is not passed over.
    parse = f"from_json(concat('[', {text}, ']'), {literal(f'array<struct<{own}{wrapper}>>')})"
    outer = "get(_gw_parsed, 0)"
    event = named_struct({name: f"{outer}.{quoted(name)}" for name in fields})
    event = f"coalesce({outer}.payload, {event})" if can_be_wrapped else event
    frame = records.selectExpr("*", f"{parse} AS _gw_parsed").selectExpr(
        "*",
        f"CASE WHEN size(_gw_parsed) = 1 AND {outer} IS NOT NULL THEN {event} END AS _gw_feed",
        f"{types[1].format(outer + '.schema') if can_be_wrapped else f'CAST(NULL AS {_TYPES})'} AS _gw_types",
    )
    null = f"{text} IS NULL OR trim({text}) = 'null'"
    return frame, Image("_gw_feed", frame.schema["_gw_feed"].dataType, True, null)


def parse_flattened(records: DataFrame, key: str | None, keys: Sequence[str]) -> tuple[DataFrame, Image]:
    """Parse the message key."""
    if key is None or not keys:
        return records, Image("NULL", NullType())
    kind = type_of_column(records, key)
    if isinstance(kind, StructType):
        whole = Image(quoted(key), kind)
        wrapped = isinstance(whole.type_of("payload"), StructType)
        return records, Image(whole("payload"), whole.type_of("payload")) if wrapped else whole
    own = struct_of_texts(keys)
    wrapper = "" if "payload" in keys else f", payload: {own}"
    parse = f"from_json(CAST({quoted(key)} AS STRING), {literal(own[:-1] + wrapper + '>')})"
    values = named_struct({name: f"_gw_key.{quoted(name)}" for name in keys})
    frame = records.selectExpr("*", f"{parse} AS _gw_key")
    sql = f"CASE WHEN _gw_key IS NOT NULL THEN {f'coalesce(_gw_key.payload, {values})' if wrapper else values} END"
    if len(keys) == 1:
        # A key of one column may be its value, such as `7` or `"seven"`.
        text = f"CAST({quoted(key)} AS STRING)"
        alone = f"coalesce(get(from_json(concat('[', {text}, ']'), 'array<string>'), 0), {text})"
        sql = f"CASE WHEN {text} RLIKE '^ *[^ {{]' THEN {named_struct({keys[0]: alone})} ELSE {sql} END"
    return frame, Image(sql, frame.selectExpr(f"{sql} AS m").schema["m"].dataType)
