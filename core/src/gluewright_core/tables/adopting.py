"""Adopting an existing Parquet table for switching: its partitions move out of the table's folder, beside it.

Who reads the folder by path will find less, in the end nothing: that is why a table is adopted only on request, and why the
request first answers with what will change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluewright_core.errors import TableMismatchError, UnsupportedTableError
from gluewright_core.storage import Storage, open_storage, parent_uri
from gluewright_core.tables.catalog import SWITCHED, Catalog, PartitionChange, relative_to
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.commit_state import RUNS
from gluewright_core.tables.interface import Partition, TableSpec
from gluewright_core.tables.parquet import PROJECTION, require_same_columns
from gluewright_core.tables.partitions import Values, name_of, partition_path, values_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Adoptable:
    """A partition whose files lie under the table's folder: its name, how many files, how many bytes."""

    name: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Adoption:
    """What an adoption does, or has done.

    Attributes:
        table: its name.
        location: the table's folder, which readers by path list.
        partitions: those that move out of it.
        remaining: how many partitions stay in it.
        applied: whether it was done, or only looked at.
    """

    table: str
    location: str
    partitions: tuple[Adoptable, ...]
    remaining: int
    applied: bool

    def __str__(self) -> str:
        files, size = sum(p.files for p in self.partitions), sum(p.bytes for p in self.partitions)
        verb = "moved" if self.applied else "would move"
        left = f"find the {self.remaining} other partitions only" if self.remaining else "find nothing"
        return (
            f"{self.table}: {len(self.partitions)} partitions ({files} files, {size:,} bytes) {verb} out of "
            f"{self.location}. Readers that ask the catalog see the same rows; readers that list the path {left}."
        )


def adopt(
    spark: SparkSession,
    spec: TableSpec,
    *,
    run: str,
    catalog: Catalog | None = None,
    partitions: Sequence[Partition] | None = None,
    apply: bool = False,
) -> Adoption:
    """Move partitions of an existing table out of its folder, so that they can be switched; without ``apply`` only look.

    The files are copied beside the table, the catalog is switched to the copies, and the originals that were copied are
    deleted. Queries that were planned before and still run may then miss files: adopt when nobody reads. Killed anywhere and
    called again with the same run, it finishes.

    Args:
        spark: the session.
        spec: the table as declared; its location is the existing one.
        run: the run's id.
        catalog: where its partitions are; by default the session's catalog through Spark SQL.
        partitions: which; all by default.
        apply: do it.

    Returns:
        What moves; ``str()`` of it says what that means for readers.

    Raises:
        UnsupportedTableError: the table is not in the catalog, or uses partition projection.
        TableMismatchError: the declaration differs from the catalog, or a partition is not in it.
    """
    from gluewright_core.tables.catalog_spark import SparkCatalog  # noqa: PLC0415 - loads with pyspark

    catalog = catalog or SparkCatalog(spark)
    _require_adoptable(catalog, spec)
    parent, folder = parent_uri(spec.location)
    storage = open_storage(parent)
    protocol = CommitProtocol(catalog, spec.name, spec.partition_by, storage, folder)
    if apply:
        protocol.finish(run)
    located = catalog.locations(spec.name)
    inside = {
        values: _prefix(folder, below)
        for values, location in located.items()
        if (below := relative_to(location, spec.location)) is not None
    }
    chosen = [values for values in _wanted(spec, located, partitions) if values in inside]
    found = tuple(_look(storage, spec, values, inside[values]) for values in chosen)
    if apply:
        catalog.mark(spec.name, {SWITCHED: spec.location})
        since = protocol.version()
        aside = f"{RUNS}/{folder}/{run}-adopted/"
        targets = {values: _copy_aside(storage, inside[values], aside, spec, values) for values in chosen}
        record = protocol.publish(run, targets, since=since, rows=0)
        for move in protocol.changes(record):
            _delete_copied(storage, folder, spec, move)
    return Adoption(spec.name, spec.location, found, len(inside) - len(chosen), apply)


def _require_adoptable(catalog: Catalog, spec: TableSpec) -> None:
    found = catalog.table(spec.name)
    if found is None:
        raise UnsupportedTableError(f"{spec.name} is not in the catalog; there is nothing to adopt, just publish to it")
    require_same_columns(spec, found)
    if found.properties.get(PROJECTION, "").lower() == "true":
        raise UnsupportedTableError(
            f"{spec.name} uses partition projection: the catalog's locations are not what readers see"
        )


def _wanted(spec: TableSpec, located: Mapping[Values, str], partitions: Sequence[Partition] | None) -> list[Values]:
    if partitions is None:
        return list(located)
    wanted = [values_of(spec.partition_by, partition) for partition in partitions]
    missing = [name_of(spec.partition_by, values) for values in wanted if values not in located]
    if missing:
        raise TableMismatchError(f"{spec.name} has no partitions {', '.join(missing)} in the catalog; see SHOW PARTITIONS")
    return wanted


def _look(storage: Storage, spec: TableSpec, values: Values, prefix: str) -> Adoptable:
    named = ((file.key.rpartition("/")[2], file) for file in storage.list_objects(prefix))
    files = [file for name, file in named if not name.startswith((".", "_"))]
    return Adoptable(name_of(spec.partition_by, values), len(files), sum(file.size for file in files))


def _copy_aside(storage: Storage, prefix: str, aside: str, spec: TableSpec, values: Values) -> str:
    target = aside + (f"{partition_path(spec.partition_by, values)}/" if values else "")
    for found in storage.list_objects(prefix):
        storage.join([found.key], target + found.key.removeprefix(prefix))
    return storage.uri_of(target.rstrip("/"))


def _delete_copied(storage: Storage, folder: str, spec: TableSpec, move: PartitionChange) -> None:
    """Delete the originals that have a copy, and nothing that was added meanwhile."""
    below = relative_to(str(move.before), spec.location)
    if below is None:
        return
    prefix, target = _prefix(folder, below), str(move.after).removeprefix(storage.uri + "/") + "/"
    copied = {found.key.removeprefix(target) for found in storage.list_objects(target)}
    storage.delete([found.key for found in storage.list_objects(prefix) if found.key.removeprefix(prefix) in copied])


def _prefix(folder: str, below: str) -> str:
    return f"{folder}/{below}/" if below else f"{folder}/"
