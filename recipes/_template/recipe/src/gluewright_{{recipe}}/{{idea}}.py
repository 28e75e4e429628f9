# {{distribution}} 0.1.0 {{idea}}.py
# SPDX-License-Identifier: Apache-2.0
"""Keep the newest row of every key, whatever order the rows come in."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def newest_per_key(rows: DataFrame, key: Sequence[str], newest_by: Sequence[str]) -> DataFrame:
    """Return one row per key: the one with the greatest ``newest_by``.

    Rows that tie are ordered by the values of their other columns, so that the outcome does not depend on the order of the
    input. A NULL counts as smaller than everything else.

    Args:
        rows: any number of rows per key.
        key: the columns that identify a thing.
        newest_by: the columns that order its versions, the most important first.

    Returns:
        The rows kept, with the columns of ``rows`` in the same order.

    Example:
        ``newest_per_key(orders, key=["order_id"], newest_by=["updated_at", "sequence"])``
    """
    others = [name for name in rows.columns if name not in newest_by]
    version = F.struct(*(rows[f"`{name}`"] for name in [*newest_by, *others]))
    newest = rows.groupBy(*(rows[f"`{name}`"] for name in key)).agg(F.max(version).alias("_gw_newest"))
    return newest.select(*(F.col(f"_gw_newest.`{name}`") for name in rows.columns))
