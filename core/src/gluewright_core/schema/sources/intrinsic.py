"""Intrinsic functions of CloudFormation, as far as a template says what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Place = tuple[str | int, ...]
FOR_EACH = "Fn::ForEach"
_STRUCTURE: tuple[tuple[str, ...], ...] = (
    (),
    ("TableInput",),
    ("TableInput", "Parameters"),
    ("TableInput", "PartitionKeys"),
    ("TableInput", "StorageDescriptor"),
    ("TableInput", "StorageDescriptor", "Columns"),
)


def defaults_of(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the defaults of a template's parameters, as texts."""
    parameters = template.get("Parameters")
    return {
        str(name): str(declared["Default"])
        for name, declared in (parameters.items() if isinstance(parameters, Mapping) else ())
        if isinstance(declared, Mapping) and "Default" in declared
    }


def intrinsic_places(properties: Any, defaults: Mapping[str, str]) -> Iterator[Place]:
    """Find what is known only when the stack is deployed, where a table's columns must be known.

    Args:
        properties: of the table's resource.
        defaults: of the template's parameters.

    Yields:
        The place inside the properties, followed by the function in its short form, such as ``!If``.
    """
    for place in _STRUCTURE:
        found = _at(properties, place)
        if name := intrinsic(found):
            if resolved(found, defaults) is not None:
                yield (*place, _short_form(name))
        elif isinstance(found, list):
            yield from _in_columns(found, place, defaults)


def loops(value: Any, place: Place = ()) -> Iterator[Place]:
    """Find every ``Fn::ForEach`` inside a value."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).startswith(FOR_EACH):
                yield (*place, str(key))
            else:
                yield from loops(item, (*place, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from loops(item, (*place, number))


def intrinsic(value: Any) -> str:
    """Return the name of the intrinsic function that a value is; empty if it is none."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return ""
    name = str(next(iter(value)))
    return name if name in {"Ref", "Condition"} or (name.startswith("Fn::") and not name.startswith(FOR_EACH)) else ""


def resolved(value: Any, defaults: Mapping[str, str]) -> Any:
    """Replace intrinsic functions by texts, and leave out what ``Fn::ForEach`` makes."""
    if isinstance(value, list):
        return [resolved(item, defaults) for item in value]
    if not isinstance(value, Mapping):
        return value
    if name := intrinsic(value):
        return _text_of(name, next(iter(value.values())), defaults)
    return {key: resolved(item, defaults) for key, item in value.items() if not str(key).startswith(FOR_EACH)}


def _in_columns(columns: list[Any], place: Place, defaults: Mapping[str, str]) -> Iterator[Place]:
    for number, column in enumerate(columns):
        if name := intrinsic(column):
            yield (*place, number, _short_form(name))
        for key in ("Name", "Type", "Parameters"):
            part = column.get(key) if isinstance(column, Mapping) else None
            name = intrinsic(part)
            if name and (key == "Parameters" or "${" in str(resolved(part, defaults))):
                yield (*place, number, key, _short_form(name))


def _at(value: Any, place: tuple[str, ...]) -> Any:
    for step in place:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _short_form(name: str) -> str:
    return f"!{name.removeprefix('Fn::')}"


def _text_of(name: str, given: Any, defaults: Mapping[str, str]) -> str | None:
    """Give the text that an intrinsic function stands for, as far as it is known."""
    if name == "Ref":
        return None if given == "AWS::NoValue" else defaults.get(str(given), f"${{{given}}}")
    if name == "Fn::Sub":
        return _substituted(given, defaults)
    if name == "Fn::Join" and isinstance(given, list) and len(given) == 2 and isinstance(given[1], list):
        return str(given[0]).join(str(resolved(item, defaults)) for item in given[1])
    if name == "Fn::GetAtt":
        return f"${{{'.'.join(map(str, given)) if isinstance(given, list) else given}}}"
    return f"${{{name}}}"


def _substituted(given: Any, defaults: Mapping[str, str]) -> str:
    text, own = given, {}
    if isinstance(given, list) and len(given) == 2:
        text, own = given[0], resolved(given[1], defaults)
    if not isinstance(text, str) or not isinstance(own, Mapping):
        return "${Fn::Sub}"
    known = {**defaults, **own}
    return re.sub(r"\$\{([^}!]+)\}", lambda found: str(known.get(found.group(1), found.group())), text)
