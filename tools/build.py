"""Build every distribution into ``dist/``: an sdist, a wheel, and the wheel as a zip.

Spark takes a ``.whl`` in ``--py-files`` and Glue one in ``--extra-py-files``, but only the driver can import from
it. The same file under the name ``.zip`` works on the executors too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.hatch import hatch, outside

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Build, list what was built, and return the exit code."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    built = subprocess.run([*hatch(), "build", "--all"], cwd=ROOT, env=outside(), check=False)
    if built.returncode != 0:
        return built.returncode
    for wheel in sorted(dist.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        shutil.copyfile(wheel, dist / f"{name}-{version}.zip")
    for file in sorted(dist.iterdir()):
        print(f"{file.stat().st_size / 1024:8.1f} KiB  {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
