from __future__ import annotations

from datetime import date
from hashlib import sha256

import pytest

from gluewright_core.storage import open_storage
from gluewright_flights import landing
from gluewright_testing.killpoints import killed_at
from gluewright_testing.memory import MemoryStorage


def test_a_year_lands_as_a_file_a_day_with_every_line_of_the_package(tmp_path):
    assert landing.land(str(tmp_path))
    keys = [found.key for found in open_storage(tmp_path).list_objects()]
    assert len(keys) == 365 + 12 + 3 + 1
    assert keys[:2] == ["_landed.json", "flights/dt=2013-01-01/flights.csv.gz"]
    landed = [line for key in keys if key.startswith("flights/") for line in lines(tmp_path / key)]
    with landing.zipfile.ZipFile(landing.packaged("flights.csv.zip")) as archive:
        packaged = archive.read("flights.csv").splitlines()
    assert sorted(landed) == sorted(packaged[1:])
    weather = [line for key in keys if key.startswith("weather/") for line in lines(tmp_path / key)]
    assert sorted(weather) == sorted(landing.packaged("weather.csv").read_bytes().splitlines()[1:])


def test_the_same_bytes_come_out_every_time_and_what_has_landed_is_left_alone(tmp_path, monkeypatch):
    week = (date(2013, 2, 1), date(2013, 2, 7))
    first, second = MemoryStorage(), MemoryStorage()
    for storage in (first, second):
        monkeypatch.setattr(landing, "open_storage", lambda _, storage=storage: storage)
        assert landing.land("zone", *week)
    assert contents(first) == contents(second)
    assert not landing.land("zone", *week)

    second.write("flights/dt=2013-02-01/flights.csv.gz", b"changed by the sender")
    assert not landing.land("zone", *week)
    assert second.read("flights/dt=2013-02-01/flights.csv.gz")[0] == b"changed by the sender"


def test_landing_that_was_killed_is_done_again(monkeypatch):
    storage = MemoryStorage()
    monkeypatch.setattr(landing, "open_storage", lambda _: storage)
    day = (date(2013, 2, 1), date(2013, 2, 1))
    with killed_at(3, "after"):
        landing.land("zone", *day)
    assert landing.MANIFEST not in contents(storage)
    assert landing.land("zone", *day)
    assert len(contents(storage)) == 1 + 1 + 3 + 1


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(landing.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(landing.MissingFlightsError, match=r"pip install 'gluewright-flights\[local\]'"):
        landing.flights()


def lines(file):
    return landing.gzip.decompress(file.read_bytes()).splitlines()[1:]


def contents(storage):
    return {found.key: sha256(storage.read(found.key)[0]).hexdigest() for found in storage.list_objects()}
