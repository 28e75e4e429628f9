"""The job, from files to a table; run again it changes nothing, and counts add up."""

from __future__ import annotations

import json

import pytest

from gluewright_cdc_merge.feeds import UnsupportedFeedError
from gluewright_cdc_merge.job import Arguments, main
from gluewright_cdc_merge.job.report import SeveralTablesError, TooManyQuarantinedError
from gluewright_core.job import run
from gluewright_testing.compare import assert_same_rows


def event(op, lsn, before=None, after=None):
    source = {"sequence": json.dumps([str(lsn), str(lsn)]), "lsn": lsn}
    return json.dumps({"before": before, "after": after, "source": source, "op": op, "ts_ms": 1})


@pytest.fixture
def arguments(catalog, tmp_path):
    def made(kind, *more):
        return [
            f"--source={tmp_path}/feed",
            f"--format={kind}",
            f"--target={catalog.name}.customers",
            "--columns=id bigint, name string, city string",
            "--keys=id",
            "--partition_by=city",
            f"--location=file://{tmp_path}/customers",
            "--max_quarantine_share=1",
            *more,
        ]

    (tmp_path / "feed").mkdir()
    return made


def test_debezium_files_become_the_table_and_again_change_nothing(spark, catalog, tmp_path, arguments, capfd):
    ada, ben = {"id": 1, "name": "Ada", "city": "London"}, {"id": 2, "name": "Ben", "city": "Paris"}
    lines = [
        event("u", 30, None, {**ada, "city": "Rome"}),
        event("r", 10, None, ada),
        event("c", 11, None, ben),
        event("d", 40, {"id": 2}),
        event("u", 35, None, ben),
        event("m", 41),
        "no event",
    ]
    (tmp_path / "feed" / "1.json").write_text("\n".join(lines))

    first = run(main, Arguments, argv=arguments("debezium-json", "--audit=true")).steps[0].counts()
    assert "2 times a regression" in "".join(capfd.readouterr())
    assert first == {
        "read": 7,
        "written": 2,
        "quarantined": 1,
        "ignored": {"superseded": 3, "no change": 1},
    }
    table = f"{catalog.name}.customers"
    assert_same_rows(spark.table(table).select("id", "name", "city"), [(1, "Ada", "Rome")])
    again = run(main, Arguments, argv=arguments("debezium-json")).steps[0].counts()
    assert (again["read"], again["written"]) == (7, 0)
    assert_same_rows(spark.table(table).select("id", "name", "city"), [(1, "Ada", "Rome")])
    (problem,) = spark.table(f"{table}_quarantine").select("problems").distinct().collect()
    assert "JSON" in problem["problems"][0]["reason"]
    with pytest.raises(TooManyQuarantinedError, match="1 of 7 records"):
        run(main, Arguments, argv=arguments("debezium-json", "--max_quarantine_share=0.1"))


def customers(spark, catalog):
    return spark.table(f"{catalog.name}.customers").select("id", "name", "city")


def written(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))


def test_dms_files_without_a_header_become_the_table(spark, catalog, tmp_path, arguments):
    loaded = ['1,"Ada ""the first""",London,2026-01-01 00:00:00', "I,3,Cat,NULL,2026-01-01 00:00:00", "I,4,Dan"]
    changed = ["D,2,,,2026-01-03 00:00:00", 'U,1,"Ada ""the\nfirst""",Rome,2026-01-02 00:00:00', "I,5,Eve,Oslo,2026,more"]
    written(tmp_path / "feed", LOAD00000001=["2,Ben,Paris,2026-01-01 00:00:00", *loaded])
    written(tmp_path / "feed" / "2026" / "01", cdc=changed)
    file = "--file_columns=Op,id,name,city,at"
    counted = run(main, Arguments, argv=arguments("dms-csv", file, "--sequence_by=at")).steps[0].counts()
    assert (counted["read"], counted["quarantined"]) == (7, 2)
    assert_same_rows(customers(spark, catalog), [(1, 'Ada "the\nfirst"', "Rome"), (3, "Cat", None)])
    problems = spark.table(f"{catalog.name}.customers_quarantine").selectExpr("original", "problems[0].reason").collect()
    assert {row[1] for row in problems} == {"its fields are not those of its file"}
    assert any("I,5,Eve,Oslo,2026,more" in row[0] for row in problems)


@pytest.mark.parametrize("audit", ["true", "false"])
def test_each_dms_file_is_read_by_its_own_header(spark, catalog, tmp_path, arguments, audit):
    # The load has no operation, and the city came later, in the middle.
    written(tmp_path / "feed", LOAD00000001=["id,name,at", "1,Ada,2026-01-01", "2,Ben,2026-01-01"])
    written(tmp_path / "feed" / "2026", a=["Op,id,name,at", "D,2,,2026-01-02", "I,3,Cat,2026-01-02"])
    written(tmp_path / "feed" / "2026", b=["OP,ID,CITY,NAME,AT", "U,1,Rome,Ada,2026-01-03", "I,4"])
    counted = run(main, Arguments, argv=arguments("dms-csv", "--sequence_by=at", f"--audit={audit}")).steps[0].counts()
    assert (counted["read"], counted["quarantined"]) == (6, 1)
    assert_same_rows(customers(spark, catalog), [(1, "Ada", "Rome"), (3, "Cat", None)])


def test_files_that_have_no_header_are_not_read_as_if_they_had(tmp_path, arguments):
    written(tmp_path / "feed", a=["id,name,at", "1,Ada,2026-01-01"], b=["I,1,Ada,2026-01-01"])
    with pytest.raises(UnsupportedFeedError, match="no headers that name id.*file_columns"):
        run(main, Arguments, argv=arguments("dms-csv", "--sequence_by=at"))


def test_dms_parquet_of_a_load_without_operations_does_not_hide_the_deletes(spark, catalog, tmp_path, arguments):
    load = spark.createDataFrame([(1, "Ada", 1), (2, "Ben", 1)], "id bigint, name string, at int")
    load.write.parquet(f"{tmp_path}/feed/LOAD")
    changes = spark.createDataFrame([("D", 2, None, 2)], "Op string, id bigint, name string, at int")
    changes.write.parquet(f"{tmp_path}/feed/2026/01")
    run(main, Arguments, argv=arguments("dms-parquet", "--sequence_by=at", "--op=op"))
    assert_same_rows(customers(spark, catalog), [(1, "Ada", None)])


def test_changes_of_several_tables_are_told_apart_or_refused(spark, catalog, tmp_path, arguments):
    def of(table, lsn, **row):
        change = json.loads(event("c", lsn, None, {"city": "Rome", **row}))
        return json.dumps({**change, "source": {**change["source"], "db": "shop", "schema": "public", "table": table}})

    lines = [of("customers", 1, id=1, name="Ada"), of("orders", 2, id=1, name="a chair")]
    (tmp_path / "feed" / "1.json").write_text("\n".join(lines))
    with pytest.raises(SeveralTablesError, match="public.customers, public.orders"):
        run(main, Arguments, argv=arguments("debezium-json"))
    again = run(main, Arguments, argv=arguments("debezium-json", "--source_tables=public.customers")).steps[0].counts()
    assert again == {"read": 2, "written": 1, "quarantined": 0, "ignored": {"no change": 1}}
    assert_same_rows(customers(spark, catalog), [(1, "Ada", "Rome")])


@pytest.mark.parametrize("kind", ["debezium-json", "dms-csv", "dms-parquet"])
def test_a_folder_without_files_or_with_an_empty_one_is_no_error(tmp_path, arguments, kind):
    (tmp_path / "feed" / "empty").touch()
    assert run(main, Arguments, argv=arguments(kind, "--sequence_by=source.pos")).steps[0].counts()["read"] == 0
