"""The benchmark harness, on benchmarks whose outcome is known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluewright_testing.sharing import once

pytestmark = once(0)

ROOT = Path(__file__).parents[1]

WITHOUT_SPARK = """
import subprocess, sys, time

ROWS, QUICK_ROWS = 40, 4

def prepare(context):
    (context.inputs / "log").write_text("prepared")

def side(name, seconds, megabytes, answer):
    def run(context):
        with (context.inputs / "log").open("a") as log:
            log.write(f" {name}")
        assert not list(context.workspace.iterdir())
        # A child's use counts as its parent's: so does the JVM's.
        work = f"import time; held = bytearray({megabytes} << 20); open('out', 'wb').write(held); time.sleep({seconds})"
        subprocess.run([sys.executable, "-c", work], cwd=context.workspace, check=True)
        print("chatter", (context.inputs / "log").read_text())
        return answer
    return run

SIDES = {"slow": side("slow", 1.2, 300, 1), "fast": side("fast", 0.4, 30, ANSWER)}
RATIOS = {"fast / slow": ("fast", "slow", 0.9), "slow / fast": ("slow", "fast", 1.0)}
"""

WITH_SPARK = """
ROWS, QUICK_ROWS, PARTS = 10_000, 1_000, ()
count = lambda context: context.spark.range(context.rows).count()
SIDES = {"one": count, "other": count}
RATIOS = {"one / other": ("one", "other", 1000)}
"""


@pytest.fixture
def bench(tmp_path):
    """Run a benchmark that a test writes."""

    def run(text, *arguments):
        folder = tmp_path / "benchmarks"
        folder.mkdir(exist_ok=True)
        (folder / "trial.py").write_text(text)
        # `benchmarks` has no __init__: Python looks for its modules in both folders.
        return subprocess.run(
            [sys.executable, "-m", "benchmarks", "trial", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_sides_take_turns_and_the_last_line_holds_ratios_beside_their_goals(bench):
    run = bench(WITHOUT_SPARK.replace("ANSWER", "1"))
    assert run.returncode == 0, run.stderr
    assert "prepared slow fast slow fast slow fast" in run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result.keys() == {"bench", "spark", "rows", "ratios", "goals", "met"}
    assert (result["bench"], result["rows"], result["met"]) == ("trial", 40, False)
    assert result["goals"] == {"fast / slow": 0.9, "slow / fast": 1.0}
    assert result["ratios"]["fast / slow"] < 0.9 < 1.0 < result["ratios"]["slow / fast"]
    slow, fast = (line.split() for line in run.stdout.splitlines() if line.startswith(("slow  ", "fast  ")))
    peak, written = 4, 6
    assert float(slow[peak]) - float(fast[peak]) > 200
    assert float(slow[written]) - float(fast[written]) > 250
    assert "MISSED" in run.stdout


def test_sides_that_did_not_do_the_same_work_are_no_comparison(bench):
    run = bench(WITHOUT_SPARK.replace("ANSWER", "2"), "--quick")
    assert run.returncode == 1
    assert "slow returned 1, fast returned 2" in run.stderr


def test_quick_runs_few_rows_once_and_memory_includes_the_jvm(bench):
    run = bench(WITH_SPARK, "--quick")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) | {"ratios": None, "spark": None} == {
        "bench": "trial",
        "spark": None,
        "rows": 1000,
        "ratios": None,
        "goals": {"one / other": 1000},
        "met": True,
    }
    assert run.stdout.count("round 1/1") == 2
    (one,) = [line.split() for line in run.stdout.splitlines() if line.startswith("one  ")]
    assert float(one[4].replace(",", "")) > 200


def test_an_unknown_benchmark_is_named_with_those_there_are(bench):
    run = bench("SIDES = 1")
    assert run.returncode == 1
    assert "'trial' is no benchmark" in run.stderr
