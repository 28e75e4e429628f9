"""From a declared table to the table of the right kind."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from gluewright_core.errors import TableMismatchError
from gluewright_core.tables.catalog import SWITCHED, Catalog
from gluewright_core.tables.interface import Table, TableSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Kind(Enum):
    """How a table is kept."""

    PARQUET = "parquet"
    ICEBERG = "iceberg"
    DELTA = "delta"
    FOLDER = "folder"


def open_table(
    spark: SparkSession, spec: TableSpec, kind: Kind | str = Kind.PARQUET, *, catalog: Catalog | None = None
) -> Table:
    """Open a table; it need not exist yet.

    A Parquet table that exists in the catalog with its files under its location, made by something else, is opened as a bare
    folder until it is adopted (:func:`gluewright_core.tables.adopting.adopt`): its readers may list the path.

    Args:
        spark: the session.
        spec: the table as declared.
        kind: how it is kept.
        catalog: for Parquet: where its partitions are; by default the session's catalog through Spark SQL.

    Returns:
        The table.

    Raises:
        TableMismatchError: the kind needs a location and the declaration has none.
    """
    kind = Kind(kind)
    if kind is not Kind.ICEBERG and not spec.location:
        raise TableMismatchError(f"{spec.name}: a {kind.value} table needs a location; give TableSpec one")
    if kind is Kind.ICEBERG:
        from gluewright_core.tables.iceberg import IcebergTable  # noqa: PLC0415 - only the kind that is used is loaded

        return IcebergTable(spark, spec)
    if kind is Kind.DELTA:
        from gluewright_core.tables.delta import DeltaTable  # noqa: PLC0415

        return DeltaTable(spark, spec)
    from gluewright_core.tables.catalog_spark import SparkCatalog  # noqa: PLC0415
    from gluewright_core.tables.folder import FolderTable  # noqa: PLC0415
    from gluewright_core.tables.parquet import ParquetTable  # noqa: PLC0415

    if kind is Kind.FOLDER:
        return FolderTable(spark, spec, catalog)
    catalog = catalog or SparkCatalog(spark)
    found = catalog.table(spec.name)
    if found and SWITCHED not in found.properties:
        return FolderTable(spark, spec, catalog)
    return ParquetTable(spark, spec, catalog)
