"""What a job does that has these hearts as files, and nothing else of ours."""

from datetime import date


def main(spark, folder, plan, compare):
    days = plan.days(date(2024, 2, 28), date(2024, 3, 1), {"dt": "%Y-%m-%d"})
    assert plan.gaps(days, [plan.digest(days[0]), plan.digest(days[2])]) == [{"dt": "2024-02-29"}]
    old = spark.createDataFrame([(1, "a"), (2, "b")], "id int, name string")
    new = spark.createDataFrame([(1, "a"), (2, "c"), (3, "d")], "id int, name string")
    changes = compare.counted(compare.diff(old, new, ["id"]))
    assert (changes.same, changes.changed, changes.added) == (1, 1, 1)
    assert compare.check(new, before=2, checks=compare.Checks(key=["id"])) == []
