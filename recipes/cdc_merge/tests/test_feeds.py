"""Feeds as they come: files in any order of listing, ties, keys beside values, bytes that are no text, unknown fields."""

from __future__ import annotations

import base64
import json
import time
from functools import partial

import pytest

from gluewright_cdc_merge.dms_order import list_files, number_lines, order_by
from gluewright_cdc_merge.feeds import Decoded, dms, plain
from gluewright_cdc_merge.files import read_csv
from gluewright_cdc_merge.job import Arguments, main
from gluewright_cdc_merge.job.preflight import TargetNotFoundError
from gluewright_cdc_merge.job.publish import TiesError
from gluewright_cdc_merge.job.report import TooManyQuarantinedError
from gluewright_cdc_merge.ties import quarantine_ties
from gluewright_core.errors import InvalidArgumentsError
from gluewright_core.job import run
from gluewright_testing.sharing import in_turn

COLUMNS = "id bigint, name string, amount decimal(10,2)"


@pytest.fixture
def feed(spark, catalog, tmp_path, interpreted):
    """Merge the files of a feed; return the counts and the rows of the table."""

    class Feed:
        folder = tmp_path / "feed"
        target = f"{catalog.name}.items"

        def write(self, name, *lines):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))

        def merge(self, kind, *more, kept="parquet"):
            target = f"ice.{self.target}" if kept == "iceberg" else self.target
            location = [] if kept == "iceberg" else [f"--location=file://{tmp_path}/items"]
            arguments = [f"--source={self.folder}", f"--format={kind}", f"--target={target}", f"--catalog={kept}"]
            arguments += [f"--columns={COLUMNS}", "--keys=id", "--max_quarantine_share=1", *location, *more]
            counted = run(main, Arguments, argv=arguments).steps[0].counts()
            rows = spark.table(target).select("id", "name").collect() if spark.catalog.tableExists(target) else []
            return counted, sorted(tuple(row) for row in rows)

        def quarantine(self, kept="parquet"):
            table = spark.table(f"ice.{self.target}_quarantine" if kept == "iceberg" else f"{self.target}_quarantine")
            rows = table.selectExpr("original", "problems[0].reason AS reason", "quarantined_by").collect()
            return sorted((row["original"] or "", row["reason"], row["quarantined_by"]) for row in rows)

    return Feed()


@pytest.mark.parametrize("kept", in_turn(["parquet", "delta", "iceberg"]))
def test_a_feed_that_is_read_again_is_not_quarantined_again(feed, kept):
    feed.write("1.json", "bad", "bad", '{"worse": 1}')
    for _ in range(2):
        counted, _ = feed.merge("debezium-json", kept=kept)
        assert counted["quarantined"] == 3
        assert len(feed.quarantine(kept)) == 3
    feed.write("2.json", "bad", "new")
    for _ in range(2):
        counted, _ = feed.merge("debezium-json", "--run_id=again", kept=kept)
        assert counted["quarantined"] == 5
        found = feed.quarantine(kept)
        assert [original for original, _, _ in found] == ["bad"] * 3 + ["new", '{"worse": 1}']
        assert [original for original, _, by in found if by == "again"] == ["bad", "new"]


def test_each_line_has_its_own_number_whatever_else_its_task_reads(spark, tmp_path, interpreted):
    expected = {}
    for number in range(12):
        records = [f'I,{i},"a\nb{"x" * number * 20}"' for i in range(3 + 40 * (number % 3))]
        (tmp_path / f"20260105-0800{number:05d}.csv").write_text("\n".join(["Op,id,name", *records, "I,short"]))
        expected |= {(f"20260105-0800{number:05d}.csv", i): i for i in range(len(records))}
    columns = spark.createDataFrame([], "id bigint, name string").schema
    settings = ("spark.sql.files.maxPartitionBytes", "spark.sql.files.openCostInBytes")
    before = {name: spark.conf.get(name) for name in settings}
    tasks = set()
    for most in ("900", "5000", "134217728"):
        for name, value in zip(settings, (most, "10"), strict=True):
            spark.conf.set(name, value)
        records = read_csv(spark, str(tmp_path), ["id"], op="Op", null="NULL")
        tasks.add(records.rdd.getNumPartitions())
        decoded = dms(records, columns, ["id"], sequence_by=order_by(records, [], "Op"))
        rows = number_lines(decoded.changes, decoded.records).selectExpr("key.id", "sequence.*").collect()
        assert {(row["_gw_file"], row["id"]): row["_gw_line"] for row in rows} == expected
    for name, value in before.items():
        spark.conf.set(name, value)
    # Files shared tasks, in different ways.
    assert len(tasks) == 3
    assert min(tasks) < 12
    assert list_files(spark, str(tmp_path)).ordered


def test_ties_between_files_whose_names_have_no_order_are_quarantined_and_lines_decide_in_one(feed, capfd):
    header = "Op,id,name,amount,ts"
    feed.write("b.csv", header, "I,1,old,,10:00", "U,1,one,,10:01", "I,2,first,,10:01", "U,2,second,,10:01", "D,4,,,10:01")
    feed.write("a.csv", header, "U,1,another,,10:01", "I,3,same,,10:01", "U,4,back,,10:01", "U,4,forth,,10:01")
    feed.write("c.csv", header, "I,3,same,,10:01")
    counted, rows = feed.merge("dms-csv", "--sequence_by=ts", "--audit=true")
    assert rows == [(1, "old"), (2, "second"), (3, "same")]
    assert counted["quarantined"] == 5
    assert {reason for _, reason, _ in feed.quarantine()} == {
        "another change of its key has the same place in the order, and another content"
    }
    logged = "".join(capfd.readouterr())
    assert "5 changes are quarantined" in logged
    # Read again beside a file that changes what a task reads, nothing is quarantined twice.
    feed.write("0.csv", header, *[f"I,{number},more,,10:00" for number in range(10, 90)])
    assert feed.merge("dms-csv", "--sequence_by=ts")[0]["quarantined"] == 5
    assert len(feed.quarantine()) == 5


def test_files_of_dms_are_ordered_by_their_names_and_a_load_comes_first(feed):
    header = "Op,id,name,amount"
    feed.write("a/20260105-080000002.csv", header, "U,1,last,", "D,2,,")
    feed.write("b/20260105-080000001.csv", header, "D,1,,", "I,1,again,", "U,2,newer,")
    feed.write("c/LOAD00000001.csv", "id,name,amount", "1,loaded,", "2,loaded,", "3,loaded,")
    counted, rows = feed.merge("dms-csv")
    assert rows == [(1, "last"), (3, "loaded")]
    assert (counted["read"], counted["quarantined"]) == (8, 0)


def test_changes_of_plain_files_that_tie_are_quarantined(spark, feed):
    rows = [("insert", 1, "a", 1), ("update", 1, "b", 2), ("update", 1, "c", 2), *[("insert", 2, "x", 2)] * 2]
    spark.createDataFrame(rows, "op string, id bigint, name string, at int").write.parquet(f"file://{feed.folder}")
    counted, found = feed.merge("plain-parquet", "--op=op", "--sequence_by=at")
    assert found == [(1, "a"), (2, "x")]
    assert counted["quarantined"] == 2
    assert json.loads(feed.quarantine()[0][0])["row"]["name"] == "b"


@pytest.mark.parametrize("kept", in_turn(["parquet", "delta", "iceberg"]))
def test_a_change_that_ties_with_the_tables_row_and_contradicts_it_is_refused(spark, feed, kept):
    def comes(*rows):
        frame = spark.createDataFrame(rows, "op string, id bigint, name string, at int")
        frame.write.mode("overwrite").parquet(f"file://{feed.folder}")

    merge = partial(feed.merge, "plain-parquet", "--op=op", "--sequence_by=at", kept=kept)
    comes(*[("insert", number, name, 1) for number, name in enumerate("abc", 1)], ("delete", 4, None, 1))
    _, before = merge()
    assert merge()[1] == before, "the same again contradicts nothing"
    for contradiction in [("update", 1, "other", 1), ("delete", 2, None, 1), ("insert", 4, "d", 1)]:
        comes(("update", 3, "newer", 2), contradiction)
        with pytest.raises(TiesError, match="items: 1 keys have a change with the sequence of the table's row"):
            merge()
    table = spark.table(f"ice.{feed.target}" if kept == "iceberg" else feed.target)
    assert sorted(tuple(row) for row in table.select("id", "name").collect()) == before
    assert merge("--ties=rule")[1] == [(1, "a"), (2, "b"), (3, "newer"), (4, "d")]


def test_csv_with_a_byte_order_mark_is_read_and_bytes_that_are_not_utf8_are_quarantined(feed):
    mark = b"\xef\xbb\xbf"
    feed.write("20260105-0801.csv", mark + b'"I","1","\xc3\xa4 ""x""",', b'"I","2","\xe4",', "I,3,\ufffd,".encode())
    feed.write("LOAD00000001.csv", mark + b"4,\xc3\xbc,", b"5,\xfc,")
    counted, rows = feed.merge("dms-csv", "--file_columns=Op string, id bigint, name string, amount decimal(10,2)")
    assert rows == [(1, 'ä "x"'), (3, "\ufffd"), (4, "ü")]
    assert counted["quarantined"] == 2
    found = feed.quarantine()
    assert all("not UTF-8" in reason for _, reason, _ in found)
    assert json.loads(found[1][0])["name"] == base64.b64encode(b"\xe4").decode()
    feed.write("20260105-0801.csv", mark + b"Op,id,name,amount")
    feed.write("LOAD00000001.csv", mark + b"id,name,amount")
    feed.write("20260105-0802.csv", mark + b"Op,id,name,amount", b"U,1,header,")
    assert feed.merge("dms-csv")[1][0] == (1, "header")


def row(lsn, op="c", **values):
    return {**values, "__op": op, "__source_lsn": lsn}


def test_keys_beside_values_make_deletes_of_null_values_and_lines_without_keys_are_quarantined(feed):
    def message(key, value, **more):
        return json.dumps({"key": key, "value": value, **more})

    connect = {"schema": {"type": "struct", "fields": []}, "payload": {"id": 5}}
    feed.write(
        "0.json",
        message({"id": 1}, row(10, id=1, name="a")),
        json.dumps(row(11, id=2, name="no key")),
        message({"id": 1}, None, partition=0, offset=7),
        json.dumps({"key": {"id": 3}, "schema": None, "payload": row(12, id=3, name="connect")}),
        message(json.dumps({"id": 2}), None),
        message(connect, row(13, id=5, name="e")),
        "null",
        b'{"key": {"id": 6}, "value": {"id": 6, "name": "\xe4", "__op": "c", "__source_lsn": 14}}',
        message({"id": 2}, row(15, id=2, name="back")) + "{}",
    )
    feed.write("1.json", message({"id": 5}, None), message({"id": 7}, row(20, id=7, name="next")))
    feed.write("2.json", message({"id": 3}, None))
    counted, rows = feed.merge("debezium-flattened-json")
    assert rows == [(3, "connect"), (7, "next")]
    assert (counted["read"], counted["quarantined"]) == (12, 4)
    reasons = {reason for _, reason, _ in feed.quarantine()}
    assert reasons == {
        "it has no value in a key column",
        "it has bytes that are not UTF-8; original is its base64",
        "it is not a JSON object",
        "it is a delete without a sequence, and its file has nothing that places it",
    }
    # With an offset nothing has to be placed.
    feed.write("0.json", message({"id": 3}, None, offset=30), message({"id": 1}, row(1, id=1, name="a"), offset=29))
    other = [f"--target={feed.target}_2", f"--location=file://{feed.folder.parent}/items_2"]
    counted, rows = feed.merge("debezium-flattened-json", "--sequence_by=offset", *other)
    assert counted["written"] == 2


def test_fields_that_columns_does_not_name_are_reported(feed, tmp_path, capfd):
    lines = [json.dumps(row(n, id=n, name="a", email="x", size=1) if n else row(9, id=9, email="y")) for n in range(3)]
    feed.write("1.json", *lines)
    counted, _ = feed.merge("debezium-flattened-json", f"--summary={tmp_path}/summary.json", "--audit=true")
    assert counted["fields_not_in_columns"] == {"email": 3, "size": 2}
    assert "email (3), size (2)" in "".join(capfd.readouterr())
    (step,) = json.loads((tmp_path / "summary.json").read_text())["steps"]
    assert step["fields_not_in_columns"] == {"email": 3, "size": 2}


def test_a_change_in_another_file_without_an_order_that_ties_with_the_tables_row_is_refused(feed):
    header = "Op,id,name,amount,ts"
    feed.write("b.csv", header, "I,1,old,,10:00", "I,2,first,,10:01")
    _, before = feed.merge("dms-csv", "--sequence_by=ts")
    assert feed.merge("dms-csv", "--sequence_by=ts")[1] == before
    (feed.folder / "b.csv").unlink()
    for line in ("U,2,other,,10:01", "D,2,,,10:01"):
        feed.write("a.csv", header, "U,1,new,,10:02", line)
        with pytest.raises(TiesError, match="1 keys have a change with the sequence of the table's row"):
            feed.merge("dms-csv", "--sequence_by=ts")
    feed.write("a.csv", header, "U,1,new,,10:02", "U,2,later,,10:02")
    assert feed.merge("dms-csv", "--sequence_by=ts")[1] == [(1, "new"), (2, "later")]


@pytest.mark.parametrize("mode", ["evolve", "discard_value"])
def test_fields_become_columns_if_the_contract_lets_new_ones_in(spark, feed, tmp_path, mode):
    contract = tmp_path / "items.json"
    columns = [{"name": "id", "type": "bigint"}, {"name": "name", "type": "string"}]
    contract.write_text(json.dumps({"name": "items", "columns": columns, "new_columns": mode}))
    merge = partial(feed.merge, "debezium-flattened-json", f"--columns={contract}")
    feed.write("1.json", json.dumps(row(1, id=1, name="a")), json.dumps(row(2, id=2, name="b", size=4)))
    merge()
    feed.write("2.json", json.dumps(row(3, id=1, name="c", email="x@y.z")))
    for _ in range(2):
        merge()
    table = spark.table(feed.target)
    if mode == "evolve":
        rows = sorted(table.select("id", "name", "size", "email").collect())
        assert [tuple(each) for each in rows] == [(1, "c", None, "x@y.z"), (2, "b", "4", None)]
    else:
        assert {"size", "email"}.isdisjoint(name.lower() for name in table.columns)


def test_a_feed_whose_values_cannot_be_read_is_refused_before_anything_is_published(spark, feed):
    good = [json.dumps(row(n, id=n, amount="1.50")) for n in range(9)]
    feed.write("1.json", *good, json.dumps(row(9, id=9, amount="AJY=")))
    with pytest.raises(TooManyQuarantinedError, match=r"1 of 10 records.*5.00%: 1 times amount: it is no decimal\(10,2\)"):
        feed.merge("debezium-flattened-json", f"--max_quarantine_share={Arguments.max_quarantine_share}")
    assert not spark.catalog.tableExists(feed.target)
    assert not spark.catalog.tableExists(f"{feed.target}_quarantine")


def test_wrong_arguments_are_one_line_before_anything_is_read(spark, feed, monkeypatch):
    monkeypatch.setattr("gluewright_cdc_merge.job.load_records", None)
    monkeypatch.setattr("gluewright_cdc_merge.job.list_files", None)
    cases = {
        ("--location=",): "--location: not given, a parquet table needs the folder",
        ("--location=", "--catalog=delta"): "--location: not given, a delta table",
        ("--target=items",): "--target: given 'items', expected database.table",
        ("--keys=nr",): "--keys: nr is not in --columns, which has id, name, amount",
        ("--partition_by=day", "--keys=nr"): "--keys: nr .*; --partition_by: day is not",
        ("--columns=id bigint, name strin",): "--columns: unknown type 'strin'",
        ("--columns=/nowhere/contract.yaml",): "--columns: /nowhere/contract.yaml cannot be read",
        ("--file_columns=Op,name",): "--file_columns: lacks the key id",
        ("--max_quarantine_share=5",): "--max_quarantine_share: given 5.0",
        ("--columns=id bigint, _gw_x int",): "--columns: _gw_x begins with _gw_",
    }
    began = time.monotonic()
    for more, expected in cases.items():
        with pytest.raises(InvalidArgumentsError, match=expected) as raised:
            feed.merge("dms-csv", *more)
        assert more[0].startswith("--columns=id") or "\n" not in str(raised.value)
    with pytest.raises(InvalidArgumentsError, match="--sequence_by: not given"):
        feed.merge("plain-parquet")
    assert time.monotonic() - began < 5
    with pytest.raises(TargetNotFoundError, match="the catalog has no database nowhere"):
        feed.merge("dms-csv", "--target=nowhere.items")


def test_changes_that_tie_are_quarantined_without_personal_data(spark, interpreted):
    rows = [("u", 1, "0151", "x", 1), ("u", 1, "0152", "x", 1), ("d", 2, None, None, 1)]
    given = spark.createDataFrame(rows, "op string, id int, phone string, note string, at int")
    records = plain(given, ["id"], op="op", sequence_by=["at"]).records
    found = Decoded(quarantine_ties(records, pii=["PHONE"]).localCheckpoint())
    assert [row["key"]["id"] for row in found.changes.collect()] == [2]
    originals = [json.loads(row["original"]) for row in found.quarantine.collect()]
    row = {"id": 1, "phone": "(withheld)", "note": "x", "at": 1}
    assert originals == [{"op": "u", "key": {"id": 1}, "row": row, "sequence": {"at": 1}}] * 2
