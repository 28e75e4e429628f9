"""One place starts Spark, in UTC and with the same settings on both lines; awsglue is used only where Glue really is."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

import gluewright_core
from gluewright_core import session as module
from gluewright_core.glue_parameters import GlueParameters
from gluewright_core.session import start
from gluewright_testing.sharing import once

ON_GLUE = GlueParameters.from_given(
    {"JOB_NAME": "nightly", "TempDir": "s3://b/t", "job-bookmark-option": "job-bookmark-enable"}
)


class FakeGlue:
    """awsglue as it behaves on Glue, writing down what is asked of it."""

    def __init__(self, spark):
        self.calls = []
        calls = self.calls

        class GlueContext:
            def __init__(self, context):
                calls.append("context")
                self.spark_session = spark

        class Job:
            def __init__(self, context):
                assert isinstance(context, GlueContext)

            def init(self, name, arguments):
                calls.append(("init", name, arguments))

            def commit(self):
                calls.append("commit")

        def resolved(argv, names):
            return {"argv": argv, "names": names}

        self.modules = {name: ModuleType(name) for name in ("awsglue", "awsglue.context", "awsglue.job", "awsglue.utils")}
        self.modules["awsglue"].__spec__ = type("Spec", (), {"name": "awsglue"})()
        self.modules["awsglue.context"].GlueContext = GlueContext
        self.modules["awsglue.job"].Job = Job
        self.modules["awsglue.utils"].getResolvedOptions = resolved


@pytest.fixture
def glue(spark, monkeypatch):
    fake = FakeGlue(spark)
    for name, fake_module in fake.modules.items():
        monkeypatch.setitem(sys.modules, name, fake_module)
    monkeypatch.setattr(module, "_active", lambda: None)
    monkeypatch.setattr(module, "_has_glue", lambda: True)
    return fake


def test_on_glue_the_job_is_announced_with_glues_parameters_and_committed_only_when_told(glue, spark):
    session = start("nightly", ON_GLUE)
    given = ["--JOB_NAME=nightly", "--TempDir=s3://b/t", "--job-bookmark-option=job-bookmark-enable"]
    assert glue.calls == ["context", ("init", "nightly", {"argv": ["job", *given], "names": ["JOB_NAME"]})]
    assert session.spark is spark
    assert session.glue_context.spark_session is spark
    session.stop()
    assert spark.range(1).count() == 1, "the service stops the session on Glue"
    session.commit()
    assert glue.calls[-1] == "commit"


def test_without_a_job_name_or_without_glues_jars_it_is_not_glue(glue, spark, monkeypatch):
    monkeypatch.setattr(module, "_start_plain", lambda name, conf: spark)
    start("mine", GlueParameters())
    monkeypatch.setattr(module, "_has_glue", lambda: False)
    start("mine", ON_GLUE).commit()
    assert glue.calls == []


def test_an_active_session_is_used_keeps_its_own_settings_and_is_not_stopped(spark):
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    ansi = spark.conf.get("spark.sql.ansi.enabled")
    session = start("mine", GlueParameters())
    session.stop()
    assert session.spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert session.spark.conf.get("spark.sql.ansi.enabled") == ansi == str(spark.version >= "4").lower()
    with ThreadPoolExecutor(1) as other_thread:
        other_thread.submit(lambda: start("mine", GlueParameters()).stop()).result()
    assert spark.range(3).count() == 3


def test_ancient_dates_round_trip_and_odd_texts_are_null_on_both_lines(spark, tmp_path):
    session = start("mine", GlueParameters()).spark
    session.sql("SELECT date'0001-01-01' d, timestamp'1000-01-01 00:00:00' t").write.parquet(f"{tmp_path}/old")
    assert [
        str(value) for value in session.read.parquet(f"{tmp_path}/old").selectExpr("string(d)", "string(t)").first()
    ] == [
        "0001-01-01",
        "1000-01-01 00:00:00",
    ]
    # Spark 2 read this text; by default Spark 3.5 fails over it and Spark 4 says that it is no date.
    (tmp_path / "a.csv").write_text("2024-1-1 \n")
    assert session.read.csv(f"{tmp_path}/a.csv", "d date", dateFormat="yyyy-MM-dd").first().d is None


def test_nothing_else_imports_awsglue():
    for path in Path(gluewright_core.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        uses = {name for name in imported if name.split(".")[0] == "awsglue"}
        assert not uses or path.name == "session.py", path


PLAIN = """
import os, sys
from datetime import datetime
os.environ.pop("PYSPARK_PYTHON", None)
os.environ["TZ"] = "America/New_York"
import importlib.util
assert importlib.util.find_spec("awsglue"), "the facade is installed here"
from gluewright_core.glue_parameters import GlueParameters
from gluewright_core.session import start

local = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false",
         "spark.master": "local[1]", "spark.sql.parquet.datetimeRebaseModeInRead": "LEGACY"}
session = start("mine", GlueParameters.from_given({"JOB_NAME": "nightly"}), local)
spark = session.spark
assert session.glue_context is None
session.commit()
assert spark.sparkContext.appName == "mine"
assert spark.conf.get("spark.sql.parquet.datetimeRebaseModeInRead") == "LEGACY", "the user's choice stands"
assert spark.conf.get("spark.sql.parquet.datetimeRebaseModeInWrite") == "CORRECTED"
worker = spark.sparkContext.parallelize([0], 1).map(lambda _: __import__("sys").executable).first()
assert worker == sys.executable, worker
[row] = spark.sql("SELECT timestamp'2024-07-01 12:00:00' t, string(timestamp_seconds(0)) epoch").collect()
assert row.t == datetime(2024, 7, 1, 12), row
assert row.epoch == "1970-01-01 00:00:00"
session.stop()
assert spark.sparkContext._jsc is None
print("fine")
"""


@once(1)
@pytest.mark.timeout(180)
def test_plain_python_with_the_facade_but_no_glue_gets_plain_spark_in_utc_with_its_own_python(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(PLAIN)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip().endswith("fine"), done.stderr
