# gluewright-pii-masking 0.1.0 rotation.py
# SPDX-License-Identifier: Apache-2.0
"""Find tokens of an old key by those of the new one."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from .actions.tokens import Token
from .decisions import Decisions
from .errors import InvalidKeyError
from .keys import Key, Keys
from .paths import Node, column_at, every_node, is_inside, only_node
from .policy import Policy


def rotation(rows: DataFrame, policy: Policy, *, old: Key, new: Key, declared: StructType | None = None) -> DataFrame:
    """Pair the tokens of two keys, so that tables masked with either can be joined while a key is exchanged.

    Whoever has the pairs can tell that two tokens stand for one value, and not the value. Delete them when every table is
    masked with the new key.

    Args:
        rows: the plain rows.
        policy: what masks them.
        old: the key until now.
        new: the key from now on.
        declared: see :func:`mask`.

    Returns:
        ``column`` (the path), ``old`` and ``new``: each pair once. No rows if the policy makes no tokens.

    Raises:
        PolicyMismatchError: see :func:`mask`.
        InvalidKeyError: the keys have the same id.

    Example:
        >>> pairs = rotation(people, policy, old=Key("2025", a), new=Key("2026", b))               # doctest: +SKIP
        >>> orders.join(pairs.where("column = 'email'"), orders.email == pairs.old)                # doctest: +SKIP
    """
    if old.id == new.id:
        raise InvalidKeyError(f"key {old.id}: both keys have this id; give the new one another")
    decisions, keys = Decisions(policy, rows.schema, declared), Keys([new, old], rows.columns)
    pairs = [F.array().cast("array<struct<column:string,old:string,new:string>>")]
    for column in decisions.columns:
        for node in column.below():
            if isinstance(action := decisions.actions.get(node.path), Token):
                pairs.append(_pairs(action, column, node, keys))
    found = keys.beside(rows, decisions.decomposed()).select(F.explode(F.concat(*pairs)).alias("pair")).select("pair.*")
    return found.where("old IS NOT NULL").distinct()


def _pairs(action: Token, column: Node, node: Node, keys: Keys) -> Column:
    """Pair the tokens of all values of a column or part, as an array."""
    new, old = keys.keys

    def pair(value: Column) -> Column:
        return F.struct(
            F.lit(node.path).alias("column"),
            action.with_key(value, node.kind, keys, old).alias("old"),
            action.with_key(value, node.kind, keys, new).alias("new"),
        )

    value = column_at(column.step)
    if not is_inside(node.path):
        return F.array(pair(only_node(column, node, value)))
    return F.transform(every_node(column, node, value), pair)
