"""One Spark application that uses the folder of every recipe, each as that recipe's tests/bare_job.py does.

Its argument is a file of JSON: for each recipe the place of its bare job, the package that its folder is imported as, and
the modules of that package.
"""

import importlib
import json
import runpy
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession


def main(todo):
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for file in todo["copies"]:
        spark.sparkContext.addPyFile(file)
    for recipe, job in todo["recipes"].items():
        folder = Path(todo["folder"], recipe)
        folder.mkdir()
        runpy.run_path(job["bare_job"])["main"](spark, str(folder), importlib.import_module(job["package"]))
        print("used", recipe, flush=True)
    modules = [module for job in todo["recipes"].values() for module in job["modules"]]
    driver = [importlib.import_module(module).__file__ for module in modules]
    print("driver", json.dumps(driver), flush=True)

    def imported(_):
        time.sleep(0.2)  # so that one executor does not take all the tasks
        return json.dumps([str(Path(importlib.import_module(module).__file__).absolute()) for module in modules])

    for files in sorted(set(spark.sparkContext.parallelize(range(8), 8).map(imported).collect())):
        print("executor", files, flush=True)
    ours = sorted(name for name in sys.modules if name.partition(".")[0].startswith("gluewright"))
    print("packages", json.dumps(ours), flush=True)
    spark.stop()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
