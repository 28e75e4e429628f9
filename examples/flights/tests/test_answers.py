"""The tables' rows against DuckDB, run directly on the package's data."""

from __future__ import annotations

import zipfile

import duckdb
import pytest

from gluewright_flights import landing
from gluewright_flights.flights import FLIGHTS
from gluewright_flights.on_time import ON_TIME
from gluewright_testing.sharing import in_turn, once

FLIGHTS_SQL = """
SELECT dep_time::INT, sched_dep_time::INT, dep_delay::INT, arr_time::INT, sched_arr_time::INT, arr_delay::INT, carrier,
       flight::INT, tailnum, origin, dest, air_time::INT, distance::INT, hour::INT, minute::INT,
       epoch_us(time_hour::TIMESTAMPTZ), make_date(year::INT, month::INT, day::INT)
FROM flights
"""
# Rounded on both sides: interpolating between two delays may differ in the last bit of a double.
ON_TIME_SQL = """
SELECT f.carrier, any_value(a.name), origin, count(*), count(*) FILTER (dep_time IS NULL),
       count(*) FILTER (dep_time IS NOT NULL AND arr_delay::INT < 15) / nullif(count(dep_time), 0),
       round(quantile_cont(arr_delay::INT, 0.5), 9), round(quantile_cont(arr_delay::INT, 0.95), 9),
       '2013-' || lpad(month, 2, '0')
FROM flights f LEFT JOIN airlines a USING (carrier)
GROUP BY f.carrier, origin, month
"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """The package's files in DuckDB, as texts."""
    folder = tmp_path_factory.mktemp("package")
    with zipfile.ZipFile(landing.packaged("flights.csv.zip")) as archive:
        archive.extract("flights.csv", folder)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, file in {"flights": folder / "flights.csv", "airlines": landing.packaged("airlines.csv")}.items():
        connection.execute(f"CREATE TABLE {name} AS FROM read_csv('{file}', all_varchar = true, nullstr = 'NA')")
    return connection


@pytest.mark.parametrize(
    ("kind", "last", "rows"),
    [
        pytest.param("parquet", "2013-12-31", 336_776, marks=once(1, days=2)),
        *in_turn([("iceberg", "2013-01-31", 27_004), ("delta", "2013-01-31", 27_004)]),
    ],
)
def test_every_row_and_column_is_what_duckdb_makes_of_the_package(new_world, truth, kind, last, rows):
    world = new_world(last=last, kind=kind)

    summary = world.run()

    flights, on_time = world.table("flights"), world.table("on_time")
    assert typed(flights) == typed_as(FLIGHTS.struct)
    assert typed(on_time) == typed_as(ON_TIME.struct)
    published(world, "flights", FLIGHTS.names)
    published(world, "on_time", ON_TIME.names)
    shown = ", ".join("epoch_us(time_hour)" if name == "time_hour" else name for name in FLIGHTS.names)
    expected = f"FROM ({FLIGHTS_SQL}) AS t({', '.join(FLIGHTS.names)}) WHERE dt <= DATE '{last}'"
    assert truth.execute(f"SELECT count(*) {expected}").fetchall() == [(rows,)]
    assert_same(truth, f"SELECT {shown} FROM {files(world, 'flights')}", f"SELECT * {expected}")
    rounded = ", ".join(f"round({name}, 9)" if name.startswith("delay") else name for name in ON_TIME.names)
    assert_same(
        truth,
        f"SELECT {rounded} FROM {files(world, 'on_time')}",
        f"FROM ({ON_TIME_SQL}) AS t({', '.join(ON_TIME.names)}) WHERE month <= '{last[:7]}'",
    )
    assert world.rows("flights_quarantine") == []
    assert summary.steps[0].counts() == {"read": rows, "written": rows, "quarantined": 0}
    assert (world.root / "report" / "on_time.svg").read_text().count("<rect") == len(world.rows("on_time"))


def typed(table):
    return {field.name: (field.dataType, field.metadata.get("comment")) for field in table.schema}


def typed_as(schema):
    return {field.name: (field.dataType, field.metadata["comment"]) for field in schema}


def published(world, name, columns):
    """Copy what a reader of the catalog sees to plain files that DuckDB can read."""
    world.table(name).select(columns).write.parquet(str(world.root / "seen" / name))


def files(world, name):
    return f"read_parquet('{world.root}/seen/{name}/*.parquet')"


def assert_same(connection, actual, expected):
    for these, those in ((actual, expected), (expected, actual)):
        left = connection.execute(f"({these}) EXCEPT ALL ({those}) LIMIT 5").fetchall()
        assert left == [], f"in\n{these}\nand not in\n{those}"
