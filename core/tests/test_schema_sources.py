"""Contracts from and to other forms: the way there and back is the identity but for the losses that were named."""

import json

import boto3
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.tests.schema_strategies import contracts, simple_names
from gluewright_core.errors import InvalidSourceError, UnsupportedSourceError
from gluewright_core.schema import Column, Contract
from gluewright_core.schema.differences import differences
from gluewright_core.schema.sources.avro import from_avro, to_avro
from gluewright_core.schema.sources.cloudformation import from_cloudformation, to_cloudformation
from gluewright_core.schema.sources.ddl import create_sql, from_ddl, to_ddl
from gluewright_core.schema.sources.glue import from_glue, to_glue

many = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
dataset_names = st.one_of(simple_names, st.builds("{}.{}".format, simple_names, simple_names))
any_contract = contracts(dataset_names=dataset_names)


def told(losses):
    return sorted((loss.path, loss.what) for loss in losses)


def found(contract, read_back):
    return sorted((difference.path, difference.what) for difference in differences(contract, read_back))


@many
@given(contract=any_contract)
def test_avro_is_the_identity_but_for_small_numbers(spark, contract):
    written = to_avro(contract)
    text = json.dumps(written.result)
    read = from_avro(text)
    assert read.losses == ()
    assert found(contract, read.result) == told(written.losses)
    assert {what for _, what in told(written.losses)} <= {"type"}
    # Avro itself takes it.
    spark._jvm.org.apache.avro.Schema.Parser().parse(text)


@many
@given(contract=any_contract)
def test_a_list_of_columns_loses_what_sql_cannot_say(contract):
    written = to_ddl(contract)
    assert found(contract, from_ddl(written.result, name=contract.name).result) == told(written.losses)
    lost = {"tags", "on_surprise", "format", "key", "partition_by", "comment", "values", "new_columns", "nullable"}
    assert {what for _, what in told(written.losses)} <= lost
    assert all(path == "" or what != "comment" for path, what in told(written.losses))


@many
@given(contract=any_contract)
def test_a_create_statement_loses_only_details_inside_types(contract):
    written = create_sql(contract, location="s3://lake/t; --")
    assert found(contract, from_ddl(written.result).result) == told(written.losses)
    nested = [path for path, what in told(written.losses)]
    assert all(any(mark in path for mark in ".[{") for path in nested)


@many
@given(contract=any_contract)
def test_glue_and_cloudformation_lose_the_same_and_say_what(contract):
    try:
        written = to_glue(contract, location="s3://lake/t")
    except UnsupportedSourceError:
        assume(False)
    database = contract.name.rpartition(".")[0].lower()
    read = from_glue({**written.result, "DatabaseName": database}).result
    assert found(contract, read) == told(written.losses)
    template = to_cloudformation(contract, location="s3://lake/t")
    assert template.losses == written.losses
    if database:
        for form, text in {"json": json.dumps(template.result), "yaml": yaml.safe_dump(template.result)}.items():
            ((_, from_template),) = from_cloudformation(text, form=form).items()
            assert from_template.result == read


ORDERS = Contract(
    "shop.orders",
    (
        Column("id", "bigint", nullable=False, comment="the order's number"),
        Column("email", "varchar(20)", tags=("pii",), on_surprise="discard_value"),
        Column("day", "date", format="dd.MM.yyyy"),
        Column("lines", "array<struct<sku:string,price:decimal(10,2)>>"),
    ),
    key=("id",),
    partition_by=("day",),
    comment="One row per order.",
    values="freeze",
)


def test_a_contract_makes_a_glue_table_and_reads_from_it(aws):
    glue = boto3.client("glue", region_name="us-east-1")
    glue.create_database(DatabaseInput={"Name": "shop"})
    made = to_glue(ORDERS, location="s3://lake/orders")
    glue.create_table(DatabaseName="shop", TableInput=made.result)
    assert [str(loss) for loss in made.losses] == [
        "(dataset): order: id, email, day, lines becomes id, email, lines, day: partition columns stand last"
    ]
    read = from_glue(glue.get_table(DatabaseName="shop", Name="orders")).result
    assert read.names == ["id", "email", "lines", "day"]
    assert read == Contract(**{**vars(ORDERS), "columns": tuple(ORDERS[name] for name in read.names)})


def test_a_contract_makes_a_table_in_spark(spark, catalog):
    contract = Contract("t", ORDERS.columns, partition_by=("day",), comment="it's")
    spark.sql(create_sql(contract).result)
    schema = spark.table("t").schema
    read = Contract.from_struct(contract.name, schema)
    assert {column.name: (column.type, column.comment) for column in read.columns} == {
        column.name: (column.type, column.comment) for column in contract.columns
    }


def test_a_table_written_by_spark_gets_its_case_back_from_sparks_property():
    schema = '{"type":"struct","fields":[{"name":"OrderId","type":"long","nullable":true,"metadata":{}}]}'
    columns = [{"Name": "orderid", "Type": "bigint"}]
    parts = {"numParts": "2", "part.0": schema[:30], "part.1": schema[30:]}
    split = {f"spark.sql.sources.schema.{key}": text for key, text in parts.items()}
    for parameters in ({"spark.sql.sources.schema": schema}, split):
        table = {"Name": "t", "StorageDescriptor": {"Columns": columns}, "Parameters": parameters}
        assert from_glue(table).result.names == ["OrderId"]


def test_columns_that_iceberg_has_dropped_are_not_read():
    columns = [
        {"Name": "a", "Type": "int", "Parameters": {"iceberg.field.current": "true", "iceberg.field.optional": "false"}},
        {"Name": "b", "Type": "int", "Parameters": {"iceberg.field.current": "false"}},
    ]
    table = {"Name": "t", "StorageDescriptor": {"Columns": columns}}
    assert from_glue(table).result.columns == (Column("a", "int", nullable=False),)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"DatabaseName": "d", "Name": "t", "StorageDescriptor": {"Columns": []}}, "d.t: the table has no columns"),
        (
            {"Name": "t", "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}, {"Name": "b", "Type": "strng"}]}},
            "t: StorageDescriptor.Columns[1]: b: unknown type 'strng'",
        ),
        ({"Name": "t", "PartitionKeys": [{"Name": "a"}]}, "t: PartitionKeys[0] has no Name or no Type"),
        (
            {
                "Name": "t",
                "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]},
                "PartitionKeys": [{"Name": "A", "Type": "int"}],
            },
            "the columns a and A have the same name but for case",
        ),
        (
            {
                "Name": "t",
                "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]},
                "Parameters": {"gluewright.key": "id"},
            },
            "t: its parameters gluewright.* cannot be read",
        ),
    ],
)
def test_a_glue_table_that_is_none_is_refused_with_its_place(table, said):
    with pytest.raises(InvalidSourceError) as raised:
        from_glue(table)
    assert said in str(raised.value)


def test_a_name_that_no_catalog_can_hold_is_refused():
    with pytest.raises(UnsupportedSourceError, match="cannot stand in a Hive type"):
        to_glue(Contract("t", (Column("a", "struct<`b:c`:int>"),)), location="s3://lake/t")


TEMPLATE = """\
Parameters:
  Environment: {Type: String, Default: dev}
Conditions:
  Always: !Equals [!Ref Environment, dev]
Resources:
  Bucket: {Type: 'AWS::S3::Bucket'}
  Orders:
    Type: AWS::Glue::Table
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Sub '${Environment}_shop'
      TableInput:
        Name: !Join ['_', [orders, !Ref Environment]]
        Description: !Sub ['of ${Who}', {Who: !Ref Environment}]
        Owner: !Ref AWS::NoValue
        PartitionKeys: [{Name: day, Type: date}]
        StorageDescriptor:
          Location: !Sub 's3://${Bucket}/orders/${AWS::Region}'
          Compressed: !If [Always, true, false]
          Columns:
            - {Name: id, Type: bigint, Comment: !GetAtt Bucket.Arn}
            - Name: lines
              Type: array<struct<sku:string,price:decimal(10, 2)>>
"""


def test_a_template_with_intrinsic_functions_is_read():
    ((name, read),) = from_cloudformation(TEMPLATE).items()
    assert name == "Orders"
    assert read.result == Contract(
        "dev_shop.orders_dev",
        (
            Column("id", "bigint", comment="${Bucket.Arn}"),
            Column("lines", "array<struct<sku:string,price:decimal(10,2)>>"),
            Column("day", "date"),
        ),
        partition_by=("day",),
        comment="of dev",
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "array<",
            "arry<",
            "t.yaml:23 Resources.Orders: dev_shop.orders_dev: StorageDescriptor.Columns[1]: lines: unknown type",
        ),
        ("Type: bigint", "Type: !Ref Kind", "t.yaml:21 Resources.Orders"),
        ("AWS::Glue::Table", "AWS::Glue::Job", "t.yaml: it has no resource of the type AWS::Glue::Table"),
        ("TableInput:", "Table:", "t.yaml:7 Resources.Orders: it has no TableInput"),
        ("Orders:", "Orders: [", "t.yaml:9: not YAML"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused_with_its_line(old, new, said):
    assert old in TEMPLATE
    with pytest.raises(InvalidSourceError) as raised:
        from_cloudformation(TEMPLATE.replace(old, new, 1), where="t.yaml")
    assert said in str(raised.value)


def record(*fields, **more):
    return {"type": "record", "name": "t", "fields": list(fields), **more}


def test_avro_of_others_is_read_with_every_loss_named():
    colour = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
    address = record({"name": "zip", "type": "string"}, name="Address")
    read = from_avro(
        record(
            {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "noon", "type": ["null", {"type": "int", "logicalType": "time-millis"}], "default": None},
            {"name": "colour", "type": colour, "default": "RED"},
            {"name": "other", "type": ["Colour", "null"]},
            {"name": "home", "type": address},
            {"name": "work", "type": {"type": "array", "items": "shop.Address"}},
            {"name": "hash", "type": {"type": "fixed", "name": "MD5", "size": 16}},
            {
                "name": "sum",
                "type": {"type": "fixed", "name": "Sum", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2},
            },
            {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
            {"name": "counts", "type": {"type": "map", "values": ["null", "int"]}},
            namespace="shop",
            doc="Things.",
        )
    )
    assert read.result.name == "shop.t"
    assert to_ddl(read.result).result == (
        "id string NOT NULL, at timestamp NOT NULL, noon int, colour string NOT NULL, other string, "
        "home struct<zip:string NOT NULL> NOT NULL, work array<struct<zip:string NOT NULL>> NOT NULL, hash binary NOT NULL, "
        "sum decimal(9,2) NOT NULL, local timestamp_ntz NOT NULL, counts map<string,int> NOT NULL"
    )
    assert read.result["work"].type.containsNull is False
    assert [(loss.path, loss.what, loss.why.partition(":")[0]) for loss in read.losses] == [
        ("id", "type", "uuid becomes string"),
        ("at", "type", "timestamp-millis becomes timestamp"),
        ("noon", "type", "time-millis becomes int"),
        ("colour", "type", "enum becomes string"),
        ("colour", "default", "a contract has no defaults"),
        ("other", "type", "enum becomes string"),
        ("hash", "type", "fixed(16) becomes binary"),
    ]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (record({"name": "a", "type": ["null", "int", "string"]}), "a: the union of null, int, string cannot be one column"),
        (
            record(
                {"name": "a", "type": {"type": "array", "items": record({"name": "b", "type": ["int", "string"]}, name="i")}}
            ),
            "a[].b: the union of int, string",
        ),
        (record({"name": "next", "type": ["null", "t"]}), "next: the record t contains itself"),
        (record({"name": "a", "type": "Nope"}), "a: unknown type 'Nope'"),
        (record({"name": "a"}), "the schema: field 0 has no name or no type"),
        (record(), "it has no columns"),
        ({"type": "enum", "name": "e", "symbols": ["A"]}, "not a record"),
        ("{", "x.avsc: not JSON"),
        (
            record({"name": "a", "type": {"type": "bytes", "logicalType": "decimal", "precision": 50}}),
            "a: decimal(50,0): the precision goes from 1 to 38",
        ),
    ],
)
def test_avro_that_cannot_be_columns_is_refused_with_its_path(schema, said):
    with pytest.raises(InvalidSourceError) as raised:
        from_avro(schema, where="x.avsc")
    assert said in str(raised.value)


def test_records_of_the_same_path_in_avro_get_names_of_their_own(spark):
    contract = Contract(
        "t",
        (Column("b_c", "struct<x:int>"), Column("b", "struct<c:struct<y:int>>"), Column("a b", "int"), Column("a_b", "int")),
    )
    written = to_avro(contract)
    spark._jvm.org.apache.avro.Schema.Parser().parse(json.dumps(written.result))
    assert from_avro(written.result).result == contract


@pytest.mark.parametrize("column", ["void", "struct<>"])
def test_what_avro_has_not_is_refused(column):
    with pytest.raises(UnsupportedSourceError, match=r"^a: "):
        to_avro(Contract("t", (Column("a", column),)))


STATEMENT = """
-- made by hand
CREATE EXTERNAL TABLE IF NOT EXISTS `shop`.orders (
  id bigint NOT NULL COMMENT 'it''s',  /* the key */
  price decimal(10, 2) DEFAULT coalesce(1, 2) COMMENT 'with, tax',
  lines array<struct<sku: string, qty: int>>
)
COMMENT "One row per order."
PARTITIONED BY (day date COMMENT 'of the order', hour int)
ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe'
WITH SERDEPROPERTIES ('serialization.format' = '1')
STORED AS PARQUET
LOCATION 's3://lake/comment (partitioned by)'
TBLPROPERTIES ('gluewright.key' = '["id"]', has_encrypted_data = true);
"""


def test_a_statement_of_hive_or_athena_is_read():
    assert from_ddl(STATEMENT).result == Contract(
        "shop.orders",
        (
            Column("id", "bigint", nullable=False, comment="it's"),
            Column("price", "decimal(10,2)", comment="with, tax"),
            Column("lines", "array<struct<sku:string,qty:int>>"),
            Column("day", "date", comment="of the order"),
            Column("hour", "int"),
        ),
        key=("id",),
        partition_by=("day", "hour"),
        comment="One row per order.",
    )


def test_a_transform_of_iceberg_is_a_named_loss():
    read = from_ddl("CREATE TABLE c.d.t (id bigint, ts timestamp) USING iceberg PARTITIONED BY (days(ts), ID)")
    assert read.result.partition_by == ("id",)
    assert [str(loss) for loss in read.losses] == ["(dataset): partition_by: days(ts) is no column, so it is left out"]


def test_the_json_and_the_text_of_a_spark_schema_are_read():
    struct = ORDERS.struct
    assert from_ddl(struct.json(), name="shop.orders").result.struct == struct
    assert from_ddl("struct<id:bigint,x y:int>").result.names == ["id", "x y"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id BIGINT, name STRNG", "f.sql: unknown type 'strng'"),
        ("CREATE VIEW v AS SELECT 1", "CREATE TABLE was expected"),
        ("CREATE TABLE t AS SELECT 1 a", "a list of columns in brackets was expected"),
        ("CREATE TABLE t (a int) AS SELECT 1 a", "says nothing of its types"),
        ("CREATE TABLE t (a int", "a comma or ')' after the field 'a'"),
        ("CREATE TABLE t (a int) PARTITIONED BY (b)", "partition_by: b is not a column"),
        ('{"type": "struct"}', "not the JSON of a StructType"),
    ],
)
def test_sql_that_cannot_be_read_is_refused_with_its_place(text, said):
    with pytest.raises(InvalidSourceError) as raised:
        from_ddl(text, where="f.sql")
    assert said in str(raised.value)
