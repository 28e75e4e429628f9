"""Avro schemas, parsed: names resolved, and everything checked that the specification requires.

From the Apache Avro Specification 1.12, "Schema Declaration" and "Names".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema.sources.avro_schema import PRIMITIVES, AvroField, AvroType, is_whole, with_logical


def parse_avro(schema: str | Mapping[str, Any] | list[Any], *, where: str = "avro") -> AvroType:
    """Parse a schema.

    Args:
        schema: the text of the schema's file, which is JSON; or the object or list that it decodes to.
        where: the file's name, for messages.

    Raises:
        InvalidSourceError: it is not a valid schema; the message names the path.

    Example:
        >>> parsed = parse_avro({"type": "enum", "name": "shop.Colour", "symbols": ["RED"], "default": "RED"})
        >>> print(parsed, parsed.symbols)
        enum shop.Colour ('RED',)
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise InvalidSourceError(f"{where}: not JSON: {error}") from error
    try:
        return _Parser(where).type(schema, "", "")
    except RecursionError as error:
        raise InvalidSourceError(f"{where}: its types are nested too deeply") from error


def full_name(name: str, namespace: str) -> str:
    """Return a name with its namespace, unless it has one already."""
    return name if "." in name or not namespace else f"{namespace}.{name}"


class _Parser:
    """Parses types from the outside in, and remembers the named ones."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._named: dict[str, AvroType] = {}

    def type(self, schema: Any, path: str, namespace: str) -> AvroType:
        if isinstance(schema, str):
            return AvroType(schema) if schema in PRIMITIVES else self._reference(schema, path, namespace)
        if isinstance(schema, list):
            return self._union(schema, path, namespace)
        if not isinstance(schema, Mapping):
            self._fail(path, f"{schema!r} is no type; write a type's name, an object with a type, or a list of types")
        if schema.get("type") is None:
            self._fail(path, f"{_short(schema)} is no type: it has no 'type'")
        if not isinstance(schema["type"], str):
            return self.type(schema["type"], path, namespace)
        return self._object(schema, schema["type"], path, namespace)

    def _object(self, schema: Mapping[str, Any], kind: str, path: str, namespace: str) -> AvroType:
        if kind in {"record", "enum", "fixed"}:
            return self._definition(schema, kind, path, namespace)
        if kind in {"array", "map"}:
            part, inside = ("items", "[]") if kind == "array" else ("values", "{}.value")
            if part not in schema:
                self._fail(path, f"the {kind} has no {part!r}; give it the type of its {part}")
            inner = [self.type(schema[part], f"{path}{inside}", namespace)]
            return with_logical(AvroType(kind, schema, inner=inner))
        if kind in PRIMITIVES:
            return with_logical(AvroType(kind, schema))
        return self._reference(kind, path, namespace)

    def _reference(self, name: str, path: str, namespace: str) -> AvroType:
        found = self._named.get(full_name(name, namespace)) or self._named.get(name)
        if found is None:
            self._fail(path, f"unknown type {name!r}; named types are defined before they are used")
        return found

    def _union(self, schemas: list[Any], path: str, namespace: str) -> AvroType:
        branches = [self.type(schema, path, namespace) for schema in schemas]
        seen = set()
        for branch in branches:
            if branch.kind == "union":
                self._fail(path, "a union directly inside a union is not allowed; write one list")
            if (branch.kind, branch.name) in seen:
                self._fail(path, f"the union has {branch} twice; remove one")
            seen.add((branch.kind, branch.name))
        return AvroType("union", inner=branches)

    def _definition(self, schema: Mapping[str, Any], kind: str, path: str, namespace: str) -> AvroType:
        name, space = schema.get("name"), schema.get("namespace") or ""
        if not isinstance(name, str) or not name:
            self._fail(path, f"the {kind} has no 'name'; give it a text")
        if not isinstance(space, str):
            self._fail(path, f"the namespace of the {kind} {name} is {space!r}; give it a text")
        full = full_name(name, space if "namespace" in schema else namespace)
        if full in PRIMITIVES:
            self._fail(path, f"the {kind} has the name of the type {full}; rename it")
        if full in self._named:
            self._fail(path, f"{full} is defined twice; write only its name the second time")
        inner = full.rpartition(".")[0]
        aliases = tuple(full_name(alias, inner) for alias in self._texts(schema, "aliases", f"the {kind} {full}", path))
        made = self._named[full] = AvroType(kind, schema, full, aliases)
        if kind == "record":
            made.fields = self._fields(schema.get("fields"), full, path)
        elif kind == "enum":
            self._read_symbols(made, path)
        else:
            made.size = schema.get("size", -1)
            if not is_whole(made.size) or made.size < 0:
                self._fail(path, f"the size of the fixed {full} is {schema.get('size')!r}; give it a number of bytes")
        return with_logical(made)

    def _read_symbols(self, made: AvroType, path: str) -> None:
        if "symbols" not in made.attributes:
            self._fail(path, f"the enum {made.name} has no 'symbols'; give it a list of texts")
        made.symbols = self._texts(made.attributes, "symbols", f"the enum {made.name}", path)
        twice = [symbol for symbol in made.symbols if made.symbols.count(symbol) > 1]
        if twice:
            self._fail(path, f"the enum {made.name} has the symbol {twice[0]} twice; remove one")
        made.default = made.attributes.get("default")
        if made.default is not None and made.default not in made.symbols:
            self._fail(path, f"the default of the enum {made.name} is {made.default!r}, not one of its symbols")

    def _fields(self, schemas: Any, record: str, path: str) -> list[AvroField]:
        if not isinstance(schemas, list):
            self._fail(path, f"the record {record} has no list of fields; give it 'fields'")
        found: list[AvroField] = []
        for number, schema in enumerate(schemas):
            if not isinstance(schema, Mapping) or "name" not in schema or "type" not in schema:
                self._fail(path, f"field {number} has no name or no type; give it both")
            name, column = schema["name"], schema.get("column", schema["name"])
            if not all(isinstance(text, str) and text for text in (name, column)):
                self._fail(path, f"field {number} has the name {name if column == name else column!r}; give it a text")
            if name in (other.name for other in found):
                self._fail(path, f"the record {record} has the field {name} twice; remove or rename one")
            at = f"{path}.{column}" if path else column
            kind = self.type(schema["type"], at, record.rpartition(".")[0])
            found.append(AvroField(name, kind, schema, self._texts(schema, "aliases", "the field", at)))
        return found

    def _texts(self, schema: Mapping[str, Any], key: str, whose: str, path: str) -> tuple[str, ...]:
        given = schema.get(key, [])
        if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
            self._fail(path, f"the {key} of {whose} are {_short(given)}; give a list of texts")
        return tuple(given)

    def _fail(self, path: str, reason: str) -> NoReturn:
        raise InvalidSourceError(f"{self._where}: {path or 'the schema'}: {reason}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
