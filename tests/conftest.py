"""What several tests of the repository itself need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def copied_repository(tmp_path_factory):
    """A copy of the repository, uncommitted files included, for a test to change."""
    return copied(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A copy of the repository with a new recipe, throw_away, and every distribution of it in dist/."""
    copy = copied(tmp_path_factory.mktemp("built"))
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    subprocess.run([sys.executable, "-m", "tools.new_recipe", "throw_away"], cwd=copy, check=True)
    assert {path: path.read_bytes() for path in before} == before, "no list is edited"
    hatch = os.environ | {"HATCH_DATA_DIR": str(tmp_path_factory.mktemp("hatch"))}
    subprocess.run([sys.executable, "-m", "tools.build"], cwd=copy, env=hatch, check=True)
    return copy


def copied(copy):
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy
