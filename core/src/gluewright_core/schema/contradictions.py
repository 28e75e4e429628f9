"""Find where a contract contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import types as T

from gluewright_core.schema.column import Column, Place, unknown_mode
from gluewright_core.schema.conform import Mode
from gluewright_core.schema.rules import duplicates

if TYPE_CHECKING:
    from gluewright_core.schema.contract import Contract


def find_contradictions(contract: Contract) -> Iterator[tuple[Place, str]]:
    """Find where a contract contradicts itself: each place, with a sentence."""
    if not contract.name or not isinstance(contract.name, str):
        yield ("name",), "it has no name"
    if not contract.columns:
        yield ("columns",), "it has no columns"
    for first, second in _twice_by_case(contract.names):
        yield ("columns", second), _same_but_for_case("the columns", contract.names[first], contract.names[second])
    for number, column in enumerate(contract.columns):
        yield from ((("columns", number), reason) for reason in _contradictions_within(column))
    for role, names in (("key", contract.key), ("partition_by", contract.partition_by)):
        for first, second in _twice_by_case(names):
            yield (role, second), f"{role} names {names[first]} and {names[second]} twice"
        for number, name in enumerate(names):
            if name not in contract.names:
                yield (role, number), _not_a_column(role, name, contract.names)
            elif reason := _unfit(role, contract[name].data_type):
                yield (role, number), f"{role}: {name} {reason}"
    yield from _contradictions_of_rules(contract)
    if contract.columns and {*contract.partition_by} >= {*contract.names}:
        yield ("partition_by",), "every column partitions the table; at least one must not"


def _contradictions_of_rules(contract: Contract) -> Iterator[tuple[Place, str]]:
    for number, rule in enumerate(contract.rules):
        if not rule.of_rows:
            yield ("rules", number), f"the rule {rule.name} is one of a column; move it to the column's rules"
        for name in rule.unique:
            if name not in contract.names:
                yield ("rules", number, "unique"), _not_a_column("unique", name, contract.names)
            elif reason := _unfit("key", contract[name].data_type):
                yield ("rules", number, "unique"), f"unique: {name} {reason}"
    labels = [rule.check().label for rule in contract.rules if rule.of_rows]
    yield from ((("rules", number, "name"), reason) for number, reason in duplicates(labels))


def _contradictions_within(column: Column) -> Iterator[str]:
    for path, struct in _structs_within(column.data_type, column.name):
        for first, second in _twice_by_case(struct.names):
            yield _same_but_for_case(f"{path}: the fields", struct.names[first], struct.names[second])
        for field in struct:
            mode = (field.metadata or {}).get("on_surprise")
            if mode is not None and mode not in list(Mode):
                yield f"{path}.{field.name}: {unknown_mode(mode)}"


def _twice_by_case(names: Iterable[str]) -> list[tuple[int, int]]:
    """Find names that are the same but for case: the numbers of the first and of each that repeats it."""
    seen: dict[str, int] = {}
    return [
        (seen[name.lower()], number) for number, name in enumerate(names) if seen.setdefault(name.lower(), number) != number
    ]


def _structs_within(kind: T.DataType, path: str) -> Iterator[tuple[str, T.StructType]]:
    """Go through every struct inside a type, with its path such as ``items[]`` or ``tags{}.value``."""
    if isinstance(kind, T.StructType):
        yield path, kind
        for field in kind:
            yield from _structs_within(field.dataType, f"{path}.{field.name}" if path else field.name)
    elif isinstance(kind, T.ArrayType):
        yield from _structs_within(kind.elementType, f"{path}[]")
    elif isinstance(kind, T.MapType):
        yield from _structs_within(kind.keyType, f"{path}{{}}.key")
        yield from _structs_within(kind.valueType, f"{path}{{}}.value")


def _same_but_for_case(what: str, first: str, second: str) -> str:
    return f"{what} {first} and {second} have the same name but for case; Glue and Hive cannot tell them apart, rename one"


def _unfit(role: str, kind: T.DataType) -> str:
    if role == "partition_by" and isinstance(kind, T.ArrayType | T.MapType | T.StructType | T.NullType):
        return f"is {kind.simpleString()}; a table is partitioned by plain values only"
    if role == "key" and any(isinstance(inner, T.MapType) for inner in _within(kind)):
        return "holds a map, and maps cannot be compared; choose other columns"
    return ""


def _not_a_column(role: str, name: str, names: Sequence[str]) -> str:
    same = [other for other in names if other.lower() == name.lower()]
    return f"{role}: {name} is not a column" + (f"; did you mean {same[0]}?" if same else f"; it has {', '.join(names)}")


def _within(kind: T.DataType) -> Iterator[T.DataType]:
    yield kind
    inner = {T.ArrayType: ("elementType",), T.MapType: ("keyType", "valueType")}.get(type(kind), ())
    for name in inner:
        yield from _within(getattr(kind, name))
    if isinstance(kind, T.StructType):
        for field in kind:
            yield from _within(field.dataType)
