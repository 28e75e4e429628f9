"""Pairs of Avro schemas with what a reader cannot read of a writer, by the rules of the specification."""

from __future__ import annotations

from typing import Any

Schema = Any


def record(*fields: dict[str, Any], name: str = "Order", **more: Any) -> Schema:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, kind: Schema, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, name: str = "Colour", **more: Any) -> Schema:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def fixed(size: int, name: str = "Hash", **more: Any) -> Schema:
    return {"type": "fixed", "name": name, "size": size, **more}


def logical(kind: str, logical_type: str, **more: Any) -> Schema:
    return {"type": kind, "logicalType": logical_type, **more}


def decimal(precision: int, scale: int, kind: str = "bytes") -> Schema:
    return logical(kind, "decimal", precision=precision, scale=scale)


def node(value: str, name: str = "Node") -> Schema:
    """A linked list."""
    return record(field("value", value), field("next", ["null", name], default=None), name=name)


ID = field("id", "long")
NO_DEFAULT = "is not in the writer's schema and has no default; give it a default"
DECIMALS = "decimals match with the same type, precision and scale only; add a field beside it"
ITEM = record(field("sku", "string"), name="Item")


def items(*fields: dict[str, Any]) -> Schema:
    return record(field("items", {"type": "array", "items": record(*fields, name="Item")}))


COMPATIBLE: dict[str, tuple[Schema, Schema]] = {
    "the same": (record(ID), record(ID)),
    "a field is gone": (record(ID), record(ID, field("note", "string"))),
    "a field is new and has a default": (record(ID, field("note", "string", default="")), record(ID)),
    "a nullable field is new and has the default null": (record(ID, field("a", ["null", "int"], default=None)), record(ID)),
    "fields move": (record(field("a", "int"), ID), record(ID, field("a", "int"))),
    "a field is renamed with an alias": (record(field("key", "long", aliases=["id"])), record(ID)),
    "a record is renamed with an alias": (record(ID, name="Sale", aliases=["Order"]), record(ID)),
    "a record moves to another namespace": (record(ID, namespace="new"), record(ID, namespace="old")),
    "an enum is renamed with an alias": (enum("RED", name="Color", aliases=["Colour"]), enum("RED")),
    "a fixed is renamed with an alias": (fixed(16, "Digest", aliases=["Hash"]), fixed(16)),
    "a symbol is new": (enum("RED", "BLUE"), enum("RED")),
    "a symbol is gone and the enum has a default": (enum("RED", default="RED"), enum("RED", "BLUE")),
    "symbols move": (enum("BLUE", "RED"), enum("RED", "BLUE")),
    "a union gets a branch": (["null", "int", "string"], ["null", "int"]),
    "branches move": (["string", "null"], ["null", "string"]),
    "a value becomes a union": (["null", "int"], "int"),
    "a union of what can be promoted becomes a value": ("double", ["int", "long", "float"]),
    "branches are promoted": (["null", "long"], ["null", "int"]),
    "a union of one type": ("int", ["int"]),
    "int to long": ("long", "int"),
    "int to float": ("float", "int"),
    "int to double": ("double", "int"),
    "long to float": ("float", "long"),
    "long to double": ("double", "long"),
    "float to double": ("double", "float"),
    "string to bytes": ("bytes", "string"),
    "bytes to string": ("string", "bytes"),
    "items are promoted": ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}),
    "values are promoted": ({"type": "map", "values": "double"}, {"type": "map", "values": "int"}),
    "the same decimal": (decimal(10, 2), decimal(10, 2)),
    "a decimal becomes its bytes": ("bytes", decimal(10, 2)),
    "a logical type that does not fit is ignored": (decimal(0, 0), decimal(5, 7)),
    "a date becomes its number": ("int", logical("int", "date")),
    "a unit of time changes": (logical("long", "timestamp-micros"), logical("long", "timestamp-millis")),
    "a list that contains itself is promoted": (node("long"), node("int")),
    "the root becomes a union": (["null", record(ID)], record(ID)),
}
"""By what changes: a reader's schema, and a writer's that it reads."""

INCOMPATIBLE: dict[str, tuple[Schema, Schema, list[str]]] = {
    "a field is new and has no default": (
        record(ID, field("note", "string")),
        record(ID),
        ["note: string is not in the writer's schema and has no default; give it a default"],
    ),
    "a union is new and has no default": (
        record(ID, field("note", ["null", "string"])),
        record(ID),
        ["note: union of null, string is not in the writer's schema and has no default; give it a default"],
    ),
    "a field is renamed without an alias": (
        record(field("key", "long")),
        record(ID),
        [f"key: long {NO_DEFAULT}, or the alias id if that was its name"],
    ),
    "a field within items is new and has no default": (
        items(field("sku", "string"), field("price", "double")),
        items(field("sku", "string")),
        ["items[].price: double is not in the writer's schema and has no default; give it a default"],
    ),
    "a field differs by case": (
        record(field("Id", "long")),
        record(ID),
        [f"Id: long {NO_DEFAULT}, or the alias id if that was its name"],
    ),
    "a record is renamed without an alias": (
        record(ID, name="Sale"),
        record(ID),
        ["(schema): record Order is not read as record Sale; give the reader's record the alias Order, or keep the name"],
    ),
    "an inner record is renamed without an alias": (
        record(field("item", record(field("sku", "string"), name="Line"))),
        record(field("item", ITEM)),
        ["item: record Item is not read as record Line; give the reader's record the alias Item, or keep the name"],
    ),
    "an enum is renamed without an alias": (
        record(field("c", enum("RED", name="Color"))),
        record(field("c", enum("RED"))),
        ["c: enum Colour is not read as enum Color; give the reader's enum the alias Colour, or keep the name"],
    ),
    "an alias of another namespace": (
        enum("RED", name="new.Color", aliases=["Colour"]),
        enum("RED", name="old.Colour"),
        ["(schema): enum old.Colour is not read as enum new.Color; "
         "give the reader's enum the alias old.Colour, or keep the name"],
    ),
    "a name without namespace cannot be an alias of one with it": (
        enum("RED", name="new.Color"),
        enum("RED"),
        ["(schema): enum Colour is not read as enum new.Color; keep the name"],
    ),
    "a fixed is renamed without an alias": (
        fixed(16, "Digest"),
        fixed(16),
        ["(schema): fixed(16) Hash is not read as fixed(16) Digest; "
         "give the reader's fixed the alias Hash, or keep the name"],
    ),
    "the size of a fixed changes": (
        record(field("hash", fixed(32))),
        record(field("hash", fixed(16))),
        ["hash: fixed(16) Hash is not read as fixed(32) Hash; keep the size, or add a field beside it"],
    ),
    "a symbol is gone": (
        record(field("c", enum("RED"))),
        record(field("c", enum("RED", "BLUE"))),
        ["c: the enum Colour lacks the symbol BLUE; keep it, or give the reader's enum a default"],
    ),
    "symbols are gone and only the field has a default": (
        record(field("c", enum("RED"), default="RED")),
        record(field("c", enum("RED", "BLUE", "GREEN"))),
        ["c: the enum Colour lacks the symbols BLUE, GREEN; keep them, or give the reader's enum a default"],
    ),
    "a branch is gone": (
        record(field("v", ["null", "int"])),
        record(field("v", ["null", "int", "string"])),
        ["v: the union of null, int has no branch that reads string; keep or add string"],
    ),
    "null is gone": (
        record(field("v", "int")),
        record(field("v", ["null", "int"])),
        ['v: null was written and int does not read it; keep ["null", …]'],
    ),
    "null is gone from a union": (
        ["int", "string"],
        ["null", "int"],
        ["(schema): the union of int, string has no branch that reads null; keep or add null"],
    ),
    "a branch has a field without default": (
        record(field("item", ["null", record(field("sku", "string"), field("price", "int"), name="Item")])),
        record(field("item", ["null", ITEM])),
        ["item.price: int is not in the writer's schema and has no default; give it a default"],
    ),
    "long to int": ("int", "long", ["(schema): long is not read as int; keep long, or add a field beside it"]),
    "float to long": ("long", "float", ["(schema): float is not read as long; keep float, or add a field beside it"]),
    "int to string": ("string", "int", ["(schema): int is not read as string; add a field beside it"]),
    "boolean to int": ("int", "boolean", ["(schema): boolean is not read as int; add a field beside it"]),
    "enum to string": ("string", enum("RED"), ["(schema): enum Colour is not read as string; add a field beside it"]),
    "string to enum": (enum("RED"), "string", ["(schema): string is not read as enum Colour; add a field beside it"]),
    "fixed to bytes": ("bytes", fixed(16), ["(schema): fixed(16) Hash is not read as bytes; add a field beside it"]),
    "array to map": (
        {"type": "map", "values": "int"},
        {"type": "array", "items": "int"},
        ["(schema): array is not read as map; add a field beside it"],
    ),
    "values become narrower": (
        record(field("counts", {"type": "map", "values": "int"})),
        record(field("counts", {"type": "map", "values": "long"})),
        ["counts{}.value: long is not read as int; keep long, or add a field beside it"],
    ),
    "the precision of a decimal changes": (
        record(field("price", decimal(12, 2))),
        record(field("price", decimal(10, 2))),
        [f"price: decimal(10,2) is not read as decimal(12,2): {DECIMALS}"],
    ),
    "the scale of a decimal changes": (
        decimal(10, 3),
        decimal(10, 2),
        [f"(schema): decimal(10,2) is not read as decimal(10,3): {DECIMALS}"],
    ),
    "the scale of a fixed decimal changes": (
        decimal(10, 3, "fixed") | {"name": "Sum", "size": 8},
        decimal(10, 2, "fixed") | {"name": "Sum", "size": 8},
        [f"(schema): decimal(10,2) is not read as decimal(10,3): {DECIMALS}"],
    ),
    "a list that contains itself becomes narrower": (
        node("int"),
        node("long"),
        ["value: long is not read as int; keep long, or add a field beside it"],
    ),
    "an alias takes the field of another": (
        record(field("id", "long"), field("key", "long", aliases=["id"])),
        record(ID),
        ["id: long is not in the writer's schema and has no default; give it a default"],
    ),
    "an alias makes two fields one": (
        record(field("key", "long", aliases=["id"])),
        record(ID, field("key", "long")),
        ["key: the writer has both id and key, and an alias makes them one; remove the alias"],
    ),
    "a default is no value of its type": (
        record(ID, field("n", "int", default="0")),
        record(ID),
        ['n: its default "0" is no value of int; correct it'],
    ),
}  # fmt: skip
"""By what changes: a reader's schema, a writer's, and what the reader cannot read."""

_DECIMALS = {
    "the precision of a decimal changes": "it does not compare logical types",
    "the scale of a decimal changes": "it does not compare logical types",
    "the scale of a fixed decimal changes": "it does not compare logical types",
}

PYTHON_DEVIATES = _DECIMALS | {
    "a default is no value of its type": "it does not check defaults",
    "an alias makes two fields one": "it takes the field of the same name, and leaves the other out",
    "an alias takes the field of another": "it reads one field of the writer as two",
}
"""Pairs that the checker of Avro's Python library takes for compatible, against the specification."""

JAVA_DEVIATES = _DECIMALS | {
    "an alias takes the field of another": "it reads one field of the writer as two",
}
"""Pairs that the checker of Avro's Java library takes for compatible, against the specification."""
