"""The job: from a table or a query to a file with the name of the day; an attempt again finishes what is there."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest

from gluewright_core.job import run
from gluewright_single_file_output.job import Arguments, NotWrittenError, main
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows


@pytest.fixture
def flights(spark, catalog):
    table = catalog.table("flights")
    frame = rows(spark, "day date, carrier string, late int", [("2013-02-01", "UA", 3), ("2013-02-02", "AA", None)])
    frame.write.saveAsTable(table)
    return table


def test_a_table_becomes_the_file_of_the_month(flights, tmp_path):
    arguments = [
        f"--source={flights}",
        f"--target={tmp_path}/{{as_of:%Y-%m}}/on_time_{{region}}.csv",
        "--as_of=2013-02-28",
        '--values={"region": "west"}',
        "--order_by=carrier",
        "--null=NULL",
        "--separator=;",
    ]
    summary = run(main, Arguments, argv=arguments)
    assert summary.steps[0].counts()["written"] == 2
    file = tmp_path / "2013-02" / "on_time_west.csv"
    assert file.read_text() == "day;carrier;late\n2013-02-02;AA;NULL\n2013-02-01;UA;3\n"
    control = json.loads(file.with_name(f"{file.name}.control.json").read_text())
    assert (control["rows"], control["schema"]) == (2, {"day": "date", "carrier": "string", "late": "int"})
    with pytest.raises(NotWrittenError, match="on_time_west.csv exists"):
        run(main, Arguments, argv=[*arguments, "--existing=refuse"])


def test_a_job_killed_around_its_publish_is_finished_by_its_next_attempt(flights, s3_server):
    bucket, number = s3_server.bucket("exports"), itertools.count()
    s3 = s3_server.client()

    def job(target):
        source = f"SELECT carrier, late FROM {flights}"
        arguments = [f"--source={source}", f"--target={target}", "--order_by=carrier", "--existing=refuse", "--run_id=r1"]
        run(main, Arguments, argv=arguments)

    def check(target):
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        key = target.removeprefix(f"s3://{bucket}/")
        assert [each for each in keys if key in each] == [key, f"{key}.control.json"]
        assert (
            s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            == b'{"carrier":"AA","late":null}\n{"carrier":"UA","late":3}\n'
        )

    def publishes(happening):
        return "/_gluewright/" not in happening.target

    assert every_kill_point(lambda: f"s3://{bucket}/{next(number)}/late.jsonl", job, check, at=publishes)


def test_a_query_becomes_a_file_for_each_carrier(flights, tmp_path):
    target = f"{tmp_path}/{{as_of:%Y-%m}}/carrier={{carrier}}/late.csv"
    arguments = [f"--source={flights}", f"--target={target}", "--as_of=2013-02-28", "--by=carrier", "--without_by=true"]
    assert run(main, Arguments, argv=arguments).steps[0].counts()["written"] == 2
    found = {path.parent.name: path.read_text() for path in tmp_path.rglob("late.csv")}
    assert found == {"carrier=UA": "day,late\n2013-02-01,3\n", "carrier=AA": "day,late\n2013-02-02,\n"}
    with pytest.raises(NotWrittenError, match="late.csv exists"):
        run(main, Arguments, argv=[*arguments, "--existing=refuse"])


@pytest.fixture
def without_boto3(tmp_path, monkeypatch):
    """Runs the job as a program, on a Python that has no boto3."""
    for name in ("boto3", "botocore"):
        (tmp_path / "path").mkdir(exist_ok=True)
        (tmp_path / "path" / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name}', name='{name}')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    program = [sys.executable, "-m", "gluewright_single_file_output.job"]
    return lambda *argv: subprocess.run([*program, *argv], capture_output=True, text=True, cwd=tmp_path)


def test_without_boto3_the_job_shows_its_help_and_writes_into_a_folder(without_boto3, tmp_path):
    shown = without_boto3("--help")
    assert (shown.returncode, "--target" in shown.stdout) == (0, True), shown.stderr
    done = without_boto3("--source=SELECT 1 AS id", f"--target={tmp_path}/one.csv")
    assert (done.returncode, (tmp_path / "one.csv").read_text()) == (0, "id\n1\n"), done.stderr


def test_without_boto3_a_target_in_s3_says_what_to_install(without_boto3):
    done = without_boto3("--source=SELECT 1 AS id", "--target=s3://exports/one.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: s3://exports/one.csv: s3:// needs boto3: pip install boto3; Glue has it"
    assert "Traceback" not in done.stderr
