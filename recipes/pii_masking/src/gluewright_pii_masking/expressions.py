# gluewright-pii-masking 0.1.0 expressions.py
# SPDX-License-Identifier: Apache-2.0
"""Expressions that several actions need: digests, encryption, and the text of a value."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    TimestampNTZType,
    TimestampType,
)


def hmac_sha256(message: Column, inner: Column, outer: Column) -> Column:
    """Return HMAC-SHA-256 as 64 hexadecimal digits.

    Args:
        message: binary.
        inner: the first of the key's :func:`pads`.
        outer: the second.

    Returns:
        Text; NULL for NULL. (RFC 2104; the vectors of RFC 4231, "Identifiers and Test Vectors for HMAC-SHA-224,
        HMAC-SHA-256, HMAC-SHA-384, and HMAC-SHA-512", hold.)
    """
    return F.sha2(F.concat(outer, F.unhex(F.sha2(F.concat(inner, message), 256))), 256)


def aes_gcm(plain: Column, key: Column, iv: Column | None = None) -> Column:
    """Encrypt with AES-GCM: 12 bytes of IV, the ciphertext, 16 bytes of tag.

    Args:
        plain: binary.
        key: binary, 16, 24 or 32 bytes.
        iv: 12 bytes; without it random ones.

    Returns:
        Binary; NULL for NULL. (NIST SP 800-38D, "Recommendation for Block Cipher Modes of Operation: Galois/Counter Mode
        (GCM) and GMAC".)
    """
    mode, padding = F.lit("GCM"), F.lit("DEFAULT")
    return F.aes_encrypt(plain, key, mode, padding) if iv is None else F.aes_encrypt(plain, key, mode, padding, iv)


INTEGERS = (ByteType, ShortType, IntegerType, LongType)


# Without ANSI Spark writes decimals below 0.000001 as 1E-7, with it as 0.0000001.
_SCALE_WRITTEN_ALIKE = 6


def no_text(kind: DataType) -> str:
    """Say why equal values of a type have no equal text on every line, or nothing if they have."""
    if isinstance(kind, FloatType | DoubleType):
        return "floating numbers have no certain text; cast them to a decimal"
    if isinstance(kind, DecimalType) and kind.scale > _SCALE_WRITTEN_ALIKE:
        return f"cast it to a decimal with at most {_SCALE_WRITTEN_ALIKE} places"
    if not isinstance(kind, (StringType, *INTEGERS, DecimalType, DateType, TimestampType, TimestampNTZType)):
        return f"it is not for {kind.simpleString()}"
    return ""


def as_text(value: Column, kind: DataType) -> Column:
    """Write a value as text, equal for equal values whatever the width of the type, the time zone and the Spark line."""
    if isinstance(kind, DecimalType):
        shortest = F.regexp_replace(value.cast("string"), r"(\.\d*?)0+$", "$1")
        return F.regexp_replace(shortest, r"\.$", "")
    if isinstance(kind, TimestampType):
        return F.unix_micros(value).cast("string")
    return value.cast("string")


def let(value: Column, body: Callable[[Column], Column]) -> Column:
    """Use a value more than once and compute it once."""
    return F.transform(F.array(value), body)[0]
