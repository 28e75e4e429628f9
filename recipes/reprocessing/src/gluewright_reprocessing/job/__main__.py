"""The script of the job, for Glue, ``spark-submit`` and ``python -m gluewright_reprocessing.job``."""

from gluewright_core.job import run
from gluewright_reprocessing.job import Arguments, main

if __name__ == "__main__":
    run(main, Arguments)
