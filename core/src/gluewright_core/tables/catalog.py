"""What a catalog of Parquet tables must be able to do, so that partitions can be switched in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluewright_core.tables.partitions import Values

if TYPE_CHECKING:
    from gluewright_core.tables.interface import TableSpec

SWITCHED = "gluewright.switched"
"""The table property that marks a table whose partitions are switched; its value is the table's own location."""


@dataclass(frozen=True)
class CatalogTable:
    """A table as the catalog has it.

    Attributes:
        columns: name → type, partition columns included, names as the catalog stores them.
        partition_by: the partition columns.
        location: of the table. For an unpartitioned switched table this is what is switched.
        properties: the table's own properties.
        version: the catalog's version of the table, where changing it can be made conditional on that; else empty.
    """

    columns: Mapping[str, str]
    partition_by: tuple[str, ...]
    location: str
    properties: Mapping[str, str]
    version: str = ""


@dataclass(frozen=True)
class PartitionChange:
    """One partition's location, before and after; None where the partition is not in the catalog.

    Attributes:
        partition: its values.
        before: its location when the change was planned.
        after: its new location.
        files: how many files and bytes the new location has, where that is known.
    """

    partition: Values
    before: str | None
    after: str | None
    files: tuple[int, int] | None = None


def unprotected() -> None:
    """Protect nothing: for changes that need no lease."""


class Catalog(ABC):
    """A catalog of Parquet tables. An unpartitioned table is treated as one partition with no values."""

    @abstractmethod
    def table(self, name: str) -> CatalogTable | None:
        """Look up a table; None when there is none."""

    @abstractmethod
    def create(self, spec: TableSpec, properties: Mapping[str, str]) -> None:
        """Create an external Parquet table; no error when another writer has just done so."""

    @abstractmethod
    def evolve(self, spec: TableSpec) -> None:
        """Add the columns that are declared and that the table does not have yet, behind the others."""

    @abstractmethod
    def mark(self, name: str, properties: Mapping[str, str]) -> None:
        """Set table properties."""

    @abstractmethod
    def locations(self, name: str, partitions: Sequence[Values] | None = None) -> dict[Values, str]:
        """Look up the locations of partitions.

        Args:
            name: of the table.
            partitions: which; None for all.

        Returns:
            The locations of those that are in the catalog.
        """

    @abstractmethod
    def move(
        self,
        name: str,
        moves: Sequence[PartitionChange],
        *,
        require: Callable[[], None] = unprotected,
        version: str = "",
    ) -> None:
        """Add, switch and drop partitions; each partition changes at once, several at most :attr:`batch` at a time.

        Args:
            name: of the table.
            moves: what to change; where a partition is, it is switched, whatever it was before.
            require: called before each request; raises when the caller may not change the catalog any more.
            version: of the table, from :meth:`table`, when the change was planned: an unpartitioned table is changed on the
                condition of it where the catalog can.

        Raises:
            ConcurrentUpdateError: from ``require``, or the table was changed by another writer.
            OutcomeUnknownError: the catalog did not answer.
        """

    batch: int = 100
    """How many partitions one protected step moves."""
    keeps_locations: bool = True
    """Whether :meth:`locations` returns what :meth:`move` was told, so that a change can be looked up again."""


def same_location(one: str | None, other: str | None) -> bool:
    """Compare locations as catalogs spell them: ``file:/a`` is ``file:///a``, ``s3a`` is ``s3``, a last ``/`` is nothing.

    Example:
        >>> same_location("s3a://lake/t/", "s3://lake/t")
        True
    """
    return one is other is None or (one is not None and other is not None and _plain(one) == _plain(other))


def relative_to(location: str, root: str) -> str | None:
    """Give the path of a location below a root, ``""`` for the root itself, None when it lies elsewhere.

    Example:
        >>> relative_to("s3a://lake/t/dt=1", "s3://lake/t/")
        'dt=1'
    """
    inner, outer = _plain(location), _plain(root)
    if inner == outer:
        return ""
    return inner.removeprefix(f"{outer}/") if inner.startswith(f"{outer}/") else None


def _plain(location: str) -> str:
    scheme, separator, rest = location.partition(":")
    if not separator or "/" in scheme:
        scheme, rest = "file", location
    if scheme == "file":
        rest = "/" + rest.lstrip("/")
    return f"{'s3' if scheme in {'s3a', 's3n'} else scheme}:{rest.rstrip('/')}"


def kinds_of(moves: Iterable[PartitionChange]) -> tuple[list[PartitionChange], list[PartitionChange], list[PartitionChange]]:
    """Sort moves into those that add, switch and drop a partition; one that changes nothing is in none."""
    added: list[PartitionChange] = []
    switched: list[PartitionChange] = []
    dropped: list[PartitionChange] = []
    for move in moves:
        if same_location(move.before, move.after):
            continue
        (dropped if move.after is None else added if move.before is None else switched).append(move)
    return added, switched, dropped
