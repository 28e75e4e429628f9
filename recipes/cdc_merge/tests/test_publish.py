"""Merged into published tables: only the partitions that changed are rewritten; killed anywhere, the same rows result."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gluewright_cdc_merge.job.publish import open_target
from gluewright_core import leases
from gluewright_core.errors import ConcurrentUpdateError
from gluewright_core.tables import ALL
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.sharing import in_turn, shared

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = "op string, key struct<id: int>, sequence struct<n: bigint>, row struct<id: int, name: string, day: string>"


def changes(spark, *given):
    rows = [(op, (key,), (n,), None if op == "delete" else (key, *values)) for op, key, n, *values in given]
    return spark.createDataFrame(rows, SCHEMA)


@pytest.fixture(params=in_turn(["parquet", "delta", "iceberg"]))
def target(request, spark, catalog, tmp_path):
    kind, whole_changes = request.param, changes(spark, ("upsert", 1, 1, "", ""))
    database = f"ice.{catalog.name}" if kind == "iceberg" else catalog.name
    location = "" if kind == "iceberg" else f"file://{tmp_path}/tables"

    def make(name="orders", partition_by=("day",), changes=None):
        schema = (changes or whole_changes).schema
        place = f"{location}/{name}" if location else ""
        return open_target(spark, f"{database}.{name}", schema, kind=kind, location=place, partition_by=partition_by)

    return make


def rows(target):
    return sorted((row["id"], row["name"], row["day"]) for row in target.table.read().collect())


FIRST = [
    ("upsert", 1, 10, "one", "mon"),
    ("upsert", 2, 11, "two", "mon"),
    ("upsert", 3, 12, "three", "tue"),
    ("upsert", 4, 13, "four", "wed"),
]
THEN = [
    ("upsert", 1, 20, "one moved", "tue"),
    ("delete", 3, 21),
    ("upsert", 2, 9, "too old", "mon"),
    ("upsert", 5, 22, "five", "tue"),
    ("delete", 6, 23),
]
LATE = [("upsert", 3, 20, "back", "tue"), ("upsert", 6, 5, "back", "mon")]
AFTER = [(1, "one moved", "tue"), (2, "two", "mon"), (4, "four", "wed"), (5, "five", "tue")]


def test_a_row_moves_with_its_partition_and_late_changes_change_nothing(spark, target):
    orders = target()
    assert orders.merge(changes(spark, *FIRST), run="run-1", now=NOW) == {"inserted": 4}
    counted = orders.merge(changes(spark, *THEN), run="run-2", now=NOW)
    assert counted == {"updated": 1, "deleted": 1, "stale": 1, "inserted": 1, "remembered": 1}
    assert rows(orders) == AFTER
    assert orders.merge(changes(spark, *THEN), run="run-3", now=NOW) == {"repeated": 2, "stale": 3}
    assert orders.merge(changes(spark, *LATE), run="run-4", now=NOW) == {"stale": 2}
    assert rows(orders) == AFTER


def test_partitions_that_no_change_touches_keep_their_files(spark, target):
    orders = target()
    orders.merge(changes(spark, *FIRST), run="run-1", now=NOW)
    before = files_of(orders, "mon", "wed")
    orders.merge(changes(spark, ("upsert", 3, 30, "newer", "tue")), run="run-2", now=NOW)
    assert files_of(orders, "mon", "wed") == before


def test_a_table_without_partitions_is_rewritten_when_something_changed(spark, target):
    orders = target(partition_by=())
    orders.merge(changes(spark, *FIRST), run="run-1", now=NOW)
    orders.merge(changes(spark, *THEN), run="run-2", now=NOW)
    assert rows(orders) == AFTER
    before = files_of(orders, "mon", "wed")
    orders.merge(changes(spark, *LATE), run="run-3", now=NOW)
    assert (rows(orders), files_of(orders, "mon", "wed")) == (AFTER, before)


def files_of(target, *days):
    rows = target.table.read().where(f"day IN {days}").selectExpr("input_file_name() AS file")
    return {row["file"] for row in rows.collect()}


def test_new_columns_of_the_feed_are_added_and_removed_ones_stay(spark, target):
    moving = SCHEMA + ", unset array<string>, moved boolean"
    given = [("upsert", (1,), (1,), (1, "one", "mon"), None, False), ("upsert", (2,), (2,), (2, "two", "mon"), None, False)]
    given += [("delete", (2,), (3,), None, None, False)]
    orders = target(changes=spark.createDataFrame(given, moving))
    orders.merge(spark.createDataFrame(given, moving), run="run-1", now=NOW)
    later = spark.createDataFrame(
        [("upsert", (1,), (4,), (1, "mon", 7), None, False), ("upsert", (3,), (3,), (3, "tue", 8), ["size"], True)],
        moving.replace("name: string, day: string", "day: string, size: int"),
    )
    orders = target(changes=later)
    orders.merge(later, run="run-2", now=NOW)
    got = sorted(row[:4] for row in orders.table.read().select("id", "name", "day", "size").collect())
    # Row 3 was row 2, of which nobody has said a size.
    assert got == [(1, "one", "mon", 7), (3, "two", "tue", None)]
    orders = target(changes=changes(spark, *FIRST))
    orders.merge(changes(spark, ("upsert", 1, 30, "uno", "mon")), run="run-3", now=NOW)
    got = sorted(row[:4] for row in orders.table.read().select("id", "name", "day", "size").collect())
    assert got == [(1, "uno", "mon", 7), (3, "two", "tue", None)]


def test_of_two_merges_at_once_one_is_refused_and_loses_nothing_when_run_again(spark, target, monkeypatch):
    orders, rival = target(), target()
    orders.merge(changes(spark, *FIRST), run="run-1", now=NOW)
    # The rival publishes between our reading and our publishing.
    real = type(orders.tombstones).begin
    turns = iter([lambda: rival.merge(changes(spark, ("upsert", 9, 40, "rival", "mon")), run="rival", now=NOW)])

    def begin_then_rival(table, run):
        found = real(table, run)
        if table is orders.tombstones and (turn := next(turns, None)):
            turn()
        return found

    monkeypatch.setattr(type(orders.tombstones), "begin", begin_then_rival)
    with pytest.raises(ConcurrentUpdateError):
        orders.merge(changes(spark, *THEN), run="run-2", now=NOW)
    orders.merge(changes(spark, *THEN), run="run-2", now=NOW)
    assert rows(orders) == sorted([*AFTER, (9, "rival", "mon")])


# Every effect of a publish is killed in the tests of the tables; what is new here is that two follow one another.
BETWEEN = {"spark.write", "spark.commit", "catalog.move"}


def test_killed_anywhere_and_run_again_the_same_rows_result(spark, target, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    names = (f"orders_{number}" for number in range(1000))
    runs = iter(range(1000))

    def make_world():
        orders = target(next(names))
        # What a merge would make of the first changes, without its time.
        given = [(key, *values, (n,)) for _, key, n, *values in FIRST]
        orders.table.publish(spark.createDataFrame(given, orders.table.spec.schema), run="run-1", replace=ALL)
        return orders

    def job(orders):
        # An attempt again is the same run on Glue and another one from a shell: by turns.
        orders.merge(changes(spark, *THEN), run=f"again-{next(runs) // 3}", now=NOW)

    def check(orders):
        assert rows(orders) == AFTER
        assert {row["key"]["id"] for row in orders.tombstones.read().collect()} == {3, 6}

    points = every_kill_point(make_world, job, check, at=lambda effect: effect.kind in BETWEEN)
    print(f"merge: {points} kill points")
    assert points >= len(shared(range(4)))
