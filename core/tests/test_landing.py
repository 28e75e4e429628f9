"""Landed files become rows or quarantined records, and nothing in between."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from decimal import Decimal

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from gluewright_core.dataset import open_dataset
from gluewright_core.errors import LandingError
from gluewright_core.landing import read_landing
from gluewright_core.landing.files import find_files
from gluewright_core.schema import Column, Contract, Mode
from gluewright_core.schema.conform import ContractViolationError
from gluewright_core.storage import open_storage
from gluewright_core.summary import Step
from gluewright_core.tables import ALL
from gluewright_testing.compare import assert_same_rows

COLUMNS = (Column("id", "int", nullable=False), Column("note", "string"), Column("amount", "decimal(10,2)"))
ORDERS = Contract("orders", COLUMNS)
HEADER = b"id,note,amount\n"


@pytest.fixture
def land(tmp_path):
    """Write files into a folder of their own and return its path."""

    def landed(files, name="landing"):
        for key, content in files.items():
            path = tmp_path / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (tmp_path / name).mkdir(exist_ok=True)
        return str(tmp_path / name)

    return landed


def outcome(spark, location, *args, contract=ORDERS, **options):
    """The rows as tuples, and of each quarantined record: itself, the column and the rule."""
    conformed = contract.conform(read_landing(spark, location, contract, *args, **options))
    conformed = conformed.from_checked(conformed.checked.localCheckpoint())
    rows = sorted(map(tuple, conformed.rows.collect()), key=repr)
    found = [
        (json.loads(row.original)["_gw_record"], *((p.column, p.rule) for p in row.problems))
        for row in conformed.quarantine.collect()
    ]
    assert conformed.counts().read == len(rows) + len(found)
    return rows, sorted(found, key=repr)


def test_a_record_is_whole_or_in_quarantine(spark, land):
    ragged = b'1,2\n1,2,3,4\n2,"two\nlines",3.00\n3,"he said ""no""",\n4,"",1.50\n'
    broken = b'5,"ab"c,1\n6,M\xfcller,1\n7,M\xc3\xbcller,1\n8,x\ry,1\n9,"x\ry",1\n10,5" pipe,1\n'
    rows, found = outcome(spark, land({"a.csv": HEADER + ragged + broken + b'11,"never closed,1\n12,x,1\n'}))
    assert rows == [
        (10, '5" pipe', Decimal("1.00")),
        (2, "two\nlines", Decimal("3.00")),
        (3, 'he said "no"', None),
        (4, "", Decimal("1.50")),
        (7, "Müller", Decimal("1.00")),
        (9, "x\ry", Decimal("1.00")),
    ]
    assert found == [
        ("1,2", ("", "fields")),
        ("1,2,3,4", ("", "fields")),
        ('11,"never closed,1\n12,x,1', ("", "quote")),
        ('5,"ab"c,1', ("", "quoting")),
        ("8,x\ry,1", ("", "quoting")),
        ("NixN/GxsZXIsMQ==", ("", "encoding")),
    ]


def test_every_file_is_read_by_its_own_header(spark, land):
    files = {
        "bom.csv": b'\xef\xbb\xbf"id",note,amount\r\n1,a,1\r\n\r\n',
        "other order.csv": b"amount,id,more\n2.5,2,x\n",
        "same [1].csv.gz": gzip.compress(HEADER + b"3,c,\n"),
        "nothing.csv": b"",
        "header.csv": HEADER,
        "no end.csv": HEADER.strip(),
        "_SUCCESS": b"junk",
        ".hidden.csv": b"junk\n1\n",
        "_old/a.csv": b"junk\n1\n",
    }
    location = land(files)
    landed = read_landing(spark, location, ORDERS)
    assert outcome(spark, location) == ([(1, "a", Decimal("1.00")), (2, None, Decimal("2.50")), (3, "c", None)], [])
    differences = {(each.kind, each.column): each.told for each in ORDERS.conform(landed).differences}
    assert ("extra", "more") in differences
    assert "is missing in 1 of 5 files, such as " in differences["missing", "note"]
    assert "other%20order.csv" in differences["missing", "note"] or "other order.csv" in differences["missing", "note"]


def test_files_without_a_record_are_no_error(spark, land):
    location = land({"a.csv": b"", "b.csv": b"", "c/_x": b""})
    assert outcome(spark, location) == ([], [])
    assert outcome(spark, land({"a.csv": HEADER}, "header only")) == ([], [])
    assert outcome(spark, location, "json") == ([], [])
    assert outcome(spark, location, "parquet") == ([], [])


def test_null_is_what_the_sender_writes_unquoted(spark, land):
    location = land({"a.csv": b'id;note;amount\n1;NA;NA\n2;"NA";""\n3;;\n'})
    rows, found = outcome(spark, location, separator=";", null="NA")
    assert rows == [(1, None, None), (3, None, None)]
    assert found == [(None, ("amount", "format"))]
    rows, found = outcome(spark, location, separator=";", null="NA", quoted_null=True)
    assert (rows, found) == ([(1, None, None), (2, None, None), (3, None, None)], [])


@pytest.mark.parametrize("separator", ["|", "\t", "]", "^"])
def test_any_character_separates_values(spark, land, separator):
    lines = [["id", "note", "amount"], ["1", "a,b", "2"], ["2", f'"x{separator}""y"', "3"], ["3", "c"]]
    location = land({"a.csv": "\n".join(separator.join(line) for line in lines).encode()})
    rows, found = outcome(spark, location, separator=separator)
    assert rows == [(1, "a,b", Decimal("2.00")), (2, f'x{separator}"y', Decimal("3.00"))]
    assert found == [(f"3{separator}c", ("", "fields"))]
    for wrong in ("||", "\\", '"', ""):
        with pytest.raises(LandingError, match="one character other than a quote"):
            read_landing(spark, location, ORDERS, separator=wrong)


def test_a_line_is_a_record_where_values_hold_no_line_breaks(spark, land):
    location = land({"a.csv": HEADER + b'1,a,1\r\n2,"b,1\n3,c,1\n'})
    rows, found = outcome(spark, location, multiline=False)
    assert rows == [(1, "a", Decimal("1.00")), (3, "c", Decimal("1.00"))]
    assert found == [('2,"b,1', ("", "quote"))]


def test_folders_are_columns_of_text(spark, land):
    contract = Contract("orders", (*COLUMNS, Column("dt", "date"), Column("shop", "string")), partition_by=("dt",))
    location = land({"dt=2026-01-05/shop=007/a.csv": HEADER + b"1,a,1\n2\n"})
    conformed = contract.conform(read_landing(spark, location, contract))
    assert_same_rows(conformed.rows.select("id", F.col("dt").cast("string"), "shop"), [(1, "2026-01-05", "007")])
    assert [str(row.dt) for row in conformed.quarantine_with("dt").collect()] == ["2026-01-05"]
    with pytest.raises(LandingError, match=r"name different columns: none for .*, dt, shop for .*read them apart"):
        read_landing(spark, land({"a.csv": HEADER}), contract)
    files = [f"{location}/dt=2026-01-05/shop=007/a.csv", f"file://{location}/dt=2026-01-06"]
    land({"dt=2026-01-06/shop=8/b.csv": HEADER + b"3,c,3\n"})
    only = read_landing(spark, files, contract, base=location).where("_gw_landing.problems IS NULL")
    assert_same_rows(only.select("id", "dt", "shop"), [("1", "2026-01-05", "007"), ("3", "2026-01-06", "8")])


def test_a_file_that_spark_passes_over_is_refused(spark, land):
    location = land({"_a.csv": HEADER + b"1,a,1\n"})
    with pytest.raises(LandingError, match="_a.csv: Spark passes over files whose names begin with _"):
        read_landing(spark, f"{location}/_a.csv", ORDERS)
    with pytest.raises(LandingError, match="there are no files"):
        read_landing(spark, location, ORDERS)


REFUSED = {
    "missing": ({}, "there are no files; check the location"),
    "a column twice": ({"a.csv": b"id,note,ID\n"}, r"a.csv: the header names a column twice \(id and ID\)"),
    "no header": ({"a.csv": b"1,x,2\n"}, "a.csv: its first line names no column of orders; the files need a header"),
    "UTF-16": ({"a.csv": HEADER.decode().encode("utf-16")}, "a.csv is not UTF-8 but UTF-16"),
    "UTF-16 without a mark": ({"a.csv": HEADER.decode().encode("utf-16-le")}, "a.csv is not UTF-8 but UTF-16"),
    "not gzip": ({"a.csv.gz": HEADER}, "a.csv.gz is not sound gzip data"),
    "half a gzip": ({"a.csv.gz": gzip.compress(HEADER * 9)[:-9]}, "a.csv.gz is cut off"),
    "gzip by another name": ({"a.csv": gzip.compress(HEADER)}, "a.csv is gzip data but is not named .gz"),
    "another compression": ({"a.csv.zst": HEADER}, "a.csv.zst zst is not decompressed"),
    "old line ends": ({"a.csv": b"id,note,amount\r1,x,1\r"}, "lines end with a carriage return only"),
    "an open quote": ({"a.csv": b'id,"note,amount\n'}, "a.csv: its first line is no header"),
    "reserved": ({"a.csv": b"id,_gw_file\n"}, "the column _gw_file begins with _gw_, which is reserved"),
    "file and folder": ({"id=1/a.csv": b"id,note\n"}, "the column id is in the files and in the names of their folders"),
    "Parquet": ({"a.csv": HEADER, "b.parquet": b"PAR1" * 9}, "b.parquet: its first line names no column"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_at_all_is_named_in_one_line(spark, land, case):
    files, message = REFUSED[case]
    with pytest.raises(LandingError, match=message) as caught:
        read_landing(spark, land(files), ORDERS)
    assert "\n" not in str(caught.value)
    with pytest.raises(LandingError, match="unknown format 'xml'"):
        read_landing(spark, "/tmp", ORDERS, "xml")


def test_counts_add_up_in_the_table_and_its_quarantine(spark, catalog, tmp_path, land):
    contract = Contract(f"{catalog.name}.orders", COLUMNS)
    orders, step = open_dataset(spark, contract, location=f"file://{tmp_path}/orders"), Step("orders")
    location = land({"a.csv": HEADER + b'1,a,1\n2,b\nx,c,1\n3,"two\nlines",1\n'})
    orders.save(read_landing(spark, location, contract), run="run-1", replace=ALL).told(step)
    step.check()
    assert step.counts() == {"read": 4, "written": 2, "quarantined": 2}
    found = {p.rule: json.loads(row.original) for row in orders.quarantine.read().collect() for p in row.problems}
    assert (found["fields"]["_gw_record"], found["format"]["id"]) == ("2,b", "x")
    assert all(each["_gw_file"].endswith("/landing/a.csv") for each in found.values())
    with pytest.raises(ContractViolationError, match="2 of 4 rows do not fit the contract"):
        orders.save(read_landing(spark, location, contract), run="run-2", replace=ALL, max_rows=1)
    with pytest.raises(ContractViolationError, match="note: is missing in 1 of 2 files"):
        orders.save(read_landing(spark, land({"b.csv": b"id,amount\n9,9\n"}), contract), run="run-3", replace=ALL)
    assert orders.load().count() == 2


def test_records_of_personal_data_are_withheld(spark, land):
    contract = Contract("orders", (COLUMNS[0], Column("note", "string", tags=("pii",)), COLUMNS[2]))
    location = land({"a.csv": HEADER + b"1,secret@example.org\n"})
    landed = read_landing(spark, location, contract)
    (row,) = contract.conform(landed).quarantine.collect()
    assert json.loads(row.original)["_gw_record"] == "(withheld)"
    assert "secret" not in str(row)
    (row,) = contract.conform(landed, show_unknown=True).quarantine.collect()
    assert json.loads(row.original)["_gw_record"] == "1,secret@example.org"


def test_a_frozen_contract_fails_on_what_cannot_be_parsed(spark, catalog, tmp_path, land):
    columns = tuple(Column(column.name, "string") for column in COLUMNS)
    contract = Contract(f"{catalog.name}.orders", columns, values=Mode.FREEZE)
    orders = open_dataset(spark, contract, location=f"file://{tmp_path}/orders")
    assert orders.quarantine is None
    landed = read_landing(spark, land({"a.csv": HEADER + b"1,a,1\n2\n"}), contract)
    with pytest.raises(ContractViolationError, match="1 of 2 rows do not fit the contract: 1 of them in frozen columns"):
        orders.save(landed, run="run-1", replace=ALL)
    # A frozen column says nothing of a record of which nothing was read.
    one = Contract("orders", (Column("id", "int", nullable=False, on_surprise=Mode.FREEZE), *COLUMNS[1:]))
    assert one.conform(landed).counts().frozen == 0


def test_problems_of_the_caller_are_added(spark, land):
    landed = read_landing(spark, land({"a.csv": HEADER + b"1,a,1\n2\n3,c,1\n"}), ORDERS)
    problem = "array(named_struct('column', 'note', 'rule', 'mine', 'reason', 'is a', 'value', note))"
    rows = landed.withColumn("_found", F.expr(f"CASE WHEN note = 'a' THEN {problem} END"))
    conformed = ORDERS.conform(rows, problems="_found")
    assert [row.id for row in conformed.rows.collect()] == [3]
    assert sorted(p.rule for row in conformed.quarantine.collect() for p in row.problems) == ["fields", "mine"]


def test_a_json_line_is_one_object_or_in_quarantine(spark, land):
    good = [
        b'{"id":1,"note":"x","amount":1.50}',
        b'{"id":2,"amount":12345678.10,"note":"a \\"1.5\\" b","new":[1]}',
        b'{"ID":"3","note":{"a":1.50,"b":["x",2]}}',
        b'\t{ "note" : null, "id" : 4 } ',
    ]
    bad = [
        (b"5", "json"),
        (b"[1]", "json"),
        (b'{"id":3} {"id":4}', "json"),
        (b'{"id":3},"x":5', "json"),
        (b'{"id":3}] {}', "json"),
        (b'{"id":3}} {', "json"),
        (b'{"id":', "json"),
        (b'{"id":01}', "json"),
        (b'{"id":1,"id":2}', "duplicate_key"),
        (b'{"id":1,"ID":2}', "duplicate_key"),
    ]
    lines = [b"\xef\xbb\xbf" + good[0], *good[1:], *(line for line, _ in bad), b"", b'{"id":5,"note":"M\xfcller"}']
    location = land({"a.json": b"\n".join(lines[:3]), "b.jsonl.gz": gzip.compress(b"\r\n".join(lines[3:]))})
    rows, found = outcome(spark, location, "json")
    assert rows == [
        (1, "x", Decimal("1.50")),
        (2, 'a "1.5" b', Decimal("12345678.10")),
        (3, '{"a":1.50,"b":["x",2]}', None),
        (4, None, None),
    ]
    expected = [(line.decode(), ("", rule)) for line, rule in bad]
    assert [each for each in found if each[1] != ("", "encoding")] == sorted(expected, key=repr)
    assert len(found) == len(bad) + 1


def test_numbers_in_json_keep_all_their_digits(spark, land):
    contract = Contract("numbers", (Column("n", "string"), Column("deep", "array<struct<m:map<string,string>>>")))
    texts = ["12345678901234567.890123", "1.0E-7", "-0.10", "1e5", "0.12345678901234567890", "18446744073709551616"]
    lines = [f'{{"n":{text},"deep":[{{"m":{{"k":{text}, "l":"x{text}"}}}}]}}' for text in texts]
    rows, found = outcome(spark, land({"a.json": "\n".join(lines).encode()}), "json", contract=contract)
    assert found == []
    assert [row[0] for row in rows] == sorted(texts)
    assert all(row[1][0]["m"] == {"k": row[0], "l": f"x{row[0]}"} for row in rows)


def test_structures_in_json_are_the_contracts(spark, land):
    items = "array<struct<sku:string,price:decimal(10,2)>>"
    contract = Contract("carts", (Column("id", "int"), Column("items", items), Column("tags", "map<string,double>")))
    lines = [
        b'{"id":1,"items":[{"sku":"a","price":1.50},{"price":2}],"tags":{"a":1.5,"b":2}}',
        b'{"id":2,"items":{"sku":"b"}}',
        b'{"id":3,"tags":5}',
        b'{"id":4,"items":[{"price":1.505}]}',
    ]
    rows, found = outcome(spark, land({"a.json": b"\n".join(lines)}), "json", contract=contract)
    assert [(row[0], [tuple(item) for item in row[1]], row[2]) for row in rows] == [
        (1, [("a", Decimal("1.50")), (None, Decimal("2.00"))], {"a": 1.5, "b": 2.0})
    ]
    assert [each[1] for each in found] == [("", "json"), ("", "json"), ("items[].price", "precision")]


def test_parquet_files_are_merged_and_contradictions_named(spark, land, tmp_path):
    def write(name, sql):
        spark.sql(sql).coalesce(1).write.parquet(f"{tmp_path}/{name}")

    write("good/dt=007", "SELECT 1 AS id, 'x' AS note")
    write("good/dt=008", "SELECT 2 AS id, 2.5BD AS amount")
    landed = read_landing(spark, f"{tmp_path}/good", ORDERS, "parquet")
    assert_same_rows(landed.select("id", "note", "dt"), [(1, "x", "007"), (2, None, "008")])
    assert ORDERS.conform(landed).counts().written == 2
    write("bad/a", "SELECT 1 AS id, 'x' AS note")
    write("bad/b", "SELECT 'x' AS id")
    with pytest.raises(LandingError, match=r"column id is int in \S+/bad/a/\S+ and string in \S+/bad/b/\S+;"):
        read_landing(spark, f"{tmp_path}/bad", ORDERS, "parquet")
    with pytest.raises(LandingError, match=r"a.parquet is not a Parquet file, or not all of one"):
        read_landing(spark, land({"a.parquet": b"PAR1 and then it was cut"}), ORDERS, "parquet")
    footer = b"PAR1" + b"\0" * 50 + b"\xff\xff\0\0PAR1"
    with pytest.raises(LandingError, match="c.parquet is damaged: its Parquet footer cannot be read"):
        read_landing(spark, land({"c.parquet": footer}, "damaged"), ORDERS, "parquet")


TEXT = st.text(st.sampled_from("a1,;\"\n é\u2028\ufeff\U0001f600'\\\t"), max_size=6)
RECORD = st.tuples(TEXT, TEXT, TEXT)


def split(text):
    """Python's reading: records, up to the first that it refuses, and whether it refused one."""
    records = []
    try:
        for record in csv.reader(io.StringIO(text, newline="\n"), strict=True):
            if record:
                records.append(record)
    except csv.Error:
        return records, True
    return records, False


def by_file(landed):
    """The values or None for a record in quarantine, in order, by the name of the file."""
    found = {}
    for row in landed.collect():
        name = row["_gw_landing"]["file"].rpartition("/")[2]
        values = None if row["_gw_landing"]["problems"] else [row["id"], row["note"], row["amount"]]
        found.setdefault(name, []).append(values)
    return found


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.lists(RECORD, min_size=1, max_size=4), min_size=5, max_size=20), quote=st.booleans())
def test_what_a_writer_of_csv_wrote_is_read(spark, tmp_path_factory, files, quote):
    folder = tmp_path_factory.mktemp("written")
    wanted = {}
    for number, records in enumerate(files):
        with (folder / f"{number}.csv").open("w", encoding="utf-8", newline="") as file:
            quoting = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
            csv.writer(file, quoting=quoting, lineterminator="\r\n" if number % 2 else "\n").writerows(
                [("id", "note", "amount"), *records]
            )
        wanted[f"{number}.csv"] = [list(record) for record in records]
    found = by_file(read_landing(spark, str(folder), ORDERS))
    assert {name: [[value or "" for value in record] for record in records] for name, records in found.items()} == wanted
    columns = "{'id': 'VARCHAR', 'note': 'VARCHAR', 'amount': 'VARCHAR'}"
    rules = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', strict_mode = false"
    duck = duckdb.sql(f"SELECT * FROM read_csv('{folder}/*.csv', {rules}, columns = {columns})").fetchall()
    ours = sorted([value or "" for value in record] for records in found.values() for record in records)
    assert ours == sorted([value or "" for value in record] for record in duck)


def test_each_record_of_any_file_is_what_python_reads_or_in_quarantine(spark, tmp_path):
    chooser, texts = random.Random(7), {}
    for number in range(1500):
        body = "".join(chooser.choices('a1,"\n\r é', weights=[3, 3, 5, 4, 3, 1, 1, 1], k=chooser.randrange(30)))
        texts[f"{number}.csv"] = body
        (tmp_path / f"{number}.csv").write_text("id,note,amount\n" + body, encoding="utf-8", newline="")
    landed = read_landing(spark, str(tmp_path), ORDERS)
    found = by_file(landed)
    whole = compared = 0
    for name, text in texts.items():
        records, refused = split(text)
        ours = found.get(name, [])
        for record, values in zip(records, ours, strict=False):
            if values is None:
                # Refused for its number of values, or because its quotes or line ends are not what RFC 4180 says.
                assert len(record) != 3 or "\r" in text or '"' in text, (text, record)
            else:
                compared += 1
                assert [value or "" for value in values] == record, text
        if not refused and "\r" not in text:
            assert len(records) == len(ours), text
            whole += 1
    assert whole > 300
    assert compared > 50
    counted = ORDERS.conform(landed).counts()
    assert counted.read == counted.written + counted.quarantined == sum(map(len, found.values()))


@pytest.mark.independent_s3
def test_files_in_s3_are_read_by_their_first_bytes(spark, request):
    request.getfixturevalue("s3_server").bucket("data")
    storage = open_storage("s3://data/landing")
    storage.write("dt=2026-01-05/a.csv", HEADER + b"x" * 50_000)
    storage.write("dt=2026-01-05/b.csv", b"")
    landing = find_files(["s3://data/landing"], "", text=True)
    assert [(file.uri, len(file.head), file.complete) for file in landing.files] == [
        ("s3://data/landing/dt=2026-01-05/a.csv", 4 << 10, False)
    ]
    assert landing.partitions == ("dt",)
    assert storage.read_range("dt=2026-01-05/a.csv", -3, 2) == b"xx"
    assert storage.read_range("dt=2026-01-05/b.csv", 0, 5) == b""
    assert storage.read_range("dt=2026-01-05/a.csv", 99_999, 5) == b""
