"""What a publish costs beside Spark's plain write of the same rows: written aside, switched and recorded, or one commit.

The plain side of Parquet is ``df.write.partitionBy(...).parquet(path)``: no catalog, no switch, nothing that a second run
could rely on. The plain sides of Iceberg and Delta make a table in the catalog as well, and fill it
by their own overwrite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluewright_core.tables import ALL, TableSpec, open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from benchmarks.bench import Context

ROWS, QUICK_ROWS = 10_000_000, 100_000
PARTS = ("iceberg", "delta")
PARTITIONS = 100


def prepare(context: Context) -> None:
    """Lay the rows down once, so that every side reads the same files."""
    rows = context.spark.range(context.rows).selectExpr(
        "id",
        f"cast(id div {max(context.rows // PARTITIONS, 1)} AS int) AS part",
        "concat('customer-', cast(id * 7919 % 100000 AS string)) AS customer",
        "cast(id * 31 % 100000 AS double) / 100 AS amount",
        "date_add(date '2026-01-01', cast(id % 365 AS int)) AS ordered",
    )
    rows.write.parquet(str(context.inputs / "rows"))


def _rows(context: Context) -> DataFrame:
    return context.spark.read.parquet(str(context.inputs / "rows"))


def _publish(context: Context, kind: str, database: str) -> None:
    rows = _rows(context)
    name = context.table(f"{database}.published")
    location = "" if kind == "iceberg" else f"file://{context.workspace}/tables/published"
    spec = TableSpec(name, rows.schema, ("part",), location)
    open_table(context.spark, spec, kind).publish(rows, run="run-1", replace=ALL)


def _plain_parquet(context: Context) -> None:
    _rows(context).write.partitionBy("part").parquet(f"{context.workspace}/plain")


def _published_parquet(context: Context) -> None:
    _publish(context, "parquet", "default")


def _plain_iceberg(context: Context) -> None:
    rows = _rows(context)
    name = context.table("ice.db.plain")
    rows.limit(0).writeTo(name).using("iceberg").partitionedBy("part").create()
    rows.writeTo(name).overwritePartitions()


def _published_iceberg(context: Context) -> None:
    _publish(context, "iceberg", "ice.db")


def _plain_delta(context: Context) -> None:
    writer = _rows(context).write.format("delta").mode("overwrite").partitionBy("part")
    writer.option("path", f"{context.workspace}/tables/plain").saveAsTable(context.table("default.plain"))


def _published_delta(context: Context) -> None:
    _publish(context, "delta", "default")


SIDES = {
    "Parquet, published": _published_parquet,
    "Parquet, plain write": _plain_parquet,
    "Iceberg, published": _published_iceberg,
    "Iceberg, plain overwrite": _plain_iceberg,
    "Delta, published": _published_delta,
    "Delta, plain overwrite": _plain_delta,
}
RATIOS = {
    "parquet": ("Parquet, published", "Parquet, plain write", 1.1),
    "iceberg": ("Iceberg, published", "Iceberg, plain overwrite", 1.1),
    "delta": ("Delta, published", "Delta, plain overwrite", 1.1),
}
