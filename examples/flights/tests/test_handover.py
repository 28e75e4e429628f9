"""What leaves the house: tokens that join as the tail numbers do, and a month's figures as one file."""

from __future__ import annotations

import csv
import hashlib
import json
from base64 import b64encode

import pytest
from pyspark.sql import functions as F

from gluewright_flights.handover import PLANES, SharingRefusedError
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.sharing import once

pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.fixture
def share_key(monkeypatch):
    monkeypatch.setenv("SHARE_KEY", b64encode(bytes(range(32))).decode())
    return "--share_key=env:SHARE_KEY"


@once(1)
def test_tokens_join_flights_and_planes_as_tail_numbers_do_and_no_tail_number_is_left(new_world, share_key):
    world = new_world(last="2013-01-02")
    summary = world.run(share_key)
    flights, planes = world.table("flights_shared"), world.table("planes_shared")
    reader = world.spark.read.options(header=True, nullValue="NA").schema(PLANES.struct)
    sent = reader.csv(str(world.landing / "reference/planes.csv"))

    def makers(flights, planes):
        return flights.join(planes, "tailnum").groupBy("dt", "carrier", "manufacturer").count()

    assert_same_rows(makers(flights, planes), makers(world.table("flights"), sent))
    assert makers(flights, planes).count() > 20
    counts = next(step.counts() for step in summary.steps if step.name == "share")
    assert counts["read"] == counts["written"] == 842 + 943 + sent.count()

    tails = sent.select("tailnum").union(world.table("flights").select("tailnum")).where("tailnum IS NOT NULL").distinct()
    texts = flights.select(F.to_json(F.struct("*")).alias("text")).union(planes.select(F.to_json(F.struct("*"))))
    assert texts.join(tails, F.col("text").contains(F.col("tailnum"))).count() == 0
    missing = world.table("flights").where("tailnum IS NULL").count()
    assert flights.where("tailnum IS NULL").count() == missing > 0


def test_a_month_is_handed_over_as_one_file_with_its_control_file_and_again_the_same(new_world):
    world = new_world("2013-01-31", "2013-02-01")
    exports = world.root / "exports"
    world.run(f"--exports={exports}")
    names = [f"on_time_2013-0{month}.csv{end}" for month in (1, 2) for end in ("", ".control.json")]
    assert sorted(file.name for file in exports.iterdir()) == names

    file = exports / "on_time_2013-02.csv"
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    figures = world.table("on_time").where("month = '2013-02'").orderBy("carrier", "origin").collect()
    assert [(row["carrier"], row["origin"], int(row["flights"])) for row in rows] == [
        (row["carrier"], row["origin"], row["flights"]) for row in figures
    ]
    control = json.loads((exports / "on_time_2013-02.csv.control.json").read_text())
    assert (control["rows"], control["bytes"]) == (len(rows), file.stat().st_size)
    assert control["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

    first = file.read_bytes()
    world.run(f"--exports={exports}", "--from=2013-02-01")
    assert file.read_bytes() == first
    assert sorted(each.name for each in exports.iterdir()) == names


def test_a_key_that_is_too_short_ends_the_run_before_anything_is_published(new_world, monkeypatch):
    monkeypatch.setenv("SHARE_KEY", b64encode(b"short").decode())
    world = new_world(last="2013-01-01")
    with pytest.raises(SharingRefusedError, match="32") as refusal:
        world.run("--share_key=env:SHARE_KEY")
    assert "short" not in str(refusal.value).replace("shorter", "")
    assert not world.spark.catalog.databaseExists(world.database)
