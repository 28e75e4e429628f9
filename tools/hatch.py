"""Call hatch from inside a hatch environment, also where it is not on PATH."""

from __future__ import annotations

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
