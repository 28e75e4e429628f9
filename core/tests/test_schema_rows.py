"""Rows made from a contract: the valid ones pass it untouched, each broken one fails for its own reason."""

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.tests.schema_strategies import contracts, simple_names
from gluewright_core.errors import SchemaError
from gluewright_core.schema import Column, Contract
from gluewright_core.schema.rows import broken_rows, row_struct, valid_rows
from gluewright_core.schema.sources.ddl import from_ddl

pytestmark = pytest.mark.usefixtures("interpreted")

EVERYTHING = Contract.from_struct(
    "t",
    from_ddl(
        "id int NOT NULL, part tinyint, flag boolean, s smallint, b bigint, f float, d double, price decimal(10,2), "
        "code char(2), name varchar(5), note string NOT NULL, raw binary NOT NULL, day date, at timestamp, "
        "clock timestamp_ntz NOT NULL, items array<struct<sku:varchar(3) NOT NULL,tags:map<string,date>>> NOT NULL, "
        "maps map<int,array<decimal(3,0)>>"
    ).result.struct,
    key=("id", "part"),
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(contract=contracts(metadata=st.just({}), wanted_names=simple_names))
def test_valid_rows_pass_any_contract_unchanged(spark, contract):
    contract = Contract("t", contract.columns, key=contract.key, partition_by=contract.partition_by)
    # Python's dictionaries, as which PySpark collects maps, have no bytearray for a key.
    assume("map<binary" not in contract.struct.simpleString())
    try:
        rows = valid_rows(contract, 20)
    except SchemaError:
        rows = valid_rows(contract, 1)
    found = spark.createDataFrame(rows, row_struct(contract))
    kept = contract.conform(found, unique_key=bool(contract.key))
    assert kept.quarantine.collect() == []
    assert sorted(map(str, kept.rows.collect())) == sorted(map(str, found.collect()))


def test_rows_are_the_same_for_the_same_seed_and_others_for_another():
    assert valid_rows(EVERYTHING, 50) == valid_rows(EVERYTHING, 50)
    assert valid_rows(EVERYTHING, 50) != valid_rows(EVERYTHING, 50, seed=1)
    assert valid_rows(EVERYTHING, 10) == valid_rows(EVERYTHING, 50)[:10]


def test_rows_have_nulls_ends_of_ranges_and_few_partitions():
    contract = Contract("t", EVERYTHING.columns, key=("id",), partition_by=("day",))
    rows = valid_rows(contract, 200)
    assert [row["id"] for row in rows] == list(range(200))
    assert len({row["day"] for row in rows}) == 3
    assert {row["s"] for row in rows} >= {None, -(2**15), 2**15 - 1}
    assert all(row["note"] is not None for row in rows)


def test_more_rows_than_the_key_has_values_are_refused():
    contract = Contract("t", (Column("a", "boolean"), Column("b", "tinyint"), Column("c", "int")), key=("a", "b"))
    assert len({(row["a"], row["b"]) for row in valid_rows(contract, 256)}) == 256
    with pytest.raises(SchemaError, match="the key a, b has 256 values only"):
        valid_rows(contract, 257)


def test_each_broken_row_is_told_by_its_path_and_rule(spark):
    wrong, seen, names = [], set(), set()
    for column in EVERYTHING.columns:
        # Column by column: plans of one column are quick.
        contract = EVERYTHING.with_columns([column])
        for broken in broken_rows(contract):
            rows = spark.createDataFrame(list(broken.rows), broken.struct)
            quarantine = contract.conform(rows, unique_key=broken.rule == "unique").quarantine.collect()
            problems = {(problem.column, problem.rule) for row in quarantine for problem in row.problems}
            if problems != {(broken.path, broken.rule)} or len(quarantine) != len(broken.rows):
                wrong.append((broken.name, problems))
            seen.add(broken.rule)
            names.add(broken.name)
    assert wrong == []
    assert seen == {"required", "key", "unique", "format", "range", "precision", "length"}
    assert names >= {"items[].sku: required", "items[].tags{}.value: range", "maps{}.value[]: precision", "part: key"}


def test_only_one_thing_is_wrong_in_a_broken_row():
    all_broken = broken_rows(EVERYTHING)
    assert len({broken.name for broken in all_broken}) == len(all_broken)
    sound = next(broken for broken in all_broken if broken.rule == "unique").rows[0]
    for broken in all_broken:
        column = re.split(r"[.\[{]", broken.path)[0]
        for row in broken.rows:
            assert [name for name in row if row[name] != sound[name]] == ([] if broken.rule == "unique" else [column])
