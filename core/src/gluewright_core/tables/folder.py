"""A bare folder of Parquet: readers list its path, so files themselves must be replaced. Not atomic, and says so.

The rows are written aside and the plan is decided as for a switched table; then, partition by partition, the old files are
deleted and the new ones moved in (a rename locally, a copy on S3). A reader by path may find a partition missing for that
moment; it never finds old and new rows together. A run killed in between is finished by the next one, from the files aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gluewright_core.errors import UnsupportedTableError
from gluewright_core.leases import utc_now
from gluewright_core.storage import Storage, StoredObject, open_storage, parent_uri
from gluewright_core.tables.catalog import Catalog, CatalogTable, PartitionChange, unprotected
from gluewright_core.tables.interface import Published, TableSpec
from gluewright_core.tables.parquet import ParquetTable, evolve_to
from gluewright_core.tables.partitions import Values, parse_path, partition_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class FolderTable(ParquetTable):
    """Parquet files under one folder, laid out by partition, for readers that list the path.

    Args:
        spark: the session.
        spec: the table; its location is required.
        registry: a catalog that knows the table already; its partitions are kept in step with the folders.
        clock: tells the time, UTC.
    """

    def __init__(
        self,
        spark: SparkSession,
        spec: TableSpec,
        registry: Catalog | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._folders = FolderCatalog(spec, registry)
        self._registry = registry
        super().__init__(spark, spec, self._folders, clock=clock)

    def exists(self) -> bool:  # noqa: D102
        return next(self._folders.files(()), None) is not None

    def read(self) -> DataFrame:  # noqa: D102
        if not self.exists():
            return self._spark.createDataFrame([], self.spec.row_schema)
        rows = self._spark.read.schema(self.spec.schema).parquet(self.spec.location)
        return rows.select([f"`{name}`" for name in self.spec.schema.names])

    def undo(self, run: str) -> Published:  # noqa: D102
        raise UnsupportedTableError(
            f"{self.spec.name} is a bare folder and keeps no old files: run {run} cannot be undone; reprocess the partitions"
        )

    def columns(self) -> StructType | None:  # noqa: D102
        if not self.exists():
            return None
        return self._spark.read.option("mergeSchema", "true").parquet(self.spec.location).schema

    def _prepare(self) -> None:
        if self._registry and (found := self._registry.table(self.spec.name)):
            evolve_to(self.spec, found, self._registry)

    def _forget_cached(self) -> None:
        self._spark.catalog.refreshByPath(self.spec.location)


class FolderCatalog(Catalog):
    """A folder seen as a catalog: a partition's location is its folder, and a move replaces the files in it.

    Args:
        spec: of the table.
        registry: a catalog to keep in step.
    """

    batch = 1
    keeps_locations = False

    def __init__(self, spec: TableSpec, registry: Catalog | None = None) -> None:
        self._spec = spec
        self._registry = registry
        parent, folder = parent_uri(spec.location)
        self._storage: Storage = open_storage(parent)
        self._root = f"{folder}/"

    def table(self, name: str) -> CatalogTable | None:  # noqa: D102
        return self._registry.table(name) if self._registry else None

    def create(self, spec: TableSpec, properties: Mapping[str, str]) -> None:  # noqa: D102
        raise UnsupportedTableError(f"{spec.name} is a bare folder: there is no catalog entry to create")

    def evolve(self, spec: TableSpec) -> None:  # noqa: D102
        if self._registry:
            self._registry.evolve(spec)

    def mark(self, name: str, properties: Mapping[str, str]) -> None:  # noqa: D102
        raise UnsupportedTableError(f"{name} is a bare folder: it has no properties")

    def files(self, partition: Values) -> Iterator[StoredObject]:
        """List the files of a partition; of the whole table for ``()``."""
        return self._storage.list_objects(self._prefix(partition))

    def locations(self, name: str, partitions: Sequence[Values] | None = None) -> dict[Values, str]:  # noqa: D102
        if partitions is None:
            partitions = self._partitions()
        return {
            partition: self._storage.uri_of(self._prefix(partition).rstrip("/"))
            for partition in partitions
            if next(iter(self._storage.list_objects(self._prefix(partition))), None)
        }

    def move(  # noqa: D102
        self,
        name: str,
        moves: Sequence[PartitionChange],
        *,
        require: Callable[[], None] = unprotected,
        version: str = "",
    ) -> None:
        for move in moves:
            require()
            staged = self._staged(move)
            # With a target and nothing staged, a run that died had moved the files already.
            if staged or not move.after:
                target = self._prefix(move.partition)
                moved = {target + key.removeprefix(self._staged_prefix(move)) for key in staged}
                present = {found.key for found in self._storage.list_objects(target)}
                self._storage.clear(target, keep=moved & present)
                if move.after:
                    self._storage.move(self._staged_prefix(move), target)
            self._register(name, move)

    def _staged(self, move: PartitionChange) -> list[str]:
        return [found.key for found in self._storage.list_objects(self._staged_prefix(move))] if move.after else []

    def _staged_prefix(self, move: PartitionChange) -> str:
        return str(move.after).removeprefix(self._storage.uri + "/") + "/"

    def _prefix(self, partition: Values) -> str:
        if not partition:
            return self._root
        return f"{self._root}{partition_path(self._spec.partition_by, partition)}/"

    def _partitions(self) -> list[Values]:
        columns = self._spec.partition_by
        if not columns:
            return [()]
        keys = (found.key.removeprefix(self._root) for found in self._storage.list_objects(self._root))
        return list(dict.fromkeys(parse_path(columns, key) for key in keys if key.count("/") >= len(columns)))

    def _register(self, name: str, move: PartitionChange) -> None:
        if self._registry is None or not move.partition or self._registry.table(name) is None:
            return
        current = self._registry.locations(name, [move.partition]).get(move.partition)
        folder = self._storage.uri_of(self._prefix(move.partition).rstrip("/")) if move.after else None
        self._registry.move(name, [PartitionChange(move.partition, current, folder)])
