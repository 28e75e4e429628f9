# gluewright-cdc-merge 0.1.0 audit.py
# SPDX-License-Identifier: Apache-2.0
"""Audit the order of a feed: ties, gaps and regressions, key by key.

Its input is change rows,
as `decode` and `merge` of this package have them. Late and repeated changes are merged correctly. Ties are not: the sequence
does not define which of the changes is the last one, so look for a better sequence, or quarantine them.

=============  =========================================================================================================
finding        what it means
=============  =========================================================================================================
``tie``        changes of a key with one sequence and different content: their order is not known
``gap``        a key's next sequence is further away than one step: a change is missing, or the feed does not count by key
``regression`` a change came after a newer one of its key: without a merge that knows, it would have won
=============  =========================================================================================================

Example:
    >>> changes = debezium(kafka.withColumn("_gw_arrival", F.col("offset")), orders, ["id"]).changes      # doctest: +SKIP
    >>> audit(changes).groupBy("finding").count().show()                                              # doctest: +SKIP
"""

from __future__ import annotations

import functools

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType, StructType

ARRIVAL = "_gw_arrival"
"""The column of changes that tells in which order they came, such as an offset; regressions are found if it is there."""


class UnsupportedAuditError(Exception):
    """The changes cannot be audited as asked."""


def audit(changes: DataFrame, *, step: int | None = None) -> DataFrame:
    """Find what is odd in the order of changes.

    Args:
        changes: with ``op``, ``key``, ``sequence`` and ``row``; and ``_gw_arrival`` to find regressions.
        step: by how much a key's sequence grows from change to change, to find gaps; it is one whole number then.

    Returns:
        A row for each finding: ``key``, ``finding``, ``sequence``, and ``other``: of a gap the sequence before it, of a
        regression the newest that came earlier. Truncates have no key and are left out.

    Raises:
        UnsupportedAuditError: gaps are asked for, and the sequence is not one whole number.
    """
    keyed = changes.where("key IS NOT NULL")
    found = [_ties(keyed)]
    if step is not None:
        found.append(_gaps(keyed, step))
    if ARRIVAL in changes.columns:
        found.append(_regressions(keyed))
    return functools.reduce(DataFrame.unionByName, found)


def _ties(changes: DataFrame) -> DataFrame:
    content = F.xxhash64("op", F.to_json("row"))
    tied = changes.groupBy("key", "sequence").agg(F.min(content).alias("least"), F.max(content).alias("most"))
    return tied.where("least <> most").select("key", _finding("tie"), "sequence", F.col("sequence").alias("other"))


def _gaps(changes: DataFrame, step: int) -> DataFrame:
    sequence = changes.schema["sequence"].dataType
    assert isinstance(sequence, StructType)
    if len(sequence) != 1 or not isinstance(sequence[0].dataType, IntegralType):
        raise UnsupportedAuditError(
            f"a gap is found between whole numbers, and the sequence is {sequence.simpleString()}; leave step out"
        )
    name = sequence.names[0]
    before = F.lag("sequence").over(Window.partitionBy("key").orderBy("sequence"))
    steps = changes.select("key", "sequence").distinct().withColumn("other", before)
    apart = F.try_subtract(F.col("sequence")[name], F.col("other")[name])
    wide = steps.where(apart > step)
    return wide.select("key", _finding("gap"), "sequence", "other")


def _regressions(changes: DataFrame) -> DataFrame:
    earlier = Window.partitionBy("key").orderBy(ARRIVAL).rowsBetween(Window.unboundedPreceding, -1)
    newest = changes.select("key", "sequence", F.max("sequence").over(earlier).alias("other"))
    return newest.where("sequence < other").select("key", _finding("regression"), "sequence", "other")


def _finding(name: str) -> Column:
    return F.lit(name).alias("finding")
