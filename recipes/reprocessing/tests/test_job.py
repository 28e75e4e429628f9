"""The job: a query makes the rows of a range of days, and every other thing it is asked for."""

from __future__ import annotations

import json

import pytest

from gluewright_core.job import run
from gluewright_core.tables import ALL, TableSpec, open_table
from gluewright_reprocessing.job import Arguments, main
from gluewright_reprocessing.job.existing import open_existing
from gluewright_reprocessing.job.reprocessing import InvalidReprocessingError, ReprocessingFailedError
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows
from gluewright_testing.sharing import in_turn

pytestmark = pytest.mark.usefixtures("interpreted")

SCHEMA = "flight string, minutes int, dt date"
BEFORE = [("AA1", 5, "2013-02-01"), ("AA2", 6, "2013-02-02"), ("AA3", 7, "2013-02-03")]
FLOWN = [("AA1", 50, "2013-02-01"), ("AA2", 60, "2013-02-02"), ("AA2", 61, "2013-02-02")]


@pytest.fixture
def make(spark, catalog, tmp_path):
    def made(kind):
        iceberg = kind == "iceberg"
        name = catalog.iceberg_table("delays") if iceberg else catalog.table("delays")
        spec = TableSpec(name, rows(spark, SCHEMA, []).schema, ("dt",), "" if iceberg else f"file://{tmp_path}/wh/delays")
        table = open_table(spark, spec, kind)
        table.publish(rows(spark, SCHEMA, BEFORE), run="before", replace=ALL)
        return table

    return made


@pytest.mark.parametrize("kind", in_turn(["parquet", "delta", "iceberg"]))
def test_a_table_is_opened_by_its_name_alone(spark, make, kind):
    made = make(kind)
    found = open_existing(spark, made.spec.name)
    assert type(found) is type(made)
    assert (found.spec.partition_by, found.spec.schema.names) == (("dt",), made.spec.schema.names)
    assert kind == "iceberg" or found.spec.location.replace("file:///", "file:/") == made.spec.location.replace("///", "/")


def test_a_range_of_days_is_redone_retried_and_undone(spark, make, tmp_path, capsys):
    table = make("parquet")
    rows(spark, SCHEMA, FLOWN).createOrReplaceTempView("flown")

    def job(*more):
        return run(main, Arguments, argv=[f"--table={table.spec.name}", f"--state={tmp_path}/wh", *more]).steps[0].counts()

    sql = "--source_sql=SELECT * FROM flown WHERE dt = {dt}"
    which = ("--from=2013-02-01", "--to=2013-02-03", sql, "--key=flight")
    job(*which, "--dry_run=true")
    assert capsys.readouterr().out.splitlines()[0] == "dt=2013-02-01  redo"
    with pytest.raises(ReprocessingFailedError, match=r"1 of 3 .*dt=2013-02-02: the key \(flight\) is not unique"):
        job(*which, "--run_id=again")
    assert "dt=2013-02-03" in capsys.readouterr().out
    assert_same_rows(table.read(), rows(spark, SCHEMA, [FLOWN[0], BEFORE[1]]))
    rows(spark, SCHEMA, FLOWN[:2]).createOrReplaceTempView("flown")
    assert job("--retry=again", sql)["written"] == 2
    assert_same_rows(table.read(), rows(spark, SCHEMA, FLOWN[:2]))
    job("--show=again")
    assert capsys.readouterr().out.splitlines()[-1] == f"{table.spec.name}, run again: 3 published"
    job("--undo=again")
    assert_same_rows(table.read(), rows(spark, SCHEMA, BEFORE))


def test_lists_predicates_and_functions_say_what_to_redo_and_contradictions_are_refused(
    spark, catalog, make, tmp_path, capsys
):
    name = make("parquet").spec.name
    (tmp_path / "late.json").write_text(json.dumps([{"partition": {"dt": "2013-02-02"}, "files": 1}]))
    (tmp_path / "raw").mkdir()

    def job(*more):
        run(main, Arguments, argv=[f"--table={name}", *more])
        return capsys.readouterr().out

    sql = "--source_sql=SELECT 'x' AS flight, 1 AS minutes, date({dt}) AS dt"
    assert "1 audited" in job(f"--late=@{tmp_path}/late.json", sql, "--require_approval=true", "--run_id=late")
    assert "1 published" in job("--approve=late", sql)
    assert "1 published" in job("--where=minutes = 7 AND dt > '2013-02-02'", "--source=test_job_source:doubled")
    assert_same_rows(spark.table(name).select("minutes"), [(5,), (1,), (14,)])
    gaps = job("--from=2013-02-02", "--to=2013-02-05", "--only_gaps=true", "--dry_run=true", f"--inputs={tmp_path}/raw/")
    assert gaps.splitlines() == [f"dt=2013-02-0{day}  redo  from 0 objects, 0 bytes" for day in (4, 5)]
    for wrong, told in [
        (["--from=2013-02-03", "--to=2013-02-01", sql], "begins on 2013-02-03, after it ends on 2013-02-01"),
        (["--to=2013-02-01", sql], "say with --from"),
        (["--partitions=[{}]", sql], r"partition 0 of the list has \[\]"),
        (["--partitions=[", sql], "not JSON"),
        (["--partitions=[]", "--where=true", sql], "--partitions and --where cannot"),
        (["--partitions=[]"], "--source_sql or with --source"),
        (['--partitions=[{"dt": "x"}]', sql], "'x'"),
        (["--partitions=[]", "--source_sql=SELECT {day}"], "'day' is not one of the partition columns"),
        (["--partitions=[]", "--source=nowhere:f"], "--source nowhere:f"),
        (["--show=nobody"], "run nobody is not known"),
    ]:
        with pytest.raises(InvalidReprocessingError, match=told):
            job(*wrong)
    with pytest.raises(InvalidReprocessingError, match="nowhere is not there"):
        run(main, Arguments, argv=[f"--table={catalog.name}.nowhere", "--show=x"])


@pytest.fixture(autouse=True)
def importable(monkeypatch, tmp_path):
    """A module of the user's, for --source."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "test_job_source.py").write_text(
        "def doubled(partition, old):\n    return old.selectExpr('flight', 'minutes * 2 AS minutes', 'dt')\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
