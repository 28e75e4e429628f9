"""Open a table that exists already, by its name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluewright_core.tables import Kind, Table, TableSpec, open_table
from gluewright_core.tables.catalog import SWITCHED
from gluewright_core.tables.catalog_spark import SparkCatalog
from gluewright_core.tables.sql import identifier
from gluewright_reprocessing.job.reprocessing import InvalidReprocessingError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def open_existing(spark: SparkSession, table: str) -> Table:
    """Open a table as the catalog describes it: its kind, columns, partition columns and location.

    Args:
        spark: the session.
        table: ``database.table``, for Iceberg ``catalog.database.table``.

    Raises:
        InvalidReprocessingError: it is not there, or is of no kind that can be published to.
    """
    if not spark.catalog.tableExists(table):
        raise InvalidReprocessingError(f"{table} is not there; check --table, and the catalog of the session")
    described = [
        (row["col_name"], row["data_type"]) for row in spark.sql(f"DESCRIBE EXTENDED {identifier(table)}").collect()
    ]
    facts = {name.lower(): value for name, value in described if value}
    provider = facts.get("provider", "").lower()
    columns = spark.table(table).schema
    if provider not in {"parquet", "delta", "iceberg"}:
        raise InvalidReprocessingError(f"{table} is kept as {provider or 'a view'}; known are parquet, delta and iceberg")
    if provider == "parquet":
        found = SparkCatalog(spark).table(table)
        assert found is not None
        location = found.properties.get(SWITCHED, found.location)
        return open_table(spark, TableSpec(table, columns, found.partition_by, location), Kind.PARQUET)
    # After its heading, Spark lists the partition columns as it lists the columns.
    names = [name for name, _ in described]
    heading = names.index("# Partition Information") + 2 if "# Partition Information" in names else len(names)
    end = names.index("", heading) if "" in names[heading:] else len(names)
    partition_by = tuple(name for name in names[heading:end] if name in columns.names)
    return open_table(spark, TableSpec(table, columns, partition_by, facts.get("location", "")), provider)
