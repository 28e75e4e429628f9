"""What is new in the landing zone since the last run, by an open ledger; and what a day that is sent again changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gluewright_flights.flights import FLIGHTS
from gluewright_flights.zone import InvalidLandingError
from gluewright_incremental import IncrementalError
from gluewright_incremental.job.incremental import Batch, Incremental
from gluewright_reprocessing import diff


@contextmanager
def unread(landing: str, state: str, holder: str) -> Iterator[Batch]:
    """Take the files of flights that no run has published yet; when the body ends they count as published.

    If a run dies before, the next one has the same files again, and replaces the same days by the same rows.

    Args:
        landing: the landing zone.
        state: where the ledger is kept.
        holder: the run, for messages.

    Raises:
        InvalidLandingError: files have changed that a run which died had planned to read.
        ConcurrentUpdateError: another run is at it.
    """
    # A day whose folder is taken away stays as it was published.
    flights = Incremental(
        f"{landing.rstrip('/')}/flights", consumer="flights", state=state, name="landing", gone="ignore", holder=holder
    )
    try:
        with flights.batch() as batch:
            yield batch
    except IncrementalError as error:
        raise InvalidLandingError(f"{landing}: {error}") from error


def corrections(published: DataFrame, landed: DataFrame) -> list[str]:
    """Tell what changes in days that are published already, a line a day.

    Args:
        published: flights of these days, as they are.
        landed: flights of these days, as they will be.
    """
    found = diff(published, landed, ["dt", *FLIGHTS.key]).groupBy("key.dt").pivot("change", list(_CHANGES)).count()
    again = found.where("coalesce(removed, changed, same, ambiguous) IS NOT NULL").orderBy("dt")
    return [
        f"{row['dt']}: " + ", ".join(f"{row[change]:,} {change}" for change in _CHANGES if row[change])
        for row in again.select("dt", *(F.col(change) for change in _CHANGES)).collect()
    ]


_CHANGES = ("added", "removed", "changed", "same", "ambiguous")
