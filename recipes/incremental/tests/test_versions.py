"""What was committed to Iceberg and Delta tables since the last batch: each commit once, or a clear error."""

import pytest

from gluewright_core.job import run
from gluewright_incremental.job.versions import IncrementalVersions, InvalidVersionsError
from gluewright_incremental.job.versions_job import Arguments, main
from gluewright_incremental.job.watermark import InvalidWatermarkError
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import in_turn


@pytest.fixture(autouse=True)
def quick_plans(interpreted):
    """A few rows."""


@pytest.fixture(params=in_turn(["iceberg", "delta"]))
def source(request, spark, catalog):
    return Source(spark, catalog, request.param)


class Source:
    def __init__(self, spark, catalog, kind):
        self.spark, self.kind = spark, kind
        self.table = catalog.iceberg_table("orders") if kind == "iceberg" else f"spark_catalog.{catalog.table('orders')}"
        self.state = MemoryStorage("memory://state")
        feed = "" if kind == "iceberg" else " TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')"
        spark.sql(f"CREATE TABLE {self.table} (id int, item string) USING {kind}{feed}")

    def sql(self, text):
        self.spark.sql(text.format(self.table))

    def incremental(self, **more):
        settings = {"kind": self.kind, "consumer": "c", "state": self.state, "patience": 0} | more
        return IncrementalVersions(self.spark, self.table, **settings)

    def run(self, **more):
        with self.incremental(**more).batch() as batch:
            return sorted(map(tuple, batch.read().collect())) if batch else None


def test_rows_that_are_added_are_read_once_and_a_replay_reads_the_same(source):
    source.sql("INSERT INTO {} VALUES (1, 'a'), (2, 'b')")
    assert source.run() == [(1, "a"), (2, "b")]
    assert source.run() is None
    source.sql("INSERT INTO {} VALUES (3, 'c')")
    with pytest.raises(ZeroDivisionError), source.incremental().batch():
        raise ZeroDivisionError
    source.sql("INSERT INTO {} VALUES (4, 'd')")
    assert [source.run(), source.run(), source.run()] == [[(3, "c")], [(4, "d")], None]
    other = IncrementalVersions(source.spark, "ice.other.table", kind="iceberg", consumer="c", state=source.state)
    with pytest.raises(InvalidWatermarkError, match="give another name"), other.batch():
        pass


def test_rows_that_are_taken_away_are_an_error_or_read_as_changes(source):
    source.sql("INSERT INTO {} VALUES (1, 'a'), (2, 'b')")
    assert source.run(changes=True) == [(1, "a", "insert"), (2, "b", "insert")]
    source.sql("INSERT INTO {} VALUES (3, 'c')")
    source.sql("DELETE FROM {} WHERE id = 1")
    with pytest.raises(InvalidVersionsError, match="changes=True"):
        source.run()
    assert source.run(changes=True) == [(1, "a", "delete"), (3, "c", "insert")]
    assert source.run(changes=True) is None


def test_an_end_that_is_gone_is_an_error(source):
    source.sql("INSERT INTO {} VALUES (1, 'a')")
    source.run()
    gone = ["12345"] if source.kind == "iceberg" else ["99"]
    source.incremental().watermark.set_to(gone, who="a test", why="to try it")
    source.sql("INSERT INTO {} VALUES (2, 'b')")
    with pytest.raises(InvalidVersionsError, match="expired or was rolled back|not in its history"):
        source.run()


def test_the_job_appends_what_was_committed_to_a_table(source, catalog, tmp_path):
    target = catalog.table("copied")

    def append():
        asked = [f"--source={source.table}", f"--kind={source.kind}", f"--target={target}", "--consumer=mart"]
        asked += [f"--location=file://{tmp_path}/copied", f"--state={tmp_path}/state", "--changes=true"]
        return run(main, Arguments, argv=asked).steps[0].counts()

    source.sql("INSERT INTO {} VALUES (1, 'a'), (2, 'b')")
    assert append() == {"read": 2, "written": 2}
    source.sql("DELETE FROM {} WHERE id = 1")
    assert append() == {"read": 1, "written": 1}
    assert append() == {}
    changes = source.spark.table(target).select("id", "item", "change")
    assert sorted(map(tuple, changes.collect())) == [(1, "a", "delete"), (1, "a", "insert"), (2, "b", "insert")]
