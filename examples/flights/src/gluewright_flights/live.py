"""Flights as far as they are known: the events of the landing zone, merged drop by drop into ``flights_live``.

What is merged stands in the recipe ``cdc_merge``; here is what an event is, and that the merged rows must be the flights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from gluewright_cdc_merge import Decoded, plain
from gluewright_cdc_merge.job.publish import Target, open_target
from gluewright_core.dataset import RUN, quarantine_spec
from gluewright_core.errors import GluewrightError
from gluewright_core.schema import Column as Field
from gluewright_core.schema import Contract
from gluewright_core.summary import Step
from gluewright_core.tables import Table, open_table
from gluewright_flights.events import ALWAYS, SAYS
from gluewright_flights.flights import FLIGHTS

LINE = "line"
"""The column with a landed line as it came."""

EVENTS = Contract(
    "flight_events",
    (
        Field("event", "string", nullable=False, comment="What happened."),
        Field("sequence", "int", nullable=False, comment="Its number among the events of its flight."),
        Field("unset", "array<string>", nullable=False, comment="The columns that the event says nothing about."),
        *(replace(column, nullable=column.name not in ALWAYS) for column in FLIGHTS.columns),
    ),
    key=FLIGHTS.key,
    comment="What happened to a flight.",
)
"""An event: the columns of a flight in their types, of which it says some."""

IGNORED = ("stale", "repeated", "superseded")
"""What becomes of events that change nothing."""

_SOMETIMES = [name for name in FLIGHTS.names if name not in ALWAYS]
_LANDED = StructType([StructField(name, StringType()) for name in EVENTS.names if name != "unset"])


class LiveDiffersError(GluewrightError):
    """The merged events are not the published flights."""


@dataclass(frozen=True)
class Drop:
    """A drop's events, decoded.

    Attributes:
        read: how many lines it has.
        changes: for the merge.
        aside: lines that are no event, with the reasons.
    """

    read: int
    changes: DataFrame
    aside: DataFrame


@dataclass(frozen=True)
class Live:
    """The table ``flights_live`` with its quarantine. :func:`open_live` makes it."""

    target: Target
    quarantine: Table

    def merge(self, drops: Mapping[date, DataFrame], run: str, step: Step) -> None:
        """Set aside what is no event, then merge the drops one by one; one that was merged before changes nothing.

        Args:
            drops: the landed lines of each drop, as texts in the column `LINE`, in the order to merge.
            run: the logical run's id.
            step: counts every line.
        """
        decoded = {day: decode(lines) for day, lines in drops.items()}
        self._set_aside(decoded, run, step)
        for day, drop in decoded.items():
            step.add(read=drop.read)
            if drop.read:
                # For the table each drop is a run of its own.
                _count(self.target.merge(drop.changes, run=f"{run}-{day}", now=datetime.now(UTC)), step)

    def _set_aside(self, decoded: Mapping[date, Drop], run: str, step: Step) -> None:
        """Replace what was set aside of these drops, by whichever run."""
        each = [drop.aside.withColumn("dt", F.lit(day)) for day, drop in decoded.items()]
        aside = reduce(DataFrame.unionByName, each).withColumn(RUN, F.lit(run))
        replaced = [row.asDict() for row in aside.select("dt", RUN).distinct().collect()]
        if self.quarantine.exists():
            earlier = self.quarantine.read().where(F.col("dt").isin(list(decoded))).select("dt", RUN).distinct()
            replaced += [partition for row in earlier.collect() if (partition := row.asDict()) not in replaced]
        # An attempt again may find drops that have come since.
        attempt = f"{run}-{self.quarantine.begin(run)}"
        step.add(quarantined=self.quarantine.publish(aside, run=attempt, replace=replaced).rows)

    def require_same(self, flights: DataFrame, days: Sequence[date]) -> int:
        """Compare the merged rows with the published flights of some days, row by row.

        Args:
            flights: the published flights.
            days: the first and the last day.

        Returns:
            How many rows there are, the same in both.

        Raises:
            LiveDiffersError: with the number of rows that only one of them has.
        """
        within = F.col("dt").between(*days)
        expected = flights.where(within).select(*FLIGHTS.names)
        live = self.target.table.read().where(within).select(*FLIGHTS.names)
        missing, extra = expected.exceptAll(live).count(), live.exceptAll(expected).count()
        if missing or extra:
            raise LiveDiffersError(
                f"{self.target.table.spec.name} is not the flights of {days[0]} to {days[1]}: {missing:,} of their rows are "
                f"not in it, {extra:,} of its rows are not among them. Look in both quarantines, and "
                "whether a day or a drop was changed or taken away; then run again"
            )
        return expected.count()


def open_live(spark: SparkSession, name: str, kind: str, location: str) -> Live:
    """Open ``flights_live``, its tombstones and its quarantine; merging creates them where they do not exist.

    Args:
        spark: the session.
        name: the table's name with its database.
        kind: how the tables are kept.
        location: the table's folder; empty where the catalog decides.
    """
    changes = _changes(_decoded(spark.createDataFrame([], EVENTS.struct))).schema
    comment = "Flights from New York City, as far as their events have come."
    target = open_target(
        spark, name, changes, kind=kind, location=location, partition_by=FLIGHTS.partition_by, comment=comment
    )
    # By the day of the drop: a line that is no event may not tell its flight's.
    spec = quarantine_spec(name, location, [StructField("dt", DateType())])
    return Live(target, open_table(spark, spec, kind))


def decode(lines: DataFrame) -> Drop:
    """Hold the lines of a drop to the contract, and make changes of them.

    Args:
        lines: texts in the column `LINE`; others are told in quarantine.
    """
    conformed = EVENTS.conform(_parsed(lines))
    # Small, used more than once, and what is planned from here on has not all of this in its plan.
    checked = conformed.checked.localCheckpoint()
    conformed = conformed.from_checked(checked)
    decoded = Decoded(_decoded(conformed.rows).records.localCheckpoint())
    return Drop(checked.count(), _changes(decoded), conformed.quarantine.unionByName(decoded.quarantine).localCheckpoint())


def _parsed(lines: DataFrame) -> DataFrame:
    """Take the lines apart; a column that is not in a line is unset, one that is there and null is not."""
    unset = F.array_except(F.array(*map(F.lit, _SOMETIMES)), F.json_object_keys(LINE)).alias("unset")
    parsed = lines.select(F.from_json(LINE, _LANDED).alias("said"), unset, *lines.columns)
    return parsed.select("said.*", "unset", *lines.columns)


def _count(merged: Mapping[str, int], step: Step) -> None:
    ignored = {outcome: merged[outcome] for outcome in IGNORED if outcome in merged}
    step.add(written=sum(merged.values()) - sum(ignored.values()), ignored=ignored)


def _decoded(events: DataFrame) -> Decoded:
    return plain(events, FLIGHTS.key, op="event", sequence_by=["sequence"], upserts=list(SAYS), unset="unset")


def _changes(decoded: Decoded) -> DataFrame:
    # The number orders the events of a flight; it is no column of one.
    return decoded.changes.withColumn("row", F.col("row").dropFields("sequence"))
