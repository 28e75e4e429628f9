"""Read text as dates and timestamps, and each of those as the others."""

from __future__ import annotations

import re
from collections.abc import Callable

from pyspark.sql import types as T

from .nodes import Spot
from .reading import END, Cases, Reading, begins_1_to_9
from .sql import both_or_none, ddl, matches, text_literal, type_name
from .terms import ContractViolationError
from .text import DAY, wall_clock

_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}" + END
_TIMESTAMP = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?"
_ZONE = "(Z|[+-][0-9]{2}:[0-9]{2})"
# The first and the last day since 1970 whose midnight is a timestamp: microseconds in 64 bits.
_FIRST_DAY, _LAST_DAY = -106_751_991, 106_751_991


def moment_reading(target: T.DataType, spot: Spot) -> Reading:
    """Read text as a date or timestamp, by the format of the spot if it has one."""
    if spot.pattern:
        return _by_pattern(target, _Pattern(spot.pattern, spot.path, target))
    return _date_reading() if isinstance(target, T.DateType) else _timestamp_reading(target, spot)


def _date_reading() -> Reading:
    def lossless(x: str, v: str) -> str:
        # Spark reads much more, so its date proves little; a pattern would prove all, but costs more than the cast. Ten
        # bytes that begin with a digit other than 0, whose year is below 10000 and so has four digits, and that end with a
        # hyphen and the day in two: that leaves two for the month.
        canonical = f"{begins_1_to_9(x)} AND {v} <= DATE'9999-12-31' AND endswith({x}, {_two_digits('-', f'day({v})', 32)})"
        known = (
            f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false WHEN octet_length({x}) = 10 AND {canonical} THEN true"
        )
        return f"CASE {known} ELSE {matches(x, '^(?!0000)' + _DATE[1:])} END"

    def why(x: str, v: str) -> Cases:
        return [
            (matches(x, _DATE), "range", "is no day of the years 0001 to 9999"),
            ("true", "format", "is not yyyy-MM-dd"),
        ]

    return Reading(lambda x: f"try_cast({x} AS DATE)", lossless, why)


def _timestamp_reading(target: T.DataType, spot: Spot) -> Reading:
    zoned = isinstance(target, T.TimestampType)
    wanted = ddl(target)
    pattern = f"^(?!0000){_TIMESTAMP[1:]}{_ZONE + '?' if zoned else ''}{END}"

    def lossless(x: str, v: str) -> str:
        # As for dates: 19 bytes that end with a colon and the seconds in two digits leave two for every other part, unless
        # they are a zone's minutes behind a text as short as can be: then the fourteenth byte is no colon.
        second = f"CAST(pmod(unix_seconds({v}), 60) AS INT)" if zoned else f"second({v})"
        last = f"{v} < {wanted}'9999-12-31 00:00:00{'Z' if zoned else ''}'"
        ends = f"endswith({x}, {_two_digits(':', second, 60)}) AND substring(CAST({x} AS BINARY), 14, 1) = X'3A'"
        plain = f"octet_length({x}) = 19 AND {begins_1_to_9(x)} AND {last} AND {ends}"
        known = f"WHEN {x} IS NULL THEN true WHEN {v} IS NULL THEN false WHEN {plain} THEN true"
        return f"CASE {known} ELSE {matches(x, pattern)} END"

    def why(x: str, v: str) -> Cases:
        zone = "a zone such as +01:00" if zoned else "no zone"
        return [
            (
                matches(x, _TIMESTAMP + (f"{_ZONE}?" if zoned else "") + END),
                "range",
                "is no time of the years 0001 to 9999",
            ),
            ("true", "format", f"is not yyyy-MM-dd HH:mm:ss, with up to 6 decimals and {zone}"),
        ]

    return Reading(lambda x: _utc_or_zoned(x, spot) if zoned else f"try_cast({x} AS TIMESTAMP_NTZ)", lossless, why)


def _two_digits(mark: str, number: str, limit: int) -> str:
    texts = ",".join(f"{mark}{place:02}" for place in range(limit))
    return f"get(split('{texts}', ','), {number})"


def _utc_or_zoned(x: str, spot: Spot) -> str:
    # Without a zone Spark takes the session's. Reading a Z takes longer than all the rest, so it is added only where needed.
    if spot.utc:
        return f"try_cast({x} AS TIMESTAMP)"
    return f"try_cast(CASE WHEN {matches(x, _ZONE + END)} THEN {x} ELSE concat({x}, 'Z') END AS TIMESTAMP)"


class _Pattern:
    """A ``format`` as a regular expression with groups, and the ISO 8601 text that its groups make."""

    def __init__(self, pattern: str, path: str, target: T.DataType) -> None:
        self.pattern = pattern
        groups: list[str] = []
        regex = ""
        for token in re.finditer(r"'([^']*)'|(([A-Za-z])\3*)|([^'])", pattern):
            quoted, part, _, other = token.groups()
            if part:
                groups.append("S" if set(part) == {"S"} and len(part) <= 6 else part)
                digits = f"{'(?!0000)' if part == 'yyyy' else ''}[0-9]{{{len(part)}}}"
                regex += _ZONE if part == "XXX" else f"({digits})"
            else:
                regex += "".join(_for_regex(character) for character in (other or quoted or "'"))
        allowed = {"yyyy", "MM", "dd"} | (set() if isinstance(target, T.DateType) else {"HH", "mm", "ss", "S"})
        allowed |= {"XXX"} if isinstance(target, T.TimestampType) else set()
        if set(groups) - allowed or len(set(groups)) < len(groups) or not {"yyyy", "MM", "dd"} <= set(groups):
            raise ContractViolationError(
                f"{path}: the format {pattern!r} of a {type_name(target)} needs yyyy, MM and dd, and may have nothing but"
                f" {', '.join(sorted(allowed))} (S up to six times), each once; quote other letters, such as 'T'"
            )
        self.regex, self.zoned = f"^{regex}{END}", "XXX" in groups
        found = {part: f"${place}" for place, part in enumerate(groups, start=1)}
        self.iso = f"{found['yyyy']}-{found['MM']}-{found['dd']}"
        if not isinstance(target, T.DateType):
            clock = ":".join(found.get(part, "00") for part in ("HH", "mm", "ss"))
            self.iso += f" {clock}.{found.get('S', '0')}{found.get('XXX', '')}"


def _for_regex(character: str) -> str:
    return character if character.isalnum() or character in " ,:;/_-'" else "\\" + character


def _by_pattern(target: T.DataType, pattern: _Pattern) -> Reading:
    zone = "Z" if isinstance(target, T.TimestampType) and not pattern.zoned else ""

    def candidate(x: str) -> str:
        iso = f"regexp_replace({x}, {text_literal(pattern.regex)}, {text_literal(pattern.iso + zone)})"
        return f"CASE WHEN {matches(x, pattern.regex)} THEN try_cast({iso} AS {ddl(target)}) END"

    def lossless(x: str, v: str) -> str:
        return f"({x} IS NULL OR {v} IS NOT NULL)"

    def why(x: str, v: str) -> Cases:
        return [
            (matches(x, pattern.regex), "range", "is no day or time of the years 0001 to 9999"),
            ("true", "format", f"is not {pattern.pattern}"),
        ]

    return Reading(candidate, lossless, why)


def time_reading(source: T.DataType, target: T.DataType) -> Reading | None:
    """Read a date or timestamp as one of another type; None if it never is."""
    known: dict[tuple[type[T.DataType], type[T.DataType]], Reading] = {
        (T.DateType, T.TimestampNTZType): _midnight(target, lambda x: f"CAST({x} AS TIMESTAMP_NTZ)"),
        (T.DateType, T.TimestampType): _midnight(
            target, lambda x: f"timestamp_seconds(CAST(unix_date({x}) AS BIGINT) * 86400)"
        ),
        (T.TimestampType, T.TimestampNTZType): Reading(wall_clock),
        (T.TimestampNTZType, T.TimestampType): Reading(lambda x: f"CAST(concat(CAST({x} AS STRING), 'Z') AS TIMESTAMP)"),
        # The first day of all has a midnight that is no timestamp.
        (T.TimestampNTZType, T.DateType): Reading(
            lambda x: f"CAST({x} AS DATE)",
            lambda x, v: f"if(unix_date({v}) < {_FIRST_DAY}, false, CAST({v} AS TIMESTAMP_NTZ) <=> {x})",
            _has_time,
        ),
        # Division truncates, which is a day only where nothing is left over.
        (T.TimestampType, T.DateType): Reading(
            lambda x: f"date_from_unix_date(CAST(unix_micros({x}) DIV {DAY} AS INT))",
            lambda x, v: f"({x} IS NULL OR unix_micros({x}) % {DAY} = 0)",
            _has_time,
        ),
    }
    return known.get((type(source), type(target)))


def _midnight(target: T.DataType, cast: Callable[[str], str]) -> Reading:
    """Read a date as a time. Dates reach further than timestamps, and Spark fails where they do."""
    return Reading(
        lambda x: f"CASE WHEN unix_date({x}) BETWEEN {_FIRST_DAY} AND {_LAST_DAY} THEN {cast(x)} END",
        both_or_none,
        lambda x, v: [("true", "range", f"does not fit {ddl(target)}")],
    )


def _has_time(x: str, v: str) -> Cases:
    return [("true", "precision", "has a time of day")]
