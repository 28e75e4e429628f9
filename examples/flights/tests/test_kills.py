"""The job is killed before and after every effect; run again, it makes the tables that an undisturbed run makes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import KILL_AT, every_kill_point
from gluewright_testing.sharing import once, shared

TABLES = ("flights", "flights_quarantine", "on_time")


def small(new_world):
    """Two days of a few flights, one of which does not fit."""
    world = new_world(last="2013-01-02", few=4)
    world.put("2013-01-02", "no flight", *world.lines_of("2013-01-02"))
    return world


def contents(world):
    """Return what the catalog's readers get: partition by partition, the files' bytes, which the rows decide.

    Of quarantine the rows: they name the landed file, which lies in a folder of its own in each world.
    """

    def of_file(name, content):
        if not name.endswith("_quarantine"):
            return content
        rows = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pylist()
        return repr(rows).replace(str(world.root), "").encode()

    tables = [name for name in TABLES if world.spark.catalog.tableExists(f"{world.database}.{name}")]
    return {
        name: {day: sorted(of_file(name, each) for each in files.values()) for day, files in world.partitions(name).items()}
        for name in tables
    }


def quietly(job):
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        return job()


@pytest.mark.usefixtures("short_leases", "interpreted")
def test_killed_at_every_effect_of_the_first_run_and_run_again_the_same_tables_result(new_world, capsys):
    whole = small(new_world)
    quietly(whole.run)
    rows, expected, picture = whole.every_row(), contents(whole), report(whole)
    assert {name: len(found) for name, found in rows.items()} == {"flights": 8, "flights_quarantine": 1, "on_time": 5}

    worlds = count()

    def new_one():
        world = small(new_world)
        # An attempt again is the same run on Glue and another one from a shell: kills in turn.
        world.same_run = next(worlds) % 2 == 0
        return world

    def run(world):
        quietly(lambda: world.run(*(["--run_id=nightly"] if world.same_run else [])))

    def nothing_half_done(world):
        for name, partitions in contents(world).items():
            for partition, files in partitions.items():
                assert files == expected[name][partition], f"{name} {partition}"

    def same_tables(world):
        assert contents(world) == expected
        assert report(world) == picture
        world.drop()
        shutil.rmtree(world.root)

    points = every_kill_point(new_one, run, same_tables, look=nothing_half_done)
    with capsys.disabled():
        print(f"\nflights, first run: {points} kill points, all converge")
    assert points >= len(shared(range(33)))  # 32 effects, a kill between each two of them


@once(0)
@pytest.mark.usefixtures("short_leases", "interpreted")
def test_killed_while_days_are_published_again_readers_see_the_old_day_or_the_new_one(new_world, capsys):
    world = small(new_world)
    sent = [
        {"2013-01-01": world.lines_of("2013-01-01"), "2013-01-02": world.lines_of("2013-01-02")},
        {"2013-01-01": [], "2013-01-02": world.lines_of("2013-01-02")[1:3]},
    ]
    states = []
    for days in (sent[1], sent[0]):
        for day, lines in days.items():
            world.put(day, *lines)
        quietly(world.run)
        states.insert(0, contents(world))
    turn = 0

    def send_again():
        nonlocal turn
        turn = 1 - turn
        for day, lines in sent[turn].items():
            world.put(day, *lines)
        return world

    def old_or_new(world):
        found = contents(world)
        for name in TABLES:
            for partition in states[0][name].keys() | states[1][name].keys():
                assert found[name].get(partition) in [state[name].get(partition) for state in states], f"{name} {partition}"

    def new(world):
        assert contents(world) == states[turn]

    chosen = {"spark.write", "catalog.move"}
    points = every_kill_point(
        send_again, lambda world: quietly(world.run), new, look=old_or_new, at=lambda effect: effect.kind in chosen
    )
    with capsys.disabled():
        print(f"\nflights, published again: {points} kill points, all converge")


LAUNCHER = """
import sys
from gluewright_core import leases
from gluewright_flights import run

leases.LEASE_SECONDS = 3.0
main = run.main

def main_and_reader(job):
    main(job)
    for name in ("flights", "flights_quarantine", "on_time"):
        job.spark.table(f"flights.{name}").write.parquet(f"{job.arguments.workspace}/seen/{name}")

run.main = main_and_reader
run.start(sys.argv[1:])
"""


@once(1, days=2)
def test_a_process_that_is_really_killed_leaves_what_the_next_one_finishes(new_world, tmp_path, spark):
    """Processes die by SIGKILL, one further on than the other; the last one ends. The catalog is on disk."""
    whole = new_world(last="2013-01-02")
    quietly(whole.run)
    workspace = tmp_path / "workspace"
    command = [sys.executable, "-c", LAUNCHER, f"--workspace={workspace}", "--to=2013-01-02", "--exports="]
    # When the plan to publish flights has been decided; and before on_time's files are written.
    for point in shared(("17:after", "24:before")):
        died = subprocess.run(command, env=os.environ | {KILL_AT: point}, capture_output=True, text=True, check=False)
        assert died.returncode == -signal.SIGKILL, died.stderr[-3000:]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]

    for name in TABLES:
        assert_same_rows(spark.read.parquet(str(workspace / "seen" / name)), whole.table(name))
    assert (workspace / "report" / "on_time.svg").read_bytes() == report(whole)


def report(world):
    return (world.root / "report" / "on_time.svg").read_bytes()
