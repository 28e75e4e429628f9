"""Pair the incoming columns with the contract's, and find how the types of each become the contract's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from pyspark.sql import types as T

from .nested import array_node, map_node, struct_node
from .nodes import ColumnPlan, Node, Spot
from .problems import problem_sql
from .sql import ddl, itself, type_name
from .tags import has_pii, is_pii, with_tags, withhold
from .terms import ContractViolationError, Difference, Mode, State
from .text import as_text
from .values import find_reading


class Planner:
    """Finds how incoming types become the contract's, and lists what is different."""

    def __init__(self, unknown: Mode, differences: list[Difference], *, utc: bool, shown: bool) -> None:
        self._unknown, self._differences, self._utc, self._shown = unknown, differences, utc, shown
        self._numbers = count()

    def fields(
        self,
        incoming: T.StructType,
        contract: T.StructType,
        prefix: str,
        mode: Mode,
        key: tuple[str, ...] = (),
        within: Spot | None = None,
    ) -> Iterator[ColumnPlan]:
        """Pair the fields of two structs by name: the contract's in its order, then the others."""
        by_name = {field.name.lower(): place for place, field in enumerate(incoming)}
        exact = {field.name: place for place, field in enumerate(incoming)}
        matched = []
        for field in contract:
            path = prefix + field.name
            place = exact.get(field.name, by_name.get(field.name.lower()))
            if place is None:
                yield self._missing(field, path, must=not field.nullable or field.name in key)
                continue
            matched.append(place)
            original = incoming[place].name
            if original != field.name:
                self._tell("renamed", path, f"comes as {original}")
            spot = self._spot(field, incoming[place], path, mode, within, is_key=field.name in key)
            node = self.node(incoming[place].dataType, field.dataType, spot)
            yield ColumnPlan(
                field.name,
                original,
                place,
                incoming[place].dataType,
                with_tags(field.metadata, incoming[place].metadata),
                node,
                spot.mode,
                spot.pii or has_pii(field.dataType) or has_pii(incoming[place].dataType),
            )
        if matched != sorted(matched):
            order = ", ".join(incoming[place].name for place in sorted(matched))
            self._tell("reordered", prefix.rstrip(".") or "columns", f"come as {order}")
        for place, field in enumerate(incoming):
            if place not in matched:
                yield self._extra(field, prefix + field.name, place)

    def node(self, source: T.DataType, target: T.DataType, spot: Spot) -> Node:
        """Find how a value of one type becomes one of another."""
        if isinstance(source, T.StructType) and isinstance(target, T.StructType):
            require_distinct(source, f"{spot.path}: the incoming struct has")
            require_distinct(target, f"{spot.path}: the contract's struct has")
            fields = list(self.fields(source, target, f"{spot.path}.", spot.mode, within=spot))
            return struct_node(fields, len(source), spot)
        if isinstance(source, T.ArrayType) and isinstance(target, T.ArrayType):
            inside = spot.inside("[]", nullable_in=source.containsNull, nullable_out=target.containsNull)
            return array_node(self.node(source.elementType, target.elementType, inside), self._variable(), spot)
        if isinstance(source, T.MapType) and isinstance(target, T.MapType):
            key = self.node(source.keyType, target.keyType, spot.inside("{}.key", nullable_in=False, nullable_out=False))
            inside = spot.inside("{}.value", nullable_in=source.valueContainsNull, nullable_out=target.valueContainsNull)
            value = self.node(source.valueType, target.valueType, inside)
            return map_node(key, value, self._variable(), self._variable(), spot)
        return self._leaf(source, target, spot)

    def _spot(
        self, field: T.StructField, incoming: T.StructField, path: str, mode: Mode, within: Spot | None, *, is_key: bool
    ) -> Spot:
        own = field.metadata.get("on_surprise")
        if own is not None:
            if own not in set(Mode):
                raise ContractViolationError(f"{path}: on_surprise is {own!r}; it is one of {', '.join(Mode)}")
            mode = Mode(own)
            if within and mode is Mode.EVOLVE:
                raise ContractViolationError(
                    f"{path}: on_surprise=evolve is for whole columns: a column beside has no place in here"
                )
        nullable = field.nullable and not is_key
        pattern = str(field.metadata.get("format") or "")
        null_rule = "key" if is_key and field.nullable else "required"
        pii = is_pii(field.metadata) or is_pii(incoming.metadata)
        if within is None:
            return Spot(path, incoming.nullable, nullable, mode, nullable, pii, self._utc, pattern, null_rule)
        # NULL in the place of an enclosing struct is not a problem of its fields.
        inner = within.inside("", nullable_in=incoming.nullable, nullable_out=nullable)
        return replace(inner, path=path, mode=mode, pii=within.pii or pii, pattern=pattern)

    def _missing(self, field: T.StructField, path: str, *, must: bool) -> ColumnPlan:
        if must:
            raise ContractViolationError(
                f"{path}: the column is required and missing; add it to the source or allow NULL in the contract"
            )
        self._tell("missing", path, "is missing and becomes NULL")
        nothing = f"CAST(NULL AS {ddl(field.dataType)})"
        node = Node(lambda _: nothing, lambda _: nothing)
        return ColumnPlan(field.name, "", -1, field.dataType, field.metadata, node, Mode.DISCARD_VALUE)

    def _extra(self, field: T.StructField, path: str, place: int) -> ColumnPlan:
        if self._unknown is Mode.FREEZE:
            raise ContractViolationError(
                f"{path}: the contract has no such column, and unknown ones are frozen; add it there or leave it out"
            )
        done = {
            Mode.EVOLVE: "is kept",
            Mode.DISCARD_VALUE: "is left out",
            Mode.DISCARD_ROW: "rows that have it are discarded",
        }
        self._tell("extra", path, f"is not in the contract and {done[self._unknown]}")
        withheld = not self._shown or is_pii(field.metadata) or has_pii(field.dataType)

        def problems(x: str, _: str = "") -> str:
            reason = "the contract has no such column"
            text = "NULL" if withheld else as_text(x, field.dataType)
            problem = problem_sql(path, "unknown_column", reason, text, State.OUT)
            return f"CASE WHEN {x} IS NOT NULL THEN array({problem}) END"

        judged = self._unknown is Mode.DISCARD_ROW
        node = Node(
            itself,
            itself,
            problems=problems if judged else None,
            shown=withhold if withheld else None,
            bare=True,
            output=self._unknown is Mode.EVOLVE,
            severities=frozenset({State.OUT} if judged else ()),
        )
        tags = with_tags({}, field.metadata)
        return ColumnPlan(field.name, field.name, place, field.dataType, tags, node, self._unknown, extra=True)

    def _leaf(self, source: T.DataType, target: T.DataType, spot: Spot) -> Node:
        reading = find_reading(source, target, spot)
        if not reading.bare and not isinstance(source, T.NullType):
            self._tell("retyped", spot.path, f"comes as {type_name(source)} and is {type_name(target)}")
        required = spot.nullable_in and not spot.nullable_out
        # What has parts has come in place of a simple value: as little is known of them as of an unknown column.
        unknown = isinstance(source, (T.StructType, T.ArrayType, T.MapType)) and not self._shown
        withheld = spot.pii or unknown or has_pii(target) or has_pii(source)
        cast, lossless = reading.candidate, reading.lossless

        def strict(x: str) -> str:
            return f"CASE WHEN {lossless(x, cast(x))} THEN {cast(x)} END" if lossless else cast(x)

        def problems(x: str, v: str = "") -> str:
            v = v or cast(x)
            branches = []
            if required:
                null = problem_sql(spot.path, spot.null_rule, "NULL where a value is required", "NULL", spot.severity)
                branches.append(f"WHEN {x} IS NULL THEN array({null})")
            if lossless:
                branches.append(f"WHEN {lossless(x, v)} THEN NULL")
                text = "NULL" if withheld else as_text(x, source)
                for condition, rule, reason in reading.why(x, v):
                    problem = problem_sql(spot.path, rule, reason, text, spot.severity)
                    branches.append(f"WHEN {condition} THEN array({problem})")
            return f"CASE {' '.join(branches)} END"

        return Node(
            cast,
            strict,
            lossless,
            problems if required or lossless else None,
            withhold if withheld else None,
            bare=reading.bare,
            required=required,
            must=not spot.nullable_out,
            severities=frozenset({spot.severity} if required or lossless else ()),
        )

    def _variable(self) -> str:
        return f"e{next(self._numbers)}"

    def _tell(self, kind: str, column: str, told: str) -> None:
        self._differences.append(Difference(kind, column, told))


def require_distinct(names: T.StructType | Sequence[str], who: str) -> None:
    """Refuse names that only case tells apart.

    Args:
        names: those of columns or fields.
        who: whose they are, with a verb, for the message.

    Raises:
        ContractViolationError: two are the same but for case.
    """
    seen: dict[str, str] = {}
    for name in names.names if isinstance(names, T.StructType) else names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise ContractViolationError(
                f"{who} both {other!r} and {name!r}, which only case tells apart, if anything; rename one"
            )
