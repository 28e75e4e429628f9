"""Write the page that says what each source of schemas keeps: ``hatch run python -m tools.schema_types``.

Every cell comes from a conversion that is run: a contract with one such column goes into the source and is read back.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql.types import ArrayType, IntegerType

from gluewright_core.errors import SchemaError
from gluewright_core.schema import Column, Contract, Mode, type_text
from gluewright_core.schema.differences import Difference, differences
from gluewright_core.schema.files import contract_from_text, contract_to_text
from gluewright_core.schema.rows import row_struct, valid_rows
from gluewright_core.schema.sources.avro import from_avro, to_avro
from gluewright_core.schema.sources.cloudformation import from_cloudformation, to_cloudformation
from gluewright_core.schema.sources.data import propose
from gluewright_core.schema.sources.ddl import create_sql, from_ddl
from gluewright_core.schema.sources.glue import from_glue, to_glue
from gluewright_core.schema.sources.parquet import from_parquet
from gluewright_core.schema.types import without_lengths

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parent.parent / "docs" / "schema_types.md"
ABSENT, KEPT = "absent", "kept"
RoundTrip = Callable[[Contract], Contract]

TYPES = (
    *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(10,2)", "decimal(38,18)"),
    *("string", "char(3)", "varchar(5)", "binary", "date", "timestamp", "timestamp_ntz"),
    *("array<int>", "array<varchar(5)>", "map<string,int>", "map<int,string>", "map<date,array<tinyint>>"),
    *("struct<a:int>", "array<struct<a:map<string,decimal(5,2)>,b:timestamp_ntz>>"),
)

HEAD = """\
# What each source of schemas keeps

<!-- Written by tools/schema_types.py; a test fails when it is out of date. -->

A contract with one column of the type went into each source and was read back. **kept** is the same type again; another type
is what it became; **absent** means that the source cannot hold it. A sample of texts is what a CSV file gives: the type is
what its values show, never more.

"""
MIDDLE = """
The same for everything that a contract says beside types. **lost** is told by the conversion as a `Loss`, with the reason;
`details` are tags, mode and format. Parquet files and samples are left out: they hold types and names only.

"""


def page(spark: SparkSession) -> str:
    """Make the text of the page."""
    sources = {**_documents(), "Parquet files": _parquet(spark), "sample of texts": _sample(spark)}
    kinds = [(f"`{kind}`", [_type_cell(kind, trip) for trip in sources.values()]) for kind in TYPES]
    types = _table("type", list(sources), kinds)
    written = _documents()
    facts = [(what, [_fact_cell(contract, trip) for trip in written.values()]) for what, contract in _facts().items()]
    return HEAD + types + MIDDLE + _table("beside types", list(written), facts)


def _documents() -> dict[str, RoundTrip]:
    def cloudformation(contract: Contract) -> Contract:
        template = json.dumps(to_cloudformation(contract, location="s3://lake/t").result)
        ((_, read),) = from_cloudformation(template, form="json").items()
        return read.result

    def glue(contract: Contract) -> Contract:
        return from_glue({**to_glue(contract, location="s3://lake/t").result, "DatabaseName": "db"}).result

    return {
        "contract file": lambda contract: contract_from_text(contract_to_text(contract, "yaml"), "yaml"),
        "PySpark schema": lambda contract: from_ddl(contract.struct.json(), name=contract.name).result,
        "CREATE TABLE": lambda contract: from_ddl(create_sql(contract).result).result,
        "Glue table": glue,
        "CloudFormation": cloudformation,
        "Avro": lambda contract: from_avro(to_avro(contract).result).result,
    }


def _parquet(spark: SparkSession) -> RoundTrip:
    def trip(contract: Contract) -> Contract:
        with tempfile.TemporaryDirectory() as folder:
            rows = spark.createDataFrame([], row_struct(contract)).coalesce(1)
            rows.write.parquet(f"{folder}/t")
            return from_parquet(f"{folder}/t", name=contract.name).result

    return trip


def _sample(spark: SparkSession) -> RoundTrip:
    def trip(contract: Contract) -> Contract:
        if without_lengths(contract.struct).simpleString().count("<") > 1:
            raise SchemaError("a text holds no collection")
        rows = spark.createDataFrame(valid_rows(contract, 200), row_struct(contract))
        return propose(rows.selectExpr("CAST(a AS STRING) AS a"), name=contract.name).contract

    return trip


def _type_cell(kind: str, trip: RoundTrip) -> str:
    contract = Contract("db.t", (Column("a", kind),))
    try:
        read = trip(contract)
    except SchemaError:
        return ABSENT
    became = type_text(read["a"].data_type)
    return KEPT if became == kind else f"`{became}`"


def _facts() -> dict[str, Contract]:
    """Contracts that say one thing each that is not the default."""

    def of(*columns: Column, **more: object) -> Contract:
        return Contract("db.t", (*columns, Column("z", "int")), **more)  # type: ignore[arg-type]

    nested = from_ddl("a array<struct<b:int NOT NULL COMMENT 'inner'>>").result["a"].data_type
    elements = ArrayType(IntegerType(), containsNull=False)
    return {
        "a name with capitals": of(Column("OrderId", "int")),
        "a name with spaces": of(Column("first name", "int")),
        "NOT NULL": of(Column("a", "int", nullable=False)),
        "comment of a column": of(Column("a", "int", comment="why")),
        "details of a column": of(Column("a", "date", tags=("pii",), on_surprise=Mode.FREEZE, format="dd.MM.yyyy")),
        "NOT NULL and comment of a nested field": of(Column("a", nested)),
        "elements that are not NULL": of(Column("a", elements)),
        "comment of the dataset": of(Column("a", "int"), comment="why"),
        "key": of(Column("a", "int"), key=("a",)),
        "partition columns": of(Column("a", "int"), partition_by=("z",)),
        "partition columns in front": of(Column("a", "int"), partition_by=("a",)),
        "modes": of(Column("a", "int"), values=Mode.FREEZE, new_columns=Mode.EVOLVE),
    }


def _fact_cell(contract: Contract, trip: RoundTrip) -> str:
    lost: Sequence[Difference] = differences(contract, trip(contract))
    return "lost" if lost else KEPT


def _table(corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [[corner, *columns], ["---"] * (len(columns) + 1), *([name, *cells] for name, cells in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page."""
    from gluewright_testing.sessions import start_session  # noqa: PLC0415 - the test brings its own session

    with tempfile.TemporaryDirectory() as workspace:
        spark = start_session(workspace=Path(workspace), app_name="schema types")
        PAGE.write_text(page(spark))
        spark.stop()
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
