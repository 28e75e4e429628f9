"""What the README shows is what happens."""

from pathlib import Path

from gluewright_testing.readme import run_examples


def test_readme_examples_run_and_print_what_they_say(spark, tmp_path):
    run_examples(Path(__file__).parents[1] / "README.md", {"spark": spark, "folder": str(tmp_path)})
