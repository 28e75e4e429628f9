"""Rows counted while they pass, by Spark's own `Observation`: no extra pass over the data.

Three things about observations were found out by trying them, the same on Spark 3.5 and 4.1, and are handled here:

- asking for the figures waits forever when the observed part of a plan never ran (``limit 0``, a filter that is never true,
  ``foreach``, no action at all). Here the answer is then None, at once: unknown;
- a sort or a range partitioning runs what lies below it twice, once to sample it, and the figures come out doubled.
  So each partition's first row is counted too: if all partitions were evaluated equally often the figures are divided
  by that, otherwise they are unknown;
- the first action over the rows decides, also one that reads only some of them (``take``) or that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from pyspark.sql import Observation
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_FIRST, _PARTITION = "_gw_first", "__gluewright_partition"
_STARTS, _PARTITIONS = "_gw_starts", "__gluewright_partitions"
# The row's number within its partition is in the lower 33 bits (PySpark's API, monotonically_increasing_id).
_ROW_BITS = (1 << 33) - 1
_PATIENCE_MS = 10_000


class Counted:
    """Figures about rows that an action has yet to read, or has read."""

    def __init__(self, rows: DataFrame, figures: Mapping[str, Column | None]) -> None:
        self.names = list(figures)
        self._spark = rows.sparkSession
        self._observation = Observation()
        marked = rows.select(
            "*",
            (F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_BITS)) == 0).alias(_FIRST),
            F.spark_partition_id().alias(_PARTITION),
        )
        one = F.lit(1)
        counts = [
            F.count(one if condition is None else F.when(condition, one)).alias(name) for name, condition in figures.items()
        ]
        starts = F.count(F.when(F.col(_FIRST), one)).alias(_STARTS)
        partitions = F.size(F.collect_set(F.when(F.col(_FIRST), F.col(_PARTITION)))).alias(_PARTITIONS)
        self.rows = marked.observe(self._observation, *counts, starts, partitions).drop(_FIRST, _PARTITION)

    def figures(self) -> dict[str, int] | None:
        """Return the figures by name, or None while no action has yielded them or if they cannot be told."""
        try:
            if not _arrived(self._spark, self._observation):
                return None
            found = self._observation.get
        except Exception:  # noqa: BLE001 - the way to the JVM's object is not public; counts must not fail a job
            return None
        # Spark 4 yields an empty row for a part of the plan that was optimised away.
        if _STARTS not in found:
            return None
        passes, uneven = divmod(found[_STARTS], found[_PARTITIONS] or 1)
        if uneven:
            return None
        return {name: found[name] // max(passes, 1) for name in self.names}


def _arrived(spark: SparkSession, observation: Observation) -> bool:
    context = spark.sparkContext._jsc.sc()
    # The figures travel on the listener bus, after the action has returned.
    context.listenerBus().waitUntilEmpty(_PATIENCE_MS)
    inner = observation._jo
    if spark.version.startswith("3."):
        field = inner.getClass().getDeclaredField("metrics")  # type: ignore[union-attr]
        field.setAccessible(True)
        return cast("bool", field.get(inner).isDefined())
    return cast("bool", inner.future().isCompleted())  # type: ignore[union-attr]
