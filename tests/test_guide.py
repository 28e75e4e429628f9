"""Every code block of the guide runs, and prints what the guide says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gluewright_testing.readme import run_examples
from gluewright_testing.sharing import PART, SHARE

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_of_the_guide_run_and_print_what_it_says(page, spark, catalog, tmp_path, monkeypatch):
    for variable in (SHARE, PART):  # a page says how many kill points there are, not how many are today's
        monkeypatch.delenv(variable, raising=False)
    before = spark.conf.get("spark.sql.ansi.enabled")
    try:
        run_examples(page, {"spark": spark, "database": catalog.name, "folder": f"file://{tmp_path}"})
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before)


def test_the_tests_that_the_guide_names_are_there():
    root = GUIDE.parents[1]
    files = [*root.glob("*/tests/test_*.py"), *root.glob("*/*/tests/test_*.py"), *root.glob("tests/test_*.py")]
    there = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}
    text = (GUIDE / "publish_promises.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named
    assert named - there == set()
