"""The job: with real tables, killed between ledger and table, rewound; and the command line."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import functions as F

from gluewright_core import leases
from gluewright_core.job import run
from gluewright_core.tables import TableSpec, open_table
from gluewright_incremental import job
from gluewright_incremental.job import Arguments, NothingReadError, main
from gluewright_incremental.job.admin.__main__ import main as command
from gluewright_incremental.job.incremental import Incremental
from gluewright_incremental.job.notifications import Message
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.sharing import in_turn, shared

COLUMNS = "carrier string, late int, dt date"


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)


class Landing:
    """A folder into which files come, and the table that gets their rows."""

    def __init__(self, folder, database, name="delays"):
        self.folder, self.table = folder, database.table(name)
        self.arguments = [
            f"--source={folder}/landing",
            "--format=csv",
            f"--columns={COLUMNS}",
            f"--target={self.table}",
            f"--location=file://{folder}/{name}",
            f"--state={folder}/state",
            "--consumer=delays",
        ]

    def put(self, name, text):
        file = self.folder / "landing" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"carrier,late\n{text}\n")

    def run(self, *more):
        return run(main, Arguments, argv=[*self.arguments, *more]).steps

    def command(self, *line, **flags):
        common = [f"--state={self.folder}/state", "--consumer=delays"]
        if line[0] in {"diff", "rewind", "reset", "set", "mark"}:
            common.append(f"--source={self.folder}/landing")
        return command([*line, *common])


@pytest.fixture
def landing(tmp_path, catalog):
    return Landing(tmp_path, catalog)


def test_a_source_without_objects_that_nobody_knows_is_no_answer_of_diff(tmp_path, capsys):
    line = [f"--state={tmp_path}/state", "--consumer=delays", f"--source={tmp_path}/nope"]
    assert command(["diff", *line]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "",
        f"error: file://{tmp_path}/nope: there are no objects here, and the ledger knows none; look at --source\n",
    )


def test_each_file_is_in_the_table_once_and_late_ones_too(spark, landing, capsys):
    landing.put("dt=2013-02-01/a.csv", "UA,1")
    landing.put("dt=2013-02-02/odd [1]*{x}?.csv", "DL,2")
    landing.put("dt=2013-02-02/_SUCCESS", "")
    assert landing.run("--max_files=1")[0].counts() == {"read": 1, "written": 1}
    assert landing.run("--dry_run=true") == []
    assert landing.run()[0].counts() == {"read": 1, "written": 1}
    assert landing.run()[0].counts() == {}
    landing.put("dt=2013-02-03/a.csv", "AA,3")
    landing.run("--close_after=1")
    landing.put("dt=2013-02-01/late.csv", "B6,4")
    landing.run()
    rows = spark.table(landing.table)
    assert_same_rows(
        rows.drop("batch"),
        [("UA", 1, "2013-02-01"), ("DL", 2, "2013-02-02"), ("AA", 3, "2013-02-03"), ("B6", 4, "2013-02-01")],
    )
    assert rows.select("batch").distinct().count() == 4

    capsys.readouterr()
    assert landing.command("late") == 0
    told = [{"partition": {"dt": "2013-02-01"}, "prefix": "dt=2013-02-01/", "objects": 1, "bytes": 18}]
    assert json.loads(capsys.readouterr().out) == told
    assert landing.command("rewind", "--to=2", "--why=wrong columns") == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 2
    landing.run()
    assert spark.table(landing.table).count() == 4
    assert landing.command("list") == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in listed] == ["read", "rewind", "read", "read", "read", "read"]
    assert "wrong columns" in listed[1]
    assert landing.command("reset", "--why=again", "--dry-run") == 0
    assert landing.command("reset", "--why=again") == 0
    landing.run()
    assert spark.table(landing.table).count() == 4


@pytest.mark.parametrize("kind", in_turn(["iceberg", "delta"]))
def test_tables_of_other_kinds_take_batches_and_their_replacements_too(spark, landing, catalog, kind):
    target = catalog.iceberg_table("delays") if kind == "iceberg" else catalog.table("delays")
    where = [f"--target={target}", f"--catalog={kind}", *(["--location="] if kind == "iceberg" else [])]
    for day in (1, 2):
        landing.put(f"dt=2013-02-0{day}/a.csv", f"UA,{day}")
        landing.run(*where)
    assert landing.command("rewind", "--to=0", "--why=read all again") == 0
    assert landing.run(*where)[0].counts() == {"read": 2, "written": 2}
    assert_same_rows(spark.table(target).drop("batch"), [("UA", 1, "2013-02-01"), ("UA", 2, "2013-02-02")])


def test_a_record_that_does_not_fit_fails_the_run_and_it_is_read_when_mended(spark, landing):
    landing.put("dt=2013-02-01/a.csv", "UA,soon")
    for _ in range(2):
        with pytest.raises(Exception, match="MALFORMED|FAILFAST"):
            landing.run()
    landing.put("dt=2013-02-01/a.csv", "UA,1")
    with pytest.raises(NothingReadError, match="1 have another content"):
        landing.run()
    assert landing.command("mark", "--dropped", "--why=the file was mended") == 0
    landing.run()
    assert_same_rows(spark.table(landing.table).drop("batch"), [("UA", 1, "2013-02-01")])


def test_a_queue_takes_the_place_of_listing(spark, landing, monkeypatch):
    told, deleted = [], []

    class Queue:
        def __init__(self, url):
            assert url == "https://sqs/landing"

        def receive(self, source):
            return [Message(frozenset({key}), key) for key in told]

        def delete(self, messages):
            deleted.extend(each.receipt for each in messages)

    monkeypatch.setattr(job, "ObjectQueue", Queue)
    landing.put("dt=2013-02-01/a.csv", "UA,1")
    landing.put("dt=2013-02-02/b.csv", "DL,2")
    told.append("dt=2013-02-02/b.csv")
    queue = "--queue=https://sqs/landing"
    assert landing.run(queue)[0].counts() == {"read": 1, "written": 1}
    assert landing.run(queue)[0].counts() == {}
    assert landing.run(queue, "--full=true")[0].counts() == {"read": 1, "written": 1}
    assert_same_rows(spark.table(landing.table).drop("batch"), [("UA", 1, "2013-02-01"), ("DL", 2, "2013-02-02")])
    assert deleted == ["dt=2013-02-02/b.csv"] * 2


def test_wrong_commands_say_what_to_do(landing, capsys):
    landing.put("dt=2013-02-01/a.csv", "UA,1")
    for line, said in [
        (("show", "--name=source"), "says nothing of source"),
        (("late", "7"), "there is no batch 7"),
        (("rewind", "--to=x", "--why=y"), "there is no batch x"),
        (("mark", "--published", "--why=y"), "no batch of source is open"),
    ]:
        assert landing.command(*line) == 1
        assert said in capsys.readouterr().err
    assert landing.command("set", "--to=dt=2013-02-01", "--why=known already") == 0
    assert landing.command("diff") == 0
    assert landing.command("show") == 0
    assert landing.command("show", "--name=source") == 0
    assert '"objects": 1' in capsys.readouterr().out
    with pytest.raises(NothingReadError, match="max_files is 0"):
        landing.run("--max_files=0")


def test_killed_around_publish_and_commit_the_table_has_each_row_once(spark, interpreted, catalog, tmp_path):
    """With a real table; the ledger's own kill points are tested without Spark."""
    count, clock = itertools.count(), {"now": datetime(2013, 2, 1, tzinfo=UTC)}
    schema = spark.createDataFrame([], f"{COLUMNS}, batch string").schema

    def make():
        number = next(count)
        world = Landing(tmp_path / str(number), catalog, f"delays_{number}")
        world.put("dt=2013-02-01/a.csv", "UA,1")
        world.put("dt=2013-02-02/a.csv", "DL,2")
        world.rows = open_table(spark, TableSpec(world.table, schema, ("batch",), f"file://{world.folder}/delays"))
        return world

    def take_what_is_new(world):
        clock["now"] += timedelta(hours=1)  # the lease of a dead run has expired, and none is renewed while this one works
        incremental = Incremental(
            f"{world.folder}/landing",
            consumer="c",
            state=f"{world.folder}/state",
            lease_seconds=600,
            clock=lambda: clock["now"],
        )
        with incremental.batch() as batch:
            if batch:
                rows = batch.read(spark, "csv", COLUMNS, header="true").withColumn("batch", F.lit(batch.id))
                world.rows.publish(rows, run=batch.id, replace=[{"batch": batch.id}])

    def check(world):
        assert_same_rows(world.rows.read().drop("batch"), [("UA", 1, "2013-02-01"), ("DL", 2, "2013-02-02")])
        assert world.rows.read().select("batch").distinct().count() == 1

    chosen = lambda effect: "/ledgers/c.json" in effect.target or effect.kind.startswith("catalog")  # noqa: E731
    around = every_kill_point(make, take_what_is_new, check, at=chosen)
    assert around >= len(shared(range(3)))
