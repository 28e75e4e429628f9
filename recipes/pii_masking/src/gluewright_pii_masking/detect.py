# gluewright-pii-masking 0.1.0 detect.py
# SPDX-License-Identifier: Apache-2.0
"""Find and hide personal data inside free text, in native expressions, with checksums where there are any.

A detector is a pattern and, where the thing has one, a check: a card number holds Luhn's digit (ISO/IEC 7812-1, annex B), an
IBAN leaves 1 of 97 (ISO 13616-1). What only looks like one stays. Names of people and places have no pattern; a model that
knows a language finds them, not this file.

Example:
    >>> notes.select(hidden(F.col("text")).alias("text"))                                        # doctest: +SKIP
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from .errors import MaskingError


class UnknownDetectorError(MaskingError):
    """There is no detector of that name."""


@dataclass(frozen=True)
class Detector:
    """One kind of thing that is looked for.

    Attributes:
        pattern: what it looks like, as a Java regular expression without groups that capture.
        check: whether a text that looks so is one; None if the pattern says it all.
    """

    pattern: str
    check: Callable[[Column], Column] | None = None


def luhn(text: Column) -> Column:
    """Tell whether the digits of a text, of which the last is the check digit, hold Luhn's sum."""
    digits = F.reverse(F.regexp_replace(text, r"\D", ""))

    def weighed(place: Column) -> Column:
        digit = F.ascii(digits.substr(place, F.lit(1))) - 48
        doubled = digit * 2 - F.when(digit > 4, 9).otherwise(0)
        return F.when(place % 2 == 0, doubled).otherwise(digit)

    places = F.sequence(F.lit(1), F.greatest(F.length(digits), F.lit(1)))
    return F.aggregate(F.transform(places, weighed), F.lit(0), lambda total, each: total + each) % 10 == 0


def mod_97(text: Column) -> Column:
    """Tell whether an IBAN's check digits are right: the first four characters last, letters as 10 to 35, leave 1 of 97."""
    plain = F.upper(F.regexp_replace(text, "[^0-9A-Za-z]", ""))
    moved = F.concat(plain.substr(F.lit(5), F.length(plain)), F.substring(plain, 1, 4))

    def step(rest: Column, place: Column) -> Column:
        code = F.ascii(moved.substr(place, F.lit(1)))
        return F.when(code < 58, rest * 10 + code - 48).otherwise(rest * 100 + code - 55) % 97

    places = F.sequence(F.lit(1), F.greatest(F.length(moved), F.lit(1)))
    return F.aggregate(places, F.lit(0), step) == 1


def _as_many_digits(least: int, most: int) -> Callable[[Column], Column]:
    return lambda text: F.length(F.regexp_replace(text, r"\D", "")).between(least, most)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_HEX = r"[0-9A-Fa-f]{1,4}"
_INTERNATIONAL = r"\+\d{1,3}[ ./-]?(?:\(\d{1,4}\)[ ./-]?)?\d(?:[ ./-]?\d){5,13}"
_AREA_IN_BRACKETS = r"\(\d{2,5}\)[ -]?\d{2,4}(?:[ -]?\d{2,4}){1,3}"
_AMERICAN = r"\d{3}[ .-]\d{3}[ .-]\d{4}"
_NATIONAL = r"0\d{1,4}[ /-]\d{3,4}[ -]?\d{3,4}"
_EDGE, _END = r"(?<![\w.+-])", r"(?![\w-])"

DETECTORS = {
    # The more telling first: what one has hidden is not there for the next.
    "jwt": Detector(r"(?<!\w)eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}"),
    "aws_key": Detector(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    "email": Detector(
        r"(?<![\w.+-])[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
    ),
    "iban": Detector(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", mod_97),
    "card": Detector(rf"{_EDGE}[2-6](?:[ -]?\d){{12,18}}{_END}", luhn),
    "ssn": Detector(rf"{_EDGE}(?!000|666|9)\d{{3}}-(?!00)\d\d-(?!0000)\d{{4}}{_END}"),
    "ipv6": Detector(
        rf"(?<![\w:.])(?:(?:{_HEX}:){{7}}{_HEX}|(?=(?:{_HEX}|:){{2,15}}(?![\w:]))(?:{_HEX}(?::{_HEX}){{0,6}})?::"
        rf"(?:{_HEX}(?::{_HEX}){{0,6}})?)(?![\w:])"
    ),
    "ipv4": Detector(rf"(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}(?![\w]|\.\d)"),
    "phone": Detector(
        rf"(?:{_EDGE}|(?<=\W)(?=\+))(?:{_INTERNATIONAL}|{_AREA_IN_BRACKETS}|{_AMERICAN}|{_NATIONAL}){_END}",
        _as_many_digits(7, 15),
    ),
}
"""Every detector by name, in the order in which they look: JSON web tokens, ids of AWS access keys, e-mail addresses, IBANs,
payment cards, US social security numbers, IP addresses, and telephone numbers (international, North American, and national
with an area code)."""


def found(text: Column, kinds: Sequence[str] = tuple(DETECTORS)) -> Column:
    """Find what a text has in it.

    Args:
        text: any text.
        kinds: names of :data:`DETECTORS`.

    Returns:
        An array of structs, ``kind`` and ``text``: each different match of each kind. NULL for NULL.

    Raises:
        UnknownDetectorError: there is no such kind.
    """

    def told(kind: str) -> Callable[[Column], Column]:
        return lambda match: F.struct(F.lit(kind).alias("kind"), match.alias("text"))

    return F.concat(*(F.transform(_matches(text, kind), told(kind)) for kind in _known(kinds)))


def hidden(text: Column, kinds: Sequence[str] = tuple(DETECTORS)) -> Column:
    """Replace what is found in a text by the name of its kind in brackets: ``mail [email] now``.

    Args:
        text: any text.
        kinds: names of :data:`DETECTORS`.

    Returns:
        The text without it. NULL for NULL.

    Raises:
        UnknownDetectorError: there is no such kind.
    """
    return functools.reduce(_without, _known(kinds), text)


def _without(text: Column, kind: str) -> Column:
    detector = DETECTORS[kind]
    if detector.check is None:
        return F.regexp_replace(text, detector.pattern, f"[{kind}]")
    # The longest first, so that no match is cut by another that is a part of it.
    longest = F.array_sort(_matches(text, kind), lambda one, other: F.length(other) - F.length(one))
    return F.aggregate(longest, text, lambda rest, match: F.replace(rest, match, F.lit(f"[{kind}]")))


def _matches(text: Column, kind: str) -> Column:
    detector = DETECTORS[kind]
    matches = F.array_distinct(F.regexp_extract_all(text, F.lit(detector.pattern), F.lit(0)))
    return F.filter(matches, detector.check) if detector.check else matches


def _known(kinds: Sequence[str]) -> list[str]:
    if unknown := [kind for kind in kinds if kind not in DETECTORS]:
        raise UnknownDetectorError(f"there is no detector {unknown[0]!r}; there are {', '.join(DETECTORS)}")
    return [kind for kind in DETECTORS if kind in kinds]
