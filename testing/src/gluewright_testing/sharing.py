"""Share what takes long and need not be done twice between runs of the same tests, such as one run for each Spark line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TypeVar

import pytest

Item = TypeVar("Item")
SHARE = "GLUEWRIGHT_SHARE"
"""Environment variable with this run's share: ``0/2`` is every second item, ``1/2`` the others; unset, all."""
PART = "GLUEWRIGHT_PART"
"""Environment variable with the part of its share that the run takes today: ``0/3`` is a third of it; unset, all."""


def shared(items: Sequence[Item]) -> Sequence[Item]:
    """Return this run's share of the items: kill points, schedules, seeds. Together the runs have them all.

    Args:
        items: in the same order in every run.

    Returns:
        Every so manyth of them; one at least, if there are any.

    Raises:
        ValueError: an environment variable holds no share.

    Example:
        >>> shared(range(700)) == range(700)  # nothing is shared unless the environment says so
        True
    """
    (mine, shares), (part, parts) = _share(SHARE), _share(PART)
    first = mine + shares * part
    return items[first :: shares * parts] or items[first % max(len(items), 1) :][:1]


def once(number: int, *, days: int = 1) -> pytest.MarkDecorator:
    """Mark tests that one of the runs has, in turn with the part of today; all runs have them when the parts are unset.

    For what does not depend on what tells the runs apart, the Spark line say, or takes so long that it is enough to see it
    on one of them today and on the other tomorrow.

    Args:
        number: which of the runs has them; any two numbers in a row are different runs.
        days: one of the runs has them on one of so many days; any two numbers in a row are different days.

    Raises:
        ValueError: an environment variable holds no share.

    Example:
        >>> pytestmark = once(1)
    """
    (mine, shares), (part, parts) = _share(SHARE), _share(PART)
    day, turn = (number + part) % days, (number + part) // days
    elsewhere = parts > 1 and (day != 0 or turn % shares != mine)
    return pytest.mark.skipif(elsewhere, reason="another of the runs that share these tests has it, or has it another day")


def in_turn(items: Sequence[Item]) -> Sequence[Item]:
    """Return the items that this run has today, such as kinds of tables: each run has some, and the others another day.

    Args:
        items: in the same order in every run.

    Returns:
        Every so manyth of them, one at least; all when the parts are unset.

    Raises:
        ValueError: an environment variable holds no share.

    Example:
        >>> in_turn(["iceberg", "delta"])
        ['iceberg', 'delta']
    """
    (mine, shares), (part, parts) = _share(SHARE), _share(PART)
    if parts == 1:
        return items
    first = (mine + part) % shares
    return items[first::shares] or items[first % max(len(items), 1) :][:1]


def _share(variable: str) -> tuple[int, int]:
    given = os.environ.get(variable, "0/1")
    found = re.fullmatch(r"(\d+)/(\d+)", given)
    if not found or int(found[1]) >= int(found[2]):
        raise ValueError(f"{variable} is {given!r}; expected a share such as 0/2 or 1/2")
    return int(found[1]), int(found[2])
