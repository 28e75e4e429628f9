"""What a job does that has this recipe's folder as a package of its own, and nothing else of the project."""


def main(spark, folder, recipe):
    old, new = recipe.SourceObject("dt=1/a.csv", "v1", 3), recipe.SourceObject("dt=2/a.csv", "v1", 5)
    found = recipe.compare([old, new], {old.key: old})
    assert [change.now for change in recipe.take(found, recipe.Limits())] == [new]
    assert recipe.digest([old, new]) == recipe.digest([old]) + recipe.digest([new])
