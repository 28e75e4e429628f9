# gluewright-pii-masking 0.1.0 decisions.py
# SPDX-License-Identifier: Apache-2.0
"""What a policy decides for each path of a schema."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from .actions.base import Action, Drop, Keep
from .actions.numbers import ShiftDate
from .actions.texts import Redact
from .errors import PolicyMismatchError
from .expressions import as_text, no_text
from .paths import Node, column_at, every_node, is_inside, nodes_of, only_node
from .policy import Policy, nearest_names
from .unicode_nfc import may_change_in_nfc


class Decisions:
    """The action of every column and part, by path; everything that is wrong is found before it is told."""

    def __init__(self, policy: Policy, struct: StructType, declared: StructType | None) -> None:
        self.policy = policy
        self.columns = nodes_of(struct)
        self.actions: dict[str, Action] = {}
        # The tags of both: a declared schema does not take away what the data says of itself. Spark's names have no case.
        self._tags: dict[str, dict[str, None]] = {}
        for each in (*self.columns, *(nodes_of(declared) if declared else ())):
            for node in each.below():
                self._tags.setdefault(node.path.lower(), {}).update(dict.fromkeys(node.tags))
        self._by_tag = {tag.lower(): action for tag, action in policy.tags.items()}
        self._used: set[str] = set()
        self._problems: list[str] = []
        for column in self.columns:
            self._decide(column, None)
        self._entries_without_a_column()
        self._names_twice(struct.names)
        if not self._problems and all(isinstance(self.actions.get(column.path), Drop) for column in self.columns):
            self._problems.append("no column would be left")
        if self._problems:
            raise PolicyMismatchError(f"{policy.name}: the policy does not fit: {'; '.join(self._problems)}")

    def _decide(self, node: Node, inherited: Action | None) -> None:
        """Find the action of a node and of its parts."""
        action = self._named(node) or inherited
        if node.parts and not isinstance(action, Drop | Redact):
            if node.path in self.policy.columns:
                action = None
                parts = ", ".join(part.path for part in node.parts)
                self._wrong(node, f"it has parts, each of which is named by itself: {parts}")
            for part in node.parts:
                self._decide(part, action)
            # Without one of its fields a struct is still one; without its elements nothing is left of an array.
            gone = [isinstance(self.actions.get(part.path), Drop) for part in node.parts]
            if all(gone) if isinstance(node.kind, StructType) else any(gone):
                self.actions[node.path] = Drop()
            return
        if action is None:
            if self.policy.unlisted == "stop":
                self._wrong(node, "the policy does not name it; say keep, drop or how it is masked")
            action = Drop()
        if reason := action.refuses(node.kind):
            self._wrong(node, reason)
        if action.refuses_inside and is_inside(node.path):
            self._wrong(node, action.refuses_inside)
        if isinstance(action, ShiftDate) and (reason := self._no_person(action.by)):
            self._wrong(node, reason)
        if node.step == "{}.key" and not isinstance(action, Drop) and not action.keeps_apart:
            self._wrong(node, "the keys of a map stay different: keep, token or encrypt them, or drop the map")
        self.actions[node.path] = action

    def _no_person(self, path: str) -> str:
        """Say why dates cannot be shifted by a column; empty text if they can."""
        found = self._found(path)
        if found is None:
            paths = [node.path for column in self.columns for node in column.below()]
            return f"it is shifted by {path}, which is no column: {nearest_names(path, paths)}"
        if is_inside(path) or found[1].parts or no_text(found[1].kind):
            return f"it is shifted by {path}; that must be a text, number or date outside arrays and maps"
        return ""

    def _found(self, path: str) -> tuple[Node, Node] | None:
        """Find a column or part by its path, with the column that it is in."""
        return next(((column, node) for column in self.columns for node in column.below() if node.path == path), None)

    @property
    def texts(self) -> dict[str, Column]:
        """What dates are shifted by, as text, by path."""
        paths = {action.by for action in self.actions.values() if isinstance(action, ShiftDate)}
        found = {path: self._found(path) for path in sorted(paths)}
        nodes = {path: each for path, each in found.items() if each}
        return {path: as_text(only_node(*each, column_at(each[0].step)), each[1].kind) for path, each in nodes.items()}

    def _named(self, node: Node) -> Action | None:
        tags = [tag for tag in self._tags.get(node.path.lower(), ()) if tag in self._by_tag]
        self._used |= {f"tag {tag}" for tag in tags}
        if node.path in self.policy.columns:
            self._used.add(node.path)
            return self.policy.columns[node.path]
        actions = [self._by_tag[tag] for tag in tags]
        if any(action != actions[0] for action in actions):
            self._wrong(node, f"its tags {' and '.join(tags)} say different things; name it by its path")
        return actions[0] if actions else None

    def _entries_without_a_column(self) -> None:
        paths = [node.path for column in self.columns for node in column.below()]
        for path in self.policy.columns:
            if path not in self._used:
                why = "what it is a part of is dropped or redacted" if path in paths else nearest_names(path, paths)
                self._problems.append(f"the entry {path} names no column: {why}")
        for tag in self.policy.tags:
            if f"tag {tag.lower()}" not in self._used:
                self._problems.append(f"the entry for the tag {tag} names no column; are the tags in the rows' metadata?")

    def _names_twice(self, names: Sequence[str]) -> None:
        lower = [name.lower() for name in names]
        self._problems += [f"the column {name} is there twice" for name in sorted({n for n in lower if lower.count(n) > 1})]

    def _wrong(self, node: Node, why: str) -> None:
        self._problems.append(f"{node.path} ({node.kind.simpleString()[:60]}): {why}")

    def decomposed(self) -> Column | None:
        """Return whether a row has a text that Unicode's normal form may change; None if none is asked for."""
        found = None
        for column in self.columns:
            for node in column.below():
                if "nfc" in getattr(self.actions.get(node.path), "normalise", ()):
                    value = column_at(column.step)
                    inside = every_node(column, node, value) if node is not column else None
                    has = may_change_in_nfc(value) if inside is None else F.exists(inside, may_change_in_nfc)
                    has = F.coalesce(has, F.lit(False))
                    found = has if found is None else found | has
        return found

    def kept(self, node: Node) -> bool:
        """Tell whether nothing changes in a column or part."""
        decided = self.actions.get(node.path)
        return isinstance(decided, Keep) if decided or not node.parts else all(map(self.kept, node.parts))
