# gluewright-pii-masking 0.1.0 actions/numbers.py
# SPDX-License-Identifier: Apache-2.0
"""Actions that make dates and numbers coarser, or move dates."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, DecimalType, DoubleType, FloatType, TimestampNTZType, TimestampType

from ..errors import InvalidPolicyError
from ..expressions import INTEGERS, hmac_sha256
from ..keys import Keys
from .base import Action

_UNITS = ("month", "quarter", "year")


@dataclass(frozen=True)
class TruncateDate(Action):
    """Replace a date or timestamp by the first day of its month, quarter or year. The type stays.

    A timestamp is truncated in the session's time zone.

    Attributes:
        to: ``month``, ``quarter`` or ``year``.
    """

    to: str

    def __post_init__(self) -> None:
        if self.to not in _UNITS:
            raise InvalidPolicyError(f"truncate_date: to is {self.to!r}; it is one of {', '.join(_UNITS)}")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        timely = isinstance(kind, DateType | TimestampType | TimestampNTZType)
        return "" if timely else f"it is for dates and timestamps, not for {kind.simpleString()}; cast it before"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return F.trunc(value, self.to) if isinstance(kind, DateType) else F.date_trunc(self.to, value).cast(kind)


@dataclass(frozen=True)
class ShiftDate(Action):
    """Move a date or timestamp by a number of days that is the same for all rows of one person.

    The time between two dates of a person stays, the dates do not. The number follows from the key and the person's id:
    at most ``days`` forwards or backwards, and never none.

    Attributes:
        by: path of the column that tells persons apart, such as ``patient_id``; not inside an array or map. Without a value
            there the date becomes NULL.
        days: at most this many, from 1.
    """

    by: str
    days: int = 365

    keyed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.days, bool) or not isinstance(self.days, int) or not 0 < self.days <= _MOST_DAYS:
            raise InvalidPolicyError(f"shift_date: days is {self.days!r}; it is a whole number from 1 to {_MOST_DAYS:,}")
        if not isinstance(self.by, str) or not self.by:
            raise InvalidPolicyError("shift_date: by names the column that tells persons apart, such as patient_id")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        timely = isinstance(kind, DateType | TimestampType | TimestampNTZType)
        return "" if timely else f"it is for dates and timestamps, not for {kind.simpleString()}; cast it before"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        digest = hmac_sha256(keys.texts[self.by].cast("binary"), *keys.pads(keys.current, "shift"))
        # From 60 bits: the bias towards small numbers is below any that rows could show.
        number = F.conv(F.substring(digest, 1, 15), 16, 10).cast("bigint") % (2 * self.days)
        days = (F.when(number < self.days, number - self.days).otherwise(number - self.days + 1)).cast("int")
        if isinstance(kind, DateType):
            return F.date_add(value, days)
        return F.try_add(value, F.make_dt_interval(days))


_MOST_DAYS = 36_500


@dataclass(frozen=True)
class Band(Action):
    """Replace a number by the lower end of its band: with a width of 10, 37 becomes 30 and -1 becomes -10.

    Whole numbers become ``bigint``; decimals and floating numbers ``double``.

    Attributes:
        width: of the bands; for whole numbers a whole one.
    """

    width: int | float

    def __post_init__(self) -> None:
        if isinstance(self.width, bool) or not self.width > 0:
            raise InvalidPolicyError(f"band: width is {self.width!r}; it is a number above 0")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        if isinstance(kind, INTEGERS):
            return "" if isinstance(self.width, int) else f"bands of whole numbers have a whole width, not {self.width}"
        return (
            "" if isinstance(kind, DecimalType | FloatType | DoubleType) else f"it is for numbers, not {kind.simpleString()}"
        )

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        if isinstance(kind, INTEGERS):
            # pmod is from 0 to the width: only the lowest bigints have no lower end, and they become the lowest.
            number, least = value.cast("bigint"), -(2**63)
            above = F.pmod(number, F.lit(self.width).cast("bigint"))
            return F.when(number >= F.lit(least) + above, number - above).otherwise(F.when(number.isNotNull(), F.lit(least)))
        return _floor(value, self.width)


@dataclass(frozen=True)
class Grid(Action):
    """Replace a latitude or longitude by the lower edge of its cell. The result is ``double``.

    Attributes:
        degrees: the cell's width: 0.1 is about 11 km of latitude, 0.01 about 1.1 km.
    """

    degrees: float

    def __post_init__(self) -> None:
        if isinstance(self.degrees, bool) or not 0 < self.degrees <= 180:
            raise InvalidPolicyError(f"grid: degrees is {self.degrees!r}; it is above 0 and at most 180")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        coordinate = isinstance(kind, DecimalType | FloatType | DoubleType)
        return "" if coordinate else f"it is for double, float and decimal coordinates, not {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return _floor(value, self.degrees)


def _floor(value: Column, width: float) -> Column:
    """Round down to a multiple of a width, without the noise that 3 * 0.1 has. NaN and infinity become NULL."""
    number = value.cast("double")
    finite = F.when(F.abs(number) < F.lit(float("inf")), number)
    places = max(0, -int(Decimal(str(width)).as_tuple().exponent))
    # Rounded, because 0.3 / 0.1 is below 3; and as a double, because a number of bands need not fit a bigint.
    bands = F.round(finite / F.lit(float(width)), 9)
    return F.round((bands - F.pmod(bands, F.lit(1.0))) * F.lit(float(width)), places)
