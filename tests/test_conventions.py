"""What holds for every package of this repository, and that the check of it would notice if it did not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.conventions import Package, problems, urls_of
from tools.new_recipe import write
from tools.urls import write_urls

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
            "from .job import main\n__version__ =",
            "__init__.py imports the job",
        ),
        (f"{SOURCE}/__init__.py", '__version__ = "0.1.0"', '__version__ = "0.2.0"', "`# gluewright-cdc-merge 0.2.0 merge"),
        (f"{SOURCE}/merge.py", "# gluewright-cdc-merge 0.1.0 merge.py\n", "", "merge.py does not begin with"),
        (f"{SOURCE}/merge.py", "# SPDX-License-Identifier: Apache-2.0\n", "", "merge.py does not begin with"),
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
            "merge.py imports the job",
        ),
        (f"{SOURCE}/job/__main__.py", None, None, "has no job/__main__.py"),
        (
            f"{SOURCE}/job/__init__.py",
            "from pyspark.sql import DataFrame\n",
            "import awsglue.utils\n",
            "job/__init__.py: imports awsglue",
        ),
        ("README.md", "# gluewright-cdc-merge", "# CDC", "README.md begins with '# CDC'"),
        ("README.md", None, None, "has no README.md"),
        (f"{SOURCE}/py.typed", None, None, "has no src/gluewright_cdc_merge/py.typed"),
        ("CHANGELOG.md", None, None, "has no CHANGELOG.md"),
        ("LICENSE", None, None, "has no LICENSE"),
        ("tests/test_readme.py", None, None, "has no tests/test_readme.py"),
        ("tests/bare_job.py", None, None, "has no tests/bare_job.py"),
        ("../../docs/recipes/cdc_merge.md", "/merge.py", "/other.py", "shows no module"),
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


def test_a_module_that_grows_beyond_what_can_be_read_in_one_sitting_is_named(repository):
    module = repository / "recipes" / "cdc_merge" / SOURCE / "merge.py"
    module.write_text(module.read_text() + "# a line\n" * 300)
    assert any("merge.py: has 3" in problem and "at most 300" in problem for problem in problems(repository))


def test_another_licence_than_the_repositorys_is_named(repository):
    (repository / "LICENSE").write_text("another")
    assert any("has another LICENSE than the repository" in problem for problem in problems(repository))


def test_the_address_of_the_repository_is_in_every_package_once_there_is_one(repository):
    package = Package(repository / "recipes" / "cdc_merge")
    (repository / "pyproject.toml").write_text('[tool.gluewright]\nrepository = "https://example.org/gluewright/"\n')
    assert any("run `hatch run urls`" in problem for problem in problems(repository))
    assert write_urls(package, urls_of(repository, package))
    assert package.project["project"]["urls"] == {
        "Repository": "https://example.org/gluewright",
        "Issues": "https://example.org/gluewright/issues",
        "Documentation": "https://example.org/gluewright/blob/main/recipes/cdc_merge/README.md",
        "Changelog": "https://example.org/gluewright/blob/main/recipes/cdc_merge/CHANGELOG.md",
    }
    assert problems(repository) == []
    assert not write_urls(package, urls_of(repository, package))
    (repository / "pyproject.toml").write_text('[tool.gluewright]\nrepository = ""\n')
    before = package.project
    assert write_urls(package, urls_of(repository, package))
    assert "urls" not in package.project["project"]
    assert package.project["tool"] == before["tool"]
    assert problems(repository) == []


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
