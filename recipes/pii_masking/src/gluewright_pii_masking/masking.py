# gluewright-pii-masking 0.1.0 masking.py
# SPDX-License-Identifier: Apache-2.0
"""Mask personal data by a policy that names every column, in native Spark expressions and one pass.

The actions are in `actions`, the policy in `policy`, keys in `keys`, what a policy decides for a schema in `decisions`.

A *policy* says what becomes of each column, by its path or by a tag of its field's metadata. It is closed: a column that it
does not name stops the job, and so does an entry that names nothing. NULL stays NULL under every action.

**Paths** are ``email``, ``address.street`` (a field of a struct), ``phones[]`` (the elements of an array),
``orders[].card``, ``labels{}.key`` and ``labels{}.value`` (the keys and values of a map). A name with another character than
letters, digits and ``_`` stands in backticks: ```e-mail`.host``. Only `Drop` and `Redact` may name something that has parts.

**The key never becomes part of a plan**: a literal would show in ``explain``, in Spark's pages and in the event log. It
travels as a frame of one row that is broadcast and crossed with the rows. The JVM reads it from a pipe: no file has it, and
Py4J, which logs its commands, does not send it.

Example:
    >>> policy = Policy({"id": Keep(), "email": Token(normalise=("trim", "lower")), "born": TruncateDate("year")})
    >>> masked = mask(people, policy, key=Key.from_base64("2026a", text))                       # doctest: +SKIP
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, MapType, StructType

from .actions.base import Drop
from .actions.encryption import Encrypt, EncryptDigits
from .actions.texts import Redact
from .actions.tokens import Token, VaultToken
from .decisions import Decisions
from .errors import InvalidKeyError
from .keys import Key, Keys
from .paths import Node, column_at
from .policy import HASH_REFUSED, Policy


def _applied(  # noqa: PLR0911 - one for each kind of node
    node: Node, value: Column, decisions: Decisions, keys: Keys
) -> Column | None:
    """Return what becomes of a value, or None if it is dropped."""
    action = decisions.actions.get(node.path)
    if isinstance(action, Drop):
        return None
    if decisions.kept(node):
        return value
    if action:
        return action.masked(value, node.kind, keys)

    def inside(part: Node, inner: Column) -> Column:
        masked = _applied(part, inner, decisions, keys)
        assert masked is not None, "a container without its parts is dropped itself"
        return masked

    if isinstance(node.kind, ArrayType):
        return F.transform(value, lambda element: inside(node.parts[0], element))
    if isinstance(node.kind, MapType):
        of_key, of_value = node.parts
        if decisions.kept(of_key):
            return F.transform_values(value, lambda key, inner: inside(of_value, inner))
        pair = F.transform(
            F.map_entries(value),
            lambda entry: F.struct(
                inside(of_key, entry.getField("key")).alias("key"), inside(of_value, entry.getField("value")).alias("value")
            ),
        )
        return F.map_from_entries(pair)
    fields = [(part, _applied(part, value.getField(part.step), decisions, keys)) for part in node.parts]
    return F.when(value.isNotNull(), F.struct(*(masked.alias(part.step) for part, masked in fields if masked is not None)))


def mask(rows: DataFrame, policy: Policy, *, key: Key | None = None, declared: StructType | None = None) -> DataFrame:
    """Apply a policy to rows.

    Args:
        rows: any number; they are read once.
        policy: what becomes of each column.
        key: what tokens and ciphertexts are made with.
        declared: a schema whose fields have tags in their metadata, such as a contract's ``struct``; tags of the rows' own
            schema count too.

    Returns:
        The columns that are left, in the same order and with the same names. Columns that are kept have their metadata;
        others only their comment.

    Raises:
        PolicyMismatchError: names everything that does not fit, before anything is read.
        InvalidKeyError: the policy needs a key and there is none.

    Example:
        >>> mask(people, Policy({"id": Keep(), "card": Partial(last=4)}))                          # doctest: +SKIP
    """
    decisions = Decisions(policy, rows.schema, declared)
    if key is None and any(action.keyed for action in decisions.actions.values()):
        raise InvalidKeyError(f"{policy.name}: tokens and encryption need a key; {HASH_REFUSED}")
    keys = Keys([key] if key else [], rows.columns, decisions.texts)
    masked = []
    for column, each in zip(decisions.columns, rows.schema, strict=True):
        found = _applied(column, column_at(each.name), decisions, keys)
        if found is None:
            continue
        comment = (each.metadata or {}).get("comment")
        metadata = each.metadata if decisions.kept(column) else {"comment": comment} if comment else {}
        masked.append(found.alias(each.name, metadata=metadata))
    return keys.beside(rows, decisions.decomposed()).select(*masked)


def hidden_columns(rows: DataFrame, policy: Policy, *, declared: StructType | None = None) -> list[str]:
    """Return the paths of the values of which nothing should be left: dropped, redacted, tokenised or encrypted ones.

    They are what to search the masked rows for. Binary values are not among them.

    Args:
        rows: the plain rows.
        policy: what masks them.
        declared: see :func:`mask`.

    Raises:
        PolicyMismatchError: see :func:`mask`.
    """
    decisions = Decisions(policy, rows.schema, declared)
    found: dict[str, None] = {}
    for column in decisions.columns:
        for node in column.below():
            if isinstance(decisions.actions.get(node.path), Drop | Redact | Token | Encrypt | EncryptDigits | VaultToken):
                found |= {part.path: None for part in node.below() if not (part.parts or isinstance(part.kind, BinaryType))}
    return list(found)
