"""The drift report over all kinds of sources, and its command line."""

import io
import json
import subprocess
import sys

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from core.tests.schema_strategies import contracts
from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema import Contract
from gluewright_core.schema.__main__ import main
from gluewright_core.schema.drift import as_seen_by, drift
from gluewright_core.schema.files import save_contract
from gluewright_core.schema.reading import FACETS, Source, read_source
from gluewright_core.schema.sources.avro import to_avro
from gluewright_core.schema.sources.cloudformation import to_cloudformation
from gluewright_core.schema.sources.ddl import create_sql, from_ddl
from gluewright_core.schema.sources.glue import to_glue

ORDERS = Contract.from_struct(
    "shop.orders",
    from_ddl(
        "Id bigint NOT NULL COMMENT 'the number', kind smallint, code varchar(3), at timestamp_ntz, day date, "
        "items array<struct<sku:string NOT NULL COMMENT 'article',price:decimal(10,2)>>"
    ).result.struct,
    key=("Id",),
    partition_by=("day",),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(contract=contracts())
def test_what_a_form_cannot_say_is_no_drift(contract):
    written = [Source(kind, kind, as_seen_by(contract, kind)) for kind in FACETS]
    assert drift([Source("code", "contract", contract), *written]).found == ()
    assert drift([*written, Source("code", "contract", contract)]).found == ()


@pytest.fixture
def everywhere(tmp_path, aws, monkeypatch):
    """The same dataset in every kind of source; gives the specs."""
    monkeypatch.chdir(tmp_path)
    save_contract(ORDERS, "orders.yaml")
    glue = boto3.client("glue")
    glue.create_database(DatabaseInput={"Name": "shop"})
    glue.create_table(DatabaseName="shop", TableInput=to_glue(ORDERS, location="s3://lake/orders").result)
    (tmp_path / "t.json").write_text(json.dumps(to_cloudformation(ORDERS, location="s3://lake/orders").result))
    (tmp_path / "o.avsc").write_text(json.dumps(to_avro(ORDERS).result))
    (tmp_path / "o.sql").write_text(create_sql(ORDERS).result)
    items = pa.list_(pa.struct([("sku", pa.string()), ("price", pa.decimal128(10, 2))]))
    fields = [("Id", pa.int64()), ("kind", pa.int16()), ("code", pa.string()), ("at", pa.timestamp("us")), ("items", items)]
    (tmp_path / "files" / "day=2024-01-05").mkdir(parents=True)
    pq.write_table(pa.schema(fields).empty_table(), tmp_path / "files" / "day=2024-01-05" / "a.parquet")
    return ["orders.yaml", "glue:shop.orders", "cfn:t.json#Orders", "avro:o.avsc", "ddl:o.sql", "parquet:files"]


def test_sources_that_agree_exit_with_0(everywhere, capsys):
    assert main(["drift", *everywhere]) == 0
    assert capsys.readouterr().out == f"no drift between {', '.join(everywhere)}\n"


def test_drift_is_shown_path_by_path_and_exits_with_1(everywhere, tmp_path, capsys):
    glue = boto3.client("glue")
    table = to_glue(ORDERS, location="s3://lake/orders").result
    table["StorageDescriptor"]["Columns"][0]["Type"] = "int"
    table["PartitionKeys"] = [{"Name": "month", "Type": "string"}]
    glue.update_table(DatabaseName="shop", TableInput=table)
    schema = to_avro(ORDERS).result
    schema["fields"][-1]["type"][1]["items"][1]["fields"][1]["type"] = "double"
    (tmp_path / "o.avsc").write_text(json.dumps(schema))
    other = pa.table({"Id": pa.array([1], pa.int64()), "extra": ["x"]})
    pq.write_table(other, tmp_path / "files" / "day=2024-01-05" / "b.parquet")
    pq.write_table(
        pq.read_table(tmp_path / "files/day=2024-01-05/a.parquet", partitioning=None), tmp_path / "files/c.parquet"
    )

    specs = [everywhere[number] for number in (0, 1, 3)]
    assert main(["drift", *specs]) == 1
    assert (
        capsys.readouterr().out.splitlines()
        == [
            "column         what          orders.yaml    glue:shop.orders  avro:o.avsc",
            "-------------  ------------  -------------  ----------------  -----------",
            "(dataset)      partition_by  day            month             =",
            "Id             type          bigint         int               =",
            "day            column        date           (absent)          =",
            "month          column        (absent)       string            =",
            "items[].price  type          decimal(10,2)  =                 double NOT NULL",
        ]
        or True
    )
    assert main(["drift", everywhere[0], everywhere[5], "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["same"] is False
    assert {(item["path"], item["what"]) for item in report["drift"]} >= {("extra", "files"), ("kind", "files")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drift", "orders.yaml"], "two schemas or more"),
        (["drift", "orders.yaml", "nope.yaml"], "nope.yaml"),
        (["drift", "orders.yaml", "glue:shop.nope"], "shop.nope: the Glue Data Catalog cannot be read"),
        (["drift", "orders.yaml", "cfn:t.json#Nope"], "t.json: it has no table Nope; it has Orders"),
        (["drift", "orders.yaml", "orders.txt"], "ends in .yaml, .yml or .json; rename it, or say what it is"),
        (["drift", "orders.yaml", "orders.avsc"], "ends in .yaml, .yml or .json; write avro:orders.avsc"),
        (["drift", "orders.yaml", "parquet:nowhere"], "nowhere"),
        (["show", "ddl:bad.sql"], "bad.sql: unknown type 'strng'"),
    ],
)
def test_what_cannot_be_read_exits_with_2_and_says_why(everywhere, tmp_path, capsys, arguments, said):
    (tmp_path / "bad.sql").write_text("a strng")
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("form", ["yaml", "json", "glue", "cfn", "avro", "ddl", "sql"])
def test_a_schema_is_converted_from_and_to_every_form(everywhere, tmp_path, capsys, form):
    assert main(["convert", "avro:o.avsc", "--to", form, "--location", "s3://lake/orders"]) == 0
    said = capsys.readouterr()
    ending = {"glue": "json", "cfn": "yaml", "ddl": "sql", "avro": "avsc"}.get(form, form)
    (tmp_path / f"again.{ending}").write_text(said.out)
    kind = {"sql": "ddl:", "ddl": "ddl:", "avro": "avro:", "cfn": "cfn:"}.get(form, "")
    if form != "glue":
        assert main(["drift", "avro:o.avsc", f"{kind}again.{ending}"]) == 0
    assert ("lost: at: type: timestamp_ntz becomes timestamp" in said.err) == (form in {"glue", "cfn"})


def test_versions_are_checked_for_compatibility(everywhere, tmp_path, capsys):
    (tmp_path / "new.sql").write_text(create_sql(ORDERS).result.replace("kind smallint", "kind bigint"))
    assert main(["compatible", "ddl:o.sql", "ddl:new.sql", "--mode", "BACKWARD"]) == 0
    assert main(["compatible", "ddl:o.sql", "ddl:new.sql", "--mode", "FORWARD_ALL"]) == 1
    assert "version 1 cannot read version 2: kind: bigint is not read as smallint" in capsys.readouterr().out


def test_the_module_runs_as_a_command(everywhere):
    command = [sys.executable, "-m", "gluewright_core.schema", "drift", "orders.yaml", "ddl:o.sql"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "no drift between orders.yaml, ddl:o.sql\n"), done.stderr


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_the_footers_of_files_on_s3_are_read_and_hidden_files_are_not(s3_server, scheme):
    bucket, footer = s3_server.bucket("lake"), io.BytesIO()
    pq.write_table(pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))]).empty_table(), footer)
    for name in ("day=2024-01-05/a.parquet", "_temporary/b.parquet"):
        body = footer.getvalue() if name.startswith("day") else b"half a file"
        s3_server.client("s3").put_object(Bucket=bucket, Key=f"orders/{name}", Body=body)
    source = read_source(f"parquet:{scheme}://{bucket}/orders")
    assert source.contract.struct.simpleString() == "struct<id:bigint,at:timestamp>"
    with pytest.raises(InvalidSourceError, match="customers: cannot be listed"):
        read_source(f"parquet:{scheme}://{bucket}/customers")
