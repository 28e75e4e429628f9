# gluewright-pii-masking 0.1.0 vault_entries.py
# SPDX-License-Identifier: Apache-2.0
"""What a vault needs of rows: the values that get vault tokens."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from .actions.encryption import Encrypt
from .actions.tokens import VaultToken
from .decisions import Decisions
from .decryption import decrypt_column
from .errors import InvalidKeyError
from .keys import Key, Keys
from .paths import Node, column_at, only_node
from .policy import Policy


def vault_entries(rows: DataFrame, policy: Policy, *, key: Key, declared: StructType | None = None) -> DataFrame:
    """Return what a vault has to know to give every value its token.

    Args:
        rows: the plain rows.
        policy: what masks them.
        key: what masks them.
        declared: see :func:`mask`.

    Returns:
        ``domain``, ``lookup`` (what `mask` puts in the value's place) and ``sealed`` (the value encrypted with the key, as
        `decrypt` reads it), each once. No rows if the policy has no `VaultToken`.

    Raises:
        PolicyMismatchError: see :func:`mask`.

    Example:
        >>> new = issued(vault_entries(people, policy, key=key), vault)                            # doctest: +SKIP
    """
    decisions, keys = Decisions(policy, rows.schema, declared), Keys([key], rows.columns)
    entries = [F.array().cast("array<struct<domain:string,lookup:string,sealed:string>>")]
    for column in decisions.columns:
        for node in column.below():
            if isinstance(action := decisions.actions.get(node.path), VaultToken):
                entries.append(F.array(_entry(action, node, only_node(column, node, column_at(column.step)), keys)))
    beside = keys.beside(rows, decisions.decomposed())
    found = beside.select(F.explode(F.concat(*entries)).alias("entry")).select("entry.*")
    return found.where("lookup IS NOT NULL").distinct()


def _entry(action: VaultToken, node: Node, value: Column, keys: Keys) -> Column:
    text = action.text(value, node.kind, keys)
    return F.struct(
        F.lit(action.domain).alias("domain"),
        action.looked_up(F.lit(action.domain), text, keys).alias("lookup"),
        Encrypt(deterministic=True).masked(text, StringType(), keys).alias("sealed"),
    )


def vault_columns(rows: DataFrame, policy: Policy, *, declared: StructType | None = None) -> list[str]:
    """Return the paths of the columns that have a `VaultToken`.

    Args:
        rows: the plain rows.
        policy: what masks them.
        declared: see :func:`mask`.

    Raises:
        PolicyMismatchError: see :func:`mask`.
    """
    actions = Decisions(policy, rows.schema, declared).actions
    return [path for path, action in actions.items() if isinstance(action, VaultToken)]


def rekeyed(vault: DataFrame, *, old: Key, new: Key) -> DataFrame:
    """Exchange the key of a vault. Tokens stay as they are, so masked tables do too.

    Args:
        vault: with ``domain``, ``lookup``, ``sealed`` and other columns, all of one key.
        old: the key until now.
        new: the key from now on.

    Returns:
        The same rows with the new key's ``lookup`` and ``sealed``. What the old key does not open fails the action.

    Raises:
        InvalidKeyError: the keys have the same id.

    Example:
        >>> vault = rekeyed(vault, old=Key("2025", a), new=Key("2026", b))                         # doctest: +SKIP
    """
    if old.id == new.id:
        raise InvalidKeyError(f"key {old.id}: both keys have this id; give the new one another")
    keys = Keys([new, old], vault.columns)
    text = decrypt_column("sealed", keys)
    changed = {
        "lookup": VaultToken.looked_up(F.col("domain"), text, keys),
        "sealed": Encrypt(deterministic=True).masked(text, StringType(), keys),
    }
    columns = [changed.get(name, column_at(name)).alias(name) for name in vault.columns]
    return keys.beside(vault).select(*columns)
