"""Every effect is killed once, by one run or by several that share the work."""

import pytest

from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import PART, SHARE, in_turn, once, shared

KEYS = ["a", "b", "c"]


def visited(monkeypatch, share, part="0/1"):
    """Run a job of three writes with this share; returns what each dead attempt left, and how many points that was."""
    monkeypatch.setenv(SHARE, share)
    monkeypatch.setenv(PART, part)
    left = []

    def job(world):
        for key in KEYS:
            world.write(key, b"1")

    def look(world):
        left.append([found.key for found in world.list_objects()])

    points = every_kill_point(MemoryStorage, job, lambda _: None, look=look)
    return left, points


def test_runs_that_share_the_kill_points_visit_them_all_and_none_twice(monkeypatch):
    every = [KEYS[:written] for written in range(4)]
    assert visited(monkeypatch, "0/1") == (every, 6)
    (first, some), (second, others) = visited(monkeypatch, "0/2"), visited(monkeypatch, "1/2")
    assert sorted(first + second) == every
    assert some + others == 6


def test_runs_that_take_a_part_of_their_share_visit_them_all_in_so_many_days(monkeypatch):
    days = [[visited(monkeypatch, f"{line}/2", f"{day}/2") for line in (0, 1)] for day in (0, 1)]
    assert sorted(each for lines in days for left, _ in lines for each in left) == [KEYS[:written] for written in range(4)]
    monkeypatch.setenv(SHARE, "1/2")
    for part in range(7):
        monkeypatch.setenv(PART, f"{part}/7")
        assert (len(shared([1, 2, 3])), shared([])) == (1, [])


def test_what_one_of_the_runs_has_is_the_others_with_the_next_part_and_every_ones_without_parts(monkeypatch):
    def have_it(part, days=1):
        monkeypatch.setenv(PART, part)
        lines = []
        for line in (0, 1):
            monkeypatch.setenv(SHARE, f"{line}/2")
            lines += [line] if not once(0, days=days).args[0] else []
        return lines

    assert [have_it(part) for part in ("0/3", "1/3", "2/3", "0/1")] == [[0], [1], [0], [0, 1]]
    assert [have_it(f"{part}/4", days=2) for part in range(4)] == [[0], [], [1], []]
    monkeypatch.setenv(SHARE, "1/2")
    kinds = []
    for part in ("0/3", "1/3", "0/1"):
        monkeypatch.setenv(PART, part)
        kinds.append(in_turn(["iceberg", "delta"]))
    assert kinds == [["delta"], ["iceberg"], ["iceberg", "delta"]]


@pytest.mark.parametrize("share", ["", "2", "1/0"])
def test_a_share_that_is_none_is_refused(monkeypatch, share):
    monkeypatch.setenv(SHARE, share)
    with pytest.raises(ValueError, match="GLUEWRIGHT_SHARE"):
        shared([1])
    monkeypatch.setenv(SHARE, "0/1")
    monkeypatch.setenv(PART, share)
    with pytest.raises(ValueError, match="GLUEWRIGHT_PART"):
        shared([1])
