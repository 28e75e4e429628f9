"""Run pytest on both Spark lines: ``hatch run test [--whole] [pytest's arguments]``.

Each line has its own environment and, where it is to be had, the Python that Glue pairs with it. The lines run at the
same time, because tests of Spark wait more than they compute; what the second one prints is shown when the first is
through. It runs also when the first one failed. They share what is exhaustive, kill points and random schedules: each line
takes every second one, and of these a quarter, another one with each commit. What takes long and hardly depends on Spark
runs on one of the lines, on the other with the next commit, or with every second commit; kinds of tables are divided among
the lines, the other way round with the next commit; and one line compiles its plans, the other interprets them.
With ``--whole`` each line takes its whole share and compiles, and everything when it runs by ``hatch run spark35:pytest``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.hatch import hatch, outside

SHARE, PART, PLANS = "GLUEWRIGHT_SHARE", "GLUEWRIGHT_PART", "GLUEWRIGHT_PLANS"
PARTS = 4
# The environment of each line and the Python of its Glue version.
LINES = {"spark35": "3.11", "spark41": "3.13"}
_PYTEST_SUMMARY = re.compile(r"^(?:=+ )?(\d+ (?:passed|failed|error|skipped|deselected).* in [\d.]+s.*?)(?: =+)?\s*$")


@dataclass(frozen=True)
class Outcome:
    """How one line went."""

    line: str
    versions: str
    passed: bool
    summary: str


def main() -> int:
    """Run what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="hatch run test", add_help=False, allow_abbrev=False)
    parser.add_argument("--line", choices=list(LINES), action="append", help="only this Spark line")
    parser.add_argument("--whole", action="store_true", help="every kill point and schedule, and both lines all tests")
    chosen, pytest_arguments = parser.parse_known_args()
    # Environments are made one after the other; then all lines start, and are shown in turn.
    lines = chosen.line or list(LINES)
    part = "0/1" if chosen.whole else _part()
    print("Kill points and schedules:", "all" if chosen.whole else f"part {part}; all with --whole", flush=True)
    settings = [_settings(number, len(lines), part) for number in range(len(lines))]
    runs = [_start(line, pytest_arguments, setting) for line, setting in zip(lines, settings, strict=True)]
    outcomes = [_outcome(run) for run in runs]
    print()
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "FAILED"
        print(f"{outcome.line}  {outcome.versions}  {verdict}  {outcome.summary}")
    failed = [outcome.line for outcome in outcomes if not outcome.passed]
    if failed:
        print(f"Failed on: {', '.join(failed)}. Run one alone with `hatch run {failed[0]}:pytest`.")
    return 1 if failed else 0


@dataclass(frozen=True)
class _Run:
    """A line that is running."""

    line: str
    versions: str
    process: subprocess.Popen[bytes]
    printed: IO[bytes]


def _settings(number: int, lines: int, part: str) -> dict[str, str]:
    """Say what one of the lines has to do."""
    today, parts = map(int, part.split("/"))
    interpreted = parts > 1 and lines > 1 and (number + today) % 2 == 1
    always = {SHARE: f"{number}/{lines}", PART: part, "SPARK_CONF_DIR": str(Path(__file__).parent / "spark_conf")}
    return always | ({PLANS: "interpreted"} if interpreted else {})


def _part() -> str:
    """Choose a quarter by the commit: the same as long as it is the same commit, so that a failure can be seen again."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return f"{int(asked.stdout.strip() or '0', 16) % PARTS}/{PARTS}"


def _start(line: str, pytest_arguments: list[str], settings: dict[str, str]) -> _Run:
    environment = outside() | settings
    if python := find_python(LINES[line]):
        environment["HATCH_PYTHON"] = python
    versions = _versions(line, environment)
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    printed = tempfile.TemporaryFile()  # noqa: SIM115 - read and closed when it is the line's turn
    command = [*hatch(), "run", f"{line}:pytest", *colour, *pytest_arguments]
    return _Run(line, versions, subprocess.Popen(command, env=environment, stdout=printed), printed)


def _outcome(run: _Run) -> Outcome:
    print(f"\n{'─' * 20} {run.line}: {run.versions} {'─' * 20}", flush=True)
    with run.printed:
        summary = _show(run)
    return Outcome(run.line, run.versions, run.process.wait() == 0, summary)


def _versions(line: str, environment: dict[str, str]) -> str:
    """Make the environment of a line if need be, and say what it holds."""
    program = "import platform, pyspark; print('Spark', pyspark.__version__, 'on Python', platform.python_version())"
    command = [*hatch(), "run", f"{line}:python", "-c", program]
    asked = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    said = asked.stdout.strip().splitlines()
    return said[-1] if asked.returncode == 0 and said else "environment not made"


def _show(run: _Run) -> str:
    """Pass pytest's output on as it comes, and return its own summary line."""
    summary, pending, at = "", b"", 0
    while True:
        ended = run.process.poll() is not None
        chunk = os.pread(run.printed.fileno(), 1 << 20, at)
        at += len(chunk)
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        *whole, pending = (pending + chunk).split(b"\n")
        for text in whole:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", text.decode(errors="replace"))
            if found := _PYTEST_SUMMARY.search(plain):
                summary = found[1]
        if not chunk and ended:
            return summary
        if not chunk:
            time.sleep(0.2)


def find_python(version: str) -> str | None:
    """Find a Python of this version on PATH or in pyenv's folder; None leaves the choice to hatch.

    Args:
        version: such as ``"3.13"``.
    """
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), key=_patch_release, reverse=True)
    candidates = ([on_path] if on_path else []) + [str(path) for path in installed]
    return next((python for python in candidates if _starts(python, version)), None)


def _patch_release(python: Path) -> int:
    patch = python.parent.parent.name.split(".")[-1]
    return int(patch) if patch.isdecimal() else -1


def _starts(python: str, version: str) -> bool:
    """Tell whether it starts: pyenv's shim of a version that is not active only complains."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return asked.returncode == 0 and asked.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main())
