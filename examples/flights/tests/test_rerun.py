from __future__ import annotations

import json
from collections import Counter

import pytest

from gluewright_testing.sharing import in_turn

pytestmark = pytest.mark.usefixtures("interpreted")


def test_a_run_again_duplicates_nothing_and_the_same_run_changes_nothing(new_world):
    world = new_world()
    world.run("--run_id=first")
    rows, files = world.every_row(), world.partitions()
    assert Counter(row[-1] for row in rows["flights"]).total() == 842 + 943 + 914
    assert {day: len(found) for day, found in files.items()} == {"2013-01-01": 1, "2013-01-02": 1, "2013-01-03": 1}

    assert world.run("--run_id=first").steps[0].counts()["written"] == 2699
    assert world.partitions() == files

    world.run("--run_id=second")
    assert world.every_row() == rows
    # Other files, in the same number, with the same content.
    assert not files["2013-01-01"].keys() & world.partitions()["2013-01-01"].keys()
    assert contents(world.partitions()) == contents(files)


@pytest.mark.parametrize("kind", in_turn(["parquet", "delta", "iceberg"]))
def test_a_day_published_alone_makes_the_same_tables_and_touches_no_other_day(new_world, kind):
    world = new_world(last="2013-01-02", kind=kind)
    world.run()
    rows = world.every_row()
    files = world.partitions() if kind == "parquet" else None
    changed = [line.replace(",EWR,", ",JFK,") for line in world.lines_of("2013-01-02")]
    world.put("2013-01-02", *changed)
    world.put("2013-01-01", *changed)

    summary = world.run("--from=2013-01-02", "--to=2013-01-02")

    assert summary.steps[0].counts() == {"read": 943, "written": 943, "quarantined": 0}
    day = world.table("flights").schema.names.index("dt")
    assert [row for row in world.rows("flights") if str(row[day]) == "2013-01-01"] == [
        row for row in rows["flights"] if str(row[day]) == "2013-01-01"
    ]
    assert world.table("flights").where("dt = '2013-01-02' AND origin = 'EWR'").count() == 0
    # The month is counted anew from both days.
    assert world.table("on_time").groupBy().sum("flights").first()[0] == 842 + 943
    assert world.rows("on_time") != rows["on_time"]
    if files is not None:
        assert world.partitions()["2013-01-01"] == files["2013-01-01"]


def test_a_day_sent_again_without_flights_becomes_empty_and_one_that_is_not_there_stays(new_world, capsys):
    world = new_world()
    world.run()
    files, days = world.partitions(), Counter(str(row[-1]) for row in world.rows("flights"))
    world.put("2013-01-01")
    world.file_of("2013-01-02").unlink()

    world.run()

    assert "1 days have not landed and stay as they are: 2013-01-02" in capsys.readouterr().err
    assert Counter(str(row[-1]) for row in world.rows("flights")) == days - Counter({"2013-01-01": 842})
    assert world.partitions()["2013-01-02"] == files["2013-01-02"]
    assert contents(world.partitions())["2013-01-03"] == contents(files)["2013-01-03"]
    assert world.table("on_time").groupBy().sum("flights").first()[0] == 943 + 914


def test_rows_that_do_not_fit_are_set_aside_until_the_day_is_sent_again_and_counts_add_up(new_world):
    world = new_world(last="2013-01-02")
    sent = world.lines_of("2013-01-02")
    world.put("2013-01-02", sent[0].replace(",UA,", ",NA,").replace("2013,1,2,", "2013,1,3,"), "2013,1,2", *sent[2:], "")

    summary = world.run("--summary", str(world.root / "summary.json"))

    counts = {"read": 842 + 943, "written": 842 + 941, "quarantined": 2}
    assert summary.steps[0].counts() == counts
    told = json.loads((world.root / "summary.json").read_text())
    assert (told["status"], {name: told["steps"][0][name] for name in counts}) == ("succeeded", counts)
    quarantined = world.table("flights_quarantine").collect()
    originals = [json.loads(row["original"]) for row in quarantined]
    assert {original["_gw_record"] for original in originals} == {None, "2013,1,2"}
    assert {original["_gw_file"].rpartition("/")[2] for original in originals} == {"flights.csv.gz"}
    assert {str(row["dt"]) for row in quarantined} == {"2013-01-02"}
    rules = [{problem["rule"] for problem in row["problems"]} for row in quarantined]
    assert sorted(map(sorted, rules)) == [["fields"], ["folder"]]

    world.put("2013-01-02", *sent)
    assert world.run("--from=2013-01-02").steps[0].counts() == {"read": 943, "written": 943, "quarantined": 0}
    assert world.rows("flights_quarantine") == []
    assert world.table("flights").count() == 842 + 943


def contents(partitions):
    return {day: sorted(found.values()) for day, found in partitions.items()}
