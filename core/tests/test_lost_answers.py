"""The publishing protocol where answers are lost, requests come late or twice, and writers sleep beyond their lease.

Two writers, every schedule of their steps, and in each schedule up to two such events. A writer has files of its own, which
it deletes when it is refused, as the tables do.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from gluewright_core import leases, state
from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_testing.interleavings import Fault, Go, explore, play
from gluewright_testing.memory import MemoryCatalog, MemoryStorage
from gluewright_testing.sharing import PART, shared

KEY = ("x",)
WHOLE = os.environ.get(PART, "0/1") == "0/1"
"""Whether everything is run, as before a release."""


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(state, "RETRY_PAUSES", (0, 0, 0, 0))


class World:
    """A counter as a table of one partition: its location says the number; each writer reads it and adds one."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.catalog = MemoryCatalog(batch=1)
        self.catalog.journal = self.storage.journal
        self.catalog.partitions[KEY] = "0"
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.files = {"0"}
        self.clock = lambda: self.now
        self.protocol().publish("first", {KEY: "0"}, since=0, rows=0)

    @property
    def journal(self):
        return self.storage.journal

    def fingerprint(self):
        return (self.storage.fingerprint(), self.catalog.fingerprint(), self.now, frozenset(self.files))

    def protocol(self) -> CommitProtocol:
        return CommitProtocol(self.catalog, "db.t", ["p"], self.storage, "t", clock=self.clock, patience=0)


def increment(run: str):
    """Begin, read, write files, publish since the beginning: what a job does that computes a table from itself."""

    def writer(world: World) -> str:
        protocol = world.protocol()
        since = protocol.finish(run)
        read = world.catalog.locations("db.t", [KEY])[KEY]
        target = f"{read}+{run}"
        world.files.add(target)
        try:
            protocol.publish(run, {KEY: target}, since=since, rows=1, alone=True)
        except ConcurrentUpdateError:
            world.files.discard(target)
            raise
        return target

    return writer


def time_passes(world: World) -> None:
    with effect("clock.jump", "lease"):
        world.now += timedelta(seconds=leases.LEASE_SECONDS + 1)


def nothing_is_lost(world: World, outcome) -> None:
    """Whoever was told that it published is in the table, whoever was refused is not, and the files are there."""
    world.now += timedelta(seconds=10 * leases.LEASE_SECONDS)
    world.protocol().finish("next")
    at = world.catalog.partitions[KEY]
    assert at in world.files, f"the table is at {at}, its files were deleted"
    published = set(at.split("+")[1:])
    recorded = {run for run in ("a", "b") if world.protocol().record(run)}
    assert published == recorded, (at, recorded)
    for run in ("a", "b"):
        error = outcome.errors.get(run)
        if error is None:
            assert run in published, f"{run} was told that it published"
        elif isinstance(error, ConcurrentUpdateError):
            assert run not in published, f"{run} was told that it did not publish"
        else:
            assert not isinstance(error, AssertionError | TypeError | KeyError), repr(error)
    assert len(at.split("+")) - 1 == len(published), f"the table is at {at}"
    # Run again, each is published or published before, and both are in the table.
    for run in ("a", "b"):
        rerun = world.protocol()
        rerun.finish(run)
        if not rerun.record(run):
            increment(run)(world)
    assert sorted(world.catalog.partitions[KEY].split("+")[1:]) == ["a", "b"]


PAIRS = list(combinations(Fault, 2))
WRITERS = {"a": increment("a"), "b": increment("b"), "time": time_passes}
SCRIPTS = {
    "the answer to the decision is lost for so long that another run finishes it": [
        Go("a", "write tables/t/head"), Go("a", fault=Fault.LOST), Go("time"), Go("b"), Go("a"),
    ],
    "the decision is sent twice at once and the second answer is a refusal": [
        Go("a", "write tables/t/head"), Go("a", fault=Fault.REPEATED), Go("a"), Go("b"),
    ],
    "a writer sleeps between its lease and its change of the catalog": [
        Go("a", "catalog.move"), Go("time"), Go("b"), Go("a"),
    ],
    "a writer sleeps before its change of the catalog and dies after it": [
        Go("a", "catalog.move"), Go("time"), Go("b"), Go("a", "catalog.read"),
    ],
    "a change of the catalog stalls, its retry succeeds, and it arrives after another publish": [
        Go("a", "catalog.move"), Go("a", fault=Fault.LATE), Go("a"), Go("b"), Go("late"),
    ],
    "a change of the catalog is performed again after another publish": [
        Go("a", "catalog.move"), Go("a", fault=Fault.DOUBLED), Go("a"), Go("b"), Go("late"),
    ],
    "the decision arrives after its writer gave up": [
        Go("a", "write tables/t/head"), Go("a", fault=Fault.LATE), Go("a", "read"), Go("b"), Go("late"),
    ],
    "a commit record arrives after a later one": [
        Go("a", "write tables/t/runs"), Go("a", fault=Fault.LATE), Go("a"), Go("b"), Go("late"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_what_lost_an_update_once_does_not_any_more(script):
    script = [replace(line, until=line.until.replace("write ", "storage.write', target='memory://store/_gluewright/"))
              for line in script]  # fmt: skip
    nothing_is_lost(*play(World, WRITERS, script))


def slow_reader(run: str, *, replaces: bool = False):
    """Begin, read after a while, compute after a while, publish; or publish what does not depend on what was read."""

    def writer(world: World) -> str:
        protocol = world.protocol()
        since = protocol.finish(run)
        with effect("reader.reads", run):
            read = world.catalog.locations("db.t", [KEY])[KEY]
        with effect("reader.computes", run):
            target = f"0+a+b+{run}" if replaces else f"{read}+{run}"
        protocol.publish(run, {KEY: target}, since=since, rows=1, alone=not replaces)
        return target

    return writer


LATE_BETWEEN = [
    Go("a", "catalog.move"), Go("a", fault=Fault.DOUBLED), Go("a"), Go("b"), Go("c", "reader.reads"), Go("late"),
]  # fmt: skip


@pytest.mark.parametrize(
    "rest",
    [[Go("c")], [Go("c", "reader.computes"), Go("d"), Go("c")]],
    ids=["repaired by its own publish", "repaired by another run before its publish"],
)
def test_a_run_that_read_what_a_late_request_had_put_back_is_refused(rest):
    """Three runs: the first one's request arrives after the second publish, while the third reads."""
    finishing = {"d": lambda world: world.protocol().finish("d")}
    writers = {"a": increment("a"), "b": increment("b"), "c": slow_reader("c"), **finishing}
    world, outcome = play(World, writers, LATE_BETWEEN + rest)
    assert isinstance(outcome.errors["c"], ConcurrentUpdateError)
    assert world.catalog.partitions[KEY] == "0+a+b"
    increment("c")(world)
    assert world.catalog.partitions[KEY] == "0+a+b+c"


def test_a_run_that_reads_nothing_is_not_refused_after_a_repair():
    writers = {"a": increment("a"), "b": increment("b"), "c": slow_reader("c", replaces=True)}
    world, outcome = play(World, writers, [*LATE_BETWEEN, Go("c")])
    assert "c" not in outcome.errors
    assert world.catalog.partitions[KEY] == "0+a+b+c"
    assert [change.before for change in world.protocol().undo("c")] == ["0+a+b+c"]
    assert world.catalog.partitions[KEY] == "0+a+b"


@pytest.mark.parametrize("fault", shared([*Fault, None]), ids=lambda fault: fault.value if fault else "a pause")
def test_one_fault_of_any_request_or_one_pause_loses_no_update(fault):
    # A pause beyond the lease lets both writers work at once, which has too many schedules for every day.
    limits = {"kinds": [fault]} if fault else {"kinds": [], "pauses": {"time"}, "switches": None if WHOLE else 2}
    writers = {name: work for name, work in WRITERS.items() if fault is None or name != "time"}
    explored = explore(World, writers, nothing_is_lost, faults=1, **limits)
    print(f"{fault.value if fault else 'a pause'}: {explored}")
    assert explored.exhaustive


# A request that is still under way doubles the states: these take minutes, and run before a release.
TWICE = [Fault.LOST, Fault.REPEATED, *([Fault.DOUBLED, Fault.LATE] if WHOLE else [])]


@pytest.mark.parametrize("fault", shared(TWICE), ids=lambda fault: fault.value)
def test_two_faults_or_a_fault_and_a_pause_around_another_run_lose_no_update(fault):
    explored = explore(World, WRITERS, nothing_is_lost, faults=2, kinds=[fault], pauses={"time"}, switches=1)
    print(f"two of {fault.value} or a pause: {explored}")
    assert explored.exhaustive


@pytest.mark.skipif(not WHOLE, reason="minutes each: hatch run test --whole")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kinds", shared(PAIRS), ids=lambda kinds: " and ".join(kind.value for kind in kinds))
def test_two_faults_of_one_or_both_kinds_lose_no_update_under_any_schedule(kinds):
    writers = {"a": increment("a"), "b": increment("b")}
    explored = explore(World, writers, nothing_is_lost, faults=2, kinds=kinds)
    print(f"{' and '.join(kind.value for kind in kinds)}, every schedule: {explored}")
    assert explored.exhaustive


@pytest.mark.skipif(not WHOLE, reason="ten minutes: hatch run test --whole")
@pytest.mark.timeout(7200)
def test_any_two_events_around_another_run_lose_no_update():
    writers = {**WRITERS, "later": time_passes}
    explored = explore(World, writers, nothing_is_lost, faults=2, pauses={"time", "later"}, switches=1)
    print(f"any two events: {explored}")
    assert explored.exhaustive


def test_two_faults_or_pauses_lose_no_update():
    writers = {**WRITERS, "later": time_passes}
    explored = explore(
        World, writers, nothing_is_lost, faults=2, pauses={"time", "later"}, most=len(shared(range(16_000))), seed=_seed()
    )
    print(f"two events at random: {explored}")


def _seed() -> int:
    return int(os.environ.get(PART, "0/1").split("/")[0])
