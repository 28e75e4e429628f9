"""The one place that starts a Spark session, and the one place that knows awsglue.

On Glue the session comes from a ``GlueContext`` and Glue's ``Job`` is started, so that job bookmarks work; it is
committed only after the job succeeded. Everywhere else the session is Spark's own. awsglue alone does not make a Glue:
the package on PyPI is only its Python half, so the JVM half is looked for too.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gluewright_core.glue_parameters import GlueParameters

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger("gluewright.session")

# Set unless the user did. ANSI stays as each line has it: recipes give the same rows either way.
_SETTINGS = {
    # Spark 4's defaults. On Spark 3.5 the default is EXCEPTION: a date before 1582 or 1900, or a text that Spark 2 parsed
    # differently, would fail the job on one line and pass on the other.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.avro.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.avro.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # This rule drops parts of a plan after they ran, and with them the count of rows read: an empty input would be
    # reported as unknown instead of 0. Without it Spark finishes such a join over no rows, which costs next to nothing.
    "spark.sql.adaptive.optimizer.excludedRules": "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation",
}


@dataclass
class Session:
    """A running session and what has to happen to it at the job's end.

    Attributes:
        spark: the session.
        glue_context: Glue's context; None outside Glue.
    """

    spark: SparkSession
    glue_context: Any = None
    _glue_job: Any = None
    _started_here: bool = False

    def commit(self) -> None:
        """Tell Glue that the job succeeded: its bookmarks move on. Nothing outside Glue."""
        if self._glue_job is not None:
            self._glue_job.commit()

    def stop(self) -> None:
        """Stop the session if it was started here. On Glue the service does that."""
        if self._started_here:
            self.spark.stop()


def start(name: str, glue: GlueParameters, conf: Mapping[str, str] | None = None) -> Session:
    """Return a session in UTC with the same settings on every Spark line.

    A session that is active already (a test's, a notebook's) is used and only its session settings are changed.

    Args:
        name: the application's name in Spark's own pages.
        glue: Glue's parameters; a job name in them says that this may be Glue.
        conf: settings for a session started outside Glue, beside what spark-submit was given.
    """
    active = _active()
    if active is not None:
        return Session(_settled(active))
    if expects_glue(glue):
        if _has_glue():
            return _start_on_glue(glue)
        _log.info("awsglue is installed but Glue's jars are not there: using plain Spark")
    return Session(_settled(_start_plain(name, conf or {})), _started_here=True)


def expects_glue(glue: GlueParameters) -> bool:
    """Say whether this looks like a run on Glue, where the job has to be announced before it works."""
    return bool(glue.job_name) and importlib.util.find_spec("awsglue") is not None


def _active() -> SparkSession | None:
    from pyspark import SparkContext  # noqa: PLC0415 - not needed to read arguments or print --help
    from pyspark.sql import SparkSession  # noqa: PLC0415

    active = SparkSession.getActiveSession()
    if active is None and SparkContext._active_spark_context is not None:
        # Started in another thread, where it is the active one.
        return SparkSession.builder.getOrCreate()
    return active


def _has_glue() -> bool:
    from py4j.java_gateway import JavaClass  # type: ignore[import-untyped]  # noqa: PLC0415
    from pyspark import SparkContext  # noqa: PLC0415

    prepare_python()
    # The JVM without a context yet, so that a plain session can still have its own settings.
    SparkContext._ensure_initialized()
    # py4j answers with a package for a class that it cannot find.
    return isinstance(SparkContext._jvm.com.amazonaws.services.glue.GlueContext, JavaClass)  # type: ignore[union-attr]


def _start_on_glue(glue: GlueParameters) -> Session:
    from awsglue.context import GlueContext  # noqa: PLC0415
    from awsglue.job import Job  # noqa: PLC0415
    from awsglue.utils import getResolvedOptions  # noqa: PLC0415
    from pyspark import SparkContext  # noqa: PLC0415

    context = GlueContext(SparkContext.getOrCreate())
    job = Job(context)
    # Glue's own parameters only: its parser would take a prefix among the job's arguments for one of them.
    given = [f"--{name}={value}" for name, value in glue.every.items() if value is not None]
    job.init(glue.job_name, getResolvedOptions(["job", *given], ["JOB_NAME"]))
    return Session(_settled(context.spark_session), context, job)


def _start_plain(name: str, conf: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession  # noqa: PLC0415

    prepare_python()
    # Steps report their own progress; Spark's bar would write over it.
    builder = SparkSession.builder.appName(name).config("spark.ui.showConsoleProgress", "false")
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def prepare_python() -> None:
    """Set what Python itself must have before the JVM starts: the workers' interpreter, and UTC."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        # Started by python, not by spark-submit: the workers run here too, and must not pick another python from PATH.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # PySpark turns timestamps into Python's by the process's zone, whatever the session's zone is.
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()


def _settled(spark: SparkSession) -> SparkSession:
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    chosen = spark.sparkContext.getConf()
    for key, value in _SETTINGS.items():
        if not chosen.contains(key):
            spark.conf.set(key, value)
    return spark
