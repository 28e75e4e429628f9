"""What holds for every package of this repository, and that the check of it would notice if it did not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.conventions import problems
from tools.new_recipe import write

ROOT = Path(__file__).parents[1]


def test_every_package_keeps_the_conventions():
    assert problems(ROOT) == []


@pytest.fixture
def repository(tmp_path):
    """A repository with one recipe, made from the template."""
    write("cdc_merge", tmp_path / "recipes" / "cdc_merge", tmp_path / "docs" / "recipes" / "cdc_merge.md")
    return tmp_path


def test_a_new_recipe_keeps_them(repository):
    assert problems(repository) == []


SOURCE = "src/gluewright_cdc_merge"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("pyproject.toml", "gluewright-cdc-merge", "cdc-merge", "is called cdc-merge"),
        ("pyproject.toml", '"gluewright-core', '"pyspark>=3.5", "gluewright-core', "depends on pyspark"),
        (
            f"{SOURCE}/__init__.py",
            "__version__ =",
            "from gluewright_cdc_merge.job import main\n__version__ =",
            "imports gluewright_cdc_merge.job",
        ),
        (f"{SOURCE}/__init__.py", "0.1.0", "0.2.0", "first line is not `# gluewright-cdc-merge 0.2.0`"),
        (f"{SOURCE}/merge.py", "# gluewright-cdc-merge 0.1.0\n", "", "has 0 hearts"),
        (
            f"{SOURCE}/merge.py",
            "from pyspark.sql import DataFrame\n",
            "from gluewright_core import storage\n",
            "merge.py imports gluewright_core",
        ),
        (
            f"{SOURCE}/merge.py",
            "from pyspark.sql import DataFrame\n",
            "from .job import main\n",
            "merge.py imports gluewright",
        ),
        (f"{SOURCE}/job.py", "from pyspark.sql import DataFrame\n", "import awsglue.utils\n", "job.py: imports awsglue"),
        ("README.md", "# gluewright-cdc-merge", "# CDC", "README.md begins with '# CDC'"),
        ("README.md", None, None, "has no README.md"),
        (f"{SOURCE}/py.typed", None, None, "has no src/gluewright_cdc_merge/py.typed"),
        ("CHANGELOG.md", None, None, "has no CHANGELOG.md"),
        ("tests/test_readme.py", None, None, "has no tests/test_readme.py"),
        ("tests/bare_job.py", None, None, "has no tests/bare_job.py"),
        ("../../docs/recipes/cdc_merge.md", "/merge.py", "/other.py", "does not show /merge.py"),
        ("../../docs/recipes/cdc_merge.md", None, None, "docs/recipes/cdc_merge.md does not show"),
    ],
)
def test_a_broken_convention_is_named_with_its_place(repository, file, old, new, said):
    path = repository / "recipes" / "cdc_merge" / file
    if old is None:
        path.unlink()
    else:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
    assert any(said in problem for problem in problems(repository)), problems(repository)


def test_importing_core_takes_under_50_ms_beyond_pyspark():
    program = (
        "import time, pyspark.sql, boto3\n"
        "started = time.process_time()\n"
        "import gluewright_core.job, gluewright_core.storage, gluewright_core.state, gluewright_core.tables\n"
        "print(time.process_time() - started)\n"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)]
    # Processor time is what it takes on a machine that does nothing else; other work only ever adds to it.
    assert min(float(run.stdout) for run in runs) < 0.050


def test_pytest_starts_without_importing_spark_or_aws():
    program = (
        "import sys, pytest\n"
        "pytest.main(['--collect-only', '-q', '/dev/null', '--import-mode=importlib'])\n"
        "print(*sorted({'gluewright_testing', 'pyspark', 'boto3', 'moto', 'chispa'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout.splitlines()[-1] == "gluewright_testing"
