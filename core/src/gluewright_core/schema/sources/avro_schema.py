"""The types of Avro as the specification has them: names, defaults, symbols, sizes and logical types.

From the Apache Avro Specification 1.12, "Complex Types" and "Logical Types". A logical type that is unknown or does not fit
its type is ignored, as the specification says, and the reason is kept beside the type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_UNDERLYING: dict[str, tuple[str, ...]] = {
    "decimal": ("bytes", "fixed"),
    "big-decimal": ("bytes",),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "duration": ("fixed",),
    # Not Avro's: Hive's texts with a length, and Iceberg's maps whose keys are not strings.
    "char": ("string",),
    "varchar": ("string",),
    "map": ("array",),
} | {
    f"{prefix}{unit}": ("long",)
    for prefix in ("time-", "timestamp-", "local-timestamp-")
    for unit in ("millis", "micros", "nanos")
    if f"{prefix}{unit}" not in {"time-millis", "time-nanos"}
}
_SIZES = {"uuid": 16, "duration": 12}


def is_whole(value: Any) -> TypeGuard[int]:
    """Return whether a value of JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


_DEFAULTS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": lambda value: is_whole(value) and -(2**31) <= value < 2**31,
    "long": lambda value: is_whole(value) and -(2**63) <= value < 2**63,
    "float": lambda value: is_whole(value) or isinstance(value, float),
    "double": lambda value: is_whole(value) or isinstance(value, float),
    "string": lambda value: isinstance(value, str),
    "bytes": lambda value: _is_bytes(value),
}


@dataclass(eq=False)
class AvroType:
    """One type of a schema. Two references to a named type are the same object.

    Attributes:
        kind: ``record``, ``enum``, ``fixed``, ``array``, ``map``, ``union`` or a primitive type's name.
        attributes: the JSON object that declares it; empty for a mere name.
        name: the full name of a record, enum or fixed.
        aliases: full names.
        fields: of a record.
        symbols: of an enum.
        default: of an enum; None if it has none.
        size: of a fixed.
        inner: an array's items, a map's values, or a union's branches.
        logical: the logical type, if it is valid.
        ignored: why the declared logical type is ignored; empty if it is not.
    """

    kind: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    aliases: tuple[str, ...] = ()
    fields: list[AvroField] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = -1
    inner: list[AvroType] = field(default_factory=list)
    logical: str = ""
    ignored: str = ""

    @property
    def decimal(self) -> tuple[int, int] | None:
        """Precision and scale of a valid decimal."""
        return (self.attributes["precision"], self.attributes.get("scale", 0)) if self.logical == "decimal" else None

    def __str__(self) -> str:
        if self.decimal:
            return f"decimal({self.decimal[0]},{self.decimal[1]})"
        if self.kind == "union":
            return f"union of {', '.join(map(str, self.inner))}"
        size = f"({self.size})" if self.kind == "fixed" else ""
        return self.logical or f"{self.kind}{size}" + (f" {self.name}" if self.name else "")


@dataclass(eq=False)
class AvroField:
    """One field of a record.

    Attributes:
        name: of the field.
        type: of its values.
        attributes: the JSON object that declares it, with ``default`` if it has one.
        aliases: other names by which a reader finds it.
    """

    name: str
    type: AvroType
    attributes: Mapping[str, Any]
    aliases: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """The name of the column that it is written for: Avro allows letters, digits and underscores only."""
        return str(self.attributes.get("column", self.name))


def fits(kind: AvroType, value: Any) -> bool:
    """Return whether a default value is one of its type, in JSON's form."""
    if kind.kind in _DEFAULTS:
        return _DEFAULTS[kind.kind](value)
    match kind.kind:
        case "union":
            return any(fits(branch, value) for branch in kind.inner)
        case "enum" | "fixed":
            return value in kind.symbols or (_is_bytes(value) and len(value) == kind.size)
        case "array":
            return isinstance(value, list) and all(fits(kind.inner[0], item) for item in value)
        case "map":
            return isinstance(value, Mapping) and all(fits(kind.inner[0], item) for item in value.values())
    return isinstance(value, Mapping) and all(
        fits(member.type, value[member.name]) if member.name in value else "default" in member.attributes
        for member in kind.fields
    )


def _is_bytes(value: Any) -> bool:
    return isinstance(value, str) and all(ord(character) < 256 for character in value)


def with_logical(kind: AvroType) -> AvroType:
    """Set a type's logical type from its attributes, or the reason to ignore it."""
    logical = kind.attributes.get("logicalType")
    if logical is not None:
        kind.ignored = _why_ignored(kind, logical)
        kind.logical = "" if kind.ignored else logical
    return kind


def _why_ignored(kind: AvroType, logical: Any) -> str:
    if not isinstance(logical, str) or logical not in _UNDERLYING:
        return f"the logical type {logical!r} is unknown"
    if kind.kind not in _UNDERLYING[logical]:
        return f"the logical type {logical} is one of {' or '.join(_UNDERLYING[logical])}, not of {kind.kind}"
    if logical == "decimal":
        return _why_no_decimal(kind)
    why = ""
    if kind.kind == "fixed" and kind.size != _SIZES[logical]:
        why = f"has {_SIZES[logical]} bytes, not {kind.size}"
    length = kind.attributes.get("maxLength")
    if logical in {"char", "varchar"} and not (is_whole(length) and length >= 1):
        why = f"has the maxLength {length!r}, not a whole number from 1"
    if logical == "map" and {member.name for member in kind.inner[0].fields} != {"key", "value"}:
        why = "is an array of records of key and value"
    return why and f"the logical type {logical} {why}"


def _why_no_decimal(kind: AvroType) -> str:
    precision, scale = kind.attributes.get("precision"), kind.attributes.get("scale", 0)
    if not is_whole(precision) or precision < 1:
        return f"the decimal has the precision {precision!r}, not a whole number from 1"
    if not is_whole(scale) or not 0 <= scale <= precision:
        return f"the decimal has the scale {scale!r}, not a whole number from 0 to its precision {precision}"
    most = math.floor(max(8 * kind.size - 1, 0) * math.log10(2))
    if kind.kind == "fixed" and precision > most:
        return f"the decimal has the precision {precision}, but {kind.size} bytes hold {most} digits"
    return ""
