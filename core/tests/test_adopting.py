"""Adopting a table that something else made."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import AnalysisException

from gluewright_core.errors import TableMismatchError, UnsupportedTableError
from gluewright_core.tables import ALL, TableSpec, open_table
from gluewright_core.tables.adopting import adopt
from gluewright_core.tables.folder import FolderTable
from gluewright_core.tables.parquet import ParquetTable
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows

SCHEMA = "id string, amount double, dt date"
OLD = [("1", 1.0, "2026-01-01"), ("2", 2.0, "2026-01-02"), ("3", 3.0, "2026-01-03")]


@pytest.fixture
def made_elsewhere(spark, catalog, tmp_path):
    """A table as a plain Spark job leaves it: partitions under its location."""

    def make(name="orders"):
        frame = rows(spark, SCHEMA, OLD)
        location = f"file://{tmp_path}/wh/{name}"
        spark.sql(f"CREATE TABLE {catalog.table(name)} ({SCHEMA}) USING parquet PARTITIONED BY (dt) LOCATION '{location}'")
        frame.write.mode("append").insertInto(catalog.table(name))
        return TableSpec(catalog.table(name), frame.schema, ("dt",), location)

    return make


def by_path(spark, spec):
    files = list(Path(spec.location.removeprefix("file://")).rglob("*.parquet"))
    return spark.read.schema(SCHEMA).parquet(spec.location) if files else rows(spark, SCHEMA, [])


def test_a_table_made_elsewhere_is_a_bare_folder_until_it_is_adopted(spark, made_elsewhere):
    spec = made_elsewhere()
    table = open_table(spark, spec)
    assert isinstance(table, FolderTable)
    changed = rows(spark, SCHEMA, [("1", 10.0, "2026-01-01")])
    table.publish(changed, run="run-1", replace=[{"dt": "2026-01-01"}, {"dt": "2026-01-03"}])
    table.publish(rows(spark, SCHEMA, [("4", 4.0, "2026-01-04")]), run="run-2", replace=[{"dt": "2026-01-04"}])
    now = rows(spark, SCHEMA, [("1", 10.0, "2026-01-01"), OLD[1], ("4", 4.0, "2026-01-04")])
    assert_same_rows(by_path(spark, spec), now)
    assert_same_rows(spark.table(spec.name), now)
    with pytest.raises(UnsupportedTableError, match="adopt it for switching first"):
        from gluewright_core.tables.catalog_spark import SparkCatalog

        ParquetTable(spark, spec, SparkCatalog(spark)).publish(changed, run="run-3", replace=ALL)


def test_adoption_reports_first_and_moves_whole_tables_and_single_partitions_on_request(spark, made_elsewhere):
    spec = made_elsewhere()
    report = adopt(spark, spec, run="adopt-1")
    assert (len(report.partitions), report.remaining, report.applied) == (3, 0, False)
    assert "3 partitions (3 files" in str(report)
    assert "readers that list the path find nothing" in str(report)
    assert_same_rows(by_path(spark, spec), rows(spark, SCHEMA, OLD))

    one = adopt(spark, spec, run="adopt-1", partitions=[{"dt": "2026-01-02"}], apply=True)
    assert [partition.name for partition in one.partitions] == ["dt=2026-01-02"]
    assert "find the 2 other partitions only" in str(one)
    assert_same_rows(spark.table(spec.name), rows(spark, SCHEMA, OLD))
    assert_same_rows(by_path(spark, spec), rows(spark, SCHEMA, [OLD[0], OLD[2]]))

    adopt(spark, spec, run="adopt-2", apply=True)
    assert_same_rows(spark.table(spec.name), rows(spark, SCHEMA, OLD))
    with pytest.raises(AnalysisException):
        spark.read.parquet(spec.location).collect()
    table = open_table(spark, spec)
    assert isinstance(table, ParquetTable)
    assert not isinstance(table, FolderTable)
    table.publish(rows(spark, SCHEMA, []), run="run-1", replace=[{"dt": "2026-01-01"}])
    assert_same_rows(spark.table(spec.name), rows(spark, SCHEMA, OLD[1:]))
    table.undo("run-1")
    assert_same_rows(spark.table(spec.name), rows(spark, SCHEMA, OLD))


@pytest.mark.usefixtures("short_leases", "interpreted")
def test_an_adoption_killed_anywhere_is_finished_by_the_next(spark, made_elsewhere):
    count = iter(range(1000))
    days = [{"dt": "2026-01-01"}, {"dt": "2026-01-02"}]

    def look(spec):
        assert_same_rows(spark.table(spec.name), rows(spark, SCHEMA, OLD))

    def check(spec):
        look(spec)
        assert_same_rows(by_path(spark, spec), rows(spark, SCHEMA, OLD[2:]))

    def job(spec):
        adopt(spark, spec, run="adopt", partitions=days, apply=True)

    points = every_kill_point(lambda: made_elsewhere(f"orders_{next(count)}"), job, check, look=look)
    print(f"adoption: {points} kill points")


def test_what_cannot_be_adopted_is_refused(spark, made_elsewhere):
    spec = made_elsewhere()
    with pytest.raises(TableMismatchError, match="no partitions dt=2030-01-01"):
        adopt(spark, spec, run="r", partitions=[{"dt": "2030-01-01"}])
    with pytest.raises(UnsupportedTableError, match="not in the catalog"):
        adopt(spark, TableSpec(f"{spec.name}_missing", spec.schema, ("dt",), spec.location + "_m"), run="r")
    spark.sql(f"ALTER TABLE {spec.name} SET TBLPROPERTIES ('projection.enabled'='true')")
    with pytest.raises(UnsupportedTableError, match="partition projection"):
        adopt(spark, spec, run="r")
