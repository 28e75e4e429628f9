# gluewright-cdc-merge 0.1.0 merge.py
# SPDX-License-Identifier: Apache-2.0
"""Merge change records into current state: the same table whatever the order, the batches and the repetitions.

`key_moves` is for feeds that give rows other keys, `column_versions` for feeds that change single columns.

**A change** is a row with these columns (`feeds` of this package makes them from Debezium, DMS and plain feeds):

- ``op``: ``upsert``, ``delete`` or ``truncate``;
- ``key``: a struct of the key columns, NULL for a truncate;
- ``sequence``: a struct; of two changes the one with the greater sequence is later;
- ``row``: a struct of the table's columns, NULL where there is none to tell;
- ``unset``, if the feed has partial changes: the names of columns that the change says nothing about, NULL for none;
- ``record``, if some records are two changes: how many records the change counts as, 1 or 0;
- ``moved``, if its rows change keys in two parts, a delete and an upsert with one sequence: whether the upsert takes what it
  leaves out from the row that the delete ends. The feed has partial changes then.

**The table** has the columns of ``row`` and ``_gw_sequence``, the sequence of the row's newest change; and if the feed has
partial changes ``_gw_column_sequences``, a map that is NULL except for rows with columns older than the row.
**Tombstones** are a small table beside it: the key and sequence of every deleted row, and of the last truncate. If the feed
moves rows, also what each deleted row was (``last``), and the moves, because their other part or older changes may come yet;
and if moved rows leave columns out, what is overwritten of these columns, because the delete of that older row may come yet.

What is true of a key is a maximum: each column has the value of its newest change, unless a delete or truncate is newer
still. A maximum does not ask in which order it is taken, how often, or in which portions. So that this holds for two changes
with the same sequence too, an upsert goes before a delete, and of two upserts the one whose content has the greater hash.
What a moved row has from its old key is older than the move and newer than all before it: its place in the order is a path,
the move's sequence and then the place it had under the old key.
(State-based convergent objects: Shapiro, Preguiça, Baquero, Zawirski, "Conflict-free Replicated Data Types", 2011.)

Example:
    >>> merged = merge(table, tombstones, changes, now=started)        # doctest: +SKIP
    >>> merged.rows, merged.tombstones, merged.counts()                # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from ._sql import quoted
from .column_versions import resolve_columns
from .expressions import (
    all_of,
    join_by_key,
    latest_value,
    outcome_of,
    statements,
    struct_of,
    tie_breaker,
    tie_of_newest_change,
    timestamp_of,
)
from .key_moves import Moves, carry_moves, columns_left_out, fetch_ending_rows, keys_that_end
from .schemas import COLUMN_SEQUENCES, SEQUENCE, key_columns, value_type

OUTCOMES = ("inserted", "updated", "deleted", "remembered", "stale", "repeated")
"""What becomes of a key. ``remembered``: a delete of a missing key. ``stale``: the table is newer. ``repeated``: known."""


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge, lazily.

    Attributes:
        rows: the table's new content.
        tombstones: their new content.
        resolved: one row per key of the changes: its ``outcome``, its records, and its row.
    """

    rows: DataFrame
    tombstones: DataFrame
    resolved: DataFrame


def merge(table: DataFrame, tombstones: DataFrame, changes: DataFrame, *, now: datetime) -> Merged:
    """Merge changes into a whole table.

    A job that rewrites only the partitions that changes touch calls the steps itself.

    Args:
        table: with the columns of :func:`table_schema`; empty at first. One row a key.
        tombstones: with the columns of :func:`tombstone_schema`; empty at first.
        changes: as the module says. No sequence may be NULL, and no key but a truncate's.
        now: the time of the merge, in UTC, for the retention of tombstones.

    Returns:
        The new table and tombstones. The changes are read once at once, to look for a truncate and for moved rows.
    """
    keys, partial, moves = key_columns(changes.schema), "unset" in changes.columns, None
    if "moved" in changes.columns:
        names = columns_left_out(changes, tombstones)
        moves = carry_moves(changes, tombstones, fetch_ending_rows(table, keys_that_end(changes, names), keys), names, now)
    found = latest_by_key(changes, moves)
    if has_truncate(found):
        found = with_all_keys(found, table, keys)
    facts = join_target_state(found, match_target(table, found, keys), tombstones)
    done = resolve(facts, fetch_target_rows(table, facts, keys), partial=partial)
    return Merged(apply_changes(table, done, keys), update_tombstones(tombstones, done, now, moves), done)


def latest_by_key(changes: DataFrame, moves: Moves | None = None) -> DataFrame:
    """Reduce changes to one row a key: what the newest of them say.

    Args:
        changes: the changes.
        moves: from :func:`carry_moves`, if the feed moves rows.

    Returns:
        ``key``; ``at``, sequence and tie of the newest upsert; ``delete_sequence``, sequence of the newest delete; ``said``,
        the newest row, or of partial changes for each column its newest value and the path of the change that said it;
        ``records``, ``repeated`` (records that are the same as another), ``superseded`` (others that are older than the
        newest). Truncates are the row without a key.
    """
    said, columns = statements(changes), changes.schema["row"].dataType.names  # type: ignore[attr-defined]
    if moves and moves.carried:
        said = said.unionByName(moves.carried, allowMissingColumns=True)
    if "unset" in changes.columns:
        newest_row = F.struct(*(latest_value(f"said.{quoted(name)}", name) for name in columns))
    else:
        newest_row = F.max_by("said", "at")
    return said.groupBy("key").agg(
        F.max("at").alias("at"),
        F.max(F.when(F.col("at").isNull(), F.col("sequence"))).alias("delete_sequence"),
        newest_row.alias("said"),
        F.sum("copies").alias("records"),
        F.sum(F.greatest(F.col("copies") - 1, F.lit(0))).alias("repeated"),
        F.greatest(F.count_if(F.col("copies") > 0) - 1, F.lit(0)).alias("superseded"),
    )


def has_truncate(found: DataFrame) -> bool:
    """Return whether there is a truncate among the newest changes. Runs a job."""
    return not found.where("key IS NULL").isEmpty()


def with_all_keys(found: DataFrame, table: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Add every other key of the table, with nothing said about it: a truncate concerns them all."""
    others = table.select(struct_of(keys).alias("key")).join(found.select("key"), "key", "left_anti")
    return found.unionByName(others, allowMissingColumns=True)


def match_target(table: DataFrame, found: DataFrame, keys: Sequence[str], partition_by: Sequence[str] = ()) -> DataFrame:
    """Find the rows of these keys, reading the table's key, partition and sequence columns only.

    Args:
        table: the table.
        found: the changes by key; broadcast it if it is small.
        keys: the key columns.
        partition_by: the partition columns.

    Returns:
        ``key``, ``before`` (the row's sequence), ``partition`` if there are partition columns, and ``columns_before`` if the
        feed has partial changes.
    """
    own = [struct_of(keys).alias("key"), F.col(SEQUENCE).alias("before")]
    own += [struct_of(partition_by).alias("partition")] if partition_by else []
    own += [F.col(COLUMN_SEQUENCES).alias("columns_before")] if COLUMN_SEQUENCES in table.columns else []
    return join_by_key(table, found, keys, "left_semi").select(*own)


def join_target_state(found: DataFrame, where: DataFrame, tombstones: DataFrame) -> DataFrame:
    """Put together what is known of each key: the changes, the row's sequences, its tombstone and the last truncate.

    Returns:
        One row a key, and ``needs_lookup``: whether the row itself has to be looked at to settle it.
    """
    truncated = F.max(F.when(F.col("key").isNull(), F.col("sequence"))).alias("truncated")
    ends = found.select("key", F.col("delete_sequence").alias("sequence")).unionByName(tombstones.select("key", "sequence"))
    deleted = tombstones.where(
        "key IS NOT NULL AND sequence IS NOT NULL AND NOT coalesce(moved, false)"
        if "moved" in tombstones.columns
        else "key IS NOT NULL"
    )
    if "moved" in tombstones.columns:
        latest = F.max("sequence").alias("sequence"), F.max_by("since", "sequence").alias("since")
        deleted = deleted.groupBy("key").agg(*latest)
    deleted = deleted.select("key", F.col("sequence").alias("tomb"), "since")
    facts = (
        found.join(where.withColumn("exists", F.lit(True)), "key", "left")
        .join(deleted, "key", "left")
        .crossJoin(F.broadcast(ends.agg(truncated)))
        .withColumn("exists", F.coalesce("exists", F.lit(False)))
        .withColumn("latest_delete_sequence", F.greatest("delete_sequence", "tomb", "truncated"))
    )
    newer = F.col("at.sequence") > F.col("before")
    if "columns_before" not in where.columns:
        return facts.withColumn("needs_lookup", F.col("exists") & F.col("at.sequence").eqNullSafe(F.col("before")))
    columns = found.select("said.*").columns
    whole = all_of(F.col(f"said.{quoted(name)}.path").eqNullSafe(F.array("at")) for name in columns)
    older = F.col("columns_before").isNull() & (F.greatest("at.sequence", "latest_delete_sequence") < F.col("before"))
    sure = F.coalesce(newer & whole, F.lit(False)) | F.coalesce(older, F.lit(False))
    return facts.withColumn("needs_lookup", F.col("exists") & ~sure)


def fetch_target_rows(table: DataFrame, facts: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Read the rows of the keys that need a lookup, whole: ``key`` and ``old``."""
    columns = [name for name in table.columns if name not in {SEQUENCE, COLUMN_SEQUENCES}]
    looked_up = join_by_key(table, facts.where("needs_lookup"), keys, "left_semi")
    return looked_up.select(struct_of(keys).alias("key"), struct_of(columns).alias("old"))


def resolve(facts: DataFrame, old: DataFrame | None, *, partial: bool) -> DataFrame:
    """Decide what becomes of each key.

    Args:
        facts: from :func:`join_target_state`.
        old: from :func:`fetch_target_rows`; None if no key needs a lookup.
        partial: whether the feed has partial changes.

    Returns:
        The facts, ``outcome`` (one of :data:`OUTCOMES`; NULL where nothing was said) and ``new``, the row of a key that is
        inserted or updated.
    """
    said = facts.schema["said"].dataType
    assert isinstance(said, StructType)
    row = StructType([StructField(field.name, value_type(field)) for field in said]) if partial else said
    known = facts.join(old, "key", "left") if old is not None else facts.withColumn("old", F.lit(None).cast(row))
    tie = tie_of_newest_change("columns_before") if partial else tie_breaker(F.col("old"))
    known = known.withColumn("was", F.when(F.col("exists"), F.struct(F.col("before").alias("sequence"), tie.alias("tie"))))
    at, deleted, was = F.col("at"), F.col("latest_delete_sequence"), F.col("was")
    alive = F.col("exists") & (deleted.isNull() | (was["sequence"] >= deleted))
    wins = at.isNotNull() & (deleted.isNull() | (at["sequence"] >= deleted)) & (was.isNull() | (at > was))
    known = known.withColumns({"alive": F.coalesce(alive, F.lit(False)), "wins": F.coalesce(wins, F.lit(False))})
    return resolve_columns(known, row) if partial else _resolve_rows(known)


def _resolve_rows(known: DataFrame) -> DataFrame:
    new = F.when(F.col("wins"), F.struct("said.*", F.col("at.sequence").alias(SEQUENCE)))
    return known.select("*", outcome_of(changed=F.lit(False)).alias("outcome"), new.alias("new"))


def apply_changes(table: DataFrame, done: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Return the table's rows after the merge.

    Args:
        table: the table, or those of its partitions that have or get rows of the keys that changed.
        done: from :func:`resolve`; broadcast it if it is small.
        keys: the key columns.
    """
    untouched = join_by_key(table, done.where("outcome IN ('updated', 'deleted')"), keys, "left_anti")
    return untouched.unionByName(done.where("new IS NOT NULL").select("new.*"))


def update_tombstones(tombstones: DataFrame, done: DataFrame, now: datetime, moves: Moves | None = None) -> DataFrame:
    """Return the tombstones after the merge: one for each deleted key, and one for the last truncate.

    Publish them before the rows. Then a run that dies in between leaves a table that knows of more deletes than it shows,
    never of fewer: no later run brings a deleted row back. For the same reason the tombstone of a key that gets a row again
    stays until a later merge finds that row in the table.

    Args:
        tombstones: as they were.
        done: from :func:`resolve`.
        now: the time of the merge, in UTC.
        moves: from :func:`carry_moves`, if the feed moves rows: then every delete and every move is remembered.
    """
    deleted = F.col("delete_sequence").alias("sequence")
    truncated = done.where("key IS NULL").select("key", deleted, timestamp_of(now).alias("since"))
    last_truncate = tombstones.where("key IS NULL").select("key", "sequence", "since").unionByName(truncated)
    last_truncate = last_truncate.groupBy("key").agg(F.max(F.struct("sequence", "since")).alias("last"))
    last_truncate = last_truncate.select("key", "last.*")
    if moves:
        every = moves.ends.withColumn("moved", F.lit(False))
        for others in (moves.begins.withColumn("moved", F.lit(True)), moves.overwritten, last_truncate):
            every = every.unionByName(others, allowMissingColumns=True) if others else every
        return every
    news = F.coalesce(F.col("delete_sequence") > F.col("tomb"), F.col("delete_sequence").isNotNull())
    since = F.when(news, timestamp_of(now)).otherwise(F.col("since"))
    dead = done.where("key IS NOT NULL AND NOT alive AND (delete_sequence IS NOT NULL OR tomb IS NOT NULL)")
    dead = dead.select("key", F.greatest("delete_sequence", "tomb").alias("sequence"), since.alias("since"))
    others = tombstones.where("key IS NOT NULL").join(done.select("key"), "key", "left_anti")
    return others.unionByName(dead).unionByName(last_truncate)


def counts(done: DataFrame) -> DataFrame:
    """Count the records by what became of them: ``records`` of each ``outcome``; together they are the records read.

    Beside :data:`OUTCOMES` there are ``superseded`` (a newer change of the same key came with it), ``repeated`` (the same
    change came before, or twice) and ``truncates``.
    """
    each = done.select(F.explode(tally()).alias("each")).select("each.*")
    return each.groupBy("outcome").agg(F.sum("records").alias("records"))


def tally() -> Column:
    """Tell of a settled key what became of its records: an array of ``outcome`` and ``records``; see :func:`counts`."""
    kind = F.when(F.col("key").isNull(), F.lit("truncates")).otherwise(F.col("outcome"))
    every = F.array(
        F.struct(kind.alias("outcome"), (F.col("records") - F.col("repeated") - F.col("superseded")).alias("records")),
        F.struct(F.lit("repeated").alias("outcome"), F.col("repeated").alias("records")),
        F.struct(F.lit("superseded").alias("outcome"), F.col("superseded").alias("records")),
    )
    return F.filter(every, lambda each: each["records"] > 0)
