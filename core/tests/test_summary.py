"""Counts are taken while rows pass, add up, and never make a job wait."""

import json

import pytest
from pyspark.sql import functions as F

from gluewright_core.errors import CountMismatchError
from gluewright_core.glue_parameters import GlueParameters
from gluewright_core.logs import RunIdentity
from gluewright_core.session import start
from gluewright_core.summary import RunSummary, Step, write_summary

RUN = RunIdentity("nightly", "r1", 2)


@pytest.fixture
def session(spark):
    """The test session with the settings that a job gives it."""
    return start("tests", GlueParameters()).spark


def counted(rows, act):
    step = Step("copy")
    act(step.counting(rows, "read"))
    step.resolve()
    return step.counts()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("act", "read"),
    [
        (lambda rows: rows.collect(), 100),
        (lambda rows: rows.write.format("noop").mode("overwrite").save(), 100),
        (lambda rows: rows.groupBy(F.col("id") % 3).count().collect(), 100),
        (lambda rows: (rows.collect(), rows.collect()), 100),
        (lambda rows: rows.union(rows).collect(), 100),
        (lambda rows: (rows.cache().count(), rows.count()), 100),
        # A sort or range partitioning runs what is below it twice.
        (lambda rows: rows.orderBy("id").write.format("noop").mode("overwrite").save(), 100),
        (
            lambda rows: rows.repartitionByRange(3, "id")
            .orderBy(F.desc("id"))
            .write.format("noop")
            .mode("overwrite")
            .save(),
            100,
        ),
        # What never runs, and what is optimised away.
        (lambda rows: None, None),
        (lambda rows: rows.filter("false").collect(), None),
        (lambda rows: rows.limit(0).collect(), None),
        (lambda rows: rows.foreach(lambda row: None), None),
    ],
)
def test_rows_are_counted_once_or_said_to_be_unknown_and_nothing_waits(session, act, read):
    assert counted(session.range(0, 100, 1, 5), act) == {"read": read}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "act",
    [
        lambda rows: rows.collect(),
        lambda rows: rows.groupBy("id").count().collect(),
        lambda rows: rows.join(rows.sparkSession.range(5), "id").orderBy("id").write.format("noop").mode("overwrite").save(),
    ],
)
def test_an_empty_input_counts_as_zero(session, tmp_path, act):
    session.range(10).filter("id < 0").write.parquet(f"{tmp_path}/empty")
    assert counted(session.read.parquet(f"{tmp_path}/empty"), act) == {"read": 0}
    assert counted(session.createDataFrame([], "id bigint"), act) == {"read": 0}


def test_partitions_sampled_unevenly_make_the_count_unknown_rather_than_wrong(session):
    skewed = session.range(0, 1000, 1, 1).union(session.range(0, 300_000, 1, 1)).union(session.range(0, 10, 1, 20))
    counts = counted(skewed, lambda rows: rows.orderBy("id").write.format("noop").mode("overwrite").save())
    assert counts == {"read": None}


def test_counting_changes_no_column_and_conditions_are_counted_in_the_same_pass(session):
    rows = session.range(100).select("id", F.when(F.col("id") >= 10, F.col("id")).alias("delay"))
    step = Step("type")
    same = step.counting(
        rows,
        "read",
        written=F.col("delay") < 90,
        quarantined=F.col("delay").isNull(),
        ignored={"too late": F.col("delay") >= 95, "late": F.col("delay").between(90, 94)},
    )
    assert same.columns == ["id", "delay"]
    assert same.schema == rows.schema
    same.filter(same["id"] > 50).collect()
    step.resolve()
    step.check()
    assert step.counts() == {"read": 100, "written": 80, "quarantined": 10, "ignored": {"too late": 5, "late": 5}}


def test_a_failed_action_leaves_the_job_its_error_and_no_hanging_count(session):
    step = Step("copy")
    broken = step.counting(session.range(10), "read").withColumn("x", F.raise_error(F.lit("boom")))
    with pytest.raises(Exception, match="boom"):
        broken.collect()
    step.resolve()
    assert step.counts()["read"] in (0, None)


def test_figures_from_several_sources_are_added_and_a_disagreement_names_the_step_and_its_figures():
    step = Step("load flights")
    step.add(read=60)
    step.add(read=40, written=90, quarantined=4, ignored={"cancelled": 5})
    with pytest.raises(CountMismatchError) as failure:
        step.check()
    for part in ("'load flights'", "100 rows read", "90 written", "4 quarantined", "5 ignored as cancelled", "= 99"):
        assert part in str(failure.value)
    step.add(ignored={"cancelled": 1})
    step.check()


def test_a_step_with_one_side_or_another_grain_or_an_unknown_figure_has_nothing_to_add_up(session):
    reading, writing, grouping, unknown = Step("r"), Step("w"), Step("g", changes_grain=True), Step("u")
    reading.add(read=5)
    writing.add(written=5)
    grouping.add(read=100, written=3)
    unknown.add(written=3)
    unknown.counting(session.range(9), "read")
    summary = RunSummary(RUN, [reading, writing, grouping, unknown])
    summary.resolve()
    summary.check()
    assert unknown.counts() == {"read": None, "written": 3}


def test_a_figure_that_comes_after_the_step_is_taken_over_at_the_end(session):
    step = Step("load")
    step.add(written=9)
    rows = step.counting(session.range(9), "read")
    step.resolve()
    assert step.counts()["read"] is None
    rows.collect()
    step.resolve()
    step.check()
    assert step.counts() == {"read": 9, "written": 9}


def summarised():
    load, count = Step("load"), Step("count", changes_grain=True)
    load.add(read=1200, written=1100, ignored={"cancelled": 60, "diverted": 40})
    load.seconds, count.seconds = 1.25, 0.5
    count._unknown = {"read"}
    count.add(written=3)
    return RunSummary(RUN, [load, count], status="succeeded")


def test_the_table_shows_each_step_and_marks_what_is_unknown():
    assert summarised().as_table().splitlines() == [
        "step   seconds   read  written  quarantined  ignored",
        "load       1.2  1,200    1,100               60 cancelled, 40 diverted",
        "count      0.5      ?        3",
    ]


@pytest.mark.parametrize("place", ["{}/reports/r1.json", "s3://reports/daily/r1.json"])
def test_the_json_has_every_figure_and_is_written_to_a_file_or_to_s3(place, tmp_path, aws):
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    write_summary(summarised(), place.format(tmp_path))
    if place.startswith("s3"):
        text = s3.get_object(Bucket="reports", Key="daily/r1.json")["Body"].read()
    else:
        text = (tmp_path / "reports/r1.json").read_bytes()
    document = json.loads(text)
    assert {key: document[key] for key in ("job", "run", "attempt", "status", "error")} == {
        "job": "nightly",
        "run": "r1",
        "attempt": 2,
        "status": "succeeded",
        "error": None,
    }
    assert document["steps"] == [
        {"name": "load", "seconds": 1.25, "read": 1200, "written": 1100, "ignored": {"cancelled": 60, "diverted": 40}},
        {"name": "count", "seconds": 0.5, "read": None, "written": 3},
    ]


def test_a_figure_that_is_no_outcome_is_reported_and_does_not_have_to_add_up():
    step = Step("load")
    step.add(read=3, written=3)
    step.report(unknown_fields={"email": 2})
    step.check()
    assert step.counts() == {"read": 3, "written": 3, "unknown_fields": {"email": 2}}
