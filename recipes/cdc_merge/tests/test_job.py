"""The job, from files to a table; run again it changes nothing, and counts add up."""

from __future__ import annotations

import json

import pytest

from gluewright_cdc_merge.job import Arguments, TooManyQuarantined, main
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
    with pytest.raises(TooManyQuarantined, match="1 of 7 records"):
        run(main, Arguments, argv=arguments("debezium-json", "--max_quarantine_share=0.1"))


def test_dms_files_without_a_header_become_the_table(spark, catalog, tmp_path, arguments):
    loaded = ['I,1,"Ada ""the first""",London,2026-01-01 00:00:00', "I,2,Ben,Paris,2026-01-01 00:00:00"]
    changed = ["D,2,,,2026-01-03 00:00:00", 'U,1,"Ada ""the\nfirst""",Rome,2026-01-02 00:00:00']
    for name, lines in (("LOAD.csv", loaded), ("cdc.csv", changed)):
        (tmp_path / "feed" / name).write_text("".join(f"{line}\n" for line in lines))
    file = "--file_columns=Op,id,name,city,at"
    summary = run(main, Arguments, argv=arguments("dms-csv", file, "--sequence_by=at"))
    assert summary.steps[0].counts()["read"] == 4
    customers = spark.table(f"{catalog.name}.customers").select("id", "name", "city")
    assert_same_rows(customers, [(1, 'Ada "the\nfirst"', "Rome")])
