"""What a job does that has this recipe's folder as a package of its own, and nothing else of the project."""

from pathlib import Path


def main(spark, folder, recipe):
    rows = spark.range(1000).repartition(4)
    written = recipe.write_single_file(rows, f"{folder}/numbers.csv", order_by=["id"])
    assert written.rows == 1000
    assert Path(folder, "numbers.csv").read_text().split() == ["id", *map(str, range(1000))]
