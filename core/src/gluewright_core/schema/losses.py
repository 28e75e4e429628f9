"""What does not survive the way from a contract into another form, or from there into a contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from gluewright_core.schema.contract import Contract
from gluewright_core.schema.differences import Difference, differences

T = TypeVar("T")


@dataclass(frozen=True)
class Loss:
    """One thing that is lost.

    Attributes:
        path: of the column, such as ``items[].price``; empty for the dataset itself.
        what: as in :class:`~gluewright_core.schema.differences.Difference`, such as ``type`` or ``nullable``.
        why: what becomes of it, and the reason.
    """

    path: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.path or '(dataset)'}: {self.what}: {self.why}"


class Converted(NamedTuple, Generic[T]):
    """The result of a conversion, beside what was lost on the way.

    Attributes:
        result: a contract, or what was made of one.
        losses: empty when nothing was lost.
    """

    result: T
    losses: tuple[Loss, ...]


def losses_between(contract: Contract, read_back: Contract, why: Callable[[Difference], str]) -> tuple[Loss, ...]:
    """Tell what a form has lost, by reading it back.

    Args:
        contract: what was written.
        read_back: what it reads as.
        why: explains a difference between them.
    """
    return tuple(
        Loss(difference.path, difference.what, _became(difference) + why(difference))
        for difference in differences(contract, read_back)
    )


def _became(difference: Difference) -> str:
    if difference.left is None or difference.right is None:
        return ""
    return f"{difference.left} becomes {difference.right}: "
