"""What readers see while a table is published: in another process, through a shared catalog, and by path."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow.dataset
import pytest

from gluewright_core.effects import watching
from gluewright_core.tables import ALL, TableSpec, open_table
from gluewright_testing.errors import JavaNotFoundError
from gluewright_testing.java import ensure_java
from gluewright_testing.rows import rows
from gluewright_testing.sessions import start_session
from gluewright_testing.sharing import once

SCHEMA = "id bigint, amount bigint, dt string"
OLD = {"d1": [(1, 10), (2, 20)], "d2": [(3, 30)], "d3": [(4, 40)]}
# One partition changes, one ends empty, one stays, one is new.
NEW = {"d1": [(1, 11)], "d2": [], "d3": [(4, 40)], "d4": [(5, 50)]}
REPLACED = [{"dt": "d1"}, {"dt": "d2"}, {"dt": "d4"}]
Partitions = Mapping[str, list]


def by_day(found) -> dict[str, list]:
    days: dict[str, list] = {}
    for id_, amount, dt in found:
        days.setdefault(dt, []).append((id_, amount))
    return {dt: sorted(values) for dt, values in days.items()}


def flat(partitions: Partitions, *days: str) -> list:
    return [(*values, dt) for dt, found in partitions.items() if not days or dt in days for values in found]


def spec_of(spark, name, location):
    return TableSpec(name, rows(spark, SCHEMA, []).schema, ("dt",), location)


# -- another process, a shared catalog


@contextmanager
def shared_metastore(folder: Path):
    """The Hive metastore that comes with PySpark, on Derby, as a server of its own; gives its port."""
    import pyspark

    try:
        ensure_java(pyspark.__version__)
    except JavaNotFoundError as error:
        pytest.skip(str(error))
    settings = {
        "hive.async.log.enabled": "false",
        "javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/db;create=true",
        "datanucleus.schema.autoCreateAll": "true",
        "hive.metastore.schema.verification": "false",
        "hive.metastore.warehouse.dir": f"{folder}/warehouse",
    }
    properties = "".join(f"<property><name>{k}</name><value>{v}</value></property>" for k, v in settings.items())
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "hive-site.xml").write_text(f"<configuration>{properties}</configuration>")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    home = Path(pyspark.__file__).parent
    with (folder / "metastore.log").open("wb") as output:
        server = subprocess.Popen(
            [home / "bin" / "spark-class", "org.apache.hadoop.hive.metastore.HiveMetaStore", "-p", str(port)],
            cwd=folder,
            env={
                **os.environ,
                "SPARK_HOME": str(home),
                "SPARK_CONF_DIR": str(folder / "conf"),
                "SPARK_DAEMON_MEMORY": "512m",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield port
    finally:
        server.kill()
        server.wait()


def session(metastore, workspace):
    conf = {
        "spark.sql.catalogImplementation": "hive",
        "spark.hadoop.hive.metastore.uris": f"thrift://127.0.0.1:{metastore}",
        "spark.driver.memory": "768m",
        "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1",
    }
    spark = start_session(workspace=Path(workspace), conf=conf)
    # The metastore starts meanwhile.
    for _ in range(600):
        with closing(socket.socket()) as knock:
            if knock.connect_ex(("127.0.0.1", metastore)) == 0:
                return spark
        time.sleep(0.1)
    raise TimeoutError("the metastore does not answer")


def publisher(talk, metastore, workspace, location):
    """Publish the old rows, then the new ones, stopping before and after everything that a reader might notice."""
    spark = session(metastore, workspace)
    table = open_table(spark, spec_of(spark, "orders", location))
    table.publish(rows(spark, SCHEMA, flat(OLD)), run="old", replace=ALL)

    class Stop:
        def before(self, happening):
            self._stop("before", happening)

        def after(self, happening):
            self._stop("after", happening)

        def _stop(self, side, happening):
            if happening.kind.startswith(("catalog.", "spark.")):
                talk.send(f"{side} {happening.kind} {happening.target}")
                talk.recv()

    talk.send("ready")
    talk.recv()
    changed = rows(spark, SCHEMA, flat(NEW, "d1", "d4"))
    with watching(Stop()):
        table.publish(changed, run="new", replace=REPLACED)
    talk.send("published")
    talk.recv()
    spark.stop()


def reader(talk, metastore, workspace, location):
    """Answer with what a new query sees, what one sees that was planned at the first question, and what the path holds."""
    spark = session(metastore, workspace)
    planned = None
    talk.send("ready")
    while talk.recv():
        planned = planned if planned is not None else spark.table("orders")
        try:
            by_path = spark.read.schema(SCHEMA).parquet(location).count()
        except Exception as error:
            by_path = type(error).__name__
        new = [tuple(row) for row in spark.sql("SELECT id, amount, dt FROM orders").collect()]
        talk.send((new, [tuple(row) for row in planned.collect()], by_path))
    spark.stop()


@contextmanager
def child(work, *arguments):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join(20)
        process.kill()


@once(0, days=2)
def test_readers_in_another_process_see_old_or_new_rows_at_every_step_of_a_publish(tmp_path):
    folder = tmp_path / "tables" / "orders"
    location = f"file://{folder}"
    with (
        shared_metastore(tmp_path / "metastore") as metastore,
        child(publisher, metastore, str(tmp_path / "publisher"), location) as publish,
        child(reader, metastore, str(tmp_path / "reader"), location) as read,
    ):
        assert (publish.recv(), read.recv()) == ("ready", "ready")
        seen = []
        step = "ready"
        while True:
            read.send(True)
            new, planned, by_path = read.recv()
            found = by_day(new)
            for dt in NEW:
                assert found.get(dt, []) in (OLD.get(dt, []), NEW[dt]), f"{step}: {found}"
            assert by_day(planned) == OLD, step
            assert by_path in (0, "AnalysisException"), f"{step}: {by_path} rows by path"
            assert rows_by_arrow(folder) == rows_by_duckdb(folder) == [], step
            seen.append(found)
            if step == "published":
                break
            publish.send(True)
            step = publish.recv()
        assert (seen[0], seen[-1]) == (OLD, {dt: values for dt, values in NEW.items() if values})
        # The reader did look between two switches, not only before and after all of them.
        assert any(found not in (seen[0], seen[-1]) for found in seen)
        publish.send(True)
        read.send(False)


# -- by path


def rows_by_arrow(folder: Path) -> list:
    try:
        found = pyarrow.dataset.dataset(folder, partitioning="hive").to_table().to_pylist()
    except FileNotFoundError:
        return []
    return [(row["id"], row["amount"], row["dt"]) for row in found]


def rows_by_duckdb(folder: Path) -> list:
    query = f"SELECT id, amount, dt FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    with closing(duckdb.connect()) as connection:
        try:
            return connection.execute(query).fetchall()
        except duckdb.IOException as error:
            assert "No files found" in str(error)
            return []


class Looking:
    """A watcher that compares what readers by path see with the old and the new rows, before and after every effect."""

    def __init__(self, *readers):
        self.readers = readers
        self.looks = 0

    def look(self, happening):
        self.looks += 1
        for read in self.readers:
            for dt, found in by_day(read()).items():
                assert found in (OLD.get(dt), NEW[dt]), f"{happening}: {dt} holds {found}"

    before = after = look


def test_readers_by_path_of_a_bare_folder_never_see_rows_twice(spark, tmp_path):
    folder = tmp_path / "tables" / "orders"
    table = open_table(spark, spec_of(spark, "orders", f"file://{folder}"), "folder")
    table.publish(rows(spark, SCHEMA, flat(OLD)), run="old", replace=ALL)
    assert by_day(rows_by_arrow(folder)) == OLD
    looking = Looking(lambda: rows_by_arrow(folder), lambda: rows_by_duckdb(folder))
    with watching(looking):
        table.publish(rows(spark, SCHEMA, flat(NEW, "d1", "d4")), run="new", replace=REPLACED)
    published = {dt: values for dt, values in NEW.items() if values}
    assert by_day(rows_by_arrow(folder)) == by_day(rows_by_duckdb(folder)) == published
    assert by_day(tuple(row) for row in spark.read.schema(SCHEMA).parquet(str(folder)).collect()) == published
    assert looking.looks > 10


def test_readers_by_path_of_a_bare_folder_on_s3_never_see_rows_twice(spark, s3_server):
    wr = pytest.importorskip("awswrangler", reason="awswrangler is not installed")
    location = f"s3://{s3_server.bucket('lake')}/tables/orders"
    table = open_table(spark, spec_of(spark, "orders", location), "folder")

    def by_wrangler():
        try:
            found = wr.s3.read_parquet(f"{location}/", dataset=True)
        except wr.exceptions.NoFilesFound:
            return []
        return [(row.id, row.amount, str(row.dt)) for row in found.itertuples()]

    table.publish(rows(spark, SCHEMA, flat(OLD)), run="old", replace=ALL)
    assert by_day(by_wrangler()) == OLD
    looking = Looking(by_wrangler)
    with watching(looking):
        table.publish(rows(spark, SCHEMA, flat(NEW, "d1", "d4")), run="new", replace=REPLACED)
    assert by_day(by_wrangler()) == {dt: values for dt, values in NEW.items() if values}
    assert looking.looks > 10
