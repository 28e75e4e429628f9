"""Value rules: which rows keep them, what becomes of the others, and which rules are none."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest
from pyspark.sql import Observation

from gluewright_core.dataset import open_dataset
from gluewright_core.errors import InvalidContractError, SchemaError
from gluewright_core.landing import read_landing
from gluewright_core.logs import RunIdentity
from gluewright_core.schema import Column, Contract, Mode, Rule, Severity, broken_rows, row_struct, valid_rows
from gluewright_core.schema.conform import ContractViolationError
from gluewright_core.schema.document import from_document, to_document
from gluewright_core.schema.files import contract_from_text, contract_to_text
from gluewright_core.summary import RunSummary, Step
from gluewright_core.tables import ALL

ORDERS = Contract(
    "orders",
    (
        Column("id", "bigint", nullable=False),
        Column("currency", "string", rules=(Rule(allowed=("EUR", "US'D")), Rule(pattern="[A-Z']+"))),
        Column("price", "decimal(10,2)", rules=(Rule(minimum=0), Rule(maximum=100, severity="warn", name="high"))),
        Column("note", "varchar(9)", tags=("pii",), rules=(Rule(min_length=2, max_length=5),)),
        Column("ordered", "date", rules=(Rule(minimum="2026-01-01", severity="fail", name="new"),)),
        Column("shipped", "date"),
    ),
    rules=(
        Rule(name="shipped after", sql="shipped >= ordered"),
        Rule(name="ratio", sql="price / (id - 3) < 50", severity="warn"),
        Rule(unique=("currency", "price")),
    ),
)
STRUCT = "id string, currency string, price string, note string, ordered string, shipped string"


def good(number, **changes):
    row = {"id": number, "currency": "EUR", "price": number, "note": "fine"}
    row |= {"ordered": "2026-01-05", "shipped": "2026-01-06", **changes}
    return tuple(None if value is None else str(value) for value in row.values())


BROKEN = {
    11: ({"currency": "CHF"}, {("currency", "allowed")}),
    12: ({"currency": "eur"}, {("currency", "allowed"), ("currency", "pattern")}),
    13: ({"currency": "EUR\n"}, {("currency", "allowed"), ("currency", "pattern")}),
    14: ({"price": "-0.01"}, {("price", "between")}),
    15: ({"note": "x"}, {("note", "value_length")}),
    16: ({"note": "abcdef"}, {("note", "value_length")}),
    17: ({"shipped": "2026-01-04"}, {("", "shipped after")}),
    18: ({"price": "7"}, {("currency, price", "unique")}),
    19: ({"price": "x", "currency": "CHF"}, {("price", "format"), ("currency", "allowed")}),
}
FITTING = [
    good(1),
    good(2, currency=None, price=None, note=None, ordered=None, shipped=None),
    good(4, currency="US'D", price="100.01"),
    good(5, price="0"),
    good(6, note="ab"),
    good(8, note="abcde", shipped="2026-01-05"),
    good(9, price=None),
    good(10, price=None),
]


@pytest.fixture(params=[True, False], ids=["ansi", "lenient"])
def ansi(request, spark):
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", request.param)
    yield request.param
    spark.conf.set("spark.sql.ansi.enabled", before)


def found_in(conformed):
    return {
        int(json.loads(row.original)["id"]): {(p.column, p.rule) for p in row.problems}
        for row in conformed.quarantine.collect()
    }


@pytest.mark.usefixtures("ansi")
def test_each_rule_sends_the_rows_that_break_it_to_quarantine(spark):
    rows = [*FITTING, *(good(number, **changes) for number, (changes, _) in BROKEN.items()), good(7)]
    conformed = ORDERS.conform(spark.createDataFrame(rows, STRUCT))
    conformed = conformed.from_checked(conformed.checked.localCheckpoint())
    assert sorted(row.id for row in conformed.rows.collect()) == sorted(int(row[0]) for row in FITTING)
    expected = {number: rules for number, (_, rules) in BROKEN.items()}
    assert found_in(conformed) == {**expected, 7: {("currency, price", "unique")}}
    counted = conformed.count_broken()
    assert counted == {
        "currency: allowed": 4,
        "currency: pattern": 2,
        "price: between": 1,
        "price: high": 1,
        "note: value_length": 2,
        "ordered: new": 0,
        "shipped after": 1,
        "ratio": 1,
        "currency, price: unique": 2,
    }
    problems = {(p.rule, p.reason, p.value) for row in conformed.quarantine.collect() for p in row.problems}
    assert ("allowed", "is not one of 'EUR', \"US'D\"", "CHF") in problems
    assert ("between", "is not at least 0", "-0.01") in problems
    assert ("value_length", "has not between 2 and 5 characters", None) in problems
    assert ("unique", "another row has the same values", '{"currency":"EUR","price":7.00}') in problems
    assert "abcdef" not in str(conformed.quarantine.collect())


@pytest.mark.usefixtures("ansi")
def test_a_row_that_a_condition_cannot_be_evaluated_for_breaks_it(spark):
    columns = (Column("a", "int"), Column("b", "int"), Column("s", "string"))
    rules = {
        "divided": "a / b > 0",
        "sum": "a + b > 0",
        "number": "CAST(s AS INT) > 1",
        "twice": "CAST(s AS INT) BETWEEN 1 AND 9",
        "compared": "s > 4",
        "item": "array(a)[b] > 0",
        "null if": "NULLIF(CAST(s AS INT), 7) > 4",
        "day": "to_date(s, 'yyyy') IS NOT NULL",
    }
    contract = Contract("t", columns, rules=[Rule(name=name, sql=sql, severity="warn") for name, sql in rules.items()])
    rows = [(1, 0, "x"), (2147483647, 1, "5"), (None, None, None), (5, 3, "2024"), (-7, 2, "3")]
    conformed = contract.conform(spark.createDataFrame(rows, "a int, b int, s string").repartition(1))
    assert conformed.rows.count() == 5
    assert conformed.count_broken() == {
        "divided": 2,
        "sum": 2,
        "number": 1,
        "twice": 2,
        "compared": 2,
        "item": 3,
        "null if": 2,
        "day": 4,
    }
    strict = replace(contract, rules=[Rule(name="twice", sql=rules["twice"])])
    (first, second) = strict.conform(spark.createDataFrame(rows, "a int, b int, s string")).quarantine.collect()
    reasons = {first.problems[0].reason, second.problems[0].reason}
    assert reasons == {f"could not be evaluated: {rules['twice']}", f"is not true: {rules['twice']}"}


def test_rules_are_counted_reported_and_decide_before_anything_is_published(spark, catalog, tmp_path, caplog):
    contract = replace(ORDERS, name=f"{catalog.name}.orders")
    orders, step = open_dataset(spark, contract, location=f"file://{tmp_path}/orders"), Step("orders")
    rows = [good(1), good(2, price="100.5"), good(4, currency="CHF")]
    saved = orders.save(spark.createDataFrame(rows, STRUCT), run="run-1", replace=ALL).told(step)
    step.check()
    assert (saved.read, saved.published.rows, saved.quarantined) == (3, 2, 1)
    assert {rule for rule, broken in saved.broken.items() if broken} == {"price: high", "currency: allowed"}
    assert step.counts() == {"read": 3, "written": 2, "quarantined": 1}
    (told,) = RunSummary(RunIdentity("j", "r", 1), [step]).as_dict()["steps"]
    assert told["rules"] == {contract.name: saved.broken}
    assert "the rule price: high is broken by 1 rows" in caplog.text
    old = spark.createDataFrame([good(1), good(5, ordered="2025-12-31")], STRUCT)
    with pytest.raises(ContractViolationError, match=r"1 of them .* against rules of severity fail(.|\n)*ordered: new"):
        orders.save(old, run="run-2", replace=ALL)
    assert sorted(row.id for row in orders.load().collect()) == [1, 2]
    assert orders.quarantine.read().count() == 1


def test_a_frozen_contract_with_rules_has_a_quarantine(spark, catalog, tmp_path):
    columns = (Column("id", "int", rules=(Rule(minimum=0), Rule(maximum=9, name="high", severity="warn"))),)
    contract = Contract(f"{catalog.name}.frozen", columns, values=Mode.FREEZE)
    frozen = open_dataset(spark, contract, location=f"file://{tmp_path}/frozen")
    saved = frozen.save(spark.createDataFrame([(1,), (-1,), (10,)], "id int"), run="run-1", replace=ALL)
    assert (saved.published.rows, saved.quarantined) == (2, 1)
    assert saved.broken == {"id: between": 1, "id: high": 1}


def test_broken_rules_are_observed_with_the_rows(spark):
    contract = Contract("t", (Column("id", "int", rules=Rule(maximum=1, severity="warn")),))
    seen = Observation()
    assert contract.conform(spark.range(4)).observed(seen).rows.count() == 4
    assert {name: seen.get[name] for name in ("read", "written", "id: between")} == {
        "read": 4,
        "written": 4,
        "id: between": 2,
    }


def test_a_record_that_cannot_be_parsed_breaks_no_rule(spark, tmp_path):
    (tmp_path / "a.csv").write_text("id,n\n1,1\n2\n")
    contract = Contract("t", (Column("id", "int"), Column("n", "int")), rules=(Rule(name="there", sql="n IS NOT NULL"),))
    conformed = contract.conform(read_landing(spark, str(tmp_path), contract))
    assert [problem.rule for row in conformed.quarantine.collect() for problem in row.problems] == ["fields"]
    assert conformed.count_broken() == {"there": 0}


def test_rules_see_null_where_a_value_does_not_fit(spark):
    columns = (Column("id", "int"), Column("n", "int", on_surprise="discard_value", rules=(Rule(maximum=9),)))
    contract = Contract("t", columns, rules=(Rule(name="n is there", sql="n IS NOT NULL", severity="warn"),))
    conformed = contract.conform(spark.createDataFrame([("1", "x"), ("2", "5"), ("3", "50")], "id string, n string"))
    assert sorted(map(tuple, conformed.rows.collect())) == [(1, None), (2, 5)]
    assert conformed.count_broken() == {"n: between": 1, "n is there": 1}


def test_the_same_rows_break_them_as_in_duckdb(spark):
    chooser = random.Random(3)
    texts = ["", "a", "ab", "é", "abc", "AB", "a\nb", "ab\n", "😀x", None]
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 6, 1), None]
    rows = [
        (
            number,
            chooser.choice(texts),
            chooser.choice([None, Decimal("-1.50"), Decimal("0.00"), Decimal("9.99"), Decimal("10.00"), Decimal("10.01")]),
            chooser.choice([None, -0.5, 0.0, 0.1, 1e300]),
            chooser.choice(days),
            chooser.choice([None, True, False]),
        )
        for number in range(400)
    ]
    contract = Contract(
        "t",
        (
            Column("id", "int"),
            Column(
                "s",
                "string",
                rules=[Rule(allowed=("a", "ab", "é")), Rule(min_length=1, max_length=2), Rule(pattern="[a-z]+")],
            ),
            Column("n", "decimal(10,2)", rules=[Rule(minimum=0, maximum="10.00"), Rule(allowed=["9.99", 0], name="in")]),
            Column("f", "double", rules=[Rule(maximum=0.1)]),
            Column("d", "date", rules=[Rule(minimum=date(2026, 1, 1), maximum="2026-05-31")]),
            Column("b", "boolean", rules=[Rule(allowed=[True])]),
        ),
        rules=(Rule(name="either", sql="n > 1 OR b"), Rule(unique=("s", "n", "d", "b"))),
    )
    struct = "id int, s string, n decimal(10,2), f double, d date, b boolean"
    conformed = contract.conform(spark.createDataFrame(rows, struct))
    found = found_in(conformed)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (id INT, s VARCHAR, n DECIMAL(10,2), f DOUBLE, d DATE, b BOOLEAN)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    rules = {
        ("s", "allowed"): "s IN ('a', 'ab', 'é')",
        ("s", "value_length"): "length(s) BETWEEN 1 AND 2",
        ("s", "pattern"): "regexp_full_match(s, '[a-z]+')",
        ("n", "between"): "n BETWEEN 0 AND 10",
        ("n", "in"): "n IN (9.99, 0)",
        ("f", "between"): "f <= 0.1",
        ("d", "between"): "d BETWEEN DATE '2026-01-01' AND DATE '2026-05-31'",
        ("b", "allowed"): "b",
        ("", "either"): "n > 1 OR b",
    }
    wanted = {}
    for rule, sql in rules.items():
        for (number,) in connection.execute(f"SELECT id FROM t WHERE NOT ({sql})").fetchall():
            wanted.setdefault(number, set()).add(rule)
    fitting = f"SELECT * FROM t WHERE id NOT IN ({', '.join(map(str, wanted))})"
    same = f"SELECT id FROM ({fitting}) QUALIFY count(*) OVER (PARTITION BY s, n, d, b) > 1 AND s || n || d || b IS NOT NULL"
    for (number,) in connection.execute(same).fetchall():
        wanted[number] = {("s, n, d, b", "unique")}
    assert found == wanted
    assert conformed.rows.count() == 400 - len(wanted) > 0


def test_contracts_with_rules_come_back_from_their_documents():
    for text in (contract_to_text(ORDERS, "yaml"), contract_to_text(ORDERS, "json")):
        form = "json" if text.startswith("{") else "yaml"
        assert contract_from_text(text, form) == ORDERS
    assert from_document(to_document(ORDERS)) == ORDERS
    times = Column("at", "timestamp", rules=(Rule(minimum=datetime(2026, 1, 1), name="new"),))
    again = from_document(to_document(Contract("t", (times,))))["at"]
    assert again == times
    document = to_document(ORDERS)
    assert document["columns"][1]["rules"] == [{"allowed": ["EUR", "US'D"]}, {"pattern": "[A-Z']+"}]
    assert document["columns"][2]["rules"][1] == {"name": "high", "maximum": "100", "severity": "warn"}
    assert document["rules"][2] == {"unique": ["currency", "price"]}


def test_changed_rules_are_differences():
    shipped = Column("shipped", "date", rules=Rule(allowed=["2026-01-01"]))
    other = replace(ORDERS, rules=ORDERS.rules[:2], columns=(*ORDERS.columns[:5], shipped))
    assert [str(found) for found in ORDERS.diff(other)] == [
        "rules shipped after: sql shipped >= ordered (quarantine), ratio: sql price / (id - 3) < 50 (warn), "
        "unique: unique ['currency', 'price'] (quarantine) -> shipped after: sql shipped >= ordered (quarantine), "
        "ratio: sql price / (id - 3) < 50 (warn)",
        "shipped: rules (none) -> allowed: allowed ['2026-01-01'] (quarantine)",
    ]
    assert ORDERS.with_columns(ORDERS.columns[:3]).rules == (Rule(unique=("currency", "price")),)
    assert ORDERS.with_columns([*ORDERS.columns, Column("more", "int")]).rules == ORDERS.rules


ALLOWED, MINIMUM, MAXIMUM = (("rules", 0, field) for field in ("allowed", "minimum", "maximum"))
PATTERN, SQL = ("columns", 0, "rules", 0, "pattern"), ("rules", 0, "sql")


def column(kind, **rule):
    return lambda: Contract("t", (Column("c", kind, rules=(Rule(**rule),)),))


def rows_rule(**rule):
    return lambda: Contract("t", (Column("c", "int"), Column("m", "map<string,int>")), rules=(Rule(**rule),))


WRONG = {
    "nothing": (lambda: Rule(), "a rule has one of allowed, .* not none", ()),
    "two things": (lambda: Rule(allowed=["a"], pattern="b"), "not allowed, pattern", ()),
    "a severity": (lambda: Rule(minimum=1, severity="bad"), "unknown severity 'bad'; use one of warn", ("severity",)),
    "limits": (column("int", minimum=2, maximum=1), "maximum 1 is less than minimum 2", MAXIMUM),
    "lengths": (lambda: Rule(min_length=2, max_length=1), "max_length 1 is less", ("max_length",)),
    "no length": (lambda: Rule(min_length="2"), "min_length is '2'", ("min_length",)),
    "text for a number": (column("int", minimum="a"), "c: minimum 'a' is no value of type int", MINIMUM),
    "too large": (column("tinyint", maximum=128), "maximum 128 is no value of type tinyint", MAXIMUM),
    "rounded": (column("decimal(10,2)", allowed=["1.505"]), r"allowed '1.505' is no value of type decimal", ALLOWED),
    "a number for text": (column("string", allowed=[1]), "allowed 1 is no value of type string", ALLOWED),
    "no day": (column("date", minimum="2026-02-30"), "is no value of type date", MINIMUM),
    "order of booleans": (column("boolean", minimum=True), "a boolean has no order", MINIMUM),
    "a structure": (column("array<int>", allowed=[1]), "is no value of type array<int>", ALLOWED),
    "length of a number": (column("int", max_length=1), "max_length is for text, not for int", ("rules", 0, "max_length")),
    "SQL of a column": (column("int", sql="c > 0", name="x"), "move it to the contract's rules", ("rules", 0)),
    "no name": (lambda: Rule(sql="c > 0"), "needs a name", ("name",)),
    "a column's rule": (rows_rule(minimum=1), "move it to the column's rules", ("rules", 0)),
    "unique of no column": (rows_rule(unique=["C"]), "unique: C is not a column; did you mean c", ("rules", 0, "unique")),
    "unique map": (rows_rule(unique=["m"]), "unique: m holds a map", ("rules", 0, "unique")),
    "the same name": (
        lambda: Contract("t", (Column("c", "int", rules=(Rule(minimum=1), Rule(maximum=2))),)),
        "two rules are called 'between'",
        ("rules", 1),
    ),
    "a bad pattern": (column("string", pattern="[a"), "c: the pattern .*; write a regular expression of Java", PATTERN),
    "an unknown column": (rows_rule(sql="d > 0", name="x"), "the rule x: .*d", SQL),
    "no condition": (rows_rule(sql="c + 1", name="x"), r"the rule x: c \+ 1 is int; write a condition", SQL),
    "no SQL": (rows_rule(sql="c >", name="x"), "the rule x: .*PARSE_SYNTAX_ERROR", SQL),
    "a subquery": (rows_rule(sql="c IN (SELECT 1)", name="x"), "the rule x: ", SQL),
    "a nested subquery": (rows_rule(sql="c > 1 OR EXISTS (SELECT 1)", name="x"), "the rule x: ", SQL),
    "an aggregate": (rows_rule(sql="sum(c) > 0", name="x"), "the rule x: ", SQL),
}


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("case", WRONG)
def test_a_rule_that_is_none_is_refused_with_its_place(case):
    make, message, place = WRONG[case]
    with pytest.raises(InvalidContractError, match=message) as caught:
        make()
    assert place in [where for where, _ in caught.value.problems]


def test_a_file_names_the_line_of_a_wrong_rule():
    text = "name: t\ncolumns:\n- name: c\n  type: int\n  rules:\n  - minimum: 1\n    name: low\n  - minimum: a\n"
    with pytest.raises(InvalidContractError, match=r"minimum 'a' is no value of type int") as caught:
        contract_from_text(text, "yaml", where="t.yaml")
    assert re.search(r"t.yaml:8|line 8", str(caught.value))
    with pytest.raises(InvalidContractError, match="unknown entry 'max'"):
        from_document({"name": "t", "columns": [{"name": "c", "type": "int", "rules": [{"max": 1}]}]})


def test_test_rows_keep_the_rules(spark):
    late = Rule(maximum="2026-12-31", name="late", severity=Severity.WARN)
    columns = (
        Column("id", "int", nullable=False),
        Column("s", "string", rules=(Rule(min_length=2, max_length=4),)),
        Column("v", "varchar(3)", nullable=False, rules=(Rule(allowed=("abc", "x")),)),
        Column("n", "int", nullable=False, rules=(Rule(minimum=5, maximum=7),)),
        Column("d", "date", rules=(Rule(minimum="2026-01-01"), late)),
    )
    contract = Contract("t", columns, key=("id",), rules=(Rule(unique="id"),))
    conformed = contract.conform(spark.createDataFrame(valid_rows(contract, 100), row_struct(contract)))
    assert conformed.rows.count() == 100
    assert set(conformed.count_broken().values()) == {0}
    broken = [each for each in broken_rows(contract) if each.rule in {"value_length", "allowed", "between"}]
    assert [each.path for each in broken] == ["s", "v", "n", "d"]
    for each in broken:
        (row,) = contract.conform(spark.createDataFrame(list(each.rows), each.struct)).quarantine.collect()
        assert {(problem.column, problem.rule) for problem in row.problems} == {(each.path, each.rule)}
    with pytest.raises(SchemaError, match="no rows can be made that keep the rule currency: pattern"):
        valid_rows(ORDERS, 1)
    assert len({row["n"] for row in valid_rows(contract, 100)}) == 3
