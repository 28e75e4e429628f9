"""The folder that outlives test runs: jars and the Java wrapper, shared by every project of a user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$GLUEWRIGHT_CACHE``, or ``gluewright`` in the user's cache folder."""
    chosen = os.environ.get("GLUEWRIGHT_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gluewright"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` among all processes of this machine while the body runs.

    The lock ends with the process that holds it, however that ends.

    Args:
        path: the lock file; made when missing.
    """
    import fcntl  # noqa: PLC0415 - not on Windows, where the rest of this module is still of use

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
