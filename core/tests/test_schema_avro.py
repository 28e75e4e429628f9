"""Avro schemas compared by Avro's own rules, with the checkers of Avro's Java and Python libraries as witnesses."""

import json

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from py4j.protocol import Py4JJavaError

from core.tests.avro_pairs import (
    COMPATIBLE,
    INCOMPATIBLE,
    JAVA_DEVIATES,
    PYTHON_DEVIATES,
    decimal,
    enum,
    field,
    fixed,
    items,
    logical,
    record,
)
from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema.__main__ import main
from gluewright_core.schema.avro_compatibility import check_avro_versions, resolve
from gluewright_core.schema.compatibility import Compatibility
from gluewright_core.schema.sources.avro import from_avro
from gluewright_core.schema.sources.avro_parsing import parse_avro
from gluewright_testing.sharing import once

PAIRS = {what: pair[:2] for what, pair in (COMPATIBLE | INCOMPATIBLE).items()}


def resolved(reader, writer):
    return resolve(*(parse_avro(json.dumps(schema)) for schema in (reader, writer)))


def unreadable(reader, writer):
    return [str(found) for found in resolved(reader, writer).unreadable]


def notes(reader, writer):
    return [str(found) for found in resolved(reader, writer).notes]


@pytest.mark.parametrize("change", COMPATIBLE)
def test_what_a_reader_reads(change):
    assert unreadable(*COMPATIBLE[change]) == []


@pytest.mark.parametrize("change", INCOMPATIBLE)
def test_what_a_reader_does_not_read_is_named_with_its_path_and_what_to_do(change):
    reader, writer, said = INCOMPATIBLE[change]
    assert unreadable(reader, writer) == said


def python_reads(reader, writer):
    """The answer of Avro's Python library."""
    try:
        schemas = [parse(json.dumps(schema)) for schema in (reader, writer)]
    except AvroException:
        return False
    found = ReaderWriterCompatibilityChecker().get_compatibility(*schemas).compatibility
    return found is SchemaCompatibilityType.compatible


def java_reads(spark, reader, writer):
    """The answer of Avro's Java library, the one that Spark has."""
    avro = spark._jvm.org.apache.avro
    try:
        schemas = [avro.Schema.Parser().parse(json.dumps(schema)) for schema in (reader, writer)]
        found = avro.SchemaCompatibility.checkReaderWriterCompatibility(*schemas)
    except Py4JJavaError:
        return False
    return found.getType().toString() == "COMPATIBLE"


@pytest.mark.filterwarnings("ignore::avro.errors.IgnoredLogicalType")
def test_avros_python_library_agrees_but_for_what_is_listed():
    deviating = {what for what, pair in PAIRS.items() if python_reads(*pair) == bool(unreadable(*pair))}
    assert deviating == PYTHON_DEVIATES.keys()


def test_avros_java_library_agrees_but_for_what_is_listed(spark):
    deviating = {what for what, pair in PAIRS.items() if java_reads(spark, *pair) == bool(unreadable(*pair))}
    assert deviating == JAVA_DEVIATES.keys()


names = st.sampled_from(["A", "B", "x.A", "y.A"])
symbols = st.lists(st.sampled_from(["RED", "BLUE"]), min_size=1, max_size=2, unique=True)
plain = st.sampled_from(["int", "long", "float", "double", "string", "bytes", "boolean", "null"])
aliases = st.sampled_from([[], [], ["B"], ["x.A"]])
enums = st.builds(
    lambda name, values, default, other: enum(
        *values, name=name, aliases=other, **({"default": values[0]} if default else {})
    ),
    names,
    symbols,
    st.booleans(),
    aliases,
)
fixeds = st.builds(lambda size, name, other: fixed(size, name, aliases=other), st.sampled_from([4, 8]), names, aliases)


def unions(inner):
    return st.lists(inner.filter(lambda kind: not isinstance(kind, list)), min_size=1, max_size=3, unique_by=branch)


def branch(kind):
    return kind if isinstance(kind, str) else (kind["type"], kind.get("name"))


def records(inner):
    fields = st.lists(
        st.builds(lambda name, kind, default: (name, kind, default), st.sampled_from(["a", "b"]), inner, st.booleans()),
        max_size=2,
        unique_by=lambda found: found[0],
    )
    return st.builds(
        lambda name, other, found: record(*(with_default(*member) for member in found), name=name, aliases=other),
        names,
        aliases,
        fields,
    )


def with_default(name, kind, wanted):
    plain_default = {"int": 1, "long": 1, "float": 1.5, "string": "", "bytes": "", "boolean": True, "null": None}
    first = kind[0] if isinstance(kind, list) else kind
    return field(name, kind, **({"default": plain_default[first]} if wanted and first in list(plain_default) else {}))


schemas = st.recursive(
    plain | enums | fixeds,
    lambda inner: (
        records(inner)
        | unions(inner)
        | st.builds(lambda kind: {"type": "array", "items": kind}, inner)
        | st.builds(lambda kind: {"type": "map", "values": kind}, inner)
    ),
    max_leaves=4,
)


def defined_once(schema, space, seen):
    """The schema with only the first definition of each name; the others are references."""
    if isinstance(schema, list):
        found = {}
        for kind in (defined_once(kind, space, seen) for kind in schema):
            # A definition and a reference to it are one branch.
            found.setdefault(kind if isinstance(kind, str) else kind.get("name", kind["type"]), kind)
        return list(found.values())
    if isinstance(schema, str):
        return schema
    if "name" not in schema:
        part = "items" if schema["type"] == "array" else "values"
        return {**schema, part: defined_once(schema[part], space, seen)}
    full = schema["name"] if "." in schema["name"] or not space else f"{space}.{schema['name']}"
    if full in seen:
        return full
    seen.add(full)
    if schema["type"] != "record":
        return {**schema, "name": full}
    inner = full.rpartition(".")[0]
    return {
        **schema,
        "name": full,
        "fields": [{**member, "type": defined_once(member["type"], inner, seen)} for member in schema["fields"]],
    }


@st.composite
def nearly(draw, schema):
    """The schema, or one a few changes away."""
    often = st.integers(0, 4).map(bool)
    if not draw(often):
        return draw(schemas)
    if isinstance(schema, list):
        found = [draw(nearly(kind)) for kind in schema if draw(often)]
        found = [kind for kind in found if not isinstance(kind, list)]
        return list({json.dumps(branch(kind)): kind for kind in found}.values()) or ["null"]
    if isinstance(schema, str):
        return draw(st.just(schema) | plain)
    if schema["type"] in {"array", "map"}:
        part = "items" if schema["type"] == "array" else "values"
        return {**schema, part: draw(nearly(schema[part]))}
    if schema["type"] == "record":
        kept = [member for member in schema["fields"] if draw(often)]
        return {**schema, "fields": [with_default(m["name"], draw(nearly(m["type"])), draw(often)) for m in kept]}
    return schema


pairs = schemas.flatmap(lambda schema: st.tuples(nearly(schema), st.just(schema))).map(
    lambda pair: tuple(defined_once(schema, "r", set()) for schema in pair)
)


@once(1)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(pair=pairs)
def test_any_two_schemas_get_the_answer_of_avros_own_library(spark, pair):
    parsed = [spark._jvm.org.apache.avro.Schema.Parser().parse(json.dumps(schema)) for schema in pair]
    found = spark._jvm.org.apache.avro.SchemaCompatibility.checkReaderWriterCompatibility(*parsed)
    assert (not unreadable(*pair)) == (found.getType().toString() == "COMPATIBLE")


def test_the_random_schemas_are_compatible_often_enough_to_tell():
    seen = []

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(pair=pairs)
    def look(pair):
        seen.append(not unreadable(*pair))

    look()
    assert 40 < sum(seen) < len(seen) - 40


def test_what_is_read_with_another_meaning_is_noted():
    millis, micros = (record(field("at", logical("long", f"timestamp-{unit}"))) for unit in ("millis", "micros"))
    assert notes(micros, millis) == [
        "at: timestamp-millis is read as timestamp-micros: Avro reads the long as it is, whatever it means; "
        "keep the logical type"
    ]
    assert notes(micros, micros) == []
    assert notes("bytes", decimal(10, 2))[0].startswith("(schema): decimal(10,2) is read as bytes")
    # A branch that is not taken says nothing.
    assert notes(["null", micros, "string"], "string") == []


def test_a_default_of_a_later_branch_is_noted():
    new = record(field("a", ["int", "null"], default=None))
    assert unreadable(new, record()) == []
    assert notes(new, record()) == [
        "a: its default null is none of int: before Avro 1.12 a default belongs to the first type of its union; "
        "put its type first"
    ]


def test_types_that_contain_each_other_are_not_taken_for_readable_too_early():
    # B is looked at while A is open and counts as readable. A is not, though another branch takes its place there.
    def a_and_b(space, kind):
        return record(field("b", record(field("a", ["null", "A"]), name="B")), field("x", kind), name="A", namespace=space)

    reader = record(field("first", [a_and_b("one", "int"), a_and_b("two", "boolean")]), field("second", "one.B"))
    writer = record(field("first", a_and_b("", "boolean")), field("second", "B"))
    assert unreadable(reader, writer) == ["second.a.x: boolean is not read as int; add a field beside it"]


def test_every_mode_checks_the_versions_that_it_names():
    versions = [parse_avro(record(field("c", enum(*values)))) for values in (("RED", "BLUE"), ("RED",), ("RED", "GREEN"))]
    found = {str(mode): {(p.reader, p.writer) for p in check_avro_versions(versions, mode)[0]} for mode in Compatibility}
    assert found == {
        "NONE": set(),
        "BACKWARD": set(),
        "BACKWARD_TRANSITIVE": {(3, 1)},
        "FORWARD": {(2, 3)},
        "FORWARD_TRANSITIVE": {(1, 3), (2, 3)},
        "FULL": {(2, 3)},
        "FULL_TRANSITIVE": {(3, 1), (1, 3), (2, 3)},
    }
    assert {str(p.problem.path) for p in check_avro_versions(versions, "FULL_ALL")[0]} == {"c"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**schemas):
        for name, schema in schemas.items():
            (tmp_path / f"{name}.avsc").write_text(json.dumps(schema))

    return write


def test_the_command_compares_avro_files_by_avros_rules_and_says_what_a_contract_loses(files, capsys):
    files(old=record(field("c", enum("RED", "BLUE"))), new=record(field("c", enum("RED"), aliases=["d"], default="RED")))
    assert main(["compatible", "avro:old.avsc", "avro:new.avsc", "--mode", "BACKWARD"]) == 1
    said = capsys.readouterr()
    assert said.out == (
        "version 2 cannot read version 1: c: the enum Colour lacks the symbol BLUE; "
        "keep it, or give the reader's enum a default\n"
    )
    lost = "as a contract: c: type: enum becomes string: Spark has no enum; its symbols were"
    assert said.err.splitlines() == [
        f"lost: avro:old.avsc: {lost} RED, BLUE",
        f"lost: avro:new.avsc: {lost} RED",
        'lost: avro:new.avsc: as a contract: c: default: a contract has no defaults: "RED" is left out',
        "lost: avro:new.avsc: as a contract: c: aliases: a contract has no aliases: d is left out",
    ]
    assert main(["compatible", "avro:old.avsc", "avro:new.avsc", "--mode", "FORWARD_ALL"]) == 0
    assert capsys.readouterr().out == "FORWARD_TRANSITIVE: compatible\n"


def test_the_command_compares_avro_that_no_contract_can_be_made_of(files, capsys):
    files(old=record(field("v", ["int", "string"])), new=record(field("v", ["int", "string", "boolean"])))
    assert main(["compatible", "avro:old.avsc", "avro:new.avsc"]) == 0
    said = capsys.readouterr()
    assert said.out == "BACKWARD: compatible\n"
    assert said.err.startswith("lost: avro:old.avsc: as a contract: everything: old.avsc: v: the union of int")


def test_the_command_notes_what_is_read_with_another_meaning(files, capsys):
    files(old=record(field("at", logical("long", "timestamp-millis"))), new=record(field("at", "long")))
    assert main(["compatible", "avro:old.avsc", "avro:new.avsc"]) == 0
    assert "note: version 2 reads version 1: at: timestamp-millis is read as long" in capsys.readouterr().err


def test_the_command_compares_avro_with_anything_else_as_contracts_and_says_what_is_lost(files, tmp_path, capsys):
    files(old=record(field("c", enum("RED"))))
    (tmp_path / "new.sql").write_text("c string NOT NULL")
    assert main(["compatible", "avro:old.avsc", "ddl:new.sql"]) == 0
    said = capsys.readouterr()
    assert said.out == "BACKWARD: compatible\n"
    assert said.err == "lost: avro:old.avsc: c: type: enum becomes string: Spark has no enum; its symbols were RED\n"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (record(field("c", {"type": "enum", "name": "E", "symbols": None})), "c: the symbols of the enum E are None"),
        (record(field("c", {"type": "enum", "name": "E"})), "c: the enum E has no 'symbols'"),
        (record(field("c", enum("A", 5))), "c: the symbols of the enum Colour are ['A', 5]; give a list of texts"),
        (record(field("c", enum("A", "A"))), "c: the enum Colour has the symbol A twice; remove one"),
        (record(field("c", enum("A", default="B"))), "c: the default of the enum Colour is 'B', not one of its symbols"),
        ({"type": "record", "name": "t", "fields": None}, "the record t has no list of fields; give it"),
        (items({"name": "a"}), "items[]: field 0 has no name or no type; give it both"),
        (items(field("a", {"name": "x"})), "items[].a: {'name': 'x'} is no type: it has no 'type'"),
        (record(field("a", None)), "a: None is no type"),
        (record(field(5, "int")), "field 0 has the name 5; give it a text"),
        (record(field("a", "int"), field("a", "int")), "the record Order has the field a twice"),
        (record(field("a", "int", aliases="b")), "a: the aliases of the field are 'b'; give a list of texts"),
        (record(field("h", fixed("x"))), "h: the size of the fixed Hash is 'x'; give it a number of bytes"),
        (record(field("h", {"type": "fixed", "name": "H"})), "h: the size of the fixed H is None"),
        (record(field("a", {"type": "array"})), "a: the array has no 'items'"),
        (record(field("a", {"type": "map"})), "a: the map has no 'values'"),
        (record(field("a", {"type": "record", "fields": []})), "a: the record has no 'name'"),
        (record(field("a", ["int", "int"])), "a: the union has int twice; remove one"),
        (record(field("a", ["null", ["int"]])), "a: a union directly inside a union"),
        (record(field("a", enum("X")), field("b", enum("X"))), "b: Colour is defined twice; write only its name"),
        (record(field("a", enum("X", name="int"))), "a: the enum has the name of the type int; rename it"),
        (record(field("a", enum("X", namespace=5))), "a: the namespace of the enum Colour is 5"),
        (record(field("a", "int"), key=5), "the record: key is 5; give it a text"),
    ],
)
def test_a_schema_that_is_none_is_refused_with_its_place_and_what_to_do(files, capsys, schema, said):
    with pytest.raises(InvalidSourceError) as raised:
        from_avro(schema, where="x.avsc")
    assert f"x.avsc: {said}" in str(raised.value) or f"x.avsc: the schema: {said}" in str(raised.value)
    files(x=schema)
    assert main(["show", "avro:x.avsc"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "read", "why"),
    [
        (decimal(0, 0), "binary", "the decimal has the precision 0, not a whole number from 1"),
        (decimal(True, 0), "binary", "the decimal has the precision True"),
        (decimal(5, 7), "binary", "the decimal has the scale 7, not a whole number from 0 to its precision 5"),
        (decimal(10, 2, "string"), "string", "the logical type decimal is one of bytes or fixed, not of string"),
        (
            {"name": "S", "size": 2, **decimal(5, 2, "fixed")},
            "binary",
            "the decimal has the precision 5, but 2 bytes hold 4 digits",
        ),
        (logical("long", "date"), "bigint", "the logical type date is one of int, not of long"),
        (logical("int", "timestamp-micros"), "int", "the logical type timestamp-micros is one of long, not of int"),
        (logical("string", "money"), "string", "the logical type 'money' is unknown"),
        (logical("string", 5), "string", "the logical type 5 is unknown"),
        (logical("string", "varchar", maxLength=0), "string", "the logical type varchar has the maxLength 0"),
        (logical("fixed", "duration", name="D", size=8), "binary", "the logical type duration has 12 bytes, not 8"),
        (logical("array", "map", items="int"), "array<int>", "the logical type map is an array of records of key and value"),
    ],
)
def test_a_logical_type_that_is_invalid_is_ignored_as_the_specification_says_and_named_as_lost(spark, kind, read, why):
    found = from_avro(record(field("a", kind)))
    assert found.result["a"].data_type.simpleString() == read
    (loss,) = [loss for loss in found.losses if "ignored" in loss.why]
    assert str(loss).startswith(f"a: type: {why}")
    # Avro's own library ignores it too.
    parsed = spark._jvm.org.apache.avro.Schema.Parser().parse(json.dumps(record(field("a", kind))))
    if loss.why.find("map") < 0 and kind.get("logicalType") != "varchar":
        assert parsed.getField("a").schema().getLogicalType() is None


def test_a_logical_type_beside_the_type_of_a_field_is_named_as_lost():
    (loss,) = from_avro(record(field("a", "long", logicalType="timestamp-micros"))).losses
    assert str(loss).startswith("a: type: timestamp-micros is ignored: Avro ignores a logical type beside a field's type")
