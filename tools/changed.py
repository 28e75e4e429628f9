"""Name the tests that a change can break: ``python -m tools.changed BASE``. CI runs these of a pull request from BASE.

A change to recipes, examples and the guide has the tests of these packages, of the examples that use them, and of the
repository itself. Anything else, core say, can break everything: then nothing is printed, which means all tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.conventions import Package, recipes_of

ROOT = Path(__file__).parent.parent
_PACKAGE = re.compile(r"((?:recipes|examples)/[a-z][^/]*)/")


def main() -> int:
    """Print the tests, as .ci/run takes them, and return the exit code."""
    changed = ["git", "diff", "--name-only", "-z", f"{sys.argv[1]}...HEAD"]
    listed = subprocess.run(changed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(*affected_tests(filter(None, listed.split("\0")), ROOT))
    return 0


def affected_tests(files: Iterable[str], root: Path) -> list[str]:
    """Return the folders whose tests have to run; none means all.

    Args:
        files: that changed, relative to the repository.
        root: the repository.
    """
    changed = set()
    for file in files:
        if found := _PACKAGE.match(file):
            changed.add(found[1])
        elif not file.startswith("docs/"):
            return []
    examples = [Package(folder) for folder in sorted((root / "examples").glob("[a-z]*")) if folder.is_dir()]
    for package in [*recipes_of(root), *examples]:
        needed = " ".join(package.project["project"]["dependencies"])
        if any(re.search(rf"\b{Package(root / name).distribution}\b(?!-)", needed) for name in changed):
            changed.add(package.folder.relative_to(root).as_posix())
    # What was deleted has no tests any more.
    return [*sorted(name for name in changed if (root / name).is_dir()), "tests"]


if __name__ == "__main__":
    sys.exit(main())
