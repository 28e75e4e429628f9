"""The script of the job, for Glue, ``spark-submit`` and ``python -m gluewright_single_file_output.job``."""

from gluewright_core.job import run
from gluewright_single_file_output.job import Arguments, main

if __name__ == "__main__":
    run(main, Arguments)
