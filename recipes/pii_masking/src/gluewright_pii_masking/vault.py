# gluewright-pii-masking 0.1.0 vault.py
# SPDX-License-Identifier: Apache-2.0
"""Keep random tokens for values in a table, the vault, and exchange them with the look-ups that masking leaves.

A vault has ``domain``, ``lookup``, ``sealed`` (the value, encrypted) and ``token``; the function `vault_entries` makes
all but the token. No plain value comes near these functions, and no key does.

Tokens are random, so they are only what the vault has *after* it was written: write what `issued` returns, read the vault
again and exchange then. A plan that is computed twice issues other tokens the second time. Of two that issue at once, one
has to begin again with what the other wrote: the job of this package publishes on the condition that the vault is as it was
read.

Example:
    >>> new = issued(vault_entries(people, policy, key=key), spark.table("safe.vault"))             # doctest: +SKIP
    >>> new.write.insertInto("safe.vault")                                                         # doctest: +SKIP
    >>> masked = mask(people, policy, key=key)                                                     # doctest: +SKIP
    >>> exchanged(masked, ["email"], spark.table("safe.vault"))                                    # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from .errors import MaskingError
from .paths import quoted

VAULT = ("domain", "lookup", "sealed", "token")
"""The columns of a vault, all of them texts."""


class VaultMismatchError(MaskingError):
    """A column is not there, or is no text."""


def issued(entries: DataFrame, vault: DataFrame) -> DataFrame:
    """Give a token to what the vault does not know yet.

    Args:
        entries: ``domain``, ``lookup``, ``sealed``, each look-up once.
        vault: as it is now.

    Returns:
        What to add to the vault. Tokens are 24 hexadecimal digits: 96 random bits, so that among 10 million the chance of
        two that are the same is below one in a million billion.

    Example:
        >>> issued(entries, spark.table("safe.vault")).columns                                     # doctest: +SKIP
        ['domain', 'lookup', 'sealed', 'token']
    """
    new = entries.join(vault.select("lookup"), "lookup", "left_anti")
    return new.select(*VAULT[:3], _random(F.col("lookup")).alias("token"))


def _random(anything: Column) -> Column:
    """Return 96 random bits. `uuid()` and `rand()` can be foretold by who has seen some; the IVs of AES-GCM cannot.

    What is encrypted, and the key in the plan, do not matter: only the IV is used.
    """
    encrypted = F.aes_encrypt(anything, F.lit(b"0" * 32), F.lit("GCM"), F.lit("DEFAULT"))
    return F.lower(F.hex(F.substring(encrypted, 1, 12)))


def exchanged(masked: DataFrame, columns: Sequence[str], vault: DataFrame) -> DataFrame:
    """Put tokens in the place of look-ups.

    Args:
        masked: what `mask` returned.
        columns: which have look-ups, by path: ``email``, ``address.street``.
        vault: with all of them.

    Returns:
        The same rows and columns, in any order. A look-up that the vault does not have fails the action with the column's
        path: other rows were read than those that tokens were issued for.

    Raises:
        VaultMismatchError: a column is not there, or is no text.

    Example:
        >>> exchanged(masked, ["email", "address.street"], spark.table("safe.vault"))               # doctest: +SKIP
    """
    return _replaced(masked, columns, vault, "lookup", "token", "a value has no token in the vault; run again")


def sealed(rows: DataFrame, columns: Sequence[str], vault: DataFrame) -> DataFrame:
    """Put the encrypted values in the place of tokens; `decrypt` decrypts them for those who have the key.

    Args:
        rows: with tokens.
        columns: which have tokens, by path.
        vault: that issued them.

    Returns:
        The same rows and columns, in any order. A text that is no token of the vault fails the action with the column's
        path.

    Raises:
        VaultMismatchError: a column is not there, or is no text.

    Example:
        >>> decrypt(sealed(shared, ["email"], vault), {"email": "string"}, [key])                   # doctest: +SKIP
    """
    return _replaced(rows, columns, vault, "token", "sealed", "a text is no token of this vault")


_STEP = re.compile(r"((?:`(?:[^`]|``)*`)|[^.`]+)(?:\.(.*))?")


def _replaced(rows: DataFrame, columns: Sequence[str], vault: DataFrame, old: str, new: str, unknown: str) -> DataFrame:
    taken, found = {name.lower() for name in rows.columns}, rows
    for number, path in enumerate(columns):
        _check(rows, path)
        prefix = f"_vault{number}"
        while any(name.startswith(prefix) for name in taken):
            prefix = f"_{prefix}"
        pairs = vault.select(F.col(old).alias(f"{prefix}_old"), F.col(new).alias(f"{prefix}_new"))
        found = found.join(pairs, F.col(path) == F.col(f"{prefix}_old"), "left")
        value = F.coalesce(F.col(f"{prefix}_new"), F.raise_error(F.lit(f"{path}: {unknown}")).cast("string"))
        step = _STEP.fullmatch(path)
        assert step is not None, "a path that can be resolved has steps"
        top, rest = step.groups()
        value = F.when(F.col(path).isNotNull(), value)
        column = F.col(top).withField(rest, value) if rest else value
        replaced = {rows.select(top).columns[0]: column}
        found = found.select(
            *(
                replaced.get(each.name, F.col(quoted(each.name))).alias(each.name, metadata=each.metadata)
                for each in rows.schema
            )
        )
    return found


def _check(rows: DataFrame, path: str) -> None:
    known = ", ".join(rows.columns)
    try:
        kind = rows.select(F.col(path)).schema[0].dataType.simpleString()
    except Exception as error:
        raise VaultMismatchError(f"there is no column {path}; there are {known}") from error
    if kind != "string":
        raise VaultMismatchError(f"{path} is {kind}; look-ups and tokens are texts outside arrays and maps")
