"""What lies in the landing zone: the files of the days asked for, and what is wrong with one that Spark cannot read."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta

from gluewright_core.errors import GluewrightError, ObjectNotFoundError
from gluewright_core.storage import Storage
from gluewright_flights.events import LATE_DAYS

_DAY = re.compile(r"(?P<folder>flights|flight_events)/dt=(?P<day>[^/]+)/(?P<file>[^_./][^/]*)")


class InvalidLandingError(GluewrightError):
    """The landing zone does not hold what the job was asked to read. Nothing was published."""


@dataclass(frozen=True)
class Zone:
    """The flights that a run reads.

    Attributes:
        storage: the landing zone.
        files: the keys of each landed day's files.
        missing: days between the first and the last landed one that have not arrived.
    """

    storage: Storage
    files: Mapping[date, Sequence[str]]
    missing: Sequence[date]

    @property
    def days(self) -> list[date]:
        """The landed days, in order."""
        return list(self.files)

    @property
    def months(self) -> list[str]:
        """Their months, such as ``2013-01``, in order."""
        return sorted({f"{day:%Y-%m}" for day in self.files})

    @property
    def keys(self) -> list[str]:
        """All files, by key."""
        return [key for keys in self.files.values() for key in keys]

    @property
    def paths(self) -> list[str]:
        """All files, as Spark wants them named."""
        return [self.storage.uri_of(key) for key in self.keys]


@dataclass(frozen=True)
class Feed:
    """The drops of flight events that have come.

    Attributes:
        storage: the landing zone.
        files: the keys of each drop's files, in the order of the drops.
    """

    storage: Storage
    files: Mapping[date, Sequence[str]]

    @property
    def first(self) -> date:
        """The first day whose flights it tells about."""
        return min(self.files)

    @property
    def last(self) -> date:
        """The last day whose events have all come."""
        return max(self.files) - timedelta(LATE_DAYS)


def find_flight_events(storage: Storage) -> Feed | None:
    """List the drops of flight events. They are small, so they are looked through too.

    Args:
        storage: the landing zone.

    Returns:
        What is there; None if that is less than the first days' events.

    Raises:
        InvalidLandingError: a folder is not named after a day, or a file is no sound gzip data.
        StorageError: the landing zone cannot be listed.
    """
    files: dict[date, list[str]] = {}
    for found in storage.list_objects("flight_events/dt="):
        if named := _DAY.fullmatch(found.key):
            files.setdefault(_day(storage, named), []).append(found.key)
    feed = Feed(storage, dict(sorted(files.items())))
    require_readable(storage, [key for keys in feed.files.values() for key in keys])
    return feed if files and feed.first <= feed.last else None


def find_flights(storage: Storage, first: date | None = None, last: date | None = None) -> Zone:
    """List the files of some days. Only the range of keys that these days can have is listed.

    Args:
        storage: the landing zone.
        first: the first day; None for as early as there is one.
        last: the last day; None for as late as there is one.

    Returns:
        What is there.

    Raises:
        InvalidLandingError: there are no flights of these days, a folder is not named after a day, or a file is empty.
        StorageError: the landing zone cannot be listed.
    """
    if first and last and first > last:
        raise InvalidLandingError(f"--from {first} is after --to {last}; nothing can have landed between them")
    files: dict[date, list[str]] = {}
    for found in storage.list_objects("flights/dt=", after=f"flights/dt={first}" if first else ""):
        named = _DAY.fullmatch(found.key)
        if named is None:
            continue
        day = _day(storage, named)
        if last and day > last:
            break
        if found.size == 0:
            raise InvalidLandingError(
                f"{storage.uri_of(found.key)} is empty, without even a header; have {day} sent again. A day without flights "
                "is a file with the header alone"
            )
        files.setdefault(day, []).append(found.key)
    if not files:
        raise InvalidLandingError(_nothing(storage, first, last))
    days = sorted(files)
    every = (days[0] + timedelta(n) for n in range((days[-1] - days[0]).days))
    return Zone(storage, {day: files[day] for day in days}, [day for day in every if day not in files])


def find_days_of(storage: Storage, keys: Iterable[str]) -> Zone | None:
    """List the files of the days that some files are of, whole: a day is published from all of its files.

    Args:
        storage: the landing zone.
        keys: of files, below ``flights/``.

    Returns:
        What is there; None if that is nothing, or none of the files is in a folder of a day.

    Raises:
        InvalidLandingError, StorageError: see :func:`find_flights`.
    """
    days = {_day(storage, named) for key in keys if (named := _DAY.fullmatch(f"flights/{key}"))}
    if not days:
        return None
    zone = find_flights(storage, min(days), max(days))
    files = {day: files for day, files in zone.files.items() if day in days}
    return replace(zone, files=files) if files else None


def require_readable(storage: Storage, files: Sequence[str], header: str = "") -> None:
    """Look through whole files; for small ones, or when something has failed already.

    Args:
        storage: the landing zone.
        files: keys.
        header: the first line that each must have; empty for files that have none.

    Raises:
        InvalidLandingError: names the first file that is missing, is no sound gzip data, or has another header.
    """
    for key in files:
        if problem := _problem(storage, key, header):
            raise InvalidLandingError(problem)


@contextmanager
def telling_unreadable(storage: Storage, files: Sequence[str]) -> Iterator[None]:
    """Tell a failure of the body that comes from a file in the landing zone by that file's name.

    Spark's own error names the file on some lines only, in a stack trace of some hundred lines. So when something failed,
    and only then, the files are looked through here.

    Args:
        storage: the landing zone.
        files: keys of what the body reads.

    Raises:
        InvalidLandingError: names the first file that cannot be read.
    """
    try:
        yield
    except GluewrightError:
        raise
    except Exception:
        require_readable(storage, files)
        raise


def _problem(storage: Storage, key: str, header: str) -> str | None:
    uri = storage.uri_of(key)
    try:
        body, _ = storage.read(key)
        text = gzip.decompress(body) if key.endswith(".gz") else body
    except EOFError:
        return f"{uri} is cut off in the middle of its gzip data; have it sent again, then run again. Nothing was published"
    except (gzip.BadGzipFile, zlib.error) as error:
        return f"{uri} is not sound gzip data ({error}); have it sent again, then run again. Nothing was published"
    except ObjectNotFoundError:
        return f"{uri} is not there; have it sent, then run again. Nothing was published"
    if not header:
        return None
    found = text.partition(b"\n")[0].decode(errors="replace").strip()
    if found != header:
        return f"{uri} has the header\n  {found}\nexpected\n  {header}\nHave it sent again as agreed. Nothing was published"
    return None


def _day(storage: Storage, named: re.Match[str]) -> date:
    folder, text = named["folder"], named["day"]
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if day.isoformat() == text:
            return day
    raise InvalidLandingError(
        f"{storage.uri_of(f'{folder}/dt={text}')} is not named after a day, such as dt=2013-01-31; rename or remove it"
    )


def _nothing(storage: Storage, first: date | None, last: date | None) -> str:
    there = [name for name in storage.list_folders("flights/") if name.startswith("dt=")]
    if first or last:
        asked = " ".join([*([f"--from {first}"] if first else []), *([f"--to {last}"] if last else [])])
        if there:
            return f"{storage.uri_of('flights')} has no flights for {asked}; it has {there[0][3:]} to {there[-1][3:]}"
    return (
        f"{storage.uri_of('flights')} has no folder of a day with files in it, such as dt=2013-01-31/flights.csv.gz; "
        "check --landing"
    )
