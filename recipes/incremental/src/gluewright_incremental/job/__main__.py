"""The script of the job, for Glue, ``spark-submit`` and ``python -m gluewright_incremental.job``."""

from gluewright_core.job import run
from gluewright_incremental.job import Arguments, main

if __name__ == "__main__":
    run(main, Arguments)
