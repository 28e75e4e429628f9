"""What redoing 30 partitions one by one costs beside the writes alone: the ledger, the staging and the switches.

The plain side overwrites the same partitions one after the other, each by Spark's own write of its folder: no catalog, no
ledger, nothing that a second run could go on from. The third side redoes four at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from benchmarks import orders
from benchmarks.bench import Steps
from gluewright_core.tables import ALL, TableSpec, open_table
from gluewright_reprocessing.job.reprocessing import open_reprocessing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from benchmarks.bench import Context
    from gluewright_core.tables import Table

ROWS, QUICK_ROWS = 15_000_000, 300_000
PARTS = ()
PARTITIONS = 30


def prepare(context: Context) -> None:
    """Lay the source down once, by partition, so that every side reads the same files."""
    part = f"CAST(id div {max(context.rows // PARTITIONS, 1)} AS INT) AS part"
    rows = context.spark.range(context.rows).selectExpr("id", *orders.columns("id"), part)
    rows.repartition(4).write.partitionBy("part").parquet(str(context.inputs / "rows"))


def _rows(context: Context) -> DataFrame:
    return context.spark.read.parquet(str(context.inputs / "rows")).select("id", *orders.COLUMNS, "part")


def _table(context: Context) -> Table:
    spec = TableSpec("default.redone", _rows(context).schema, ("part",), f"file://{context.workspace}/tables/redone")
    return open_table(context.spark, spec)


def _ready(context: Context) -> None:
    _table(context).publish(_rows(context).limit(1), run="before", replace=ALL)


def _redo(context: Context, concurrency: int) -> None:
    rows = _rows(context)
    redo = open_reprocessing(_table(context), lambda partition, _: rows.where(F.col("part") == partition["part"]))
    redo.run([{"part": part} for part in range(PARTITIONS)], run="run", concurrency=concurrency).require()


def _check(context: Context) -> int:
    return _table(context).read().count()


def _overwrite(context: Context) -> None:
    rows = _rows(context)
    for part in range(PARTITIONS):
        one = rows.where(F.col("part") == part).drop("part")
        one.write.mode("overwrite").parquet(f"{context.workspace}/plain/part={part}")


def _check_plain(context: Context) -> int:
    return context.spark.read.parquet(f"{context.workspace}/plain").count()


SIDES = {
    "redone one by one": Steps(_ready, partial(_redo, concurrency=1), _check),
    "redone four at once": Steps(_ready, partial(_redo, concurrency=4), _check),
    "overwritten one by one": Steps(lambda _: None, _overwrite, _check_plain),
}
RATIOS = {
    "one by one": ("redone one by one", "overwritten one by one", 1.1),
    "four at once": ("redone four at once", "overwritten one by one", 1.1),
}
