"""What the README shows is what happens."""

from pathlib import Path

import pytest

from gluewright_testing.readme import run_examples


@pytest.mark.usefixtures("interpreted")
def test_readme_examples_run_and_print_what_they_say(spark, catalog, tmp_path):
    names = {"spark": spark, "folder": str(tmp_path), "database": catalog.name}
    run_examples(Path(__file__).parents[1] / "README.md", names)
