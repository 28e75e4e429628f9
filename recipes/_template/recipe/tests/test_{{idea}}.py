"""The newest row of every key, whatever order the rows come in."""

import pytest

from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows
from gluewright_{{recipe}} import newest_per_key

VERSIONS = [
    (1, "2024-03-01", 7, "ordered"),
    (1, "2024-03-02", None, "tie, b"),
    (1, "2024-03-02", None, "tie, a"),
    (2, None, 9, "no time"),
    (2, "2024-03-01", None, "any time beats none"),
    (None, "2024-03-01", 1, "a key of its own"),
]


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_wins_in_any_order_of_the_input(spark, order):
    versions = rows(spark, "id bigint, at date, n int, note string", VERSIONS[::order])
    assert_same_rows(
        newest_per_key(versions, key=["id"], newest_by=["at", "n"]),
        [
            (1, "2024-03-02", None, "tie, b"),
            (2, "2024-03-01", None, "any time beats none"),
            (None, "2024-03-01", 1, "a key of its own"),
        ],
    )
