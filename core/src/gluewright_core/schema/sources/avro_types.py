"""The types of Avro, read as Spark's. Rules and losses stand in :mod:`~gluewright_core.schema.sources.avro`."""

from __future__ import annotations

import json
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

from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema.losses import Loss
from gluewright_core.schema.sources.avro_schema import AvroField, AvroType

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
_LOGICAL: dict[str, type[DataType]] = {
    "date": DateType,
    "timestamp-micros": TimestampType,
    "timestamp-millis": TimestampType,
    "local-timestamp-micros": TimestampNTZType,
    "local-timestamp-millis": TimestampNTZType,
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
    "big-decimal": "every value has a scale of its own: its bytes are kept",
}
ATTRIBUTES = ("tags", "on_surprise", "format")


class AvroReader:
    """Reads types as columns, and notes what is lost.

    Args:
        where: the file's name, for messages.

    Attributes:
        losses: what was lost so far.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.losses: list[Loss] = []
        self._open: list[AvroType] = []

    def record(self, record: AvroType, path: str) -> StructType:
        """Read a record as a struct.

        Args:
            record: the type.
            path: of the column that it is the type of; empty for the outermost.

        Raises:
            InvalidSourceError: it cannot be read; the message names the path.
        """
        if record in self._open:
            self._fail(path, f"the record {record.name} contains itself; a table's columns end somewhere: cut the recursion")
        self._lose_aliases(record.aliases, path)
        self._open.append(record)
        struct = StructType([self._field(field, path) for field in record.fields])
        self._open.pop()
        return struct

    def _field(self, field: AvroField, path: str) -> StructField:
        at = f"{path}.{field.column}" if path else field.column
        kind, nullable = self._nullable(field.type, at)
        if field.attributes.get("default") is not None:
            said = json.dumps(field.attributes["default"], ensure_ascii=False)
            self.losses.append(Loss(at, "default", f"a contract has no defaults: {said} is left out"))
        if "logicalType" in field.attributes:
            why = "Avro ignores a logical type beside a field's type; write it inside the type"
            self.losses.append(Loss(at, "type", f"{field.attributes['logicalType']} is ignored: {why}"))
        self._lose_aliases(field.aliases, at)
        return StructField(field.column, kind, nullable, _metadata(field))

    def _nullable(self, kind: AvroType, path: str) -> tuple[DataType, bool]:
        """Read a type that may be a union with null."""
        if kind.kind != "union":
            return self._kind(kind, path), kind.kind == "null"
        others = [branch for branch in kind.inner if branch.kind != "null"]
        if len(others) != 1:
            said = ", ".join(branch.name or branch.kind for branch in kind.inner)
            self._fail(path, f"the union of {said} cannot be one column; use a union of null and one type, or a record")
        return self._kind(others[0], path), len(others) < len(kind.inner)

    def _kind(self, kind: AvroType, path: str) -> DataType:
        read = self._composed(kind, path)
        if kind.ignored:
            self.losses.append(Loss(path, "type", f"{kind.ignored}: it is ignored and {read.simpleString()} is kept"))
        return read

    def _composed(self, kind: AvroType, path: str) -> DataType:
        if kind.decimal:
            return self._decimal(*kind.decimal, path)
        composed = {
            "record": self.record,
            "array": self._array,
            "map": lambda kind, path: MapType(StringType(), *self._nullable(kind.inner[0], f"{path}{{}}.value")),
            "enum": self._enum_or_fixed,
            "fixed": self._enum_or_fixed,
        }
        return composed.get(kind.kind, self._logical)(kind, path)

    def _array(self, kind: AvroType, path: str) -> DataType:
        if kind.logical != "map":
            return ArrayType(*self._nullable(kind.inner[0], f"{path}[]"))
        entry = {field.name: field.type for field in kind.inner[0].fields}
        key, nullable = self._nullable(entry["key"], f"{path}{{}}.key")
        if nullable:
            self.losses.append(Loss(f"{path}{{}}.key", "nullable", "the keys of a map are never NULL"))
        return MapType(key, *self._nullable(entry["value"], f"{path}{{}}.value"))

    def _enum_or_fixed(self, kind: AvroType, path: str) -> DataType:
        self._lose_aliases(kind.aliases, path)
        if kind.kind == "enum":
            default = f" and its default {kind.default}" if kind.default is not None else ""
            symbols = f"its symbols were {', '.join(kind.symbols)}{default}"
            self.losses.append(Loss(path, "type", f"enum becomes string: Spark has no enum; {symbols}"))
            return StringType()
        why = "the bytes of the uuid are kept" if kind.logical == "uuid" else _LOST_LOGICAL.get(kind.logical, "")
        why = why or "Spark's binary has no size"
        self.losses.append(Loss(path, "type", f"fixed({kind.size}) becomes binary: {why}"))
        return BinaryType()

    def _logical(self, kind: AvroType, path: str) -> DataType:
        if kind.logical in {"char", "varchar"}:
            return (CharType if kind.logical == "char" else VarcharType)(kind.attributes["maxLength"])
        found = _LOGICAL.get(kind.logical, PLAIN[kind.kind])()
        if kind.logical in _LOST_LOGICAL:
            why = f"{kind.logical} becomes {found.simpleString()}: {_LOST_LOGICAL[kind.logical]}"
            self.losses.append(Loss(path, "type", why))
        return found

    def _decimal(self, precision: int, scale: int, path: str) -> DataType:
        if precision > 38:
            self._fail(path, f"decimal({precision},{scale}): the precision goes from 1 to 38 in Spark; use bytes or string")
        return DecimalType(precision, scale)

    def _lose_aliases(self, aliases: tuple[str, ...], path: str) -> None:
        if aliases:
            self.losses.append(Loss(path, "aliases", f"a contract has no aliases: {', '.join(aliases)} is left out"))

    def _fail(self, path: str, reason: str) -> NoReturn:
        raise InvalidSourceError(f"{self._where}: {path or 'the record'}: {reason}")


def _metadata(field: AvroField) -> dict[str, Any]:
    """Return what a column carries; attributes of the same names that others use otherwise are passed over."""
    given = field.attributes
    texts = {key: given[key] for key in ("on_surprise", "format") if given.get(key) and isinstance(given[key], str)}
    tags = given.get("tags")
    is_tags = isinstance(tags, str) or (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags))
    comment = {"comment": given["doc"]} if given.get("doc") and isinstance(given["doc"], str) else {}
    return comment | ({"tags": tags} if tags and is_tags else {}) | texts
