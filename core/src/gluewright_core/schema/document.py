"""A contract as the plain document that its file holds, and back.

Types are texts. Where text would lose something (comments or tags of nested fields, elements that may not be NULL), a
type is written out: ``type: struct`` with ``fields``, ``type: array`` with ``items``, ``type: map`` with ``keys`` and
``values``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType

from gluewright_core.errors import InvalidContractError
from gluewright_core.schema.contract import Column, Contract, Place
from gluewright_core.schema.rules import NONE, Rule, rules_document
from gluewright_core.schema.types import type_text

Document = dict[str, Any]
_DETAILS = ("comment", "tags", "on_surprise", "format")
_COMPOSED = {"struct": ("fields",), "array": ("items",), "map": ("keys", "values")}
_TYPE_KEYS = ("type", "nullable", "fields", "items", "keys", "values")
_CONTRACT_KEYS = ("name", "comment", "key", "partition_by", "values", "new_columns", "rules", "columns")
_RULE_KEYS = ("name", *NONE, "severity")


def to_document(contract: Contract) -> Document:
    """Write a contract as a document of texts, lists and mappings."""
    head: Document = {"name": contract.name}
    if contract.comment:
        head["comment"] = contract.comment
    if contract.key:
        head["key"] = list(contract.key)
    if contract.partition_by:
        head["partition_by"] = list(contract.partition_by)
    modes = {"values": str(contract.values), "new_columns": str(contract.new_columns)}
    rules = {"rules": rules_document(contract.rules)} if contract.rules else {}
    columns = [
        {**_field_document(column.field), **({"rules": rules_document(column.rules)} if column.rules else {})}
        for column in contract.columns
    ]
    return {**head, **modes, **rules, "columns": columns}


def from_document(document: Any) -> Contract:
    """Read a contract out of a document.

    Raises:
        InvalidContractError: with the places of everything that is wrong in its ``problems``.
    """
    given = _mapping(document, (), _CONTRACT_KEYS)
    for needed in ("name", "columns"):
        if needed not in given:
            raise _wrong((), f"it has no {needed!r}")
    columns = _list(given["columns"], ("columns",))
    return Contract(
        _text(given["name"], ("name",)),
        tuple(_column(column, ("columns", number), has_rules=True) for number, column in enumerate(columns)),
        key=_texts(given, "key", ()),
        partition_by=_texts(given, "partition_by", ()),
        comment=_text(given.get("comment", ""), ("comment",)),
        rules=_rules(given, ()),
        **{mode: _text(given[mode], (mode,)) for mode in ("values", "new_columns") if mode in given},
    )


def place_text(place: Place) -> str:
    """Write a place as a path: ``columns[2].type``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def _field_document(field: StructField) -> Document:
    metadata = field.metadata or {}
    details = {key: metadata[key] for key in _DETAILS if metadata.get(key)}
    return {"name": field.name, **_type_document(field.dataType, field.nullable), **details}


def _type_document(kind: DataType, nullable: bool) -> Document:
    required = {} if nullable else {"nullable": False}
    if _text_is_enough(kind):
        return {"type": type_text(kind), **required}
    if isinstance(kind, StructType):
        return {"type": "struct", **required, "fields": [_field_document(field) for field in kind]}
    if isinstance(kind, ArrayType):
        return {"type": "array", **required, "items": _inner_document(kind.elementType, kind.containsNull)}
    assert isinstance(kind, MapType)
    keys, values = _inner_document(kind.keyType, True), _inner_document(kind.valueType, kind.valueContainsNull)
    return {"type": "map", **required, "keys": keys, "values": values}


def _inner_document(kind: DataType, nullable: bool) -> Document | str:
    return type_text(kind) if nullable and _text_is_enough(kind) else _type_document(kind, nullable)


def _text_is_enough(kind: DataType) -> bool:
    if isinstance(kind, StructType):
        return all(not field.metadata and _text_is_enough(field.dataType) for field in kind)
    if isinstance(kind, ArrayType):
        return kind.containsNull and _text_is_enough(kind.elementType)
    if isinstance(kind, MapType):
        return kind.valueContainsNull and _text_is_enough(kind.keyType) and _text_is_enough(kind.valueType)
    return True


def _column(document: Any, place: Place, *, has_rules: bool = False) -> Column:
    given = _mapping(document, place, ("name", *_TYPE_KEYS, *_DETAILS, *(("rules",) if has_rules else ())))
    if "name" not in given:
        raise _wrong(place, "it has no 'name'")
    try:
        return Column(
            _text(given["name"], (*place, "name")),
            _type(given, place),
            nullable=_nullable(given, place),
            comment=_text(given.get("comment", ""), (*place, "comment")),
            tags=given["tags"] if isinstance(given.get("tags"), str) else _texts(given, "tags", place),
            on_surprise=_text(given["on_surprise"], (*place, "on_surprise")) if "on_surprise" in given else None,
            format=_text(given.get("format", ""), (*place, "format")),
            rules=_rules(given, place),
        )
    except InvalidContractError as error:
        raise _moved(error, place) from error


def _rules(given: Mapping[str, Any], place: Place) -> tuple[Rule, ...]:
    place = (*place, "rules")
    return tuple(_rule(rule, (*place, number)) for number, rule in enumerate(_list(given.get("rules", []), place)))


def _rule(document: Any, place: Place) -> Rule:
    given: Document = dict(_mapping(document, place, _RULE_KEYS))
    named = [key for key in ("name", "pattern", "sql", "severity") if key in given]
    texts: Document = {key: _text(given[key], (*place, key)) for key in named}
    lists: Document = {"unique": _texts(given, "unique", place)} if "unique" in given else {}
    if "allowed" in given:
        lists["allowed"] = tuple(_list(given["allowed"], (*place, "allowed")))
    try:
        return Rule(**{**given, **texts, **lists})
    except InvalidContractError as error:
        raise _moved(error, place) from error


def _type(given: Mapping[str, Any], place: Place) -> DataType:
    """Read the type of a column, field, element, key or value."""
    if "type" not in given:
        raise _wrong(place, "it has no 'type'")
    text = _text(given["type"], (*place, "type"))
    parts = _COMPOSED.get(text.strip().lower(), ())
    extra = [key for key in ("fields", "items", "keys", "values") if key in given and key not in parts]
    if extra:
        raise _wrong((*place, extra[0]), f"{extra[0]} does not go with the type {text}")
    for part in parts:
        if part not in given:
            raise _wrong((*place, "type"), f"a {text} written so needs {part!r}; or write the whole type as text")
    if "fields" in parts:
        fields = _list(given["fields"], (*place, "fields"))
        return StructType([_column(field, (*place, "fields", number)).field for number, field in enumerate(fields)])
    if "items" in parts:
        return ArrayType(*_inner(given["items"], (*place, "items")))
    if "keys" in parts:
        key, _ = _inner(given["keys"], (*place, "keys"))
        if isinstance(given["keys"], Mapping) and "nullable" in given["keys"]:
            raise _wrong((*place, "keys", "nullable"), "the keys of a map are never NULL; leave it out")
        return MapType(key, *_inner(given["values"], (*place, "values")))
    return _as_column(text, place).data_type


def _inner(given: Any, place: Place) -> tuple[DataType, bool]:
    if isinstance(given, str):
        return _as_column(given, place[:-1], str(place[-1])).data_type, True
    found = _mapping(given, place, _TYPE_KEYS)
    return _type(found, place), _nullable(found, place)


def _as_column(text: str, place: Place, field: str = "type") -> Column:
    try:
        return Column("column", text)
    except InvalidContractError as error:
        raise _wrong((*place, field), error.problems[0][1]) from error


def _nullable(given: Mapping[str, Any], place: Place) -> bool:
    nullable = given.get("nullable", True)
    if not isinstance(nullable, bool):
        raise _wrong((*place, "nullable"), f"it is {nullable!r}; write true or false")
    return nullable


def _mapping(given: Any, place: Place, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise _wrong(place, f"a mapping with {', '.join(known)} was expected, not {_kind(given)}")
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise _wrong((*place, key) if isinstance(key, str) else place, f"unknown entry {key!r}; {hint}")
    return given


def _texts(given: Mapping[str, Any], key: str, place: Place) -> tuple[str, ...]:
    place = (*place, key)
    found = given.get(key, [])
    if isinstance(found, str):
        return (found,)
    return tuple(_text(item, (*place, number)) for number, item in enumerate(_list(found, place)))


def _list(given: Any, place: Place) -> list[Any]:
    if not isinstance(given, list):
        raise _wrong(place, f"a list was expected, not {_kind(given)}")
    return given


def _text(given: Any, place: Place) -> str:
    if not isinstance(given, str):
        # YAML reads no, on and 2024-01-01 as something else than text.
        hint = "" if isinstance(given, list | Mapping) else "; put it in quotes"
        raise _wrong(place, f"a text was expected, not {_kind(given)}{hint}")
    return given


def _kind(given: Any) -> str:
    names = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return names.get(type(given)) or repr(given)


def _wrong(place: Place, reason: str) -> InvalidContractError:
    return InvalidContractError(f"{place_text(place)}: {reason}" if place else reason, [(place, reason)])


def _moved(error: InvalidContractError, place: Place) -> InvalidContractError:
    """See a column's problems from the contract, unless they know their place already."""
    problems = [(where if where[:1] == ("columns",) else (*place, *where), reason) for where, reason in error.problems]
    return InvalidContractError(str(error), problems)
