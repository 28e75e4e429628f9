"""Types from text and back, against Spark's own parser and Hive's."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import DoubleType, NullType, StructType, TimestampNTZType, TimestampType

from core.tests.schema_strategies import names, simple_names, spelled, spelled_field, structs, types
from gluewright_core.schema.types import InvalidTypeError, parse_fields, parse_type, type_text

batched = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
anything = types()


def as_struct(texts):
    """Many types in one text: one question for Spark."""
    return f"struct<{','.join(f'f{i}:{text}' for i, text in enumerate(texts))}>"


@batched
@given(pairs=st.lists(anything.flatmap(lambda kind: st.tuples(st.just(kind), spelled(kind))), min_size=20, max_size=40))
def test_any_spelling_reads_as_in_spark(spark, pairs):
    text = as_struct(spelling for _, spelling in pairs)
    ours = parse_type(text)
    theirs = json.loads(spark._jsparkSession.sessionState().sqlParser().parseDataType(text).json())
    assert ours.jsonValue() == theirs
    assert [field.dataType for field in ours] == [kind for kind, _ in pairs]


@batched
@given(kinds=st.lists(anything, min_size=20, max_size=40))
def test_what_is_written_for_spark_reads_as_the_same_type_here_and_in_spark(spark, kinds):
    texts = [type_text(kind) for kind in kinds]
    assert [parse_type(text) for text in texts] == kinds
    theirs = spark._jsparkSession.sessionState().sqlParser().parseDataType(as_struct(texts)).json()
    assert [field["type"] for field in json.loads(theirs)["fields"]] == [kind.jsonValue() for kind in kinds]


hive_names = st.one_of(simple_names, st.sampled_from(["first name", "a.b", "$oid", "Straße", "x y z"]))
hive_types = types(metadata=st.just({}), wanted_names=hive_names, nullables=st.just(True))


@batched
@given(kinds=st.lists(hive_types, min_size=20, max_size=40))
def test_what_is_written_for_hive_reads_as_the_same_type_in_hive(spark, kinds):
    hive = spark._jvm.org.apache.hadoop.hive.serde2.typeinfo.TypeInfoUtils
    text = as_struct(type_text(kind, "hive") for kind in kinds)
    assert hive.getTypeInfoFromTypeString(text).getTypeName() == text
    without_ntz = [type_text(kind).replace("timestamp_ntz", "timestamp") for kind in kinds]
    assert [field.dataType for field in parse_type(text)] == [parse_type(other) for other in without_ntz]


@settings(max_examples=100, deadline=None)
@given(columns=structs(anything, metadata=st.just({}), wanted_names=names).flatmap(
    lambda struct: st.tuples(st.just(struct), st.tuples(*[spelled_field(field) for field in struct])))
)  # fmt: skip
def test_a_list_of_columns_reads_as_a_struct(columns):
    struct, texts = columns
    assert parse_fields(",".join(texts)) == struct


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Double  Precision", DoubleType()),
        ("timestamp with local time zone", TimestampType()),
        ("TIMESTAMP WITHOUT TIME ZONE", TimestampNTZType()),
        ("void", NullType()),
        ("struct<>", StructType([])),
    ],
)
def test_hives_own_spellings_read(text, kind):
    assert parse_type(text) == kind


def test_names_that_crawlers_find_in_json_read_unquoted_and_keep_their_case():
    text = "struct<$oid:string,@type:string,first Name:string,a-b:int,Zürich:struct<x.y:int>>"
    assert parse_type(text).names == ["$oid", "@type", "first Name", "a-b", "Zürich"]
    assert type_text(parse_type(text), "glue") == text


def test_nesting_has_no_small_limit():
    text = "array<" * 150 + "int" + ">" * 150
    assert type_text(parse_type(text)) == text


def test_a_doubled_quote_in_a_comment_is_one():
    assert parse_fields("a int comment 'it''s'")["a"].metadata == {"comment": "it's"}


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        ("strng", 0, "did you mean string?"),
        ("struct<a:int,b:strng>", 15, "unknown type 'strng'"),
        ("array<int", 9, "'>' after the elements' type"),
        ("array int", 6, "'<' after array"),
        ("map<int>", 7, "',' after the keys' type"),
        ("map<map<int,int>,int>", 4, "cannot be the key"),
        ("decimal(39)", 7, "from 1 to 38"),
        ("decimal(5,6)", 7, "the scale from 0 to it"),
        ("decimal(10,-2)", 11, "whole number"),
        ("varchar", 7, "needs a length"),
        ("char(0)", 5, "begins at 1"),
        ("struct<a:int b:int>", 13, "a comma or '>' after the field 'a'"),
        ("struct<:int>", 7, "a name was expected"),
        ("struct<`a:int>", 7, "no end"),
        ("struct<a:int comment 'x>", 21, "no end"),
        ("struct<a:int comment x>", 21, "quoted text"),
        ("int int", 4, "nothing more"),
        ("", 0, "the text ends where a type was expected"),
        ("uniontype<int,string>", 0, "Spark has no union"),
        ("array<interval year>", 6, "no table can store an interval"),
        ("timestamp with time zone", 0, "keep the zone in a column of its own"),
        ("string collate utf8_lcase", 0, "collation"),
        ("variant", 0, "keep the JSON as string"),
        ("time(6)", 0, "time of day"),
    ],
)
def test_what_is_no_type_is_refused_with_its_place(text, offset, said):
    with pytest.raises(InvalidTypeError) as raised:
        parse_type(text)
    assert raised.value.offset == offset
    assert said in str(raised.value)
    assert str(raised.value).splitlines()[-1].index("^") == offset + 2


@pytest.mark.parametrize("text", ["struct<`a:b`:int>", "struct<` a`:int>", "char(256)"])
def test_what_hive_cannot_express_is_refused(text):
    with pytest.raises(InvalidTypeError):
        type_text(parse_type(text), "hive")
