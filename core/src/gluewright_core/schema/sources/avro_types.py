"""The types of Avro, read as Spark's. Rules and losses stand in :mod:`~gluewright_core.schema.sources.avro`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

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
    IntegerType,
    LongType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from gluewright_core.errors import SourceInvalid
from gluewright_core.schema.losses import Loss

PLAIN: dict[str, type[DataType]] = {
    "boolean": BooleanType,
    "int": IntegerType,
    "long": LongType,
    "float": FloatType,
    "double": DoubleType,
    "bytes": BinaryType,
    "string": StringType,
    "null": NullType,
}
_LOGICAL: dict[tuple[str, str], type[DataType]] = {
    ("int", "date"): DateType,
    ("long", "timestamp-micros"): TimestampType,
    ("long", "timestamp-millis"): TimestampType,
    ("long", "local-timestamp-micros"): TimestampNTZType,
    ("long", "local-timestamp-millis"): TimestampNTZType,
}
_LOST_LOGICAL = {
    "time-millis": "Spark has no time of day: the number of milliseconds since midnight is kept",
    "time-micros": "Spark has no time of day: the number of microseconds since midnight is kept",
    "timestamp-millis": "Spark's timestamp has microseconds: it is written back as timestamp-micros",
    "local-timestamp-millis": "Spark's timestamp has microseconds: it is written back as local-timestamp-micros",
    "timestamp-nanos": "Spark's timestamp has microseconds: the number of nanoseconds is kept",
    "local-timestamp-nanos": "Spark's timestamp has microseconds: the number of nanoseconds is kept",
    "uuid": "Spark has no uuid: its text is kept",
    "duration": "Spark has no such type: its bytes are kept",
}
ATTRIBUTES = ("tags", "on_surprise", "format")


def full_name(schema: Mapping[str, Any], namespace: str) -> str:
    """Give a named type's name with its namespace."""
    name = str(schema.get("name", ""))
    space = schema.get("namespace", namespace)
    return name if "." in name or not space else f"{space}.{name}"


class AvroReader:
    """Reads types, remembers named ones, and notes what is lost.

    Args:
        where: the file's name, for messages.

    Attributes:
        losses: what was lost so far.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.losses: list[Loss] = []
        self._named: dict[str, Mapping[str, Any]] = {}
        self._open: list[str] = []

    def record(self, schema: Mapping[str, Any], path: str, namespace: str) -> StructType:
        """Read a record as a struct.

        Args:
            schema: of the record.
            path: of the column that it is the type of; empty for the outermost.
            namespace: of what is around it.

        Raises:
            SourceInvalid: it cannot be read; the message names the path.
        """
        name = full_name(schema, namespace)
        self._named[name] = schema
        fields = schema.get("fields")
        if not isinstance(fields, list):
            self._fail(path, f"the record {name} has no list of fields")
        self._open.append(name)
        inner = name.rpartition(".")[0]
        struct = StructType([self._field(field, path, inner, number) for number, field in enumerate(fields)])
        self._open.pop()
        return struct

    def _field(self, field: Any, path: str, namespace: str, number: int) -> StructField:
        if not isinstance(field, Mapping) or "name" not in field or "type" not in field:
            self._fail(path, f"field {number} has no name or no type")
        name = str(field.get("column", field["name"]))
        at = f"{path}.{name}" if path else name
        kind, nullable = self._nullable(field["type"], at, namespace)
        if field.get("default") is not None:
            said = json.dumps(field["default"], ensure_ascii=False)
            self.losses.append(Loss(at, "default", f"a contract has no defaults: {said} is left out"))
        metadata = {key: field[key] for key in ATTRIBUTES if field.get(key)}
        comment = {"comment": field["doc"]} if field.get("doc") else {}
        return StructField(name, kind, nullable, {**comment, **metadata})

    def _nullable(self, schema: Any, path: str, namespace: str) -> tuple[DataType, bool]:
        """Read a type that may be a union with null."""
        if not isinstance(schema, list):
            return self._kind(schema, path, namespace), schema == "null"
        others = [branch for branch in schema if branch != "null"]
        if len(others) != 1:
            said = ", ".join(_named(branch) for branch in schema)
            self._fail(path, f"the union of {said} cannot be one column; use a union of null and one type, or a record")
        return self._kind(others[0], path, namespace), len(others) < len(schema)

    def _kind(self, schema: Any, path: str, namespace: str) -> DataType:
        if isinstance(schema, str):
            return self._named_type(schema, path, namespace)
        if isinstance(schema, list):
            return self._nullable(schema, path, namespace)[0]
        if not isinstance(schema, Mapping) or "type" not in schema:
            self._fail(path, f"{schema!r} is no type")
        kind = schema["type"]
        composed = {
            "record": self.record,
            "array": self._array,
            "map": self._map,
            "enum": self._enum_or_fixed,
            "fixed": self._enum_or_fixed,
        }
        if not isinstance(kind, str):
            return self._kind(kind, path, namespace)
        if kind in composed:
            return composed[kind](schema, path, namespace)
        return self._logical(schema, kind, path) if kind in PLAIN else self._named_type(kind, path, namespace)

    def _array(self, schema: Mapping[str, Any], path: str, namespace: str) -> DataType:
        if schema.get("logicalType") == "map":
            return self._map_of_entries(schema, path, namespace)
        return ArrayType(*self._nullable(schema.get("items"), f"{path}[]", namespace))

    def _map(self, schema: Mapping[str, Any], path: str, namespace: str) -> DataType:
        return MapType(StringType(), *self._nullable(schema.get("values"), f"{path}{{}}.value", namespace))

    def _named_type(self, name: str, path: str, namespace: str) -> DataType:
        if name in PLAIN:
            return PLAIN[name]()
        full = name if "." in name or not namespace or f"{namespace}.{name}" not in self._named else f"{namespace}.{name}"
        if full in self._open:
            self._fail(path, f"the record {full} contains itself; a table's columns end somewhere: cut the recursion")
        if full not in self._named:
            self._fail(path, f"unknown type {name!r}; named types are defined before they are used")
        return self._kind(self._named[full], path, full.rpartition(".")[0])

    def _map_of_entries(self, schema: Mapping[str, Any], path: str, namespace: str) -> DataType:
        items = schema.get("items")
        entry = {field["name"]: field["type"] for field in items.get("fields", [])} if isinstance(items, Mapping) else {}
        if set(entry) != {"key", "value"}:
            self._fail(path, "an array with the logical type map has records of key and value")
        key = self._kind(entry["key"], f"{path}{{}}.key", namespace)
        return MapType(key, *self._nullable(entry["value"], f"{path}{{}}.value", namespace))

    def _enum_or_fixed(self, schema: Mapping[str, Any], path: str, namespace: str) -> DataType:
        self._named[full_name(schema, namespace)] = schema
        if schema["type"] == "enum":
            symbols = ", ".join(map(str, schema.get("symbols", [])))
            self.losses.append(Loss(path, "type", f"enum becomes string: Spark has no enum; its symbols were {symbols}"))
            return StringType()
        if schema.get("logicalType") == "decimal":
            return self._logical(schema, "fixed", path)
        why = _LOST_LOGICAL.get(str(schema.get("logicalType")), "Spark's binary has no size")
        self.losses.append(Loss(path, "type", f"fixed({schema.get('size')}) becomes binary: {why}"))
        return BinaryType()

    def _logical(self, schema: Mapping[str, Any], kind: str, path: str) -> DataType:
        logical = str(schema.get("logicalType", ""))
        if logical == "decimal" and kind in {"bytes", "fixed"}:
            precision, scale = schema.get("precision"), schema.get("scale", 0)
            if not (
                isinstance(precision, int) and isinstance(scale, int) and 1 <= precision <= 38 and 0 <= scale <= precision
            ):
                self._fail(path, f"decimal({precision},{scale}): the precision goes from 1 to 38, the scale from 0 to it")
            return DecimalType(precision, scale)
        if logical in {"char", "varchar"} and kind == "string" and isinstance(schema.get("maxLength"), int):
            return (CharType if logical == "char" else VarcharType)(schema["maxLength"])
        found = _LOGICAL.get((kind, logical), PLAIN[kind])
        if logical in _LOST_LOGICAL:
            self.losses.append(Loss(path, "type", f"{logical} becomes {found().simpleString()}: {_LOST_LOGICAL[logical]}"))
        return found()

    def _fail(self, path: str, reason: str) -> NoReturn:
        raise SourceInvalid(f"{self._where}: {path or 'the record'}: {reason}")


def _named(schema: Any) -> str:
    return str(schema.get("name", schema.get("type"))) if isinstance(schema, Mapping) else str(schema)
