# gluewright-pii-masking 0.1.0 actions/texts.py
# SPDX-License-Identifier: Apache-2.0
"""Actions that leave a part of a text, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType

from ..errors import InvalidPolicyError
from ..keys import Keys
from .base import Action


@dataclass(frozen=True)
class Redact(Action):
    """Replace the value by nothing, or by a text that is the same for all. The type stays.

    Attributes:
        text: what replaces a text; without it NULL does.
    """

    text: str | None = None

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        wrong = self.text is not None and not isinstance(kind, StringType)
        return f"{kind.simpleString()} is not replaced by a text; leave the text out, then it becomes NULL" if wrong else ""

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return F.lit(None).cast(kind) if self.text is None else F.when(value.isNotNull(), F.lit(self.text))


@dataclass(frozen=True)
class Partial(Action):
    """Show the first and last characters of a text. A text that is not longer than both together shows nothing.

    Attributes:
        first: how many characters at the beginning.
        last: how many at the end.
        by_class: hide a capital letter as ``X``, a digit as ``0``, ASCII's punctuation and space not at all, and every
            other character as ``x``; without it each character is hidden as ``*``.
    """

    first: int = 0
    last: int = 0
    by_class: bool = False

    def __post_init__(self) -> None:
        if min(self.first, self.last) < 0:
            raise InvalidPolicyError(
                f"partial: first is {self.first} and last is {self.last}; give numbers of characters from 0"
            )

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return "" if isinstance(kind, StringType) else f"it shows parts of a text, not of {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        shown = self.first + self.last
        length = F.length(value)
        if not shown:
            return self._hidden(value)
        middle = value.substr(F.lit(self.first + 1), length - shown)
        whole = F.concat(
            value.substr(1, self.first),
            self._hidden(middle),
            F.substring(value, -self.last, self.last) if self.last else F.lit(""),
        )
        return F.when(length > shown, whole).otherwise(self._hidden(value))

    def _hidden(self, text: Column) -> Column:
        if not self.by_class:
            return F.regexp_replace(text, "(?s).", "*")
        # Spark's own `mask` leaves every letter outside ASCII as it is.
        capitals = F.regexp_replace(text, r"\p{Lu}", "X")
        others = F.regexp_replace(capitals, r"[^X\p{Nd} -/:-@\[-`{-~]", "x")
        return F.regexp_replace(others, r"\p{Nd}", "0")


@dataclass(frozen=True)
class Change(Action):
    """Change texts by a function of your own, such as one that hides what it finds inside free text.

    Attributes:
        by: from a column to a column of texts, in native expressions; NULL has to stay NULL.
    """

    by: Callable[[Column], Column]

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return "" if isinstance(kind, StringType) else f"it changes texts, not {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return self.by(value)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"


_IPV4 = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"


_GROUPS = r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})"


_IPV6 = rf"^(?:{_GROUPS}{{7}}|(?=[^:]*(?::[^:]*){{2,8}}$)(?:{_GROUPS}*)?::(?:{_GROUPS}*)?)$"


@dataclass(frozen=True)
class IpPrefix(Action):
    """Replace an IP address in text by its network: ``10.1.2.3`` by ``10.1.2.0/24``.

    An IPv4 address mapped into IPv6 counts as IPv4. What is no address becomes NULL.

    Attributes:
        v4: bits that are kept of an IPv4 address.
        v6: bits that are kept of an IPv6 address: 16, 32, 48 or 64.
    """

    v4: int = 24
    v6: int = 48

    def __post_init__(self) -> None:
        if not 0 < self.v4 < 32 or self.v6 not in {16, 32, 48, 64}:
            raise InvalidPolicyError(
                f"ip_prefix: v4 is {self.v4} and v6 is {self.v6}; v4 is 1 to 31, v6 is 16, 32, 48 or 64"
            )

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return "" if isinstance(kind, StringType) else f"it is for addresses as text, not for {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        address = F.regexp_replace(F.trim(value), r"^::[Ff]{4}:(?=\d+\.)", "")
        return F.coalesce(
            self._network_v4(F.when(address.rlike(_IPV4), address)), self._network_v6(F.when(address.rlike(_IPV6), address))
        )

    def _network_v4(self, address: Column) -> Column:
        octets = [F.substring_index(F.substring_index(address, ".", n), ".", -1).cast("bigint") for n in (1, 2, 3, 4)]
        number = octets[0] * 2**24 + octets[1] * 2**16 + octets[2] * 2**8 + octets[3]
        network = number - number % 2 ** (32 - self.v4)
        shown = [F.shiftright(network, bits).bitwiseAND(F.lit(255)).cast("string") for bits in (24, 16, 8, 0)]
        first, *others = shown
        return F.concat(first, *(F.concat(F.lit("."), octet) for octet in others), F.lit(f"/{self.v4}"))

    def _network_v6(self, address: Column) -> Column:
        halves = F.split(address, "::")
        left, right = (
            F.filter(F.split(F.coalesce(F.get(halves, F.lit(half)), F.lit("")), ":"), lambda group: group != "")
            for half in (0, 1)
        )
        zeros = F.array_repeat(F.lit("0"), F.lit(8) - F.size(left) - F.size(right))
        kept = F.slice(F.concat(left, zeros, right), 1, self.v6 // 16)
        plain = F.transform(kept, lambda group: F.regexp_replace(F.lower(group), "^0+(?=.)", ""))
        joined = F.regexp_replace(F.array_join(plain, ":"), "(?:^|:)0(?::0)*$", "")
        return F.when(address.isNotNull(), F.concat(joined, F.lit(f"::/{self.v6}")))
