"""Two runs in every order of their steps, each also killed at every step, with leases that protect nothing."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from gluewright_core import state
from gluewright_core.errors import ConcurrentUpdateError, DocumentOverwrittenError, OutcomeUnknownError
from gluewright_core.storage import ABSENT
from gluewright_incremental.job.incremental import Incremental
from gluewright_testing.interleavings import Fault, explore
from gluewright_testing.killpoints import Killed
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import shared

DAYS = ["dt=2013-02-01/a.csv", "dt=2013-02-02/a.csv"]


def run(world, hours):
    """The source, the ledger and the sink lie in one storage; what begins with _ is not read."""
    now = datetime(2013, 2, 1, tzinfo=UTC) + timedelta(hours=hours)
    incremental = Incremental(
        world, consumer="c", state=world, close_after=1, patience=0, lease_seconds=120, clock=lambda: now
    )
    with incremental.batch() as batch:
        if batch:
            rows = json.dumps([(each.key, each.version) for each in batch.objects]).encode()
            try:
                world.write(f"_sink/{batch.id}", rows, expect=ABSENT)
            except ConcurrentUpdateError:
                assert world.read(f"_sink/{batch.id}")[0] == rows
    return bool(batch)


def make_world():
    world = MemoryStorage()
    for number, key in enumerate(DAYS):
        world.write(key, b"x" * (number + 1))
        if number == 0:
            run(world, 0)
    return world


def check(world, outcome):
    expected = (ConcurrentUpdateError, DocumentOverwrittenError, OutcomeUnknownError, Killed)
    assert all(isinstance(error, expected) for error in outcome.errors.values()), outcome.errors
    hours = 10
    while run(world, hours):
        hours += 1
    taken = [tuple(row) for found in world.list_objects("_sink/") for row in json.loads(world.read(found.key)[0])]
    assert Counter(taken) == Counter((key, world.stat(key).version) for key in DAYS)


# To the second run the first one's lease has always expired.
WRITERS = {"one": lambda world: run(world, 1), "two": lambda world: run(world, 2)}


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(state, "RETRY_PAUSES", (0, 0, 0, 0))


@pytest.mark.parametrize("fault", shared([None, *Fault]), ids=lambda fault: fault.value if fault else "a death")
def test_two_runs_whose_leases_do_not_protect_them_publish_each_object_once(fault):
    limits = {"faults": 1, "kinds": [fault], "switches": 2} if fault else {"kills": 1}
    explored = explore(make_world, WRITERS, check, **limits)
    print(f"{fault.value if fault else 'a death'}: {explored}")
    assert explored.exhaustive
    assert explored.states > 200
