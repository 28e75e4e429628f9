"""Check types in every package, tool and benchmark: ``hatch run types:check``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Run mypy on what the command line names, or on everything, and return its exit code."""
    # mypy takes no patterns for where packages are, and a new recipe must not need a line in a list.
    sources = [str(path.relative_to(ROOT)) for path in [*ROOT.glob("[a-z]*/src"), *ROOT.glob("[a-z]*/[a-z]*/src")]]
    everything = [*sorted(sources), "benchmarks", "tools"]
    environment = os.environ | {"MYPYPATH": os.pathsep.join(sorted(sources))}
    command = [sys.executable, "-m", "mypy", *(sys.argv[1:] or everything)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
