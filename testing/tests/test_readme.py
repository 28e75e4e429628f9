"""What the README shows is what happens, and the runner of README examples notices when it is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from gluewright_testing.readme import blocks, run_examples
from gluewright_testing.sharing import once

README = Path(__file__).parents[1] / "README.md"


@once(0)
def test_every_test_in_the_readme_passes(tmp_path):
    examples = [block.body for block in blocks(README) if block.language == "python"]
    (settings,) = (block.body for block in blocks(README) if block.language == "toml")
    (tmp_path / "test_examples.py").write_text("\n".join(examples))
    (tmp_path / "pyproject.toml").write_text(settings)
    # A process of its own: there is one Spark session in each.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    assert f"{sum(example.count('def test_') for example in examples)} passed" in run.stdout


@pytest.fixture
def readme(tmp_path):
    return tmp_path / "README.md"


def test_blocks_share_names_and_their_output_is_compared(readme, capsys):
    readme.write_text(
        "```python\nn = 1\n```\n```python\nprint(n + given)\n```\n\n```text\n3  \n```\n\n```\nnot python\n```\n"
    )
    assert run_examples(readme, {"given": 2}) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "line 6 says\n2\nand the example above prints\n1"),
        ("no examples\n\n```\npython\n```\n", "has no python examples"),
    ],
)
def test_a_readme_that_says_something_else_fails(readme, text, said):
    readme.write_text(text)
    with pytest.raises(AssertionError, match=said):
        run_examples(readme)


def test_an_example_that_fails_is_found_by_its_line_in_the_readme(readme):
    readme.write_text("# Title\n\n```python\n\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as failure:
        run_examples(readme)
    assert (failure.traceback[-1].path, failure.traceback[-1].lineno + 1) == (readme, 5)
