"""Row builders and comparison: what a test does not state does not matter, what differs is shown."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from chispa import DataFramesNotEqualError, SchemasNotEqualError

from gluewright_testing.compare import assert_same_rows
from gluewright_testing.errors import InvalidRowsError
from gluewright_testing.rows import rows


def test_text_becomes_the_value_of_its_type_at_any_depth(spark):
    built = rows(
        spark,
        "id bigint not null, at timestamp, item struct<day: date, prices: array<decimal(5,2)>>, seen map<string, date>",
        [
            (1, "2024-02-29T10:00:00+01:00", ("2024-02-29", ["1.5", 2]), {"a": "2024-01-01"}),
            {"id": 2, "at": datetime(2024, 1, 1)},
        ],
    )
    assert not built.schema["id"].nullable
    first, second = built.selectExpr("*", "cast(at as string) as shown").collect()
    assert (first.shown, first.at) == ("2024-02-29 09:00:00", datetime(2024, 2, 29, 9))
    assert first.item.asDict() == {"day": date(2024, 2, 29), "prices": [Decimal("1.50"), Decimal("2.00")]}
    assert first.seen == {"a": date(2024, 1, 1)}
    assert second.shown == "2024-01-01 00:00:00"
    assert second.item is None


def test_defaults_fill_what_a_row_leaves_out(spark):
    built = rows(spark, "id int not null, name string not null", [(1,), {"name": "b"}], defaults={"id": 9, "name": "a"})
    assert [tuple(row) for row in built.collect()] == [(1, "a"), (9, "b")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1, 2, 3), "Row 1 has 3 values for the 2 columns id, day"),
        ({"idd": 1}, "Row 1 names idd, and the columns are id, day"),
        ({"day": "2024-01-01"}, "Row 1 leaves out id, which must not be NULL"),
        ((1, "2024-02-30"), "Row 1, column day: '2024-02-30' is no date"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_place(spark, value, said):
    with pytest.raises(InvalidRowsError, match=said):
        rows(spark, "id int not null, day date", [value])


def test_same_rows_in_another_order_of_rows_and_columns_are_the_same(spark):
    schema = "id int not null, tags map<string, array<int>>, share double"
    one = rows(
        spark,
        schema,
        [(1, {"a": [1], "b": [2]}, float("nan")), (1, {"a": [1], "b": [2]}, float("nan")), (2, None, 0.5)],
    )
    other = rows(
        spark,
        schema,
        [(2, None, 0.5), (1, {"b": [2], "a": [1]}, float("nan")), (1, {"a": [1], "b": [2]}, float("nan"))],
    )
    assert_same_rows(one, other.select("share", "tags", "id"))


def test_a_duplicate_too_many_is_a_difference(spark):
    with pytest.raises(DataFramesNotEqualError, match=r"1 row only in actual \(of 3\), 0 rows only in expected \(of 2\)"):
        assert_same_rows(rows(spark, "id int", [(1,), (1,), (2,)]), [(1,), (2,)])


def test_only_differing_rows_are_shown_with_the_similar_one_beside(spark):
    actual = rows(spark, "id int, name string", [(number, "same") for number in range(100)] + [(200, "left"), (300, "x")])
    with pytest.raises(DataFramesNotEqualError) as difference:
        assert_same_rows(actual, [(number, "same") for number in range(100)] + [(300, "y")])
    lines = [line for line in str(difference.value).splitlines() if "id=" in line]
    assert len(lines) == 2
    assert "None" in lines[0] and "200" in lines[0]
    assert lines[1].count("300") == 2


@pytest.mark.parametrize("other", ["id bigint", "key int"])
def test_another_type_or_name_is_a_difference_and_nullability_is_none(spark, other):
    assert_same_rows(rows(spark, "id int not null", [(1,)]), rows(spark, "id int", [(1,)]))
    with pytest.raises(SchemasNotEqualError):
        assert_same_rows(rows(spark, "id int", [(1,)]), rows(spark, other, [(1,)]))
