# gluewright-pii-masking 0.1.0 actions/tokens.py
# SPDX-License-Identifier: Apache-2.0
"""Tokens: the same value has the same token under the same key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DataType, StringType

from ..errors import InvalidPolicyError
from ..expressions import as_text, hmac_sha256, no_text
from ..keys import Key, Keys
from ..normalise import no_python_inside, normalisation, normalised_text
from .base import Action

_ALPHABETS = {"hex": (4.0, 64), "base64url": (6.0, 43), "digits": (3.32, 60)}
"""Bits that a character tells, and how many characters there are."""


_FEWEST_BITS = 64


@dataclass(frozen=True)
class Token(Action):
    """Replace a value by a token: the same for the same value and key, in every run, table and Spark line.

    The token is HMAC-SHA-256 of the value's text. Text is the value itself; numbers, dates and decimals are written so that
    equal values of different widths have one token; timestamps are microseconds since 1970. The result is ``string``.

    Attributes:
        length: characters of the token, without the key's id; all of them by default. Fewer than 64 bits are refused:
            with 48, two values would share a token in one of 600 tables with a million values.
        alphabet: ``hex``, ``base64url`` or ``digits``.
        normalise: what is done to a text before, of ``trim`` (Unicode's white space at both ends), ``lower`` (small
            letters) and ``nfc`` (Unicode's normal form C: ``é`` as one or two characters is the same), in this order. Before
            them one canonical form, see `canonical.py`: ``email``, ``email_without_tag``, ``iban``, ``card``, ``phone:GB``.
        domain: columns with different domains have different tokens for the same value, so they do not join.
        with_key_id: write the key's id and a dot before the token.
    """

    length: int | None = None
    alphabet: str = "hex"
    normalise: Sequence[str] = ()
    domain: str = ""
    with_key_id: bool = True

    keyed: ClassVar[bool] = True
    keeps_apart: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalise", normalisation("token", self.normalise))
        if self.alphabet not in _ALPHABETS:
            raise InvalidPolicyError(f"token: alphabet is {self.alphabet!r}; it is one of {', '.join(_ALPHABETS)}")
        bits, most = _ALPHABETS[self.alphabet]
        fewest = -int(-_FEWEST_BITS // bits)
        if self.length is not None and not fewest <= self.length <= most:
            raise InvalidPolicyError(
                f"token: length is {self.length}; in {self.alphabet} it is {fewest} to {most}: with fewer than "
                f"{_FEWEST_BITS} bits different values get the same token"
            )

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        if self.normalise and not isinstance(kind, StringType):
            return f"normalise is for texts, not for {kind.simpleString()}"
        return "" if isinstance(kind, BinaryType) else no_text(kind)

    @property
    def refuses_inside(self) -> str:  # noqa: D102
        return no_python_inside(self.normalise)

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return self.with_key(value, kind, keys, keys.current)

    def with_key(self, value: Column, kind: DataType, keys: Keys, key: Key) -> Column:
        """Return the token that one of several keys gives."""
        text = value if isinstance(kind, BinaryType) else normalised_text(as_text(value, kind), self.normalise, keys)
        digest = hmac_sha256(text.cast("binary"), *keys.pads(key, f"token {self.domain}" if self.domain else ""))
        token = _written(digest, self.alphabet)
        if self.length and self.length < _ALPHABETS[self.alphabet][1]:
            token = _first(token, self.length)
        return F.concat(F.lit(f"{key.id}."), token) if self.with_key_id else token


def _written(digest: Column, alphabet: str) -> Column:
    """Write a digest of 64 hexadecimal digits in another alphabet."""
    if alphabet == "base64url":
        # Not by `translate`, which looks each character up. The 44th is padding; lines break only after the 76th.
        text = F.replace(_first(F.base64(F.unhex(digest)), 43), F.lit("+"), F.lit("-"))
        return F.replace(text, F.lit("/"), F.lit("_"))
    if alphabet == "digits":
        # Four numbers of 64 bits, the last 15 digits of each: the bias towards small ones is under 1 in 18,000.
        parts = [F.lpad(F.conv(F.substring(digest, place, 16), 16, 10), 20, "0") for place in (1, 17, 33, 49)]
        return F.concat(*(F.substring(part, 6, 15) for part in parts))
    return digest


def _first(text: Column, length: int) -> Column:
    """Give the first characters of a text of ASCII; of a text Spark would look at each, of bytes it does not."""
    return F.substring(text.cast("binary"), 1, length).cast("string")


@dataclass(frozen=True)
class VaultToken(Action):
    """Replace a value by a random token that a table keeps, the vault: the same value has the same token.

    `mask` puts a keyed look-up in its place, the key's id and HMAC-SHA-256 of domain and value. :func:`vault_entries` tells
    what the vault has to know, and `vault.py` of this package issues tokens and exchanges look-ups for them. Without the
    vault nobody can tell whether a token stands for a value, not even with the key; with both, tokens become values again.

    It is for columns and fields of structs, not inside arrays and maps: tokens are joined to the rows.

    Attributes:
        normalise: see `Token`. What is kept is the normalised text.
        domain: columns with different domains have different tokens for the same value.
    """

    normalise: Sequence[str] = ()
    domain: str = ""

    keyed: ClassVar[bool] = True

    @property
    def refuses_inside(self) -> str:  # noqa: D102
        return "inside arrays and maps there are no tokens of a vault; use token, or explode the column"

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalise", normalisation("vault_token", self.normalise))

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        if self.normalise and not isinstance(kind, StringType):
            return f"normalise is for texts, not for {kind.simpleString()}"
        return no_text(kind)

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return self.looked_up(F.lit(self.domain), self.text(value, kind, keys), keys)

    def text(self, value: Column, kind: DataType, keys: Keys) -> Column:
        """Return what the vault keeps of a value."""
        return normalised_text(as_text(value, kind), self.normalise, keys)

    @staticmethod
    def looked_up(domain: Column, text: Column, keys: Keys) -> Column:
        """Return the look-up of a text, with the current key."""
        message = F.concat(domain.cast("binary"), F.lit(b"\0"), text.cast("binary"))
        return F.concat(F.lit(f"{keys.current.id}."), hmac_sha256(message, *keys.pads(keys.current, "vault")))
