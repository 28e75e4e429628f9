from __future__ import annotations

import json

import pytest
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_flights.flights import FLIGHTS, HEADER, LANDED, PROBLEMS, examined
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows

GOOD = dict(
    zip(
        HEADER.split(","),
        [
            "2013",
            "1",
            "1",
            "517",
            "515",
            "2",
            "830",
            "819",
            "11",
            "UA",
            "1545",
            "N14228",
            "EWR",
            "IAH",
            "227",
            "1400",
            "5",
            "15",
        ],
        strict=False,
    )
)
GOOD |= {"time_hour": "2013-01-01T10:00:00Z", "dt": "2013-01-01"}
TYPED = (
    517,
    515,
    2,
    830,
    819,
    11,
    "UA",
    1545,
    "N14228",
    "EWR",
    "IAH",
    227,
    1400,
    5,
    15,
    "2013-01-01T10:00:00",
    "2013-01-01",
)

FIT = {
    "as it is": ({}, {}),
    "a sign": ({"arr_delay": "-3"}, {"arr_delay": -3}),
    "another zone": ({"time_hour": "2013-01-01T12:00:00+02:00"}, {}),
    "cancelled": (
        dict.fromkeys(("dep_time", "arr_delay", "tailnum")),
        dict.fromkeys(("dep_time", "arr_delay", "tailnum")),
    ),
}
UNFIT = {
    "letters": ({"dep_time": "5x7"}, {("dep_time", "format")}),
    "blanks around a number": ({"dep_delay": " 2 "}, {("dep_delay", "format")}),
    "a fraction": ({"distance": "12.5"}, {("distance", "format")}),
    "an exponent": ({"flight": "1e2"}, {("flight", "format")}),
    "more than an int holds": ({"air_time": "99999999999"}, {("air_time", "range")}),
    "a missing carrier": ({"carrier": None}, {("carrier", "required")}),
    "a missing number": ({"sched_dep_time": None}, {("sched_dep_time", "required")}),
    "a time of today": ({"time_hour": "10:00"}, {("time_hour", "format")}),
    "no such month": ({"time_hour": "2013-13-01T10:00:00Z"}, {("time_hour", "range")}),
    "another day": ({"day": "2"}, {("dt", "folder")}),
    "two at once": ({"month": "x", "origin": None}, {("dt", "folder"), ("origin", "required")}),
}


@pytest.mark.parametrize("ansi", [True, False])
def test_a_row_is_typed_or_set_aside_with_the_reason_the_same_with_and_without_ansi(spark, ansi):
    landed = rows(
        spark,
        StructType([*LANDED, StructField("file", StringType())]),
        [GOOD | {"file": name} | changes for name, (changes, _) in (FIT | UNFIT).items()],
    )
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        conformed = FLIGHTS.conform(examined(landed), problems=PROBLEMS)
        assert conformed.rows.schema.names == FLIGHTS.names
        typed = dict(zip(FLIGHTS.names, TYPED, strict=True))
        assert_same_rows(conformed.rows, [typed | changes for _, changes in FIT.values()])
        bad = [(json.loads(row["original"]), row["problems"]) for row in conformed.quarantine.collect()]
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before)
    told = {original["file"]: {(problem["column"], problem["rule"]) for problem in problems} for original, problems in bad}
    assert told == {name: problems for name, (_, problems) in UNFIT.items()}
    (letters,) = [original for original, _ in bad if original["file"] == "letters"]
    assert letters == GOOD | {"dep_time": "5x7", "file": "letters"}
