"""The same script on a cluster: a master and two workers of pip's pyspark, packages as zips."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyspark
import pytest

import gluewright_cdc_merge
import gluewright_core
import gluewright_flights
import gluewright_incremental
import gluewright_pii_masking
import gluewright_reprocessing
import gluewright_single_file_output
from gluewright_flights import landing
from gluewright_testing.java import ensure_java
from gluewright_testing.sharing import once

SPARK = Path(pyspark.__file__).parent
RECIPES = (
    gluewright_cdc_merge,
    gluewright_incremental,
    gluewright_pii_masking,
    gluewright_reprocessing,
    gluewright_single_file_output,
)


@pytest.fixture
def environment(tmp_path):
    ensure_java(pyspark.__version__)
    # Neither driver nor workers see this environment's packages: what they import is Spark's or in the zips.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK", "PYSPARK"))}
    return own | {
        "SPARK_HOME": str(SPARK),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(tmp_path / "local"),
        "SPARK_WORKER_DIR": str(tmp_path / "work"),
        "SPARK_LOG_DIR": str(tmp_path),
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": str(python),
    }


@contextmanager
def cluster(environment, folder):
    """Start a master and two workers with a core each, and end them."""
    port, ui = free_port(), free_port()
    log = folder / "master.log"
    master = start(environment, log, "master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", ui)
    workers = [
        start(environment, folder / f"worker{n}.log", "worker.Worker", "--host", "127.0.0.1", "--cores", "1",
              "--memory", "1g", "--webui-port", free_port(), f"spark://127.0.0.1:{port}")
        for n in range(2)
    ]  # fmt: skip
    try:
        until(lambda: log.read_text().count("Registering worker") == 2, "two workers have registered", log)
        yield f"spark://127.0.0.1:{port}"
    finally:
        for process in (*workers, master):
            process.terminate()
        for process in (*workers, master):
            process.wait(30)


def start(environment, log, name, *arguments):
    command = [SPARK / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *arguments]
    with log.open("w") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)


def until(condition, what, log, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}\n{log.read_text()[-3000:]}"
        time.sleep(0.2)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def zipped(package, folder):
    source = Path(package.__file__).parent
    target = folder / f"{package.__name__}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(source.rglob("*.py")):
            archive.write(file, file.relative_to(source.parent))
    return target


@once(0)
def test_the_script_runs_unchanged_on_a_cluster_with_its_packages_as_zips(environment, tmp_path):
    landing.land(str(tmp_path / "landing"), last=landing.date(2013, 1, 3))
    packages = gluewright_core, *RECIPES, gluewright_flights
    zips = ",".join(str(zipped(package, tmp_path)) for package in packages)
    script = Path(gluewright_flights.__file__).parent / "job.py"
    conf = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.executor.cores": "1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(tmp_path / "databases"),
    }
    places = [f"--{name}={tmp_path / name}" for name in ("landing", "warehouse", "report")]
    with cluster(environment, tmp_path) as master:
        command = [SPARK / "bin" / "spark-submit", "--master", master, "--py-files", zips]
        command += [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
        run = subprocess.run(
            [*command, script, *places], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        log = (tmp_path / "master.log").read_text()
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert log.count("Launching executor") == 2

    written = f"{tmp_path}/warehouse/gluewright-runs/{{}}/*/*/*.parquet"
    query = duckdb.sql
    assert query(f"SELECT dt, count(*)::INT FROM '{written.format('flights')}' GROUP BY dt ORDER BY dt").fetchall() == [
        (landing.date(2013, 1, 1), 842),
        (landing.date(2013, 1, 2), 943),
        (landing.date(2013, 1, 3), 914),
    ]
    assert query(f"SELECT sum(flights)::INT FROM '{written.format('on_time')}'").fetchall() == [(2699,)]
    assert (tmp_path / "report" / "on_time.svg").exists()
