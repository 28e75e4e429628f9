"""The report on groups is what counting in plain Python gives."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from gluewright_pii_masking import InvalidReportError, reidentification


def test_the_report_is_what_plain_counting_gives(spark):
    chance = random.Random(1)
    people = [
        (chance.choice([1980, 1990, None]), chance.choice("fm"), chance.choice(["flu", "cold", None]), chance.choice("xy"))
        for _ in range(60)
    ]
    people += [(1900, "f", "flu", "x"), (1901, "m", "cold", "y")]
    groups = defaultdict(list)
    for year, sex, ill, other in people:
        groups[year, sex].append((ill, other))
    sizes = [len(group) for group in groups.values()]
    given = spark.createDataFrame(people, "`year of birth` int, sex string, ill string, other string")
    report = reidentification(given, ["year of birth", "sex"], sensitive=["ill", "other"], wanted_k=9).first()
    assert tuple(report) == (
        len(people),
        len(groups),
        1,
        2,
        sum(size for size in sizes if size < 9),
        (1, 1),
    )
    large = given.where("`year of birth` IS NULL OR `year of birth` > 1901")
    report = reidentification(large, ["sex", "year of birth"], sensitive=["ill"])
    kept = [group for group in groups.values() if len(group) > 1]
    assert report.first()["k"] == min(map(len, kept))
    assert tuple(report.first()["l"]) == (min(len({ill for ill, _ in group}) for group in kept),)


def test_no_rows_and_columns_that_are_not_there(spark):
    given = spark.createDataFrame([], "a int, b int")
    assert tuple(reidentification(given, ["a"]).first()) == (0, 0, None, 0, 0, None)
    for arguments, said in ((["c"], "no column c; there are a, b"), ([], "at least one")):
        with pytest.raises(InvalidReportError, match=said):
            reidentification(given, arguments)
