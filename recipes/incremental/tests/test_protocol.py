"""Ledger and sink are an exactly-once pair; clear errors leave the ledger as it was."""

import json

import pytest

from gluewright_core.errors import ConcurrentUpdateError, InvalidStateError
from gluewright_incremental import InvalidLimitsError, ObjectsDeletedError, ObjectsRewrittenError
from gluewright_incremental.job.admin import AdminRefusedError, Note, decide, difference, mark, reset, rewind, set_to
from gluewright_incremental.job.incremental import Incremental
from gluewright_incremental.job.source_state import InvalidLedgerError
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.sharing import once, shared

pytestmark = once(1)

DOCUMENT = "_gluewright/ledgers/flights.json"
NOTE = Note("a test", "to try it")


def days(*numbers, name="a"):
    return [f"dt=2013-02-{day:02d}/{name}.csv" for day in numbers]


def keys(batch):
    return [each.key for each in batch.objects]


def filled(make_world):
    """A ledger in which something is closed, something reopens, and something is open."""
    world = make_world(audit_every=1)
    for day in (1, 2, 3, 4, 5):
        world.put(*days(day))
        world.run()
    return world


@pytest.mark.parametrize("full", [False, True])
def test_killed_anywhere_the_next_run_finishes_the_same_batch(make_world, full):
    def make():
        world = filled(make_world)
        world.put(*days(1, 2, name="late"), *days(6), "dt=2013-02-05/a.csv")
        return world

    def job(world):
        world.run(full=full)
        world.wait()

    def check(world):
        world.wait()
        assert set(world.objects()) <= set(world.rows())
        assert len(world.rows()) == len(world.objects()) + 1  # the old content of the one that was rewritten
        assert not world.run()
        section = world.incremental().section()
        assert section.known.objects == len(world.objects())
        # Nothing lies about that the document does not name, but plans of dead runs.
        named = {*section.segments, *(each.detail for each in section.closed)}
        there = {found.key.split("/source/")[1] for found in world.state.list_objects("_gluewright/ledgers/flights/source/")}
        assert {name for name in named if not name.startswith("batches/")} <= there

    def look(world):
        world.wait()
        assert len(world.sink) in {5, 6}

    assert every_kill_point(make, job, check, look=look) >= len(shared(range(16)))


def test_every_change_by_hand_survives_being_killed(make_world):
    def make():
        world = filled(make_world)
        world.put(*days(1, name="late"))
        return world

    def job(world):
        world.wait()
        if not world.incremental().section().replaces:
            rewind(world.incremental(), 2, NOTE)
        world.wait()
        while world.run():
            world.wait()

    def check(world):
        assert world.rows() == world.objects()

    assert every_kill_point(make, job, check) >= len(shared(range(20)))


def test_a_dead_run_is_followed_by_the_same_batch_whatever_came_since(world):
    world.put(*days(1, 2))
    with pytest.raises(ZeroDivisionError), world.incremental().batch() as batch:
        raise ZeroDivisionError
    world.put(*days(3))
    again = world.run()
    assert (again.id, keys(again), again.replayed) == (batch.id, days(1, 2), True)
    assert keys(world.run()) == days(3)


@pytest.mark.parametrize(("change", "error", "said"), [
    (lambda world: world.source.delete(days(2)), ObjectsDeletedError, "1 of its 2 objects are gone"),
    (lambda world: world.put(*days(2)), ObjectsRewrittenError, "1 have another content"),
])  # fmt: skip
def test_an_open_batch_whose_objects_changed_is_an_error_until_it_is_decided(world, change, error, said):
    world.put(*days(1, 2))
    with pytest.raises(ZeroDivisionError), world.incremental().batch() as batch:
        raise ZeroDivisionError
    change(world)
    before = world.state.read(DOCUMENT)
    for _ in range(2):
        with pytest.raises(error, match=said) as refused:
            world.run()
    assert "mark --dropped" in str(refused.value)
    assert world.state.read(DOCUMENT) == before
    with pytest.raises(AdminRefusedError, match=f"batch {batch.id} is open"):
        rewind(world.incremental(), 0, NOTE)
    decide(world.incremental(), NOTE, published=False)
    assert world.run().number > batch.number
    assert world.rows() == world.objects()


def test_of_two_runs_at_once_the_second_is_told(world):
    world.put(*days(1))

    def second():
        with pytest.raises(ConcurrentUpdateError, match="is held by .* until"):
            world.run()

    world.run(second)
    assert world.rows() == world.objects()


def test_a_run_that_slept_through_its_lease_neither_loses_nor_doubles_rows(world):
    world.put(*days(1))

    def slept():
        world.wait()
        world.run()
        world.put(*days(2))
        world.run()

    with pytest.raises(ConcurrentUpdateError, match="not open any more"):
        world.run(slept)
    assert world.rows() == world.objects()


def test_the_lease_is_kept_however_long_the_body_takes(make_world):
    import time

    world = make_world()
    world.put(*days(1))
    slow = Incremental(world.source, consumer="flights", state=world.state, lease_seconds=0.3, patience=0)
    with slow.batch() as batch:
        time.sleep(1)
        second = Incremental(world.source, consumer="flights", state=world.state, patience=0)
        with pytest.raises(ConcurrentUpdateError), second.batch():
            pass
    assert batch.number == 1


def test_nothing_new_writes_nothing_and_a_dry_run_neither(world):
    assert not world.incremental().plan()
    assert not world.run()
    world.put(*days(1))
    assert keys(world.incremental().plan()) == days(1)
    assert [found.key for found in world.state.list_objects() if "/leases/" not in found.key] == []


def test_several_consumers_and_sources_know_for_themselves(world):
    world.put(*days(1))
    world.run()

    def nested():
        with world.incremental(name="other").batch() as other:
            assert keys(other) == days(1, 2)

    world.put(*days(2))
    assert keys(world.run(nested)) == days(2)
    assert world.incremental().ledger.sources() == ["other", "source"]
    apart = Incremental(world.source, consumer="audit", state=world.state)
    assert keys(apart.plan()) == days(1, 2)


def test_limits_are_taken_up_by_the_next_batch_and_prefixes_with_more_to_read_stay_open(make_world):
    world = make_world(close_after=1, depth=1)
    world.put(*[f"dt=2013-02-01/{number}.csv" for number in range(7)])
    taken = [keys(world.run(max_files=3)) for _ in range(3)]
    assert [len(each) for each in taken] == [3, 3, 1]
    assert [*taken[0], *taken[1], *taken[2]] == sorted(key for key, _ in world.objects())


def test_late_objects_are_found_by_audits_and_told(make_world):
    world = make_world(close_after=1, audit_every=4)
    for day in (1, 2, 3):
        world.put(*days(day))
        world.run()
    world.put(*days(1, name="late"))
    told = []
    for day in range(4, 9):
        world.put(*days(day))
        told += world.run().late
    assert told == [{"partition": {"dt": "2013-02-01"}, "prefix": "dt=2013-02-01/", "objects": 1, "bytes": 24}]
    world.put(*days(2, name="late"))
    assert [each["prefix"] for each in world.run(full=True).late] == ["dt=2013-02-02/"]
    world.put(*days(3, name="late"))
    assert [each["prefix"] for each in world.run().late] == ["dt=2013-02-03/"]  # all is listed before nothing is new


def test_a_source_that_shrinks_is_told_and_the_ledger_stays(make_world):
    world = filled(make_world)
    world.source.delete(days(1, 5))
    before = world.state.read(DOCUMENT)
    with pytest.raises(ObjectsDeletedError, match=r"2 objects .* are not in the source any more"):
        world.run(full=True)
    assert world.state.read(DOCUMENT) == before
    world.put(*days(6))
    with world.incremental(gone="ignore").batch() as batch:
        assert keys(batch) == days(6)


def test_the_document_stays_flat_and_its_digest_is_that_of_the_source(make_world):
    from gluewright_incremental import SourceObject, digest

    world = make_world(close_after=1, audit_every=8)
    sizes = []
    for number in range(160):
        world.put(f"n={number:03d}/a.csv", f"n={number:03d}/b.csv")
        world.run()
        sizes.append(len(world.state.read(DOCUMENT)[0]))
    section = world.incremental().section()
    assert len(section.closed) == 32
    assert max(sizes[100:]) <= max(sizes[:60]) * 1.05
    listed = [SourceObject(each.key, each.version, each.size) for each in world.source.list_objects()]
    assert section.known == digest(listed)
    world.put("n=077/late.csv")
    assert keys(world.run()) == ["n=077/late.csv"]


def test_by_hand_the_ledger_is_marked_set_rewound_and_reset(make_world):
    world = filled(make_world)
    world.put(*days(6, 7), *days(1, name="late"))
    assert difference(world.incremental()) == {
        "new": [
            {"prefix": f"dt=2013-02-{day:02d}/", "objects": 1, "bytes": size} for day, size in ((1, 24), (6, 21), (7, 21))
        ],
        "rewritten": [],
        "gone": [],
    }
    assert mark(world.incremental(), "dt=2013-02-07", NOTE, dry_run=True).objects == 1
    assert mark(world.incremental(), "dt=2013-02-07", NOTE).objects == 1
    assert world.incremental().section().by_hand["why"] == "to try it"
    assert keys(world.run()) == sorted(days(6) + days(1, name="late"))
    assert set_to(world.incremental(), "dt=2013-02-05", NOTE).objects == 2
    assert keys(world.incremental().plan()) == days(6, 7)
    assert rewind(world.incremental(), 5, NOTE).batches == [max(world.sink)]
    assert keys(world.incremental().plan()) == sorted(days(6, 7) + days(1, name="late"))
    world.run()
    assert world.rows() == world.objects()
    reset(world.incremental(), NOTE)
    world.run()
    assert world.rows() == world.objects()
    assert len(world.sink) == 1


def test_what_cannot_be_read_again_is_not_forgotten(make_world):
    world = filled(make_world)
    world.source.delete(days(4))
    for change in (
        lambda **more: rewind(world.incremental(), 2, NOTE, **more),
        lambda **more: reset(world.incremental(), NOTE, **more),
    ):
        with pytest.raises(AdminRefusedError, match="dt=2013-02-04/a.csv; their rows would be taken"):
            change()
    assert rewind(world.incremental(), 4, NOTE).objects == 1
    assert rewind(world.incremental(), 2, NOTE, accept_loss=True).objects == 2
    with pytest.raises(AdminRefusedError, match="there is no batch 99"):
        rewind(world.incremental(), 99, NOTE)
    with pytest.raises(AdminRefusedError, match="say who"):
        Note("me", " ")


def test_a_rewind_past_a_rewind_forgets_what_was_read_since(make_world):
    world = filled(make_world)
    rewind(world.incremental(), 3, NOTE)
    assert rewind(world.incremental(), 5, NOTE).objects == 0
    assert keys(world.run()) == days(4, 5)
    rewind(world.incremental(), 4, NOTE)
    assert keys(world.run()) == days(4, 5)
    assert world.rows() == world.objects()


@pytest.mark.parametrize(("broken", "error", "said"), [
    (lambda body: "{", InvalidStateError, "is not a gluewright document"),
    (lambda body: json.dumps({**body, "format": 99}), InvalidStateError, "has format 99"),
    (lambda body: json.dumps({**body, "body": {**body["body"], "ledger": 99}}), InvalidLedgerError, "ledger of format 99"),
    (
            lambda body: json.dumps({**body, "body": {**body["body"], "sources": {"source": {}}}}),
            InvalidLedgerError,
            "is no ledger",
        ),
])  # fmt: skip
def test_a_ledger_that_cannot_be_read_is_an_error_and_stays(world, broken, error, said):
    world.put(*days(1))
    world.run()
    text = broken(json.loads(world.state.read(DOCUMENT)[0])).encode()
    world.state.write(DOCUMENT, text)
    with pytest.raises(error, match=said):
        world.run()
    assert world.state.read(DOCUMENT)[0] == text


def test_another_source_or_depth_under_the_same_name_is_refused(world):
    world.put(*days(1))
    world.run()
    with pytest.raises(InvalidLedgerError, match="asked for memory://source with depth 2; give another name"):
        world.incremental(depth=2).plan()
    with pytest.raises(InvalidLedgerError, match="consumer 'a/b'"):
        Incremental(world.source, consumer="a/b", state=world.state)
    with pytest.raises(InvalidLimitsError, match="close_after is 0"):
        world.incremental(close_after=0)


def test_a_broken_side_object_is_named(world):
    world.put(*days(1))
    world.run()
    segment = world.incremental().section().segments[0]
    world.state.write(f"_gluewright/ledgers/flights/source/{segment}", b"x")
    with pytest.raises(InvalidLedgerError, match=segment):
        world.run()


def test_a_ledger_that_was_deleted_is_not_begun_anew(world):
    world.put(*days(1))
    world.run()
    world.state.delete([DOCUMENT])
    world.put(*days(2))
    with pytest.raises(InvalidLedgerError, match=r"batches of it were read \(_gluewright/ledgers/flights/source/batches/0"):
        world.run()
    assert len(world.sink) == 1


@pytest.mark.parametrize("is_published", [False, True], ids=["the sink has not", "the sink has it"])
@pytest.mark.parametrize("gone", [days(1), days(1, 2)], ids=["one of two", "all"])
def test_objects_of_an_open_batch_that_are_gone_do_not_stop_a_consumer_that_ignores_them(make_world, gone, is_published):
    world = make_world(gone="ignore")
    world.put(*days(1, 2))
    with pytest.raises(ZeroDivisionError), world.incremental().batch() as batch:
        if is_published:
            world.publish(batch)
        raise ZeroDivisionError
    world.source.delete(gone)
    world.put(*days(3))
    again = world.run()
    left = [key for key in days(1, 2) if key not in gone]
    if left:
        assert (again.id, keys(again), [each.key for each in again.gone]) == (batch.id, left, gone)
        again = world.run()
    assert keys(again) == days(3)
    assert [key for key, _ in world.rows()] == (days(1, 2, 3) if is_published else [*left, *days(3)])
    assert not world.run()
