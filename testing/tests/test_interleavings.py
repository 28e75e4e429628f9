"""The explorer itself: what it leaves out changes no outcome."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluewright_core.errors import GluewrightError
from gluewright_core.storage import ABSENT
from gluewright_testing.interleavings import Fault, explore
from gluewright_testing.memory import MemoryStorage

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
