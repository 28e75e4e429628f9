# gluewright-pii-masking 0.1.0 paths.py
# SPDX-License-Identifier: Apache-2.0
"""The columns of a schema as paths, down to the parts of structs, arrays and maps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StructType


@dataclass(frozen=True)
class Node:
    """A column or a part of one.

    Attributes:
        path: as a policy names it.
        step: how it is reached from what it is a part of: a field's name, or ``[]``, ``{}.key``, ``{}.value``.
        kind: its type.
        tags: its own.
        parts: of a struct its fields, of an array its elements, of a map its keys and values.
    """

    path: str
    step: str
    kind: DataType
    tags: tuple[str, ...]
    parts: tuple[Node, ...]

    def below(self) -> Iterator[Node]:
        """Return it and everything under it."""
        yield self
        for part in self.parts:
            yield from part.below()


def nodes_of(struct: StructType, above: str = "") -> tuple[Node, ...]:
    """Return the parts of a struct, with their parts."""
    found = []
    for each in struct:
        shown = each.name if re.fullmatch(r"\w+", each.name) else quoted(each.name)
        tags = _tags(each.metadata)
        found.append(_node(f"{above}.{shown}" if above else shown, each.name, each.dataType, tags))
    return tuple(found)


def _tags(metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the tags in a field's metadata, in small letters. They are a list, or a text with one or more of them."""
    tags = (metadata or {}).get("tags") or ()
    given = re.split(r"[\s,;]+", tags) if isinstance(tags, str) else map(str, tags)
    return tuple(tag.strip().lower() for tag in given if tag.strip())


def _node(path: str, step: str, kind: DataType, tags: tuple[str, ...] = ()) -> Node:
    parts: tuple[Node, ...] = ()
    if isinstance(kind, StructType):
        parts = nodes_of(kind, path)
    elif isinstance(kind, ArrayType):
        parts = (_node(f"{path}[]", "[]", kind.elementType),)
    elif isinstance(kind, MapType):
        ends = (("{}.key", kind.keyType), ("{}.value", kind.valueType))
        parts = tuple(_node(f"{path}{end}", end, inner) for end, inner in ends)
    return Node(path, step, kind, tags, parts)


def is_inside(path: str) -> bool:
    """Tell whether a path leads into an array or map."""
    return bool(re.search(r"\[\]|\{\}", re.sub("`[^`]*`", "", path)))


def only_node(node: Node, wanted: Node, value: Column) -> Column:
    """Return a field of a struct, however deep."""
    while node.path != wanted.path:
        (node,) = (part for part in node.parts if any(below.path == wanted.path for below in part.below()))
        value = value.getField(node.step)
    return value


def every_node(node: Node, wanted: Node, value: Column) -> Column:
    """Return all values of a part of a column, wherever they are nested, as one array."""
    if node.path == wanted.path:
        return F.array(value)
    (part,) = (part for part in node.parts if any(below.path == wanted.path for below in part.below()))
    if isinstance(node.kind, StructType):
        return every_node(part, wanted, value.getField(part.step))
    reached = {"{}.key": F.map_keys, "{}.value": F.map_values}.get(part.step, lambda array: array)
    return F.coalesce(
        F.flatten(F.transform(reached(value), lambda inner: every_node(part, wanted, inner))),
        F.array().cast(ArrayType(wanted.kind)),
    )


def column_at(name: str) -> Column:
    """Return a column by its name, whatever characters that has."""
    return F.col(quoted(name))


def quoted(name: str) -> str:
    """Return a name in backticks."""
    return f"`{name.replace('`', '``')}`"
