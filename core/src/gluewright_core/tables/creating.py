"""CREATE TABLE, for every kind of table that Spark creates itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gluewright_core.effects import effect
from gluewright_core.tables.sql import columns_ddl, identifier, properties_ddl, quoted, sql_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gluewright_core.tables.interface import TableSpec

_BEING_MADE = (
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
)
"""What Delta says when another run has begun to create the table: its files are there before the table is."""


def create_table(spark: SparkSession, spec: TableSpec, using: str, properties: Mapping[str, str] | None = None) -> None:
    """Create a table as declared, unless there is one of that name or another run creates it now.

    Args:
        spark: the session.
        spec: the table.
        using: the format's name in SQL.
        properties: of the table.
    """
    partitioned = f" PARTITIONED BY ({', '.join(map(quoted, spec.partition_by))})" if spec.partition_by else ""
    location = f" LOCATION {sql_text(spec.location)}" if spec.location else ""
    comment = f" COMMENT {sql_text(spec.comment)}" if spec.comment else ""
    statement = (
        f"CREATE TABLE IF NOT EXISTS {identifier(spec.name)} ({columns_ddl(spec.schema)}) USING {using}"
        f"{partitioned}{location}{comment}{properties_ddl(' TBLPROPERTIES', properties or {})}"
    )
    with effect("catalog.create", spec.name):
        for pause in (0.2, 0.5, 1.0, 2.0, None):
            try:
                spark.sql(statement)
                return
            except Exception as error:
                # Spark looks and creates in two steps: another run may have been between them.
                if spark.catalog.tableExists(spec.name):
                    return
                if pause is None or not any(told in str(error) for told in _BEING_MADE):
                    raise
            time.sleep(pause)
