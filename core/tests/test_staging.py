"""Rows staged, looked at, then published or discarded, for every kind of table; and the protocol of it, without Spark."""

from __future__ import annotations

import pytest

from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError, RowsOutsidePartitionsError, RunRepeatedError
from gluewright_core.tables import ALL, TOUCHED, TableSpec, open_table
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.interleavings import explore
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.memory import MemoryCatalog, MemoryStorage
from gluewright_testing.rows import rows
from gluewright_testing.sharing import in_turn, once, shared

SCHEMA = "id string, amount double, dt date"
BEFORE = [("1", 1.0, "2026-01-01"), ("2", 2.0, "2026-01-02")]
NEW = [("1", 10.0, "2026-01-01"), ("9", 90.0, "2026-01-01")]
OTHER = [("2", 20.0, "2026-01-02")]
DAY, NEXT_DAY, EMPTY_DAY = {"dt": "2026-01-01"}, {"dt": "2026-01-02"}, {"dt": "2026-01-03"}


@pytest.fixture(autouse=True)
def quick_plans(interpreted):
    """Most of the time of these tests would be the compiler's."""


@pytest.fixture(params=in_turn(["parquet", "delta", "iceberg", "folder"]))
def make(request, spark, catalog, tmp_path):
    def made(name="orders"):
        iceberg = request.param == "iceberg"
        full = catalog.iceberg_table(name) if iceberg else catalog.table(name)
        location = "" if iceberg else f"file://{tmp_path}/wh/{name}"
        schema = rows(spark, SCHEMA, []).schema
        return open_table(spark, TableSpec(full, schema, ("dt",), location), request.param)

    made.kind = request.param
    return made


def test_staged_rows_are_seen_by_nobody_until_they_are_published(spark, make):
    new, before = rows(spark, SCHEMA, NEW), rows(spark, SCHEMA, BEFORE)
    table = make()
    table.publish(before, run="before", replace=ALL)
    assert (table.staged("run"), table.published("run")) == (None, None)
    table.stage(new, run="run", replace=[DAY, EMPTY_DAY])
    assert_same_rows(make().read(), before)
    found = make().staged("run")
    assert (found.count, found.run) == (2, "run")
    assert dict(found.partitions) == {"dt=2026-01-01": "written", "dt=2026-01-03": "emptied"}
    assert_same_rows(found.rows, new)
    # What others publish elsewhere meanwhile stays.
    table.publish(rows(spark, SCHEMA, OTHER), run="other", replace=[NEXT_DAY])
    assert not found.publish().repeated
    assert_same_rows(make().read(), rows(spark, SCHEMA, [*NEW, *OTHER]))
    assert (make().staged("run"), make().published("run").rows) == (None, 2)
    assert found.publish().repeated
    assert table.publish(new, run="run", replace=[DAY]).repeated
    with pytest.raises(RunRepeatedError, match="run run has published"):
        table.stage(new, run="run", replace=[DAY])
    found.discard()
    assert_same_rows(make().read(), rows(spark, SCHEMA, [*NEW, *OTHER]))
    if make.kind != "folder":
        table.undo("run")
        assert table.published("run") is None
        assert_same_rows(table.read(), rows(spark, SCHEMA, [BEFORE[0], *OTHER]))


def test_staged_rows_are_refused_when_another_run_published_the_same_partitions(spark, make):
    new = rows(spark, SCHEMA, NEW)
    table = make()
    table.publish(rows(spark, SCHEMA, BEFORE), run="before", replace=ALL)
    began = table.begin("late")
    staged = table.stage(new, run="run", replace=[DAY])
    table.publish(rows(spark, SCHEMA, NEW[:1]), run="other", replace=[DAY])
    late = table.stage(new, run="late", replace=[DAY], began=began)
    for refused in (staged, late):
        with pytest.raises(ConcurrentUpdateError, match="run .*again"):
            refused.publish()
    assert_same_rows(table.read(), rows(spark, SCHEMA, [NEW[0], BEFORE[1]]))
    staged.discard()
    assert table.staged("run") is None
    with pytest.raises(ConcurrentUpdateError, match="stage it again"):
        staged.publish()
    again = table.stage(new, run="late", replace=TOUCHED)
    with pytest.raises(ConcurrentUpdateError, match="stage it again"):
        late.publish()
    assert dict(again.partitions) == {"dt=2026-01-01": "written"}
    assert_same_rows(again.rows, new)
    again.publish()
    assert_same_rows(table.read(), rows(spark, SCHEMA, [*NEW, BEFORE[1]]))


def test_a_whole_table_is_staged_also_before_it_exists(spark, make):
    table = make()
    with pytest.raises(RowsOutsidePartitionsError):
        table.stage(rows(spark, SCHEMA, NEW), run="run", replace=[NEXT_DAY]).publish()
    assert table.stage(rows(spark, SCHEMA, BEFORE), run="run", replace=ALL).publish().rows == 2
    staged = table.stage(rows(spark, SCHEMA, []), run="next", replace=ALL)
    assert (staged.count, staged.rows.count()) == (0, 0)
    staged.publish()
    assert_same_rows(table.read(), [])


@pytest.mark.usefixtures("short_leases")
def test_killed_anywhere_staging_and_publishing_end_in_the_same_rows(spark, make):
    names = (f"orders_{number}" for number in range(1000))
    before, new = rows(spark, SCHEMA, BEFORE), rows(spark, SCHEMA, NEW)
    after = sorted([*NEW, BEFORE[1]])

    def make_world():
        table = make(next(names))
        table.publish(before, run="before", replace=ALL)
        return table

    def job(table):
        if table.published("run"):
            return
        staged = table.staged("run") or table.stage(new, run="run", replace=[DAY])
        assert_same_rows(staged.rows, new)
        staged.publish()

    def seen(table):
        return sorted((row["id"], row["amount"], str(row["dt"])) for row in table.read().collect())

    def look(table):
        assert make.kind == "folder" or seen(table) in (after, sorted(BEFORE))

    def check(table):
        assert seen(table) == after
        assert table.staged("run") is None

    def told_apart(happening):
        # Files that are deleted one by one are all the same death; the lease's are in test_protocols.py.
        return "part-" not in happening.target and "lease.json" not in happening.target

    points = every_kill_point(make_world, job, check, look=look, at=told_apart)
    print(f"staging on {make.kind}: {points} kill points")
    assert points >= len(shared(range(6)))


class World:
    """A store, a catalog, and files that are only names."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.catalog = MemoryCatalog(batch=1)
        self.catalog.journal = self.storage.journal
        self.catalog.partitions[("x",)] = "old"
        self.files = {"old"}

    @property
    def journal(self):
        return self.storage.journal

    def fingerprint(self):
        return (self.storage.fingerprint(), self.catalog.fingerprint(), frozenset(self.files))

    def protocol(self) -> CommitProtocol:
        return CommitProtocol(self.catalog, "db.t", ["p"], self.storage, "t", patience=0)


@once(0)
def test_whatever_two_attempts_do_no_partition_points_to_files_that_were_discarded():
    def discard(world: World, prefix: str) -> None:
        if world.protocol().unstage("run", prefix):
            with effect("storage.delete", prefix):
                world.files.discard(prefix)

    def attempt(name: str):
        def writer(world: World) -> None:
            protocol = world.protocol()
            if protocol.record("run"):
                return
            if earlier := protocol.staged("run"):
                discard(world, earlier["prefix"])
            since = protocol.version()
            with effect("spark.write", name):
                world.files.add(name)
            protocol.stage("run", {"prefix": name})
            protocol.publish("run", {("x",): name}, since=since, rows=1, staged=name)

        return writer

    def whole(world: World) -> None:
        assert world.catalog.partitions[("x",)] in world.files

    def published_or_refused(world: World, outcome) -> None:
        whole(world)
        errors = [error for error in outcome.errors.values() if not isinstance(error, ConcurrentUpdateError)]
        assert not errors or all("killed" in str(error) for error in errors)
        if world.protocol().record("run"):
            assert world.catalog.partitions[("x",)] != "old"

    explored = explore(World, {"a": attempt("a"), "b": attempt("b")}, published_or_refused, look=whole, kills=1, most=1000)
    print(f"staging by two attempts, at random: {explored}")
