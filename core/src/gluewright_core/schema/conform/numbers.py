"""Read numbers as other numbers, and text as numbers."""

from __future__ import annotations

from pyspark.sql import types as T

from .reading import END, Cases, Reading, begins_1_to_9
from .sql import ddl, matches
from .text import PLAIN_SCALE

DIGITS: dict[type[T.DataType], int] = {T.ByteType: 3, T.ShortType: 5, T.IntegerType: 10, T.LongType: 19}
_EXACT_DIGITS: dict[type[T.DataType], int] = {T.FloatType: 6, T.DoubleType: 15}
_WHOLE = "^-?(0|[1-9][0-9]*)" + END
_PLAIN = "^-?(0|[1-9][0-9]*)([.][0-9]+)?" + END
_FLOATING = "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?" + END
# No float from here on is a long, although Spark casts the first of them to the largest long.
_BEYOND_LONG = "9.223372036854775807E18D"


def number_reading(source: T.DataType, target: T.DataType) -> Reading:
    """Read a number as a number of another type."""
    wanted, given = ddl(target), ddl(source)
    if _always_exact(source, target):
        return Reading(lambda x: f"CAST({x} AS {wanted})")
    floating = (T.FloatType, T.DoubleType)

    whole = type(source) in DIGITS or (isinstance(source, T.DecimalType) and source.scale == 0)

    def lossless(x: str, v: str) -> str:
        if whole and not isinstance(target, floating):
            return f"({x} IS NULL OR {v} IS NOT NULL)"
        same = f"try_cast({v} AS {given}) <=> {x}"
        if isinstance(source, T.LongType):
            return f"({same} AND ({x} IS NULL OR {v} < {_BEYOND_LONG}))"
        if isinstance(target, T.LongType) and isinstance(source, floating):
            return f"({same} AND ({x} IS NULL OR {x} < {_BEYOND_LONG}))"
        return f"({same})"

    def why(x: str, v: str) -> Cases:
        return [(f"{v} IS NULL", "range", f"does not fit {wanted}"), ("true", "precision", f"is not exactly a {wanted}")]

    return Reading(lambda x: f"try_cast({x} AS {wanted})", lossless, why)


def _always_exact(source: T.DataType, target: T.DataType) -> bool:
    digits = DIGITS.get(type(source))
    if isinstance(target, T.DecimalType):
        if isinstance(source, T.DecimalType):
            return target.scale >= source.scale and target.precision - target.scale >= source.precision - source.scale
        return digits is not None and target.precision - target.scale >= digits
    if type(target) in DIGITS:
        return digits is not None and digits < DIGITS[type(target)]
    if digits is not None:
        return digits <= _EXACT_DIGITS[type(target)]
    return isinstance(source, T.FloatType) and isinstance(target, T.DoubleType)


def whole_number_reading(wanted: str) -> Reading:
    """Read text as a whole number."""
    # The least number that has that many digits. One that has as many as the text has characters leaves no room in it for
    # spaces, signs or zeros: a proof without writing the number. One string, because Spark parses that faster than numbers.
    digits = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}[wanted]
    least = ",".join(["0", "0", *(str(10**length) for length in range(1, digits))])

    def lossless(x: str, v: str) -> str:
        length, known = f"octet_length({x})", f"CAST(split('{least}', ',') AS ARRAY<BIGINT>)"
        fills = f"if({v} >= 0, {v} >= get({known}, {length}), {v} <= -get({known}, {length} - 1))"
        return f"({x} IS NULL OR coalesce({fills}, false))"

    return Reading(
        lambda x: f"try_cast({x} AS {wanted})",
        lossless,
        lambda x, v: [
            (f"{matches(x, _WHOLE)} AND {x} <> '-0'", "range", f"does not fit {wanted}"),
            ("true", "format", "is not a whole number in plain digits"),
        ],
    )


def decimal_reading(target: T.DecimalType) -> Reading:
    """Read text as a decimal."""
    wanted, scale = ddl(target), target.scale
    decimals = f"([.][0-9]{{1,{scale}}}0*)?" if scale else "([.]0+)?"
    exact = f"^-?(0|[1-9][0-9]*){decimals}{END}"

    def why(x: str, v: str) -> Cases:
        return [
            (f"NOT {matches(x, _PLAIN)}", "format", "is not a number in plain digits"),
            (f"{v} IS NULL", "range", f"does not fit {wanted}"),
            ("true", "precision", f"has more than {scale} decimals"),
        ]

    def lossless(x: str, v: str) -> str:
        known = f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false"
        if 0 < scale < target.precision:
            known += f" WHEN {_all_decimals_written(x, v, target)} THEN true"
        # The text that the number has itself needs no look at how it is written. Without ANSI it may have an exponent.
        plain = f" AND {_no_exponent(x)}" if scale > PLAIN_SCALE else ""
        return f"CASE {known} WHEN CAST({v} AS STRING) = {x}{plain} THEN true ELSE {matches(x, exact)} END"

    return Reading(lambda x: f"try_cast({x} AS {wanted})", lossless, why)


def _all_decimals_written(x: str, v: str, target: T.DecimalType) -> str:
    """Prove of most texts with as many decimals as the type has that they are plain digits, without writing the number.

    As many bytes as decimals stand behind the point, without an exponent, and the last one is a digit, so each of them is
    one. The number is so large that each byte before the point is a digit of it, the first of them none but 1 to 9.
    """
    whole, scale = target.precision - target.scale, target.scale
    least = f"CAST(split('{','.join(str(10**place) for place in range(whole))}', ',') AS ARRAY<{ddl(target)}>)"
    terms = [
        f"{v} >= get({least}, octet_length({x}) - {scale + 2})",
        f"substring(CAST({x} AS BINARY), -{scale + 1}, 1) = X'2E'",
        _ends_with_digit(x),
        # Java takes the digits of all alphabets.
        f"octet_length({x}) = char_length({x})",
        _no_exponent(x),
    ]
    return " AND ".join(terms)


def float_reading(target: T.DataType) -> Reading:
    """Read text as a float or double."""
    wanted, digits = ddl(target), _EXACT_DIGITS[type(target)]
    smallest, largest = ("1.2E-38D", "3.4E38D") if isinstance(target, T.FloatType) else ("2.3E-308D", "1.79E308D")

    def significant(text: str) -> str:
        return f"trim(BOTH '0' FROM regexp_replace({text}, '[eE].*|[-.]', ''))"

    def lossless(x: str, v: str) -> str:
        # So few digits survive every way there and back (IEEE 754), more of them only if the number shows them again.
        short = f"octet_length({x}) <= {digits} AND {_plainly_written(x)}"
        same = f"{significant(x)} = {significant(f'CAST({v} AS STRING)')}"
        few = f"(char_length({significant(x)}) <= {digits} AND abs({v}) BETWEEN {smallest} AND {largest})"
        long = f"({matches(x, _FLOATING)} AND ({same} OR {few}))"
        known = f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false WHEN {short} THEN true"
        # With CASE, because Spark computes what OR has on both sides first of all.
        return f"CASE {known} WHEN CAST({v} AS STRING) = {x} THEN true ELSE {long} END"

    def why(x: str, v: str) -> Cases:
        return [
            (f"NOT {matches(x, _FLOATING)}", "format", "is not a number"),
            (f"abs({v}) = CAST('Infinity' AS DOUBLE) OR {v} = 0", "range", f"does not fit {wanted}"),
            ("true", "precision", f"has more digits than {wanted} holds"),
        ]

    return Reading(lambda x: f"try_cast({x} AS {wanted})", lossless, why)


def _plainly_written(x: str) -> str:
    """Prove of most of the texts that Java reads as a number that they are digits and perhaps a point, without a pattern.

    Java reads more: signs, zeros and spaces in front, which show in the first characters, spaces and type letters behind,
    which show in the last one, and exponents.
    """
    begins = f"({begins_1_to_9(x)} OR ({x} >= '0.' AND {x} < '0/') OR ({x} >= '-1' AND {x} < '-:'))"
    return f"{begins} AND {_no_exponent(x)} AND {_ends_with_digit(x)}"


def _no_exponent(x: str) -> str:
    return f"NOT contains({x}, 'e') AND NOT contains({x}, 'E')"


def _ends_with_digit(x: str) -> str:
    last = f"substring(CAST({x} AS BINARY), -1, 1)"
    return f"{last} >= X'30' AND {last} < X'3A'"
