"""What the README shows is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from gluewright_core.tables import ALL, TableSpec, open_table
from gluewright_testing.readme import run_examples
from gluewright_testing.rows import rows

SCHEMA = "flight string, minutes int, dt date"
BEFORE = [("AA1", 5, "2013-02-01"), ("AA2", 6, "2013-02-02"), ("AA3", 7, "2013-02-03")]
FLOWN = [("AA1", 50, "2013-02-01"), ("AA2", 6, "2013-02-02")]


@pytest.mark.usefixtures("interpreted")
def test_readme_examples_run_and_print_what_they_say(spark, catalog, tmp_path):
    before = rows(spark, SCHEMA, BEFORE)
    spec = TableSpec(catalog.table("delays"), before.schema, ("dt",), f"file://{tmp_path}/wh/delays")
    table = open_table(spark, spec)
    table.publish(before, run="daily", replace=ALL)
    names = {"spark": spark, "table": table, "flown": rows(spark, SCHEMA, FLOWN)}
    assert run_examples(Path(__file__).parents[1] / "README.md", names) == 3
