"""Documents and leases on real storages."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from gluewright_core import state
from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError, DocumentOverwrittenError, InvalidStateError, OutcomeUnknownError
from gluewright_core.leases import Lease, break_lease
from gluewright_core.state import Documents
from gluewright_core.storage import ABSENT, open_storage
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import once


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.independent_s3)])
def root(request, tmp_path):
    if request.param == "local":
        return str(tmp_path)
    request.getfixturevalue("s3_server").bucket("data")
    return "s3://data/lake"


def test_a_document_is_json_that_anyone_can_read(root):
    storage = open_storage(root)
    document = Documents(storage, "watermarks").write("sales/orders", {"until": "2026-01-31", "name": "Müller"})
    raw = json.loads(storage.read("_gluewright/watermarks/sales/orders.json")[0])
    assert raw["body"] == {"until": "2026-01-31", "name": "Müller"}
    assert (raw["format"], raw["number"], document.number) == (1, 1, 1)
    assert Documents(storage, "watermarks").read("sales/orders") == document
    assert Documents(storage, "watermarks").read("other") is None


def test_the_second_of_two_writers_is_refused(root):
    documents = Documents(open_storage(root), "d")
    first = documents.write("x", {"n": 1})
    with pytest.raises(ConcurrentUpdateError, match="x"):
        documents.write("x", {"n": 1})
    documents.write("x", {"n": 2}, expect=first)
    with pytest.raises(ConcurrentUpdateError):
        documents.write("x", {"n": 3}, expect=first)
    assert documents.read("x").body == {"n": 2}


def _count(root, times):
    documents = Documents(open_storage(root), "counters")
    for _ in range(times):
        documents.update("n", lambda body: {"n": (body or {"n": 0})["n"] + 1}, attempts=200)


@once(1)
def test_processes_that_update_one_document_lose_nothing(root):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(root, 15)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert Documents(open_storage(root), "counters").read("n").body == {"n": 45}


def test_a_holder_whose_clock_is_ahead_keeps_nobody_out_for_longer_than_a_lease(root):
    documents, now = Documents(open_storage(root), "leases"), datetime(2026, 1, 1, tzinfo=UTC)
    Lease(documents, "job", holder="ahead", seconds=60, clock=lambda: now + timedelta(hours=1)).acquire()
    clock = itertools.count()
    waiter = Lease(
        documents, "job", holder="waiter", seconds=60, clock=lambda: now + timedelta(seconds=10 * next(clock)), patience=300
    )
    waiter.acquire()
    assert documents.read("job").body["holder"] == "waiter"


def test_a_lease_that_is_broken_is_free_and_says_by_whom_and_why(root):
    documents = Documents(open_storage(root), "leases")
    dead = Lease(documents, "job", holder="dead")
    dead.acquire()
    assert break_lease(documents, "job", who="Ops", why="the machine is gone") == "dead"
    assert documents.read("job").body["broken"]["why"] == "the machine is gone"
    assert break_lease(documents, "job", who="Ops", why="again") == ""
    with Lease(documents, "job", holder="next", patience=0), pytest.raises(ConcurrentUpdateError, match="dead lost its"):
        dead.renew()


def test_a_lease_renews_itself_while_its_holder_lives_and_a_loser_of_a_race_waits(root):
    documents = Documents(open_storage(root), "leases")
    with Lease(documents, "job", holder="one", seconds=0.3):
        time.sleep(0.7)
        with pytest.raises(ConcurrentUpdateError, match="held by one"):
            Lease(documents, "job", holder="hasty", patience=0).acquire()
    done: list[int] = []

    def work(number: int) -> None:
        with Lease(documents, "job", holder=str(number), patience=60):
            done.append(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert sorted(done) == list(range(8))


def test_a_document_of_a_removed_lease_is_gone_only_if_it_is_still_the_holders(root):
    documents = Documents(open_storage(root), "leases")
    lease = Lease(documents, "claim", holder="run", transient=True, reentrant=True, patience=0)
    lease.acquire()
    Lease(documents, "claim", holder="run", reentrant=True, patience=0).acquire()
    lease.release()
    assert documents.read("claim").body["holder"] == "run"
    with Lease(documents, "other", holder="run", transient=True):
        assert documents.read("other")
    assert documents.read("other") is None


@pytest.mark.parametrize("answer", [ConcurrentUpdateError, OutcomeUnknownError])
@pytest.mark.parametrize("is_overwritten", [False, True], ids=["still there", "written again since"])
def test_a_write_without_a_certain_answer_is_found_out_by_its_mark(monkeypatch, answer, is_overwritten):
    monkeypatch.setattr(state, "RETRY_PAUSES", (0, 0))

    class LostAnswer(MemoryStorage):
        lost = False

        def write(self, key, body, *, expect=ABSENT):
            version = super().write(key, body, expect=expect)
            if self.lost:
                return version
            self.lost = True
            if is_overwritten:
                other = Documents(self, "d")
                other.write("x", {"by": "another"}, expect=other.read("x"))
            raise answer("412, or nothing")

    documents = Documents(LostAnswer(), "d")
    if is_overwritten:
        with pytest.raises(DocumentOverwrittenError):
            documents.write("x", {"by": "me"})
        assert documents.read("x").body == {"by": "another"}
    else:
        assert documents.write("x", {"by": "me"}) == documents.read("x")


def test_a_write_that_never_gets_an_answer_is_neither_done_nor_refused(monkeypatch):
    monkeypatch.setattr(state, "RETRY_PAUSES", (0, 0))

    class Silent(MemoryStorage):
        def write(self, key, body, *, expect=ABSENT):
            raise OutcomeUnknownError("no answer")

    with pytest.raises(OutcomeUnknownError, match="run again to find out"):
        Documents(Silent(), "d").write("x", {})


def test_a_write_that_was_taken_and_sent_again_counts_as_written():
    class LostAnswer(MemoryStorage):
        def write(self, key, body, *, expect=ABSENT):
            version = super().write(key, body, expect=expect)
            if version:
                raise ConcurrentUpdateError("412 to the second sending of a request whose first answer was lost")
            return version

    documents = Documents(LostAnswer(), "d")
    assert documents.write("x", {"n": 1}) == documents.read("x")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{half", "not a gluewright document"),
        (b'{"format": 1}', "not a gluewright document"),
        (b'{"format": 99, "number": 1, "body": {}}', "format 99.*update gluewright"),
    ],
)
def test_a_corrupt_or_newer_document_is_refused_and_named(raw, why):
    storage = MemoryStorage()
    storage.write("_gluewright/ledgers/orders.json", raw)
    with pytest.raises(InvalidStateError, match=f"ledgers/orders.json.*{why}"):
        Documents(storage, "ledgers").read("orders")


def test_a_lease_is_refused_while_held_and_taken_when_expired_or_released(root):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    documents = Documents(open_storage(root), "leases")

    def lease(holder):
        return Lease(documents, "job", holder=holder, seconds=60, clock=lambda: now, patience=0)

    first, second = lease("run-1"), lease("run-2")
    first.acquire()
    with pytest.raises(ConcurrentUpdateError, match="held by run-1 until 2026-01-01T00:01:00"):
        second.acquire()
    now += timedelta(seconds=61)
    second.acquire()
    with pytest.raises(ConcurrentUpdateError, match="run-1 lost its lease"):
        first.renew()
    first.release()
    with pytest.raises(ConcurrentUpdateError, match="held by run-2"):
        lease("run-3").acquire()
    second.release()
    with lease("run-3"), pytest.raises(ConcurrentUpdateError, match="held by run-3"):
        lease("run-4").acquire()
    with pytest.raises(ConcurrentUpdateError, match="not held"):
        first.renew()


def test_a_patient_lease_waits_for_the_holder():
    documents = Documents(MemoryStorage(), "leases")
    Lease(documents, "job", holder="dead", seconds=0.3).acquire()
    with pytest.raises(ConcurrentUpdateError):
        Lease(documents, "job", holder="hasty", patience=0).acquire()
    with Lease(documents, "job", holder="patient", patience=5), effect("work", "x"):
        assert documents.read("job").body["holder"] == "patient"
