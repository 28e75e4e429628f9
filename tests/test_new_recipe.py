"""`hatch run new` in a copy of the repository: the recipe installs, tests, builds and gets its page; no list is edited."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluewright_testing.sharing import once

pytestmark = once(1)


def output(command, cwd, **environment):
    """Run a command and return what it printed; show that when it fails."""
    run = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


@pytest.fixture
def repository(built):
    return built


@pytest.fixture
def dist(built):
    return built / "dist"


def test_the_build_makes_sdist_wheel_and_a_zip_that_imports(dist, tmp_path):
    built = {file.name for file in dist.iterdir()}
    for name in ("gluewright_core-", "gluewright_testing-", "gluewright_throw_away-0.1.0"):
        assert {".gz", ".whl", ".zip"} <= {Path(file).suffix for file in built if file.startswith(name)}
    program = "import gluewright_throw_away.away as idea; print(idea.__file__)"
    where = output([sys.executable, "-c", program], tmp_path, PYTHONPATH=str(dist / "gluewright_throw_away-0.1.0.zip"))
    assert "gluewright_throw_away-0.1.0.zip" in where


def test_the_wheel_installs_and_the_recipes_own_tests_pass_against_it(repository, dist, tmp_path):
    (wheel,) = dist.glob("gluewright_throw_away-*.whl")
    installer = [os.environ["HATCH_UV"], "pip", "install", "--python", sys.executable, "--no-deps", "--target"]
    output([*installer, tmp_path / "installed", wheel], repository)
    (metadata,) = (tmp_path / "installed").glob("*.dist-info/METADATA")
    required = [line for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist")]
    assert required == ["Requires-Dist: gluewright-core<1,>=0.1"]
    # One session, without the jars of table formats that this recipe does not use.
    tests = [sys.executable, "-m", "pytest", "recipes/throw_away", "-o", "gluewright_parts="]
    assert "5 passed" in output(tests, repository, PYTHONPATH=str(tmp_path / "installed"))


def test_the_guide_gets_its_page_with_the_module_to_copy(repository, tmp_path):
    output([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"], repository)
    page = (tmp_path / "site" / "recipes" / "throw_away" / "index.html").read_text()
    for shown in ("Keeps the newest row of every key", "gluewright-throw-away 0.1.0", "newest_per_key", "Changelog"):
        assert shown in page
    assert "recipes/throw_away/" in (tmp_path / "site" / "index.html").read_text()


def test_the_new_recipe_is_formatted_and_keeps_the_conventions(repository):
    assert output([sys.executable, "-m", "ruff", "format", "--check", "recipes/throw_away"], repository)
    assert "All checks passed" in output([sys.executable, "-m", "ruff", "check", "recipes/throw_away"], repository)
    program = "from pathlib import Path; from tools.conventions import problems; print(problems(Path('.')))"
    assert output([sys.executable, "-c", program], repository).strip() == "[]"


@pytest.mark.parametrize("name", ["throw_away", "Bad-Name", "nightly_job", "bulk_import"])
def test_a_name_that_is_taken_or_no_name_is_refused_and_nothing_is_written(repository, name):
    before = sorted(repository.rglob("*"))
    run = subprocess.run(
        [sys.executable, "-m", "tools.new_recipe", name], cwd=repository, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert ("exists already" if name == "throw_away" else "is no name for a recipe") in run.stderr
    assert sorted(repository.rglob("*")) == before
