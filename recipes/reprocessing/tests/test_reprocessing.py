"""Partitions redone on real tables: the others stay as they are, failures stay behind, and a dead run is gone on with."""

from __future__ import annotations

import pytest

from gluewright_core.errors import ConcurrentUpdateError
from gluewright_core.storage import open_storage
from gluewright_core.tables import ALL, TableSpec, open_table
from gluewright_reprocessing import Checks
from gluewright_reprocessing.job.reprocessing import InvalidReprocessingError, ReprocessingFailedError, open_reprocessing
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows
from gluewright_testing.sharing import in_turn, shared

pytestmark = pytest.mark.usefixtures("interpreted")

SCHEMA = "id int, amount double, dt date"
BEFORE = [(1, 1.0, "2013-02-01"), (2, 2.0, "2013-02-02"), (3, 3.0, "2013-02-03"), (4, 4.0, "2013-02-03")]
MENDED = [(1, 10.0, "2013-02-01"), (3, 30.0, "2013-02-03"), (5, 5.0, "2013-02-03")]
FIRST, SECOND, THIRD = ({"dt": f"2013-02-0{day}"} for day in (1, 2, 3))


def make(spark, name, tmp_path, kind="parquet", root=""):
    schema = rows(spark, SCHEMA, []).schema
    location = "" if kind == "iceberg" else f"{root or f'file://{tmp_path}/wh'}/{name.split('.')[-1]}"
    spec = TableSpec(name, schema, ("dt",), location)
    table = open_table(spark, spec, kind)
    table.publish(rows(spark, SCHEMA, BEFORE), run="before", replace=ALL)
    return table


def mended(spark, values=MENDED):
    """Compute a partition's rows from a source that has all of them."""
    source = rows(spark, SCHEMA, values)
    return lambda partition, old: source.where(source["dt"] == partition["dt"])


@pytest.mark.parametrize("place", in_turn(["parquet", "delta", "iceberg", "parquet on s3"]))
def test_partitions_are_redone_approved_and_undone(request, spark, catalog, tmp_path, place):
    kind, _, on_s3 = place.partition(" on ")
    root = f"s3://{request.getfixturevalue('s3_server').bucket('lake')}/wh" if on_s3 else f"{tmp_path}/wh"
    name = catalog.iceberg_table("orders") if kind == "iceberg" else catalog.table("orders")
    table = make(spark, name, tmp_path, kind, root if on_s3 else "")
    redo = open_reprocessing(table, mended(spark), state=root, checks=Checks(key=["id"]), compare_by=["id"], ignore=["dt"])
    # The second day has no rows in the source: it becomes empty. The first is not asked for.
    report = redo.run([SECOND, THIRD], run="again", concurrency=2, require_approval=True)
    assert report.states() == {"audited": 2}
    assert_same_rows(table.read(), rows(spark, SCHEMA, BEFORE))
    third = report.entries[1]
    assert (third.before, third.rows, third.attempts) == (2, 2, 1)
    assert (third.changes["added"], third.changes["removed"], third.changes["columns"]) == (1, 1, {"amount": 1})
    # A daily job on another partition is safe meanwhile.
    daily = rows(spark, SCHEMA, [(9, 9.0, "2013-02-09")])
    table.publish(daily, run="daily", replace=[{"dt": "2013-02-09"}])
    report = redo.approve("again").require()
    assert report.states() == {"published": 2}
    assert_same_rows(table.read(), rows(spark, SCHEMA, [BEFORE[0], *MENDED[1:], (9, 9.0, "2013-02-09")]))
    with pytest.raises(InvalidReprocessingError, match="nothing of run again waits"):
        redo.approve("again")
    assert redo.run(run="again").entries == report.entries
    assert redo.undo("again").states() == {"undone": 2}
    assert_same_rows(table.read(), rows(spark, SCHEMA, [*BEFORE, (9, 9.0, "2013-02-09")]))


def test_what_fails_keeps_its_old_rows_and_is_retried_alone(spark, catalog, tmp_path):
    table = make(spark, catalog.table("orders"), tmp_path)
    broken = [*MENDED, (5, 6.0, "2013-02-03")]

    def compute(partition, old):
        if str(partition["dt"]) == "2013-02-02":
            raise ValueError("the value of a row")
        return mended(spark, broken)(partition, old)

    redo = open_reprocessing(table, compute, checks=Checks(key=["id"]))
    report = redo.run([FIRST, SECOND, THIRD], run="again")
    assert [entry.state for entry in report.entries] == ["published", "failed", "failed"]
    assert_same_rows(table.read(), rows(spark, SCHEMA, [MENDED[0], *BEFORE[1:]]))
    with pytest.raises(
        ReprocessingFailedError, match=r"2 of 3 partitions .*dt=2013-02-02: ValueError; .*\(id\) is not unique"
    ) as told:
        report.require()
    assert "the value" not in str(told.value)
    left = [found.key for found in open_storage(f"{tmp_path}/wh").list_objects("gluewright-runs/orders/again")]
    assert {key.split("/")[3] for key in left} == {"dt=2013-02-01"}, "what failed leaves no files"
    # Again it does nothing, and still fails: an orchestrator's next attempt must not hide it.
    assert redo.run([FIRST, SECOND, THIRD], run="again").entries == report.entries
    report = open_reprocessing(table, mended(spark)).retry("again").require()
    assert [entry.attempts for entry in report.entries] == [1, 2, 2]
    assert_same_rows(table.read(), rows(spark, SCHEMA, MENDED))
    print(report)


def test_a_partition_that_another_job_published_meanwhile_is_refused(spark, catalog, tmp_path):
    table = make(spark, catalog.table("orders"), tmp_path)
    daily = rows(spark, SCHEMA, [(7, 7.0, "2013-02-01")])

    def compute(partition, old):
        table.publish(daily, run="daily", replace=[FIRST])
        return mended(spark)(partition, old)

    report = open_reprocessing(table, compute).run([FIRST], run="again")
    assert "daily published dt=2013-02-01" in report.entries[0].problems[0]
    assert_same_rows(table.read().where("dt = '2013-02-01'"), daily)
    redo = open_reprocessing(table, mended(spark))
    redo.retry("again").require()
    table.publish(daily, run="daily-2", replace=[FIRST])
    with pytest.raises(ConcurrentUpdateError, match="undo the later change first"):
        redo.undo("again")
    assert redo.show("again").states() == {"published": 1}


def test_unchanged_inputs_are_skipped_gaps_found_and_a_preview_changes_nothing(spark, catalog, tmp_path):
    table = make(spark, catalog.table("orders"), tmp_path)
    raw = open_storage(f"{tmp_path}/raw")
    for day in (1, 2, 3):
        raw.write(f"dt=2013-02-0{day}/rows.json", b"one")

    def opened(code="v1"):
        inputs = lambda partition: [f"{tmp_path}/raw/dt={partition['dt']}/"]  # noqa: E731
        return open_reprocessing(table, mended(spark), inputs=inputs, code=code)

    everything = [FIRST, SECOND, THIRD]
    assert opened().run([FIRST, SECOND], run="one").states() == {"published": 2}
    raw.write("dt=2013-02-01/rows.json", b"other")
    seen = opened().preview(everything)
    assert [(each.skipped, each.bytes, each.rows) for each in seen] == [(False, 5, 1), (True, 3, 0), (False, 3, None)]
    report = opened().run(everything, run="two")
    assert [entry.state for entry in report.entries] == ["published", "skipped", "published"]
    assert opened().run(everything, run="three").states() == {"skipped": 3}
    assert [each.skipped for each in opened("v2").preview(everything)] == [False] * 3
    # The second day is empty because it was published so; nobody has published the fourth.
    assert opened().gaps([*everything, {"dt": "2013-02-04"}]) == [{"dt": "2013-02-04"}]
    assert opened().ledger.runs() == ["one", "two", "three"]


def test_what_cannot_be_done_is_refused_before_anything_happens(spark, catalog, tmp_path):
    table = make(spark, catalog.table("orders"), tmp_path)
    redo = open_reprocessing(table, mended(spark))
    with pytest.raises(InvalidReprocessingError, match=r"has \['day'\]; the partition columns are \['dt'\]"):
        redo.run([{"day": "x"}], run="r")
    with pytest.raises(InvalidReprocessingError, match="run r is not known"):
        redo.run(run="r")
    with pytest.raises(InvalidReprocessingError, match="run r is not known"):
        redo.retry("r")
    spec = TableSpec(catalog.table("nowhere"), table.spec.schema, ("dt",), f"file://{tmp_path}/wh/nowhere")
    with pytest.raises(InvalidReprocessingError, match="nowhere is not there"):
        open_reprocessing(open_table(spark, spec), mended(spark)).run([FIRST], run="r")


def test_killed_anywhere_and_run_again_every_partition_is_redone_once(spark, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr("gluewright_core.leases.LEASE_SECONDS", 0.5)
    names = (f"orders_{number}" for number in range(1000))
    after = sorted([MENDED[0], BEFORE[1], *MENDED[1:]])

    def seen(table):
        return sorted((row["id"], row["amount"], str(row["dt"])) for row in table.read().collect())

    def job(table):
        open_reprocessing(table, mended(spark)).run([FIRST, THIRD], run="again").require()

    def look(table):
        found = seen(table)
        for day in ("2013-02-01", "2013-02-02", "2013-02-03"):
            assert [row for row in found if row[2] == day] in [
                [row for row in side if row[2] == day] for side in (sorted(BEFORE), after)
            ]

    def check(table):
        assert seen(table) == after
        assert open_reprocessing(table, mended(spark)).show("again").states() == {"published": 2}

    def of_this_recipe(happening):
        # A publish's own documents are killed in core's tests; each lease would be waited for here.
        return "_gluewright/tables/" not in happening.target or "/staged/" in happening.target

    points = every_kill_point(
        lambda: make(spark, catalog.table(next(names)), tmp_path), job, check, look=look, at=of_this_recipe
    )
    print(f"reprocessing: {points} kill points")
    assert points >= len(shared(range(20)))
