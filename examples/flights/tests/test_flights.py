from __future__ import annotations

import json

import pytest
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_flights.flights import FLIGHTS, HEADER, LANDED, accepted, judged, rejected
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
    "blanks around a number": ({"dep_delay": " 2 "}, {}),
    "a sign": ({"arr_delay": "-3"}, {"arr_delay": -3}),
    "another zone": ({"time_hour": "2013-01-01T12:00:00+02"}, {}),
    "cancelled": (
        dict.fromkeys(("dep_time", "arr_delay", "tailnum"), "NA"),
        dict.fromkeys(("dep_time", "arr_delay", "tailnum")),
    ),
    "nothing for NA": ({"air_time": None}, {"air_time": None}),
}
UNFIT = {
    "letters": ({"dep_time": "5x7"}, "dep_time is no whole number"),
    "a fraction": ({"distance": "12.5"}, "distance is no whole number"),
    "an exponent": ({"flight": "1e2"}, "flight is no whole number"),
    "more than an int holds": ({"air_time": "99999999999"}, "air_time is no whole number"),
    "a missing carrier": ({"carrier": "NA"}, "carrier is missing"),
    "a missing number": ({"sched_dep_time": None}, "sched_dep_time is missing"),
    "a time without a zone": ({"time_hour": "2013-01-01T10:00:00"}, "time_hour is no time such as 2013-01-31T12:00:00Z"),
    "a time of today": ({"time_hour": "10:00"}, "time_hour is no time such as 2013-01-31T12:00:00Z"),
    "no such month": ({"time_hour": "2013-13-01T10:00:00Z"}, "time_hour is no time such as 2013-01-31T12:00:00Z"),
    "another day": ({"day": "2"}, "the date is not that of the folder"),
    "two at once": ({"month": "x", "origin": None}, "month is no whole number; origin is missing"),
    "a short line": ({"_malformed": "2013,1", "month": None}, "the line does not have 19 values"),
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
        judgement = judged(landed)
        good = accepted(judgement)
        assert good.schema.names == FLIGHTS.names
        typed = dict(zip(FLIGHTS.names, TYPED, strict=True))
        assert_same_rows(good, [typed | changes for _, changes in FIT.values()])
        bad = {row["file"]: row for row in rejected(judgement).collect()}
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before)
    assert {name: row["reason"] for name, row in bad.items()} == {name: reason for name, (_, reason) in UNFIT.items()}
    assert json.loads(bad["letters"]["original"]) == {
        name: text for name, text in (GOOD | {"dep_time": "5x7"}).items() if name != "dt"
    }
    assert json.loads(bad["a short line"]["original"]) == {"line": "2013,1"}
