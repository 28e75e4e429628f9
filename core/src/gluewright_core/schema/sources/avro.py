"""Avro schemas, as JSON: read into a contract and written from one.

From the Apache Avro Specification, "Schema Declaration" and "Logical Types". A union with null is a nullable column. Avro's
names are ASCII letters, digits and underscores: another name is written as such a one, and kept beside it under ``column``.
``char`` and ``varchar`` are logical types of string, as Hive writes them ("AvroSerDe", Apache Hive); a map whose keys are no
texts is an array of keys and values with the logical type ``map``, as Iceberg writes it ("Iceberg Table Spec", "Avro").
What carries no type (tags, modes, formats, keys) is kept as attributes, which readers of Avro pass over.

Lost in writing: ``tinyint`` and ``smallint`` become int; an empty struct or ``void`` cannot be written. Lost in reading: the
symbols of an enum, the size of a fixed, the difference between uuid and string, times of day, milliseconds, defaults,
aliases, and logical types that are unknown or do not fit their types, which Avro ignores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pyspark.sql.types import (
    ArrayType,
    ByteType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    MapType,
    NullType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from gluewright_core.errors import InvalidContractError, InvalidSourceError, UnsupportedSourceError
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.differences import Difference
from gluewright_core.schema.losses import Converted, losses_between
from gluewright_core.schema.sources.avro_parsing import parse_avro
from gluewright_core.schema.sources.avro_types import ATTRIBUTES, PLAIN, AvroReader

Schema = dict[str, Any]
_WRITTEN: dict[type[DataType], Any] = {
    ByteType: "int",
    ShortType: "int",
    DateType: {"type": "int", "logicalType": "date"},
    TimestampType: {"type": "long", "logicalType": "timestamp-micros"},
    TimestampNTZType: {"type": "long", "logicalType": "local-timestamp-micros"},
} | {kind: name for name, kind in PLAIN.items() if kind is not NullType}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEAD = ("key", "partition_by", "values", "new_columns")


def from_avro(text: str | Mapping[str, Any], *, where: str = "avro") -> Converted[Contract]:
    """Read a record's schema.

    Args:
        text: the JSON of the schema, or what it decodes to.
        where: the file's name, for messages.

    Raises:
        InvalidSourceError: it is no valid schema of a record, contains itself, or has a union that cannot be one column; the
            message names the path.

    Example:
        >>> record = {"type": "record", "name": "t", "fields": [{"name": "a", "type": ["null", "long"]}]}
        >>> from_avro(record).result.columns
        (Column(name='a', type=LongType(), nullable=True, comment='', tags=(), on_surprise=None, format=''),)
    """
    schema = parse_avro(text, where=where)
    if schema.kind != "record":
        raise InvalidSourceError(f"{where}: the schema is not a record; a contract is made of a record's fields")
    reader = AvroReader(where)
    struct = reader.record(schema, "")
    given = schema.attributes
    name, comment = given.get("column") or schema.name, given.get("doc") or ""
    head = {key: given[key] for key in _HEAD if key in given}
    for key, value in {"column": name, "doc": comment, **head}.items():
        if not isinstance(value, str) and not (key in {"key", "partition_by"} and _is_texts(value)):
            raise InvalidSourceError(f"{where}: the record: {key} is {value!r}; give it a text")
    try:
        contract = Contract.from_struct(name, struct, comment=comment, **head)
    except InvalidContractError as error:
        raise InvalidSourceError(f"{where}: {error}") from error
    return Converted(contract, tuple(reader.losses))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def to_avro(contract: Contract) -> Converted[Schema]:
    """Write a contract as a record's schema; a nullable column is a union with null whose default is null.

    Args:
        contract: ``shop.orders`` becomes the record ``orders`` in the namespace ``shop``.

    Returns:
        The schema, to be dumped as JSON, and what is lost.

    Raises:
        UnsupportedSourceError: a column is void or a struct without fields.
    """
    namespace, _, name = contract.name.rpartition(".")
    valid = _valid_name(name)
    # A record may not be called as a primitive type.
    valid = f"_{valid}" if valid in PLAIN else valid
    exact = valid == name and all(_NAME.fullmatch(part) for part in namespace.split(".") if namespace)
    plain = Contract("plain", contract.columns)
    head = {
        key: list(value) if isinstance(value, tuple) else str(value)
        for key in _HEAD
        if (value := getattr(contract, key)) != getattr(plain, key)
    }
    schema: Schema = {
        "type": "record",
        "name": valid,
        **({"namespace": ".".join(_valid_name(part) for part in namespace.split("."))} if namespace else {}),
        **({} if exact else {"column": contract.name}),
        **({"doc": contract.comment} if contract.comment else {}),
        **head,
        "fields": _Writer().fields(contract.struct, valid, ""),
    }
    return Converted(schema, losses_between(contract, from_avro(schema).result, _why))


def _why(difference: Difference) -> str:
    if difference.what == "type":
        return "Avro's smallest number is int"
    return "Avro has no place for it"


class _Writer:
    """Writes types. Records are named by their path, so that versions of a schema match."""

    def __init__(self) -> None:
        self._records: set[str] = set()

    def fields(self, struct: StructType, record: str, path: str) -> list[Schema]:
        if not struct.fields:
            raise UnsupportedSourceError(f"{path}: a struct without fields cannot be written in Avro; leave it out")
        taken: set[str] = set()
        return [self._field(field, record, f"{path}.{field.name}" if path else field.name, taken) for field in struct]

    def _field(self, field: StructField, record: str, path: str, taken: set[str]) -> Schema:
        name = _distinct(_valid_name(field.name), taken)
        metadata = field.metadata or {}
        kind = self._kind(field.dataType, f"{record}_{name}", path)
        return {
            "name": name,
            "type": ["null", kind] if field.nullable else kind,
            **({"default": None} if field.nullable else {}),
            **({"doc": metadata["comment"]} if metadata.get("comment") else {}),
            **({"column": field.name} if name != field.name else {}),
            **{key: metadata[key] for key in ATTRIBUTES if metadata.get(key)},
        }

    def _kind(self, kind: DataType, record: str, path: str) -> Any:
        match kind:
            case StructType():
                return self._record(record, path, kind)
            case ArrayType():
                return {
                    "type": "array",
                    "items": self._inner(kind.elementType, kind.containsNull, f"{record}_item", f"{path}[]"),
                }
            case MapType():
                return self._map(kind, record, path)
            case DecimalType():
                return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
            case CharType() | VarcharType():
                return {"type": "string", "logicalType": kind.typeName(), "maxLength": kind.length}
        if type(kind) not in _WRITTEN:
            raise UnsupportedSourceError(
                f"{path}: {kind.simpleString()} cannot be written in Avro; convert the column first"
            )
        return _WRITTEN[type(kind)]

    def _record(self, record: str, path: str, struct: StructType) -> Schema:
        return {"type": "record", "name": _distinct(record, self._records), "fields": self.fields(struct, record, path)}

    def _map(self, kind: MapType, record: str, path: str) -> Schema:
        value = self._inner(kind.valueType, kind.valueContainsNull, f"{record}_value", f"{path}{{}}.value")
        if type(kind.keyType) is StringType:
            return {"type": "map", "values": value}
        key = self._kind(kind.keyType, f"{record}_key", f"{path}{{}}.key")
        fields = [{"name": "key", "type": key}, {"name": "value", "type": value}]
        entry = {"type": "record", "name": _distinct(f"{record}_entry", self._records), "fields": fields}
        return {"type": "array", "logicalType": "map", "items": entry}

    def _inner(self, kind: DataType, nullable: bool, record: str, path: str) -> Any:
        schema = self._kind(kind, record, path)
        return ["null", schema] if nullable else schema


def _valid_name(name: str) -> str:
    ascii_only = re.sub(r"[^A-Za-z0-9_]", "_", name) or "_"
    return f"_{ascii_only}" if ascii_only[0].isdigit() else ascii_only


def _distinct(name: str, taken: set[str]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
