"""The pure part: digests add up, every object has a place in a listing, and what is taken is what was asked for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluewright_incremental import (
    Digest,
    InvalidLimitsError,
    Limits,
    ObjectsDeletedError,
    ObjectsRewrittenError,
    Range,
    SourceObject,
    UnreadablePartitionError,
    compare,
    digest,
    partition_of,
    prefix_of,
    spans,
    take,
)
from gluewright_incremental.ledger import late, range_of
from gluewright_testing.sharing import once

pytestmark = once(1)

KEYS = st.lists(
    st.sampled_from(["a", "b", "dt=1", "dt=2", "é", "\U0001f600", "a!", "a0", "x y"]), min_size=1, max_size=4
).map("/".join)
OBJECTS = st.builds(SourceObject, KEYS, st.sampled_from(["v1", "v2"]), st.integers(0, 10**15))


@given(st.lists(OBJECTS), st.lists(OBJECTS), st.randoms())
def test_digests_add_up_in_any_order_and_can_be_taken_away(some, others, draw):
    both = [*some, *others]
    draw.shuffle(both)
    assert digest(both) == digest(some) + digest(others) == digest(others) + digest(some)
    assert digest(both) - digest(others) == digest(some)
    assert digest([]) == Digest()


@given(st.sets(OBJECTS, max_size=6), st.sets(OBJECTS, max_size=6))
def test_different_sets_have_different_digests(some, others):
    assert (digest(some) == digest(others)) == (some == others)


def test_no_two_objects_are_the_same_text():
    pairs = [("a1", "", 1), ("a", "1", 1), ("a", "", 11), ("", "a1", 1), ("1:a", "", 1)]
    assert len({digest([SourceObject(*each)]).total for each in pairs}) == len(pairs)


@given(st.sets(KEYS, min_size=1, max_size=12), st.integers(0, 3), st.data())
def test_every_object_is_in_one_part_of_the_listing_and_not_before_its_start(keys, depth, data):
    """Whatever prefixes are closed and however they are joined."""
    prefixes = sorted({prefix_of(key, depth) for key in keys})
    assert [prefix_of(key, depth) for key in sorted(keys)] == sorted(prefix_of(key, depth) for key in keys)
    closed, ranges = data.draw(st.lists(st.sampled_from(prefixes), unique=True).map(sorted)), []
    while closed:
        size = data.draw(st.integers(1, len(closed)))
        ranges.append(Range(closed[0], closed[size - 1], size, Digest(), ""))
        closed = closed[size:]
    audited = [each for each in ranges if data.draw(st.booleans())]
    parts = spans(ranges, audited)
    for key in keys:
        prefix = prefix_of(key, depth)
        home = range_of(prefix, ranges)
        inside = [part for part in parts if part.has(prefix)]
        assert [part.covered_by for part in inside] == ([home] if home in audited or home is None else [])
        for part in inside:
            assert key.encode() > part.start.encode()
            assert not part.ends_at(prefix)
    for part, following in pairwise(parts):
        later = [prefix for prefix in prefixes if following.has(prefix)]
        assert all(part.ends_at(prefix) for prefix in later)


A, B, C = (SourceObject(f"dt=2013-02-0{day}/x.csv", "v1", 10 * day) for day in (1, 2, 3))
B2 = B._replace(version="v2", size=5)


def test_a_listing_is_compared_by_key_version_and_size():
    found = compare([B2, C], {each.key: each for each in (A, B)})
    assert (found.new, found.rewritten, found.gone) == ([C], [(B, B2)], [A])
    with pytest.raises(ObjectsDeletedError, match=r"1 objects \(10 bytes\) .* dt=2013-02-01/x.csv"):
        take(found, Limits())
    with pytest.raises(ObjectsRewrittenError, match="dt=2013-02-02/x.csv; say rewritten=again"):
        take(found, Limits(), gone="ignore", rewritten="fail")
    assert [each.now for each in take(found, Limits(), gone="ignore")] == [B2, C]
    assert [each.now for each in take(found, Limits(), gone="ignore", rewritten="ignore")] == [C]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), [A, B, C]),
        (Limits(max_files=2), [A, B]),
        (Limits(max_bytes=30), [A, B]),
        (Limits(max_bytes=1), [A]),
        (Limits(first="dt=2013-02-02"), [B, C]),
        (Limits(last="dt=2013-02-02"), [A, B]),
        (Limits(first="dt=2013-02-02", last="dt=2013-02-02"), [B]),
        (Limits(first="dt=2013-02-02", last="dt=2013-02"), [B, C]),
        (Limits(first="dt=2014"), []),
    ],
)
def test_a_batch_takes_the_first_objects_within_its_limits(limits, expected):
    found = compare([C, A, B], {})
    assert [each.now for each in take(found, limits)] == expected


@pytest.mark.parametrize("wrong", [{"max_files": 0}, {"max_bytes": -1}, {"first": "dt=2", "last": "dt=1"}])
def test_limits_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(InvalidLimitsError):
        Limits(**wrong)


def test_late_data_is_told_by_the_partitions_that_were_closed():
    found = compare([A, C, SourceObject("dt=2013-02-01/y.csv", "v1", 1)], {})
    assert late(take(found, Limits()), {"dt=2013-02-01/"}, 1) == [
        {"partition": {"dt": "2013-02-01"}, "prefix": "dt=2013-02-01/", "objects": 2, "bytes": 11}
    ]


def test_partitions_are_read_from_folders():
    assert partition_of("in/dt=2013-02-01/region=a%2Fb/") == {"dt": "2013-02-01", "region": "a/b"}
    assert partition_of("in/2013/") == partition_of("x=1.csv") == {}
    assert partition_of("dt=__HIVE_DEFAULT_PARTITION__/") == {"dt": None}
    for wrong in ("dt=/", "in/=1/"):
        with pytest.raises(UnreadablePartitionError, match=wrong):
            partition_of(wrong)
