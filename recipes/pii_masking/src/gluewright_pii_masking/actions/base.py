# gluewright-pii-masking 0.1.0 actions/base.py
# SPDX-License-Identifier: Apache-2.0
"""What every action is, and the two simplest ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pyspark.sql import Column
from pyspark.sql.types import DataType

from ..keys import Keys


class Action(ABC):
    """What becomes of a column."""

    keyed: ClassVar[bool] = False
    keeps_apart: ClassVar[bool] = False
    """Whether different values stay different, as the keys of a map must."""

    @property
    def refuses_inside(self) -> str:
        """Say why this cannot be done inside arrays and maps; empty text if it can."""
        return ""

    def refuses(self, kind: DataType) -> str:
        """Say why this is not for a type; empty text if it is."""
        return ""

    @abstractmethod
    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:
        """Return the masked value."""


@dataclass(frozen=True)
class Keep(Action):
    """Leave the value as it is. Of something with parts, each part is named by itself."""

    keeps_apart: ClassVar[bool] = True

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return value


@dataclass(frozen=True)
class Drop(Action):
    """Leave the column or field out, with all its parts. An array or map without its elements is left out too."""

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        raise AssertionError("what is dropped is not masked")
