"""What Iceberg and Delta tables have in common: Spark creates, reads and commits them, and the format keeps the history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark.sql.types import StructField, StructType

from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError, TableMismatchError
from gluewright_core.tables.creating import create_table
from gluewright_core.tables.evolving import added, filled, undeclared
from gluewright_core.tables.guard import explained
from gluewright_core.tables.interface import Table, TableSpec
from gluewright_core.tables.sql import column_ddl, identifier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class ManagedTable(Table):
    """A table that Spark knows by name and whose format commits by itself.

    Args:
        spark: the session, with the format's extension and catalog.
        spec: the table.
    """

    using: str
    """The format's name in SQL."""

    def __init__(self, spark: SparkSession, spec: TableSpec) -> None:
        self.spec = spec
        self._spark = spark
        self._name = identifier(spec.name)

    def exists(self) -> bool:  # noqa: D102
        return bool(self._spark.catalog.tableExists(self.spec.name))

    def read(self) -> DataFrame:  # noqa: D102
        if not self.exists():
            return self._spark.createDataFrame([], self.spec.row_schema)
        return filled(self._spark.table(self.spec.name), self.spec.row_schema)

    def columns(self) -> StructType | None:  # noqa: D102
        return self._spark.table(self.spec.name).schema if self.exists() else None

    def _refuse_later(self, run: str, since: str | None) -> None:
        """Refuse rows that were made from an older version of the table than it has now, before they are written.

        A commit between this look and ours is found when ours is made.
        """
        if since is None:
            return
        now = self.begin(run)
        created_since = since == "" and now in {"", "0"}
        if now != since and not created_since:
            raise ConcurrentUpdateError(
                f"{self.spec.name}: another run published after run {run} began to read it; run it again on the table as "
                "it is now"
            )

    def _create(self) -> None:
        if not self._evolved():
            create_table(self._spark, self.spec, self.using)

    def _evolved(self) -> bool:
        """Add declared columns that the table does not have yet; tell whether there is a table."""
        existing = self.columns()
        if existing is None:
            return False
        if unknown := undeclared(self.spec, existing):
            # The formats themselves would take the rows, and leave NULL in these columns.
            missing = [f"{name} (table: missing)" for name in self.spec.schema.names if name not in existing.names]
            told = "; ".join([*missing, *(f"{name} (declared: missing)" for name in unknown)])
            raise TableMismatchError(f"{self.spec.name}: declared columns differ from the table's: {told}")
        if new := added(self.spec.row_schema, existing):
            fields = ((path, StructField(field.name, field.dataType, True, field.metadata)) for path, field in new)
            columns = ", ".join(column_ddl(field, path) for path, field in fields)
            with effect("catalog.evolve", self.spec.name):
                self._spark.sql(f"ALTER TABLE {self._name} ADD COLUMNS ({columns})")
        return True

    @contextmanager
    def _committing(self) -> Iterator[None]:
        """Do one commit; its failure is told as one of our own errors where it is of the table's making."""
        with effect("spark.commit", self.spec.name):
            try:
                yield
            except Exception as error:
                if told := explained(self.spec, error):
                    raise told from error
                raise
