"""What it costs to hold rows to a contract, beside a plain select of casts, which lets through what it cannot read.

Every side reads 20 columns of a realistic mix from files and writes Parquet. The *text* sides read CSV, the *typed* sides
Parquet whose numbers and times are a little wider than the contract's. All values fit: every side writes the same rows.

``hatch run peers:bench conform`` adds pandera, which casts (``coerce``) and checks the columns' types, not whether a value
was lost by the cast. DQX is not compared: its licence allows its use with Databricks' services only.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from gluewright_core.schema.conform import conform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    from benchmarks.bench import Context

ROWS, QUICK_ROWS = 5_000_000, 100_000
PARTS = ()
# Column: the contract's type, the wider one it comes in, and how it is made of a row's number.
COLUMNS = {
    "id": ("bigint", "bigint", "id"),
    "line": ("int", "bigint", "id % 12 + 1"),
    "quantity": ("int", "bigint", "id * 7919 % 500"),
    "stock": ("int", "int", "id * 31 % 90000 - 1000"),
    "store": ("smallint", "int", "id % 900"),
    "session": ("bigint", "decimal(20,0)", "id * 1000003"),
    "parent": ("bigint", "bigint", "if(id % 5 = 0, NULL, id div 5)"),
    "price": ("decimal(10,2)", "decimal(18,4)", "id * 37 % 1000000 / 100"),
    "tax": ("decimal(10,4)", "decimal(10,4)", "id * 41 % 1000000 / 10000"),
    "total": ("decimal(18,2)", "double", "id * 43 % 100000000 / 100"),
    "weight": ("double", "double", "id * 0.37 + 0.5"),
    "score": ("double", "float", "id % 1000 / 8"),
    "ordered": ("date", "date", "date_add(DATE'2020-01-01', CAST(id % 2000 AS INT))"),
    "due": ("date", "timestamp", "date_add(DATE'2020-02-01', CAST(id % 1900 AS INT))"),
    "created": ("timestamp", "timestamp", "timestamp_seconds(1600000000 + id * 17)"),
    "shipped": ("boolean", "boolean", "id % 3 = 0"),
    "gift": ("boolean", "boolean", "id % 7 = 0"),
    "customer": ("string", "string", "concat('customer-', id * 7919 % 100000)"),
    "country": ("string", "string", "element_at(array('DE', 'FR', 'US', 'JP'), CAST(id % 4 + 1 AS INT))"),
    "note": ("string", "string", "if(id % 4 = 0, NULL, concat('note of order ', id))"),
}


def prepare(context: Context) -> None:
    """Lay the rows down as CSV and as wider Parquet, so that every side reads the same files."""
    numbered = context.spark.range(context.rows)
    made = numbered.selectExpr(*(f"CAST({sql} AS {kind}) AS {name}" for name, (kind, _, sql) in COLUMNS.items()))
    texts = made.selectExpr(*(f"CAST({name} AS STRING) AS {name}" for name in COLUMNS))
    texts.write.csv(str(context.inputs / "text"))
    wide = made.selectExpr(*(f"CAST({name} AS {wide}) AS {name}" for name, (_, wide, _) in COLUMNS.items()))
    wide.write.parquet(str(context.inputs / "typed"))


def _contract(context: Context) -> StructType:
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, (kind, _, _) in COLUMNS.items())
    return context.spark.sql(f"SELECT {columns}").schema


def _text(context: Context) -> DataFrame:
    return context.spark.read.csv(str(context.inputs / "text"), schema=", ".join(f"{name} STRING" for name in COLUMNS))


def _typed(context: Context) -> DataFrame:
    return context.spark.read.parquet(str(context.inputs / "typed"))


def _cast(rows: DataFrame) -> DataFrame:
    return rows.selectExpr(*(f"CAST({name} AS {kind}) AS {name}" for name, (kind, _, _) in COLUMNS.items()))


def _write(context: Context, rows: DataFrame) -> None:
    rows.write.parquet(f"{context.workspace}/written")


SIDES = {
    "text, conform": lambda context: _write(context, conform(_text(context), _contract(context)).rows),
    "text, casts": lambda context: _write(context, _cast(_text(context))),
    "typed, conform": lambda context: _write(context, conform(_typed(context), _contract(context)).rows),
    "typed, casts": lambda context: _write(context, _cast(_typed(context))),
}
RATIOS = {
    "text": ("text, conform", "text, casts", 1.15),
    "typed": ("typed, conform", "typed, casts", 1.15),
}


def _pandera(context: Context, rows: DataFrame) -> None:
    # A peer is not always there.
    from pandera.pyspark import Column, DataFrameSchema  # type: ignore[import-not-found]  # noqa: PLC0415

    schema = DataFrameSchema(
        {field.name: Column(field.dataType, nullable=True, coerce=True) for field in _contract(context)}
    )
    _write(context, schema.validate(rows))


if find_spec("pandera"):
    SIDES |= {
        "text, pandera": lambda context: _pandera(context, _text(context)),
        "typed, pandera": lambda context: _pandera(context, _typed(context)),
    }
    RATIOS |= {
        "text, beside pandera": ("text, conform", "text, pandera", 1.15),
        "typed, beside pandera": ("typed, conform", "typed, pandera", 1.15),
    }
