"""A table held to its contract: what does not fit is beside it, in the partitions of the data, and nothing is lost."""

from __future__ import annotations

import json
import logging
from datetime import date

import pytest
from pyspark.sql import functions as F

from gluewright_core import leases
from gluewright_core.dataset import open_dataset
from gluewright_core.errors import RunRepeatedError
from gluewright_core.logs import RunIdentity
from gluewright_core.schema import Column, Contract, Mode
from gluewright_core.schema.conform import PROBLEM, ContractViolationError
from gluewright_core.summary import RunSummary, Step
from gluewright_core.tables import ALL, TOUCHED
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.sharing import in_turn

pytestmark = pytest.mark.usefixtures("interpreted")

MONDAY, TUESDAY = {"dt": date(2026, 1, 5)}, {"dt": date(2026, 1, 6)}
COLUMNS = (
    Column("id", "bigint", nullable=False),
    Column("email", "string", nullable=False, tags=("pii",)),
    Column("amount", "decimal(10,2)"),
    Column("code", "varchar(3)", on_surprise=Mode.DISCARD_VALUE),
    Column("dt", "date", nullable=False),
)
GOOD = [("1", "a@x.org", "1.50", "abc", "2026-01-05"), ("2", "b@x.org", "2.00", None, "2026-01-06")]
ODD = [
    ("3", "c@x.org", "1.505", "abc", "2026-01-05"),  # the amount would be rounded
    ("4", None, "1", "abc", "2026-01-06"),
    ("5", "e@x.org", "5", "abcd", "2026-01-06"),  # written, without the code
    ("6", "f@x.org", "6", "abc", "2026-02-30"),  # no partition
]


@pytest.fixture(params=in_turn(["parquet", "delta", "iceberg"]))
def make(request, spark, catalog, tmp_path):
    kind = request.param
    database = f"ice.{catalog.name}" if kind == "iceberg" else catalog.name

    def opened(name="orders", **changes):
        contract = Contract(f"{database}.{name}", COLUMNS, **{"key": ("id",), "partition_by": ("dt",), **changes})
        return open_dataset(spark, contract, kind, location="" if kind == "iceberg" else f"file://{tmp_path}/{name}")

    return opened


def texts(spark, rows):
    return spark.createDataFrame(rows, "id string, email string, amount string, code string, dt string")


def quarantined(dataset):
    """Which rows are in quarantine, by which run, and why."""
    assert dataset.quarantine is not None
    found = [
        (json.loads(row["original"])["id"], row["quarantined_by"], *((p["column"], p["rule"]) for p in row["problems"]))
        for row in dataset.quarantine.read().collect()
    ]
    return sorted(found)


def test_what_does_not_fit_is_set_aside_and_a_day_that_is_saved_again_replaces_it(spark, make):
    orders, step = make(), Step("orders")
    saved = orders.save(texts(spark, GOOD + ODD), run="run-1", replace=[MONDAY, TUESDAY]).told(step)
    step.check()
    assert (saved.read, saved.published.rows, saved.quarantined, saved.kept) == (6, 3, 3, 1)
    assert_same_rows(
        orders.load().select("id", F.col("amount").cast("string").alias("amount"), "code"),
        [(1, "1.50", "abc"), (2, "2.00", None), (5, "5.00", None)],
    )
    assert quarantined(orders) == [
        ("3", "run-1", ("amount", "precision")),
        ("4", "run-1", ("email", "required")),
        ("5", "run-1", ("code", "length")),
        ("6", "run-1", ("dt", "range")),
    ]
    assert "@x.org" not in str(orders.quarantine.read().collect())

    orders.save(texts(spark, [("4", "d@x.org", "1", "abc", "2026-01-06")]), run="run-2", replace=[TUESDAY])
    assert [row[0] for row in orders.load().orderBy("id").select("id").collect()] == [1, 4]
    # The row without a day belongs to no day that was saved again.
    assert [row[:2] for row in quarantined(orders)] == [("3", "run-1"), ("6", "run-1")]

    orders.save(texts(spark, GOOD), run="run-3", replace=ALL)
    assert quarantined(orders) == []


def test_columns_that_differ_from_the_contract_are_reported_and_a_missing_one_fails(spark, make, caplog):
    orders, step = make(), Step("orders")
    orders.save(texts(spark, GOOD), run="run-1", replace=ALL)
    drifted = texts(spark, GOOD).selectExpr("id", "Email AS EMAIL", "amount", "dt", "'red' AS colour")
    with pytest.raises(ContractViolationError, match=r"code: is missing .*on_difference=\{'missing': 'warn'\}"):
        orders.save(drifted, run="run-2", replace=ALL)
    with pytest.raises(ContractViolationError, match="colour: is not in the contract.*'extra': 'warn'"):
        wider = texts(spark, GOOD).selectExpr("*", "1 AS colour")
        orders.save(wider, run="run-2", replace=ALL, on_difference={"extra": "fail"})
    with pytest.raises(ValueError, match="the kinds are missing, extra"):
        orders.save(drifted, run="run-2", replace=ALL, on_difference={"lost": "fail"})
    assert {row["code"] for row in orders.load().collect()} == {"abc", None}

    logger = logging.getLogger("gluewright.dataset")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "gluewright.dataset"):
            caplog.clear()
            saved = orders.save(drifted, run="run-3", replace=ALL, on_difference={"missing": "warn", "extra": "log"})
            saved.told(step)
    finally:
        logger.removeHandler(caplog.handler)
    assert {row["code"] for row in orders.load().collect()} == {None}
    kinds = {difference.kind: difference.column for difference in saved.differences}
    assert (kinds["missing"], kinds["extra"], kinds["renamed"]) == ("code", "colour", "email")
    levels = {record.kind: record.levelname for record in caplog.records if record.name == "gluewright.dataset"}
    assert levels == {"missing": "WARNING", "extra": "INFO", "renamed": "WARNING", "retyped": "INFO"}
    summary = RunSummary(RunIdentity("job", "run-3"), [step]).as_dict()
    told = summary["steps"][0]["differences"][saved.published.table]
    assert told["missing"] == ["code: is missing and becomes NULL"]
    assert told["extra"] == ["colour: is not in the contract and is left out"]


def test_too_many_rows_that_do_not_fit_stop_the_job_before_anything_is_published(spark, make):
    orders = make()
    orders.save(texts(spark, GOOD), run="run-1", replace=ALL)
    for limit in ({"max_rows": 2}, {"max_share": 0.5}):
        with pytest.raises(ContractViolationError, match="4 of 6 rows do not fit") as told:
            orders.save(texts(spark, GOOD + ODD), run="run-2", replace=[MONDAY, TUESDAY], **limit)
        assert "amount: precision" in str(told.value)
        assert "@x.org" not in str(told.value)
    assert quarantined(orders) == []
    assert orders.load().count() == 2


def test_an_attempt_again_with_other_rows_is_refused_instead_of_mixed_with_the_first(spark, make):
    orders = make()
    orders.save(texts(spark, GOOD + ODD), run="run-1", replace=ALL)
    before = quarantined(orders)
    for changed in (GOOD + ODD[:2], [*GOOD, GOOD[0], *ODD]):
        with pytest.raises(RunRepeatedError, match="run it again as a new run"):
            orders.save(texts(spark, changed), run="run-1", replace=ALL)
    assert (orders.load().count(), quarantined(orders)) == (3, before)
    orders.save(texts(spark, GOOD + ODD), run="run-1", replace=ALL)


def test_a_frozen_contract_fails_the_job_and_says_what_is_wrong(spark, make):
    frozen = make(values=Mode.FREEZE)
    code_discards = texts(spark, [*GOOD, ODD[0]])
    with pytest.raises(ContractViolationError, match="amount: precision"):
        frozen.save(code_discards, run="run-1", replace=TOUCHED)
    assert not frozen.table.exists() or frozen.load().count() == 0


def test_what_the_job_itself_finds_wrong_is_quarantined_with_its_reason(spark, make):
    orders = make()
    wrong = F.when(F.col("id") == "2", F.array(F.struct(*(F.lit(word) for word in ("id", "sold", "was never sold", "2")))))
    rows = texts(spark, GOOD).withColumn("problems", wrong.cast(f"array<{PROBLEM.simpleString()}>"))
    saved = orders.save(rows, run="run-1", replace=TOUCHED, problems="problems")
    assert (saved.published.rows, saved.quarantined) == (1, 1)
    assert quarantined(orders) == [("2", "run-1", ("id", "sold"))]


def test_rows_that_fit_by_their_types_need_no_pass_of_their_own(spark, catalog, tmp_path):
    contract = Contract(f"{catalog.name}.plain", [Column("a", "bigint"), Column("b", "string")])
    plain = open_dataset(spark, contract, location=f"file://{tmp_path}/plain")
    computed = spark.sparkContext.accumulator(0)
    rows = spark.range(3).selectExpr("id AS a", "CAST(id AS STRING) AS b")
    spy = rows.rdd.map(lambda row: computed.add(1) or row).toDF(rows.schema)
    saved = plain.save(spy, run="run-1", replace=ALL)
    assert (saved.read, saved.published.rows, saved.quarantined, computed.value) == (3, 3, 0, 3)


@pytest.mark.usefixtures("short_leases", "interpreted")
def test_killed_anywhere_and_run_again_nothing_is_lost(spark, make, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    names = (f"orders_{number}" for number in range(1000))

    def job(orders):
        orders.save(texts(spark, GOOD + ODD), run="run-1", replace=[MONDAY, TUESDAY])

    def check(orders):
        assert sorted(row["id"] for row in orders.load().collect()) == [1, 2, 5]
        assert [row[0] for row in quarantined(orders)] == ["3", "4", "5", "6"]

    points = every_kill_point(lambda: make(next(names)), job, check)
    print(f"a dataset saved: {points} kill points")


def test_columns_that_a_contract_lets_in_stay_in_the_table_and_are_loaded(spark, make):
    orders = make(new_columns=Mode.EVOLVE)
    orders.save(texts(spark, GOOD), run="run-1", replace=[MONDAY, TUESDAY])
    more = texts(spark, GOOD[:1]).selectExpr("*", "'red' AS colour")
    orders.save(more, run="run-2", replace=[MONDAY])
    assert {row["id"]: row["colour"] for row in orders.load().collect()} == {1: "red", 2: None}
    orders.save(texts(spark, GOOD[1:]), run="run-3", replace=[TUESDAY])
    assert {row["id"]: row["colour"] for row in orders.load().collect()} == {1: "red", 2: None}
