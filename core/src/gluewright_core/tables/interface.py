"""What a table is and what can be done with it, whatever its kind."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import StructField, StructType

from gluewright_core.errors import RunRepeatedError, TableMismatchError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Replace(Enum):
    """Which partitions a publish replaces, when they are not listed one by one."""

    ALL = "all"
    TOUCHED = "touched"


ALL = Replace.ALL
"""The whole table: a partition without rows is emptied."""
TOUCHED = Replace.TOUCHED
"""The partitions that have rows, and no other: a partition that became empty keeps its old rows."""

Partition = Mapping[str, Any]


@dataclass(frozen=True)
class TableSpec:
    """A table as the job declares it.

    Attributes:
        name: ``database.table``, for Iceberg ``catalog.database.table``.
        schema: all columns with types and comments, partition columns included.
        partition_by: the partition columns; empty for an unpartitioned table.
        location: the table's folder, as a URI; Iceberg may leave it to its catalog.
        comment: of the table.

    Raises:
        TableMismatchError: a partition column is not in the schema.
    """

    name: str
    schema: StructType
    partition_by: tuple[str, ...] = ()
    location: str = ""
    comment: str = field(default="", compare=False)

    @property
    def row_schema(self) -> StructType:
        """The columns as a DataFrame has them: without the lengths of char and varchar."""
        from gluewright_core.schema.types import without_lengths  # noqa: PLC0415 - not needed to import a job

        plain = without_lengths(self.schema)
        assert isinstance(plain, StructType)
        return plain

    def __post_init__(self) -> None:
        missing = [column for column in self.partition_by if column not in self.schema.names]
        if missing:
            raise TableMismatchError(f"{self.name}: partition columns {missing} are not in its schema {self.schema.names}")


@dataclass(frozen=True)
class Published:
    """What a publish did.

    Attributes:
        table: its name.
        run: the run that published.
        rows: rows written.
        partitions: the partitions that were replaced, as ``dt=2013-01-31``, with what became of each: ``written`` or
            ``emptied``; for an unpartitioned table one entry, ``(whole table)``. Empty where the table kind does not tell.
        repeated: this run had published before, so nothing was done now.
    """

    table: str
    run: str
    rows: int
    partitions: Mapping[str, str]
    repeated: bool = False


class Staging(ABC):
    """Rows that were written and are not published: what :meth:`Table.stage` makes and :meth:`Table.staged` finds again.

    No reader of the table sees them. They wait as long as it takes, in this process or for another one.

    Attributes:
        table: its name.
        run: the run that staged.
        count: how many rows are staged.
    """

    table: str
    run: str
    count: int

    @property
    @abstractmethod
    def rows(self) -> DataFrame:
        """The staged rows, as the table will have them."""

    @property
    @abstractmethod
    def partitions(self) -> Mapping[str, str]:
        """The partitions that will be replaced, as in :class:`Published`: ``written`` or ``emptied``."""

    @abstractmethod
    def publish(self) -> Published:
        """Let readers see the rows, in the same switch as :meth:`Table.publish`. Done twice, it changes nothing.

        Raises:
            ConcurrentUpdateError: another run published some of the same partitions since the rows were staged, or the rows
                were discarded. Nothing was published; discard them, and stage again from the table as it is now.
        """

    @abstractmethod
    def discard(self) -> None:
        """Take the rows away, if they have not been published. Done twice, it changes nothing."""


class Table(ABC):
    """One table: read it, publish to it, take a publish back.

    Attributes:
        spec: the table as declared.
    """

    spec: TableSpec

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether the table has been created."""

    @abstractmethod
    def read(self) -> DataFrame:
        """Read the table's published rows as declared: NULL in columns it does not have yet; no rows without a table."""

    @abstractmethod
    def columns(self) -> StructType | None:
        """Tell the columns that the table has now; None while there is no table."""

    def with_columns(self, more: Sequence[StructField]) -> Table:
        """Declare the same table with more columns, behind the others."""
        wider = copy.copy(self)
        wider.spec = replace(self.spec, schema=StructType([*self.spec.schema, *more]))
        return wider

    @abstractmethod
    def begin(self, run: str) -> str:
        """Tell the table's version before it is read, for a publish that is refused when anything was published since.

        What a run that died has decided to publish is finished first, so that it is read too; and declared columns that the
        table does not have yet are added, because some formats count that as a version.

        Args:
            run: the logical run's id.

        Returns:
            A token; empty while there is no table.

        Raises:
            ConcurrentUpdateError: another run is publishing now.
            TableMismatchError: the table is not the declared one.
        """

    @abstractmethod
    def publish(
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], since: str | None = None
    ) -> Published:
        """Replace partitions by rows, in one switch where the table kind has one.

        Creates the table when it does not exist, and adds declared columns that it does not have yet. Publishing the same
        run twice changes nothing.

        Args:
            rows: the new content of the partitions that are replaced. Columns are matched by name.
            run: the logical run's id: the same in every attempt, another for every other run.
            replace: :data:`ALL`, :data:`TOUCHED`, or the partitions, such as ``[{"dt": date(2013, 1, 31)}]``; one that has
                no rows is emptied.
            since: what :meth:`begin` told before the table was read, for rows that were made from its own: whatever
                another run published since is a conflict, not only the same partitions.

        Returns:
            What was done.

        Raises:
            RowsOutsidePartitionsError: rows belong to partitions that are not listed. Nothing was published.
            ConcurrentUpdateError: another run published some of the same partitions meanwhile. Nothing was published.
            TableMismatchError: the rows do not have the table's columns.
        """

    @abstractmethod
    def published(self, run: str) -> Published | None:
        """Look up what a run has published; None when it has not, when it was taken back, or is forgotten."""

    def pending(self) -> Mapping[str, str]:
        """Tell a reader which partitions a decided publish has still to change: after a kill between two partitions.

        Returns:
            The partitions, as ``dt=2013-01-31``, each with the run that publishes it. Always empty for table kinds that
            switch the whole table at once.
        """
        return {}

    @abstractmethod
    def stage(
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], began: str | None = None
    ) -> Staging:
        """Write rows as for a publish, and let no reader see them yet, so that they can be looked at.

        Staging the same run again replaces what it had staged.

        Args:
            rows: as for :meth:`publish`.
            run: as for :meth:`publish`.
            replace: as for :meth:`publish`.
            began: what :meth:`begin` told before the partitions were read, for rows that were made from their old ones. A
                publish of the same partitions since then is a conflict; without it, since now.

        Returns:
            The rows, to look at and then to publish or to discard.

        Raises:
            RunRepeatedError: the run has published.
            RowsOutsidePartitionsError: rows belong to partitions that are not listed.
            TableMismatchError: the rows do not have the table's columns.
        """

    @abstractmethod
    def staged(self, run: str) -> Staging | None:
        """Find what a run has staged and neither published nor discarded, also in another process; else None."""

    @abstractmethod
    def undo(self, run: str) -> Published:
        """Take back what a run published, while no later run has replaced the same partitions.

        Raises:
            ConcurrentUpdateError: a later publish replaced some of them.
            UnsupportedTableError: the table kind keeps no old rows, or they have been swept.
        """


def require_unpublished(table: Table, run: str) -> None:
    """Refuse to stage for a run that has published.

    Raises:
        RunRepeatedError: it has.
    """
    if table.published(run):
        raise RunRepeatedError(f"{table.spec.name}: run {run} has published already; undo it first, or stage as another run")


def arranged(rows: DataFrame, spec: TableSpec) -> DataFrame:
    """Give rows the declared order of columns.

    Raises:
        TableMismatchError: columns are missing or extra, or a type differs.
    """
    expected = {column.name: column.dataType for column in spec.row_schema}
    found = {column.name: column.dataType for column in rows.schema}
    wrong = [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is not declared" for name in found if name not in expected),
        *(
            f"{name} is {found[name].simpleString()}, declared {kind.simpleString()}"
            for name, kind in expected.items()
            if name in found and found[name].simpleString() != kind.simpleString()
        ),
    ]
    if wrong:
        raise TableMismatchError(f"{spec.name}: the rows do not fit the table: {'; '.join(wrong)}")
    return rows.select([f"`{name}`" for name in spec.schema.names])
