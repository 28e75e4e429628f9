"""What to redo, the ways a partition may go, and the whole protocol under crashes, retries and other runs, without Spark."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core import leases
from gluewright_core.errors import ConcurrentUpdateError, InvalidStateError
from gluewright_core.state import Documents
from gluewright_core.tables import TableSpec
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.interface import Published
from gluewright_core.tables.partitions import values_of
from gluewright_reprocessing import plan
from gluewright_reprocessing.job.ledger import Ledger, RunTakenError
from gluewright_reprocessing.job.reprocessing import Reprocessing, unit_of
from gluewright_reprocessing.plan import Entry, InvalidLedgerError, InvalidPlanError, days, digest, gaps, listed, unchanged
from gluewright_testing.interleavings import explore
from gluewright_testing.killpoints import Killed
from gluewright_testing.memory import MemoryCatalog, MemoryStorage
from gluewright_testing.sharing import once

pytestmark = once(0)


def test_a_range_of_days_has_both_ends_and_each_partition_once():
    assert days(date(2024, 2, 28), date(2024, 3, 1), {"dt": "%Y-%m-%d"}) == [
        {"dt": "2024-02-28"},
        {"dt": "2024-02-29"},
        {"dt": "2024-03-01"},
    ]
    assert len(days(date(2024, 1, 1), date(2024, 12, 31), {"y": "%Y", "m": "%m"})) == 12
    with pytest.raises(InvalidPlanError, match="begins on 2024-03-02, after it ends on 2024-03-01"):
        days(date(2024, 3, 2), date(2024, 3, 1), {"dt": "%Y-%m-%d"})


def test_a_list_is_read_as_people_and_as_jobs_write_it():
    late = [{"partition": {"dt": "2013-02-03", "n": 7}, "files": 2}, {"dt": None, "n": True}, {"n": "7", "dt": "2013-02-03"}]
    assert listed(late, ["dt", "n"]) == [{"dt": "2013-02-03", "n": "7"}, {"dt": None, "n": "true"}]
    assert listed([{"dt": None}, {"dt": "NULL"}], ["dt"]) == [{"dt": None}, {"dt": "NULL"}]
    for given, told in [
        ([{"dt": "x"}, {"day": "x"}], r"partition 1 of the list has \['day'\]; the partition columns are \['dt'\]"),
        (["2013"], "partition 0 of the list has str"),
        ({"dt": "x"}, "JSON list"),
        ([{"dt": [1]}], "has a list for a value"),
    ]:
        with pytest.raises(InvalidPlanError, match=told):
            listed(given, ["dt"])


def test_gaps_and_unchanged_partitions_are_found():
    first, second, third = ({"dt": day} for day in "123")
    known = {digest(first): Entry(first, fingerprint="a"), digest(second): Entry(second, fingerprint="b")}
    assert gaps([first, second, third], known) == [third]
    now = {digest(first): "a", digest(second): "c", digest(third): ""}
    assert unchanged(now, known) == {digest(first)}


def test_a_partition_goes_only_its_ways_and_an_entry_survives_json():
    for here, there in product(plan.NEXT, plan.NEXT):
        entry = Entry({"dt": "1"}, here, attempts=1, problems=("x",))
        if there in plan.NEXT[here]:
            moved = entry.moved(there)
            assert (moved.state, moved.attempts) == (there, 2 if there == plan.RUNNING else 1)
            assert Entry.from_json(json.loads(json.dumps(moved.as_json()))) == moved
        else:
            with pytest.raises(InvalidLedgerError, match=f"dt=1 is {here} and cannot become {there}"):
                entry.moved(there)


def test_a_ledger_that_is_corrupt_or_of_a_newer_version_is_refused_with_its_place():
    storage, partition = MemoryStorage(), {"dt": "1"}
    ledger = Ledger(storage, "db.t")
    documents = Documents(storage, "reprocessings/db.t")
    good = Entry(partition).as_json()
    for place, body in enumerate(({**good, "format": 99}, {"format": 1}, {**good, "state": "odd"}, {})):
        documents.write(f"run-{place}/{digest(partition)}", body)
        with pytest.raises(
            InvalidStateError, match=rf"memory://store/_gluewright/reprocessings/db.t/run-{place}/.*(update|restore)"
        ):
            ledger.entries(f"run-{place}", [partition])
    documents.write("odd", {})
    with pytest.raises(InvalidStateError, match=r"odd.json has no 'partitions'"):
        ledger.plan("odd")


def test_a_run_is_refused_while_another_has_some_of_its_partitions():
    storage = MemoryStorage()
    mine, other = Ledger(storage, "db.t"), Ledger(storage, "db.t")
    with mine.claimed("a", [{"dt": "1"}, {"dt": "2"}]):
        with pytest.raises(ConcurrentUpdateError, match="run a reprocesses dt=2 now"), other.claimed("b", [{"dt": "2"}]):
            pass
        with other.claimed("b", [{"dt": "3"}]):
            pass
    with other.claimed("b", [{"dt": "2"}]):
        pass


def test_a_claim_is_renewed_while_its_run_works(monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    storage = MemoryStorage()
    with Ledger(storage, "db.t").claimed("a", [{"dt": "1"}]):
        claims = Documents(storage, "reprocessings/db.t/claims")
        first, until = claims.read("a").number, datetime.now(UTC) + timedelta(seconds=5)
        while claims.read("a").number < first + 2:
            assert datetime.now(UTC) < until


SPEC = TableSpec("db.t", StructType([StructField("dt", StringType())]), ("dt",), "memory://store/t")
X, Y = {"dt": "x"}, {"dt": "y"}


class World:
    """A store and a catalog of partitions, with a clock that moves when it is told to."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.catalog = MemoryCatalog(batch=1)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        for day in "xy":
            self.catalog.partitions[day,] = self.storage.uri_of(f"files/old-{day}")
            self.storage.write(f"files/old-{day}/rows", b"old")

    def protocol(self) -> CommitProtocol:
        return CommitProtocol(self.catalog, "db.t", ["dt"], self.storage, "t", clock=lambda: self.now, patience=0)


class Rows:
    """Rows that nobody looks at."""

    def where(self, _: str) -> Rows:
        return self


class Staged:
    def __init__(self, table: Files, run: str, body) -> None:
        self.table, self.run, self.body, self.count = table, run, body, 1
        self.rows = Rows()

    def publish(self):
        targets = {tuple(values): uri for values, uri in self.body["targets"]}
        protocol = self.table.protocol
        protocol.publish(self.run, targets, since=self.body["since"], rows=1, staged=self.body["prefix"])

    def discard(self):
        if self.table.protocol.unstage(self.run, self.body["prefix"]):
            self.table.storage.delete([f"{self.body['prefix']}/rows"])


class Files:
    """A table of Parquet without the Parquet: the real protocol, over files with a word in them."""

    spec = SPEC

    def __init__(self, world: World) -> None:
        self.storage, self.protocol = world.storage, world.protocol()

    def exists(self):
        return True

    def read(self):
        return Rows()

    def begin(self, run):
        return str(self.protocol.finish(run))

    def published(self, run):
        record = self.protocol.record(run)
        return record and Published("db.t", run, record.rows, {})

    def staged(self, run):
        body = self.protocol.staged(run)
        return body and Staged(self, run, body)

    def stage(self, rows, *, run, replace, began):
        if earlier := self.staged(run):
            earlier.discard()
        key = f"files/{run}-{secrets.token_hex(4)}"
        self.storage.write(f"{key}/rows", rows.encode())
        targets = [[list(values_of(("dt",), each)), self.storage.uri_of(key)] for each in replace]
        self.protocol.stage(run, {"prefix": key, "targets": targets, "since": int(began)})
        return self.staged(run)

    def undo(self, run):
        return self.protocol.undo(run)


def redo(world: World, run: str, only=(X, Y)):
    """One process that works on a run, for the first time or again."""
    table = Files(world)
    work = Reprocessing(table, lambda partition, _: f"{run}-{partition['dt']}", Ledger(world.storage, "db.t"))
    return work.run(only, run=run)


def contents(world: World) -> dict[str, str]:
    """What readers see: each partition's file has to be there, whole."""
    at = {day: uri.removeprefix("memory://store/") for (day,), uri in world.catalog.partitions.items()}
    return {day: world.storage.read(f"{key}/rows")[0].decode() for day, key in at.items()}


def publish_elsewhere(world: World) -> None:
    """A daily job that publishes y, and never looks at the ledger."""
    table = Files(world)
    table.stage("daily", run="daily", replace=[Y], began=table.begin("daily")).publish()


def settle(world: World, run: str):
    """Go on until nothing is left and nothing failed, as an operator would; time passes in between."""
    table = Files(world)
    work = Reprocessing(table, lambda partition, _: f"{run}-{partition['dt']}", Ledger(world.storage, "db.t"))
    for _ in range(5):
        world.now += timedelta(hours=1)
        work.run([X, Y], run=run)
        if all(entry.state == "published" for entry in work.retry(run).entries):
            return work
    raise AssertionError(f"run {run} does not come to an end: {work.show(run)}")


@pytest.mark.parametrize("seed", range(4))
def test_crashes_retries_and_other_runs_at_random_lose_nothing_and_end_well(seed):
    def whole(world: World) -> None:
        found = contents(world)
        assert found["x"] in {"old", "a-x"}
        assert found["y"] in {"old", "a-y", "daily"}

    def told_truly(world: World, outcome) -> None:
        for error in outcome.errors.values():
            assert isinstance(error, Killed | ConcurrentUpdateError), repr(error)
        entries = Ledger(world.storage, "db.t").entries("a", [X, Y])
        for entry in entries:
            if entry.state == "published":
                assert world.protocol().record(unit_of("a", entry.partition)), "published, says the ledger, and is not"
        assert not any("RunTakenError" in problem for entry in entries for problem in entry.problems)
        world.now += timedelta(hours=1)
        world.protocol().finish("reader")  # what a job that died had decided
        before = contents(world)
        # What the run had published, noted or not, and the daily job has replaced since.
        daily_stays = before["y"] == "daily" and world.protocol().record(unit_of("a", Y)) is not None
        work = settle(world, "a")
        assert contents(world) == {"x": "a-x", "y": "daily" if daily_stays else "a-y"}
        if not daily_stays:
            work.undo("a")
            assert contents(world)["x"] == "old"
            assert contents(world)["y"] in {"old", "daily"}
        assert list(world.storage.list_objects("_gluewright/reprocessings/db.t/claims/")) == []

    explored = explore(
        World,
        {"first": lambda world: redo(world, "a"), "again": lambda world: redo(world, "a"), "daily": publish_elsewhere},
        told_truly,
        look=whole,
        kills=2,
        most=300,
        seed=seed,
    )
    print(f"reprocessing at random, seed {seed}: {explored}")


def test_of_two_attempts_of_a_run_one_stops():
    world = World()
    ledger, other = Ledger(world.storage, "db.t"), Ledger(world.storage, "db.t")
    (entry,), (same,) = ledger.entries("a", [X]), other.entries("a", [X])
    ledger.move("a", entry, "running")
    with pytest.raises(RunTakenError, match="another process goes on with run a and has dt=x"):
        other.move("a", same, "running")
