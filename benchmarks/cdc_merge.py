"""What merging changes costs: this recipe on three kinds of table, beside the usual ways.

1 % of the rows change, in 5 of 100 partitions, or spread over all of them: most are updated, one in ten is deleted, one in
ten is new. The table has 20 columns. The usual ways are the full rewrite (everything united with the changes, the newest
row of each key kept), and the MERGE statements of Iceberg and Delta, from the newest change of each key. All of them find a
row by its key alone, because a delete may carry no more.

A *copy of them* reads and writes the partitions that changes touch, and merges nothing: nobody who rewrites them is faster.

The last three sides merge the same changes, in 5 partitions of the same size, into tables with ever more partitions: the
cost should not grow with the table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from benchmarks import orders
from benchmarks.bench import Steps
from gluewright_cdc_merge import plain, table_schema
from gluewright_cdc_merge.job.publish import open_target
from gluewright_core.tables import ALL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from benchmarks.bench import Context
    from gluewright_cdc_merge.job.publish import Target

ROWS, QUICK_ROWS = 10_000_000, 100_000
PARTS = ("iceberg", "delta")
# With 2 GB the MERGE of Iceberg dies when it writes to all partitions: each task has a file open in every one.
CONF = {"spark.driver.memory": "6g"}
PARTITIONS = 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = {"a tenth of the rows": 0.1, "all rows": 1, "three times the rows": 3}
CASES = {"5 partitions": 5, "all partitions": PARTITIONS}
TABLE = {"parquet": "default.merged", "iceberg": "ice.db.merged", "delta": "default.merged"}


def prepare(context: Context) -> None:
    """Lay down the tables' rows in three sizes, and the changes."""
    for name, size in SIZES.items():
        _rows(context, int(context.rows * size)).write.partitionBy("part").parquet(f"{context.inputs}/{name}")
    for name, touched in CASES.items():
        _changes(context, touched).write.parquet(f"{context.inputs}/changes in {name}")


def _rows(context: Context, count: int) -> DataFrame:
    # Neighbours are in one partition, and a partition is as big in a small table as in a great one.
    columns = _columns("id", f"id div {context.rows // PARTITIONS}")
    return context.spark.range(count).selectExpr(*columns, "CAST(0 AS BIGINT) AS seq")


def _columns(key: str, part: str) -> list[str]:
    return [f"{key} AS id", f"CAST({part} AS INT) AS part", *orders.columns(key)]


def _changes(context: Context, touched: int) -> DataFrame:
    """Change 1 % of the rows, in the first partitions, evenly."""
    changed, each = context.rows // 100, context.rows // PARTITIONS
    numbered = context.spark.range(changed).selectExpr(
        "id AS n", "id % 10 AS kind", f"id * {each * touched // changed} AS at"
    )
    key, part = f"if(kind = 9, {10 * context.rows} + at, at)", f"at div {each}"
    op = "CASE kind WHEN 8 THEN 'delete' ELSE 'update' END AS op"
    return numbered.selectExpr(op, *_columns(key, part), "n + 1 AS seq")


def _table_rows(context: Context, size: str) -> DataFrame:
    return context.spark.read.parquet(f"{context.inputs}/{size}")


def _target(context: Context, kind: str, changes: DataFrame) -> Target:
    location = "" if kind == "iceberg" else f"file://{context.workspace}/tables/merged"
    return open_target(
        context.spark, context.table(TABLE[kind]), changes.schema, kind=kind, location=location, partition_by=["part"]
    )


def _decoded(context: Context, case: str) -> DataFrame:
    records = context.spark.read.parquet(f"{context.inputs}/changes {case}")
    return plain(records, ["id"], op="op", sequence_by=["seq"]).changes


def _ready(context: Context, kind: str, size: str = "all rows") -> None:
    """Publish the table that is merged into."""
    changes = _decoded(context, "in 5 partitions")
    rows = _table_rows(context, size).withColumn("_gw_sequence", F.struct("seq"))
    target = _target(context, kind, changes)
    target.table.publish(rows.select(table_schema(changes.schema).names), run="before", replace=ALL)


def _merge(context: Context, kind: str, case: str) -> None:
    changes = _decoded(context, case)
    _target(context, kind, changes).merge(changes, run="merge", now=NOW)


def _checked(rows: DataFrame, case: str) -> dict[str, list[str]]:
    found = rows.selectExpr("count(*)", "sum(id)", "sum(seq)", "CAST(sum(amount) AS DECIMAL(20, 2))").first()
    return {case: [str(value) for value in found or ()]}


def _check(context: Context, kind: str, case: str) -> dict[str, list[str]]:
    return _checked(context.spark.table(context.table(TABLE[kind])), case)


def _full_rewrite(context: Context, case: str) -> None:
    changes = context.spark.read.parquet(f"{context.inputs}/changes {case}")
    every = _table_rows(context, "all rows").withColumn("op", F.lit("update")).unionByName(changes)
    newest = F.row_number().over(Window.partitionBy("id").orderBy(F.desc("seq")))
    kept = every.withColumn("newest", newest).where("newest = 1 AND op <> 'delete'").drop("newest", "op")
    kept.write.partitionBy("part").parquet(f"{context.workspace}/rewritten")


def _copied(context: Context, touched: int) -> None:
    rows = _table_rows(context, "all rows").where(F.col("part") < touched)
    rows.write.partitionBy("part").parquet(f"{context.workspace}/copied")


def _statement(context: Context, kind: str, case: str) -> None:
    changes = context.spark.read.parquet(f"{context.inputs}/changes {case}")
    newest = F.row_number().over(Window.partitionBy("id").orderBy(F.desc("seq")))
    changes.withColumn("newest", newest).where("newest = 1").createOrReplaceTempView("changes")
    columns = ["id", "part", *orders.COLUMNS, "seq"]
    assigned = ", ".join(f"t.{name} = c.{name}" for name in columns)
    context.spark.sql(
        f"MERGE INTO {context.table(TABLE[kind])} t USING changes c ON t.id = c.id"
        " WHEN MATCHED AND c.op = 'delete' AND c.seq > t.seq THEN DELETE"
        f" WHEN MATCHED AND c.seq > t.seq THEN UPDATE SET {assigned}, t._gw_sequence = named_struct('seq', c.seq)"
        f" WHEN NOT MATCHED AND c.op <> 'delete' THEN INSERT ({', '.join(columns)}, _gw_sequence)"
        f" VALUES ({', '.join(f'c.{name}' for name in columns)}, named_struct('seq', c.seq))"
    )


def _nothing(context: Context) -> None:
    pass


def _sides(case: str) -> dict[str, Steps]:
    found = {
        f"{case}: {kind}": Steps(
            partial(_ready, kind=kind),
            partial(_merge, kind=kind, case=f"in {case}"),
            partial(_check, kind=kind, case=case),
        )
        for kind in TABLE
    }
    found |= {
        f"{case}: MERGE of {kind}": Steps(
            partial(_ready, kind=kind),
            partial(_statement, kind=kind, case=f"in {case}"),
            partial(_check, kind=kind, case=case),
        )
        for kind in ("iceberg", "delta")
    }
    rewritten = partial(_full_rewrite, case=f"in {case}")
    found[f"{case}: full rewrite"] = Steps(
        _nothing, rewritten, lambda context: _checked(context.spark.read.parquet(f"{context.workspace}/rewritten"), case)
    )
    found[f"{case}: copy of them"] = Steps(_nothing, partial(_copied, touched=CASES[case]), _nothing)
    return found


def _ratios(case: str, bounds: tuple[float, float, float]) -> dict[str, tuple[str, str, float]]:
    beside = dict(zip(("full rewrite", "MERGE of iceberg", "MERGE of delta"), bounds, strict=True))
    found = {
        f"{case}: parquet / {other}": (f"{case}: parquet", f"{case}: {other}", bound) for other, bound in beside.items()
    }
    return found | {
        f"{case}: {kind} / its MERGE": (f"{case}: {kind}", f"{case}: MERGE of {kind}", 0.6) for kind in ("iceberg", "delta")
    }


def _curve(size: str) -> Steps:
    return Steps(
        partial(_ready, kind="parquet", size=size),
        partial(_merge, kind="parquet", case="in 5 partitions"),
        _nothing,
    )


SIDES = {name: steps for case in CASES for name, steps in _sides(case).items()} | {size: _curve(size) for size in SIZES}
RATIOS = (
    _ratios("5 partitions", (1 / 12, 0.4, 0.3))
    | _ratios("all partitions", (0.7, 0.7, 0.7))
    | {"three times / a tenth of the rows": ("three times the rows", "a tenth of the rows", 1.3)}
)
