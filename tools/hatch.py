"""Call hatch from inside a hatch environment, also where it is not on PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def hatch() -> list[str]:
    """Return the command line that starts hatch.

    An environment's own Python has no hatch; the Python it was made from often has.
    """
    maker = Path(getattr(sys, "_base_executable", sys.executable))
    user_scripts = Path.home() / ".local" / "bin"
    found = shutil.which("hatch") or shutil.which("hatch", path=f"{maker.parent}:{user_scripts}")
    return [found] if found else [str(maker), "-m", "hatch"]


def outside() -> dict[str, str]:
    """Return the environment variables with which hatch does not think it runs inside the environment that this runs in."""
    return {name: value for name, value in os.environ.items() if name != "HATCH_ENV_ACTIVE"}
