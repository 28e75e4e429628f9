"""The audit finds ties, gaps and regressions of a key, and nothing in a feed that is in order."""

import pytest
from pyspark.sql import functions as F

from gluewright_cdc_merge import audit, plain
from gluewright_cdc_merge.audit import UnsupportedAuditError

IN_ORDER = [("u", 1, "a", 1, 10), ("u", 2, "a", 1, 11), ("u", 1, "b", 2, 12), ("d", 2, None, 2, 13), ("u", 1, "b", 3, 14)]
ODD = [
    ("u", 3, "a", 5, 20),
    ("u", 3, "b", 5, 21),  # a tie
    ("u", 4, "a", 1, 22),
    ("u", 4, "a", 1, 23),  # the same record again is none
    ("u", 4, "b", 4, 24),  # a gap
    ("d", 4, None, 2, 25),  # late
]


def changes(spark, rows):
    records = spark.createDataFrame(rows, "op string, id int, name string, version bigint, _gw_arrival bigint")
    return plain(records, ["id"], op="op", sequence_by=["version"]).changes


def findings(frame):
    return sorted((row["key"]["id"], row["finding"], row["sequence"][0], row["other"][0]) for row in frame.collect())


def test_each_finding_is_told_with_its_key_and_sequences(spark):
    told = findings(audit(changes(spark, IN_ORDER + ODD), step=1))
    assert told == [(3, "tie", 5, 5), (4, "gap", 4, 2), (4, "regression", 2, 4)]


def test_gaps_and_regressions_are_looked_for_only_where_the_feed_can_tell(spark):
    unordered = changes(spark, ODD).drop("_gw_arrival")
    assert findings(audit(unordered)) == [(3, "tie", 5, 5)]
    pair = unordered.withColumn("sequence", F.struct("sequence.*", F.lit(1).alias("second")))
    with pytest.raises(UnsupportedAuditError, match="leave step out"):
        audit(pair, step=1)
