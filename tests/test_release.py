"""A release in a copy of the repository: bumped, built, looked at; and what is refused leaves everything as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import pytest

from gluewright_testing.sharing import once

pytestmark = once(0)


@pytest.fixture(scope="module")
def repository(copied_repository):
    subprocess.run(["git", "init", "-q"], cwd=copied_repository, check=True)
    return copied_repository


def release(repository, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tools.release", *arguments],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )


def unfit(repository, name):
    """Why a package could not be released, by the tools of that repository."""
    program = (
        "import json\nfrom tools.conventions import Package\nfrom tools.release import ROOT, unfit\n"
        f"print(json.dumps(list(unfit(Package(ROOT / 'recipes' / '{name}'), Package(ROOT / 'core')))))"
    )
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=repository, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def texts(repository):
    return {path: path.read_bytes() for path in (repository / "recipes").rglob("*") if path.is_file()}


def test_every_package_could_be_released_now(repository):
    run = release(repository)
    assert (run.returncode, run.stdout) == (0, "")


def test_a_release_bumps_builds_and_moves_the_fragments_into_the_changelog(repository, tmp_path_factory, monkeypatch):
    pytest.importorskip("towncrier")
    monkeypatch.setenv("HATCH_DATA_DIR", str(tmp_path_factory.mktemp("hatch")))
    run = release(repository, "cdc_merge", "0.2.0")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "git tag cdc_merge-0.2.0" in run.stdout
    recipe = repository / "recipes" / "cdc_merge"
    source = recipe / "src" / "gluewright_cdc_merge"
    copied = [file for file in source.rglob("*.py") if file.read_text().startswith("# gluewright-cdc-merge ")]
    lines = {file.read_text().partition("\n")[0] for file in copied}
    assert lines == {f"# gluewright-cdc-merge 0.2.0 {file.relative_to(source)}" for file in copied}
    assert "## 0.2.0 " in (recipe / "CHANGELOG.md").read_text()
    assert not list((recipe / "changelog.d").glob("*.md"))
    archive = repository / "dist" / "cdc_merge" / "gluewright_cdc_merge-0.2.0.zip"
    assert "gluewright_cdc_merge/merge.py" in zipfile.ZipFile(archive).namelist()
    again = release(repository, "cdc_merge", "0.3.0")
    assert again.returncode == 1
    assert "changelog.d is empty" in again.stdout


@pytest.mark.parametrize(
    ("change", "version", "reason"),
    [
        (("", ""), "0.0.9", "0.0.9 is not newer than 0.1.0"),
        (("", ""), "next", "'next' is no version"),
        (("gluewright-core>=0.1,<1", "gluewright-core>=0.0.5,<1"), "0.2.0", "there is no tag core-0.0.5"),
        (("gluewright-core>=0.1,<1", "gluewright-core>=7.1,<8"), "0.2.0", "this repository has 0.1.0 only"),
        (("gluewright-core>=0.1,<1", "gluewright-core"), "0.2.0", "without a floor and a ceiling"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(repository, change, version, reason):
    project = repository / "recipes" / "pii_masking" / "pyproject.toml"
    whole = project.read_text()
    project.write_text(whole.replace(*change) if change[0] else whole)
    before = texts(repository)
    run = release(repository, "pii_masking", version)
    assert (run.returncode, texts(repository)) == (1, before)
    assert reason in run.stdout
    project.write_text(whole)


def test_a_recipe_is_tested_on_the_core_of_its_floors_tag(repository, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HATCH_DATA_DIR", str(tmp_path_factory.mktemp("hatch")))
    core = repository / "core" / "src" / "gluewright_core" / "__init__.py"
    tests, whole = repository / "recipes" / "reprocessing" / "tests", core.read_text()
    for file in tests.glob("test_*.py"):
        file.unlink()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    for command in (["add", "core"], ["commit", "-qm", "Release"], ["tag", "core-0.1.0"]):
        subprocess.run([*git, *command], cwd=repository, check=True)
    core.write_text(whole.replace('"0.1.0"', '"0.2.0"') + "NEWER = 1\n")
    needs = "import gluewright_core\nimport gluewright_reprocessing.job\n\ndef test_it():\n    assert {}\n"
    (tests / "test_it.py").write_text(needs.format('gluewright_core.__version__ == "0.1.0"'))
    assert list(unfit(repository, "reprocessing")) == []
    (tests / "test_it.py").write_text(needs.format("gluewright_core.NEWER"))
    assert list(unfit(repository, "reprocessing")) == ["its tests fail on gluewright-core 0.1; raise the floor"]
    core.write_text(whole)


def test_a_fragment_that_towncrier_would_not_see_is_refused(repository):
    fragment = repository / "recipes" / "pii_masking" / "changelog.d" / "+tokens.new.md"
    fragment.write_text("Tokens.\n")
    run = release(repository)
    fragment.unlink()
    assert run.returncode == 1
    assert "pii_masking: changelog.d/+tokens.new.md is no fragment" in run.stdout
