"""The feed ``flight_events``: what its events say, and how it is made from the flights of a few real days.

    landing/flight_events/dt=2013-01-01/events.json.gz    one drop a day, an event a line

A flight is scheduled, departs, and arrives or is diverted; or it is scheduled and cancelled. Each event says what it knows
and no more: the line of a departure has no time of arrival, and no schedule either. A drop is in no order, some events are
in it twice or in two drops, and some come up to `LATE_DAYS` days late, so a flight may arrive before it has departed.

The feed covers the first week of January only. Merging a drop is a merge of its own; a year of them, day by day, would take
longer than an example may.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from random import Random

FEED_FIRST, FEED_LAST = date(2013, 1, 1), date(2013, 1, 7)
"""The days whose flights the feed tells about."""

LATE_DAYS = 3
"""An event comes at most this many days after the day of its flight, so the last drops come after the last flights."""

ALWAYS = ("dt", "time_hour", "carrier", "flight")
"""What every event says: the flight, and its day."""

SAYS = {
    "scheduled": ("sched_dep_time", "sched_arr_time", "origin", "dest", "distance", "hour", "minute"),
    "departed": ("tailnum", "dep_time", "dep_delay"),
    "arrived": ("arr_time", "arr_delay", "air_time"),
    # The same as an arrival, but the delay and the time in the air are not known, and say so: they are null.
    "diverted": ("arr_time", "arr_delay", "air_time"),
    "cancelled": ("tailnum",),
}
"""The kinds of events, and what each says beside that."""

_LATE, _TWICE = 0.1, 0.05


def drops(flights: Iterable[Mapping[str, str]]) -> dict[str, bytes]:
    """Tell flights as events, and deliver these in drops.

    Args:
        flights: rows of the landed files, as texts.

    Returns:
        The content of each drop by its key, JSON lines; also of drops without an event. The same every time.
    """
    by_day: dict[date, list[dict[str, str | int | None]]] = {}
    days = set()
    for flight in flights:
        day = date(*(int(flight[part]) for part in ("year", "month", "day")))
        days.add(day)
        # A flight's own luck: the feed of a day is the same whichever other days are asked for.
        luck = Random(f"{day} {flight['time_hour']} {flight['carrier']} {flight['flight']}")  # noqa: S311
        for event in events_of(flight, day):
            for _ in range(2 if luck.random() < _TWICE else 1):
                late = luck.randint(1, LATE_DAYS) if luck.random() < _LATE else 0
                by_day.setdefault(day + timedelta(late), []).append(event)
    if not days:
        return {}
    last = max(days) + timedelta(LATE_DAYS)
    every = (min(days) + timedelta(n) for n in range((last - min(days)).days + 1))
    return {f"flight_events/dt={day}/events.json.gz": _lines(by_day.get(day, []), Random(f"{day}")) for day in every}  # noqa: S311


def events_of(flight: Mapping[str, str], day: date) -> list[dict[str, str | int | None]]:
    """Tell one flight as events, in order.

    Args:
        flight: a row of the landed files, as texts.
        day: its day.
    """
    if flight["dep_time"] == "NA":
        happened = ["scheduled", "cancelled"]
    else:
        happened = ["scheduled", "departed", "diverted" if flight["arr_delay"] == "NA" else "arrived"]
    said = {name: None if text == "NA" else text for name, text in flight.items()} | {"dt": day.isoformat()}
    return [
        {"event": event, "sequence": number, **{name: said[name] for name in (*ALWAYS, *SAYS[event])}}
        for number, event in enumerate(happened, 1)
    ]


def _lines(events: list[dict[str, str | int | None]], luck: Random) -> bytes:
    shuffled = luck.sample(events, len(events))
    return "".join(f"{json.dumps(event)}\n" for event in shuffled).encode()
