"""A throw-away database in the catalog of a Spark session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pyspark.sql import SparkSession

from gluewright_testing.sessions import ICEBERG_CATALOG


@dataclass(frozen=True)
class Database:
    """A database that one test has for itself.

    Attributes:
        name: its name in Spark's catalog, and free for use as a namespace of the Iceberg catalog ``ice``.
        location: the folder of its tables.
    """

    name: str
    location: Path

    def table(self, name: str) -> str:
        """Return the full name of a table in it, such as ``test_1f3a.orders``."""
        return f"{self.name}.{name}"

    def iceberg_table(self, name: str) -> str:
        """Return the full name of an Iceberg table, such as ``ice.test_1f3a.orders``; needs the part ``iceberg``."""
        return f"{ICEBERG_CATALOG}.{self.name}.{name}"


@contextmanager
def throw_away_database(spark: SparkSession, location: Path) -> Iterator[Database]:
    """Make a database, make it the current one, and drop it with everything in it when the body ends.

    Args:
        spark: the session.
        location: a folder that may be deleted.
    """
    database = Database(f"test_{uuid4().hex[:12]}", location)
    outer_catalog, outer_database = spark.catalog.currentCatalog(), spark.catalog.currentDatabase()
    spark.sql(f"CREATE DATABASE spark_catalog.{database.name} LOCATION '{location.as_uri()}'")
    spark.sql(f"USE spark_catalog.{database.name}")
    try:
        yield database
    finally:
        spark.catalog.setCurrentCatalog(outer_catalog)
        spark.catalog.setCurrentDatabase(outer_database)
        spark.sql(f"DROP DATABASE IF EXISTS spark_catalog.{database.name} CASCADE")
        shutil.rmtree(location, ignore_errors=True)
        warehouse = spark.conf.get(f"spark.sql.catalog.{ICEBERG_CATALOG}.warehouse", None)
        if warehouse:
            shutil.rmtree(Path(warehouse) / database.name, ignore_errors=True)
