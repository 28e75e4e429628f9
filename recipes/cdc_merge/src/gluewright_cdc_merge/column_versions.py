# gluewright-cdc-merge 0.1.0 column_versions.py
# SPDX-License-Identifier: Apache-2.0
"""Resolve partial changes column by column: each column has the value of its newest change."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructType

from ._sql import quoted
from .expressions import all_of, outcome_of, path_at
from .schemas import COLUMN_SEQUENCES, SEQUENCE


def resolve_columns(known: DataFrame, row: StructType) -> DataFrame:
    """Resolve each column to the value of its newest change, unless a delete is newer."""
    said = known.schema["said"].dataType
    assert isinstance(said, StructType)
    columns = [_resolve_column(name, said[name].dataType) for name in row.names]
    known = known.select("*", F.struct(*columns).alias("columns"))
    each = [F.col(f"columns.{quoted(name)}") for name in row.names]
    changed = F.col("alive") & ~all_of(column["path"].eqNullSafe(column["before"]) for column in each)
    newest_change = F.array(F.when(F.col("wins"), F.col("at")).otherwise(F.col("was")))
    paths = F.map_from_arrays(F.array(*map(F.lit, row.names)), F.array(*(column["path"] for column in each)))
    older = F.map_filter(paths, lambda _, path: ~path.eqNullSafe(newest_change))
    # The newest change's own tie cannot be found again from a row that others have written to.
    older_sequences = F.when(F.size(older) > 0, F.map_concat(older, F.create_map(F.lit(""), newest_change)))
    new = F.struct(
        *(column["value"].alias(name) for name, column in zip(row.names, each, strict=True)),
        newest_change[0]["sequence"].alias(SEQUENCE),
        older_sequences.alias(COLUMN_SEQUENCES),
    )
    known = known.select("*", F.coalesce(changed, F.lit(False)).alias("changed"), new.alias("became"))
    new = F.when(F.col("wins") | F.col("changed"), F.col("became"))
    resolved = known.select("*", outcome_of(F.col("changed")).alias("outcome"), new.alias("new"))
    return resolved.drop("columns", "became", "changed")


def _resolve_column(name: str, kind: DataType) -> Column:
    """Resolve one column: ``before`` and ``path``, from which change its value was and is, and the ``value``."""
    assert isinstance(kind, StructType)
    field = quoted(name)
    mine = F.col(f"said.{field}")
    own = F.when(F.map_contains_key("columns_before", name), F.try_element_at("columns_before", F.lit(name)))
    before = F.when(F.col("alive"), F.coalesce(own, F.array("was")))
    best = F.greatest(before, mine["path"])
    # An empty path is of a column about which nothing was ever said: older than every delete.
    deleted = F.col("latest_delete_sequence")
    outlived = F.coalesce(F.get(best, F.lit(0))["sequence"] < deleted, deleted.isNotNull())
    path = F.when(best.isNotNull() & ~outlived, best).when(deleted.isNotNull(), path_at("latest_delete_sequence"))
    path = F.coalesce(path, F.array().cast(kind["path"].dataType))
    news = mine["path"].isNotNull() & F.coalesce(mine["path"] > before, F.lit(True))
    value = F.when(best.isNotNull() & ~outlived, F.when(news, mine["value"]).otherwise(F.col(f"old.{field}")))
    return F.struct(before.alias("before"), path.alias("path"), value.alias("value")).alias(name)
