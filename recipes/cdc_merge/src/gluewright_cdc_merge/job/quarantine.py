"""Save what cannot be merged beside the table, once: however often the same records are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from gluewright_cdc_merge.expressions import checkpointed
from gluewright_core.dataset import RUN

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.tables import Table


def save_quarantine(rows: DataFrame, quarantined: int, table: Table, run: str) -> None:
    """Quarantine the rows that no other run has quarantined before, in a partition of this run.

    A run reads its feed again, or a feed that has grown: what quarantine holds, with the same content and the same
    problems, it does not hold again. Of equal rows as many are kept as one reading has. The same run replaces its own.

    Args:
        rows: ``original``, ``problems`` and ``kept``.
        quarantined: how many they are.
        table: the quarantine.
        run: the logical run's id.
    """
    exists = table.exists()
    if not quarantined and exists and table.read().where(F.col(RUN) == run).isEmpty():
        return
    # An attempt again may have read more: it publishes again.
    attempt = f"{run}-{table.begin(run)}"
    columns = rows.columns
    if exists and quarantined:
        own = F.col(RUN) == run
        held = table.read()
        rows = checkpointed(rows.exceptAll(held.where(~own).select(columns)))
        if rows.isEmpty() and held.where(own).isEmpty():
            return
    table.publish(rows.withColumn(RUN, F.lit(run)), run=attempt, replace=[{RUN: run}])
