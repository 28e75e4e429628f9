"""The pytest plugin: fixtures for Spark, AWS and a throw-away database.

Nothing slow is imported before a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gluewright_testing.aws import REAL_SETTINGS, AwsServer, fake_environment, running_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gluewright_testing.database import Database

# The JVM's second compiler never pays within a test run: without it everything here takes a fifth less. Nor does collecting
# garbage with all processors.
_FAST_START = {"spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}

PLANS = "GLUEWRIGHT_PLANS"
"""Environment variable: ``interpreted`` does for the whole run what the fixture of this name does for a test."""
_INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting that says what the session of a test run needs beside Spark."""
    parser.addini(
        "gluewright_parts",
        type="args",
        default=[],
        help="what the `spark` fixture needs beside Spark: any of iceberg delta aws s3a jdbc hive",
    )


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One Spark session for the whole run, with the parts named by ``gluewright_parts`` in pytest's settings."""
    from gluewright_testing.local_rows import handed_over_as_pickled  # noqa: PLC0415
    from gluewright_testing.sessions import start_session  # noqa: PLC0415

    parts: list[str] = request.config.getini("gluewright_parts")
    endpoint = request.getfixturevalue("aws_server").url if {"aws", "s3a"} & set(parts) else None
    workspace = tmp_path_factory.mktemp("spark")
    conf = _FAST_START | (_INTERPRETED if os.environ.get(PLANS) == "interpreted" else {})
    session = start_session(*parts, workspace=workspace, s3_endpoint=endpoint, conf=conf, app_name="tests")
    with handed_over_as_pickled():
        yield session
    session.stop()


@pytest.fixture
def interpreted(spark: SparkSession) -> Iterator[None]:
    """Spark interprets plans while the test runs: a few rows are not worth code that takes seconds to compile."""
    before = {name: str(spark.conf.get(name)) for name in _INTERPRETED}
    for name, value in _INTERPRETED.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


@pytest.fixture
def catalog(spark: SparkSession, tmp_path: Path) -> Iterator[Database]:
    """A throw-away database in Spark's catalog, current while the test runs; it and its files are gone afterwards."""
    from gluewright_testing.database import throw_away_database  # noqa: PLC0415

    with throw_away_database(spark, tmp_path / "database") as database:
        yield database


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in this process (moto): every boto3 client talks to it, with fake credentials, and starts empty."""
    import moto  # noqa: PLC0415

    _point_to(monkeypatch, fake_environment())
    with moto.mock_aws():
        yield


@pytest.fixture(scope="session")
def aws_server() -> Iterator[AwsServer]:
    """The server behind ``s3_server``, for fixtures that live longer than a test."""
    with running_server() as server:
        yield server


@pytest.fixture
def s3_server(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    """AWS as a server: boto3 of this process and its children talk to it, and Spark too with the part ``s3a``.

    Starts with nothing but an empty bucket ``warehouse``, where the Iceberg catalog ``glue`` keeps its tables.
    """
    aws_server.reset()
    aws_server.bucket("warehouse")
    _point_to(monkeypatch, aws_server.environment)
    return aws_server


def _point_to(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    import boto3  # noqa: PLC0415

    for name in REAL_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # boto3's default session remembers the credentials that it found first.
    none: Any = None
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", none)
