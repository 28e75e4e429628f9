# gluewright-pii-masking 0.1.0 actions/encryption.py
# SPDX-License-Identifier: Apache-2.0
"""Values that can be decrypted with the key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType

from .. import ff1
from ..expressions import aes_gcm, as_text, hmac_sha256, let, no_text
from ..keys import Keys
from .base import Action


def _base64(data: Column) -> Column:
    # Spark breaks base64 into lines of 76 characters, on some lines and settings.
    return F.replace(F.base64(data), F.lit("\r\n"), F.lit(""))


@dataclass(frozen=True)
class Encrypt(Action):
    """Encrypt a value with AES-256-GCM, to be decrypted by :func:`decrypt`. The result is ``string``: key id, dot, base64.

    Attributes:
        deterministic: the same value has the same ciphertext, so that it can be joined and grouped by; whoever sees the
            ciphertexts sees which are equal. The IV is then a keyed hash of the value instead of random.
    """

    deterministic: bool = False

    keyed: ClassVar[bool] = True
    keeps_apart: ClassVar[bool] = True

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return no_text(kind)

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        plain, key = as_text(value, kind).cast("binary"), keys.current
        iv = F.substring(F.unhex(hmac_sha256(plain, *keys.pads(key, "iv"))), 1, 12) if self.deterministic else None
        return F.concat(F.lit(f"{key.id}."), _base64(aes_gcm(plain, keys.aes(key), iv)))


@dataclass(frozen=True)
class EncryptDigits(Action):
    """Encrypt the digits of a text and keep its form: as many digits, and every other character in its place.

    ``4929-5555-0199-1234`` becomes another ``dddd-dddd-dddd-dddd``. Different values stay different, equal ones equal;
    :func:`decrypt_digits` gives them back. The text has no room for the key's id: note with the table which key it was.
    A text with fewer than 6 or more than 36 digits becomes NULL. (FF1 of NIST SP 800-38G, see `ff1.py`.)

    Attributes:
        domain: columns with different domains have different digits for the same value.
    """

    domain: str = ""

    keyed: ClassVar[bool] = True

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        is_text = isinstance(kind, StringType)
        return "" if is_text else f"it is for digits in texts, not for {kind.simpleString()}; cast it before"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return change_digits(value, lambda digits: ff1.encrypt(digits, keys.ff1(), tweak=self.domain.encode()))


def change_digits(text: Column, change: Callable[[Column], Column]) -> Column:
    """Put other digits in the places of a text's own; NULL where there are none."""
    between = F.split(text, "[0-9]", -1)

    def filled(digits: Column) -> Column:
        places = F.transform(between, lambda piece, place: F.concat(piece, digits.substr(place + 1, F.lit(1))))
        return F.when(digits.isNotNull(), F.array_join(places, ""))

    return let(change(F.regexp_replace(text, "[^0-9]", "")), filled)
