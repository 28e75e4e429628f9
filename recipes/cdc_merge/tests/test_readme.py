"""What the README shows is what happens."""

from pathlib import Path

from gluewright_testing.readme import run_examples
from gluewright_testing.sharing import once


@once(1)
def test_readme_examples_run_and_print_what_they_say(spark):
    run_examples(Path(__file__).parents[1] / "README.md", {"spark": spark})
