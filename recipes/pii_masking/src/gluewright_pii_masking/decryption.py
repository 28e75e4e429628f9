# gluewright-pii-masking 0.1.0 decryption.py
# SPDX-License-Identifier: Apache-2.0
"""Decrypt what was encrypted, with the key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from . import ff1
from .actions.encryption import change_digits
from .errors import PolicyMismatchError
from .keys import Key, Keys
from .paths import column_at, quoted
from .policy import nearest_names


def decrypt(rows: DataFrame, columns: Mapping[str, DataType | str], keys: Sequence[Key]) -> DataFrame:
    """Decrypt top-level columns that `Encrypt` made.

    Args:
        rows: with the ciphertexts. Those of nested columns are taken out before.
        columns: which columns, and of which type the values were.
        keys: every key that they may have been made with; each ciphertext tells which.

    Returns:
        The same rows, with the plain values. A ciphertext that was changed, or whose key is not there, and a value that is
        not of the type, fail the action with the column's name and not with the value.

    Raises:
        PolicyMismatchError: there is no such column.

    Example:
        >>> decrypt(masked, {"email": "string", "born": "date"}, [key])                            # doctest: +SKIP
    """
    _require_columns(columns, rows)
    found = Keys(keys, rows.columns)
    texts = {name: decrypt_column(name, found) for name in columns}
    opened = found.beside(rows).select(*(texts.get(name, column_at(name)).alias(name) for name in rows.columns))
    plain = {name: _from_text(name, kind) for name, kind in columns.items()}
    return opened.select(*(plain.get(name, column_at(name)).alias(name) for name in rows.columns))


def decrypt_digits(rows: DataFrame, columns: Sequence[str], key: Key, *, domain: str = "") -> DataFrame:
    """Decrypt top-level columns that `EncryptDigits` made.

    Args:
        rows: with the encrypted texts.
        columns: which columns.
        key: what they were encrypted with. Another key gives other digits, and no error.
        domain: as it was in the policy.

    Returns:
        The same rows, with the plain texts.

    Raises:
        PolicyMismatchError: there is no such column.

    Example:
        >>> decrypt_digits(masked, ["card"], key)                                                  # doctest: +SKIP
    """
    _require_columns(columns, rows)
    keys = Keys([key], rows.columns)
    plain = {
        name: change_digits(column_at(name), lambda digits: ff1.decrypt(digits, keys.ff1(), tweak=domain.encode()))
        for name in columns
    }
    found = [plain.get(name, column_at(name)).alias(name) for name in rows.columns]
    return keys.beside(rows).select(*found)


def _require_columns(columns: Iterable[str], rows: DataFrame) -> None:
    if missing := [name for name in columns if name not in rows.columns]:
        raise PolicyMismatchError(f"there is no column {missing[0]} to decrypt; {nearest_names(missing[0], rows.columns)}")


def decrypt_column(name: str, keys: Keys) -> Column:
    """Return what a column was before it was encrypted; NULL if another key did."""
    sealed = column_at(name)
    used, payload = F.substring_index(sealed, ".", 1), F.substring_index(sealed, ".", -1)
    secret = F.coalesce(*(F.when(used == key.id, keys.aes(key)) for key in keys.keys), F.lit(None).cast("binary"))
    looks_right = sealed.rlike(r"^[A-Za-z0-9_-]{1,16}\.[A-Za-z0-9+/]{38,}={0,2}$")
    plain = F.try_aes_decrypt(F.unbase64(F.when(looks_right, payload)), secret, F.lit("GCM"), F.lit("DEFAULT"))
    failed = F.raise_error(f"{name}: a value cannot be decrypted: it was changed, or its key is not among those given")
    return F.when(sealed.isNotNull(), F.coalesce(plain.cast("string"), failed))


def _from_text(name: str, kind: DataType | str) -> Column:
    """Read what `_as_text` wrote. Never by a plain cast: its error would show the value."""
    wanted = kind if isinstance(kind, str) else kind.simpleString()
    text = quoted(name)
    read = f"timestamp_micros(try_cast({text} AS bigint))" if wanted == "timestamp" else f"try_cast({text} AS {wanted})"
    failed = F.raise_error(f"{name}: a value is no {wanted}; give the type that it had when it was encrypted")
    return F.when(F.expr(text).isNotNull(), F.coalesce(F.expr(read), failed))
