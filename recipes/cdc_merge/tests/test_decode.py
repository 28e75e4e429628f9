"""Every form of every feed gives the change rows written out here, with ANSI on and off, in a time zone that is not UTC."""

from __future__ import annotations

import base64
import json
import random
from decimal import Context, Decimal

import pytest

from gluewright_cdc_merge.feeds import Decoded, UnsupportedFeedError, debezium, debezium_flattened, dms, plain

UNAVAILABLE = "__debezium_unavailable_value"
ENCODED = base64.b64encode(UNAVAILABLE.encode()).decode()


@pytest.fixture(params=["false", "true"], ids=["ansi off", "ansi on"])
def session(spark, interpreted, request):
    settings = {"spark.sql.ansi.enabled": request.param, "spark.sql.session.timeZone": "America/New_York"}
    before = {name: spark.conf.get(name) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield spark
    for name, value in before.items():
        spark.conf.set(name, value)


def schema(spark, ddl):
    return spark.createDataFrame([], ddl).schema


def texts(spark, records):
    values = [record if record is None or isinstance(record, str) else json.dumps(record) for record in records]
    return spark.createDataFrame([(value,) for value in values], "value string")


def computed(decoded):
    """Decode once, for tests that look at more than one part."""
    return Decoded(decoded.records.localCheckpoint())


def told(frame):
    """Collect rows as dictionaries: no NULLs, ``moved`` only where it is true, numbers as written, timestamps in UTC."""
    rows = frame.selectExpr("to_json(struct(*), map('timeZone', 'UTC'))").collect()
    found = [json.loads(row[0], parse_float=str) for row in rows]
    return [{name: value for name, value in row.items() if (name, value) != ("moved", False)} for row in found]


def faults(decoded):
    """List what is in quarantine: of each record column, rule and value of its problems."""
    rows = decoded.quarantine.collect()
    assert not any(row["kept"] for row in rows)
    return [[(p["column"], p["rule"], p["value"]) for p in row["problems"]] for row in rows]


def add_up(decoded, records):
    changes = decoded.changes.selectExpr("coalesce(sum(record), 0) AS n").first()["n"]
    assert changes + decoded.quarantine.count() + decoded.ignored.count() == records


def event(op, *, before=None, after=None, sequence='["24023119","24023128"]', **source):
    source = {"connector": "postgresql", "ts_ms": 1704448800000, "snapshot": "false", "sequence": sequence, **source}
    return {"before": before, "after": after, "source": source, "op": op, "ts_ms": 1704448800123, "transaction": None}


ORDERS = "id bigint, name string, price decimal(12,2), at timestamp"
ROW = {"id": 1, "name": "a", "price": "12.50", "at": 1704448800123456}
PAIR = {"commit": 24023119, "lsn": 24023128}
READ = {"id": 1, "name": "a", "price": "12.50", "at": "2024-01-05T10:00:00.123Z"}

EVENTS = [
    event("r", after=ROW, sequence='[null,"24023000"]', snapshot="incremental"),
    event("c", after={"id": 1, "name": None}, sequence=None, lsn=24023100),
    event("u", after={"id": 1, "name": UNAVAILABLE, "price": None, "at": 0}),
    event("d", before={"id": 1, "name": "", "price": None, "at": None}),
    event("t"),
    event("u", before={"id": 1}, after={**ROW, "id": 2}),
    event("m"),
    event("z", after=ROW),
    event("c"),
    event("c", after={"id": None, "name": "a"}),
    event("d", before=None),
    event("u", after=ROW, sequence="[]"),
    None,
]
CHANGES = [
    {
        "op": "upsert", "key": {"id": 1}, "sequence": {"commit": 24023000, "lsn": 24023000}, "row": READ,
        "kind": "r", "record": 1,
    },
    {
        "op": "upsert", "key": {"id": 1}, "sequence": {"commit": 24023100, "lsn": 24023100}, "row": {"id": 1},
        "kind": "c", "record": 1,
    },
    {
        "op": "upsert", "key": {"id": 1}, "sequence": PAIR, "row": {"id": 1, "at": "1970-01-01T00:00:00.000Z"},
        "unset": ["name"], "kind": "u", "record": 1,
    },
    {"op": "delete", "key": {"id": 1}, "sequence": PAIR, "kind": "d", "record": 1},
    {"op": "truncate", "sequence": PAIR, "kind": "t", "record": 1},
    {"op": "delete", "key": {"id": 1}, "sequence": PAIR, "kind": "u", "record": 1},
    {
        "op": "upsert", "key": {"id": 2}, "sequence": PAIR, "row": {**READ, "id": 2}, "old_key": {"id": 1},
        "kind": "u", "record": 0,
    },
]  # fmt: skip
FAULTS = [
    [("", "op", "z")],
    [("", "required", None)],
    [("id", "key", None)],
    [("id", "key", None)],
    [("", "sequence", None)],
]


def wrapped(payload):
    def fields(name):
        told = [
            {"type": "int64", "optional": False, "field": "id"},
            {"type": "string", "optional": True, "field": "name"},
            {"type": "string", "optional": True, "field": "price"},
            {"type": "int64", "optional": True, "name": "io.debezium.time.MicroTimestamp", "version": 1, "field": "at"},
        ]
        return {"type": "struct", "fields": told, "optional": True, "name": "shop.public.orders.Value", "field": name}

    fields = [fields("before"), fields("after"), {"type": "string", "optional": False, "field": "op"}]
    return {"schema": {"type": "struct", "fields": fields, "name": "shop.public.orders.Envelope"}, "payload": payload}


def as_structs(spark, records):
    row = "struct<id: bigint, name: string, price: string, at: bigint>"
    source = "struct<connector: string, ts_ms: bigint, snapshot: string, lsn: bigint, sequence: string>"
    envelope = f"struct<before: {row}, after: {row}, source: {source}, op: string, ts_ms: bigint>"
    return texts(spark, records).selectExpr(f"from_json(value, '{envelope}') AS value")


@pytest.mark.parametrize("form", ["json", "json with schema", "binary json", "struct"])
def test_an_envelope_gives_the_same_changes_in_every_form(session, form):
    if form == "struct":
        records = as_structs(session, EVENTS)
    else:
        records = texts(session, [wrapped(e) if e and form == "json with schema" else e for e in EVENTS])
    if form == "binary json":
        records = records.selectExpr("CAST(value AS BINARY) AS value")
    decoded = computed(debezium(records, schema(session, ORDERS), ["id"]))
    assert told(decoded.changes) == CHANGES
    assert faults(decoded) == FAULTS
    assert told(decoded.ignored) == [
        {"kind": "m", "reason": "logical message", "record": 1},
        {"reason": "tombstone", "record": 1},
    ]
    add_up(decoded, len(EVENTS))


def test_what_is_not_an_event_is_quarantined_or_ignored_but_never_lost(session):
    good = json.dumps(event("c", after=ROW))
    records = ["", "{", good[:-1], good + good, f"{good},{good}", good + "x", "[]", "7", '"text"', "{}", '{"id": 1}']
    records += ['{"op": "c", "after": 5, "source": {"lsn": 1}}', '{"op": "c", "after": {"id": 1}, "source": 5}']
    records += ["null", '{"schema": null, "payload": null}', '{"ts_ms": 1704448800123}']
    decoded = computed(debezium(texts(session, records), schema(session, ORDERS), ["id"]))
    assert decoded.changes.isEmpty()
    assert faults(decoded)[:11] == [[("", "record", None)]] * 11
    assert [row["original"] for row in decoded.quarantine.collect()] == records[:13]
    assert [row["reason"] for row in decoded.ignored.collect()] == ["tombstone", "tombstone", "heartbeat"]


def test_the_key_of_a_delete_is_the_message_key_where_there_is_one(session):
    # With an index as replica identity, `before` has that index only, and "" and 0 where a column must not be null.
    delete = json.dumps(event("d", before={"id": 0, "region": ""}))
    bare = json.dumps(event("d", before={"id": 3, "region": "eu"}))
    key = {"id": 7, "region": "us"}
    schema_of = {"type": "struct", "fields": [{"type": "int32", "field": "id"}, {"type": "string", "field": "region"}]}
    rows = [(json.dumps(key), delete), (json.dumps({"schema": schema_of, "payload": key}), delete), (None, bare)]
    records = session.createDataFrame(rows, "key string, value string")
    columns = schema(session, "id int, region string, name string")
    keys = ["id", "region"]
    expected = [{"id": 7, "region": "us"}, {"id": 7, "region": "us"}, {"id": 3, "region": "eu"}]
    typed = records.where("key IS NULL OR key NOT LIKE '%schema%'").selectExpr(
        "from_json(key, 'id int, region string') AS key", "value"
    )
    assert [row["key"] for row in told(debezium(records, columns, keys, key="key").changes)] == expected
    assert [row["key"] for row in told(debezium(typed, columns, keys, key="key").changes)] == expected[1:]


def test_a_table_without_a_key_is_named_and_only_its_truncates_are_changes(session):
    records = texts(session, [event("c", after=ROW), event("d", before=ROW), event("t")])
    decoded = computed(debezium(records, schema(session, ORDERS), []))
    assert [row["op"] for row in decoded.changes.collect()] == ["truncate"]
    assert faults(decoded) == [[("", "key", None)]] * 2
    assert "no key" in decoded.quarantine.first()["problems"][0]["reason"]


def test_the_sequence_can_be_any_expression_over_the_source_and_the_records(session):
    source = {"file": "binlog.000009", "pos": 1205, "row": 0, "ts_ms": 1704448800000}
    change = {"op": "c", "after": {"id": 1}, "source": source, "ts_ms": 1704448800123}
    records = texts(session, [change, {**change, "source": {"file": "binlog.000009"}}]).selectExpr("value", "5L AS offset")
    by = ["source.file", "source.pos", "ts_ms", "offset", "source.pos * 2 AS twice"]
    decoded = computed(debezium(records, schema(session, "id bigint"), ["id"], sequence_by=by))
    expected = {"file": "binlog.000009", "pos": 1205, "ts_ms": 1704448800123, "offset": 5, "twice": 2410}
    assert [row["sequence"] for row in told(decoded.changes)] == [expected]
    assert faults(decoded) == [[("", "sequence", None)]]


VALUES = """id bigint, exact decimal(38,4), amount decimal(10,2), free decimal(20,6), ratio double, small float, day date,
    at timestamp, local timestamp_ntz, due bigint, note string, uid string, body binary, tags array<string>,
    sums array<decimal(6,2)>, days array<date>, flag boolean"""


def connect(kind, field, name=None, scale=None, items=None):
    parts = {"type": kind, "field": field, "name": name, "items": items}
    return {**{k: v for k, v in parts.items() if v}, **({"parameters": {"scale": str(scale)}} if scale is not None else {})}


def unscaled(number, scale):
    whole = int(Decimal(number).scaleb(scale, Context(prec=60)))
    size = (whole + (whole < 0)).bit_length() // 8 + 1
    return base64.b64encode(whole.to_bytes(size, "big", signed=True)).decode()


def test_values_are_read_by_connects_schema_where_records_carry_it(session):
    decimal, time = "org.apache.kafka.connect.data.Decimal", "io.debezium.time."
    fields = [
        connect("bytes", "exact", decimal, 4), connect("bytes", "amount", decimal, 4),
        connect("struct", "free", "io.debezium.data.VariableScaleDecimal"), connect("double", "ratio"),
        connect("float", "small"), connect("int32", "day", time + "Date"), connect("int64", "at", time + "NanoTimestamp"),
        connect("int64", "local", "org.apache.kafka.connect.data.Timestamp"), connect("int64", "due", time + "MicroTime"),
        connect("string", "note", "io.debezium.data.Json"), connect("bytes", "body"), connect("boolean", "flag"),
        connect("array", "sums", items=connect("bytes", None, decimal, 2)),
        connect("array", "days", items=connect("int32", None, time + "Date")),
    ]  # fmt: skip
    row = {
        "id": 1, "exact": unscaled("-1234567890123456789012345678901234.5678", 4), "amount": unscaled("-7.5000", 4),
        "free": {"scale": 3, "value": unscaled("19.125", 3)}, "ratio": "POSITIVE_INFINITY", "small": 1.1, "day": 19727,
        "at": 1704448800123456000, "local": -1500, "due": 36000000000, "note": '{"a": [1, 2]}',
        "uid": "0b7e9f4c-2f1d-4b6a-9a53-0d5c3e2f1a10", "body": "AP8=", "tags": ["x", None, "ü"], "flag": True,
        "sums": [unscaled("1.50", 2), None, unscaled("-0.01", 2)], "days": [0, -1],
    }  # fmt: skip
    schema_of = {"type": "struct", "fields": [{"type": "struct", "field": "after", "fields": fields}]}
    records = texts(session, [{"schema": schema_of, "payload": event("c", after=row)}])
    decoded = computed(debezium(records, schema(session, VALUES), ["id"]))
    assert faults(decoded) == []
    (change,) = told(decoded.changes)
    assert change["row"] == {
        "id": 1, "exact": "-1234567890123456789012345678901234.5678", "amount": "-7.50", "free": "19.125000",
        "ratio": "Infinity", "small": "1.1", "day": "2024-01-05", "at": "2024-01-05T10:00:00.123Z",
        "local": "1969-12-31T23:59:58.500", "due": 36000000000, "note": '{"a": [1, 2]}',
        "uid": "0b7e9f4c-2f1d-4b6a-9a53-0d5c3e2f1a10", "body": "AP8=", "tags": ["x", None, "ü"], "flag": True,
        "sums": ["1.50", None, "-0.01"], "days": ["1970-01-01", "1969-12-31"],
    }  # fmt: skip


def test_values_are_read_as_told_where_records_carry_no_schema(session):
    shown = {"at": "2024-01-05T10:00:00.123Z", "local": "2024-01-05T10:00:00.123"}
    cases = [
        ({"timestamps": "millis"}, {"at": 1704448800123, "local": 1704448800123}, shown),
        ({"timestamps": "micros"}, {"at": 1704448800123000, "local": 1704448800123000}, shown),
        ({"timestamps": "nanos"}, {"at": 1704448800123000000, "local": "2024-01-05T12:00:00.123+02:00"}, shown),
        ({}, {"at": "2024-01-05 10:00:00.123", "local": "2024-01-05T10:00:00.123000000Z"}, shown),
        ({}, {"at": "2024-01-05 10:00:00.123+00", "day": "2024-01-05Z"}, {"at": shown["at"], "day": "2024-01-05"}),
        ({}, {"exact": 0.1, "amount": 1e3, "free": "5"}, {"exact": "0.1000", "amount": "1000.00", "free": "5.000000"}),
        ({"decimals": "precise"}, {"amount": unscaled("12.34", 2)}, {"amount": "12.34"}),
        ({}, {"ratio": "NAN", "small": "NEGATIVE_INFINITY"}, {"ratio": "NaN", "small": "-Infinity"}),
        ({}, {"ratio": 1e300, "small": 16777216.0}, {"ratio": "1.0E300", "small": "1.6777216E7"}),
        ({}, {"flag": 0, "tags": [], "sums": ["1", 2.5]}, {"flag": False, "tags": [], "sums": ["1.00", "2.50"]}),
    ]
    for options in ({}, *(options for options, _, _ in cases if options)):
        records = [event("c", after={"id": 1, **row}) for mine, row, _ in cases if mine == options]
        few = "id bigint, at timestamp, local timestamp_ntz, amount decimal(10,2)"
        columns = schema(session, few if options else VALUES)
        decoded = debezium(texts(session, records), columns, ["id"], **options)
        rows = [{"id": 1, **expected} for mine, _, expected in cases if mine == options]
        assert [change["row"] for change in told(decoded.changes)] == rows


UNFIT = {
    "exact": ["1e35", "12345678901234567890123456789012345.0", "0.00001", "NaN", "x", "", " 1", "NAN"],
    "amount": ["0.125", "100000000.00", {"scale": 3, "value": "AQ=="}, {"scale": 2}, {"scale": 2, "value": "?"}, "1.5e-3"],
    "ratio": ["1e999", "1e-999", "0.12345678901234567890", "inf", "1d", "0x1p3"],
    "small": [0.12345678901, 1e39, "POSITIVE_INFINITY_"],
    "day": ["2024-02-30", "2024-01-05T10:00:00", 2147483647, "infinity", "0000-01-01", "05.01.2024"],
    "at": ["2024-01-05", "2024-01-05T25:00:00Z", 9223372036854775807, "2024-01-05T10:00:00.1234567Z", "infinity"],
    "local": ["2024-01-05T10:00:00 Europe/Berlin", "99999-01-01T00:00:00", -9223372036854775808],
    "due": ["1.0", 99999999999999999999, "+7", "007", "", True],
    "body": ["?", "A"],
    "tags": ["x", {"a": 1}],
    "sums": [["1.125"], ["1.50", "x"], [None, "12345.00"]],
    "flag": ["maybe", 2],
}


def test_a_value_that_would_lose_anything_sends_its_record_to_quarantine_with_its_column(session):
    records = [event("c", after={"id": 1, name: value}) for name, values in UNFIT.items() for value in values]
    decoded = computed(debezium(texts(session, records), schema(session, VALUES), ["id"]))
    assert told(decoded.changes.select("row")) == []
    found = [[(column, rule) for column, rule, _ in problems] for problems in faults(decoded)]
    assert found == [[(name, "format")] for name, values in UNFIT.items() for _ in values]
    assert faults(decoded)[0] == [("exact", "format", "1e35")]


def test_unscaled_bytes_are_the_number_that_python_reads_from_them(spark):
    rng = random.Random(5)
    most = 10**38 - 1
    edges = [sign * (1 << bits) + by for bits in range(7, 127) for sign in (1, -1) for by in (-1, 0, 1)]
    numbers = {0, 1, -1, most, -most, *edges}
    numbers |= {rng.choice([1, -1]) * rng.randrange(10 ** rng.randrange(1, 39)) for _ in range(3000)}
    numbers = sorted(number for number in numbers if abs(number) <= most)
    too_great = [most + 1, -most - 1, -(1 << 127), 1 << 127, 1 << 160]
    rows = [{"id": i, "n": unscaled(number, 0)} for i, number in enumerate([*numbers, *too_great])]
    assert all(
        int.from_bytes(base64.b64decode(row["n"]), "big", signed=True) == n for row, n in zip(rows, numbers, strict=False)
    )
    before = spark.conf.get("spark.sql.ansi.enabled")
    for ansi in ("false", "true"):
        spark.conf.set("spark.sql.ansi.enabled", ansi)
        records = texts(spark, [event("c", after=row) for row in rows])
        decoded = computed(debezium(records, schema(spark, "id int, n decimal(38,0)"), ["id"], decimals="precise"))
        assert [int(row["n"]) for row in decoded.changes.select("row.*").collect()] == numbers
        assert [problems[0][:2] for problems in faults(decoded)] == [("n", "format")] * len(too_great)
    spark.conf.set("spark.sql.ansi.enabled", before)


def test_an_update_leaves_alone_what_it_does_not_tell_in_whatever_form_the_feed_says_so(session):
    columns = schema(
        session, "id int, note string, body binary, tags array<string>, ints array<int>, free decimal(9,2), n int"
    )
    row = {
        "id": 1, "note": UNAVAILABLE, "body": ENCODED, "tags": [UNAVAILABLE], "ints": list(UNAVAILABLE.encode()),
        "free": UNAVAILABLE,
    }  # fmt: skip
    other = {"id": 1, "note": "?", "body": "AQ==", "tags": None, "ints": [1], "free": "1", "n": 1}
    records = [event("u", after=row), event("u", after={**other, "note": None}), event("c", after={"id": 1})]
    # An insert with placeholders is a row with a new key: Debezium does not write them otherwise.
    records.append(event("c", after={**other, "id": 2, "note": UNAVAILABLE}))
    changes = told(debezium(texts(session, records), columns, ["id"]).changes)
    unset = [["note", "body", "tags", "ints", "free", "n"], None, None, ["note"]]
    assert [change.get("unset") for change in changes] == unset
    assert [change.get("moved", False) for change in changes] == [False, False, False, True]
    assert [change["row"] for change in changes] == [
        {"id": 1},
        {"id": 1, "body": "AQ==", "ints": [1], "free": "1.00", "n": 1},
        {"id": 1},
        {"id": 2, "body": "AQ==", "ints": [1], "free": "1.00", "n": 1},
    ]
    asked = texts(session, [event("u", after={**other, "note": "?"})])
    assert told(debezium(asked, columns, ["id"], placeholder="?").changes)[0]["unset"] == ["note"]
    after = "struct<id: int, note: string, body: binary, tags: array<string>>"
    typed = f"struct<op: string, source: struct<lsn: bigint>, after: {after}>"
    structs = texts(session, [{**event("u", after=row), "source": {"lsn": 1}}]).selectExpr(
        f"from_json(value, '{typed}') AS value"
    )
    assert told(debezium(structs, columns, ["id"]).changes)[0]["unset"] == ["note", "body", "tags", "ints", "free", "n"]


def test_flattened_records_give_the_same_changes_as_text_and_as_columns(session):
    added = {"__op": "u", "__deleted": "false", "__source_sequence": '["24023119","24023128"]', "__source_lsn": 24023128}
    records = [
        {**ROW, **added, "__op": "c"},
        {**ROW, **added, "name": UNAVAILABLE},
        {"id": 1, "name": "", "price": None, "at": None, **added, "__op": "d", "__deleted": "true"},
        {**ROW, "__deleted": "true", "__source_lsn": 24023140},
        {**ROW, "price": "12.505", **added},
        {**ROW, **added, "id": None, "__op": "d"},
        {**ROW, "__source_lsn": 1},
        None,
    ]
    expected = [
        {"op": "upsert", "key": {"id": 1}, "sequence": PAIR, "row": READ, "kind": "c", "record": 1},
        {
            "op": "upsert", "key": {"id": 1}, "sequence": PAIR, "row": {k: v for k, v in READ.items() if k != "name"},
            "unset": ["name"], "kind": "u", "record": 1,
        },
        {"op": "delete", "key": {"id": 1}, "sequence": PAIR, "kind": "d", "record": 1},
        {"op": "delete", "key": {"id": 1}, "sequence": {"commit": 24023140, "lsn": 24023140}, "kind": "d", "record": 1},
    ]  # fmt: skip
    wrong = [[("price", "format", "12.505")], [("id", "key", None)], [("", "op", None)]]
    nothing = [[("", "sequence", None), ("id", "key", None)]]
    kinds = "id bigint, name string, price string, at bigint, __op string, __deleted string, __source_sequence string"
    kinds += ", __source_lsn bigint"
    wraps = [record and {"schema": {"type": "struct", "fields": []}, "payload": record} for record in records]
    columns = schema(session, ORDERS)
    structs = texts(session, records).selectExpr(f"from_json(value, '{kinds}') AS value")
    for form, value in [(texts(session, records), "value"), (texts(session, wraps), "value"), (structs, "value")]:
        decoded = computed(debezium_flattened(form, columns, ["id"], value=value))
        assert told(decoded.changes) == expected
        # A NULL value is a delete, and this one has no key.
        assert faults(decoded) == wrong + nothing
        add_up(decoded, len(records))
    decoded = computed(debezium_flattened(structs.where("value IS NOT NULL").select("value.*"), columns, ["id"]))
    assert told(decoded.changes) == expected
    assert faults(decoded) == wrong


def test_an_absent_column_of_a_flattened_update_is_unset_and_of_an_insert_null(session):
    rows = [{"id": 1, "__op": op, "__lsn": 5} for op in ("c", "u")] + [{"id": 1, "__deleted": "false", "__lsn": 5}]
    changes = told(debezium_flattened(texts(session, rows), schema(session, "id int, n int"), ["id"], value="value").changes)
    assert [(change["kind"], change.get("unset")) for change in changes] == [("c", None), ("u", ["n"]), ("u", ["n"])]
    by = debezium_flattened(
        texts(session, [{"id": 1, "__op": "c", "__source_pos": 77}]), schema(session, "id int"), ["id"], value="value",
        sequence_by=["__source_pos"],
    )  # fmt: skip
    assert told(by.changes)[0]["sequence"] == {"__source_pos": 77}


def test_dms_files_give_changes_with_and_without_operations(session):
    kinds = "Op string, ts string, id string, name string, price string, at string, extra string"
    rows = [
        ("I", "2024-01-05 10:00:00.000001", "1", "a", "12.50", "2024-01-05 10:00:00.123", None),
        ("U", "2024-01-05 10:00:00.000002", "1", "line\nbreak", None, None, None),
        ("D", "2024-01-05 10:00:00.000003", "1", None, None, None, None),
        (None, "2024-01-05 09:00:00.000000", "2", "b", "1", None, None),
        ("", "2024-01-05 09:00:00.000000", "3", "c", "1", None, None),
        ("D", "2024-01-05 10:00:00.000004", None, None, None, None, None),
        ("X", "2024-01-05 10:00:00.000005", "4", None, None, None, None),
        ("I", None, "x", None, "1,5", None, None),
    ]
    files, columns = session.createDataFrame(rows, kinds), schema(session, ORDERS)
    decoded = computed(dms(files, columns, ["id"], sequence_by=["try_cast(ts AS timestamp_ntz) AS ts"]))
    at = "2024-01-05T10:00:00.00000{}".format
    assert [
        (c["kind"], c["op"], c["key"]["id"], c.get("row")) for c in told(decoded.changes)
    ] == [
        ("I", "upsert", 1, READ),
        ("U", "upsert", 1, {"id": 1, "name": "line\nbreak"}),
        ("D", "delete", 1, None),
        ("load", "upsert", 2, {"id": 2, "name": "b", "price": "1.00"}),
        ("load", "upsert", 3, {"id": 3, "name": "c", "price": "1.00"}),
    ]  # fmt: skip
    sequences = decoded.changes.selectExpr("date_format(sequence.ts, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS\") AS at").collect()
    assert [row["at"] for row in sequences][:3] == [at(1), at(2), at(3)]
    assert "unset" not in decoded.changes.columns
    assert faults(decoded) == [
        [("id", "key", None)],
        [("", "op", "X")],
        [("", "sequence", None), ("id", "format", "x"), ("price", "format", "1,5")],
    ]
    add_up(decoded, len(rows))
    full_load = dms(files.drop("Op").where("id = '2'"), columns, ["id"], sequence_by=["ts"])
    assert [change["kind"] for change in told(full_load.changes)] == ["load"]


def test_a_before_image_of_dms_moves_a_row_whose_key_changed(session):
    rows = [("U", 7, 2, "b", 1), ("U", 8, 2, "c", 2), ("I", 9, 3, "d", None)]
    files = session.createDataFrame(rows, "Op string, n int, id int, name string, BI_id int")
    decoded = dms(files, schema(session, "id int, name string"), ["id"], sequence_by=["n"])
    assert [(c["op"], c["key"]["id"], c.get("old_key"), c["record"]) for c in told(decoded.changes)] == [
        ("delete", 1, None, 1),
        ("upsert", 2, {"id": 1}, 0),
        ("upsert", 2, None, 1),
        ("upsert", 3, None, 1),
    ]
    add_up(decoded, 3)


def test_plain_rows_keep_their_types_and_may_tell_what_is_unset(session):
    rows = [
        ("Insert", 1, 1, (2, "x"), [], None),
        ("update", 2, 1, None, ["point"], {"a": 1}),
        ("DELETE", 3, 1, None, None, None),
        ("truncate", 4, None, None, None, None),
        ("merge", 5, 1, None, None, None),
        (None, 6, 1, None, None, None),
        ("insert", 7, None, None, None, None),
    ]
    kinds = "what string, n int, id int, point struct<x: int, y: string>, silent array<string>, more map<string,int>"
    records = session.createDataFrame(rows, kinds)
    decoded = computed(plain(records, ["id"], op="what", sequence_by=["n"], unset="silent"))
    assert told(decoded.changes) == [
        {
            "op": "upsert", "key": {"id": 1}, "sequence": {"n": 1}, "kind": "Insert", "record": 1,
            "row": {"n": 1, "id": 1, "point": {"x": 2, "y": "x"}},
        },
        {
            "op": "upsert", "key": {"id": 1}, "sequence": {"n": 2}, "kind": "update", "record": 1, "unset": ["point"],
            "row": {"n": 2, "id": 1, "more": {"a": 1}},
        },
        {"op": "delete", "key": {"id": 1}, "sequence": {"n": 3}, "kind": "DELETE", "record": 1},
        {"op": "truncate", "sequence": {"n": 4}, "kind": "truncate", "record": 1},
    ]  # fmt: skip
    assert faults(decoded) == [[("", "op", "merge")], [("", "op", None)], [("id", "key", None)]]
    assert "unset" not in plain(records, ["id"], op="what", sequence_by=["n"]).changes.columns


def test_quarantine_withholds_what_is_tagged_pii(spark):
    columns = schema(spark, "id int, phone string, age int")
    columns["phone"].metadata["tags"], columns["age"].metadata["tags"] = ["PII"], "gdpr, Pii"
    columns = columns.add("other", "string")
    secret = {"id": 1, "phone": "0151", "age": "forty-two", "other": "shown"}
    envelopes = texts(spark, [event("u", before=secret, after=secret), '{"phone": "0151"'])
    kinds = "Op string, n int, id int, phone string, age string, BI_phone string"
    flat = spark.createDataFrame([("U", 1, 1, "0151", "forty-two", "0151")], kinds)
    for lazy in (debezium(envelopes, columns, ["id"]), dms(flat, columns, ["id"], sequence_by=["n"])):
        decoded = computed(lazy)
        for row in decoded.quarantine.collect():
            assert "0151" not in str(row)
            assert "forty" not in str(row)
        first = decoded.quarantine.first()
        assert "(withheld)" in first["original"]
        assert [(p["column"], p["value"]) for p in first["problems"]] == [("age", None)]
    assert "shown" in debezium(envelopes, columns, ["id"]).quarantine.first()["original"]


def test_a_feed_that_cannot_be_decoded_as_asked_is_refused_by_name(spark):
    records = texts(spark, [])
    columns = schema(spark, "id int, where struct<x: int>")
    with pytest.raises(UnsupportedFeedError, match="column where: a string cannot be decoded to struct<x:int>"):
        debezium(records, columns, ["id"])
    with pytest.raises(UnsupportedFeedError, match="the records have no column payload"):
        debezium(records, schema(spark, "id int"), ["id"], value="payload")
    with pytest.raises(UnsupportedFeedError, match="the key nr is not among the columns"):
        debezium(records, schema(spark, "id int"), ["nr"])
    with pytest.raises(UnsupportedFeedError, match="sequence_by"):
        debezium_flattened(spark.createDataFrame([], "id int, __op string"), schema(spark, "id int"), ["id"])


def test_decoding_is_narrow_and_parses_each_record_once(spark):
    decoded = debezium(texts(spark, [event("c", after=ROW)]), schema(spark, ORDERS), ["id"])
    plan = decoded.changes._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("from_json(") == 1
    assert "Join" not in plan
    assert "Aggregate" not in plan


def test_a_null_value_of_a_flattened_feed_is_a_delete_of_the_message_key(session):
    row = json.dumps({**ROW, "__op": "c", "__source_lsn": 5})
    given = [('{"id":1}', row, 7), ('{"id":2}', None, 8), ('{"payload":{"id":3}}', "null", 9), (None, None, 10)]
    wrap = {"schema": {"type": "struct", "fields": []}, "payload": None}
    given.append(('{"id":4}', json.dumps(wrap), 11))
    records = session.createDataFrame(given, "key string, value string, offset bigint")
    decoded = computed(
        debezium_flattened(records, schema(session, ORDERS), ["id"], value="value", key="key", sequence_by=["offset"])
    )
    found = [(c["op"], c["key"]["id"], c["sequence"]["offset"], c["kind"]) for c in told(decoded.changes)]
    deletes = [("delete", 2, 8, "tombstone"), ("delete", 3, 9, "tombstone"), ("delete", 4, 11, "tombstone")]
    assert found == [("upsert", 1, 7, "c"), *deletes]
    assert faults(decoded) == [[("id", "key", None)]]
    add_up(decoded, len(given))
    keyed = [("7", None, 1), ('"8"', None, 2), ("x", None, 3)]
    bare = session.createDataFrame(keyed, "key string, value string, offset int")
    numbers, words = schema(session, "id bigint"), schema(session, "id string")
    how = {"value": "value", "key": "key", "sequence_by": ["offset"]}
    assert [c["key"]["id"] for c in told(debezium_flattened(bare, numbers, ["id"], **how).changes)] == [7, 8]
    assert [c["key"]["id"] for c in told(debezium_flattened(bare, words, ["id"], **how).changes)] == ["7", "8", "x"]


def test_a_number_whose_unit_is_not_known_is_no_time_near_1970(session):
    columns = schema(session, "id int, at timestamp, local timestamp_ntz")
    numbers = [1704146686500, 1704146686, -1704146686500, 1704146686500000000]
    records = [event("c", after={"id": i, name: n}) for i, n in enumerate(numbers) for name in ("at", "local")]
    decoded = computed(debezium(texts(session, records), columns, ["id"]))
    assert decoded.changes.isEmpty()
    problems = [row["problems"][0] for row in decoded.quarantine.collect()]
    assert [(p["column"], p["value"]) for p in problems] == [(name, str(n)) for n in numbers for name in ("at", "local")]
    assert all("declare the unit" in p["reason"] for p in problems)

    def read(*numbers, **options):
        records = texts(session, [event("c", after={"id": 1, "at": number}) for number in numbers])
        return [change["row"]["at"] for change in told(debezium(records, columns, ["id"], **options).changes)]

    expected = ["2024-01-01T22:04:46.500Z", "1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z"]
    assert read(1704146686500000, 0, 253402300799000000) == expected
    for unit, number in [("seconds", 1704146686), ("millis", 1704146686000), ("micros", 1704146686000000)]:
        assert read(number, timestamps=unit) == ["2024-01-01T22:04:46.000Z"]
    assert read(5_000_000, timestamps="micros") == ["1970-01-01T00:00:05.000Z"]
    with_schema = wrapped(event("c", after={"id": 1, "at": 1704146686500}))
    with_schema["schema"]["fields"][1]["fields"][3]["name"] = "io.debezium.time.Timestamp"
    (change,) = told(debezium(texts(session, [with_schema]), schema(session, "id int, at timestamp"), ["id"]).changes)
    assert change["row"]["at"] == "2024-01-01T22:04:46.500Z"


def test_base64_that_looks_like_a_number_is_never_read_as_one(session):
    columns = schema(session, "id int, amount decimal(12,2)")
    wrong = "quarantined"

    def read(*values, **options):
        records = texts(session, [event("c", after={"id": i, "amount": value}) for i, value in enumerate(values)])
        rows = debezium(records, columns, ["id"], **options).records.collect()
        return [str(row["row"]["amount"]) if row["what"] == "change" else wrong for row in rows]

    numbers = ["-29375.24", "0.00", "12.50", "-0.01", "70000.00"]
    assert read(*(unscaled(number, 2) for number in numbers), decimals="precise") == numbers
    assert read("0000", "1234", decimals="precise") == [
        str(Decimal(int.from_bytes(base64.b64decode(text), "big", signed=True)).scaleb(-2)) for text in ("0000", "1234")
    ]
    assert read("12.5", "125", "12345", "1e2", decimals="precise") == [wrong] * 4
    for decimals in ("string", "double"):
        read_as = [wrong, wrong, "12.50", "12.50", "0.00", "-0.50"]
        assert read("0000", "BOI=", "12.50", 12.5, 0, "-0.5", decimals=decimals) == read_as


def test_bytes_that_are_not_utf8_are_quarantined_as_they_are(session):
    good = json.dumps(event("c", after={**ROW, "name": "\ufffd"}), ensure_ascii=False).encode()
    bad = good.replace("\ufffd".encode(), b"\xe4")
    records = session.createDataFrame([(bytearray(good),), (bytearray(bad),)], "value binary")
    for form in (records, records.selectExpr("CAST(value AS STRING) AS value")):
        decoded = computed(debezium(form, schema(session, ORDERS), ["id"]))
        assert [row["row"]["name"] for row in told(decoded.changes)] == ["\ufffd"]
        (row,) = decoded.quarantine.collect()
        assert "not UTF-8" in row["problems"][0]["reason"]
        assert base64.b64decode(row["original"]) == bad


def test_fields_that_are_no_columns_are_named(session):
    more = {**ROW, "email": "a@b.c", "tags": None}
    columns, kinds = schema(session, ORDERS), "id int, name string, email string, __op string, __source_lsn bigint"
    flat = texts(session, [{**more, "__op": "u", "__source_lsn": 1}])
    file = "Op string, ts string, id int, BI_id string, email string, AR_H_USER string"
    feeds = [
        debezium(texts(session, [event("c", after=more)]), columns, ["id"]),
        debezium_flattened(flat, columns, ["id"], value="value"),
        debezium_flattened(flat.selectExpr(f"from_json(value, '{kinds}') AS value"), columns, ["id"], value="value"),
        dms(session.createDataFrame([("I", "t", 1, "x", "y", "z")], file), columns, ["id"], sequence_by=["ts"]),
    ]
    assert [sorted(feed.records.first()["fields"]) for feed in feeds] == [["email", "tags"]] * 2 + [["email"]] * 2
    assert debezium(texts(session, [event("d", before=more)]), columns, ["id"]).records.first()["fields"] is None
    assert not debezium(texts(session, [event("c", after=ROW)]), columns, ["id"]).records.first()["fields"]
