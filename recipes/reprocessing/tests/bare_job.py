"""What a job does that has this recipe's folder as a package of its own, and nothing else of the project."""

from datetime import date


def main(spark, folder, recipe):
    days = recipe.days(date(2024, 2, 28), date(2024, 3, 1), {"dt": "%Y-%m-%d"})
    assert recipe.gaps(days, [recipe.digest(days[0]), recipe.digest(days[2])]) == [{"dt": "2024-02-29"}]
    old = spark.createDataFrame([(1, "a"), (2, "b")], "id int, name string")
    new = spark.createDataFrame([(1, "a"), (2, "c"), (3, "d")], "id int, name string")
    changes = recipe.counted(recipe.diff(old, new, ["id"]))
    assert (changes.same, changes.changed, changes.added) == (1, 1, 1)
    assert recipe.check(new, before=2, checks=recipe.Checks(key=["id"])) == []
