"""The jars that Spark needs beside its own: Iceberg, Delta, S3A, JDBC. Fetched once, then offline.

pip's pyspark carries Apache Ivy. One version file per Spark line (``ivy/spark35.xml``, ``ivy/spark41.xml``) names exact
versions without their dependencies, so that nothing on Spark's own class path is doubled. The jars come from Maven
Central into ``<cache>/jars``; a company's mirror is named by an Ivy settings file in ``GLUEWRIGHT_IVY_SETTINGS``.
"""

from __future__ import annotations

import os
import subprocess
from hashlib import sha256
from pathlib import Path

from gluewright_testing.cache import cache_folder, locked
from gluewright_testing.errors import JarsUnavailableError
from gluewright_testing.java import ensure_java

# Also the order on the class path: the AWS SDK of `aws` must come before what S3A brings.
GROUPS = ("iceberg", "delta", "aws", "s3a", "jdbc")
_VERSION_FILES = Path(__file__).parent / "ivy"
_COMPLETE = ".complete"


def jars(*groups: str) -> list[Path]:
    """Return the jar files of some groups for the installed Spark; the first call on a machine fetches them.

    Args:
        groups: any of ``iceberg``, ``delta``, ``aws`` (what Iceberg needs for S3 and Glue), ``s3a`` and ``jdbc``
            (PostgreSQL).

    Returns:
        The files in class path order, fit for ``spark.jars``.

    Raises:
        JarsUnavailableError: a group or Spark version is unknown, or the download failed.

    Example:
        >>> [jar.name for jar in jars("delta")]  # doctest: +SKIP
        ['delta-spark_2.12-3.3.2.jar', 'delta-storage-3.3.2.jar']
    """
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise JarsUnavailableError(f"No jars are called {', '.join(unknown)}. There are: {', '.join(GROUPS)}.")
    line = spark_line()
    wanted = set(groups) | ({"aws"} if line == "spark41" and "s3a" in groups else set())
    return [jar for group in GROUPS if group in wanted for jar in _group(line, group)]


def spark_line() -> str:
    """Return which Spark line is installed, such as ``spark35`` for 3.5.6.

    Raises:
        JarsUnavailableError: there is no version file for it.
    """
    import pyspark  # noqa: PLC0415 - slow, and pytest loads this package at every start

    line = "spark" + "".join(pyspark.__version__.split(".")[:2])
    if not (_VERSION_FILES / f"{line}.xml").exists():
        known = ", ".join(sorted(file.stem for file in _VERSION_FILES.glob("spark*.xml")))
        raise JarsUnavailableError(
            f"pyspark {pyspark.__version__} is installed, and there are jar versions for {known} only. "
            "Install pyspark 3.5 or 4.1."
        )
    return line


def _group(line: str, group: str) -> list[Path]:
    version_file = _VERSION_FILES / f"{line}.xml"
    # Other versions go to another folder: two versions of one jar on a class path would be the worst of all.
    folder = cache_folder() / "jars" / f"{line}-{sha256(version_file.read_bytes()).hexdigest()[:12]}" / group
    if not (folder / _COMPLETE).exists():
        # Ivy does not lock its own cache: two test runs filling it at once corrupt it.
        with locked(cache_folder() / "jars" / ".lock"):
            if not (folder / _COMPLETE).exists():
                _fetch(version_file, group, folder)
                (folder / _COMPLETE).touch()
    return sorted(folder.glob("*.jar"))


def _fetch(version_file: Path, group: str, folder: Path) -> None:
    import pyspark  # noqa: PLC0415

    spark_home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    ivy = next(iter(sorted((spark_home / "jars").glob("ivy-*.jar"))), None)
    if ivy is None:
        raise JarsUnavailableError(f"No ivy-*.jar in {spark_home / 'jars'}. Install Spark with `pip install pyspark`.")
    settings = os.environ.get("GLUEWRIGHT_IVY_SETTINGS") or str(_VERSION_FILES / "settings.xml")
    java = ensure_java(pyspark.__version__) / "bin" / "java"
    command = [
        str(java),
        "-jar",
        str(ivy),
        "-settings",
        settings,
        "-cache",
        str(cache_folder() / "ivy"),
        "-ivy",
        str(version_file),
    ]
    command += ["-confs", group, "-types", "jar", "bundle", "-retrieve", f"{folder}/[artifact]-[revision].[ext]"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode != 0:
        reasons = [line.strip() for line in run.stdout.splitlines() if line.strip()][-8:]
        raise JarsUnavailableError(
            f"The {group} jars for {version_file.stem} could not be fetched with {settings}. If Maven Central is not "
            "reachable, name an Ivy settings file with your mirror in GLUEWRIGHT_IVY_SETTINGS. Ivy said:\n  "
            + "\n  ".join(reasons)
        )
