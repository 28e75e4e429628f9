"""Rows of PostgreSQL by cursor columns: each once, also those that become visible late; a replay reads the same range."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gluewright_core.errors import ConcurrentUpdateError
from gluewright_core.job import run
from gluewright_incremental.job import rows_job
from gluewright_incremental.job.admin.__main__ import main as command
from gluewright_incremental.job.rows import IncrementalRows, InvalidCursorError
from gluewright_incremental.job.watermark import InvalidWatermarkError
from gluewright_testing.jars import jars
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import shared


def _program(name):
    return shutil.which(name) or next((str(found) for found in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)


@pytest.fixture(scope="module")
def postgres():
    """A server on a free port of this machine; gone with everything in it when the tests are done."""
    if not _program("initdb") or not _program("pg_ctl") or not _program("psql"):
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="gluewright-postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, as_user = folder / "data", []
    if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres")

    def run(*command):
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd="/")

    run(_program("initdb"), "-D", str(data), "-U", "gw", "--auth=trust", "-E", "UTF8", "--no-sync")
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run(_program("pg_ctl"), "-D", str(data), "-o", settings, "-l", str(folder / "log"), "-w", "start")
    yield f"127.0.0.1:{port}"
    run(_program("pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder)


class Source:
    """A table in PostgreSQL, and a sink that takes each id once."""

    def __init__(self, spark, server):
        self.server = server
        self.sink = {}
        self.state = MemoryStorage("memory://state")
        self.reader = spark.read.format("jdbc").options(
            url=f"jdbc:postgresql://{server}/postgres", user="gw", driver="org.postgresql.Driver"
        )
        self.sql("DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int, at timestamptz, item text)")

    def sql(self, text):
        host, port = self.server.split(":")
        command = [
            _program("psql"),
            "-h",
            host,
            "-p",
            port,
            "-U",
            "gw",
            "-d",
            "postgres",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            text,
        ]
        subprocess.run(command, check=True, capture_output=True)

    def put(self, *rows):
        values = ", ".join(f"({number}, {f'{at!r}' if at else 'NULL'}, 'x')" for number, at in rows)
        self.sql(f"INSERT INTO orders VALUES {values}")

    def incremental(self, **more):
        settings = {"cursor": ["at"], "consumer": "c", "state": self.state, "patience": 0, "lease_seconds": 0.5} | more
        return IncrementalRows(lambda text: self.reader.option("query", text).load(), "orders", **settings)

    def run(self, **more):
        with self.incremental(**more).batch() as batch:
            if batch and batch.id not in self.sink:
                self.sink[batch.id] = sorted(row.id for row in batch.read().collect())
        return self.sink.get(batch.id, [])


@pytest.fixture
def source(spark, postgres):
    driver = jars("jdbc")[0]
    spark.sql(f"ADD JAR '{driver}'")
    return Source(spark, postgres)


@pytest.fixture(autouse=True)
def quick_plans(interpreted):
    """A few rows."""


def test_ranges_follow_each_other_and_a_replay_reads_the_same(source):
    source.put((1, "2013-02-01 10:00:00.000001+00"), (2, "2013-02-01 12:00:00+01"))
    assert source.run() == [1, 2]
    assert source.run() == []
    source.put((3, "2013-02-01 11:00:00.000002+00"))
    with pytest.raises(ZeroDivisionError), source.incremental().batch() as dead:
        raise ZeroDivisionError
    source.put((4, "2013-02-01 11:00:00.000003+00"))
    with source.incremental().batch() as batch:
        assert (batch.id, batch.replayed, [row.id for row in batch.read().collect()]) == (dead.id, True, [3])
        with pytest.raises(ConcurrentUpdateError), source.incremental().batch():
            pass
    assert source.run() == [4]


def test_rows_that_become_visible_late_are_read_once(source):
    lag = {"lag": timedelta(hours=1), "key": ["id"]}
    source.put((1, "2013-02-01 10:00+00"), (2, "2013-02-01 11:30+00"), (3, "2013-02-01 12:00+00"))
    assert source.run(**lag) == [1, 2, 3]
    source.put((4, "2013-02-01 11:15+00"), (5, "2013-02-01 12:00+00"), (6, "2013-02-01 09:00+00"))
    assert source.run(**lag) == [4, 5]  # the last one is further back than the lag
    source.put((7, "2013-02-01 15:00+00"), (8, "2013-02-01 11:20+00"), (9, "2013-02-01 13:00+00"))
    with pytest.raises(ZeroDivisionError), source.incremental(**lag).batch():
        raise ZeroDivisionError
    source.put((10, "2013-02-01 14:30+00"))  # within the range of the batch that is open, and after it was planned
    assert source.run(**lag) == [7, 8, 9]
    assert source.run(**lag) == [10]
    assert source.run(**lag) == []


def test_several_columns_are_compared_as_one(source):
    source.put((1, "2013-02-01+00"), (2, "2013-02-01+00"), (1, "2013-02-02+00"))
    two = {"cursor": ["at", "id"]}
    assert source.run(**two) == [1, 1, 2]
    source.put((3, "2013-02-01+00"), (2, "2013-02-02+00"), (0, "2013-02-03+00"))
    assert source.run(**two) == [0, 2]
    source.incremental(**two).watermark.set_to(["2013-02-02", "1"], who="a test", why="to try it")
    assert source.run(**two) == [0, 2]


def test_numbers_are_cursors_too(source):
    source.put(*((number, "2013-02-01+00") for number in (1, 5, 9, 10)))
    by_id = {"cursor": ["id"], "lag": 3, "key": ["id"]}
    assert source.run(**by_id) == [1, 5, 9, 10]
    source.put((8, "2013-02-01+00"), (100, "2013-02-01+00"))
    assert source.run(**by_id) == [8, 100]


def test_killed_anywhere_the_same_range_is_read_again(spark):
    """Any SQL will do: here Spark's own."""
    spark.range(1, 6).createOrReplaceTempView("numbers")

    def make():
        return {"state": MemoryStorage("memory://state"), "sink": {}, "now": datetime(2013, 2, 1, tzinfo=UTC)}

    def job(world):
        world["now"] += timedelta(hours=1)
        settings = {"cursor": ["id"], "lag": 2, "key": ["id"], "consumer": "c", "state": world["state"]}
        with IncrementalRows(
            spark.sql, "numbers", **settings, lease_seconds=600, clock=lambda: world["now"]
        ).batch() as batch:
            if batch:
                world["sink"].setdefault(batch.id, sorted(row.id for row in batch.read().collect()))

    def check(world):
        assert list(world["sink"].values()) == [[1, 2, 3, 4, 5]]

    assert every_kill_point(make, job, check, at=lambda each: each.kind == "storage.write") >= len(shared(range(3)))


def test_wrong_cursors_are_told(source):
    assert source.run() == []
    for settings, said in [
        ({"cursor": ["changed"]}, "orders has no column changed; it has id, at, item"),
        ({"cursor": ["at; DROP TABLE orders"]}, "plain names"),
        ({"lag": timedelta(hours=1)}, "say by which key"),
    ]:
        with pytest.raises(InvalidCursorError, match=said):
            source.run(**settings)
    source.put((1, None), (2, "2013-02-01+00"))
    with pytest.raises(InvalidCursorError, match="1 rows have NULL in at"):
        source.run()
    assert source.run(null_cursor="ignore") == [2]
    with pytest.raises(InvalidWatermarkError, match="is of .'at'., asked for .'id'."):
        source.run(cursor=["id"])
    with pytest.raises(InvalidCursorError, match="does not fit at"):
        source.run(lag=3, key=["id"], null_cursor="ignore", name="other")
    with pytest.raises(InvalidWatermarkError, match="say who"):
        source.incremental().watermark.set_to(["2013-02-02"], who="me", why="")


def test_a_watermark_is_shown_and_set_by_command(spark, tmp_path, capsys):
    """Any SQL will do: here Spark's own."""
    spark.range(1, 6).createOrReplaceTempView("numbers")

    def read():
        rows = IncrementalRows(spark.sql, "numbers", cursor=["id"], consumer="c", state=str(tmp_path), name="n")
        with rows.batch() as batch:
            return sorted(row.id for row in batch.read().collect()) if batch else []

    def told(*line, fails=0):
        capsys.readouterr()
        assert command(["watermark", f"--state={tmp_path}", "--consumer=c", "--name=n", *line]) == fails
        printed = capsys.readouterr()
        return printed.err if fails else json.loads(printed.out)

    assert "there is no watermark" in told(fails=1)
    assert read() == [1, 2, 3, 4, 5]
    assert told()["high"] == ["5"]
    assert "say who changes it, and why" in told("--to", "3", fails=1)
    assert "ends at 1 values" in told("--to", "3", "4", "--why=half", fails=1)
    assert told("--to", "3", "--why=read again", "--dry-run")["was"] == ["5"]
    assert read() == []
    told("--to", "3", "--why=read again", "--who=a test")
    assert read() == [4, 5]
    assert told()["by_hand"]["why"] == "read again"
    told("--reset", "--why=all of it")
    assert read() == [1, 2, 3, 4, 5]


def test_the_job_appends_each_range_to_a_table(spark, source, catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDERS_PASSWORD", "hunter2-and-more")
    target = catalog.table("orders")

    def append(*more):
        asked = [
            f"--url=jdbc:postgresql://{source.server}/postgres",
            "--user=gw",
            "--password=env:ORDERS_PASSWORD",
            '--options={"driver": "org.postgresql.Driver"}',
            "--table=orders",
            "--cursor=at",
            "--key=id",
            f"--target={target}",
            f"--location=file://{tmp_path}/orders",
            f"--state={tmp_path}/state",
            "--consumer=lake",
        ]
        return run(rows_job.main, rows_job.Arguments, argv=[*asked, *more]).steps[0].counts()

    source.put((1, "2013-02-01 10:00+00"), (2, "2013-02-01 12:00+00"))
    assert append("--lag_seconds=3600") == {"read": 2, "written": 2}
    source.put((3, "2013-02-01 11:30+00"))
    assert append("--lag_seconds=3600") == {"read": 1, "written": 1}
    assert append("--lag_seconds=3600") == {}
    found = spark.table(target)
    assert sorted(row.id for row in found.collect()) == [1, 2, 3]
    assert found.select("batch").distinct().count() == 2
    with pytest.raises(rows_job.AmbiguousLagError, match="not both"):
        append("--lag_seconds=3600", "--lag=1")
