"""What one file costs after expensive work: parts by all tasks, joined, beside ``coalesce(1)`` and a rename.

The rows are computed while they are written, by a chain of digests that takes some two thirds of the time of
``coalesce(1)``, which draws it into one task. The file is a CSV of about 100 bytes a row, and the recipe's time includes the
control file and the digest of the whole file. *pandas* is how awswrangler writes one file too: all rows in the driver's
memory, then its CSV writer. More than a tenth of the rows is more than Spark brings to a driver by default; look at the peak
memory.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from benchmarks.bench import Steps
from gluewright_single_file_output import Csv, write_single_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from benchmarks.bench import Context

ROWS, QUICK_ROWS = 20_000_000, 100_000
PARTS = ()
CHAIN = 24


def _rows(context: Context) -> DataFrame:
    text = F.col("id").cast("string")
    for _ in range(CHAIN):
        text = F.sha2(text, 256)
    return context.spark.range(0, context.rows, 1, 16).select(
        "id",
        text.alias("digest"),
        F.expr("id % 365").alias("day"),
        F.expr("concat('customer-', id * 7919 % 100000)").alias("customer"),
    )


def _file(context: Context) -> Path:
    return context.workspace / "rows.csv"


def _start(context: Context) -> None:
    context.spark.range(1).count()


def _joined(context: Context) -> None:
    write_single_file(_rows(context), str(_file(context)))


def _coalesced(context: Context) -> None:
    folder = context.workspace / "folder"
    _rows(context).coalesce(1).write.options(**Csv().options, header=True).csv(f"file://{folder}")
    (part,) = folder.glob("part-*")
    part.replace(_file(context))


def _tenth(context: Context) -> DataFrame:
    return _rows(context).where(F.col("id") % 10 == 0)


def _joined_tenth(context: Context) -> None:
    write_single_file(_tenth(context), str(_file(context)))


def _pandas_tenth(context: Context) -> None:
    _tenth(context).toPandas().to_csv(_file(context), index=False)


def _digest(context: Context) -> str:
    with _file(context).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(context: Context) -> dict[str, int]:
    with _file(context).open("rb") as file:
        return {"lines of a tenth": sum(1 for _ in file)}


SIDES = {"joined": Steps(_start, _joined, _digest), "coalesce(1)": Steps(_start, _coalesced, _digest)}
RATIOS = {"joined / coalesce(1)": ("joined", "coalesce(1)", 1 / 1.7)}
if find_spec("pandas") and find_spec("pyarrow"):
    SIDES["joined, a tenth"] = Steps(_start, _joined_tenth, _lines)
    SIDES["pandas, a tenth"] = Steps(_start, _pandas_tenth, _lines)
    RATIOS["joined / pandas, a tenth"] = ("joined, a tenth", "pandas, a tenth", 1.0)
