"""CREATE TABLE, for every kind of table that Spark creates itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gluewright_core.effects import effect
from gluewright_core.tables.sql import columns_ddl, identifier, properties_ddl, quoted, sql_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gluewright_core.tables.interface import TableSpec


def create_table(spark: SparkSession, spec: TableSpec, using: str, properties: Mapping[str, str] | None = None) -> None:
    """Create a table as declared, unless there is one of that name.

    Args:
        spark: the session.
        spec: the table.
        using: the format's name in SQL.
        properties: of the table.
    """
    partitioned = f" PARTITIONED BY ({', '.join(map(quoted, spec.partition_by))})" if spec.partition_by else ""
    location = f" LOCATION {sql_text(spec.location)}" if spec.location else ""
    comment = f" COMMENT {sql_text(spec.comment)}" if spec.comment else ""
    with effect("catalog.create", spec.name):
        try:
            spark.sql(
                f"CREATE TABLE IF NOT EXISTS {identifier(spec.name)} ({columns_ddl(spec.schema)}) USING {using}"
                f"{partitioned}{location}{comment}{properties_ddl(' TBLPROPERTIES', properties or {})}"
            )
        except Exception:
            # Spark looks and creates in two steps: another run may have been between them.
            if not spark.catalog.tableExists(spec.name):
                raise
