"""Old rows beside new ones against a model in plain Python, and the checks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from pyspark.sql import functions as F

from gluewright_reprocessing import Changes, Checks, InvalidCompareError, check, counted, diff
from gluewright_testing.rows import rows

COLUMNS = ["k1", "k2", "s", "x", "at"]
SCHEMA = "case int, k1 int, k2 string, s string, x double, at int"


pytestmark = pytest.mark.usefixtures("interpreted")


def cases(number: int) -> Iterator[tuple[list[tuple], list[tuple]]]:
    """Draw old and new rows with NULLs everywhere, NaN, double keys, and keys on one side only."""
    draw = random.Random(7)

    def row():
        nan = float("nan")
        key = (draw.choice([1, 2, None]), draw.choice(["a", "b", None]))
        return (*key, draw.choice(["u", None]), draw.choice([1.0, nan, None]), draw.randrange(9))

    for _ in range(number):
        old = [row() for _ in range(draw.randrange(5))]
        new = [draw.choice(old) if old and draw.random() < 0.6 else row() for _ in range(draw.randrange(5))]
        yield old, new


def model(old: list[tuple], new: list[tuple]) -> Changes:
    """Compare as a person would, key by key."""
    found, columns = Counter(), Counter()
    for key in {row[:2] for row in [*old, *new]}:
        was, is_ = ([row for row in side if row[:2] == key] for side in (old, new))
        if not was:
            found["added"] += len(is_)
        elif not is_:
            found["removed"] += len(was)
        elif len(was) > 1 or len(is_) > 1:
            found["ambiguous_before"] += len(was)
            found["ambiguous_after"] += len(is_)
        else:
            differing = [name for at, name in ((2, "s"), (3, "x")) if repr(was[0][at]) != repr(is_[0][at])]
            columns.update(differing)
            found["changed" if differing else "same"] += 1
    return Changes(**found, columns=dict(columns))


def test_what_changed_is_what_a_model_in_plain_python_says(spark):
    drawn = list(cases(60))
    old, new = (
        rows(spark, SCHEMA, [(number, *row) for number, case in enumerate(drawn) for row in case[side]]).cache()
        for side in (0, 1)
    )
    # All cases in one pass: the case is one more column of the key.
    told = (
        diff(old, new, ["case", "k1", "k2"], ignore=["at"])
        .groupBy("key.case", "change")
        .agg(
            F.sum("n_old").alias("n_old"),
            F.sum("n_new").alias("n_new"),
            F.flatten(F.collect_list("columns")).alias("columns"),
        )
    )
    found: dict[int, dict] = {number: {"columns": Counter()} for number in range(len(drawn))}
    for row in told.collect():
        sides = {"ambiguous_before": row["n_old"], "ambiguous_after": row["n_new"]}
        one = {row["change"]: row["n_new"] or row["n_old"]}
        found[row["case"]].update(sides if row["change"] == "ambiguous" else one)
        found[row["case"]]["columns"].update(row["columns"])
    for number, (before, after) in enumerate(drawn):
        assert Changes(**{**found[number], "columns": dict(found[number]["columns"])}) == model(before, after), drawn[number]
    together = counted(diff(old, new, ["case", "k1", "k2"], ignore=["at"]))
    every = [model(*case) for case in drawn]
    assert (together.before, together.after) == (sum(len(o) for o, _ in drawn), sum(len(n) for _, n in drawn))
    assert together.changed == sum(each.changed for each in every) > 0
    assert together.columns == dict(sum((Counter(each.columns) for each in every), Counter()))
    assert together.ambiguous_before > 0


def test_a_difference_has_its_old_and_new_values_and_odd_names_do_no_harm(spark):
    schema = "`the key` int, `a.b` string, p struct<q: int>, old int"
    old = rows(spark, schema, [(1, "x", (1,), 1), (2, "y", None, 2)])
    new = rows(spark, schema, [(1, "x", (2,), 1), (2, "y", None, 2)])
    (found,) = diff(old, new, ["the key"]).where("change = 'changed'").collect()
    assert (found["key"]["the key"], found["columns"], found["old"]["p"]["q"], found["new"]["p"]["q"]) == (1, ["p"], 1, 2)
    assert str(counted(diff(old, new, ["the key"]))) == "0 added, 0 removed, 1 changed, 1 same (p 1)"
    only_key = old.select("the key")
    assert counted(diff(only_key, only_key.limit(0), ["the key"])) == Changes(removed=2)


def test_rows_that_cannot_be_compared_are_refused_by_name(spark):
    old = rows(spark, "k int, m map<string, int>", [])
    with pytest.raises(InvalidCompareError, match="column m holds a map"):
        diff(old, old, ["k"])
    assert counted(diff(old, old, ["k"], ignore=["m"])) == Changes()
    with pytest.raises(InvalidCompareError, match="column v is not among the old"):
        diff(old, rows(spark, "k int, v int", []), ["k"])
    with pytest.raises(InvalidCompareError, match="at least one column"):
        diff(old, old, [])
    with pytest.raises(InvalidCompareError, match=r"\['z'\]"):
        check(old, None, Checks(key=["z"]))


def test_checks_say_what_is_wrong_and_how_often_and_no_value(spark):
    given = rows(spark, "k int, s string, x double", [(1, "a", 1.0), (1, "a", -2.0), (None, "b", None), (None, "b", 3.0)])
    checks = Checks(
        key=["k", "s"], at_least=0.9, at_most=1.5, conditions={"not negative": "x >= 0", "fine": "s IS NOT NULL"}
    )
    assert check(given, 4, checks) == [
        "key column k is NULL in 2 rows",
        "the key (k, s) is not unique: 2 rows too many",
        "not negative does not hold for 1 rows",
    ]
    assert check(given, 5, Checks(at_least=0.9)) == ["4 rows instead of 5: fewer than 90% of them"]
    assert check(given, 2, Checks(at_most=1.5)) == ["4 rows instead of 2: more than 150% of them"]
    assert check(given, 0, Checks(at_least=0.9, at_most=1.5)) == []
    assert check(given.limit(0), 0, checks) == []
    with pytest.raises(InvalidCompareError, match="give their number"):
        check(given, None, Checks(at_least=1))
