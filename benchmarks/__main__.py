"""Compare side by side: ``hatch run bench NAME [--quick] [--rows N] [--rounds N] [--cold] [--keep]``.

Every side runs as a process of its own, in turn (A B A B ...), and the medians count: of a ratio the median of the rounds'
ratios, because what runs in one round runs on a machine in one mood. The clock of a side starts when its Spark session is
up and has done the same on few rows. Goals are ratios between sides of one run on one machine; no time is
ever compared with a number. The exit code says whether it ran, the last line of output whether the goals were met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import Bench, load
from benchmarks.side import PREPARE

ROUNDS, QUICK_ROUNDS = 3, 1
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
_MIB = 1024 * 1024
# What is shown of a side: heading, key, divisor, decimals.
_COLUMNS = (
    ("seconds", "seconds", 1, 2),
    ("with start", "whole_seconds", 1, 2),
    ("CPU s", "cpu_seconds", 1, 2),
    ("peak MiB", "peak_memory", _MIB, 0),
    ("read MiB", "bytes_read", _MIB, 1),
    ("written MiB", "bytes_written", _MIB, 1),
)
Runs = dict[str, list[dict[str, Any]]]


def main() -> int:
    """Run the benchmark that the command line names, print the tables and the result, return the exit code."""
    parser = argparse.ArgumentParser(prog="hatch run bench", description="Compare side by side.")
    parser.add_argument("name", help="a module of benchmarks/, such as publish")
    parser.add_argument("--quick", action="store_true", help="few rows, one round: shows that it runs, not how fast")
    parser.add_argument("--rows", type=int, help="how many rows")
    parser.add_argument("--rounds", type=int, help=f"how often each side runs; {ROUNDS} by default")
    parser.add_argument("--cold", action="store_true", help="no run on few rows before the clock")
    parser.add_argument("--keep", action="store_true", help="leave the figures in docs/figures/, for the guide")
    given = parser.parse_args()
    bench = load(given.name)
    rows = given.rows or (bench.quick_rows if given.quick else bench.rows)
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    runs = _run(bench, rows, rounds, given.cold)
    _require_same_work(runs)
    medians = {side: {key: median(run[key] for run in runs[side]) for _, key, _, _ in _COLUMNS} for side in runs}
    result = _result(bench, rows, runs)
    print(f"\n{bench.name}: {rows:,} rows, Spark {result['spark']}, medians of {rounds}\n")
    print(_sides_table(medians))
    print(_ratios_table(result))
    if given.keep:
        _keep(result | {"rounds": rounds, "cold": given.cold, "date": date.today().isoformat(), "sides": medians})
    print(json.dumps(result))
    return 0


def _keep(result: Mapping[str, Any]) -> None:
    FIGURES.mkdir(exist_ok=True)
    file = FIGURES / f"{result['bench']}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _run(bench: Bench, rows: int, rounds: int, cold: bool) -> Runs:
    runs: Runs = {side: [] for side in bench.sides}
    with tempfile.TemporaryDirectory(prefix=f"bench-{bench.name}-") as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        _in_own_process(bench, PREPARE, rows, inputs, cold)
        for round_number in range(1, rounds + 1):
            for side in bench.sides:
                run = _in_own_process(bench, side, rows, inputs, cold)
                print(f"round {round_number}/{rounds}  {side}: {run['seconds']:.2f} s", flush=True)
                runs[side].append(run)
    return runs


def _in_own_process(bench: Bench, side: str, rows: int, inputs: Path, cold: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="side-", dir=inputs.parent) as folder:
        workspace, result = Path(folder) / "workspace", Path(folder) / "result.json"
        workspace.mkdir()
        arguments = [bench.name, side, str(rows), str(inputs), str(workspace), str(result), str(cold)]
        started = time.perf_counter()
        # Only the result may be the last line of this process: what a side prints goes to the other stream.
        ran = subprocess.run([sys.executable, "-m", "benchmarks.side", *arguments], stdout=sys.stderr, check=False)
        if ran.returncode != 0:
            raise SystemExit(f"{bench.name}: {side} ended with exit code {ran.returncode}; its own message is above.")
        outcome: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return outcome | {"whole_seconds": time.perf_counter() - started}


def _require_same_work(runs: Runs) -> None:
    returned: dict[str, dict[str, str]] = {}
    for side in runs:
        for run in runs[side]:
            each = run["returned"] if isinstance(run["returned"], dict) else {"": run["returned"]}
            for case, value in each.items():
                if value is not None:
                    returned.setdefault(case, {})[json.dumps(value)] = side
    for found in returned.values():
        if len(found) > 1:
            told = ", ".join(f"{side} returned {value}" for value, side in found.items())
            raise SystemExit(f"The sides did not do the same work: {told}.")


def _result(bench: Bench, rows: int, runs: Runs) -> dict[str, Any]:
    ratios = {}
    for name, (side, other, _) in bench.ratios.items():
        rounds = zip(runs[side], runs[other], strict=True)
        ratios[name] = round(median(mine["seconds"] / theirs["seconds"] for mine, theirs in rounds), 3)
    goals = {name: goal for name, (_, _, goal) in bench.ratios.items()}
    met = all(ratios[name] <= goals[name] for name in goals)
    return {"bench": bench.name, "spark": version("pyspark"), "rows": rows, "ratios": ratios, "goals": goals, "met": met}


def _sides_table(medians: Mapping[str, Mapping[str, float]]) -> str:
    lines = [["side", *(heading for heading, _, _, _ in _COLUMNS)]]
    for side, figures in medians.items():
        lines.append([side, *(f"{figures[key] / divisor:,.{decimals}f}" for _, key, divisor, decimals in _COLUMNS)])
    return _aligned(lines)


def _ratios_table(result: Mapping[str, Any]) -> str:
    lines = [["ratio", "measured", "goal", ""]]
    for name, goal in result["goals"].items():
        measured = result["ratios"][name]
        lines.append([name, f"{measured:.3f}", f"<= {goal:g}", "met" if measured <= goal else "MISSED"])
    return _aligned(lines)


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    drawn = []
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        drawn.append("  ".join(cells).rstrip())
    return "\n".join(drawn) + "\n"


if __name__ == "__main__":
    sys.exit(main())
