"""What an arguments class declares: its fields, their types, and what each type allows."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from gluewright_core.errors import ArgumentsDeclarationError
from gluewright_core.secret import Secret

SCALARS = frozenset({str, int, float, Decimal, bool, date, datetime, Secret})
"""The types that one text stands for; the others are made of them."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A field of an arguments class: its type, its text for ``--help``, where its default comes from, and other notes."""

    kind: Any
    help: str
    field: dataclasses.Field[Any]
    notes: tuple[Any, ...] = ()

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.field.default is dataclasses.MISSING and self.field.default_factory is dataclasses.MISSING

    def default(self) -> Any:
        """Return the default. Only for a parameter that is not required."""
        factory = self.field.default_factory
        return self.field.default if factory is dataclasses.MISSING else factory()


def fields_of(record: type) -> dict[str, Parameter]:
    """Return the fields of a frozen dataclass by name.

    Raises:
        ArgumentsDeclarationError: it is no frozen dataclass, or a field has a type that cannot be read.
    """
    if not dataclasses.is_dataclass(record) or not record.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ArgumentsDeclarationError(f"{record.__name__} is not a frozen dataclass; declare @dataclass(frozen=True)")
    hints = typing.get_type_hints(record, include_extras=True)
    parameters = {field.name: _parameter(field, hints[field.name]) for field in dataclasses.fields(record) if field.init}
    for name, parameter in parameters.items():
        check(parameter.kind, f"{record.__name__}.{name}")
    return parameters


def _parameter(field: dataclasses.Field[Any], hint: Any) -> Parameter:
    notes: tuple[Any, ...] = getattr(hint, "__metadata__", ())
    texts = [note for note in (*notes, field.metadata.get("help")) if isinstance(note, str)]
    others = tuple(note for note in notes if not isinstance(note, str))
    return Parameter(typing.get_args(hint)[0] if notes else hint, " ".join(texts), field, others)


def holds_secret(kind: Any) -> bool:
    """Say whether a value of the type is a secret or contains one, so that its text may not be shown."""
    if kind is Secret:
        return True
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return any(holds_secret(parameter.kind) for parameter in fields_of(kind).values())
    return any(holds_secret(inner) for inner in typing.get_args(kind))


def type_name(kind: Any) -> str:
    """Return the type as its declaration reads."""
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")


def check(kind: Any, where: str) -> None:
    """Refuse a declared type that nothing here can read.

    Raises:
        ArgumentsDeclarationError: names the field and the types there are.
    """
    if kind is Any or kind in SCALARS or (isinstance(kind, type) and issubclass(kind, Enum)):
        return
    if is_optional(kind):
        check(inner_kind(kind), where)
    elif is_list(kind) or is_dict(kind):
        check(item_kind(kind), where)
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        fields_of(kind)
    else:
        raise ArgumentsDeclarationError(
            f"{where}: no argument can be read as {type_name(kind)}; use str, int, float, bool, date, datetime, "
            "Decimal, an Enum, Secret, X | None, list[X], dict[str, X] or a frozen dataclass"
        )


def choices(kind: type[Enum]) -> list[str]:
    """Return the members of an enumeration as they are typed: by value where that is text, else by name."""
    return [member.value if isinstance(member.value, str) else member.name for member in kind]


def is_optional(kind: Any) -> bool:
    """Return whether the type is ``X | None``."""
    return (
        typing.get_origin(kind) in {typing.Union, types.UnionType}
        and len(typing.get_args(kind)) == 2
        and type(None) in typing.get_args(kind)
    )


def inner_kind(kind: Any) -> Any:
    """Return X of ``X | None``, and any other type itself."""
    if not is_optional(kind):
        return kind
    return next(inner for inner in typing.get_args(kind) if inner is not type(None))


def is_list(kind: Any) -> bool:
    """Return whether the type is a list."""
    return kind is list or typing.get_origin(kind) is list


def is_dict(kind: Any) -> bool:
    """Return whether the type is a dictionary with text as keys."""
    return kind is dict or (typing.get_origin(kind) is dict and typing.get_args(kind)[0] is str)


def item_kind(kind: Any) -> Any:
    """Return the type of a list's items or a dictionary's values."""
    return typing.get_args(kind)[-1] if typing.get_args(kind) else Any
