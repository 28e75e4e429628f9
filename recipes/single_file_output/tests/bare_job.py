"""What a job does that has this heart as a file, and nothing else of ours."""

from pathlib import Path


def main(spark, folder, single_file):
    rows = spark.range(1000).repartition(4)
    written = single_file.write_single_file(rows, f"{folder}/numbers.csv", order_by=["id"])
    assert written.rows == 1000
    assert Path(folder, "numbers.csv").read_text().split() == ["id", *map(str, range(1000))]
