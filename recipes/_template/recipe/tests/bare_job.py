"""What a job does that has this recipe's folder as a package of its own, and nothing else of the project."""


def main(spark, folder, recipe):
    versions = spark.createDataFrame([(1, 1), (1, 2), (2, 1)], "id int, at int")
    newest = recipe.newest_per_key(versions, key=["id"], newest_by=["at"])
    assert sorted(map(tuple, newest.collect())) == [(1, 2), (2, 1)]
