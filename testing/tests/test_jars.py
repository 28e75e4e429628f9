"""Jars come once, from wherever the settings say, whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from gluewright_testing import jars as module
from gluewright_testing.errors import JarsUnavailableError
from gluewright_testing.jars import jars


@pytest.fixture
def empty_cache_with_mirror(tmp_path, monkeypatch):
    """An empty cache, and a company's mirror that holds Delta's jars."""
    mirror = jars("delta")[0].parent
    settings = tmp_path / "settings.xml"
    settings.write_text(
        '<ivysettings><settings defaultResolver="mirror"/><resolvers><filesystem name="mirror">'
        f'<artifact pattern="{mirror}/[artifact]-[revision].[ext]"/></filesystem></resolvers></ivysettings>'
    )
    monkeypatch.setenv("GLUEWRIGHT_IVY_SETTINGS", str(settings))
    monkeypatch.setenv("GLUEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_two_processes_that_need_the_same_jars_at_once_both_get_them_from_the_mirror(empty_cache_with_mirror):
    program = "from gluewright_testing.jars import jars; print(*jars('delta'))"
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0].split() for process in both)
    assert first == second == [str(jar) for jar in jars("delta")]
    assert len(first) == 2
    assert all(jar.startswith(str(empty_cache_with_mirror)) and Path(jar).stat().st_size > 10_000 for jar in first)


def test_jars_that_are_there_need_neither_java_nor_network(empty_cache_with_mirror, monkeypatch):
    fetched = jars("delta")

    def no_process(*_, **__):
        raise AssertionError("started a process")

    monkeypatch.setattr(module.subprocess, "run", no_process)
    assert jars("delta") == fetched


def test_what_the_mirror_has_not_is_named_and_asked_for_again_next_time(empty_cache_with_mirror):
    for _ in range(2):
        with pytest.raises(JarsUnavailableError, match=r"jdbc jars.*GLUEWRIGHT_IVY_SETTINGS(.|\n)*postgresql"):
            jars("jdbc")


def test_an_unknown_group_is_refused_with_the_known_ones():
    with pytest.raises(JarsUnavailableError, match=r"called hudi\. There are: iceberg, delta"):
        jars("delta", "hudi")


def test_s3a_comes_after_the_one_aws_sdk_it_shares_with_iceberg():
    names = [jar.name for jar in jars("s3a", "aws", "iceberg")]
    assert [name.split("-")[0] for name in names][:2] == ["iceberg", "iceberg"]
    assert next(index for index, name in enumerate(names) if name.startswith("iceberg-aws-bundle")) < next(
        index for index, name in enumerate(names) if name.startswith("hadoop-aws")
    )
