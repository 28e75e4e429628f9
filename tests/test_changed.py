"""Which tests CI runs for a change, and that the workflow asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools.changed import affected_tests

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("files", "tests"),
    [
        (["recipes/pii_masking/README.md"], ["examples/flights", "recipes/pii_masking", "tests"]),
        (["examples/flights/README.md", "docs/index.md"], ["examples/flights", "tests"]),
        (["docs/index.md"], ["tests"]),
        (["recipes/gone/README.md"], ["tests"]),
        (["recipes/pii_masking/README.md", "core/README.md"], []),
        (["recipes/_template/page.md"], []),
        ([".ci/run"], []),
    ],
)
def test_a_change_has_the_tests_of_its_packages_and_of_what_uses_them(files, tests):
    assert affected_tests(files, ROOT) == tests


def test_a_branch_is_compared_with_where_it_began(tmp_path):
    def git(*words):
        settings = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
        subprocess.run(["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True)

    def change(file):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("changed")
        git("add", ".")
        git("commit", "-qm", file)

    git("init", "-q", "-b", "main")
    for name in ("__init__", "changed", "conventions"):
        source = ROOT / "tools" / f"{name}.py"
        if source.exists():
            (tmp_path / "tools").mkdir(exist_ok=True)
            (tmp_path / "tools" / f"{name}.py").write_bytes(source.read_bytes())
    change("docs/index.md")
    git("checkout", "-qb", "mine")
    change("docs/a page.md")
    git("checkout", "-q", "main")
    change("core/README.md")
    git("checkout", "-q", "mine")
    asked = [sys.executable, "-m", "tools.changed", "main"]
    assert subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "tests\n"


def test_the_workflow_runs_what_a_contributor_runs():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["run"]["steps"]
    (asks,) = (step for step in steps if step.get("id") == "changed")
    assert "python -m tools.changed" in asks["run"]
    # Tags and history: a recipe's floor may be an older core, and a branch is compared with where it began.
    assert steps[0]["with"] == {"fetch-depth": 0}
    assert steps[-1]["run"] == "bash .ci/run ${{ steps.changed.outputs.tests }}"
    script = subprocess.run(["bash", "-n"], input=asks["run"], text=True, check=False)
    assert script.returncode == 0
