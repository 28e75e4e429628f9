"""Plain values that came through are found wherever they stand, and nothing else is."""

from __future__ import annotations

import random

import pytest

from gluewright_pii_masking import Drop, Keep, Policy, Token, mask
from gluewright_pii_masking.leaks import InvalidLeakCheckError, leaks
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows

SCHEMA = (
    "id bigint, email string, born date, notes array<struct<at:date,text:string>>, labels map<string,string>, "
    "`home address` struct<street:string,city:string>, raw binary"
)


def test_a_value_is_found_whole_and_inside_texts_of_any_depth(spark, key):
    given = rows(
        spark,
        SCHEMA,
        [
            (
                1,
                "Ada@example.org",
                "1985-12-10",
                [{"at": "2024-01-01", "text": "mail to ADA@EXAMPLE.ORG!"}, None, {"text": None}],
                {"born": "on 1985-12-10", "street": None},
                {"street": "Elm Street 5", "city": "Ely"},
                b"Ada@example.org",
            ),
            (2, "ben@example.org", None, [{"text": "x ben@example.org y ada@example.org"}], None, None, None),
            (3, "a@b", None, [], {"a@b": "a@b"}, {"street": None, "city": "Elm Street 5 A"}, None),
        ],
    )
    policy = Policy(
        {
            "id": Keep(),
            "email": Token(),
            "born": Drop(),
            "notes[].at": Keep(),
            "notes[].text": Keep(),
            "labels{}.key": Keep(),
            "labels{}.value": Keep(),
            "`home address`.street": Drop(),
            "`home address`.city": Keep(),
            "raw": Keep(),
        }
    )
    gone = ["email", "born", "`home address`.street"]
    assert_same_rows(
        leaks(given, mask(given, policy, key=key), gone),
        [
            ("notes[].text", "email", 2, 2),
            ("labels{}.value", "born", 1, 1),
            ("`home address`.city", "`home address`.street", 1, 1),
        ],
    )
    closed = {"id": Keep(), "email": Token(), "notes[].at": Keep(), "labels{}.key": Keep(), "raw": Keep()}
    assert leaks(given, mask(given, Policy(closed, unlisted="drop"), key=key), gone).collect() == []


def test_it_finds_what_a_plain_search_finds(spark):
    chance = random.Random(11)

    def text(longest):
        return "".join(chance.choice("ab ") for _ in range(chance.randrange(longest)))

    values, texts = {text(9) for _ in range(60)}, {text(40) for _ in range(60)}
    plain = spark.createDataFrame([(value,) for value in values], "v string")
    masked = spark.createDataFrame([(each,) for each in texts], "t string")
    needles = {value.strip() for value in values if len(value.strip()) >= 4}
    hits = {(each.strip(), needle) for each in texts for needle in needles if needle in each.strip()}
    expected = [("t", "v", len({hay for hay, _ in hits}), len({needle for _, needle in hits}))]
    assert hits
    assert_same_rows(leaks(plain, masked, ["v"], shortest=4), expected)
    assert leaks(plain, masked, ["v"], shortest=4, fraction=0.0).collect() == []


def test_what_cannot_be_searched_for_is_refused(spark):
    given = spark.createDataFrame([], "a string, b binary")
    with pytest.raises(InvalidLeakCheckError, match="no column b to search for; there are a"):
        leaks(given, given, ["b"])
    with pytest.raises(InvalidLeakCheckError, match="shortest is 2"):
        leaks(given, given, ["a"], shortest=2)
    assert leaks(given, given, ["a"]).collect() == []


def test_white_space_of_every_kind_around_a_value_hides_nothing(spark):
    spaces = [chr(point) for point in range(0x10000) if chr(point).isspace() and not 0x1C <= point <= 0x1F]
    spaces += ["\u200b", "\ufeff", "\r\n \t"]
    plain = spark.createDataFrame([(f"{space}ada {n:05}{space}",) for n, space in enumerate(spaces)], "name string")
    masked = spark.createDataFrame([(f"ada {n:05}",) for n in range(len(spaces))], "note string")
    assert_same_rows(leaks(plain, masked, ["name"]), [("note", "name", len(spaces), len(spaces))])
