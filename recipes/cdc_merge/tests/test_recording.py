"""What PostgreSQL recorded, written as DMS and Debezium write it, becomes what PostgreSQL holds."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gluewright_cdc_merge.job import Arguments, main
from gluewright_core.job import run
from gluewright_testing.postgres import PostgresUnavailableError, RowChange, running_postgres

NAMES = ["id", "name", "price", "note"]
COLUMNS = "id bigint, name string, price decimal(12,2), note string"
NOTES = ["plain", 'a "quoted" one', "two\nlines", "a,b", "", "ü\u00a0€", "NULL and void"]


@dataclass
class Recording:
    """A full load, the changes since, and the rows at the end."""

    load: list[dict[str, str | None]]
    loaded_at: object
    changes: list[RowChange]
    rows: list[tuple]


def transaction(rng: random.Random, alive: set[int]) -> str:
    """Several changes, most of them of the same few keys."""
    statements, keys = [], rng.sample(range(40), k=3)
    for _ in range(rng.randrange(1, 9)):
        key, value = rng.choice(keys), f"{rng.randrange(-(10**6), 10**6) / 100:.2f}"
        note = rng.choice([*NOTES, None])
        note = "NULL" if note is None else "'" + note.replace("'", "''") + "'"
        other = rng.choice(keys)
        if key not in alive:
            statements.append(f"INSERT INTO items VALUES ({key}, 'n{rng.randrange(9)}', {value}, {note})")
            alive.add(key)
        elif rng.random() < 0.3:
            statements.append(f"DELETE FROM items WHERE id = {key}")
            alive.discard(key)
        elif rng.random() < 0.3 and other not in alive:
            statements.append(f"UPDATE items SET id = {other}, price = {value} WHERE id = {key}")
            alive.discard(key)
            alive.add(other)
        else:
            statements.append(f"UPDATE items SET price = {value}, note = {note} WHERE id = {key}")
    return f"BEGIN; {'; '.join(statements)}; COMMIT;"


@pytest.fixture(scope="session")
def recording():
    rng, alive = random.Random(17), set()
    try:
        with running_postgres() as database:
            database.run("CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric(12,2), note text)")
            database.run("".join(transaction(rng, alive) for _ in range(10)))
            database.record("feed")
            loaded = [dict(zip(NAMES, row, strict=True)) for row in database.run("SELECT * FROM items ORDER BY id")]
            ((now,),) = database.run("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
            database.run("".join(transaction(rng, alive) for _ in range(150)))
            changes = database.changes("feed")
            rows = database.run("SELECT id, name, price, note FROM items ORDER BY id")
    except PostgresUnavailableError as missing:
        pytest.skip(str(missing))
    # What the usual order cannot tell apart: changes of a key in one transaction.
    ties = [(change.transaction, change.row["id"]) for change in changes]
    assert len(ties) - len(set(ties)) > 100
    return Recording(loaded, now, changes, rows)


def stamp(at):
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def as_dms(changes: list[RowChange], *, before_images: bool) -> list[dict[str, str | None]]:
    """Write changes as DMS does: a changed key is an update with a before image, or a delete and an insert."""
    found: list[dict[str, str | None]] = []
    for number, change in enumerate(changes):
        common = {"ts": stamp(change.at), "AR_H_CHANGE_SEQ": change.at.strftime("%Y%m%d%H%M%S00") + f"{number:019d}"}
        row, op = dict.fromkeys(NAMES) | change.row, {"insert": "I", "update": "U", "delete": "D"}[change.op]
        if change.old_key and not before_images:
            found.append({"Op": "D", **common, **dict.fromkeys(NAMES), **change.old_key})
            op = "I"
        old = (change.old_key or change.row)["id"] if op == "U" else None
        found.append({"Op": op, **common, **row, **({"BI_id": old} if before_images else {})})
    return found


def in_files(records, rng):
    """Cut records into files of any size, named by their time as DMS names them."""
    at = 0
    start = 20260105_080000000
    while at < len(records):
        size = rng.choice([1, 7, 40, 90])
        yield f"{start // 10**9}-{start % 10**9:09d}", records[at : at + size]
        at, start = at + size, start + 1


def write_csv(path: Path, records, names, *, header):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        if header:
            file.write(",".join(names) + "\n")
        for record in records:
            # NULL is the bare word, and text that could be taken for something else is in quotes.
            values = ["NULL" if record[n] is None else '"' + str(record[n]).replace('"', '""') + '"' for n in names]
            file.write(",".join(values) + "\n")


@pytest.fixture
def small_splits(spark):
    """Files are cut into many splits, and many small files share a task."""
    settings = {"spark.sql.files.maxPartitionBytes": "3000", "spark.sql.files.openCostInBytes": "100"}
    before = {name: spark.conf.get(name) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


@pytest.fixture
def merged(spark, catalog, tmp_path):
    def merge(feed, *more, kept="parquet"):
        target = f"ice.{catalog.name}.items" if kept == "iceberg" else f"{catalog.name}.items"
        arguments = [f"--source={tmp_path}/feed", f"--format={feed}", f"--target={target}", f"--catalog={kept}", "--keys=id"]
        location = "" if kept == "iceberg" else f"file://{tmp_path}/items"
        counted = run(main, Arguments, argv=[*arguments, f"--columns={COLUMNS}", f"--location={location}", *more])
        rows = spark.table(target).select("id", "name", "price", "note").collect()
        found = [tuple(None if value is None else str(value) for value in row) for row in rows]
        return counted.steps[0].counts(), sorted(found, key=lambda row: int(row[0]))

    return merge


def test_csv_files_of_dms_are_merged_in_the_order_of_their_lines(recording, merged, tmp_path, interpreted, small_splits):
    rng, folder = random.Random(1), tmp_path / "feed"
    load = [{**row, "ts": recording.loaded_at} for row in recording.load]
    names = ["ts", *NAMES]
    write_csv(folder / "LOAD00000001.csv", load[: len(load) // 2], names, header=True)
    write_csv(folder / "LOAD00000002.csv", load[len(load) // 2 :], names, header=True)
    records = as_dms(recording.changes, before_images=False)
    for name, part in in_files(records, rng):
        write_csv(folder / "2026" / "01" / f"{name}.csv", part, ["Op", *names], header=True)
    counted, rows = merged("dms-csv", "--sequence_by=ts")
    assert rows == recording.rows
    assert (counted["read"], counted["quarantined"]) == (len(load) + len(records), 0)
    # The same lines have the same numbers beside other files.
    write_csv(folder / "LOAD00000000.csv", [{**load[0], "id": "1000"}] * 50, names, header=True)
    again, rows = merged("dms-csv", "--sequence_by=ts")
    assert again["written"] == 1
    assert [row for row in rows if row[0] != "1000"] == recording.rows


def test_parquet_files_of_dms_are_merged_in_the_order_of_their_rows(recording, merged, tmp_path, interpreted, small_splits):
    rng, folder = random.Random(2), tmp_path / "feed"
    folder.mkdir()
    decimal = pa.decimal128(12, 2)
    kinds = {"id": pa.int64(), "price": decimal, "BI_id": pa.int64()}

    def write(name, records):
        columns = {}
        for key in records[0]:
            values = [record[key] for record in records]
            if key == "price":
                values = [None if value is None else Decimal(value) for value in values]
            if key in {"id", "BI_id"}:
                values = [None if value is None else int(value) for value in values]
            columns[key] = pa.array(values, kinds.get(key, pa.string()))
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=11)

    write("LOAD00000001", [{**row, "ts": recording.loaded_at} for row in recording.load])
    records = as_dms(recording.changes, before_images=True)
    for record in records:
        del record["AR_H_CHANGE_SEQ"]
    for name, part in in_files(records, rng):
        write(name, part)
    counted, rows = merged("dms-parquet", "--sequence_by=ts", kept="delta")
    assert rows == recording.rows
    # A record that changes a key is counted once.
    assert any(record["BI_id"] != record["id"] and record["Op"] == "U" for record in records)
    assert counted["read"] == len(recording.load) + len(records) == counted["written"] + sum(counted["ignored"].values())


def test_the_change_number_of_dms_orders_records_wherever_they_stand(recording, merged, tmp_path, interpreted):
    rng, folder = random.Random(3), tmp_path / "feed"
    write_csv(folder / "LOAD00000001.csv", [{**row, "ts": ""} for row in recording.load], ["ts", *NAMES], header=True)
    records = as_dms(recording.changes, before_images=False)
    rng.shuffle(records)
    for name, part in {"some": records[::2], "others": records[1::2]}.items():
        write_csv(folder / f"{name}.csv", part, ["Op", "AR_H_CHANGE_SEQ", *NAMES], header=True)
    counted, rows = merged("dms-csv", "--audit=true", kept="iceberg")
    assert rows == recording.rows
    assert counted["quarantined"] == 0


def unscaled(number: str) -> str:
    whole = int(Decimal(number).scaleb(2))
    size = (whole + (whole < 0)).bit_length() // 8 + 1
    return base64.b64encode(whole.to_bytes(size, "big", signed=True)).decode()


PRICES = {"string": str, "precise": unscaled, "double": float}


def as_debezium(recording, decimals, deletes):
    """Write the load and the changes as messages; deletes are rewritten, or NULL values, or events with their envelope."""

    def row_of(row):
        price = row["price"]
        return {**row, "id": int(row["id"]), "price": None if price is None else PRICES[decimals](price)}

    def value(op, row, change):
        order = {"lsn": change.lsn, "sequence": json.dumps([str(change.previous_commit), str(change.lsn)])} if change else {}
        order = order or {"lsn": 1, "sequence": '[null,"1"]'}
        if deletes == "enveloped":
            before, after = (row, None) if op == "d" else (None, row)
            return {"op": op, "before": before, "after": after, "source": order, "ts_ms": 1}
        added = {"__op": op, **{f"__source_{name}": each for name, each in order.items()}}
        return {**row, **added, **({"__deleted": str(op == "d").lower()} if deletes == "rewritten" else {})}

    messages = [(int(row["id"]), value("r", row_of(row), None)) for row in recording.load]
    for change in recording.changes:
        ended = change.row if change.op == "delete" else change.old_key
        if ended:
            key = int(ended["id"])
            if deletes != "null":
                messages.append((key, value("d", {**dict.fromkeys(NAMES), "id": key}, change)))
            messages.append((key, None))
        if change.op != "delete":
            op = "c" if change.op == "insert" or change.old_key else "u"
            messages.append((int(change.row["id"]), value(op, row_of(change.row), change)))
    return [json.dumps({"key": {"id": key}, "value": value}, ensure_ascii=False) for key, value in messages]


@pytest.mark.parametrize(
    ("decimals", "deletes", "kept"),
    [("precise", "null", "iceberg"), ("double", "rewritten", "delta"), ("string", "enveloped", "parquet")],
)
def test_messages_with_keys_are_merged_whatever_their_decimals_and_deletes(
    recording, merged, tmp_path, interpreted, small_splits, decimals, deletes, kept
):
    (tmp_path / "feed").mkdir()
    lines = as_debezium(recording, decimals, deletes)
    cuts = [0, len(lines) // 3, len(lines)]
    for number, (start, end) in enumerate(pairwise(cuts)):
        (tmp_path / "feed" / f"{number}.json").write_text("\ufeff" + "\n".join(lines[start:end]), encoding="utf-8")
    kind = "debezium-json" if deletes == "enveloped" else "debezium-flattened-json"
    counted, rows = merged(kind, f"--decimals={decimals}", kept=kept)
    assert rows == recording.rows
    assert (counted["read"], counted["quarantined"]) == (len(lines), 0)
