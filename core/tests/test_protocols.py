"""The protocols of state and publishing against every schedule of two writers, and every death, on an in-memory store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from gluewright_core import leases
from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError, PublishTakenOverError, UnsupportedTableError
from gluewright_core.leases import Lease
from gluewright_core.state import Documents
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_testing.interleavings import explore
from gluewright_testing.memory import MemoryCatalog, MemoryStorage
from gluewright_testing.sharing import once

pytestmark = once(0)


class World:
    """A store, a catalog of partitions and a clock that only moves when it is told to."""

    def __init__(self, batch: int = 1) -> None:
        self.storage = MemoryStorage()
        self.catalog = MemoryCatalog(batch=batch)
        self.catalog.journal = self.storage.journal
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.inside: list[str] = []
        self.began: dict[str, int] = {}

    def clock(self) -> datetime:
        return self.now

    @property
    def journal(self):
        return self.storage.journal

    def fingerprint(self):
        return (self.storage.fingerprint(), self.catalog.fingerprint(), self.now, tuple(self.inside))

    def protocol(self) -> CommitProtocol:
        return CommitProtocol(self.catalog, "db.t", ["p"], self.storage, "t", clock=self.clock, patience=0)


def time_passes(world: World) -> None:
    with effect("clock.jump", "lease"):
        world.now += timedelta(seconds=leases.LEASE_SECONDS + 1)


def test_compare_and_swap_loses_no_increment():
    def add_one(world: World) -> None:
        Documents(world.storage, "counters").update("n", lambda body: {"n": (body or {"n": 0})["n"] + 1})

    def none_is_lost(world: World, outcome) -> None:
        found = Documents(world.storage, "counters").read("n")
        assert found.body["n"] == found.number == 3 - len(outcome.errors)

    explored = explore(World, {"a": add_one, "b": add_one, "c": add_one}, none_is_lost)
    print(f"compare-and-swap: {explored}")
    assert explored.exhaustive
    assert explored.states > 100


def test_a_killed_writer_leaves_the_old_document_or_the_new_one():
    def write(world: World) -> None:
        documents = Documents(world.storage, "d")
        documents.write("x", {"by": 1}, expect=documents.read("x"))

    def one_whole_document(world: World, outcome) -> None:
        found = Documents(world.storage, "d").read("x")
        done = [name for name in outcome.results if name not in outcome.errors]
        assert (found is None) == (not done)
        assert all(isinstance(error, ConcurrentUpdateError) or "killed" in str(error) for error in outcome.errors.values())

    explored = explore(World, {"a": write, "b": write}, one_whole_document, kills=2)
    print(f"conditional write with deaths: {explored}")


def test_a_lease_never_has_two_holders_at_once_even_when_holders_die():
    def work(name: str):
        def writer(world: World) -> str:
            with Lease(Documents(world.storage, "leases"), "job", holder=name, clock=world.clock, patience=0) as lease:
                for _ in range(2):
                    lease.renew()
                    with effect("protected.work", name):
                        world.inside.append(name)
            return "done"

        return writer

    def whole_or_cut_short(world: World, outcome) -> None:
        for name in ("a", "b"):
            if outcome.results.get(name) == "done":
                assert world.inside.count(name) == 2

    def never_alternating(world: World) -> None:
        runs = [name for at, name in enumerate(world.inside) if at == 0 or world.inside[at - 1] != name]
        assert len(runs) == len(set(runs)), f"the protected work alternated: {world.inside}"

    def time_may_pass(name: str, pending) -> bool:
        # The lease's assumption: a protected step lasts less than the lease.
        return name != "time" or all(happening.kind != "protected.work" for happening in pending.values())

    explored = explore(
        World,
        {"a": work("a"), "b": work("b"), "time": time_passes},
        whole_or_cut_short,
        look=never_alternating,
        enabled=time_may_pass,
        kills=1,
    )
    print(f"leases: {explored}")
    assert explored.exhaustive


BEFORE = {("x",): "old/x", ("y",): "old/y", ("z",): "old/z"}
BY_A = {("x",): "a/x", ("y",): None}
BY_B = {("y",): "b/y", ("z",): "b/z"}
BY_C = {("z",): "c/z", ("w",): "c/w"}
TARGETS = {"a": BY_A, "b": BY_B, "c": BY_C, "d": {("y",): "d/y"}, "e": {("y",): "e/y"}}


def make_world() -> World:
    world = World()
    world.catalog.partitions.update(BEFORE)
    return world


def publisher(run: str, targets, rows: int):
    def writer(world: World):
        protocol = world.protocol()
        world.began[run] = since = protocol.version()
        with effect("spark.write", run):
            pass
        return protocol.publish(run, targets, since=since, rows=rows)

    return writer


def late_publisher(run: str, targets, rows: int):
    """A run that first finishes what another left, as the next scheduled run would, and then publishes."""

    def writer(world: World):
        world.protocol().finish(run)
        return publisher(run, targets, rows)(world)

    return writer


def after(*publishes) -> dict:
    found = dict(BEFORE)
    for targets in publishes:
        found.update(targets)
    return {key: at for key, at in found.items() if at}


def settled(world: World) -> dict:
    """What the table is once the next run has come by, long after every death."""
    world.now += timedelta(seconds=10 * leases.LEASE_SECONDS)
    world.protocol().finish("next")
    return world.catalog.partitions


def between_protected_steps(name: str, pending) -> bool:
    """The lease's assumption: a protected step lasts less than the lease."""
    return name != "time" or all(not happening.kind.startswith("catalog.") for happening in pending.values())


def after_an_end(name: str, pending) -> bool:
    """Time passes when one of two writers has ended, well or by death."""
    return name != "time" or len(pending) <= 2


def only_published_files(world: World) -> None:
    for key, at in world.catalog.partitions.items():
        assert at in {BEFORE.get(key), BY_A.get(key), BY_B.get(key)}


def in_order(world: World, *runs: str) -> list[str]:
    """The runs that published, in order; none may have replaced what was published after it began."""
    receipts = sorted((r for run in runs if (r := world.protocol().record(run))), key=lambda receipt: receipt.version)
    for earlier, later in pairwise(receipts):
        shared = set(TARGETS[earlier.run]) & set(TARGETS[later.run])
        assert not shared or world.began[later.run] >= earlier.version, f"{later.run} overwrote {shared} of {earlier.run}"
    return [receipt.run for receipt in receipts]


@pytest.mark.parametrize("kills", [0, 1])
def test_two_publishes_of_a_shared_partition_one_wins_and_nothing_is_half_applied(kills):
    def all_or_nothing(world: World, outcome) -> None:
        found = settled(world)
        order = in_order(world, "a", "b")
        assert found == after(*[TARGETS[run] for run in order])
        for run, error in outcome.errors.items():
            assert not isinstance(error, ConcurrentUpdateError) or run not in order
        for run in outcome.results:
            assert run == "time" or run in order
        assert order or kills

    explored = explore(
        make_world,
        {"a": publisher("a", BY_A, 1), "b": publisher("b", BY_B, 2), **({"time": time_passes} if kills else {})},
        all_or_nothing,
        look=only_published_files,
        enabled=after_an_end,
        kills=kills,
    )
    print(f"publish against publish, {kills} deaths: {explored}")
    assert explored.exhaustive


def test_a_run_that_loses_its_lease_applies_nothing_over_a_later_publish():
    def serial(world: World, outcome) -> None:
        found = settled(world)
        assert found == after(*[TARGETS[run] for run in in_order(world, "d", "e")])

    explored = explore(
        make_world,
        {"d": publisher("d", TARGETS["d"], 1), "e": late_publisher("e", TARGETS["e"], 2), "time": time_passes},
        serial,
        switches=4,
        enabled=lambda name, pending: between_protected_steps(name, pending) and (name != "e" or "time" not in pending),
    )
    print(f"publish against a publish that begins when the lease has expired: {explored}")
    assert explored.exhaustive


def test_a_run_that_loses_its_lease_while_it_switches_is_finished_by_the_other():
    def one_of_the_two(world: World, outcome) -> None:
        published = settled(world) == after(BY_A)
        assert published or world.catalog.partitions == BEFORE
        assert published == (world.protocol().record("a") is not None)
        error = outcome.errors.get("a")
        assert isinstance(error, PublishTakenOverError | ConcurrentUpdateError | None)
        assert published == (error is None or isinstance(error, PublishTakenOverError))

    explored = explore(
        make_world,
        {"a": publisher("a", BY_A, 1), "other": lambda world: world.protocol().finish("other"), "time": time_passes},
        one_of_the_two,
        look=only_published_files,
        enabled=between_protected_steps,
    )
    print(f"publish against take-over: {explored}")
    assert explored.exhaustive


def test_two_attempts_of_one_run_publish_once():
    def once(world: World, outcome) -> None:
        assert settled(world) == after(BY_A)
        assert Documents(world.storage, "tables/t").read("head").body["version"] == 1

    explored = explore(
        make_world,
        {"first": publisher("a", BY_A, 1), "second": publisher("a", BY_A, 1)},
        once,
        look=only_published_files,
    )
    print(f"two attempts of one run: {explored}")
    assert explored.exhaustive


def test_undo_against_a_later_publish_gives_one_of_the_two_orders():
    def with_a_published() -> World:
        world = make_world()
        publisher("a", BY_A, 1)(world)
        return world

    def undo(world: World) -> None:
        world.protocol().undo("a")

    def serial(world: World, outcome) -> None:
        found = settled(world)
        b_published = world.protocol().record("b") is not None
        undone = world.protocol().record("a") is None
        expected = {
            (True, True): after(BY_B),  # undone first, then b
            (True, False): after(BY_A, BY_B),
            (False, True): after(),
            (False, False): after(BY_A),
        }
        assert found == expected[b_published, undone]

    explored = explore(
        with_a_published,
        {"undo": undo, "b": publisher("b", BY_B, 2), "time": time_passes},
        serial,
        enabled=after_an_end,
        kills=1,
    )
    print(f"undo against publish: {explored}")
    assert explored.exhaustive


def test_three_runs_at_random_settle_to_a_serial_order():
    def every_receipt_is_whole(world: World, outcome) -> None:
        found = settled(world)
        assert found == after(*[TARGETS[run] for run in in_order(world, "a", "b", "c")])

    explored = explore(
        make_world,
        {"a": publisher("a", BY_A, 1), "b": publisher("b", BY_B, 2), "c": publisher("c", BY_C, 3), "time": time_passes},
        every_receipt_is_whole,
        enabled=between_protected_steps,
        kills=2,
        most=1000,
    )
    print(f"three runs at random: {explored}")


def test_undo_of_a_run_that_never_published_is_refused():
    with pytest.raises(UnsupportedTableError, match="run nobody has not published here"):
        make_world().protocol().undo("nobody")
