# gluewright-pii-masking 0.1.0 keys.py
# SPDX-License-Identifier: Apache-2.0
"""Keys: named, derived for each use, and handed to Spark without becoming part of a plan."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from .errors import InvalidKeyError
from .one_row import one_row
from .unicode_nfc import unicode_tables

SHORTEST_KEY = 32
"""Bytes. A key should not be shorter than what the hash gives (RFC 2104, "HMAC: Keyed-Hashing for Message
Authentication", section 3)."""


_BLOCK = 64


_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True)
class Key:
    """A secret key and the name by which tokens and ciphertexts tell that they were made with it.

    Attributes:
        id: up to 16 letters, digits, ``_`` and ``-``. It is no secret.
        secret: at least 32 random bytes; no `repr` shows them.

    Raises:
        InvalidKeyError: the key is too short, or its id has other characters.
    """

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise InvalidKeyError(f"key id {self.id!r}: use 1 to 16 letters, digits, _ and -")
        if len(self.secret) < SHORTEST_KEY:
            raise InvalidKeyError(
                f"key {self.id}: it has {len(self.secret)} bytes, at least {SHORTEST_KEY} are needed; make one with "
                "`openssl rand -base64 32`"
            )

    @classmethod
    def from_base64(cls, id: str, text: str) -> Key:  # noqa: A002 - it is called so
        """Read a key as a secrets store keeps it.

        Args:
            id: see the class.
            text: base64, such as ``openssl rand -base64 32`` prints.

        Raises:
            InvalidKeyError: the text is not base64, or the key is too short. The message does not repeat it.
        """
        try:
            return cls(id, base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            # Without the cause: nothing made of the key's text may travel further.
            raise InvalidKeyError(f"key {id}: it is not base64; make one with `openssl rand -base64 32`") from None

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"key {self.id} stays in the process that has it: it is not pickled or copied")


def derived(key: bytes, purpose: str) -> bytes:
    """Return a key of 32 bytes for one purpose, so that no two purposes share one.

    By HMAC-SHA-512: tokens are HMAC-SHA-256 under the key itself, and no value that is tokenised may give a derived key.
    """
    return hmac.digest(key, f"gluewright {purpose}".encode(), "sha512")[:32]


def pads(key: bytes) -> tuple[bytes, bytes]:
    """Return what HMAC-SHA-256 puts before the message and before the inner digest (RFC 2104, section 2)."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


class Keys:
    """The columns with key material, and with Unicode's tables, that the actions of one plan ask for.

    Args:
        keys: the current one first.
        taken: the names of the rows' columns.
        texts: what `ShiftDate` shifts by, as text, by path.
    """

    def __init__(self, keys: Sequence[Key], taken: Iterable[str], texts: Mapping[str, Column] | None = None) -> None:
        self.keys = tuple(keys)
        self.texts = dict(texts or {})
        self._unicode = False
        self._values: dict[str, bytes] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._prefix = "_key"
        while any(name.lower().startswith(self._prefix) for name in taken):
            self._prefix = f"_{self._prefix}"

    @property
    def current(self) -> Key:
        """The key that new tokens and ciphertexts are made with."""
        return self.keys[0]

    def pads(self, key: Key, purpose: str = "") -> tuple[Column, Column]:
        """Return the columns with a key's HMAC pads; without a purpose of the key itself."""
        inner, outer = pads(derived(key.secret, purpose) if purpose else key.secret)
        return self._column((key.id, f"{purpose} inner"), inner), self._column((key.id, f"{purpose} outer"), outer)

    def aes(self, key: Key) -> Column:
        """Return the column with a key's AES-256 key."""
        return self._column((key.id, "aes"), derived(key.secret, "aes"))

    def ff1(self) -> Column:
        """Return the column with the current key's AES-256 key for digits."""
        return self._column((self.current.id, "ff1"), derived(self.current.secret, "ff1"))

    def unicode(self) -> Column:
        """Return the column with the tables of :func:`nfc`: NULL in rows that need none."""
        self._unicode = True
        return F.col(f"{self._prefix}_unicode")

    def _column(self, wanted: tuple[str, str], value: bytes) -> Column:
        name = self._names.setdefault(wanted, f"{self._prefix}{len(self._names)}")
        self._values[name] = value
        return F.col(name)

    def beside(self, rows: DataFrame, decomposed: Column | None = None) -> DataFrame:
        """Put what was asked for beside every row.

        Args:
            rows: any.
            decomposed: whether a row has a text that :func:`nfc` may change. Others do not carry its tables along.
        """
        if self._unicode:
            tables = unicode_tables(rows.sparkSession, f"{self._prefix}_unicode")
            rows = rows.join(F.broadcast(tables), F.lit(True) if decomposed is None else decomposed, "left")
        return rows.crossJoin(F.broadcast(one_row(rows.sparkSession, self._values))) if self._values else rows
