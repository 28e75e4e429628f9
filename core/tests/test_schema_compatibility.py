"""What versions of a contract read of each other: Avro's own answers, asked of Avro's own library."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
)

from core.tests.schema_strategies import structs, types
from gluewright_core.schema import Contract
from gluewright_core.schema.compatibility import Compatibility, check_versions, unreadable
from gluewright_core.schema.sources.avro import to_avro
from gluewright_core.schema.sources.ddl import from_ddl
from gluewright_testing.sharing import once

few_names = st.sampled_from(["a", "b", "c"])
avro_types = [BooleanType, IntegerType, LongType, FloatType, DoubleType, StringType, BinaryType]
leaves = st.sampled_from([kind() for kind in avro_types])
plain = st.just({})
anything = types(metadata=plain, wanted_names=few_names, contains_null=st.booleans(), leaves=leaves)
records = structs(anything, metadata=plain, wanted_names=few_names)


@st.composite
def changed(draw, kind):
    """A type a few steps away from another: fields gone, added and moved, leaves replaced, NULL allowed or not."""
    often = st.integers(0, 3).map(bool)
    match kind:
        case StructType():
            kept = [field for field in kind if draw(often)] or kind.fields
            fields = [
                StructField(field.name, draw(changed(field.dataType)), field.nullable if draw(often) else not field.nullable)
                for field in draw(st.permutations(kept))
            ]
            added = draw(few_names)
            if not draw(often) and added not in kind.names:
                fields.append(StructField(added, draw(leaves), draw(st.booleans())))
            return StructType(fields)
        case ArrayType():
            return ArrayType(draw(changed(kind.elementType)), kind.containsNull if draw(often) else not kind.containsNull)
        case MapType():
            null = kind.valueContainsNull if draw(often) else not kind.valueContainsNull
            return MapType(draw(changed(kind.keyType)), draw(changed(kind.valueType)), null)
    return kind if draw(often) else draw(leaves)


pairs = records.flatmap(lambda record: st.tuples(st.just(record), changed(record)))


@once(1)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(pair=pairs)
def test_the_answer_is_that_of_avros_own_library(spark, pair):
    avro = spark._jvm.org.apache.avro
    contracts = [Contract.from_struct("t", struct) for struct in pair]
    schemas = [avro.Schema.Parser().parse(json.dumps(to_avro(contract).result)) for contract in contracts]
    theirs = avro.SchemaCompatibility.checkReaderWriterCompatibility(*schemas).getType().toString()
    assert (not unreadable(*contracts)) == (theirs == "COMPATIBLE")


def test_the_random_records_are_compatible_often_enough_to_tell():
    seen = []

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(pair=pairs)
    def look(pair):
        seen.append(not unreadable(*(Contract.from_struct("t", struct) for struct in pair)))

    look()
    assert 40 < sum(seen) < len(seen) - 40


def read(reader, writer):
    """What a reader with one list of columns cannot read of another."""
    return [str(found) for found in unreadable(*(from_ddl(text, name="t").result for text in (reader, writer)))]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("bigint", "int"),
        ("float", "int"),
        ("double", "int"),
        ("float", "bigint"),
        ("double", "bigint"),
        ("double", "float"),
        # Beyond Avro.
        ("int", "smallint"),
        ("smallint", "tinyint"),
        ("string", "varchar(5)"),
        ("binary", "char(5)"),
        ("varchar(6)", "varchar(5)"),
        ("varchar(5)", "char(5)"),
        ("char(6)", "char(5)"),
    ],
)
def test_a_wider_type_reads_a_narrower_one_but_not_the_other_way(wide, narrow):
    for place in ("a {}", "a array<{}>", "a map<string,{}>", "a struct<x:array<struct<y:{}>>>"):
        assert read(place.format(wide), place.format(narrow)) == []
        (said,) = read(place.format(narrow), place.format(wide))
        assert f": {wide} is not read as {narrow}: it is narrower; keep {wide}" in said


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("decimal(10,2)", "decimal(12,2)"),
        ("decimal(10,2)", "decimal(10,3)"),
        ("int", "string"),
        ("boolean", "int"),
        ("date", "timestamp"),
        ("date", "int"),
        ("timestamp", "timestamp_ntz"),
        ("bigint", "decimal(19,0)"),
        ("array<int>", "int"),
        ("array<int>", "map<int,int>"),
        ("map<string,int>", "map<binary,int>"),
        ("struct<a:int>", "string"),
    ],
)
def test_types_that_neither_reads(one, other):
    assert len(read(f"a {one}", f"a {other}")) == len(read(f"a {other}", f"a {one}")) == 1


def test_string_and_binary_read_each_other():
    assert read("a string", "a binary") == read("a binary", "a string") == []


def test_reasons_name_the_path_and_say_what_to_do():
    new = "id bigint NOT NULL, items array<struct<sku:string NOT NULL,price:decimal(12,2),cost:decimal(9,2) NOT NULL>>"
    old = "id int, items array<struct<sku:string,price:decimal(10,2),costs:decimal(9,2)>>, gone int"
    own_precision = "decimals are read with their own precision and scale only; add a column beside it"
    renamed = "if it is costs renamed, keep both columns for as long as both versions are in use"
    assert read(new, old) == [
        "id: NULL was allowed and is no more; keep it nullable",
        "items[].sku: NULL was allowed and is no more; keep it nullable",
        f"items[].price: decimal(10,2) is not read as decimal(12,2): {own_precision}",
        f"items[].cost: decimal(9,2) NOT NULL is new and has no default; {renamed}",
    ]


CHANGES = {
    "a nullable column is added": ("a int", "a int, b int", {"BACKWARD", "FORWARD"}),
    "a required column is added": ("a int", "a int, b int NOT NULL", {"FORWARD"}),
    "a nullable column is removed": ("a int, b int", "a int", {"BACKWARD", "FORWARD"}),
    "a required column is removed": ("a int, b int NOT NULL", "a int", {"BACKWARD"}),
    "a nullable column is renamed": ("a int, b int", "a int, c int", {"BACKWARD", "FORWARD"}),
    "a required column is renamed by case": ("b int NOT NULL", "B int NOT NULL", set()),
    "NULL becomes allowed": ("a int NOT NULL", "a int", {"BACKWARD"}),
    "NULL becomes forbidden": ("a int", "a int NOT NULL", {"FORWARD"}),
    "a number becomes wider": ("a int", "a bigint", {"BACKWARD"}),
    "a column moves": ("a int, b int", "b int, a int", {"BACKWARD", "FORWARD"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_allowed_in_its_modes(change):
    old, new, allowed = CHANGES[change]
    versions = [from_ddl(text, name="t").result for text in (old, new)]
    passing = {mode for mode in Compatibility if not check_versions(versions, mode)}
    expected = {f"{mode}{suffix}" for mode in allowed for suffix in ("", "_TRANSITIVE")} | {"NONE"}
    if len(allowed) == 2:
        expected |= {"FULL", "FULL_TRANSITIVE"}
    assert passing == expected


def test_transitive_modes_look_at_every_earlier_version():
    # A nullable column goes and comes back with another type: neighbours agree, the first and the last do not.
    versions = [from_ddl(text, name="t").result for text in ("a int, b int", "a int", "a int, b string")]
    assert check_versions(versions, "FULL") == ()
    assert [str(found) for found in check_versions(versions, "FULL_ALL")] == [
        "version 3 cannot read version 1: b: int is not read as string; add a column beside it",
        "version 1 cannot read version 3: b: string is not read as int; add a column beside it",
    ]
    assert len(check_versions(versions, "BACKWARD_TRANSITIVE")) == len(check_versions(versions, "FORWARD_ALL")) == 1
    with pytest.raises(ValueError, match="SIDEWAYS"):
        check_versions(versions, "SIDEWAYS")
