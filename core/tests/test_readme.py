"""The README's examples are true."""

from pathlib import Path

import pytest

from gluewright_testing.readme import run_examples


@pytest.fixture
def examples_database(spark):
    """The database that the examples make, gone afterwards."""
    yield
    spark.sql("DROP DATABASE IF EXISTS spark_catalog.sales CASCADE")


@pytest.mark.usefixtures("examples_database")
def test_every_example_runs_and_prints_what_the_readme_says(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_PASSWORD", "")
    assert run_examples(Path(__file__).parent.parent / "README.md", {"spark": spark}) >= 14
