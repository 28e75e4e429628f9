from datetime import UTC, datetime, timedelta

import pytest

from gluewright_core.effects import effect
from gluewright_incremental.job.incremental import Incremental
from gluewright_incremental.ledger import Limits
from gluewright_testing.memory import MemoryStorage


class World:
    """A source, a ledger, and a sink that takes each run id once, all in memory; time stands still unless moved."""

    def __init__(self, **settings):
        self.source = MemoryStorage("memory://source")
        self.state = MemoryStorage("memory://state")
        self.settings = {"close_after": 2, "audit_every": 3, **settings}
        self.now = datetime(2013, 2, 1, tzinfo=UTC)
        self.sink = {}
        self.written = 0

    def put(self, *keys):
        for key in keys:
            self.written += 1
            self.source.write(key, f"{key} {self.written}".encode())

    def incremental(self, **more):
        return Incremental(
            self.source,
            consumer="flights",
            state=self.state,
            lease_seconds=120,
            patience=0,
            clock=lambda: self.now,
            **{**self.settings, **more},
        )

    def wait(self):
        """Let every lease expire."""
        self.now += timedelta(seconds=200)

    def publish(self, batch):
        with effect("sink.publish", batch.id):
            if batch.id in self.sink:
                return
            for replaced in list(self.sink) if batch.replaces_all else batch.replaces:
                self.sink.pop(replaced, None)
            self.sink[batch.id] = tuple((each.key, each.version) for each in batch.objects)

    def run(self, meanwhile=lambda: None, full=False, **limits):
        with self.incremental().batch(Limits(**limits), full=full) as batch:
            if batch:
                self.publish(batch)
            meanwhile()
        return batch

    def rows(self):
        return sorted(each for taken in self.sink.values() for each in taken)

    def objects(self):
        return sorted((each.key, each.version) for each in self.source.list_objects())


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World
