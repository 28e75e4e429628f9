from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gluewright_core import leases
from gluewright_core.job import run
from gluewright_core.storage import open_storage
from gluewright_core.summary import RunSummary
from gluewright_core.tables.catalog_spark import SparkCatalog
from gluewright_flights import landing
from gluewright_flights.flights import HEADER
from gluewright_flights.job import Arguments, main
from gluewright_testing.sessions import ICEBERG_CATALOG

TABLES = ("flights", "flights_quarantine", "on_time")
SHARED_TABLES = ("flights_shared", "planes_shared")
LIVE_TABLES = ("flights_live", "flights_live_tombstones", "flights_live_quarantine")


@dataclass
class World:
    """A landing zone and the tables made from it, for one test."""

    spark: Any
    root: Path
    kind: str
    database: str
    tables: Path
    same_run: bool = True

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    def argv(self, *more: str) -> list[str]:
        return [
            f"--landing={self.landing}",
            f"--warehouse={self.tables}",
            f"--report={self.root / 'report'}",
            f"--catalog={self.kind}",
            f"--database={self.database}",
            *more,
        ]

    def run(self, *more: str) -> RunSummary:
        return run(main, Arguments, argv=self.argv(*more))

    def file_of(self, day: str) -> Path:
        return self.landing / f"flights/dt={day}/flights.csv.gz"

    def lines_of(self, day: str) -> list[str]:
        return landing.gzip.decompress(self.file_of(day).read_bytes()).decode().splitlines()[1:]

    def put(self, day: str, *lines: str) -> None:
        """Have a day sent, or sent again, with these lines under the header."""
        text = "".join(f"{line}\n" for line in (HEADER, *lines))
        open_storage(self.landing).write(f"flights/dt={day}/flights.csv.gz", landing.compressed(text.encode()))

    def table(self, name: str) -> Any:
        return self.spark.table(f"{self.database}.{name}")

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        return sorted((tuple(row) for row in self.table(name).collect()), key=repr)

    def every_row(self) -> dict[str, list[tuple[Any, ...]]]:
        return {name: self.rows(name) for name in TABLES}

    def partitions(self, name: str = "flights") -> dict[str, dict[str, bytes]]:
        """Return each partition's files with their content, as the catalog says where they are."""
        found = SparkCatalog(self.spark).locations(f"{self.database}.{name}")
        return {
            str(values[0]): {str(file): file.read_bytes() for file in Path(uri.removeprefix("file://")).glob("*.parquet")}
            for values, uri in found.items()
        }

    def drop(self) -> None:
        for name in (*TABLES, *SHARED_TABLES, *LIVE_TABLES):
            self.spark.sql(f"DROP TABLE IF EXISTS {self.database}.{name}")
        self.spark.sql(f"DROP DATABASE IF EXISTS {self.database}")


@pytest.fixture(scope="session")
def landed(tmp_path_factory):
    """Lays days down once for all tests, to be copied."""

    @cache
    def lay(first: str, last: str) -> Path:
        folder = tmp_path_factory.mktemp("landed")
        landing.land(str(folder), date.fromisoformat(first), date.fromisoformat(last))
        return folder

    return lay


@pytest.fixture
def new_world(spark, tmp_path, landed) -> Iterator[Any]:
    """Makes worlds: ``new_world("2013-01-01", "2013-01-03", kind="delta")``."""
    worlds: list[World] = []

    def make(first: str = "2013-01-01", last: str = "2013-01-03", *, kind: str = "parquet", few: int | None = None) -> World:
        name = f"flights_{uuid.uuid4().hex[:10]}"
        database = f"{ICEBERG_CATALOG}.{name}" if kind == "iceberg" else name
        world = World(spark, tmp_path / name, kind, database, tmp_path / name / "tables")
        worlds.append(world)
        shutil.copytree(landed(first, last), world.landing)
        if few:
            for folder in (world.landing / "flights").iterdir():
                day = folder.name.removeprefix("dt=")
                world.put(day, *world.lines_of(day)[:few])
        return world

    yield make
    for world in worlds:
        world.drop()


@pytest.fixture
def short_leases(monkeypatch):
    """A run that died is waited for a fifth of a second instead of two minutes."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
