"""Sources that cannot be read: refused with the project's errors, the place and what to do; in one line by commands."""

import copy
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from gluewright_core.errors import InvalidContractError, InvalidSourceError
from gluewright_core.schema import Column, Contract
from gluewright_core.schema.__main__ import main
from gluewright_core.schema.files import contract_from_text, contract_to_text
from gluewright_core.schema.sources.avro import from_avro
from gluewright_core.schema.sources.avro_parsing import parse_avro
from gluewright_core.schema.sources.cloudformation import from_cloudformation
from gluewright_core.schema.sources.ddl import create_sql, from_ddl, to_ddl
from gluewright_core.schema.sources.glue import from_glue, to_glue

TEMPLATE = """\
Parameters:
  Kind: {Type: String}
  Known: {Type: String, Default: bigint}
Resources:
  Orders:
    Type: AWS::Glue::Table
    Properties:
      DatabaseName: shop
      TableInput:
        Name: orders
        Parameters: {classification: parquet}
        PartitionKeys: [{Name: day, Type: date}]
        StorageDescriptor:
          Columns:
            - {Name: id, Type: !Ref Known}
            - {Name: note, Type: string}
"""
WRITE_OUT = "known only when the stack is deployed; write out what it stands for, or read the deployed table with glue:"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("{classification: parquet}", "!Ref Kind", 11, "TableInput.Parameters is !Ref"),
        ("{classification: parquet}", "!If [A, {a: b}, {c: d}]", 11, "TableInput.Parameters is !If"),
        ("[{Name: day, Type: date}]", "!Ref Kind", 12, "TableInput.PartitionKeys is !Ref"),
        ("[{Name: day, Type: date}]", "{'Fn::If': [A, [], []]}", 12, "TableInput.PartitionKeys is !If"),
        ("{Name: note, Type: string}", "!If [A, {Name: a, Type: int}, !Ref Kind]", 16, "Columns[1] is !If"),
        ("Type: string", "Type: !Sub '${Kind}'", 16, "TableInput.StorageDescriptor.Columns[1].Type is !Sub"),
        ("Type: string", "Type: {'Fn::FindInMap': [a, b, c]}", 16, "StorageDescriptor.Columns[1].Type is !FindInMap"),
        ("Name: note", "Name: !Ref Kind", 16, "TableInput.StorageDescriptor.Columns[1].Name is !Ref"),
        ("Type: string}", "Type: string, Parameters: !Ref Kind}", 16, "Columns[1].Parameters is !Ref"),
    ],
)
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_intrinsic_function_in_a_tables_structure_is_refused_with_its_place(old, new, line, said, form):
    assert old in TEMPLATE
    text = TEMPLATE.replace(old, new, 1)
    with pytest.raises(InvalidSourceError) as raised:
        from_cloudformation(text if form == "yaml" else as_json(text), form=form, where="t")
    place = f"t:{line} Resources.Orders: " if form == "yaml" else "t Resources.Orders: "
    assert str(raised.value).startswith(place)
    assert said in str(raised.value)
    assert WRITE_OUT in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("          Columns:\n", "          Columns: !Ref Kind\n          Other:\n", "StorageDescriptor.Columns is !Ref"),
        ("        StorageDescriptor:\n", "        StorageDescriptor: !Ref Kind\n        Other:\n", "Descriptor is !Ref"),
        ("      TableInput:\n", "      TableInput: !If [A, {}, {}]\n      Other:\n", "TableInput is !If"),
        ("    Properties:\n", "    Properties: {'Fn::Transform': {Name: a}}\n    Other:\n", "Properties is !Transform"),
    ],
)
def test_an_intrinsic_function_around_columns_is_refused(old, new, said):
    with pytest.raises(InvalidSourceError, match="Resources.Orders") as raised:
        from_cloudformation(TEMPLATE.replace(old, new, 1))
    assert said in str(raised.value)
    assert WRITE_OUT in str(raised.value)


def as_json(text):
    """The template with the short forms written out."""
    from gluewright_core.schema.files import yaml_document
    from gluewright_core.schema.sources.cloudformation import _loader

    return json.dumps(yaml_document(text, "t", _loader())[0])


@pytest.mark.parametrize("text", [TEMPLATE, as_json(TEMPLATE)])
def test_a_reference_with_a_default_is_read(text):
    (read,) = from_cloudformation(text).values()
    assert read.result["id"].data_type.simpleString() == "bigint"


@pytest.mark.parametrize(
    "old", ["classification: parquet", "Name: orders", "DatabaseName: shop"], ids=["Parameters", "TableInput", "Properties"]
)
def test_what_a_loop_in_a_table_makes_is_named_as_not_seen(old):
    loop = "'Fn::ForEach::More': [X, [a], {'${X}': b}]"
    text = TEMPLATE.replace(old, loop + (f", {old}" if "parquet" in old else ""), 1)
    (read,) = from_cloudformation(text).values()
    (loss,) = read.losses
    assert loss.path.startswith("Resources.Orders.Properties")
    assert "Fn::ForEach::More: Fn::ForEach: what it makes is known only when the stack is deployed" in str(loss)


def test_tables_that_a_loop_makes_are_named_as_not_seen():
    loop = "Resources:\n  'Fn::ForEach::Tables': [Name, [a, b], {'Table${Name}': {Type: 'AWS::Glue::Table'}}]\n"
    (read,) = from_cloudformation(TEMPLATE.replace("Resources:\n", loop)).values()
    assert [str(loss) for loss in read.losses] == [
        "Resources.Fn::ForEach::Tables: Fn::ForEach: what it makes is known only when the stack is deployed, "
        "so it is left out"
    ]
    with pytest.raises(InvalidSourceError, match="what Resources.Fn::ForEach::Tables makes is not seen"):
        from_cloudformation(loop)


def glue_table(**parameters):
    return {
        "Name": "t",
        "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]},
        "Parameters": {f"spark.sql.sources.schema{key}": text for key, text in parameters.items()},
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (glue_table(**{".numParts": "abc"}), "t: spark.sql.sources.schema.numParts is 'abc', not a number"),
        (glue_table(**{".numParts": "2", ".part.0": "{"}), "t: spark.sql.sources.schema.part.1 is missing of 2 parts"),
        (glue_table(**{".numParts": "1", ".part.0": '{"type": '}), "spark.sql.sources.schema is not the JSON of a schema"),
        (glue_table(**{"": "[]"}), "t: spark.sql.sources.schema is not the JSON of a schema"),
        (glue_table(**{"": '{"fields": [{"name": 5}]}'}), "t: spark.sql.sources.schema is not the JSON of a schema"),
        ({"Name": "t", "StorageDescriptor": "${X}"}, "t: StorageDescriptor is '${X}'; a mapping was expected"),
        ({"Name": "t", "PartitionKeys": {"Name": "a"}}, "t: PartitionKeys is {'Name': 'a'}; a list of columns"),
        ({"Name": ["t"]}, "the table's Name is ['t']; a text was expected"),
        (glue_table() | {"Parameters": "x"}, "t: Parameters is 'x'; a mapping was expected"),
        (glue_table() | {"Description": {"a": 1}}, "t: Description is {'a': 1}; a text was expected"),
        (glue_table() | {"Parameters": {"gluewright.columns": '{"a": {"nullable": "no"}}'}}, "nullable of a is 'no'"),
        (glue_table() | {"Parameters": {"gluewright.key": '{"a": 1}'}}, None),
        ([], "the table is []; a mapping was expected"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_place(table, said):
    if said is None:
        assert from_glue(table).result.key == ("a",)
        return
    with pytest.raises(InvalidSourceError) as raised:
        from_glue(table)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE TABLE a (x int); CREATE TABLE s.b (y int)", "a second CREATE TABLE, of s.b: a file has"),
        ("CREATE TABLE a (x int)\nCREATE EXTERNAL TABLE IF NOT EXISTS `b` (y int)", "a second CREATE TABLE, of b"),
        ("CREATE TABLE a (x int) USING parquet; create or replace table c (y int)", "a second CREATE TABLE, of c"),
        ("CREATE TABLE a (x int); CREATE VIEW v AS SELECT 1", "a second CREATE:"),
        ("CREATE TABLE a (x int); ALTER TABLE a ADD COLUMNS (y int);", "a second statement:"),
    ],
)
def test_a_second_statement_is_refused_by_name(text, said):
    with pytest.raises(InvalidSourceError) as raised:
        from_ddl(text, where="f.sql")
    assert said in str(raised.value)


@pytest.mark.parametrize("end", [";", ";;\n", " ; -- CREATE TABLE b (y int)\n", "; /* ; CREATE TABLE b */ ;"])
def test_what_ends_a_statement_is_no_second_one(end):
    assert from_ddl(f"CREATE TABLE a (x int) COMMENT 'CREATE TABLE b (y int);'{end}").result.names == ["x"]


COLLATED = {
    "fields": [
        {"name": "id", "type": "integer", "nullable": True, "metadata": {}},
        {"name": "a", "type": "string", "nullable": True, "metadata": {"__COLLATIONS": {"a": "spark.UTF8_LCASE"}}},
    ],
    "type": "struct",
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id int, name string collate UTF8_LCASE", "f: name: a collation cannot be stored by Hive or Glue; write string"),
        ("CREATE TABLE t (p struct<name: string COLLATE UNICODE_CI>)", "f: p.name: a collation cannot be stored"),
        (json.dumps(COLLATED), "UTF8_LCASE cannot be stored by Hive or Glue; cast the column to string"),
    ],
)
def test_a_column_with_a_collation_is_refused_by_name(text, said):
    with pytest.raises(InvalidSourceError) as raised:
        from_ddl(text, where="f")
    assert said in str(raised.value)


def test_a_contract_has_no_collation():
    try:
        collated = StringType("UTF8_LCASE")
    except TypeError:
        pytest.skip("Spark 3.5 has no collations")
    with pytest.raises(InvalidContractError, match=r"^names: names\[\] has the collation UTF8_LCASE"):
        Column("names", ArrayType(collated))


@pytest.mark.parametrize("escaped", ["true", "false"])
def test_comments_read_the_same_whatever_spark_makes_of_escapes(spark, escaped):
    comment = 'it\'s a \\d "quote"\n'
    inner = StructType([StructField("c", StringType())])
    contract = Contract("t", (Column("a", "int", comment=comment), Column("b", inner)))
    text = to_ddl(contract).result
    spark.conf.set("spark.sql.parser.escapedStringLiterals", escaped)
    try:
        assert spark.createDataFrame([], text).schema["a"].metadata["comment"] == comment
    finally:
        spark.conf.unset("spark.sql.parser.escapedStringLiterals")
    assert from_ddl(text).result["a"].comment == comment


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "name: t\ncolumns: [{name: a, type: strng}, {name: b}]\n"),
        ("b.yaml", "a: !!int ''\n"),
        ("c.yaml", "? [a, b]\n: c\n"),
        ("d.yaml", "a: &a [*a]\n"),
        ("e.yaml", "a: \x01\n"),
        ("f.yaml", "a: !!timestamp x\n"),
        ("g.json", "[" * 100_000),
        ("cfn:h.yaml", TEMPLATE.replace("{classification: parquet}", "!Ref Kind")),
        ("avro:i.avsc", "[" * 100_000),
        ("ddl:j.sql", "CREATE TABLE t (\n  a int,\n  b strng\n)"),
        ("ddl:k.sql", '{"type": "struct", "fields": [{"name": "a"}]}'),
        ("ddl:l.sql", "a " + "array<" * 5_000 + "int"),
        ("cfn:m.yaml", "Parameters: [a]\nResources: {1: {Type: 'AWS::Glue::Table', Properties: [a]}}"),
    ],
)
def test_a_command_prints_one_line_and_exits_with_2(tmp_path, monkeypatch, capsys, name, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name.rpartition(":")[2]).write_text(text)
    assert main(["show", name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert name.rpartition(":")[2] in said.err


ITEM = {"type": "record", "name": "Item", "fields": [{"name": "sku", "type": "string", "aliases": ["code"]}]}
HASH = {"type": "fixed", "name": "H", "size": 12, "logicalType": "duration"}
AVRO = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "doc": "Orders",
    "key": ["Id"],
    "values": "freeze",
    "fields": [
        {"name": "id", "type": "long", "tags": ["pii"], "column": "Id", "format": "x", "doc": "the number"},
        {"name": "c", "type": {"type": "enum", "name": "C", "symbols": ["A", "B"], "default": "A"}, "default": "A"},
        {"name": "h", "type": ["null", HASH], "default": None},
        {"name": "p", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "items", "type": {"type": "array", "items": ITEM}},
        {"name": "m", "type": {"type": "map", "values": "Item"}},
        {"name": "v", "type": {"type": "string", "logicalType": "varchar", "maxLength": 5}},
        {
            "name": "k",
            "type": {
                "type": "array",
                "logicalType": "map",
                "items": {
                    "type": "record",
                    "name": "E",
                    "fields": [{"name": "key", "type": "int"}, {"name": "value", "type": "int"}],
                },
            },
        },
    ],
}
CONTRACT = Contract(
    "shop.orders",
    (
        Column("Id", "bigint", nullable=False, comment="the number", tags=["pii"], format="x"),
        Column("items", "array<struct<sku:varchar(5),price:decimal(10,2)>>", on_surprise="discard_value"),
        Column("counts", "map<string,int>"),
        Column("day", "date"),
    ),
    key=("Id",),
    partition_by=("day",),
    values="freeze",
)
SPARKS = {"spark.sql.sources.schema.numParts": "1", "spark.sql.sources.schema.part.0": CONTRACT.struct.json()}
GLUE = to_glue(CONTRACT, location="s3://lake/t").result
GLUE = {"Table": {**GLUE, "DatabaseName": "shop", "Parameters": {**GLUE["Parameters"], **SPARKS}}}
CFN = {
    "Parameters": {"Kind": {"Type": "String", "Default": "bigint"}},
    "Resources": {
        "Orders": {
            "Type": "AWS::Glue::Table",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseName": {"Fn::Sub": ["${A}_shop", {"A": {"Ref": "Kind"}}]},
                "TableInput": {
                    **GLUE["Table"],
                    "Name": {"Fn::Join": ["_", ["a", {"Ref": "Kind"}]]},
                    "Description": {"Fn::GetAtt": ["A", "B"]},
                    "Owner": {"Fn::If": ["A", "b", "c"]},
                },
            },
        },
        "Fn::ForEach::More": ["X", ["a"], {"${X}": {"Type": "AWS::Glue::Table"}}],
    },
}
DOCUMENTS = {
    "avro": (AVRO, from_avro),
    "avro's own": (AVRO, parse_avro),
    "glue": (GLUE, from_glue),
    "cfn": (CFN, lambda document: next(iter(from_cloudformation(json.dumps(document), form="json").values()))),
    "cfn in YAML": (CFN, lambda document: next(iter(from_cloudformation(yaml.safe_dump(document)).values()))),
    "ddl": (json.loads(CONTRACT.struct.json()), lambda document: from_ddl(json.dumps(document))),
    "contract": (
        json.loads(contract_to_text(CONTRACT, "json")),
        lambda document: contract_from_text(json.dumps(document), "json"),
    ),
}
NUMBERS = (0, -1, 1.5, 10**30, True)
REPLACEMENTS = (None, *NUMBERS, [], [1], ["x"], [None], {}, {"a": 1}, {"type": "int"}, "", "x", "${X}", "[]", '{"a": 1}')


def places(document, place=()):
    yield place
    inside = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in inside:
        yield from places(value, (*place, key))


def replaced(document, place, value):
    if not place:
        return value
    changed = copy.deepcopy(document)
    around = changed
    for step in place[:-1]:
        around = around[step]
    around[place[-1]] = value
    return changed


def without(document, place):
    changed = copy.deepcopy(document)
    around = changed
    for step in place[:-1]:
        around = around[step]
    del around[place[-1]]
    return changed


@pytest.mark.parametrize("source", DOCUMENTS)
def test_a_document_is_valid_before_it_is_changed(source):
    document, read = DOCUMENTS[source]
    assert read(document)


@pytest.mark.parametrize("source", DOCUMENTS)
def test_a_document_with_one_part_replaced_is_read_or_refused(source):
    document, read = DOCUMENTS[source]
    refused = 0
    for place in places(document):
        changes = [replaced(document, place, value) for value in REPLACEMENTS]
        for changed in [*changes, *([without(document, place)] if place else [])]:
            refused += _is_refused(read, changed)
    assert refused > 20


@pytest.mark.parametrize("source", DOCUMENTS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_document_with_several_parts_replaced_is_read_or_refused(source, data):
    document, read = DOCUMENTS[source]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(list(places(document))))
        document = replaced(document, place, data.draw(st.sampled_from(REPLACEMENTS) | st.text(max_size=5)))
    _is_refused(read, document)


def _is_refused(read, document):
    """Whether the project's own errors refuse it; others fail the test. What is read can be written as a contract."""
    try:
        found = read(document)
    except (InvalidSourceError, InvalidContractError) as error:
        assert str(error)
        return True
    contract = found if isinstance(found, Contract) else getattr(found, "result", None)
    if contract:
        contract_to_text(contract, "yaml")
    return False


STATEMENT = create_sql(CONTRACT, location="s3://lake/t").result
WORDS = ("(", ")", "<", ">", ",", ";", "'", '"', "`", "\\", "--", "/*", "create", "table", "as", "comment", "not null", "")


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_statement_with_parts_replaced_is_read_or_refused(data):
    text = STATEMENT
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 8, len(text))))
        text = f"{text[:start]} {data.draw(st.sampled_from(WORDS))} {text[end:]}"
    _is_refused(from_ddl, text)
