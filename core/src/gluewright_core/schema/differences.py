"""What is different between two contracts, path by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType

from gluewright_core.schema.types import type_text

if TYPE_CHECKING:
    from gluewright_core.schema.contract import Contract
    from gluewright_core.schema.rules import Rule


@dataclass(frozen=True)
class Difference:
    """One thing that two contracts do not have in common.

    Attributes:
        path: of the column, such as ``items[].price`` or ``tags{}.value``; empty for the dataset itself.
        what: ``column`` (on one side only), ``name`` (differs by case), ``order``, ``type``, ``nullable``, ``comment``,
            ``tags``, ``on_surprise``, ``format``, ``rules``, ``key``, ``partition_by``, ``values``, ``new_columns`` or
            ``name``.
        left: what the first says; None where it has no such column.
        right: what the second says; None where it has no such column.
    """

    path: str
    what: str
    left: str | None
    right: str | None

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        if self.what == "column" and self.right is None:
            return f"{where}column removed"
        if self.what == "column" and self.left is None:
            return f"{where}column added ({self.right})"
        return f"{where}{self.what} {self.left or '(none)'} -> {self.right or '(none)'}"


def differences(left: Contract, right: Contract) -> tuple[Difference, ...]:
    """Compare two contracts. Columns are matched by name; where there is none of that name, by name but for case.

    Args:
        left: the one that counts as before.
        right: the one that counts as after.

    Returns:
        The differences, the dataset's own first; empty when the contracts are equal.
    """
    return (*_of_datasets(left, right), *_of_structs(left.struct, right.struct, ""), *_of_rules(left, right))


def _of_datasets(left: Contract, right: Contract) -> Iterator[Difference]:
    for what in ("name", "comment", "key", "partition_by", "values", "new_columns"):
        before, after = getattr(left, what), getattr(right, what)
        if before != after:
            yield Difference("", what, _said(before), _said(after))
    yield from _between(left.rules, right.rules, "")


def _of_rules(left: Contract, right: Contract) -> Iterator[Difference]:
    for before, after in matched(left.names, right.names).items():
        yield from _between(left[before].rules, right[after].rules, before)


def _between(left: Sequence[Rule], right: Sequence[Rule], path: str) -> Iterator[Difference]:
    if left != right:
        yield Difference(path, "rules", _said(left), _said(right))


def _of_structs(left: StructType, right: StructType, path: str) -> Iterator[Difference]:
    pairs = matched(left.names, right.names)
    for before in left:
        at = f"{path}.{before.name}" if path else before.name
        after = right[pairs[before.name]] if before.name in pairs else None
        if after is None:
            yield Difference(at, "column", described(before), None)
        else:
            yield from _of_fields(before, after, at)
    for after in right:
        if after.name not in pairs.values():
            yield Difference(f"{path}.{after.name}" if path else after.name, "column", None, described(after))
    # Only what both have: an added column in the middle does not change the order of the others.
    before_order = [name for name in left.names if name in pairs]
    after_order = sorted(before_order, key=lambda name: right.names.index(pairs[name]))
    if before_order != after_order:
        yield Difference(path, "order", ", ".join(before_order), ", ".join(after_order))


def _of_fields(left: StructField, right: StructField, path: str) -> Iterator[Difference]:
    if left.name != right.name:
        yield Difference(path, "name", left.name, right.name)
    if left.nullable != right.nullable:
        yield Difference(path, "nullable", _said(left.nullable), _said(right.nullable))
    before, after = left.metadata or {}, right.metadata or {}
    for what in ("comment", "tags", "on_surprise", "format"):
        if before.get(what) != after.get(what):
            yield Difference(path, what, _said(before.get(what)), _said(after.get(what)))
    yield from of_types(left.dataType, right.dataType, path)


def of_types(left: DataType, right: DataType, path: str) -> Iterator[Difference]:
    """Compare two types, down to the fields that differ."""
    if isinstance(left, StructType) and isinstance(right, StructType):
        yield from _of_structs(left, right, path)
    elif isinstance(left, ArrayType) and isinstance(right, ArrayType):
        yield from of_types(left.elementType, right.elementType, f"{path}[]")
        if left.containsNull != right.containsNull:
            yield Difference(f"{path}[]", "nullable", _said(left.containsNull), _said(right.containsNull))
    elif isinstance(left, MapType) and isinstance(right, MapType):
        yield from of_types(left.keyType, right.keyType, f"{path}{{}}.key")
        yield from of_types(left.valueType, right.valueType, f"{path}{{}}.value")
        if left.valueContainsNull != right.valueContainsNull:
            yield Difference(f"{path}{{}}.value", "nullable", _said(left.valueContainsNull), _said(right.valueContainsNull))
    elif left != right:
        yield Difference(path, "type", type_text(left), type_text(right))


def matched(left: Sequence[str], right: Sequence[str]) -> Mapping[str, str]:
    """Match names: the same ones, then those that differ by case only."""
    pairs = {name: name for name in left if name in right}
    for name in left:
        if name not in pairs:
            for other in right:
                if other.lower() == name.lower() and other not in pairs.values():
                    pairs[name] = other
    return pairs


def described(field: StructField) -> str:
    """Say a field's type and whether it may be NULL."""
    return type_text(field.dataType) + ("" if field.nullable else " NOT NULL")


def _said(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return value if value is None else str(value).lower()
    return str(value) if isinstance(value, str) else ", ".join(map(str, value))
