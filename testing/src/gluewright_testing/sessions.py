"""A Spark session for tests and local runs: small, quiet, in UTC, the same on both Spark lines.

Its *parts* are what a run needs beside Spark itself: ``iceberg``, ``delta``, ``aws``, ``s3a``, ``jdbc`` bring jars and
settings, ``hive`` keeps the catalog on disk between processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gluewright_core.session import prepare_python
from gluewright_testing.jars import jars
from gluewright_testing.java import ensure_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ICEBERG_CATALOG = "ice"
GLUE_CATALOG = "glue"
# What every AWS double accepts; never real ones.
FAKE_CREDENTIALS = ("test", "testtest")
REGION = "us-east-1"

_SMALL_AND_QUIET = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.sql.session.timeZone": "UTC",
    # Spark's own figures are for clusters: 200 tasks for ten rows, 10,000 to list a folder, 50 to read a Delta log.
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}


def session_conf(*parts: str, workspace: Path, s3_endpoint: str | None = None) -> dict[str, str]:
    """Return every setting of a session with these parts, for ``SparkSession.builder`` or ``--conf``.

    Args:
        parts: any of ``iceberg`` (its extensions, and a catalog ``ice`` in the workspace), ``delta`` (its extensions,
            and Delta tables in Spark's own catalog), ``aws`` (with ``iceberg`` and an endpoint: a catalog ``glue`` on
            the Glue Data Catalog of that endpoint, its warehouse in the bucket ``warehouse``), ``s3a`` (``s3://`` and
            ``s3a://`` paths), ``jdbc`` (PostgreSQL's driver) and ``hive`` (a catalog that lives in the workspace, for
            one process at a time).
        workspace: folder for warehouses and catalogs.
        s3_endpoint: URL of an S3 double, such as ``http://127.0.0.1:5000``; without it S3A talks to AWS with the
            machine's credentials.

    Returns:
        Settings by name; all of them must be set before the session starts.

    Raises:
        JarsUnavailableError: the jars of a part could not be fetched, or no part has that name.
    """
    workspace = Path(workspace).absolute()
    conf = dict(_SMALL_AND_QUIET)
    conf["spark.sql.warehouse.dir"] = str(workspace / "warehouse")
    needed = jars(*(part for part in parts if part != "hive"))
    if needed:
        conf["spark.jars"] = ",".join(str(jar) for jar in needed)
    extensions = []
    if "iceberg" in parts:
        extensions.append("org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
        conf |= _iceberg_catalog(workspace)
    if "delta" in parts:
        extensions.append("io.delta.sql.DeltaSparkSessionExtension")
        conf["spark.sql.catalog.spark_catalog"] = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    if extensions:
        conf["spark.sql.extensions"] = ",".join(extensions)
    if "s3a" in parts:
        conf |= _s3a(s3_endpoint)
    jvm_properties: dict[str, str] = {}
    if {"iceberg", "aws"} <= set(parts) and s3_endpoint:
        conf |= _glue_catalog(s3_endpoint)
        jvm_properties |= _aws_client_properties()
    if "hive" in parts:
        conf |= _hive(workspace)
        # Else derby.log lands in the current folder.
        jvm_properties["derby.system.home"] = str(workspace)
    if jvm_properties:
        conf["spark.driver.extraJavaOptions"] = " ".join(f"-D{name}={value}" for name, value in jvm_properties.items())
    return conf


def start_session(
    *parts: str,
    workspace: Path,
    s3_endpoint: str | None = None,
    conf: Mapping[str, str] | None = None,
    app_name: str = "gluewright",
    master: str = "local[2]",
) -> SparkSession:
    """Start a Spark session with these parts; finds or brings Java and the jars first.

    Args:
        parts: as for `session_conf`.
        workspace: folder for warehouses and catalogs.
        s3_endpoint: as for `session_conf`.
        conf: settings that add to or win over those of the parts.
        app_name: the name that Spark shows.
        master: where it runs.

    Returns:
        The session. Stop it before another one with other parts starts.

    Raises:
        JavaNotFoundError: there is no Java that Spark can run on.
        JarsUnavailableError: as for `session_conf`.

    Example:
        >>> spark = start_session("delta", workspace=Path("/tmp/try"))  # doctest: +SKIP
    """
    import pyspark  # noqa: PLC0415 - slow, and pytest loads this package at every start
    from pyspark.sql import SparkSession  # noqa: PLC0415

    ensure_java(pyspark.__version__)
    prepare_python()
    # Else workers run whatever `python3` is first on PATH: another version on 4.1 fails, on 3.5 it silently lacks
    # packages.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder: SparkSession.Builder = SparkSession.builder  # a property in the stubs of one line, a class in the other's
    builder = builder.appName(app_name).master(master)
    for name, value in (session_conf(*parts, workspace=workspace, s3_endpoint=s3_endpoint) | dict(conf or {})).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _iceberg_catalog(workspace: Path) -> dict[str, str]:
    catalog = f"spark.sql.catalog.{ICEBERG_CATALOG}"
    return {
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "hadoop",
        f"{catalog}.warehouse": str(workspace / "iceberg"),
    }


def _glue_catalog(endpoint: str) -> dict[str, str]:
    catalog = f"spark.sql.catalog.{GLUE_CATALOG}"
    user, password = FAKE_CREDENTIALS
    return {
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
        f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalog}.warehouse": "s3://warehouse/glue",
        f"{catalog}.client.region": REGION,
        f"{catalog}.glue.endpoint": endpoint,
        f"{catalog}.s3.endpoint": endpoint,
        f"{catalog}.s3.path-style-access": "true",
        f"{catalog}.s3.access-key-id": user,
        f"{catalog}.s3.secret-access-key": password,
    }


def _aws_client_properties() -> dict[str, str]:
    """Credentials of Iceberg's Glue client, as JVM properties, which win over the environment's."""
    user, password = FAKE_CREDENTIALS
    return {
        "aws.accessKeyId": user,
        "aws.secretAccessKey": password,
        "aws.region": REGION,
        "aws.disableEc2Metadata": "true",
    }


def _s3a(endpoint: str | None) -> dict[str, str]:
    # s3:// is what paths look like on Glue.
    conf = {"spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}
    if endpoint is None:
        return conf
    user, password = FAKE_CREDENTIALS
    settings = {
        "endpoint": endpoint,
        "endpoint.region": REGION,
        "path.style.access": "true",
        "connection.ssl.enabled": str(endpoint.startswith("https")).lower(),
        "access.key": user,
        "secret.key": password,
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        # A missing bucket fails in seconds, not in minutes.
        "attempts.maximum": "2",
        "retry.limit": "2",
        "fast.upload.buffer": "bytebuffer",
    }
    return conf | {f"spark.hadoop.fs.s3a.{name}": value for name, value in settings.items()}


def _hive(workspace: Path) -> dict[str, str]:
    return {
        "spark.sql.catalogImplementation": "hive",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={workspace}/metastore;create=true",
        "spark.hadoop.datanucleus.schema.autoCreateAll": "true",
        "spark.hadoop.hive.metastore.schema.verification": "false",
    }
