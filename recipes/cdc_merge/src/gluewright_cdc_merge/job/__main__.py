"""The script of the job, for Glue, ``spark-submit`` and ``python -m gluewright_cdc_merge.job``."""

from gluewright_cdc_merge.job import Arguments, main
from gluewright_core.job import run

if __name__ == "__main__":
    run(main, Arguments)
