"""The same file as a Glue script, under spark-submit and with python: identity, logs, counts, failures, exit status."""

import io
import json
import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyspark
import pytest
from pyspark.sql import functions as F

import gluewright_core
from gluewright_core import job as module
from gluewright_core.errors import CountMismatchError, InvalidArgumentsError, StorageError
from gluewright_core.job import run
from gluewright_core.secret import Secret
from gluewright_testing.sharing import once


@dataclass(frozen=True)
class Arguments:
    limit: int = 10
    password: Secret | None = None


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_run_counts_its_steps_prints_them_and_writes_them_as_json(spark, tmp_path, capsys):
    def main(job):
        with job.step("load") as step:
            rows = step.counting(
                job.spark.range(job.arguments.limit),
                "read",
                quarantined=F.col("id") == 3,
                ignored={"odd": (F.col("id") % 2 == 1) & (F.col("id") != 3)},
            )
            step.add(written=rows.filter("id % 2 = 0").count())
        with job.step("wait"), job.progress(2, "files copied") as meter:
            meter.advance(2)
        job.log.info("published %s", "t", extra={"rows": 5})

    where = tmp_path / "reports" / "summary.json"
    summary = run(
        main, Arguments, argv=["--limit", "10", "--summary", str(where), "--run_id", "r1", "--JOB_NAME", "nightly"]
    )
    assert summary.status == "succeeded"
    written = json.loads(where.read_text())
    assert written["steps"][0] | {"seconds": 0} == {
        "name": "load",
        "seconds": 0,
        "read": 10,
        "written": 5,
        "quarantined": 1,
        "ignored": {"odd": 4},
    }
    shown = capsys.readouterr().err
    assert re.search(r"^load +\d+\.\d +10 +5 +1 +4 odd$", shown, re.MULTILINE)
    lines = json_lines(shown)
    assert all((line["job"], line["run"], line["attempt"]) == ("nightly", "r1", 0) for line in lines)
    assert [line["message"] for line in lines if line.get("rows") == 5] == ["published t"]
    assert lines[-1]["message"].startswith("succeeded after")
    assert lines[-1]["steps"][0]["read"] == 10
    assert spark.range(1).count() == 1, "a session that was there before stays"


def test_lost_rows_fail_the_run(spark, tmp_path):
    def main(job):
        with job.step("load") as step:
            step.counting(job.spark.range(10), "read", ignored={"odd": F.col("id") % 2 == 1}).collect()
            step.add(written=4)

    def counts_late(job):
        with job.step("later") as step:
            rows = step.counting(job.spark.range(10), "read")
            step.add(written=9)
        rows.collect()

    with pytest.raises(CountMismatchError, match="'later': 10 rows read, but 9 written"):
        run(counts_late, Arguments, argv=[])

    where = tmp_path / "s.json"
    with pytest.raises(CountMismatchError, match=r"'load': 10 rows read, but .*4 written.* = 9"):
        run(main, Arguments, argv=["--summary", str(where)])
    assert json.loads(where.read_text())["error"].startswith("CountMismatchError: step 'load'")


@pytest.mark.parametrize(
    ("argv", "identity"),
    [
        (["--JOB_NAME", "n", "--JOB_RUN_ID", "jr_ab12"], ("n", "jr_ab12", 0)),
        (["--JOB_NAME", "n", "--JOB_RUN_ID", "jr_ab12_attempt_2"], ("n", "jr_ab12", 2)),
        (["--JOB_RUN_ID", "jr_ab12_attempt_12", "--run_id", "again"], (__name__, "again", 12)),
    ],
)
def test_a_retry_is_the_same_logical_run_with_the_next_attempt(argv, identity):
    run_of = run(lambda job: None, Arguments, argv=argv).run
    assert (run_of.job, run_of.id, run_of.attempt) == identity


def test_a_generated_run_id_sorts_by_time_and_an_id_unfit_for_paths_is_refused(monkeypatch):
    first = run(lambda job: None, Arguments, argv=[]).run.id
    later = datetime.now(UTC) + timedelta(seconds=1)
    monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda zone: later))
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}", first)
    assert module._new_id() > first
    monkeypatch.undo()
    assert run(lambda job: None, Arguments, argv=["--run_id="]).run.id not in {"", first}
    for bad in ("../x", "a/b", "a b", ".x"):
        with pytest.raises(InvalidArgumentsError, match="--run_id"):
            run(lambda job: None, Arguments, argv=[f"--run_id={bad}"])


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(3), StorageError("s3://b is full")])
def test_a_failure_is_raised_unchanged_after_every_hook_even_if_hooks_fail(error, capsys):
    seen = []

    def bad_hook(job, failure):
        seen.append(("bad", failure))
        raise SystemExit(0)

    def good_hook(job, failure):
        seen.append((job.summary.status, failure))

    def main(job):
        raise error

    with pytest.raises(type(error)) as raised:
        run(main, Arguments, argv=[], on_failure=[bad_hook, good_hook])
    assert raised.value is error
    assert error.__cause__ is None
    assert seen == [("bad", error), ("failed", error)]
    lines = json_lines(capsys.readouterr().err)
    assert any("bad_hook failed too" in line["message"] and "SystemExit" in line["exception"] for line in lines)
    assert lines[-1]["level"] == "ERROR"
    assert lines[-1]["error"] == f"{type(error).__name__}: {error}"
    assert "in main" in lines[-1]["exception"]


def test_a_summary_that_cannot_be_written_fails_a_good_run_and_does_not_hide_the_error_of_a_bad_one(tmp_path):
    (tmp_path / "file").write_text("in the way")
    argv = ["--summary", str(tmp_path / "file" / "s.json")]
    with pytest.raises(StorageError):
        run(lambda job: None, Arguments, argv=argv)
    with pytest.raises(ZeroDivisionError):
        run(lambda job: 1 / 0, Arguments, argv=argv)


def test_a_run_logs_the_names_that_it_ignored_and_no_value(capsys):
    summary = run(lambda job: None, Arguments, argv=["--leftover", "hunter2", "--limit=3"], unknown="ignore")
    warned = [line for line in json_lines(capsys.readouterr().err) if line["level"] == "WARNING"]
    assert (summary.status, [line["ignored"] for line in warned]) == ("succeeded", [["--leftover"]])
    assert "hunter2" not in str(warned)
    with pytest.raises(InvalidArgumentsError, match="--leftover"):
        run(lambda job: None, Arguments, argv=["--leftover", "x"])


def test_leaving_by_exit_zero_is_success():
    assert run(lambda job: sys.exit(0), Arguments, argv=[]).status == "succeeded"


def test_a_revealed_secret_is_in_no_log_line_summary_or_spark_setting(spark, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DB_PASSWORD", 'hun"ter2')

    def main(job):
        job.log.warning("arguments %s, password %s", job.arguments, job.arguments.password.reveal(), extra={"p": 'hun"ter2'})
        settings = job.spark.sparkContext.getConf().getAll() + list(job.spark.sql("SET").collect())
        assert "ter2" not in str(settings)
        raise ConnectionError('FATAL: password authentication failed with hun"ter2')

    with pytest.raises(ConnectionError):
        run(main, Arguments, argv=["--password", "env:DB_PASSWORD", "--summary", str(tmp_path / "s.json")])
    shown = capsys.readouterr().err
    assert "env:DB_PASSWORD" in shown
    assert "ter2" not in shown + (tmp_path / "s.json").read_text()


def test_on_a_terminal_lines_are_short_and_logging_is_as_before_afterwards(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    logger = logging.getLogger("gluewright")
    before = list(logger.handlers), logger.level, logger.propagate
    run(lambda job: job.log.info("hello", extra={"rows": 5}), Arguments, argv=[])
    assert re.search(r"^\d\d:\d\d:\d\d INFO +hello$", terminal.getvalue(), re.MULTILINE)
    assert (list(logger.handlers), logger.level, logger.propagate) == before


@pytest.fixture
def glue_session(monkeypatch, spark):
    calls = []
    session = SimpleNamespace(
        spark=spark, glue_context="context", commit=lambda: calls.append("commit"), stop=lambda: calls.append("stop")
    )
    monkeypatch.setattr(module.sessions, "expects_glue", lambda glue: True)
    monkeypatch.setattr(module.sessions, "start", lambda *given: calls.append("start") or session)
    return calls


def test_on_glue_the_job_starts_before_main_and_is_committed_only_after_success(glue_session, tmp_path):
    run(lambda job: glue_session.append("main"), Arguments, argv=["--JOB_NAME", "n"])
    assert glue_session == ["start", "main", "commit", "stop"]

    def loses_rows(job):
        with job.step("s") as step:
            step.add(read=2, written=1)

    (tmp_path / "file").write_text("")
    for main, argv in [
        (lambda job: 1 / 0, []),
        (lambda job: sys.exit(1), []),
        (loses_rows, []),
        (lambda job: None, ["--summary", str(tmp_path / "file" / "s.json")]),
    ]:
        glue_session.clear()
        with pytest.raises(BaseException):  # noqa: B017
            run(main, Arguments, argv=["--JOB_NAME", "n", *argv])
        assert glue_session == ["start", "stop"]


# --- as a script ---

SCRIPT = '''
"""A job."""
from dataclasses import dataclass
from gluewright_core.errors import StorageError
from gluewright_core.job import Job, run

@dataclass(frozen=True)
class Arguments:
    mode: str
    rows: int = 5

def main(job: Job[Arguments]) -> None:
    match job.arguments.mode:
        case "spark":
            with job.step("count") as step:
                rows = step.counting(job.spark.range(job.arguments.rows), "read")
                step.add(written=rows.count())
            print("counted", job.summary.steps[0].counts())
        case "ours": raise StorageError("s3://bucket/x: access denied; allow s3:PutObject")
        case "other": raise ValueError("broken")

if __name__ == "__main__":
    run(main, Arguments)
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "counting_job.py"
    path.write_text(SCRIPT)
    return path


def python(script, *argv):
    return subprocess.run([sys.executable, script, *argv], capture_output=True, text=True, cwd=script.parent)


def test_as_a_script_each_kind_of_end_has_its_status_and_its_words(script):
    assert python(script, "--mode", "none").returncode == 0
    shown_help = python(script, "--help")
    assert (shown_help.returncode, "--rows" in shown_help.stdout) == (0, True)

    wrong = python(script, "--rows", "many")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: 2 arguments are wrong")
    assert "Traceback" not in wrong.stderr

    ours = python(script, "--mode", "ours")
    assert ours.returncode == 1
    assert ours.stderr.splitlines()[-1] == "error: s3://bucket/x: access denied; allow s3:PutObject"
    assert "\nTraceback" not in ours.stderr
    assert json_lines(ours.stderr)[-1]["job"] == "counting_job"

    other = python(script, "--mode", "other")
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1] == "ValueError: broken"
    assert "\nTraceback" in other.stderr


@once(0)
@pytest.mark.timeout(300)
def test_the_same_file_runs_with_python_and_with_spark_submit(script, monkeypatch):
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(gluewright_core.__file__).parent.parent))
    home = Path(pyspark.__file__).parent
    monkeypatch.setenv("SPARK_HOME", str(home))
    submit = [home / "bin" / "spark-submit", "--master", "local[1]", "--conf", "spark.ui.enabled=false"]
    for command in ([sys.executable], submit):
        done = subprocess.run([*command, script, "--mode", "spark"], capture_output=True, text=True, cwd=script.parent)
        assert done.returncode == 0, done.stderr
        assert "counted {'read': 5, 'written': 5}" in done.stdout
    failed = subprocess.run([*submit, script, "--mode", "ours"], capture_output=True, text=True, cwd=script.parent)
    assert failed.returncode != 0
    # spark-submit passes both streams of the script on as its standard output.
    assert "error: s3://bucket/x: access denied" in failed.stdout
    assert "\nTraceback" not in failed.stdout


def test_importing_core_costs_next_to_nothing_beside_pyspark():
    # The process's own time: what else the machine does must not decide.
    code = (
        "import time, pyspark.sql; began = time.process_time(); "
        "import gluewright_core, gluewright_core.job; print(time.process_time() - began)"
    )
    seconds = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout) for _ in range(3)]
    assert min(seconds) < 0.05, seconds
