"""The explorer itself: what it leaves out changes no outcome."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluewright_core.errors import GluewrightError
from gluewright_core.storage import ABSENT
from gluewright_core.tables.catalog import PartitionChange
from gluewright_testing.interleavings import Fault, explore
from gluewright_testing.memory import MemoryCatalog, MemoryStorage

KINDS = ("read", "write", "create", "replace", "delete")
STEPS = st.sampled_from([*((kind, key) for kind in KINDS for key in "ab"), ("list", "")])
PROGRAMS = st.lists(STEPS, min_size=1, max_size=3)


def running(name, program):
    def writer(storage):
        seen = []
        for number, (kind, key) in enumerate(program):
            with suppress(GluewrightError):
                seen.append(step(storage, kind, key, f"{name}{number}".encode()))
        return tuple(seen)

    return writer


def step(storage, kind, key, body):
    if kind == "read":
        found = storage.stat(key)
        return found and found.version
    if kind == "list":
        return tuple(found.key for found in storage.list_objects())
    if kind == "delete":
        return storage.delete([key])
    if kind == "replace":
        return storage.write(key, body, expect=storage.read(key)[1])
    return storage.write(key, body, **({"expect": ABSENT} if kind == "create" else {}))


def outcomes(programs, fault, look):
    found = set()
    writers = {name: running(name, program) for name, program in zip("xy", programs, strict=True)}

    def check(storage, outcome):
        found.add((storage.fingerprint(), tuple(sorted(outcome.results.items()))))

    assert explore(MemoryStorage, writers, check, look=look, faults=2, kinds=[fault]).exhaustive
    return found


@settings(max_examples=60, deadline=None)
@example(([("read", "a")], [("write", "b"), ("create", "b"), ("delete", "b")]), Fault.LATE)
@given(st.tuples(PROGRAMS, PROGRAMS), st.sampled_from([Fault.LATE, Fault.DOUBLED]))
def test_a_late_request_has_the_same_outcomes_as_if_it_arrived_at_any_step(programs, fault):
    at_any_step = outcomes(programs, fault, look=lambda storage: None)
    assert outcomes(programs, fault, look=None) == at_any_step


class Unrecognised:
    """A storage and a catalog whose states the explorer cannot tell apart: it walks every schedule to its end."""

    def __init__(self):
        self.storage, self.catalog = MemoryStorage(), MemoryCatalog()
        self.catalog.journal = self.storage.journal

    def state(self):
        return (self.storage.fingerprint(), self.catalog.fingerprint())


class Recognised(Unrecognised):
    """The same, with what the explorer needs to give up a schedule that reaches a known state."""

    @property
    def journal(self):
        return self.storage.journal

    def fingerprint(self):
        return self.state()


def stepping(name, program):
    def writer(world):
        seen = []
        for number, (kind, key) in enumerate(program):
            with suppress(GluewrightError):
                if kind == "locations":
                    seen.append(tuple(world.catalog.locations("db.t", None).items()))
                elif kind == "move":
                    at = world.catalog.partitions.get((key,))
                    world.catalog.move("db.t", [PartitionChange((key,), at, f"{name}{number}")])
                else:
                    seen.append(step(world.storage, kind, key, f"{name}{number}".encode()))
        return tuple(seen)

    return writer


def outcomes_of(make_world, programs, fault):
    found = set()
    writers = {name: stepping(name, program) for name, program in zip("xy", programs, strict=True)}

    def check(world, outcome):
        found.add((world.state(), tuple(sorted(outcome.results.items()))))

    assert explore(make_world, writers, check, faults=1, kinds=[fault]).exhaustive
    return found


MIXED = st.lists(st.one_of(STEPS, st.sampled_from([("move", "a"), ("locations", "")])), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@example(([("read", "b")], [("move", "a"), ("write", "b")]), Fault.LOST)
@given(st.tuples(MIXED, MIXED), st.sampled_from([Fault.LOST, Fault.REPEATED]))
def test_giving_up_at_a_known_state_leaves_out_no_outcome(programs, fault):
    assert outcomes_of(Recognised, programs, fault) == outcomes_of(Unrecognised, programs, fault)


def test_a_journal_that_is_made_anew_at_every_call_is_refused():
    class Concatenated(Recognised):
        @property
        def journal(self):
            return [*self.storage.journal]

    with pytest.raises(TypeError, match="one list"):
        explore(Concatenated, {"x": stepping("x", [("read", "a")])}, lambda world, outcome: None)
