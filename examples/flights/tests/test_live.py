"""The feed of events, and the table that is merged from it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F

from gluewright_core.storage import open_storage
from gluewright_core.summary import Step
from gluewright_flights import landing
from gluewright_flights.events import ALWAYS, LATE_DAYS, SAYS
from gluewright_flights.job import find_feed
from gluewright_flights.live import LINE, LiveDiffersError, open_live
from gluewright_flights.zone import InvalidLandingError, Zone, find_flight_events
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import once

HAPPENS = {("scheduled", "departed", "arrived"), ("scheduled", "departed", "diverted"), ("scheduled", "cancelled")}


@pytest.fixture(scope="module")
def flights():
    return landing.flights(date(2013, 1, 1), date(2013, 1, 7))


@pytest.fixture(scope="module")
def feed(flights):
    """The events of each drop, by its day."""
    found = landing.flight_events(flights)
    return {key.split("dt=")[1][:10]: events(body) for key, body in found.items()}


def events(body):
    return [json.loads(line) for line in landing.gzip.decompress(body).splitlines()]


def flight_of(event):
    return tuple(event[name] for name in ALWAYS)


def test_every_flight_has_its_events_and_together_they_say_its_row(feed, flights):
    told = {}
    for event in (event for drop in feed.values() for event in drop):
        told.setdefault(flight_of(event), {})[event["sequence"]] = event
    files = [landing.gzip.decompress(body).decode().splitlines() for body in flights.values()]
    rows = [row for lines in files for row in landing.csv.DictReader(lines)]
    assert len(told) == len(rows) == 6099
    for row in rows:
        day = f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}"
        happened = told[day, row["time_hour"], row["carrier"], row["flight"]]
        assert sorted(happened) == list(range(1, len(happened) + 1))
        happened = [happened[number] for number in sorted(happened)]
        kinds = tuple(event["event"] for event in happened)
        assert kinds in HAPPENS
        assert (kinds[-1] == "cancelled") == (row["dep_time"] == "NA")
        assert [set(event) for event in happened] == [{"event", "sequence", *ALWAYS, *SAYS[kind]} for kind in kinds]
        known = {name: value for event in happened for name, value in event.items()}
        for name in row.keys() - {"year", "month", "day"}:
            assert known.get(name) == (None if row[name] == "NA" else row[name]), (row, name)


def test_drops_are_shuffled_have_events_twice_and_events_that_come_up_to_three_days_late(feed):
    assert list(feed) == [str(date(2013, 1, 1) + timedelta(n)) for n in range(7 + LATE_DAYS)]
    late = Counter((date.fromisoformat(day) - date.fromisoformat(each["dt"])).days for day in feed for each in feed[day])
    assert set(late) == {0, 1, 2, 3}
    assert 0.05 < 1 - late[0] / late.total() < 0.15
    copies = Counter(json.dumps(event) for drop in feed.values() for event in drop)
    assert 0.02 < sum(number == 2 for number in copies.values()) / len(copies) < 0.08
    assert max(copies.values()) == 2
    within = [Counter(json.dumps(event) for event in drop) for drop in feed.values()]
    assert any(max(drop.values()) == 2 for drop in within)
    first = [(flight_of(event), event["sequence"]) for event in feed["2013-01-01"]]
    assert first != sorted(first)
    # So a drop cannot be merged as it comes: an event of a flight is there before an earlier one of the same flight.
    numbers = {}
    for flight, number in first:
        numbers.setdefault(flight, []).append(number)
    assert any(each != sorted(each) for each in numbers.values())


def test_the_feed_is_laid_down_when_asked_for_the_same_bytes_every_time_and_beside_flights_that_are_there(monkeypatch):
    days = (date(2013, 1, 6), date(2013, 1, 9))
    zones = MemoryStorage(), MemoryStorage()
    for storage in zones:
        monkeypatch.setattr(landing, "open_storage", lambda _, storage=storage: storage)
        assert landing.land("zone", *days)
        assert not list(storage.list_objects("flight_events/"))
        storage.write("flights/dt=2013-01-06/flights.csv.gz", b"changed by the sender")
        assert landing.land("zone", *days, events=True)
        assert not landing.land("zone", *days, events=True)
        assert storage.read("flights/dt=2013-01-06/flights.csv.gz")[0] == b"changed by the sender"
    first, second = (
        {found.key: storage.read(found.key)[0] for found in storage.list_objects("flight_events/dt=")} for storage in zones
    )
    assert first == second
    # The feed ends with the seventh, and what comes late with the tenth.
    assert list(first) == [f"flight_events/dt=2013-01-{day:02}/events.json.gz" for day in range(6, 11)]


@pytest.mark.parametrize(
    ("from_", "to", "day", "merged"),
    [
        (None, None, 2, True),
        ("2013-01-02", "2013-01-03", 2, True),
        (None, "2013-01-03", 2, True),
        ("2013-01-03", None, 3, False),
        (None, "2013-01-02", 2, False),
        # Of what landed since the last run the feed tells nothing.
        (None, None, 7, False),
    ],
)
def test_the_feed_is_merged_unless_days_that_it_tells_about_are_not_asked_for(tmp_path, from_, to, day, merged):
    for drop in range(2, 7):
        open_storage(tmp_path).write(f"flight_events/dt=2013-01-{drop:02}/events.json.gz", landing.compressed(b""))
    from_, to = (text and date.fromisoformat(text) for text in (from_, to))
    zone = Zone(open_storage(tmp_path), {date(2013, 1, day): ["flights.csv.gz"]}, [])
    asked = SimpleNamespace(landing=str(tmp_path), from_=from_, to=to)
    feed = find_feed(SimpleNamespace(arguments=asked, log=logging.getLogger()), zone)
    assert (feed is not None) == merged
    if feed:
        assert (feed.first, feed.last) == (date(2013, 1, 2), date(2013, 1, 3))


def test_a_zone_without_a_feed_has_none_and_a_drop_that_is_cut_off_is_named(tmp_path):
    assert find_flight_events(open_storage(tmp_path)) is None
    cut = landing.compressed(b"{}\n" * 1000)[:-9]
    open_storage(tmp_path).write("flight_events/dt=2013-01-02/events.json.gz", cut)
    with pytest.raises(InvalidLandingError, match=r"dt=2013-01-02/events.json.gz is cut off"):
        find_flight_events(open_storage(tmp_path))


@once(0)
@pytest.mark.usefixtures("interpreted")
def test_the_merged_drops_are_the_flights_to_the_row_and_merged_again_they_change_nothing(new_world):
    world = new_world(last="2013-01-02")
    # Of each day some that arrived, some of whose events are late or come twice; one that was diverted, one cancelled.
    for day, chosen in {"2013-01-01": (0, 9, 17, 471, 838), "2013-01-02": (9, 13, 872, 940)}.items():
        world.put(day, *(world.lines_of(day)[number] for number in chosen))
    sent = landing.flight_events({day: world.file_of(day).read_bytes() for day in ("2013-01-01", "2013-01-02")})
    told = [event for body in sent.values() for event in events(body)]
    unfit = {**told[0], "event": "boarding"}, {**told[0], "hour": "soon"}
    first, *_ = sent
    lines = [*landing.gzip.decompress(sent[first]).decode().splitlines(), *map(json.dumps, unfit), '{"event": "depar']
    for key, body in (sent | {first: landing.compressed("\n".join(lines).encode())}).items():
        open_storage(world.landing).write(key, body)

    (counts,) = (step.counts() for step in world.run().steps if step.name == "live")
    flights, live = world.table("flights"), world.table("flights_live")
    assert flights.count() == 9
    assert_same_rows(live.select(flights.columns), flights)
    assert set(live.columns) - set(flights.columns) == {"_gw_sequence", "_gw_column_sequences"}
    assert counts["read"] == len(told) + 3 == counts["written"] + 3 + sum(counts["ignored"].values())
    assert counts["quarantined"] == 3
    aside = world.table("flights_live_quarantine").collect()
    assert {row["dt"] for row in aside} == {date(2013, 1, 1)}
    assert Counter(frozenset(problem["rule"] for problem in row["problems"]) for row in aside) == {
        frozenset({"op"}): 1,
        frozenset({"format"}): 1,
        frozenset({"required"}): 1,
    }

    files, step = world.partitions("flights_live"), Step("again")
    merged = open_live(world.spark, f"{world.database}.flights_live", world.kind, f"{world.tables}/flights_live")
    # All drops as one, so in another order too.
    again = world.spark.read.text(f"{world.landing}/flight_events").withColumnRenamed("value", LINE).select(LINE)
    merged.merge({date(2013, 1, 1): again}, "again", step)
    assert step.counts()["written"] == 0
    assert step.counts()["read"] == counts["read"]
    assert world.partitions("flights_live") == files
    assert world.table("flights_live_quarantine").count() == 3

    days = date(2013, 1, 1), date(2013, 1, 2)
    assert merged.require_same(flights, days) == 9
    changed = flights.where("carrier = 'B6'").withColumn("dep_delay", F.lit(600)).unionAll(flights.where("carrier <> 'B6'"))
    with pytest.raises(LiveDiffersError, match=rf"{changed.where('dep_delay = 600').count()} of their rows are not in it"):
        merged.require_same(changed, days)
