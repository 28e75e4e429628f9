"""Text and JSON to the types that a job's arguments may have.

| type                     | text                                                                               |
|--------------------------|------------------------------------------------------------------------------------|
| `str`                    | as it is                                                                           |
| `int`, `float`, `Decimal`| digits, as Python reads them; NaN and infinity are refused                         |
| `bool`                   | true, false, yes, no, 1, 0                                                         |
| `date`                   | 2024-01-31                                                                         |
| `datetime`               | 2024-01-31T12:00:00, with an offset or Z; without one it is UTC. The result is UTC |
| an `Enum`                | a member's name or value                                                           |
| `Secret`                 | a reference, see `gluewright_core.secret`                                          |
| `X | None`               | as X; empty text is None unless X is `str`                                         |
| `list[X]`                | a,b,c or a JSON array; empty text is an empty list; a comma in parentheses or      |
|                          | quotes belongs to its item: `id bigint, price decimal(10,2)` has two items         |
| `dict`, `dict[str, X]`   | a JSON object                                                                      |
| a frozen dataclass       | a JSON object with its fields                                                      |

A field's text for ``--help`` stands in ``Annotated[X, "text"]``, or in the field's metadata under ``help``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from gluewright_core.parameters import choices, fields_of, holds_secret, inner_kind, is_dict, is_list, is_optional, item_kind
from gluewright_core.secret import FORMS, Secret

_QUOTES = ("'", '"', "`")
_CLOSING = {"(": ")", "[": "]", **dict(zip(_QUOTES, _QUOTES, strict=True))}
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


class ConversionError(ValueError):
    """A value does not fit its type; ``where`` is the path inside a JSON value, such as ``.keys[2]``."""

    def __init__(self, expected: str, given: str | None, where: str = "") -> None:
        super().__init__(expected)
        self.expected, self.given, self.where = expected, given, where

    def inside(self, where: str) -> ConversionError:
        """Return the same mismatch seen from the value that contains it."""
        return ConversionError(self.expected, self.given, where + self.where)


def from_text(text: str, kind: Any) -> Any:
    """Return ``text`` as a value of the type ``kind``.

    Raises:
        ConversionError: the text does not fit the type.
    """
    if is_optional(kind):
        return None if text == "" and inner_kind(kind) is not str else from_text(text, inner_kind(kind))
    if is_list(kind) and not text.lstrip().startswith("["):
        items = split_list(text) if text else []
        return [_at(f"[{number}]", from_text, item.strip(), item_kind(kind)) for number, item in enumerate(items)]
    if _is_json(kind):
        return from_json(_decoded(text, kind), kind)
    return _scalar(text, kind)


def split_list(text: str) -> list[str]:
    """Split a list at its commas, except those in parentheses, brackets or quotes.

    A text whose parentheses or quotes do not match is split at every comma.
    """
    items, closing = [""], [""]
    for character in text:
        if character == "," and len(closing) == 1:
            items.append("")
            continue
        items[-1] += character
        if character == closing[-1]:
            closing.pop()
        elif character in _CLOSING and closing[-1] not in _QUOTES:
            closing.append(_CLOSING[character])
    return items if len(closing) == 1 else text.split(",")


def from_json(value: Any, kind: Any) -> Any:
    """Return a decoded JSON value as a value of the type ``kind``; text in it is read as on the command line.

    Raises:
        ConversionError: the value, or one inside it, does not fit the type.
    """
    if kind is Any:
        return _plain(value)
    if is_optional(kind):
        return None if value is None else from_json(value, inner_kind(kind))
    if _is_json(kind):
        return _container(value, kind)
    if isinstance(value, bool) and kind is bool:
        return value
    if isinstance(value, str) or _is_number_for(value, kind):
        return _scalar(str(value), kind)
    raise _unfit(value, kind)


def expected(kind: Any) -> str:
    """Say in a few words what text fits the type."""
    if is_optional(kind):
        return f"{expected(inner_kind(kind))}, or nothing"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(choices(kind))
    if is_list(kind):
        return f"a list: each item {expected(item_kind(kind))}"
    if is_dict(kind):
        return "a JSON object"
    if dataclasses.is_dataclass(kind):
        return "a JSON object with " + ", ".join(field.name for field in dataclasses.fields(kind))
    return _SCALARS[kind][1] if kind in _SCALARS else "JSON"


def _integer(text: str) -> int:
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return number


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_SCALARS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (_integer, "a whole number"),
    float: (_finite, "a number"),
    Decimal: (_decimal, "a decimal number"),
    bool: (_truth, "true or false"),
    date: (date.fromisoformat, "a date such as 2024-01-31"),
    datetime: (_instant, "a timestamp such as 2024-01-31T12:00:00Z"),
    Secret: (Secret, f"a reference to a secret: {FORMS}"),
}


def _scalar(text: str, kind: Any) -> Any:
    try:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _member(text, kind)
        return _SCALARS[kind][0](text)
    except (ValueError, OverflowError, InvalidOperation):
        pass
    # Raised outside the handler, so that no chained exception repeats a text that may be a secret.
    raise ConversionError(expected(kind), None if holds_secret(kind) else repr(text))


def _member(text: str, kind: type[Enum]) -> Enum:
    if text in kind.__members__:
        return kind[text]
    for member in kind:
        if str(member.value) == text:
            return member
    raise ValueError


def _container(value: Any, kind: Any) -> Any:
    if is_list(kind) and isinstance(value, list):
        return [_at(f"[{i}]", from_json, item, item_kind(kind)) for i, item in enumerate(value)]
    if is_dict(kind) and isinstance(value, dict):
        return {key: _at(f".{key}", from_json, item, item_kind(kind)) for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _record(value, typing.cast("type", kind))
    raise _unfit(value, kind)


def _is_number_for(value: Any, kind: Any) -> bool:
    numeric = kind in {int, float, Decimal} or (isinstance(kind, type) and issubclass(kind, Enum))
    return numeric and isinstance(value, int | Decimal) and not isinstance(value, bool)


def _unfit(value: Any, kind: Any) -> ConversionError:
    return ConversionError(expected(kind), None if holds_secret(kind) else json.dumps(_plain(value)))


def _record(value: dict[str, Any], kind: type) -> Any:
    fields = fields_of(kind)
    missing = [name for name, parameter in fields.items() if name not in value and parameter.required]
    strange = [name for name in value if name not in fields]
    if missing or strange:
        lacks = [f"without {', '.join(missing)}"] if missing else []
        has = [f"with unknown {', '.join(strange)}"] if strange else []
        raise ConversionError(expected(kind), f"an object {' and '.join(lacks + has)}")
    return kind(**{name: _at(f".{name}", from_json, item, fields[name].kind) for name, item in value.items()})


def _at(where: str, convert: Callable[[Any, Any], Any], value: Any, kind: Any) -> Any:
    try:
        return convert(value, kind)
    except ConversionError as mismatch:
        raise mismatch.inside(where) from None


def _decoded(text: str, kind: Any) -> Any:
    try:
        # Decimal keeps every digit until the target type is known.
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        pass
    raise ConversionError(expected(kind), None if holds_secret(kind) else repr(text))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _is_json(kind: Any) -> bool:
    return kind is Any or is_list(kind) or is_dict(kind) or dataclasses.is_dataclass(kind)
