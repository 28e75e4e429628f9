# gluewright-pii-masking 0.1.0 ff1.py
# SPDX-License-Identifier: Apache-2.0
"""Format-preserving encryption of digits by FF1, in native Spark expressions.

(NIST SP 800-38G, "Recommendation for Block Cipher Modes of Operation: Methods for Format-Preserving Encryption", 2016,
algorithms 7 and 8; its second draft of revision 1, 2025, keeps FF1, removes FF3 and asks for a million possible texts.)

Example:
    >>> cards.select(encrypt(F.col("digits"), F.col("key"), tweak=b"cards"))                 # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from .expressions import let

FEWEST, MOST = 6, 36
"""Digits: 6 give the million texts that the standard asks for, and a half of 36 fits a bigint."""
_ROUNDS = 10
_RADIX = 10
_BLOCK = 16
_WORD = 2**32
# As long as a half has no more digits, what is computed with it fits a bigint.
_FITS_BIGINT = 9

_Step = Callable[[Column, Callable[[Column, Column], Column]], Column]


def encrypt(digits: Column, key: Column, *, tweak: bytes = b"") -> Column:
    """Encrypt texts of digits into texts of the same length.

    Args:
        digits: of 6 to 36 characters, 0 to 9. Others become NULL.
        key: binary, 16, 24 or 32 bytes.
        tweak: no secret; the same digits under another tweak become others.
    """
    return _through_rounds(digits, key, tweak, range(_ROUNDS), _forwards)


def decrypt(digits: Column, key: Column, *, tweak: bytes = b"") -> Column:
    """Decrypt what :func:`encrypt` made.

    Args:
        digits: of 6 to 36 characters, 0 to 9. Others become NULL.
        key: the same.
        tweak: the same.
    """
    return _through_rounds(digits, key, tweak, range(_ROUNDS)[::-1], _backwards)


def _through_rounds(digits: Column, key: Column, tweak: bytes, rounds: Sequence[int], step: _Step) -> Column:
    """Cut the digits in halves and take both through all rounds."""
    numbers = F.array(*map(F.lit, rounds))

    def of_one(text: Column, fixed: Column) -> Column:
        left = F.floor(F.length(text) / 2).cast("int")
        start = _halves(text.substr(F.lit(1), left), text.substr(left + 1, F.length(text) - left))
        return F.aggregate(
            numbers,
            start,
            lambda halves, number: step(halves, lambda half, power: _added(half, power, number, fixed, key)),
            lambda halves: F.concat(halves["a"], halves["b"]),
        )

    def with_what_is_fixed(text: Column) -> Column:
        return let(_fixed(F.length(text), tweak), lambda fixed: of_one(text, fixed))

    valid = F.when(digits.rlike(rf"^[0-9]{{{FEWEST},{MOST}}}\z"), digits)
    return let(valid, lambda text: F.when(text.isNotNull(), with_what_is_fixed(text)))


def _forwards(halves: Column, added: Callable[[Column, Column], Column]) -> Column:
    a, b = halves["a"], halves["b"]
    return _halves(b, let(_power(a), lambda power: _written((_number(a) + added(b, power)) % power, a)))


def _backwards(halves: Column, added: Callable[[Column, Column], Column]) -> Column:
    a, b = halves["a"], halves["b"]
    return _halves(let(_power(b), lambda power: _written(F.pmod(_number(b) - added(a, power), power), b)), a)


def _halves(a: Column, b: Column) -> Column:
    return F.struct(a.alias("a"), b.alias("b"))


def _number(half: Column) -> Column:
    return half.cast("bigint")


def _written(number: Column, like: Column) -> Column:
    return _filled(number.cast("string"), F.length(like))


def _power(half: Column) -> Column:
    """Return how many texts a half can be."""
    return _element([_RADIX**places for places in range(1, MOST // 2 + 1)], F.length(half))


def _element(values: Sequence[int], place: Column) -> Column:
    return F.element_at(F.array(*map(F.lit, values)), place)


def _fixed(length: Column, tweak: bytes) -> Column:
    """Return what is the same in all rounds of a text: steps 3 to 5 of the algorithm, and the beginning of Q in step 6."""
    left = F.floor(length / 2).cast("int")
    # How many bytes hold the longer half as a number.
    sizes = [math.ceil(math.ceil(places * math.log2(_RADIX)) / 8) for places in range(1, MOST // 2 + 1)]
    size = _element(sizes, length - left)
    zeros = F.pmod(-(size + 1 + len(tweak)), F.lit(_BLOCK))
    head = F.concat(
        F.lit((bytes([1, 2, 1]) + _RADIX.to_bytes(3, "big") + bytes([_ROUNDS])).hex()),
        _hex(left, F.lit(1)),
        _hex(length, F.lit(4)),
        F.lit(len(tweak).to_bytes(4, "big").hex() + tweak.hex()),
        F.call_function("repeat", F.lit("00"), zeros),
    )
    return F.struct(
        head.alias("head"),
        size.alias("size"),
        (size + 1 + zeros + len(tweak) + _BLOCK).alias("bytes"),
        ((F.ceil(size / 4) * 4 + 4) * 2).cast("int").alias("taken"),
    )


def _added(half: Column, power: Column, number: Column, fixed: Column, key: Column) -> Column:
    """Return the number that a round adds, modulo the power: step 6, i to vi."""
    message = F.unhex(F.concat(fixed["head"], _hex(number, F.lit(1)), _hex(_number(half), fixed["size"])))
    # AES in CBC mode from a vector of zeros. Spark puts the vector before the ciphertext and pads by one more block.
    sealed = F.aes_encrypt(message, key, F.lit("CBC"), F.lit("PKCS"), F.lit(bytes(_BLOCK)))
    last_block = sealed.substr(fixed["bytes"] + 1, F.lit(_BLOCK))
    taken = F.lpad(F.hex(last_block).substr(F.lit(1), fixed["taken"]), 24, "0")
    return let(let(taken, _words), lambda words: _modulo(words, power))


def _words(hexadecimal: Column) -> Column:
    return F.array(*(F.conv(F.substring(hexadecimal, place, 8), 16, 10).cast("bigint") for place in (1, 9, 17)))


def _hex(number: Column, size: Column) -> Column:
    return _filled(F.hex(number.cast("bigint")), size * 2)


def _filled(text: Column, length: Column) -> Column:
    # F.lpad and F.repeat take no columns on Spark 3.5.
    return F.call_function("lpad", text, length, F.lit("0"))


def _modulo(words: Column, power: Column) -> Column:
    """Return three words of 32 bits, as one number, modulo a power of ten."""
    small = ((words[0] % power * _WORD + words[1]) % power * _WORD + words[2]) % power
    wide = [words[place].cast("decimal(10,0)") for place in range(3)]
    number = wide[0] * F.lit(str(_WORD**2)).cast("decimal(20,0)") + wide[1] * F.lit(_WORD).cast("decimal(10,0)") + wide[2]
    large = (number % power.cast("decimal(19,0)")).cast("bigint")
    return F.when(power <= _RADIX**_FITS_BIGINT, small).otherwise(large)
