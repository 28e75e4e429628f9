# gluewright-cdc-merge 0.1.0 merge.py
# SPDX-License-Identifier: Apache-2.0
"""Merge change records into current state: the same table whatever the order, the batches and the repetitions.

This file can be copied alone into a job: it needs the standard library and PySpark 3.5 or newer.

**A change** is a row with these columns (`decode` of this package makes them from Debezium, DMS and plain feeds):

- ``op``: ``upsert``, ``delete`` or ``truncate``;
- ``key``: a struct of the key columns, NULL for a truncate;
- ``sequence``: a struct; of two changes the one with the greater sequence is later;
- ``row``: a struct of the table's columns, NULL where there is none to tell;
- ``unset``, if the feed has partial changes: the names of columns that the change says nothing about, NULL for none;
- ``record``, if some records are two changes: how many records the change counts as, 1 or 0;
- ``moved``, if its rows change keys in two parts, a delete and an upsert with one sequence: whether the upsert takes what it
  leaves out from the row that the delete ends. The feed has partial changes then.

**The table** has the columns of ``row`` and ``_sequence``, the sequence of the row's newest change; and if the feed has
partial changes ``_column_sequences``, a map that is NULL except for rows with columns older than the row.
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

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

SEQUENCE = "_sequence"
"""The table's column with the sequence of each row's newest change."""
COLUMN_SEQUENCES = "_column_sequences"
"""The table's column with the sequences of columns that are older than their row; only for feeds with partial changes."""

OUTCOMES = ("inserted", "updated", "deleted", "remembered", "stale", "repeated")
"""What becomes of a key. ``remembered``: a delete of a key that is not there. ``stale``: the table knew better already.
``repeated``: the table has the same change."""


def table_schema(changes: StructType) -> StructType:
    """Return the columns of the table that these changes are merged into."""
    row, sequence = changes["row"].dataType, changes["sequence"].dataType
    assert isinstance(row, StructType)
    own = [StructField(SEQUENCE, sequence, True, {"comment": "Sequence of the newest change of the row."})]
    if "unset" in changes.names:
        kind = MapType(StringType(), _path_type(sequence))
        own.append(StructField(COLUMN_SEQUENCES, kind, True, {"comment": "Sequences of columns older than the row."}))
    return StructType([*row.fields, *own])


def tombstone_schema(changes: StructType) -> StructType:
    """Return the columns of the tombstones that go with these changes."""
    row, sequence = changes["row"].dataType, changes["sequence"].dataType
    assert isinstance(row, StructType)
    own = [
        StructField("key", changes["key"].dataType, True, {"comment": "Of the deleted row; NULL for a truncate."}),
        StructField("sequence", sequence, True, {"comment": "Of the delete; NULL with a value that was overwritten."}),
        StructField("since", TimestampType(), True, {"comment": "When the delete was merged."}),
    ]
    if "moved" in changes.names:
        path = StructField("path", _path_type(sequence))
        last = [StructField(each.name, StructType([path, StructField("value", each.dataType)])) for each in row]
        own.append(StructField("last", StructType(last), True, {"comment": "What the deleted row was."}))
        own.append(StructField("moved", BooleanType(), True, {"comment": "No delete, but a row that a change moved here."}))
        own.append(StructField("unset", ArrayType(StringType()), True, {"comment": "What the moved row left out."}))
    return StructType(own)


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge, lazily.

    Attributes:
        rows: the table's new content.
        tombstones: their new content.
        settled: one row a key of the changes: its ``outcome``, its records, and its row.
    """

    rows: DataFrame
    tombstones: DataFrame
    settled: DataFrame


def merge(table: DataFrame, tombstones: DataFrame, changes: DataFrame, *, now: datetime) -> Merged:
    """Merge changes into a whole table.

    A job that rewrites only the partitions that changes touch takes the steps itself: :func:`newest`, :func:`located`,
    :func:`weighed`, :func:`recalled`, :func:`settled`, :func:`rewritten`, :func:`remembered`.

    Args:
        table: with the columns of :func:`table_schema`; empty at first. One row a key.
        tombstones: with the columns of :func:`tombstone_schema`; empty at first.
        changes: as the module says. No sequence may be NULL, and no key but a truncate's.
        now: the time of the merge, in UTC, for the retention of tombstones.

    Returns:
        The new table and tombstones. To find out whether there is a truncate the changes are read once at once. Of a feed
        that moves rows, what is carried from key to key is computed at once too.
    """
    keys, partial, moves = key_columns(changes.schema), "unset" in changes.columns, None
    if "moved" in changes.columns:
        names = left_out(changes, tombstones)
        moves = moved(changes, tombstones, ending(table, endangered(changes, names), keys), names, now)
    found = newest(changes, moves)
    if truncates(found):
        found = with_all_keys(found, table, keys)
    facts = weighed(found, located(table, found, keys), tombstones)
    done = settled(facts, recalled(table, facts, keys), partial=partial)
    return Merged(rewritten(table, done, keys), remembered(tombstones, done, now, moves), done)


def newest(changes: DataFrame, moves: Moves | None = None) -> DataFrame:
    """Reduce changes to one row a key: what the newest of them say.

    Args:
        changes: the changes.
        moves: from :func:`moved`, if the feed moves rows.

    Returns:
        ``key``; ``at``, sequence and tie of the newest upsert; ``gone``, sequence of the newest delete; ``said``, the newest
        row, or of partial changes for each column its newest value and the path of the change that said it; ``records``,
        ``repeated`` (records that are the same as another), ``superseded`` (others that are older than the newest).
        Truncates are the row without a key.
    """
    said, columns = _said(changes), changes.schema["row"].dataType.names  # type: ignore[attr-defined]
    if moves and moves.carried:
        said = said.unionByName(moves.carried, allowMissingColumns=True)
    if "unset" in changes.columns:
        newest_row = F.struct(*(_newest(f"said.{_quoted(name)}", name) for name in columns))
    else:
        newest_row = F.max_by("said", "at")
    return said.groupBy("key").agg(
        F.max("at").alias("at"),
        F.max(F.when(F.col("at").isNull(), F.col("sequence"))).alias("gone"),
        newest_row.alias("said"),
        F.sum("copies").alias("records"),
        F.sum(F.greatest(F.col("copies") - 1, F.lit(0))).alias("repeated"),
        F.greatest(F.count_if(F.col("copies") > 0) - 1, F.lit(0)).alias("superseded"),
    )


def truncates(found: DataFrame) -> bool:
    """Tell whether there is a truncate among the newest changes. Runs a job."""
    return not found.where("key IS NULL").isEmpty()


def with_all_keys(found: DataFrame, table: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Add every other key of the table, with nothing said about it: a truncate concerns them all."""
    others = table.select(_struct(keys).alias("key")).join(found.select("key"), "key", "left_anti")
    return found.unionByName(others, allowMissingColumns=True)


def located(table: DataFrame, found: DataFrame, keys: Sequence[str], partition_by: Sequence[str] = ()) -> DataFrame:
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
    own = [_struct(keys).alias("key"), F.col(SEQUENCE).alias("before")]
    own += [_struct(partition_by).alias("partition")] if partition_by else []
    own += [F.col(COLUMN_SEQUENCES).alias("columns_before")] if COLUMN_SEQUENCES in table.columns else []
    return _of_keys(table, found, keys, "left_semi").select(*own)


def weighed(found: DataFrame, where: DataFrame, tombstones: DataFrame) -> DataFrame:
    """Put together what is known of each key: the changes, the row's sequences, its tombstone and the last truncate.

    Returns:
        One row a key, and ``doubtful``: whether the row itself has to be looked at to settle it.
    """
    truncated = F.max(F.when(F.col("key").isNull(), F.col("sequence"))).alias("truncated")
    ends = found.select("key", F.col("gone").alias("sequence")).unionByName(tombstones.select("key", "sequence"))
    buried = tombstones.where(
        "key IS NOT NULL AND sequence IS NOT NULL AND NOT coalesce(moved, false)"
        if "moved" in tombstones.columns
        else "key IS NOT NULL"
    )
    if "moved" in tombstones.columns:
        buried = buried.groupBy("key").agg(F.max("sequence").alias("sequence"), F.max_by("since", "sequence").alias("since"))
    buried = buried.select("key", F.col("sequence").alias("tomb"), "since")
    facts = (
        found.join(where.withColumn("there", F.lit(True)), "key", "left")
        .join(buried, "key", "left")
        .crossJoin(F.broadcast(ends.agg(truncated)))
        .withColumn("there", F.coalesce("there", F.lit(False)))
        .withColumn("died", F.greatest("gone", "tomb", "truncated"))
    )
    newer = F.col("at.sequence") > F.col("before")
    if "columns_before" not in where.columns:
        return facts.withColumn("doubtful", F.col("there") & F.col("at.sequence").eqNullSafe(F.col("before")))
    columns = found.select("said.*").columns
    whole = _every(F.col(f"said.{_quoted(name)}.path").eqNullSafe(F.array("at")) for name in columns)
    older = F.col("columns_before").isNull() & (F.greatest("at.sequence", "died") < F.col("before"))
    sure = F.coalesce(newer & whole, F.lit(False)) | F.coalesce(older, F.lit(False))
    return facts.withColumn("doubtful", F.col("there") & ~sure)


def recalled(table: DataFrame, facts: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Read the rows of the keys that are doubtful, whole: ``key`` and ``old``."""
    columns = [name for name in table.columns if name not in {SEQUENCE, COLUMN_SEQUENCES}]
    doubtful = _of_keys(table, facts.where("doubtful"), keys, "left_semi")
    return doubtful.select(_struct(keys).alias("key"), _struct(columns).alias("old"))


def settled(facts: DataFrame, old: DataFrame | None, *, partial: bool) -> DataFrame:
    """Decide what becomes of each key.

    Args:
        facts: from :func:`weighed`.
        old: from :func:`recalled`; None if no key is doubtful.
        partial: whether the feed has partial changes.

    Returns:
        The facts, ``outcome`` (one of :data:`OUTCOMES`; NULL where nothing was said) and ``new``, the row of a key that is
        inserted or updated.
    """
    said = facts.schema["said"].dataType
    assert isinstance(said, StructType)
    row = StructType([StructField(field.name, _value_type(field)) for field in said]) if partial else said
    known = facts.join(old, "key", "left") if old is not None else facts.withColumn("old", F.lit(None).cast(row))
    tie = _own_tie("columns_before") if partial else _tie(F.col("old"))
    known = known.withColumn("was", F.when(F.col("there"), F.struct(F.col("before").alias("sequence"), tie.alias("tie"))))
    at, died, was = F.col("at"), F.col("died"), F.col("was")
    alive = F.col("there") & (died.isNull() | (was["sequence"] >= died))
    wins = at.isNotNull() & (died.isNull() | (at["sequence"] >= died)) & (was.isNull() | (at > was))
    known = known.withColumns({"alive": F.coalesce(alive, F.lit(False)), "wins": F.coalesce(wins, F.lit(False))})
    return _settled_by_column(known, row) if partial else _settled_by_row(known)


def _settled_by_row(known: DataFrame) -> DataFrame:
    new = F.when(F.col("wins"), F.struct("said.*", F.col("at.sequence").alias(SEQUENCE)))
    return known.select("*", _outcome(changed=F.lit(False)).alias("outcome"), new.alias("new"))


def _settled_by_column(known: DataFrame, row: StructType) -> DataFrame:
    """Settle column by column: each has the value of its newest change, if no delete is newer."""
    said = known.schema["said"].dataType
    assert isinstance(said, StructType)
    columns = [_column_settled(name, said[name].dataType) for name in row.names]
    known = known.select("*", F.struct(*columns).alias("columns"))
    each = [F.col(f"columns.{_quoted(name)}") for name in row.names]
    changed = F.col("alive") & ~_every(column["path"].eqNullSafe(column["before"]) for column in each)
    newest_change = F.array(F.when(F.col("wins"), F.col("at")).otherwise(F.col("was")))
    paths = F.map_from_arrays(F.array(*map(F.lit, row.names)), F.array(*(column["path"] for column in each)))
    older = F.map_filter(paths, lambda _, path: ~path.eqNullSafe(newest_change))
    # The newest change's own tie cannot be found again from a row that others have written to.
    remembered = F.when(F.size(older) > 0, F.map_concat(older, F.create_map(F.lit(""), newest_change)))
    new = F.struct(
        *(column["value"].alias(name) for name, column in zip(row.names, each, strict=True)),
        newest_change[0]["sequence"].alias(SEQUENCE),
        remembered.alias(COLUMN_SEQUENCES),
    )
    known = known.select("*", F.coalesce(changed, F.lit(False)).alias("changed"), new.alias("became"))
    new = F.when(F.col("wins") | F.col("changed"), F.col("became"))
    settled = known.select("*", _outcome(F.col("changed")).alias("outcome"), new.alias("new"))
    return settled.drop("columns", "became", "changed")


def _column_settled(name: str, kind: DataType) -> Column:
    """Settle one column: ``before`` and ``path``, from which change its value was and is, and the ``value``."""
    assert isinstance(kind, StructType)
    quoted = _quoted(name)
    mine = F.col(f"said.{quoted}")
    own = F.when(F.map_contains_key("columns_before", name), F.try_element_at("columns_before", F.lit(name)))
    before = F.when(F.col("alive"), F.coalesce(own, F.array("was")))
    best = F.greatest(before, mine["path"])
    # An empty path is of a column about which nothing was ever said: older than every delete.
    outlived = F.coalesce(F.get(best, F.lit(0))["sequence"] < F.col("died"), F.col("died").isNotNull())
    path = F.when(best.isNotNull() & ~outlived, best).when(F.col("died").isNotNull(), _place("died"))
    path = F.coalesce(path, F.array().cast(kind["path"].dataType))
    news = mine["path"].isNotNull() & F.coalesce(mine["path"] > before, F.lit(True))
    value = F.when(best.isNotNull() & ~outlived, F.when(news, mine["value"]).otherwise(F.col(f"old.{quoted}")))
    return F.struct(before.alias("before"), path.alias("path"), value.alias("value")).alias(name)


def _outcome(changed: Column) -> Column:
    """Say what becomes of a key; NULL where no change speaks of it and it stays as it is."""
    spoken, there, alive = F.col("records").isNotNull(), F.col("there"), F.col("alive")
    news = F.col("gone").isNotNull() & F.coalesce(F.col("gone") > F.greatest("tomb", "truncated"), F.lit(True))
    return (
        F.when(F.col("key").isNull(), F.lit(None))
        .when(F.col("wins"), F.when(there, "updated").otherwise("inserted"))
        .when(alive & changed, "updated")
        .when(there & ~alive, "deleted")
        .when(alive & F.col("at").eqNullSafe(F.col("was")), "repeated")
        .when(news & ~there, "remembered")
        .when(spoken, "stale")
    )


def rewritten(table: DataFrame, done: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Return the table's rows after the merge.

    Args:
        table: the table, or those of its partitions that have or get rows of the keys that changed.
        done: from :func:`settled`; broadcast it if it is small.
        keys: the key columns.
    """
    untouched = _of_keys(table, done.where("outcome IN ('updated', 'deleted')"), keys, "left_anti")
    return untouched.unionByName(done.where("new IS NOT NULL").select("new.*"))


def remembered(tombstones: DataFrame, done: DataFrame, now: datetime, moves: Moves | None = None) -> DataFrame:
    """Return the tombstones after the merge: one for each deleted key, and one for the last truncate.

    Publish them before the rows. Then a run that dies in between leaves a table that knows of more deletes than it shows,
    never of fewer: no later run brings a deleted row back. For the same reason the tombstone of a key that gets a row again
    stays until a later merge finds that row in the table.

    Args:
        tombstones: as they were.
        done: from :func:`settled`.
        now: the time of the merge, in UTC.
        moves: from :func:`moved`, if the feed moves rows: then every delete and every move is remembered.
    """
    truncated = done.where("key IS NULL").select("key", F.col("gone").alias("sequence"), _moment(now).alias("since"))
    truncates = tombstones.where("key IS NULL").select("key", "sequence", "since").unionByName(truncated)
    truncates = truncates.groupBy("key").agg(F.max(F.struct("sequence", "since")).alias("last")).select("key", "last.*")
    if moves:
        every = moves.ends.withColumn("moved", F.lit(False))
        for others in (moves.begins.withColumn("moved", F.lit(True)), moves.overwritten, truncates):
            every = every.unionByName(others, allowMissingColumns=True) if others else every
        return every
    news = F.coalesce(F.col("gone") > F.col("tomb"), F.col("gone").isNotNull())
    since = F.when(news, _moment(now)).otherwise(F.col("since"))
    dead = done.where("key IS NOT NULL AND NOT alive AND (gone IS NOT NULL OR tomb IS NOT NULL)")
    dead = dead.select("key", F.greatest("gone", "tomb").alias("sequence"), since.alias("since"))
    others = tombstones.where("key IS NOT NULL").join(done.select("key"), "key", "left_anti")
    return others.unionByName(dead).unionByName(truncates)


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


@dataclass(frozen=True)
class Moves:
    """What the moves of a feed need; :func:`moved` makes it.

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


def left_out(changes: DataFrame, tombstones: DataFrame) -> list[str]:
    """Name the columns that moved rows leave out, as far as is remembered. Runs a job."""
    moves = _moves(changes).select("unset").unionByName(_moves(tombstones).select("unset"))
    return sorted(row["name"] for row in moves.select(F.explode("unset").alias("name")).distinct().collect())


def endangered(changes: DataFrame, names: Sequence[str]) -> DataFrame:
    """Give the keys of rows that changes delete and, where moved rows leave columns out, overwrite."""
    return changes.where("key IS NOT NULL" if names else "op = 'delete'").select("key").distinct()


def ending(table: DataFrame, of: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Read the rows of these keys, whole: ``key``, and ``said`` in the way of :func:`newest`."""
    columns = [name for name in table.columns if name not in {SEQUENCE, COLUMN_SEQUENCES}]
    rows = _of_keys(table, of, keys, "left_semi")
    rows = rows.select(_struct(keys).alias("key"), _struct(columns).alias("old"), SEQUENCE, COLUMN_SEQUENCES)
    was = F.array(F.struct(F.col(SEQUENCE).alias("sequence"), _own_tie(COLUMN_SEQUENCES).alias("tie")))
    return rows.select("key", F.struct(*(_remembered_saying(name, was) for name in columns)).alias("said"))


def moved(changes: DataFrame, tombstones: DataFrame, rows: DataFrame, names: Sequence[str], now: datetime) -> Moves:
    """Find what each deleted row was, and carry it to the key that a move gave it.

    A move's two parts, and changes that are older than it, may come in any order and in other merges. So what each deleted
    row was is remembered with its tombstone and made anew from all that is known of it, as are the moved rows; move by move
    where a row was moved several times. The old key may be in use again before the delete comes: for this the values that
    have been overwritten are remembered, of the columns that moved rows leave out.

    Args:
        changes: with ``moved``.
        tombstones: as they were.
        rows: from :func:`ending`, of the keys that are :func:`endangered`.
        names: from :func:`left_out`.
        now: the time of the merge, in UTC.
    """
    moment = _moment(now)
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
    said = _said(changes).where("at IS NOT NULL").select("key", "said").unionByName(rows)
    if not names:
        return Moves(kept(_ended(ends, said, truncated)), begins)
    begins = kept(begins)
    said = kept(said.unionByName(known.select("key", F.col("last").alias("said")), allowMissingColumns=True))
    every, before = said, None
    while True:
        found = kept(_ended(ends, every, truncated))
        carried = kept(_carried(begins, found, key_columns(changes.schema)))
        every = said.unionByName(carried.select("key", "said"))
        paths = [F.col(f"said.{_quoted(name)}.path") for name in carried.select("said.*").columns]
        after = carried.agg(F.count(F.lit(1)), F.bit_xor(F.xxhash64("key", *paths))).first()
        if after == before or not after[0]:  # type: ignore[index]
            overwritten = kept(_overwritten(every, known.where("sequence IS NULL"), names, moment))
            return Moves(found, begins, overwritten, carried)
        before = after


def _moves(known: DataFrame) -> DataFrame:
    """Give the changes or tombstones of moved rows that leave columns out; others have nothing from their old key."""
    return known.where("moved AND size(unset) > 0")


def _overwritten(said: DataFrame, known: DataFrame, names: Sequence[str], moment: Column) -> DataFrame:
    """Give the values of these columns that are not the newest of their key, with those that are known, a row each."""
    columns = said.select("said.*").schema

    def alone(name: str) -> Column:
        """Give what is said of one column, and nothing of the others."""
        others = (
            F.col(f"said.{_quoted(each.name)}") if each.name == name else F.lit(None).cast(each.dataType).alias(each.name)
            for each in columns
        )
        return F.struct(F.lit(name).alias("name"), F.col(f"said.{_quoted(name)}.path"), F.struct(*others).alias("last"))

    said = said.unionByName(known.select("key", F.col("last").alias("said"), "since"), allowMissingColumns=True)
    each = said.select("key", "since", F.explode(F.array(*map(alone, names))).alias("each")).select("key", "since", "each.*")
    values = each.where("path IS NOT NULL").groupBy("key", "name", "path")
    distinct = values.agg(F.first("last").alias("last"), F.min("since").alias("since"))
    newest = F.max("path").over(Window.partitionBy("key", "name"))
    # What a row has from its old key is found again with the move, and what a delete took away with the delete.
    old = "path < newest AND size(path) = 1 AND get(path, 0).tie IS NOT NULL"
    found = distinct.withColumn("newest", newest).where(f"since IS NOT NULL OR ({old})")
    return found.select("key", F.coalesce("since", moment).alias("since"), "last")


def _ended(ends: DataFrame, said: DataFrame, truncated: DataFrame) -> DataFrame:
    """Make anew what each deleted row was: of each column the newest value before the delete, if none was deleted since."""
    other = ends.select("key", F.col("last").alias("said"), F.col("sequence").alias("other"))
    known = said.unionByName(other, allowMissingColumns=True)
    known = ends.withColumnRenamed("last", "own").join(known, "key", "left").crossJoin(F.broadcast(truncated))
    earlier = F.array_max(F.filter("truncated", lambda truncate: truncate < F.col("sequence")))
    died = F.greatest(F.when(F.col("other") < F.col("sequence"), F.col("other")), earlier)
    columns = known.select("said.*").columns
    last = F.struct(*(_newest(f"said.{_quoted(name)}", name, before=F.col("sequence")) for name in columns))
    found = known.groupBy("key", "sequence", "since").agg(F.max(died).alias("died"), last.alias("last"))
    return found.select("key", "sequence", "since", F.struct(*map(_unless_buried, columns)).alias("last"))


def _unless_buried(name: str) -> Column:
    last = F.col(f"last.{_quoted(name)}")
    outlived = F.col("died").isNotNull() & (F.get(last["path"], F.lit(0))["sequence"] < F.col("died"))
    alive = last["path"].isNotNull() & ~outlived
    path = F.when(alive, last["path"]).when(F.col("died").isNotNull(), _place("died"))
    return F.struct(path.alias("path"), F.when(alive, last["value"]).alias("value")).alias(name)


def _carried(begins: DataFrame, ends: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Give to each move what the row was that its sequence ended, as a change of the new key."""
    both = begins.join(ends.select("sequence", "last", F.col("key").alias("old_key")), "sequence").where("key <> old_key")
    place = _place("sequence")

    def carried(name: str) -> Column:
        if name in keys:
            return F.struct(place.alias("path"), F.col(f"key.{_quoted(name)}").alias("value")).alias(name)
        last = F.col(f"last.{_quoted(name)}")
        path = F.when(last["path"].isNotNull(), F.concat(place, last["path"]))
        return F.struct(path.alias("path"), last["value"].alias("value")).alias(name)

    said = F.struct(*map(carried, both.select("last.*").columns))
    return both.select("key", "sequence", place[0].alias("at"), said.alias("said"))


def kept(frame: DataFrame) -> DataFrame:
    """Keep a DataFrame that is used more than once, without the plan that made it.

    If it were persisted it would stand on the tables that it was made from: Spark plans and computes such a frame again when
    Delta or Iceberg commit to one of them, and tombstones are published in the middle of a merge. What is kept so is lost
    with its executor; the run fails then, and is run again.

    Args:
        frame: is computed when the first action uses it.
    """
    return frame.localCheckpoint(eager=False)


def key_columns(changes: StructType) -> list[str]:
    """Return the names of the key columns."""
    key = changes["key"].dataType
    assert isinstance(key, StructType)
    return key.names


def _said(changes: DataFrame) -> DataFrame:
    """Reduce equal changes to one: ``key``, ``sequence``, ``at`` (of an upsert), ``said``, ``copies``."""
    partial = "unset" in changes.columns
    unset = F.col("unset") if partial else F.lit(None).cast("array<string>")
    at = F.when(F.col("op") == "upsert", F.struct("sequence", _tie(F.col("row")).alias("tie")))
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
        value = F.col(f"row.{_quoted(name)}").alias("value")
        return F.struct(F.when(says, F.array("at")).alias("path"), value).alias(name)

    columns = changes.schema["row"].dataType.names  # type: ignore[attr-defined]
    said = F.struct(*map(saying, columns)) if partial else F.col("row")
    return distinct.select("key", "sequence", "at", said.alias("said"), "copies")


def _newest(saying: str, name: str, before: Column | None = None) -> Column:
    """Aggregate what was said of a column to the newest, perhaps of what was said before a sequence."""
    path = F.col(f"{saying}.path")
    if before is not None:
        path = F.when(F.get(path, F.lit(0))["sequence"] < before, path)
    return F.struct(F.max(path).alias("path"), F.max_by(f"{saying}.value", path).alias("value")).alias(name)


def _remembered_saying(name: str, was: Column) -> Column:
    """Give a table's value in the way of what changes say; ``was`` is the place of the row's newest change."""
    own = F.when(F.map_contains_key(COLUMN_SEQUENCES, name), F.try_element_at(COLUMN_SEQUENCES, F.lit(name)))
    return F.struct(F.coalesce(own, was).alias("path"), F.col(f"old.{_quoted(name)}").alias("value")).alias(name)


def _own_tie(column_sequences: str) -> Column:
    """Give the tie of a row's newest change: remembered, where others have written to the row; else the row's own."""
    return F.coalesce(F.get(F.try_element_at(column_sequences, F.lit("")), 0)["tie"], _tie(F.col("old")))


def _place(sequence: str) -> Column:
    """Give the path of something that is no upsert itself, before all upserts of the same sequence."""
    return F.array(F.struct(F.col(sequence).alias("sequence"), F.lit(None).cast("long").alias("tie")))


def _moment(now: datetime) -> Column:
    return F.lit(now.astimezone(UTC).replace(tzinfo=None)).cast("timestamp")


def _of_keys(table: DataFrame, named: DataFrame, keys: Sequence[str], how: str) -> DataFrame:
    """Join a table with keys, column by column: Spark joins single numbers faster than structs."""
    parts = (F.col(f"key.{_quoted(name)}").alias(f"__key_{number}") for number, name in enumerate(keys))
    wanted = named.where("key IS NOT NULL").select(*parts)
    on = [F.col(_quoted(name)) == F.col(f"__key_{number}") for number, name in enumerate(keys)]
    return table.join(wanted, on, how)


def _tie(row: Column) -> Column:
    return F.when(row.isNotNull(), F.xxhash64(F.to_json(row)))


def _path_type(sequence: DataType) -> ArrayType:
    return ArrayType(StructType([StructField("sequence", sequence), StructField("tie", LongType())]))


def _value_type(said: StructField) -> DataType:
    kind = said.dataType
    assert isinstance(kind, StructType)
    return kind["value"].dataType


def _struct(names: Sequence[str]) -> Column:
    return F.struct(*(F.col(_quoted(name)) for name in names))


def _every(conditions: Iterable[Column]) -> Column:
    return functools.reduce(Column.__and__, conditions)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
