"""Run the examples of a README in the environment that this runs in: `readme_application.py RUNNER README FOLDER`.

RUNNER is the file of gluewright_testing.readme, which is not installed there.
"""

import importlib.util
import sys
from pathlib import Path

from pyspark.sql import SparkSession


def main(runner, readme, folder):
    spec = importlib.util.spec_from_file_location("runner", runner)
    sys.modules["runner"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["runner"])
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.sql("CREATE DATABASE readme")
    ran = sys.modules["runner"].run_examples(Path(readme), {"spark": spark, "folder": folder, "database": "readme"})
    print(f"{ran} examples", flush=True)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
