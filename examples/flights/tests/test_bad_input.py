"""Bad input ends with one error that names the thing and says what to do, and the tables are as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gluewright_core.errors import LandingError, StorageDeniedError, StorageFullError
from gluewright_core.schema.conform import ContractViolationError
from gluewright_flights import landing
from gluewright_flights.flights import HEADER
from gluewright_flights.zone import InvalidLandingError
from gluewright_testing.aws import fake_environment
from gluewright_testing.sharing import once

DAY = "flights/dt=2013-01-02/flights.csv.gz"
BODY = landing.flights()[DAY]


def gone(world):
    world.file_of("2013-01-01").unlink()
    world.file_of("2013-01-02").unlink()


def no_zone(world):
    world.landing.rename(world.root / "elsewhere")


def cut_at(size):
    return lambda world: world.file_of("2013-01-02").write_bytes(BODY[:size])


def damaged(world):
    world.file_of("2013-01-02").write_bytes(BODY[:1000] + b"\0" * 50 + BODY[1050:])


def not_compressed(world):
    world.file_of("2013-01-02").write_bytes(landing.gzip.decompress(BODY))


def headed(header):
    text = landing.gzip.decompress(BODY).decode()
    return lambda world: world.file_of("2013-01-02").write_bytes(landing.compressed(text.replace(HEADER, header).encode()))


def odd_folder(world):
    world.file_of("2013-01-02").parent.rename(world.landing / "flights/dt=2013-1-2")


def no_airlines(world):
    (world.landing / "reference/airlines.csv").unlink()


def nothing(world):
    pass


BAD = {
    "a missing landing zone": (no_zone, [], "landing/flights has no folder of a day.* check --landing"),
    "an empty one": (gone, [], "landing/flights has no folder of a day.* check --landing"),
    "an empty file": (cut_at(0), [], f"{DAY} is empty, without even a header; have 2013-01-02 sent again"),
    "a gzip cut within its header": (cut_at(5), [], f"{DAY} is cut off"),
    "a gzip cut in the middle": (cut_at(len(BODY) // 2), [], f"{DAY} is cut off"),
    "a gzip cut within its checksum": (cut_at(len(BODY) - 3), [], f"{DAY} is cut off"),
    "a damaged gzip": (damaged, [], f"{DAY} is not sound gzip data"),
    "a gzip that is none": (not_compressed, [], f"{DAY} is not sound gzip data"),
    "a wrong header": (
        headed(HEADER.replace("dep_delay", "delay")),
        [],
        rf"dep_delay: is missing in 1 of 2 files, such as \S+{DAY}",
    ),
    "no header": (headed("2013,1,2"), [], f"{DAY}: its first line names no column of flights"),
    "a folder of no day": (odd_folder, [], "flights/dt=2013-1-2 is not named after a day"),
    "days that have not landed": (
        nothing,
        ["--from=2014-01-01"],
        "no flights for --from 2014-01-01; it has 2013-01-01 to 2013-01-02",
    ),
    "days the wrong way round": (
        nothing,
        ["--from=2013-01-02", "--to=2013-01-01"],
        "--from 2013-01-02 is after --to 2013-01-01",
    ),
    "no reference table": (no_airlines, [], "reference/airlines.csv is not there"),
}


@once(0)
def test_what_cannot_be_read_is_named_and_the_tables_stay_as_they_were(new_world):
    world = new_world(last="2013-01-02")
    world.run()
    rows, files = world.every_row(), world.partitions()
    for name, (spoil, more, said) in BAD.items():
        spoiled = replace(new_world(last="2013-01-02"), database=world.database, tables=world.tables)
        spoil(spoiled)
        with pytest.raises((InvalidLandingError, LandingError, ContractViolationError), match=said) as told:
            spoiled.run(*more)
            pytest.fail(f"{name} was accepted")
        assert "\n\tat " not in str(told.value), name
        assert world.partitions() == files, name
    assert world.every_row() == rows


def test_columns_in_another_order_are_read_by_their_names(new_world):
    world = new_world(last="2013-01-02", few=5)
    world.run()
    rows = world.every_row()
    header, *lines = landing.gzip.decompress(world.file_of("2013-01-02").read_bytes()).decode().splitlines()
    turned = "".join(f"{','.join(reversed(line.split(',')))}\n" for line in (header, *lines))
    world.file_of("2013-01-02").write_bytes(landing.compressed(turned.encode()))
    world.run("--run_id=again")
    assert world.every_row() == rows


@contextmanager
def mounted(folder, *options):
    """A file system of its own, which only root can have."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@once(1)
@pytest.mark.parametrize("left", [0, 40_000], ids=["before Spark writes", "while Spark writes"])
def test_a_full_disk_is_told_and_the_tables_stay_as_they_were(new_world, left):
    world = new_world(last="2013-01-02", few=5)
    with mounted(world.tables, "-o", "size=1m"):
        world.run()
        rows, files = world.every_row(), world.partitions()
        for key, body in landing.flights().items():
            if key[:21] <= "flights/dt=2013-01-02":
                (world.landing / key).write_bytes(body)
        ballast = world.tables / "ballast"
        disk = os.statvfs(world.tables)
        ballast.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - left))

        with pytest.raises(StorageFullError, match="full.*free space or choose another place, then run again"):
            world.run()

        assert (world.every_row(), world.partitions()) == (rows, files)
        ballast.unlink()
        world.run()
        assert world.table("flights").count() == 842 + 943


@pytest.mark.parametrize("quarantined", [[], ["not a flight"]], ids=["no rows to write", "rows to write"])
def test_a_read_only_target_is_told_and_the_tables_stay_as_they_were(new_world, quarantined):
    world = new_world(last="2013-01-02", few=5)
    with mounted(world.tables, "-o", "size=1m"):
        world.run()
        rows, files = world.every_row(), world.partitions()
        world.put("2013-01-02", *quarantined)
        subprocess.run(["mount", "-o", "remount,ro", str(world.tables)], check=True)

        with pytest.raises(StorageDeniedError, match="may not be (read or )?written.*check"):
            world.run()

        assert (world.every_row(), world.partitions()) == (rows, files)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--landing=/nowhere"], 1, "error: file:///nowhere/flights has no folder of a day with files in it"),
        (
            ["--landing=/nowhere", "--from=1.1.2013", "--catalog=hudi"],
            2,
            "--from     given '1.1.2013', expected a date such as",
        ),
        (["--landing=s3://landing"], 1, "error: s3://landing"),
    ],
    ids=["a missing folder", "an argument of the wrong type", "an unreachable endpoint"],
)
def test_as_a_script_it_ends_with_one_clear_error_and_a_status(tmp_path, arguments, status, said):
    environment = os.environ | fake_environment() | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "gluewright_flights.job", f"--warehouse={tmp_path}", f"--report={tmp_path}", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == status
    assert said in run.stderr
    assert "Traceback" not in "\n".join(line for line in run.stderr.splitlines() if not line.startswith("{"))
    assert not list(tmp_path.iterdir())
