"""Random schedules against a plain model: whatever arrives, is rewritten, dies or overlaps, the sink has it once."""

import random
from collections import Counter

from gluewright_core.effects import watching
from gluewright_core.errors import ConcurrentUpdateError
from gluewright_incremental import ObjectsRewrittenError
from gluewright_incremental.job.admin import Note, decide, history, rewind
from gluewright_testing.killpoints import Killed, KillPoint
from gluewright_testing.sharing import shared

SCHEDULES = 1000
NOTE = Note("a test", "to try it")


def test_each_version_of_an_object_is_in_the_sink_once(make_world):
    met = Counter()
    for seed in shared(range(SCHEDULES)):
        try:
            _one_schedule(make_world, random.Random(seed), met)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    # The schedules are worth something only if they meet what they are about.
    for what in (
        "killed",
        "replayed",
        "late",
        "rewritten",
        "refused",
        "overtaken",
        "closed",
        "open batch changed",
        "rewound",
    ):
        assert met[what] >= 5, met


def _one_schedule(make_world, draw, met):
    world = make_world(close_after=draw.randint(1, 3), audit_every=draw.randint(1, 5), depth=draw.choice([0, 1, 1, 2]))
    for _ in range(draw.randint(5, 25)):
        _arrive(world, draw)
        for _ in range(draw.choice([0, 1, 1, 2])):
            _work(world, draw, met)
        _never_twice(world)
    met["closed"] += bool(world.incremental().section().closed)
    for _ in range(200):
        world.wait()
        if not _run(world, met, {}):
            break
    assert world.incremental().section().open_batch is None
    # Of an object that was rewritten the sink has old versions too, those that a batch saw; of the newest exactly one.
    newest = dict(world.objects())
    assert Counter(each for each in world.rows() if newest[each[0]] == each[1]) == Counter(newest.items())
    known = world.incremental().section().known
    assert (known.objects, known.bytes) == (len(newest), sum(each.size for each in world.source.list_objects()))


def _never_twice(world):
    twice = [each for each, times in Counter(world.rows()).items() if times > 1]
    assert not twice


def _arrive(world, draw):
    for _ in range(draw.randint(0, 4)):
        day = min(int(draw.expovariate(0.3)), 40) if draw.random() < 0.3 else world.written // 3
        key = f"dt={day:03d}/hour={draw.randint(0, 2)}/{draw.randint(0, 9)}.csv"
        world.put(draw.choice([key, key, key, key, f"{draw.randint(0, 5)}.csv", f"dt={day:03d}/{draw.randint(0, 3)}"]))


def _work(world, draw, met):
    limits = draw.choice(
        [{}, {}, {"max_files": 1}, {"max_files": 3}, {"max_bytes": 40}, {"full": True}, {"first": "dt=005"}]
    )
    what = draw.random()
    if what < 0.3:
        point = KillPoint(draw.randint(0, 30), draw.choice(["before", "after"]))
        try:
            with watching(point):
                _run(world, met, limits)
        except Killed:
            met["killed"] += 1
        if draw.random() < 0.7:
            world.wait()
        if draw.random() < 0.2:  # an object of the batch that is open may be rewritten
            world.put(*(each.key for each in world.source.list_objects() if draw.random() < 0.3))
    elif what < 0.5:
        # Another run begins while this one works; half of the time this one has slept through its lease.
        sleeps = draw.random() < 0.5

        def other():
            if sleeps:
                world.wait()
            _run(world, met, limits)

        _run(world, met, limits, other, overtaken=sleeps)
    elif what < 0.55:
        _rewind(world, draw, met)
    else:
        _run(world, met, limits)


def _run(world, met, limits, meanwhile=lambda: None, overtaken=False):
    """Run once; tell whether anything was read. A run that cannot go on is settled as its message says."""
    try:
        batch = world.run(meanwhile, **limits)
    except ConcurrentUpdateError:
        met["overtaken" if overtaken else "refused"] += 1
        return True
    except ObjectsRewrittenError:
        met["open batch changed"] += 1
        opened = world.incremental().section().open_batch.id
        world.wait()
        decide(world.incremental(), NOTE, published=opened in world.sink)
        return True
    met.update({"replayed": batch.replayed, "late": bool(batch.late), "rewritten": bool(batch.rewritten)})
    return bool(batch)


def _rewind(world, draw, met):
    section = world.incremental().section()
    if section.open_batch is None and section.last:
        world.wait()
        numbers = [plan.number for plan in history(world.incremental().ledger, world.incremental().shelf)]
        met["rewound"] += bool(rewind(world.incremental(), draw.choice([0, *numbers]), NOTE).objects)
