# ruff: noqa: E501 - a table of cases reads best with a case in a line
"""Rows held to a contract: every expectation is written out, and is the same on both Spark lines, with ANSI on and off."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import Observation
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    CharType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from gluewright_core.schema import conform as module
from gluewright_core.schema.conform import QUARANTINE, ContractViolationError, Mode, conform
from gluewright_testing.sharing import once

NTZ, INT, LONG, TEXT = TimestampNTZType(), IntegerType(), LongType(), StringType()


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.fixture(params=["ansi", "lenient"])
def ansi(request, spark):
    with settings(spark, {"spark.sql.ansi.enabled": str(request.param == "ansi").lower()}):
        yield


class settings:  # noqa: N801
    def __init__(self, spark, wanted):
        self.conf, self.wanted = spark.conf, wanted

    def __enter__(self):
        self.before = {name: self.conf.get(name) for name in self.wanted}
        for name, value in self.wanted.items():
            self.conf.set(name, value)

    def __exit__(self, *_):
        for name, value in self.before.items():
            self.conf.set(name, value)


def fields(**types):
    return StructType([StructField(name, kind) for name, kind in types.items()])


def field(name, kind, nullable=True, **metadata):
    return StructField(name, kind, nullable, metadata)


def told(conformed):
    """What quarantine says, without the reasons: they are for people."""
    return [
        (json.loads(row.original), [(p.column, p.rule, p.value) for p in row.problems], row.kept)
        for row in conformed.quarantine.collect()
    ]


def values(conformed):
    return [tuple(row) for row in conformed.rows.collect()]


# Contract type, incoming type, {value that fits: what it becomes}, {value that does not: the rule it breaks}.
READ = [
    (INT, TEXT, {"0": 0, "42": 42, "-7": -7, "2147483647": 2147483647, "-2147483648": -2147483648}, {
        "": "format", " 1": "format", "1 ": "format", "+7": "format", "007": "format", "-0": "format", "-07": "format", "1.0": "format",
        "1e3": "format", "0x1F": "format", "1,000": "format", "٣": "format", "true": "format", "NaN": "format", "1\n": "format",
        "2147483648": "range", "-2147483649": "range", "99999999999999999999999999": "range"}),
    (ByteType(), TEXT, {"127": 127, "-128": -128}, {"128": "range", "1L": "format"}),
    (LONG, TEXT, {"9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63), "10": 10, "-10": -10},
     {"9223372036854775808": "range", "1_000": "format"}),
    (DecimalType(5, 2), TEXT, {"12": Decimal("12.00"), "-1.5": Decimal("-1.50"), "1.500": Decimal("1.50"), "-0.00": Decimal("0.00"), "999.99": Decimal("999.99")}, {
        "": "format", "+1": "format", "01": "format", ".5": "format", "5.": "format", "1e2": "format", "1,5": "format", " 1.5": "format",
        "٣": "format", "1.٣": "format", "NaN": "format", "1.505": "precision", "1.5001": "precision", "1000": "range", "999.999": "range"}),
    (DecimalType(38, 18), TEXT, {"0.0000001": Decimal("0.000000100000000000"), "0": Decimal("0E-18")}, {"1E-7": "format", "1" + "0" * 20: "range"}),
    (DecimalType(3, 0), TEXT, {"1.0": Decimal(1), "999": Decimal(999)}, {"0.5": "precision", "1000": "range"}),
    (DoubleType(), TEXT, {"0": 0.0, "1.50": 1.5, "1e3": 1000.0, "1.5E-7": 1.5e-7, "Infinity": float("inf"), "-Infinity": float("-inf"),
        "0.30000000000000004": 0.30000000000000004, "1.7976931348623157E308": 1.7976931348623157e308, "100000000000000000000": 1e20}, {
        "": "format", "nan": "format", "inf": "format", "+1": "format", "1d": "format", "1.5f": "format", ".5": "format", "5.": "format",
        "0x1p3": "format", " 1": "format", "01": "format", "1,5": "format", "1e999": "range", "1e-999": "range",
        "12.5d": "format", "12.5 ": "format", "12.5\t": "format", "1.e5": "format", "0x0.8p10": "format", "-1.": "format", "12D": "format",
        "0.12345678901234567890": "precision", "9007199254740993": "precision"}),
    (FloatType(), TEXT, {"0.1": pytest.approx(0.1), "16777216": 16777216.0}, {"16777217": "precision", "1e39": "range", "0.123456789": "precision"}),
    (BooleanType(), TEXT, {"true": True, "FALSE": False, "True": True}, dict.fromkeys(["t", "yes", "y", "1", "0", "", " true", "on"], "format")),
    (DateType(), TEXT, {"2024-01-05": date(2024, 1, 5), "2024-02-29": date(2024, 2, 29), "0001-01-01": date(1, 1, 1), "0999-12-31": date(999, 12, 31), "9999-12-31": date(9999, 12, 31), "1582-10-10": date(1582, 10, 10)}, {
        "": "format", "2024-1-5": "format", "2024-1-05": "format", "2024-01-5": "format", "2024-01-5 ": "format", "2024-01-0 ": "format", "2024-01-5T": "format",
        " 2024-1-05": "format", "20240105": "format", "05.01.2024": "format", "01/05/2024": "format", "2024": "format", "2024-01": "format",
        "02024-1-05": "format", "+2024-1-05": "format", "12024-1-05": "format", "2024-1-5-05": "format", "2024-1-5T5": "format", "02024-01-5": "format", "2024-01-05 ": "format", "2024-01-05 10:00:00": "format", "today": "format", "10:00": "format",
        "2024-02-30": "range", "2023-02-29": "range", "2024-13-01": "range", "0000-01-01": "range", "12024-01-05": "format", "10000-1-05": "format"}),
    (TimestampType(), TEXT, {"2024-01-05 10:00:00": utc(2024, 1, 5, 10), "2024-01-05T10:00:09": utc(2024, 1, 5, 10, 0, 9), "2024-01-05 10:00:00.5": utc(2024, 1, 5, 10, 0, 0, 500000),
        "2024-01-05T10:00:00Z": utc(2024, 1, 5, 10), "2024-01-05 10:00:00.123456+02:00": utc(2024, 1, 5, 8, 0, 0, 123456), "1969-12-31 23:59:59": utc(1969, 12, 31, 23, 59, 59),
        "2024-03-31 02:30:00": utc(2024, 3, 31, 2, 30), "2024-03-10 02:30:00": utc(2024, 3, 10, 2, 30)}, {
        "": "format", "2024-01-05": "format", "2024-01-05 10:00": "format", "2024-01-05 10:0:00": "format", "2024-01-05 10:00:0 ": "format", "2024-01-05 10:00:0Z": "format",
        "2024-01-05 10:00:5.": "format", "2024-1-05 10:00:000": "format", "2024-01-5 10:00:00.": "format", "10:00:00": "format", "T10:00:00": "format", "2024-1-5 1:0:0+1:00": "format", "2024-1-5 1:0:5-1:05": "format", "02024-1-05 10:00:00": "format", "12024-1-5 10:00:00": "format",
        "2024-01-5 010:00:00": "format", "2024-1-05 10:00: 00": "format", "\t2024-1-5 10:00:00": "format", "2024-1-5 1:0:0 GMT": "format", "2024-1-5 1:0:0.0:00": "format", "2024-01-05 10:00:00.1234567": "format",
        "2024-01-05 10:00:00 Europe/Berlin": "format", "2024-01-05 10:00:00+0100": "format", "2024-01-05 10:00:00 UTC": "format", " 2024-01-05 10:00:00": "format",
        "2024-01-05 24:00:00": "range", "2024-01-05 10:60:00": "range", "2024-01-05 23:59:60": "range", "2024-02-30 10:00:00": "range", "0000-01-01 00:00:00": "range",
        "2024-01-05 10:00:00+25:00": "range", "now": "format"}),
    (NTZ, TEXT, {"2024-01-05 10:00:00": datetime(2024, 1, 5, 10), "2024-03-10T02:30:00.000001": datetime(2024, 3, 10, 2, 30, 0, 1)},
     {"2024-01-05 10:00:00Z": "format", "2024-01-05 10:00:00+01:00": "format", "2024-01-05 10:00:0Z": "format", "2024-01-05 10:00:0 ": "format", "2024-1-5 1:0:0+1:00": "format", "2024-01-05": "format", "2024-01-05 25:00:00": "range"}),
    (VarcharType(3), TEXT, {"abc": "abc", "": "", "äöü": "äöü", "a  ": "a  "}, {"abcd": "length", "abc ": "length"}),
    (CharType(3), TEXT, {"ab": "ab"}, {"abcd": "length"}),
    (VarcharType(3), INT, {-12: "-12"}, {1000: "length"}),
    (BinaryType(), TEXT, {"aé": "aé".encode()}, {}),
    (TEXT, BinaryType(), {"aé".encode(): "aé", b"": ""}, {b"\xff\x41": "encoding", b"\xc3": "encoding", b"\xed\xa0\x80": "encoding"}),
    (TEXT, DecimalType(38, 18), {Decimal("0.0000001"): "0.000000100000000000", Decimal("-0.0000001"): "-0.000000100000000000", Decimal(0): "0.000000000000000000", Decimal("12.5"): "12.500000000000000000"}, {}),
    (TEXT, DoubleType(), {1e10: "1.0E10", float("inf"): "Infinity"}, {}),
    (TEXT, BooleanType(), {True: "true"}, {}),
    (TEXT, DateType(), {date(2024, 1, 5): "2024-01-05"}, {}),
    (TEXT, TimestampType(), {utc(2024, 3, 10, 2, 30, 0, 500000): "2024-03-10 02:30:00.5Z"}, {}),
    (TEXT, NTZ, {datetime(2024, 3, 10, 2, 30): "2024-03-10 02:30:00"}, {}),
    (ShortType(), LONG, {5: 5, -32768: -32768}, {32768: "range", 2**40: "range"}),
    (LONG, INT, {5: 5}, {}),
    (INT, DoubleType(), {3.0: 3, -2147483648.0: -2147483648}, {0.5: "precision", 2147483648.0: "range", float("nan"): "range", float("inf"): "range"}),
    (LONG, DoubleType(), {-(2.0**63): -(2**63)}, {2.0**63: "precision", 1e20: "range"}),
    (INT, DecimalType(20, 2), {Decimal("7.00"): 7}, {Decimal("7.01"): "precision", Decimal("3000000000.00"): "range"}),
    (FloatType(), INT, {16777216: 16777216.0}, {16777217: "precision", 2147483647: "precision"}),
    (DoubleType(), LONG, {2**53: 2.0**53}, {2**53 + 1: "precision", 2**63 - 1: "precision"}),
    (FloatType(), DoubleType(), {0.5: 0.5, float("inf"): float("inf")}, {0.1: "precision", 1e300: "precision"}),
    (DoubleType(), FloatType(), {0.5: 0.5}, {}),
    (DoubleType(), DecimalType(38, 10), {Decimal("0.5"): 0.5}, {Decimal("1234567890123456789.5"): "precision"}),
    (DecimalType(5, 2), DoubleType(), {0.1: Decimal("0.10"), 999.99: Decimal("999.99")}, {0.125: "precision", 1000.0: "range", float("nan"): "range"}),
    (DecimalType(4, 1), DecimalType(6, 3), {Decimal("999.900"): Decimal("999.9")}, {Decimal("0.010"): "precision", Decimal("999.990"): "range"}),
    (DecimalType(5, 2), INT, {999: Decimal("999.00")}, {1000: "range"}),
    (DateType(), TimestampType(), {utc(2024, 1, 5): date(2024, 1, 5)}, {utc(2024, 1, 5, 0, 0, 1): "precision"}),
    (DateType(), NTZ, {datetime(2024, 1, 5): date(2024, 1, 5)}, {datetime(2024, 1, 5, 0, 0, 0, 1): "precision"}),
    (TimestampType(), DateType(), {date(2024, 3, 10): utc(2024, 3, 10), date(1960, 1, 1): utc(1960, 1, 1)}, {}),
    (TimestampType(), NTZ, {datetime(2024, 3, 10, 2, 30): utc(2024, 3, 10, 2, 30)}, {}),
    (NTZ, TimestampType(), {utc(2024, 3, 10, 2, 30, 0, 7): datetime(2024, 3, 10, 2, 30, 0, 7), utc(1901, 1, 1): datetime(1901, 1, 1)}, {}),
    (NTZ, DateType(), {date(2024, 3, 10): datetime(2024, 3, 10)}, {}),
    (INT, BooleanType(), {}, {True: "kind"}),
    (BooleanType(), INT, {}, {1: "kind", 0: "kind"}),
    (LONG, TimestampType(), {}, {utc(2024, 1, 5): "kind"}),
    (TimestampType(), LONG, {}, {1700000000: "kind"}),
    (BinaryType(), INT, {}, {65: "kind"}),
    (INT, BinaryType(), {}, {b"1": "kind"}),
]  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_every_pair_of_types_reads_what_is_the_same_and_nothing_else(spark, ansi, zone):
    """One column for each pair and one row for each value, which stands in its pair's column beside NULLs."""
    names = [f"c{place}" for place in range(len(READ))]
    contract = fields(n=INT, **{name: pair[0] for name, pair in zip(names, READ, strict=True)})
    incoming = fields(n=INT, **{name: pair[1] for name, pair in zip(names, READ, strict=True)})
    cases = [
        (name, value, ("fits", wanted) if value in fitting else ("breaks", wanted))
        for name, (_, _, fitting, misfits) in zip(names, READ, strict=True)
        for value, wanted in [*fitting.items(), *misfits.items(), (None, None)]
    ]
    given = [(n, *(value if other == name else None for other in names)) for n, (name, value, _) in enumerate(cases)]
    with settings(spark, {"spark.sql.session.timeZone": zone}):
        conformed = conform(spark.createDataFrame(given, incoming), contract)
        found = {row.n: ("fits", _comparable(row[cases[row.n][0]], cases[row.n][2][1])) for row in conformed.rows.collect()}
        found |= {original["n"]: ("breaks", *(p[1] for p in problems)) for original, problems, _ in told(conformed)}
    expected = {n: ("fits", None) if value is None else outcome for n, (_, value, outcome) in enumerate(cases)}
    wrong = [
        (str(contract[name].dataType), value, found.get(n), expected[n])
        for n, (name, value, _) in enumerate(cases)
        if found.get(n) != expected[n]
    ]
    assert wrong == []


def _comparable(value, wanted):
    if isinstance(value, datetime) and wanted.tzinfo:
        return value.astimezone(UTC)
    return bytes(value) if isinstance(value, bytearray) else value


def test_dates_and_times_are_read_by_a_format(spark, ansi):
    contract = StructType(
        [
            field("d", DateType(), format="dd.MM.yyyy"),
            field("t", TimestampType(), format="yyyyMMdd'T'HHmmXXX"),
            field("n", NTZ, format="dd/MM/yyyy HH:mm:ss,SSS"),
        ]
    )
    given = [
        ("31.12.2024", "20240105T1000+02:00", "05/01/2024 10:00:00,250"),
        ("1.12.2024", "20240105T1000", "05/01/2024 10:00:00.250"),
        ("31.02.2024", "20240105T2400Z", "05/01/0000 10:00:00,250"),
        ("2024-12-31", "20240105T1000Z\n", None),
    ]
    conformed = conform(spark.createDataFrame(given, "d string, t string, n string"), contract)
    [(day, moment, wall)] = values(conformed)
    assert (day, moment.astimezone(UTC), wall) == (
        date(2024, 12, 31),
        utc(2024, 1, 5, 8),
        datetime(2024, 1, 5, 10, 0, 0, 250000),
    )
    assert [[(column, rule) for column, rule, _ in problems] for _, problems, _ in told(conformed)] == [
        [("d", "format"), ("t", "format"), ("n", "format")],
        [("d", "range"), ("t", "range"), ("n", "format")],
        [("d", "format"), ("t", "format")],
    ]
    for wrong in ("dd.MM.yy", "MM/yyyy", "yyyy-MM-dd HH", "yyyyMMdddd", "EEE dd.MM.yyyy"):
        with pytest.raises(ContractViolationError, match=rf"d: the format '{wrong}' of a date needs yyyy, MM and dd"):
            conform(spark.createDataFrame([], "d string"), StructType([field("d", DateType(), format=wrong)]))


ITEMS = ArrayType(
    StructType(
        [field("sku", TEXT, nullable=False), field("price", DecimalType(5, 2)), field("tags", MapType(TEXT, INT, False))]
    )
)
NESTED = "id int, items array<struct<tags:map<string,bigint>,price:double,sku:string>>"
ORDERS = [
    (1, [{"tags": {"a": 1}, "price": 1.5, "sku": "x"}, None]),
    (
        2,
        [
            {"tags": {"a": 1}, "price": 1.5, "sku": "x"},
            {"tags": {"a": 2**40, "b": None, "c": 3}, "price": 0.125, "sku": "y"},
        ],
    ),
    (3, [{"tags": None, "price": None, "sku": None}]),
    (4, None),
]


def test_problems_at_any_depth_are_found_and_named_by_their_path(spark, ansi):
    contract = StructType([field("id", INT), field("items", ITEMS)])
    conformed = conform(spark.createDataFrame(ORDERS, NESTED), contract)
    assert values(conformed) == [(1, [("x", Decimal("1.50"), {"a": 1}), None]), (4, None)]
    assert [(problems, kept) for _, problems, kept in told(conformed)] == [
        (
            [
                ("items[].price", "precision", "0.125"),
                ("items[].tags{}.value", "range", "1099511627776"),
                ("items[].tags{}.value", "required", None),
            ],
            False,
        ),
        ([("items[].sku", "required", None)], False),
    ]
    assert [original["id"] for original, _, _ in told(conformed)] == [2, 3]
    assert told(conformed)[0][0]["items"][1] == {"tags": {"a": 2**40, "b": None, "c": 3}, "price": 0.125, "sku": "y"}


def test_a_discarded_value_takes_with_it_no_more_than_what_may_not_be_null(spark, ansi):
    contract = StructType([field("id", INT), field("items", ITEMS)])
    conformed = conform(spark.createDataFrame(ORDERS, NESTED), contract, values=Mode.DISCARD_VALUE)
    assert values(conformed) == [
        (1, [("x", Decimal("1.50"), {"a": 1}), None]),
        (2, [("x", Decimal("1.50"), {"a": 1}), ("y", None, None)]),
        (3, [None]),
        (4, None),
    ]
    assert [(original["id"], len(problems), kept) for original, problems, kept in told(conformed)] == [
        (2, 3, True),
        (3, 1, True),
    ]
    strict = StructType([field("id", INT), field("items", ArrayType(ITEMS.elementType, containsNull=False), nullable=False)])
    conformed = conform(spark.createDataFrame(ORDERS, NESTED), strict, values=Mode.DISCARD_VALUE)
    assert [row[0] for row in values(conformed)] == [2]
    assert [(original["id"], problems[0][:2], kept) for original, problems, kept in told(conformed)] == [
        (1, ("items[]", "required"), False),
        (2, ("items[].price", "precision"), True),
        (3, ("items[].sku", "required"), False),
        (4, ("items", "required"), False),
    ]


def test_keys_of_maps_must_fit_and_stay_distinct(spark, ansi):
    contract = StructType([field("m", MapType(INT, TEXT))])
    given = [({"1": "a", "2": "b"},), ({"1": "a", "01": "b"},), ({"1.0": "a"},), (None,)]
    conformed = conform(spark.createDataFrame(given, "m map<string,string>"), contract)
    assert values(conformed) == [({1: "a", 2: "b"},), (None,)]
    assert [problems for _, problems, _ in told(conformed)] == [
        [("m{}.key", "format", "01")],
        [("m{}.key", "format", "1.0")],
    ]
    same = conform(
        spark.createDataFrame([({1.5: "a", 2.5: "b"},)], "m map<double,string>"),
        StructType([field("m", MapType(FloatType(), TEXT))]),
    )
    assert values(same) == [({1.5: "a", 2.5: "b"},)]


def test_a_length_is_held_inside_other_values_too(spark, ansi):
    short = VarcharType(2)
    contract = StructType([field("a", ArrayType(short)), field("s", fields(x=short)), field("m", MapType(short, short))])
    rows = spark.sql("SELECT array('ab', 'abc') AS a, named_struct('x', 'abc') AS s, map('k', 'abc') AS m")
    conformed = conform(rows, contract, values=Mode.DISCARD_VALUE)
    assert values(conformed) == [(["ab", None], (None,), {"k": None})]
    assert [problem[:2] for problem in told(conformed)[0][1]] == [
        ("a[]", "length"),
        ("s.x", "length"),
        ("m{}.value", "length"),
    ]


def test_each_column_has_its_own_mode(spark, ansi):
    contract = StructType(
        [
            field("id", INT, nullable=False, on_surprise="discard_value"),
            field("a", INT, on_surprise="discard_value"),
            field("b", INT, on_surprise="evolve"),
            field("c", INT),
        ]
    )
    given = [("1", "1", "1", "1"), ("2", "x", "y", "1"), ("3", "1", "1", "z"), ("u", "1", "1", "1"), ("5", "x", None, "z")]
    conformed = conform(spark.createDataFrame(given, "id string, a string, b string, c string"), contract)
    assert conformed.rows.columns == ["id", "a", "b", "c", "b__v_text"]
    assert values(conformed) == [(1, 1, 1, 1, None), (2, None, None, 1, "y")]
    assert [(original["id"], [p[0] for p in problems], kept) for original, problems, kept in told(conformed)] == [
        ("2", ["a"], True),
        ("3", ["c"], False),
        ("u", ["id"], False),
        ("5", ["a", "c"], False),
    ]
    counts = conformed.counts()
    assert (counts.read, counts.written, counts.quarantined, counts.kept, counts.frozen) == (5, 2, 4, 1, 0)
    assert [(p.column, p.rule, p.values, p.examples) for p in counts.problems] == [
        ("a", "format", 2, ("x",)),
        ("c", "format", 2, ("z",)),
        ("id", "format", 1, ("u",)),
    ]


def test_a_frozen_value_fails_the_job_with_counts_and_examples_and_lets_nothing_pass_without(spark, ansi):
    contract = StructType([field("id", INT), field("price", INT, on_surprise="freeze"), field("iban", INT, tags=["pii"])])
    given = [(str(n), str(n) if n % 2 else f"{n} EUR", "DE1" if n == 3 else None) for n in range(10)]
    rows = spark.createDataFrame(given, "id string, price string, iban string")
    with pytest.raises(ContractViolationError) as failed:
        conform(rows, contract, dataset="orders").require()
    assert str(failed.value).splitlines()[:3] == [
        "orders: 6 of 10 rows do not fit the contract: 5 of them in frozen columns, where no value may be other than the contract says.",
        "  iban: format, 1 values",
        "  price: format, 5 values, such as '0 EUR', '4 EUR', '8 EUR'",
    ]
    with pytest.raises(Exception, match=r"orders: a value does not fit a frozen column"):
        conform(rows, contract, dataset="orders").rows.collect()
    fitting = conform(rows.filter("id % 2 = 1"), contract)
    assert fitting.require().quarantined == 1
    assert fitting.rows.count() == 4


def test_a_threshold_fails_the_job_before_anything_is_written(spark):
    rows = spark.createDataFrame([("1",), ("x",), ("y",), ("4",)], "id string")
    conformed = conform(rows, fields(id=INT), dataset="orders")
    assert conformed.require(max_rows=2, max_share=0.5).quarantined == 2
    with pytest.raises(
        ContractViolationError,
        match=r"2 of 4 rows do not fit the contract: 1 rows are allowed\.\n  id: format, 2 values, such as 'x', 'y'",
    ):
        conformed.require(max_rows=1)
    with pytest.raises(ContractViolationError, match="40.00% of the rows are allowed"):
        conformed.require(max_share=0.4)
    assert conform(rows.limit(0), fields(id=INT)).require(max_rows=0, max_share=0).read == 0


def test_rows_are_counted_while_they_are_written(spark, tmp_path):
    rows = spark.createDataFrame([("1", "1"), ("x", "1"), ("2", "x")], "id string, n string")
    seen = Observation()
    contract = StructType([field("id", INT), field("n", INT, on_surprise="discard_value")])
    conform(rows, contract).observed(seen).rows.write.parquet(str(tmp_path / "rows"))
    assert seen.get == {"read": 3, "written": 2, "quarantined": 2, "kept": 1, "frozen": 0}
    assert spark.read.parquet(str(tmp_path / "rows")).count() == 2


def test_columns_are_matched_by_name_and_every_difference_is_told(spark, ansi):
    contract = StructType(
        [field("id", INT), field("Name", TEXT), field("s", fields(a=INT, b=INT)), field("new", DateType())]
    )
    rows = spark.createDataFrame(
        [(("1", 2, 3), "n", 7, "extra")], "s struct<B:string,a:int,c:int>, NAME string, id int, more string"
    )
    conformed = conform(rows, contract)
    assert conformed.rows.columns == ["id", "Name", "s", "new"]
    assert values(conformed) == [(7, "n", (2, 1), None)]
    assert [str(difference) for difference in conformed.differences] == [
        "Name: comes as NAME",
        "s.b: comes as B",
        "s.b: comes as string and is int",
        "s: come as B, a",
        "s.c: is not in the contract and is left out",
        "new: is missing and becomes NULL",
        "columns: come as s, NAME, id",
        "more: is not in the contract and is left out",
    ]
    assert {difference.kind for difference in conformed.differences} == {
        "renamed",
        "retyped",
        "reordered",
        "extra",
        "missing",
    }
    evolved = conform(rows, contract, columns=Mode.EVOLVE)
    assert values(evolved) == [(7, "n", (2, 1, 3), None, "extra")]
    assert evolved.rows.columns[-1] == "more"
    assert evolved.rows.schema["s"].dataType.names == ["a", "b", "c"]


def test_an_unknown_column_can_be_refused(spark, ansi):
    contract = fields(id=INT, s=fields(a=INT))
    rows = spark.createDataFrame(
        [(1, (1, None), None), (2, (1, 5), None), (3, None, "x")], "id int, s struct<a:int,b:int>, more string"
    )
    with pytest.raises(
        ContractViolationError, match=r"orders: s\.b: the contract has no such column, and unknown ones are frozen"
    ):
        conform(rows, contract, dataset="orders", columns=Mode.FREEZE)
    conformed = conform(rows, contract, columns=Mode.DISCARD_ROW)
    assert values(conformed) == [(1, (1,))]
    assert [problems for _, problems, _ in told(conformed)] == [
        [("s.b", "unknown_column", "5")],
        [("more", "unknown_column", "x")],
    ]


@pytest.mark.parametrize(
    ("incoming", "contract", "options", "message"),
    [
        ("a int", StructType([field("b", INT, nullable=False)]), {}, "b: the column is required and missing"),
        ("a struct<x:int>", fields(a=StructType([field("y", INT, nullable=False)])), {}, r"a\.y: the column is required"),
        ("a int, A int", fields(a=INT), {}, "the incoming rows have both 'a' and 'A'"),
        ("a int", fields(a=INT, A=INT), {}, "the contract has both 'a' and 'A'"),
        ("a struct<x:int,X:int>", fields(a=fields(x=INT)), {}, "a: the incoming struct has both 'x' and 'X'"),
        ("a int", StructType([field("a", INT, on_surprise="ignore")]), {}, "a: on_surprise is 'ignore'; it is one of evolve, freeze"),
        ("a struct<x:int>", fields(a=StructType([field("x", LONG, on_surprise="evolve")])), {}, r"a\.x: on_surprise=evolve is for whole"),
        ("a int", fields(a=INT), {"key": ["b"]}, r"the key \['b'\] is not made of"),
        ("a int", fields(a=INT), {"unique_key": True}, r"the key \[\] is not made of"),
        ("a string, a__v_text string", fields(a=INT), {"values": Mode.EVOLVE, "columns": Mode.EVOLVE}, "conformed rows would have both"),
    ],
)  # fmt: skip
def test_a_contract_that_cannot_hold_fails_at_once(spark, incoming, contract, options, message):
    with pytest.raises(ContractViolationError, match=message):
        conform(spark.createDataFrame([], incoming), contract, **options)


def test_keys_are_never_null_and_unique_on_request(spark, ansi):
    contract = StructType([field("a", INT), field("b", TEXT), field("n", INT)])
    given = [
        ("1", "x", "1"),
        ("1", "x", "2"),
        ("1", "y", "3"),
        (None, "x", "4"),
        ("2", "x", "bad"),
        ("2", "x", "6"),
        ("z", "x", "7"),
    ]
    rows = spark.createDataFrame(given, "a string, b string, n string")
    assert sorted(row[2] for row in values(conform(rows, contract, key=["a", "b"]))) == [1, 2, 3, 6]
    conformed = conform(rows, contract, key=["a", "b"], unique_key=True)
    assert sorted(values(conformed)) == [(1, "y", 3), (2, "x", 6)]
    problems = {original["n"]: problems for original, problems, _ in told(conformed)}
    assert problems == {
        "1": [("a, b", "unique", '{"a":1,"b":"x"}')],
        "2": [("a, b", "unique", '{"a":1,"b":"x"}')],
        "4": [("a", "key", None)],
        "bad": [("n", "format", "bad")],
        "7": [("a", "format", "z")],
    }
    counts = conformed.counts()
    assert (counts.read, counts.written, counts.quarantined) == (7, 2, 5)


def test_what_is_tagged_pii_appears_nowhere(spark, ansi):
    secret = "s3cr3t"
    person = StructType([field("name", TEXT), field("iban", INT, tags=["pii"])])
    contract = StructType(
        [
            field("id", INT),
            field("ssn", INT, tags=["pii"]),
            field("text", VarcharType(2), tags=["pii"]),
            field("people", ArrayType(person)),
            field("by_name", MapType(TEXT, person)),
            field("whole", person, tags=["pii"]),
            field("odd", person),
            field("evolved", person, on_surprise="evolve"),
        ]
    )
    rows = spark.sql(f"""SELECT 'no number' AS id, '{secret}' AS ssn, '{secret}' AS text,
        array(named_struct('name', 'n', 'iban', '{secret}')) AS people, map('k', named_struct('name', 'n', 'iban', '{secret}')) AS by_name,
        named_struct('name', '{secret}', 'iban', '{secret}', 'more', '{secret}') AS whole, '{secret}' AS odd, '{secret}' AS evolved""")
    conformed = conform(rows, contract, key=["ssn"], dataset="people")
    everything = [*conformed.quarantine.toJSON().collect(), repr(conformed.counts())]
    with pytest.raises(ContractViolationError) as failed:
        conformed.require(max_rows=0)
    assert [text for text in [*everything, str(failed.value)] if secret in text] == []
    [(original, problems, _)] = told(conformed)
    assert original["people"] == [{"name": "n", "iban": "(withheld)"}]
    assert original["whole"] == "(withheld)"
    assert [(column, rule) for column, rule, _ in problems] == [
        ("id", "format"), ("ssn", "format"), ("text", "length"), ("people[].iban", "format"),
        ("by_name{}.value.iban", "format"), ("whole.iban", "format"), ("odd", "kind"),
    ]  # fmt: skip
    assert conformed.rows.schema["evolved__v_text"].metadata == {"tags": ["pii"]}
    twice = spark.createDataFrame([(secret, "1"), (secret, "2")], "ssn string, id string")
    same = conform(twice, StructType([field("ssn", TEXT, tags=["pii"]), field("id", INT)]), key=["ssn"], unique_key=True)
    assert secret not in "".join([*same.quarantine.toJSON().collect(), repr(same.counts())])


def test_personal_data_in_keys_of_maps_and_in_what_is_unknown_is_withheld(spark, ansi):
    secret = "s3cr3t"
    person = StructType([field("name", TEXT), field("iban", TEXT, tags=["pii"])])
    contract = StructType([field("id", INT), field("by_person", MapType(person, INT)), field("odd", INT)])
    rows = spark.sql(f"""SELECT 'no number' AS id, map(named_struct('name', 'n', 'iban', '{secret}'), 'x',
        named_struct('name', 'n', 'iban', '{secret} 2'), '2') AS by_person, array('{secret}') AS odd, '{secret}' AS mail,
        named_struct('mail', '{secret}') AS more""")
    for unknown in ("discard_value", "discard_row", "evolve"):
        conformed = conform(rows, contract, columns=Mode(unknown))
        assert secret not in "".join([*conformed.quarantine.toJSON().collect(), repr(conformed.counts())])
        [(original, _, _)] = told(conformed)
        withheld = {"key": {"name": "n", "iban": "(withheld)"}}
        assert original["by_person"] == [{**withheld, "value": "x"}, {**withheld, "value": "2"}]
        assert (original["id"], original["mail"], original["more"]) == ("no number", "(withheld)", "(withheld)")
    assert secret in str(told(conform(rows, contract, show_unknown=True)))
    # Without personal data in the contract, the incoming row is shown as it came.
    assert told(conform(rows.select("id", "mail"), StructType([field("id", INT)])))[0][0]["mail"] == secret


@pytest.mark.parametrize("tags", ["pii", "PII", ["PII"], [" Pii "], "gdpr, pii"])
def test_tags_are_understood_in_any_case_and_as_a_text(spark, tags):
    rows = spark.sql("SELECT 'x' AS id, 's3cr3t' AS mail, named_struct('iban', 's3cr3t') AS account")
    account = StructType([field("iban", TEXT, tags=tags)])
    declared = StructType([field("id", INT), field("mail", TEXT, tags=tags), field("account", account)])
    assert "s3cr3t" not in str(conform(rows, declared).quarantine.collect())
    # What the incoming rows say of themselves counts as well, and stays in the conformed rows.
    tagged = spark.createDataFrame(rows.collect(), StructType([field("id", TEXT), *declared.fields[1:]]))
    untagged = StructType([field("id", INT), field("mail", TEXT), field("account", StructType([field("iban", TEXT)]))])
    conformed = conform(tagged, untagged)
    assert "s3cr3t" not in str(conformed.quarantine.collect())
    assert conformed.rows.schema["mail"].metadata["tags"] == (tags if isinstance(tags, list) else tags.split(", "))


EXTREMES = [-(2**63), -(2**63) + 1, -(10**18) - 1, -1, 0, 10**18, 10**18 + 1, 1_000_000_123_456 * 10**6, 2**63 - 1]


def test_timestamps_of_all_years_are_read_and_dates_beyond_them_are_quarantined(spark, ansi):
    micros = spark.createDataFrame([(number,) for number in EXTREMES], "n bigint")
    as_ntz, as_text = StructType([field("n", LongType()), field("t", TimestampNTZType())]), field("t", TEXT)
    given = micros.selectExpr("n", "timestamp_micros(n) AS t")
    conformed = conform(given, as_ntz)
    assert conformed.quarantine.count() == 0
    # In UTC both have the same text; the text of the last row tells the year.
    ntz = {row["n"]: row["t"] for row in conformed.rows.selectExpr("n", "CAST(t AS STRING) AS t").collect()}
    text = {row["n"]: row["t"] for row in conform(given, StructType([as_ntz[0], as_text])).rows.collect()}
    assert text == {number: f"{shown}Z" for number, shown in ntz.items()}
    assert (ntz[2**63 - 1], ntz[-1]) == ("+294247-01-10 04:00:54.775807", "1969-12-31 23:59:59.999999")
    assert ntz[1_000_000_123_456 * 10**6] == "+33658-09-28 12:04:16"
    back = conform(conformed.rows, StructType([as_ntz[0], field("t", TimestampType())]))
    assert {row["n"]: row["m"] for row in back.rows.selectExpr("n", "unix_micros(t) AS m").collect()} == dict(
        zip(EXTREMES, EXTREMES, strict=True)
    )
    for rows in (given, conformed.rows):
        days = conform(rows, StructType([as_ntz[0], field("t", DateType())]))
        assert ([row["n"] for row in days.rows.select("n").collect()], days.quarantine.count()) == ([0], len(EXTREMES) - 1)

    dates = [-(2**31), -106_751_992, -106_751_991, 0, 106_751_991, 106_751_992, 2**31 - 1]
    given = spark.createDataFrame([(day,) for day in dates], "n int").selectExpr("n", "date_from_unix_date(n) AS t")
    for kind in (TimestampType(), TimestampNTZType()):
        conformed = conform(given, StructType([field("n", INT), field("t", kind)]))
        assert sorted(row["n"] for row in conformed.rows.select("n").collect()) == dates[2:5]
        assert {(column, rule) for _, problems, _ in told(conformed) for column, rule, _ in problems} == {("t", "range")}


def test_an_exponent_is_no_decimal_with_ansi_or_without(spark, ansi):
    texts = ["1.0E-7", "0.00000010", "1E-8", "0.00000001", "0E-8", "0.00000000", "-1.0E-7", "12.5", "1.0e-7"]
    given = spark.createDataFrame([(text,) for text in texts], "d string")
    for kind in (DecimalType(10, 8), DecimalType(8, 8), DecimalType(38, 8)):
        conformed = conform(given, StructType([field("d", kind)]))
        fits = [text for text in texts if "e" not in text.lower() and (kind.precision > 8 or text != "12.5")]
        assert sorted(map(Decimal, fits)) == sorted(row["d"] for row in conformed.rows.collect())
        assert {original["d"] for original, _, _ in told(conformed)} == {*texts} - {*fits}


def test_names_may_be_anything(spark, ansi):
    names = [
        "a.b",
        "back`tick",
        "with space",
        "it's",
        "größe",
        "back\\slash",
        "select",
        "_conform_state",
        "broken",
        "r0",
        "state",
    ]
    contract = StructType([field(name, StructType([field(name, INT)])) for name in names])
    incoming = StructType([field(name, StructType([field(name, TEXT)])) for name in names])
    given = [tuple((str(n),) for n, _ in enumerate(names)), tuple(("x",) for _ in names)]
    conformed = conform(spark.createDataFrame(given, incoming), contract)
    assert conformed.rows.columns == names
    assert values(conformed) == [tuple((n,) for n, _ in enumerate(names))]
    [(original, problems, _)] = told(conformed)
    assert original == {name: {name: "x"} for name in names}
    assert [column for column, _, _ in problems] == [f"{name}.{name}" for name in names]


def test_what_spark_makes_of_escapes_in_literals_changes_nothing(spark):
    contract = StructType(
        [field("d", DecimalType(10, 2)), field("day", DateType(), format="dd.MM.yyyy"), field("it's", INT)]
    )
    given = spark.createDataFrame(
        [("1.50", "31.12.2024", "7"), ("1.505", "2024-12-31", "x")], "d string, day string, `it's` string"
    )
    found = []
    for escaped in ("false", "true"):
        spark.conf.set("spark.sql.parser.escapedStringLiterals", escaped)
        try:
            conformed = conform(given, contract)
            found.append((values(conformed), told(conformed)))
        finally:
            spark.conf.unset("spark.sql.parser.escapedStringLiterals")
    assert found[0] == found[1]
    assert found[0][0] == [(Decimal("1.50"), date(2024, 12, 31), 7)]


def test_rows_that_need_no_check_cost_nothing(spark):
    contract = StructType([field("b", LONG, comment="kept"), StructField("a", fields(x=INT), False)])
    rows = spark.sql("SELECT named_struct('x', 1) AS a, id AS b FROM range(3)")
    conformed = conform(rows, contract)
    plan = conformed.rows._jdf.queryExecution().optimizedPlan().toString()
    assert "Filter" not in plan
    assert "cast" not in plan
    assert conformed.rows.columns == ["b", "a"]
    assert conformed.rows.schema["b"].metadata == {"comment": "kept"}
    assert conformed.quarantine.count() == 0
    assert _same_types(conformed.quarantine.schema, QUARANTINE)


def test_each_cast_is_evaluated_once(spark):
    rows = spark.range(10).selectExpr("CAST(id AS STRING) AS a", "CAST(id AS STRING) AS b")
    plan = conform(rows, fields(a=DecimalType(9, 2), b=DateType())).rows._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("as decimal(9,2))") == 1
    assert plan.count("as date)") == 1


def test_nothing_in_gives_nothing_out(spark):
    assert conform(spark.createDataFrame([], "a string"), fields(a=INT)).rows.dtypes == [("a", "int")]
    assert conform(spark.range(2).select(), fields(a=INT)).rows.collect() == [(None,), (None,)]
    assert conform(spark.range(2), StructType([])).rows.columns == []
    empty = StructType([field("s", StructType([])), field("n", INT)])
    conformed = conform(spark.sql("SELECT named_struct('x', 1) AS s, 'x' AS n"), empty, columns=Mode.DISCARD_ROW)
    assert [column for column, _, _ in told(conformed)[0][1]] == ["s.x", "n"]
    untyped = conform(spark.sql("SELECT NULL AS a, array() AS b"), fields(a=DateType(), b=ArrayType(INT)))
    assert values(untyped) == [(None, [])]


@once(0)
@pytest.mark.timeout(120)
def test_five_hundred_columns_are_planned_and_judged(spark):
    kinds = [INT, DecimalType(10, 2), DateType(), TimestampType(), DoubleType()]
    rows = spark.range(20).selectExpr(*(f"'1' AS c{n}" for n in range(500)))
    conformed = conform(rows, fields(**{f"c{n}": kinds[n % 5] for n in range(500)}))
    assert conformed.rows.count() == 0
    [first] = conformed.quarantine.limit(1).collect()
    assert [problem.column for problem in first.problems] == [f"c{n}" for n in range(500) if n % 5 in {2, 3}]


@pytest.mark.parametrize("name", ["_gw_total", "_GW_total"])
def test_names_of_columns_that_conform_adds_are_refused(spark, name):
    with pytest.raises(ContractViolationError, match=f"^{name}: names that begin with _gw_ are reserved"):
        conform(spark.sql("SELECT 1 AS a"), fields(**{name: INT}))
    rows = spark.sql(f"SELECT 1 AS a, 2 AS {name}")
    with pytest.raises(ContractViolationError, match=f"^{name}: names that begin with _gw_ are reserved"):
        conform(rows, fields(a=INT), columns=Mode.EVOLVE)
    assert values(conform(rows, fields(a=INT))) == [(1,)]


def test_the_folder_works_alone(tmp_path):
    copied = tmp_path / "conform" / "__init__.py"
    shutil.copytree(Path(module.__file__).parent, copied.parent, ignore=shutil.ignore_patterns("__pycache__"))
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import conform
foreign = sorted(name for name in sys.modules if name.startswith(("gluewright", "boto3", "awsglue")))
print(conform.__file__, foreign)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == f"{copied} []", ran.stderr


def _same_types(left, right):
    return [(f.name, f.dataType.simpleString()) for f in left] == [(f.name, f.dataType.simpleString()) for f in right]
