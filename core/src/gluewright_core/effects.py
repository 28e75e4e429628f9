"""The seam through which every effect passes.

An *effect* changes the world outside the process: an object written, a partition switched, a commit. Storage, tables and
state announce each of theirs here, before and after it happens, so that a test can stop the world at exactly that point.
Without a watcher the seam costs one comparison.

Example:
    >>> from gluewright_core.effects import effect, watching
    >>> class Log:
    ...     def before(self, happening): print("before", happening.kind, happening.target)
    ...     def after(self, happening): print("after", happening.kind, happening.target)
    >>> with watching(Log()):
    ...     with effect("storage.write", "a.json"):
    ...         pass
    before storage.write a.json
    after storage.write a.json
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect: its kind (``storage.write``, ``catalog.change``, ...) and what it acts on."""

    kind: str
    target: str


class Watcher(Protocol):
    """Whoever wants to see, delay or prevent effects. An exception from ``before`` prevents the effect."""

    def before(self, happening: Effect) -> None:
        """Called when everything is ready and nothing has happened yet."""

    def after(self, happening: Effect) -> None:
        """Called when the effect has happened and its caller does not know it yet. Not called when it failed."""


_watchers: tuple[Watcher, ...] = ()
_background = threading.local()


@contextmanager
def effect(kind: str, target: str) -> Iterator[None]:
    """Announce one effect; its body is the effect itself and nothing else.

    Args:
        kind: ``<module>.<verb>``, such as ``storage.write``.
        target: the object, partition or table it acts on.
    """
    if not _watchers or getattr(_background, "is_here", False):
        yield
        return
    happening = Effect(kind, target)
    for watcher in _watchers:
        watcher.before(happening)
    yield
    for watcher in reversed(_watchers):
        watcher.after(happening)


def run_in_background() -> None:
    """Keep the effects of this thread from being watched: they depend on time, and are no step of what the process does."""
    _background.is_here = True


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Show every effect of this process to ``watcher`` while the body runs.

    Args:
        watcher: sees the effects of all threads.
    """
    global _watchers  # noqa: PLW0603 - one seam per process is the point
    outer = _watchers
    _watchers = (*outer, watcher)
    try:
        yield
    finally:
        _watchers = outer
