"""Parquet in a catalog: a run's files lie beside the table, and the catalog says which run's files a partition is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pyspark.sql.types import StructField, StructType

from gluewright_core.errors import ConcurrentUpdateError, TableMismatchError, UnsupportedTableError
from gluewright_core.leases import utc_now
from gluewright_core.storage import open_storage, parent_uri
from gluewright_core.tables.catalog import SWITCHED, Catalog, CatalogTable, same_location
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.commit_state import CommitRecord
from gluewright_core.tables.evolving import added, alike, evolved, filled, undeclared
from gluewright_core.tables.interface import (
    Partition,
    Published,
    Replace,
    Staging,
    Table,
    TableSpec,
    require_unpublished,
)
from gluewright_core.tables.partitions import Values, name_of
from gluewright_core.tables.staging import Aside, StagedFiles, discard, set_aside

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PROJECTION = "projection.enabled"


class ParquetTable(Table):
    """A Parquet table whose partitions are switched in a catalog.

    The table's own folder stays empty of data: who lists it instead of asking the catalog finds nothing, rather than old and
    new rows together. The files that a switch leaves behind stay until they are swept, for readers that still use them and
    for :meth:`undo`.

    Args:
        spark: the session.
        spec: the table; its location is required.
        catalog: where its partitions are.
        clock: tells the time, UTC.
    """

    def __init__(
        self, spark: SparkSession, spec: TableSpec, catalog: Catalog, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.spec = spec
        self._spark = spark
        self._catalog = catalog
        parent, self._folder = parent_uri(spec.location)
        self._storage = open_storage(parent)
        self._protocol = CommitProtocol(catalog, spec.name, spec.partition_by, self._storage, self._folder, clock=clock)

    def exists(self) -> bool:  # noqa: D102
        return self._catalog.table(self.spec.name) is not None

    def read(self) -> DataFrame:  # noqa: D102
        if not self.exists():
            return self._spark.createDataFrame([], self.spec.row_schema)
        return filled(self._spark.table(self.spec.name), self.spec.row_schema)

    def columns(self) -> StructType | None:  # noqa: D102
        return self._spark.table(self.spec.name).schema if self.exists() else None

    def begin(self, run: str) -> str:  # noqa: D102
        version = self._finish(run)
        if self.exists():
            self._prepare()
        return str(version)

    def publish(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], since: str | None = None
    ) -> Published:
        self._prepare()
        if done := self._record(run):
            return self._published(done, repeated=True)
        aside = self._set_aside(rows, run, replace, since)
        try:
            return self._switch(run, aside, alone=since is not None)
        except ConcurrentUpdateError:
            # Nothing was decided, and nothing will be. After any other error the publish may have been decided.
            discard(self._storage, aside.prefix)
            raise

    def published(self, run: str) -> Published | None:  # noqa: D102
        done = self._record(run)
        return self._published(done) if done else None

    def pending(self) -> Mapping[str, str]:  # noqa: D102
        return self._protocol.pending()

    def stage(  # noqa: D102
        self, rows: DataFrame, *, run: str, replace: Replace | Sequence[Partition], began: str | None = None
    ) -> Staging:
        self._prepare()
        require_unpublished(self, run)
        if earlier := self.staged(run):
            earlier.discard()
        aside = self._set_aside(rows, run, replace, began)
        try:
            self._protocol.stage(run, aside.body())
        except ConcurrentUpdateError:
            discard(self._storage, aside.prefix)
            raise
        return self._staging(run, aside)

    def staged(self, run: str) -> Staging | None:  # noqa: D102
        self._record(run)
        found = self._protocol.staged(run)
        return self._staging(run, Aside.of(found)) if found else None

    def undo(self, run: str) -> Published:  # noqa: D102
        back = self._protocol.undo(run)
        self._forget_cached()
        names = {self._name(move.partition): "written" if move.after else "emptied" for move in back}
        return Published(self.spec.name, run, 0, names)

    def _finish(self, run: str) -> int:
        """Finish what a run that died has decided; a table that the catalog does not know must never have been published."""
        if self._catalog.keeps_locations and self._catalog.table(self.spec.name) is None:
            self._require_never_published()
            return 0
        return self._protocol.finish(run)

    def _record(self, run: str) -> CommitRecord | None:
        """Look up what a run has published, after finishing what a run that died has decided.

        Another run that lives and publishes matters at the switch only, or when it may be repairing what this run published.
        """
        busy: ConcurrentUpdateError | None = None
        try:
            self._finish(run)
        except ConcurrentUpdateError as error:
            busy = error
        found = self._protocol.record(run)
        if found and busy:
            raise busy
        return found

    def _set_aside(self, rows: DataFrame, run: str, replace: Replace | Sequence[Partition], since: str | None) -> Aside:
        since = str(self._protocol.version()) if since is None else since
        return set_aside(rows, self.spec, self._storage, self._folder, run, replace=replace, since=since)

    def _switch(self, run: str, aside: Aside, *, alone: bool = False, staged: str = "") -> Published:
        uris = {values: prefix and self._uri(prefix) for values, prefix in aside.targets.items()}
        record = self._protocol.publish(
            run,
            uris,
            since=int(aside.since),
            rows=aside.rows,
            whole=aside.whole,
            alone=alone,
            staged=staged,
            files=aside.files,
        )
        self._forget_cached()
        return self._published(record)

    def _staging(self, run: str, aside: Aside) -> Staging:
        return StagedFiles(
            self._spark, self.spec, self._storage, run, aside, publish=self._publish_staged, discard=self._discard_staged
        )

    def _publish_staged(self, run: str, aside: Aside) -> Published:
        self._prepare()
        if done := self._record(run):
            return self._published(done, repeated=True)
        return self._switch(run, aside, staged=aside.prefix)

    def _discard_staged(self, run: str, aside: Aside) -> None:
        if self._protocol.unstage(run, aside.prefix):
            discard(self._storage, aside.prefix)

    def _prepare(self) -> None:
        found = self._catalog.table(self.spec.name)
        if found is None:
            self._require_never_published()
            self._catalog.create(self.spec, {SWITCHED: self.spec.location})
            found = self._catalog.table(self.spec.name)
        if found is None:
            raise TableMismatchError(f"{self.spec.name} was created and is not in the catalog; is its database there?")
        evolve_to(self.spec, found, self._catalog)
        if found.properties.get(PROJECTION, "").lower() == "true":
            raise UnsupportedTableError(
                f"{self.spec.name} uses partition projection, so the catalog's locations are not what readers see; "
                "publish it as a bare folder"
            )
        if SWITCHED not in found.properties:
            raise UnsupportedTableError(
                f"{self.spec.name} exists and its files lie under its location; adopt it for switching first "
                "(gluewright_core.tables.adopt), or publish it as a bare folder"
            )
        if not same_location(found.properties[SWITCHED], self.spec.location):
            raise TableMismatchError(
                f"{self.spec.name} is published beside {found.properties[SWITCHED]}, and is declared at "
                f"{self.spec.location}; a table has one location, declare that one"
            )

    def _require_never_published(self) -> None:
        """Refuse to begin a table anew that was published before and that this catalog does not know."""
        head = self._protocol.state.head()
        owner = head.document.body.get("table") if head.document else None
        if owner not in {None, self.spec.name}:
            raise TableMismatchError(
                f"{self.spec.name} is declared at {self.spec.location}, where {owner} was published; a location belongs to "
                "one table, declare another"
            )
        if version := head.version:
            raise TableMismatchError(
                f"{self.spec.name} is not in this session's catalog, and {self._protocol.state.uri} says that it was "
                f"published {version} times. Does the session use the right catalog (on Glue --enable-glue-datacatalog)? If "
                "the table was dropped on purpose, delete that folder too"
            )

    def _published(self, record: CommitRecord, *, repeated: bool = False) -> Published:
        names = {
            self._name(move.partition): "written" if move.after else "emptied" for move in self._protocol.changes(record)
        }
        return Published(self.spec.name, record.run, record.rows, names, repeated)

    def _name(self, values: Values) -> str:
        return name_of(self.spec.partition_by, values)

    def _uri(self, prefix: str) -> str:
        return self._storage.uri_of(prefix.rstrip("/"))

    def _forget_cached(self) -> None:
        """Let this session's next query see the switch also when the catalog was changed behind Spark's back."""
        if self._spark.catalog.tableExists(self.spec.name):
            self._spark.catalog.refreshTable(self.spec.name)


def evolve_to(spec: TableSpec, found: CatalogTable, catalog: Catalog) -> None:
    """Add to a table the columns that are declared and not there yet.

    Raises:
        TableMismatchError: it is not the declared table otherwise. Nothing was added.
    """
    existing = _parsed(found)
    if not added(spec.row_schema, existing) or undeclared(spec, existing):
        require_same_columns(spec, found, existing)
        return
    require_same_columns(spec, found, evolved(existing, spec.row_schema))
    catalog.evolve(spec)


def require_same_columns(spec: TableSpec, found: CatalogTable, columns: StructType | None = None) -> None:
    """Refuse to publish into a table that is not the declared one.

    Args:
        spec: as declared.
        found: as the catalog has it.
        columns: as they will be; the catalog's if not told.

    Raises:
        TableMismatchError: columns, types or partition columns differ.
    """
    declared = {column.name.lower(): column.dataType for column in spec.row_schema}
    existing = {column.name.lower(): column.dataType for column in columns or _parsed(found)}
    wrong = [
        f"{name} {kind.simpleString()} (catalog: {existing[name].simpleString() if name in existing else 'missing'})"
        for name, kind in declared.items()
        if name not in existing or not alike(existing[name], kind)
    ]
    wrong += [f"{name} (declared: missing)" for name in existing if name not in declared]
    if wrong:
        raise TableMismatchError(f"{spec.name}: declared columns differ from the catalog's: {'; '.join(wrong)}")
    if [name.lower() for name in spec.partition_by] != [name.lower() for name in found.partition_by]:
        raise TableMismatchError(
            f"{spec.name}: declared partition columns {list(spec.partition_by)}, the catalog has {list(found.partition_by)}"
        )


def _parsed(found: CatalogTable) -> StructType:
    """Read the catalog's types; without lengths, because one catalog says varchar(3), another string, of the same column."""
    from gluewright_core.schema.types import parse_type, without_lengths  # noqa: PLC0415 - not needed to import a job

    kinds = {name: without_lengths(parse_type(kind)) for name, kind in found.columns.items()}
    return StructType([StructField(name, kind) for name, kind in kinds.items()])
