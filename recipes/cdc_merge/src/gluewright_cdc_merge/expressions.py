# gluewright-cdc-merge 0.1.0 expressions.py
# SPDX-License-Identifier: Apache-2.0
"""Expressions and joins that several steps of a merge need."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ._sql import quoted


def outcome_of(changed: Column) -> Column:
    """Return what becomes of a key; NULL where no change concerns it and it stays as it is."""
    spoken, exists, alive = F.col("records").isNotNull(), F.col("exists"), F.col("alive")
    deleted = F.col("delete_sequence")
    news = deleted.isNotNull() & F.coalesce(deleted > F.greatest("tomb", "truncated"), F.lit(True))
    return (
        F.when(F.col("key").isNull(), F.lit(None))
        .when(F.col("wins"), F.when(exists, "updated").otherwise("inserted"))
        .when(alive & changed, "updated")
        .when(exists & ~alive, "deleted")
        .when(alive & F.col("at").eqNullSafe(F.col("was")), "repeated")
        .when(news & ~exists, "remembered")
        .when(spoken, "stale")
    )


def checkpointed(frame: DataFrame) -> DataFrame:
    """Keep a DataFrame that is used more than once, without the plan that made it.

    If it were persisted it would stand on the tables that it was made from: Spark plans and computes such a frame again when
    Delta or Iceberg commit to one of them, and tombstones are published in the middle of a merge. What is kept so is lost
    with its executor; the run fails then, and is run again.

    Args:
        frame: is computed when the first action uses it.
    """
    return frame.localCheckpoint(eager=False)


def statements(changes: DataFrame) -> DataFrame:
    """Reduce equal changes to one: ``key``, ``sequence``, ``at`` (of an upsert), ``said``, ``copies``."""
    partial = "unset" in changes.columns
    unset = F.col("unset") if partial else F.lit(None).cast("array<string>")
    at = F.when(F.col("op") == "upsert", F.struct("sequence", tie_breaker(F.col("row")).alias("tie")))
    # A record that changes a key is two changes, of which one counts.
    record = (F.col("record") if "record" in changes.columns else F.lit(1)).cast("long")
    distinct = (
        changes.select("key", "sequence", at.alias("at"), "row", unset.alias("unset"), record.alias("record"))
        # One shuffle for this and for what is aggregated by key afterwards.
        .repartition("key")
        .groupBy("key", "sequence", "at")
        .agg(F.sum("record").alias("copies"), F.first("row").alias("row"), F.first("unset").alias("unset"))
    )

    def saying(name: str) -> Column:
        says = F.col("at").isNotNull() & ~F.coalesce(F.array_contains("unset", name), F.lit(False))
        value = F.col(f"row.{quoted(name)}").alias("value")
        return F.struct(F.when(says, F.array("at")).alias("path"), value).alias(name)

    columns = changes.schema["row"].dataType.names  # type: ignore[attr-defined]
    said = F.struct(*map(saying, columns)) if partial else F.col("row")
    return distinct.select("key", "sequence", "at", said.alias("said"), "copies")


def latest_value(saying: str, name: str, before: Column | None = None) -> Column:
    """Aggregate what was said of a column to the newest, perhaps of what was said before a sequence."""
    path = F.col(f"{saying}.path")
    if before is not None:
        path = F.when(F.get(path, F.lit(0))["sequence"] < before, path)
    return F.struct(F.max(path).alias("path"), F.max_by(f"{saying}.value", path).alias("value")).alias(name)


def tie_of_newest_change(column_sequences: str) -> Column:
    """Return the tie breaker of a row's newest change: stored, where other changes wrote to the row; else the row's own."""
    return F.coalesce(F.get(F.try_element_at(column_sequences, F.lit("")), 0)["tie"], tie_breaker(F.col("old")))


def path_at(sequence: str) -> Column:
    """Return the path of something that is no upsert itself, before all upserts of the same sequence."""
    return F.array(F.struct(F.col(sequence).alias("sequence"), F.lit(None).cast("long").alias("tie")))


def timestamp_of(now: datetime) -> Column:
    """Return a time in UTC as a timestamp, whatever the session's time zone is."""
    return F.lit(now.astimezone(UTC).replace(tzinfo=None)).cast("timestamp")


def join_by_key(table: DataFrame, named: DataFrame, keys: Sequence[str], how: str) -> DataFrame:
    """Join a table with keys, column by column: Spark joins single numbers faster than structs."""
    parts = (F.col(f"key.{quoted(name)}").alias(f"_gw_key_{number}") for number, name in enumerate(keys))
    wanted = named.where("key IS NOT NULL").select(*parts)
    on = [F.col(quoted(name)) == F.col(f"_gw_key_{number}") for number, name in enumerate(keys)]
    return table.join(wanted, on, how)


def tie_breaker(row: Column) -> Column:
    """Return the hash of a row, which decides between two upserts with the same sequence; NULL for no row."""
    return F.when(row.isNotNull(), F.xxhash64(F.to_json(row)))


def struct_of(names: Sequence[str]) -> Column:
    """Return a struct of columns under their own names."""
    return F.struct(*(F.col(quoted(name)) for name in names))


def all_of(conditions: Iterable[Column]) -> Column:
    """Return whether all conditions hold."""
    return functools.reduce(Column.__and__, conditions)
