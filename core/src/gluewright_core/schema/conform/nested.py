"""Plan structs, arrays and maps from the plans of what is inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .nodes import ColumnPlan, Node, Spot
from .problems import join_problems, problem_sql
from .sql import field_sql, itself, struct_sql
from .tags import withhold
from .terms import State


def struct_node(fields: Sequence[ColumnPlan], incoming: int, spot: Spot) -> Node:
    """Plan a struct.

    Args:
        fields: the plans of its fields.
        incoming: how many fields the incoming struct has.
        spot: where it stands.
    """
    in_place = [field.place for field in fields] == list(range(incoming))
    same = (field.node.untouched and field.node.output and field.name == field.original for field in fields)
    bare = in_place and all(same)
    kept = [field for field in fields if field.node.output]
    fatal = [field for field in kept if field.node.must and State.KEPT in field.severities]

    def value(x: str) -> str:
        if bare and not fatal:
            return x
        parts = [(field.name, field.node.strict(field_sql(x, field.original))) for field in kept]
        lost = [f"{field.node.strict(field_sql(x, field.original))} IS NULL" for field in fatal]
        refused = "".join(f" WHEN {condition} THEN NULL" for condition in lost)
        return f"CASE WHEN {x} IS NULL THEN NULL{refused} ELSE {struct_sql(parts)} END"

    def lossless(x: str, v: str) -> str:
        wholes = (
            field.node.whole(field_sql(x, field.original), field_sql(v, field.name)) for field in fields if field.original
        )
        terms = " AND ".join(f"({whole})" for whole in wholes if whole)
        return f"({x} IS NULL OR ({v} IS NOT NULL AND {terms}))"

    def inner(x: str) -> str:
        return join_problems(field.node.problems(field_sql(x, field.original)) for field in fields if field.node.problems)

    def shown(x: str) -> str:
        by_place = sorted((field for field in fields if field.original), key=lambda field: field.place)
        parts = [(field.original, (field.node.shown or itself)(field_sql(x, field.original))) for field in by_place]
        return f"CASE WHEN {x} IS NOT NULL THEN {struct_sql(parts)} END"

    may_fail = any(field.node.problems for field in fields)
    hides = any(field.node.shown for field in fields)
    severities = frozenset[State]().union(*(field.severities for field in fields))
    return _complex_node(
        spot,
        value,
        lossless if may_fail else None,
        inner,
        shown if hides else None,
        bare=bare and not fatal,
        severities=severities,
    )


def array_node(element: Node, e: str, spot: Spot) -> Node:
    """Plan an array.

    Args:
        element: the plan of its elements.
        e: the variable for an element.
        spot: where the array stands.
    """
    fatal = element.must and State.KEPT in element.severities

    def value(x: str) -> str:
        made = x if element.untouched else f"transform({x}, {e} -> {element.strict(e)})"
        return f"CASE WHEN NOT exists({made}, {e} -> {e} IS NULL) THEN {made} END" if fatal else made

    def lossless(x: str, v: str) -> str:
        return _pairwise(x, v, x, v, element, e)

    def inner(x: str) -> str:
        return _each(x, e, element)

    def shown(x: str) -> str:
        return f"transform({x}, {e} -> {element.shown(e)})" if element.shown else x

    bare = element.untouched and not fatal
    return _complex_node(
        spot,
        value,
        lossless if element.problems else None,
        inner,
        shown if element.shown else None,
        bare=bare,
        severities=element.severities,
    )


def map_node(key: Node, element: Node, k: str, e: str, spot: Spot) -> Node:
    """Plan a map.

    Args:
        key: the plan of its keys.
        element: the plan of its values.
        k: the variable for a key.
        e: the variable for a value.
        spot: where the map stands.
    """
    fatal = element.must and State.KEPT in element.severities

    def keys(x: str) -> str:
        return f"transform(map_keys({x}), {k} -> {key.strict(k)})"

    def collide(x: str) -> str:
        return f"size(array_distinct({keys(x)})) < size(map_keys({x}))"

    def value(x: str) -> str:
        values = f"transform(map_values({x}), {e} -> {element.strict(e)})"
        conditions = [f"NOT exists({values}, {e} -> {e} IS NULL)"] if fatal else []
        if key.untouched:
            made = x if element.untouched else f"transform_values({x}, ({k}, {e}) -> {element.strict(e)})"
        else:
            made = f"map_from_arrays({keys(x)}, {values})"
            # A map cannot be made with a NULL key or two equal ones.
            conditions += [f"NOT exists({keys(x)}, {k} -> {k} IS NULL)", f"NOT {collide(x)}"]
        return f"CASE WHEN {' AND '.join(conditions)} THEN {made} END" if conditions else made

    def lossless(x: str, v: str) -> str:
        return _pairwise(f"map_values({x})", f"map_values({v})", x, v, element, e)

    def inner(x: str) -> str:
        parts = []
        if key.problems:
            parts.append(_each(f"map_keys({x})", k, key))
        if not key.untouched:
            problem = problem_sql(f"{spot.path}{{}}.key", "map_key", "two keys become the same", "NULL", spot.severity)
            parts.append(f"CASE WHEN {collide(x)} THEN array({problem}) END")
        if element.problems:
            parts.append(_each(f"map_values({x})", e, element))
        return join_problems(parts)

    def shown(x: str) -> str:
        return _show_map(x, key, element, k, e)

    bare = key.untouched and element.untouched and not fatal
    may_fail = element.problems or not key.untouched
    severities = key.severities | element.severities | frozenset(() if key.untouched else {spot.severity})
    return _complex_node(
        spot,
        value,
        lossless if may_fail else None,
        inner,
        shown if key.shown or element.shown else None,
        bare=bare,
        severities=severities,
    )


def _show_map(x: str, key: Node, element: Node, k: str, e: str) -> str:
    show_key, show_value = key.shown or itself, element.shown or itself
    if not key.shown:
        return f"transform_values({x}, ({k}, {e}) -> {show_value(e)})"
    # Keys that are withheld are the same, which keys of a map cannot be.
    entry = struct_sql([("key", show_key(f"{e}.key")), ("value", show_value(f"{e}.value"))])
    return f"transform(map_entries({x}), {e} -> {entry})"


def _complex_node(
    spot: Spot,
    value: Callable[[str], str],
    lossless: Callable[[str, str], str] | None,
    inner: Callable[[str], str],
    shown: Callable[[str], str] | None,
    *,
    bare: bool,
    severities: frozenset[State],
) -> Node:
    required = spot.nullable_in and not spot.nullable_out

    def problems(x: str, _: str = "") -> str:
        null = problem_sql(spot.path, spot.null_rule, "NULL where a value is required", "NULL", spot.severity)
        missing = f"array({null})" if required else "NULL"
        return f"CASE WHEN {x} IS NULL THEN {missing} {f'ELSE {inner(x)} ' if lossless else ''}END"

    return Node(
        value,
        value,
        lossless,
        problems if required or lossless else None,
        withhold if spot.pii else shown,
        bare=bare,
        required=required,
        must=not spot.nullable_out,
        leaf=False,
        severities=severities | frozenset({spot.severity} if required else ()),
    )


def _each(array: str, variable: str, node: Node) -> str:
    problems = node.problems(variable) if node.problems else "NULL"
    return f"flatten(filter(transform({array}, {variable} -> {problems}), p -> p IS NOT NULL))"


def _pairwise(incoming: str, made: str, x: str, v: str, node: Node, variable: str) -> str:
    whole = node.whole(variable, f"{variable}v") or "true"
    pairs = f"zip_with({incoming}, {made}, ({variable}, {variable}v) -> {whole})"
    return f"({x} IS NULL OR ({v} IS NOT NULL AND forall({pairs}, {variable} -> {variable})))"
