# gluewright-cdc-merge 0.1.0 ties.py
# SPDX-License-Identifier: Apache-2.0
"""Find changes of a key whose order is not known: they have one sequence and differ.

Those that come together are quarantined. A change that ties with what an earlier run has merged is found when it is settled.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from .dms_order import LINE

if TYPE_CHECKING:
    from collections.abc import Collection

RULE = "order"
REASON = "another change of its key has the same place in the order, and another content"


def quarantine_ties(
    records: DataFrame, *, by: Sequence[str] = ("sequence",), pii: Collection[str] = (), apart: str | None = None
) -> DataFrame:
    """Quarantine the changes of a key that tie and differ. Equal ones stay: they are one change, delivered twice.

    Args:
        records: the decoded records (:attr:`gluewright_cdc_merge.feeds.Decoded.records`).
        by: SQL expressions over ``sequence``: changes that are equal in all of them tie.
        pii: the columns whose values are withheld from quarantine.
        apart: the column in which changes must differ, too, to tie: within one file, lines have an order.

    Returns:
        The records; ``what`` of those that tie is ``quarantined``.
    """
    is_change = F.col("what").eqNullSafe("change") & F.col("key").isNotNull()
    # Everything else is spread over all tasks, a group each.
    group = [F.when(is_change, F.col("key")), F.when(~is_change, F.monotonically_increasing_id()), *map(F.expr, by)]
    window = Window.partitionBy(*group)
    content = F.xxhash64("op", F.to_json("row"))
    differ = F.min(content).over(window) != F.max(content).over(window)
    if apart:
        differ &= F.min(apart).over(window) != F.max(apart).over(window)
    found = records.withColumn("_gw_tied", F.coalesce(is_change & differ, F.lit(False)))
    problem = F.struct(
        F.lit("").alias("column"),
        F.lit(RULE).alias("rule"),
        F.lit(REASON).alias("reason"),
        F.lit(None).cast("string").alias("value"),
    )
    tied = F.col("_gw_tied")
    made = {
        "what": F.when(tied, "quarantined").otherwise(F.col("what")),
        "original": F.when(tied, describe_change(records, pii)).otherwise(F.col("original")),
        "problems": F.when(tied, F.array(problem)).otherwise(F.col("problems")),
    }
    return found.withColumns(made).drop("_gw_tied")


def tied_with_table(names: Sequence[str], *, partial: bool, by: Sequence[str] = ()) -> Column:
    """Tell of a settled key whether the table's row and a new change have one sequence and contradict each other.

    They do if a column of the table has a value and the change another one or none, or if one of both is a delete. A column
    that is NULL in the table is filled by a record that is read again after the column was added: no contradiction.

    Args:
        names: the table's own columns.
        partial: whether the feed has partial changes.
        by: SQL expressions over ``sequence``: what is equal in all of them and has another sequence ties, too, whatever it
            says, because the row that it was in another file is not known any more.

    Returns:
        Over the columns of :func:`gluewright_cdc_merge.merge.resolve`, never NULL.
    """
    at, before, deleted = F.col("at.sequence"), F.col("before"), F.col("delete_sequence")

    def contradicts(name: str) -> Column:
        quoted = f"`{name.replace('`', '``')}`"
        change, value, own = F.col(f"said.{quoted}"), F.col(f"old.{quoted}"), before
        place = at
        if partial:
            older = F.get(F.try_element_at("columns_before", F.lit(name)), F.lit(0))["sequence"]
            own, place, change = F.coalesce(older, before), F.get(change["path"], F.lit(0))["sequence"], change["value"]
        as_text = [F.to_json(F.struct(each.alias("value"))) for each in (change, value)]
        return (place == own) & value.isNotNull() & (as_text[0] != as_text[1])

    pairs = [F.col("exists") & contradicts(name) for name in names]
    ends = [F.col("exists") & (deleted == before), at == F.col("tomb")]
    if by:
        places = {
            column: F.struct(*(F.expr(each.replace("sequence.", f"{column}.")) for each in by))
            for column in ("at.sequence", "before", "delete_sequence")
        }
        for change in ("at.sequence", "delete_sequence"):
            same_place = places[change].eqNullSafe(places["before"]) & F.col(change).isNotNull()
            ends.append(F.col("exists") & same_place & (F.col(change) != before))
    found = [F.coalesce(each, F.lit(False)) for each in (*pairs, *ends)]
    return functools.reduce(Column.__or__, found)


def describe_change(records: DataFrame, pii: Collection[str]) -> Column:
    """Return a change as JSON, for quarantine.

    Args:
        records: the decoded records.
        pii: the columns whose values are withheld.
    """
    hidden = {name.lower() for name in pii}

    def masked(column: str) -> Column:
        names = records.select(f"{column}.*").columns
        values = []
        for name in names:
            value = F.col(f"{column}.`{name}`")
            withheld = F.when(value.isNotNull(), F.lit("(withheld)"))
            values.append((withheld if name.lower() in hidden else value).alias(name))
        return F.when(F.col(column).isNotNull(), F.struct(*values)).alias(column)

    # The place in a task's input is another one in another run, and quarantine holds a record once.
    order = [name for name in records.select("sequence.*").columns if name != LINE]
    sequence = F.struct(*(F.col(f"sequence.`{name}`") for name in order)).alias("sequence")
    return F.to_json(F.struct(F.col("kind").alias("op"), masked("key"), masked("row"), sequence))
