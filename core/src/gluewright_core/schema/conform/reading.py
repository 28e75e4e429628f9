"""How a simple value is read: by a cast, and by proof that the cast lost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import types as T

# A condition in SQL, a rule and a reason.
Cases = list[tuple[str, str, str]]


@dataclass(frozen=True)
class Reading:
    """How a simple value ``x`` is read.

    Attributes:
        candidate: the cast.
        lossless: whether the cast lost nothing, of ``x`` and its candidate; None if it never does.
        why: the cases in which it does; the first that holds is the reason.
        bare: the candidate is ``x`` itself.
    """

    candidate: Callable[[str], str]
    lossless: Callable[[str, str], str] | None = None
    why: Callable[[str, str], Cases] = lambda x, v: []
    bare: bool = False


NUMBERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.FloatType, T.DoubleType, T.DecimalType)
# Unlike $, the end before which there may be no line break.
END = r"\z"


def begins_1_to_9(x: str) -> str:
    """Write whether a text begins with a digit other than 0."""
    return f"{x} >= '1' AND {x} < ':'"
