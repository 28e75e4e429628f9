# gluewright-cdc-merge 0.1.0 key_moves.py
# SPDX-License-Identifier: Apache-2.0
"""Carry values along when a change gives a row another key, in whatever order the parts of the move come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ._sql import quoted
from .expressions import (
    checkpointed,
    join_by_key,
    latest_value,
    path_at,
    statements,
    struct_of,
    tie_of_newest_change,
    timestamp_of,
)
from .schemas import COLUMN_SEQUENCES, SEQUENCE, key_columns


@dataclass(frozen=True)
class Moves:
    """What the moves of a feed need; :func:`carry_moves` makes it.

    Attributes:
        ends: every delete that is remembered: ``key``, ``sequence``, ``since``, and ``last``, what the row was.
        begins: every move that is remembered: ``key``, ``sequence``, ``since``, ``unset``.
        overwritten: every value that is remembered because it was overwritten: ``key``, ``since``, and ``last`` with this
            value alone; None if no moved row leaves anything out.
        carried: what the moved rows have from their old keys, as changes of the new ones; None in the same case.
    """

    ends: DataFrame
    begins: DataFrame
    overwritten: DataFrame | None = None
    carried: DataFrame | None = None


def columns_left_out(changes: DataFrame, tombstones: DataFrame) -> list[str]:
    """Name the columns that moved rows leave out, as far as is remembered. Runs a job."""
    moves = _moves(changes).select("unset").unionByName(_moves(tombstones).select("unset"))
    return sorted(row["name"] for row in moves.select(F.explode("unset").alias("name")).distinct().collect())


def keys_that_end(changes: DataFrame, names: Sequence[str]) -> DataFrame:
    """Give the keys of rows that changes delete and, where moved rows leave columns out, overwrite."""
    return changes.where("key IS NOT NULL" if names else "op = 'delete'").select("key").distinct()


def fetch_ending_rows(table: DataFrame, of: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Read the rows of these keys, whole: ``key``, and ``said`` in the way of :func:`latest_by_key`."""
    columns = [name for name in table.columns if name not in {SEQUENCE, COLUMN_SEQUENCES}]
    rows = join_by_key(table, of, keys, "left_semi")
    rows = rows.select(struct_of(keys).alias("key"), struct_of(columns).alias("old"), SEQUENCE, COLUMN_SEQUENCES)
    was = F.array(F.struct(F.col(SEQUENCE).alias("sequence"), tie_of_newest_change(COLUMN_SEQUENCES).alias("tie")))
    return rows.select("key", F.struct(*(_statement_of(name, was) for name in columns)).alias("said"))


def carry_moves(changes: DataFrame, tombstones: DataFrame, rows: DataFrame, names: Sequence[str], now: datetime) -> Moves:
    """Find what each deleted row was, and carry it to the key that a move gave it.

    A move's two parts, and changes that are older than it, may come in any order and in other merges. So what each deleted
    row was is remembered with its tombstone and made anew from all that is known of it, as are the moved rows; move by move
    where a row was moved several times. The old key may be in use again before the delete comes: for this the values that
    have been overwritten are remembered, of the columns that moved rows leave out.

    Args:
        changes: with ``moved``.
        tombstones: as they were.
        rows: from :func:`fetch_ending_rows`, of the keys that are :func:`keys_that_end`.
        names: from :func:`columns_left_out`.
        now: the time of the merge, in UTC.
    """
    moment = timestamp_of(now)
    known, dead = tombstones.where("key IS NOT NULL AND NOT coalesce(moved, false)"), changes.where("op = 'delete'")
    begins = _moves(tombstones).select("key", "sequence", "since", "unset")
    begins = begins.unionByName(_moves(changes).select("key", "sequence", moment.alias("since"), "unset"))
    begins = begins.groupBy("key", "sequence").agg(F.min("since").alias("since"), F.first("unset").alias("unset"))
    ends = known.where("sequence IS NOT NULL").select("key", "sequence", "since", "last")
    ends = ends.unionByName(dead.select("key", "sequence", moment.alias("since")), allowMissingColumns=True)
    ends = ends.groupBy("key", "sequence").agg(F.min("since").alias("since"), F.first("last", True).alias("last"))
    truncated = changes.where("op = 'truncate'").select("sequence")
    truncated = truncated.unionByName(tombstones.where("key IS NULL").select("sequence"))
    truncated = truncated.agg(F.collect_set("sequence").alias("truncated"))
    said = statements(changes).where("at IS NOT NULL").select("key", "said").unionByName(rows)
    if not names:
        return Moves(checkpointed(_ended(ends, said, truncated)), begins)
    begins = checkpointed(begins)
    said = checkpointed(said.unionByName(known.select("key", F.col("last").alias("said")), allowMissingColumns=True))
    every, before = said, None
    while True:
        found = checkpointed(_ended(ends, every, truncated))
        carried = checkpointed(_carried(begins, found, key_columns(changes.schema)))
        every = said.unionByName(carried.select("key", "said"))
        paths = [F.col(f"said.{quoted(name)}.path") for name in carried.select("said.*").columns]
        after = carried.agg(F.count(F.lit(1)), F.bit_xor(F.xxhash64("key", *paths))).first()
        if after == before or not after[0]:  # type: ignore[index]
            overwritten = checkpointed(_overwritten(every, known.where("sequence IS NULL"), names, moment))
            return Moves(found, begins, overwritten, carried)
        before = after


def _moves(known: DataFrame) -> DataFrame:
    """Give the changes or tombstones of moved rows that leave columns out; others have nothing from their old key."""
    return known.where("moved AND size(unset) > 0")


def _overwritten(said: DataFrame, known: DataFrame, names: Sequence[str], moment: Column) -> DataFrame:
    """Return the values of these columns that are not the newest of their key, with those that are known, in a row each."""
    columns = said.select("said.*").schema

    def alone(name: str) -> Column:
        """Give what is said of one column, and nothing of the others."""
        others = (
            F.col(f"said.{quoted(each.name)}") if each.name == name else F.lit(None).cast(each.dataType).alias(each.name)
            for each in columns
        )
        return F.struct(F.lit(name).alias("name"), F.col(f"said.{quoted(name)}.path"), F.struct(*others).alias("last"))

    said = said.unionByName(known.select("key", F.col("last").alias("said"), "since"), allowMissingColumns=True)
    each = said.select("key", "since", F.explode(F.array(*map(alone, names))).alias("each")).select("key", "since", "each.*")
    values = each.where("path IS NOT NULL").groupBy("key", "name", "path")
    distinct = values.agg(F.first("last").alias("last"), F.min("since").alias("since"))
    newest_change = F.max("path").over(Window.partitionBy("key", "name"))
    # What a row has from its old key is found again with the move, and what a delete took away with the delete.
    old = "path < newest_change AND size(path) = 1 AND get(path, 0).tie IS NOT NULL"
    found = distinct.withColumn("newest_change", newest_change).where(f"since IS NOT NULL OR ({old})")
    return found.select("key", F.coalesce("since", moment).alias("since"), "last")


def _ended(ends: DataFrame, said: DataFrame, truncated: DataFrame) -> DataFrame:
    """Make anew what each deleted row was: of each column the newest value before the delete, if none was deleted since."""
    other = ends.select("key", F.col("last").alias("said"), F.col("sequence").alias("other"))
    known = said.unionByName(other, allowMissingColumns=True)
    known = ends.withColumnRenamed("last", "own").join(known, "key", "left").crossJoin(F.broadcast(truncated))
    earlier = F.array_max(F.filter("truncated", lambda truncate: truncate < F.col("sequence")))
    died = F.greatest(F.when(F.col("other") < F.col("sequence"), F.col("other")), earlier)
    columns = known.select("said.*").columns
    last = F.struct(*(latest_value(f"said.{quoted(name)}", name, before=F.col("sequence")) for name in columns))
    found = known.groupBy("key", "sequence", "since").agg(F.max(died).alias("latest_delete_sequence"), last.alias("last"))
    return found.select("key", "sequence", "since", F.struct(*map(_unless_deleted, columns)).alias("last"))


def _unless_deleted(name: str) -> Column:
    last, deleted = F.col(f"last.{quoted(name)}"), F.col("latest_delete_sequence")
    outlived = deleted.isNotNull() & (F.get(last["path"], F.lit(0))["sequence"] < deleted)
    alive = last["path"].isNotNull() & ~outlived
    path = F.when(alive, last["path"]).when(deleted.isNotNull(), path_at("latest_delete_sequence"))
    return F.struct(path.alias("path"), F.when(alive, last["value"]).alias("value")).alias(name)


def _carried(begins: DataFrame, ends: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Give to each move what the row was that its sequence ended, as a change of the new key."""
    both = begins.join(ends.select("sequence", "last", F.col("key").alias("old_key")), "sequence").where("key <> old_key")
    place = path_at("sequence")

    def carried(name: str) -> Column:
        if name in keys:
            return F.struct(place.alias("path"), F.col(f"key.{quoted(name)}").alias("value")).alias(name)
        last = F.col(f"last.{quoted(name)}")
        path = F.when(last["path"].isNotNull(), F.concat(place, last["path"]))
        return F.struct(path.alias("path"), last["value"].alias("value")).alias(name)

    said = F.struct(*map(carried, both.select("last.*").columns))
    return both.select("key", "sequence", place[0].alias("at"), said.alias("said"))


def _statement_of(name: str, was: Column) -> Column:
    """Give a table's value in the way of what changes say; ``was`` is the place of the row's newest change."""
    own = F.when(F.map_contains_key(COLUMN_SEQUENCES, name), F.try_element_at(COLUMN_SEQUENCES, F.lit(name)))
    return F.struct(F.coalesce(own, was).alias("path"), F.col(f"old.{quoted(name)}").alias("value")).alias(name)
