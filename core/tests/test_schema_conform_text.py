"""Random texts, thousands in one Spark job: what conform reads is what a parser in plain Python reads, and nothing else."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from gluewright_core.schema.conform import Mode, conform

TEXTS = 3000
CONTRACT = StructType(
    [
        StructField("n", IntegerType()),
        StructField("an_int", IntegerType()),
        StructField("a_long", LongType()),
        StructField("a_decimal", DecimalType(12, 3)),
        StructField("a_double", DoubleType()),
        StructField("a_float", FloatType()),
        StructField("a_boolean", BooleanType()),
        StructField("a_date", DateType()),
        StructField("a_timestamp", TimestampType()),
        StructField("a_ntz", TimestampNTZType()),
    ]
)

moments = st.datetimes(datetime(1000, 1, 1), datetime(9998, 12, 31))
well_formed = st.one_of(
    st.integers(-(2**64), 2**64).map(str),
    st.integers(-200, 200).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.tuples(st.integers(-999, 999), st.from_regex(r"\.[0-9]{1,5}0{0,3}", fullmatch=True)).map(
        lambda parts: f"{parts[0]}{parts[1]}"
    ),
    st.from_regex(r"-?[1-9][0-9]{0,9}\.[0-9]{3}", fullmatch=True),
    st.floats().map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,18})?[eE][+-]?[0-9]{1,3}", fullmatch=True),
    st.sampled_from(["true", "false", "True", "FALSE", "tRUE", "NaN", "Infinity", "-Infinity", "nan", "yes", "t"]),
    moments.map(lambda moment: moment.date().isoformat()),
    st.tuples(moments, st.sampled_from(" T"), st.sampled_from(["seconds", "milliseconds", "microseconds"])).map(
        lambda parts: parts[0].isoformat(parts[1], parts[2])
    ),
    st.tuples(moments, st.sampled_from(["Z", "+01:00", "-05:30", "+18:00", "+19:00", "+1:00", " UTC", "+0100"])).map(
        lambda parts: parts[0].isoformat(" ", "auto") + parts[1]
    ),
)
characters = st.sampled_from("0123456789+-.eE,_ \t\n\x00TZ:/dfLxaN٣é")
edits = st.tuples(st.integers(0, 30), st.integers(0, 1), st.one_of(st.just(""), characters))
mutated = st.tuples(well_formed, edits).map(lambda both: _edited(*both))
texts = st.one_of(well_formed, mutated, mutated, st.text(characters, max_size=24))


def _edited(text, edit):
    place, dropped, added = edit
    return text[:place] + added + text[place + dropped :]


@pytest.fixture
def set_ansi(spark):
    before = spark.conf.get("spark.sql.ansi.enabled")
    yield lambda wanted: spark.conf.set("spark.sql.ansi.enabled", wanted)
    spark.conf.set("spark.sql.ansi.enabled", before)


def test_random_texts_are_read_as_plain_python_reads_them(spark, set_ansi):
    # Random ones are seldom booleans.
    collected = ["true", "FALSE", "tRuE", "false"] * 3

    @settings(max_examples=TEXTS, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts)
    def collect(text):
        collected.append(text)

    collect()
    assert len(collected) >= TEXTS * 0.9
    columns = CONTRACT.names[1:]
    incoming = StructType([StructField("n", IntegerType()), *(StructField(name, StringType()) for name in columns)])
    rows = spark.createDataFrame([(n, *(text for _ in columns)) for n, text in enumerate(collected)], incoming)
    answers = {}
    for ansi in ("true", "false"):
        set_ansi(ansi)
        conformed = conform(rows, CONTRACT, values=Mode.DISCARD_VALUE)
        answers[ansi] = [row.asDict() for row in conformed.rows.orderBy("n").collect()]
        number = "CAST(get_json_object(original, '$.n') AS INT) AS n"
        quarantine = conformed.quarantine.selectExpr(number, "problems.column AS columns")
        told = {row.n: row.columns for row in quarantine.collect()}
        for n, row in enumerate(answers[ansi]):
            assert [name for name in columns if row[name] is None] == told.get(n, []), collected[n]
    assert repr(answers["true"]) == repr(answers["false"])
    wrong = [
        (name, text, row[name])
        for text, row in zip(collected, answers["true"], strict=True)
        for name in columns
        if not READERS[name](text, row[name])
    ]
    assert wrong == []
    fitting = {name: sum(row[name] is not None for row in answers["true"]) for name in columns}
    assert min(fitting.values()) >= 10, fitting


def _is_plain(text):
    whole, point, fraction = text.removeprefix("-").partition(".")
    digits = whole.isascii() and whole.isdigit() and (whole == "0" or whole[0] != "0")
    return digits and (not point or (fraction.isascii() and fraction.isdigit()))


def _whole(bits):
    def agrees(text, read):
        try:
            number = int(text)
        except ValueError:
            return read is None
        fits = str(number) == text and -(2 ** (bits - 1)) <= number < 2 ** (bits - 1)
        return read == (number if fits else None)

    return agrees


def _decimal(text, read):
    if not _is_plain(text):
        return read is None
    number = Decimal(text)
    fits = abs(number) < 10**9 and number * 1000 == int(number * 1000)
    return read == (number if fits else None)


def _floating(digits, narrow, smallest, largest):
    def agrees(text, read):
        if text in {"NaN", "Infinity", "-Infinity"}:
            return repr(read) == repr(float(text))
        mantissa, exponent_sign, exponent = text.replace("E", "e", 1).partition("e")
        exponent = exponent[1:] if exponent[:1] in {"+", "-"} and exponent else exponent
        formed = _is_plain(mantissa) and (not exponent_sign or (exponent.isascii() and exponent.isdigit()))
        if not formed:
            return read is None
        exact, nearest = Decimal(text), narrow(float(text))
        significant = len("".join(map(str, exact.as_tuple().digits)).strip("0"))
        if significant <= digits and (exact == 0 or smallest <= abs(exact) <= largest):
            return read == nearest
        # Java 17 does not always write the shortest of all texts, so that with more digits only what is read is certain.
        return read is None or read == nearest

    return agrees


def _narrow(number):
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return float("inf")


def _boolean(text, read):
    return read is {"true": True, "false": False}.get(text.lower())


def _date(text, read):
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return read is None
    return read == (day if day.isoformat() == text else None)


def _wall_clock(text):
    head, fraction = text[:19], text[19:]
    try:
        moment = datetime.fromisoformat(head)
    except ValueError:
        return None
    if len(head) != 19 or head[10] not in " T" or moment.isoformat(head[10]) != head:
        return None
    if fraction:
        digits = fraction[1:]
        if fraction[0] != "." or not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
            return None
        moment += timedelta(microseconds=int(digits.ljust(6, "0")))
    return moment


def _ntz(text, read):
    return read == _wall_clock(text)


def _timestamp(text, read):
    offset = timedelta()
    if text.endswith("Z"):
        text = text[:-1]
    elif text[-6:-5] in {"+", "-"} and text[-6:-5]:
        hours, colon, minutes = text[-5:].partition(":")
        if not (colon and len(hours) == 2 and (hours + minutes).isascii() and (hours + minutes).isdigit()):
            return read is None
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if int(minutes) > 59 or offset > timedelta(hours=18):
            return read is None
        offset, text = (-offset if text[-6] == "-" else offset), text[:-6]
    moment = _wall_clock(text)
    if moment is None:
        return read is None
    return read is not None and read.astimezone(UTC) == moment.replace(tzinfo=UTC) - offset


READERS = {
    "an_int": _whole(32),
    "a_long": _whole(64),
    "a_decimal": _decimal,
    "a_double": _floating(15, float, Decimal("2.3E-308"), Decimal("1.79E308")),
    "a_float": _floating(6, _narrow, Decimal("1.2E-38"), Decimal("3.4E38")),
    "a_boolean": _boolean,
    "a_date": _date,
    "a_timestamp": _timestamp,
    "a_ntz": _ntz,
}
