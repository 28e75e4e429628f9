"""Progress of long steps: a bar on a terminal, now and then a log line elsewhere.

The bar is drawn by rich, if it is installed (``pip install gluewright-core[progress]``); without it a terminal gets the
log lines too.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pyspark import SparkContext

_log = logging.getLogger("gluewright.progress")
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_LOOKS = 1.0
T = TypeVar("T")


class Meter:
    """How far something has come. Made by `metering`.

    Attributes:
        what: what advances, for people: ``files copied``.
        total: how much there is to do; None if nobody knows.
        done: how much of it is done.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total, self.done = what, total, 0
        self._bar = _bars.add(self) if _on_terminal() else None
        self._reported = time.monotonic()

    def advance(self, by: int = 1) -> None:
        """Say that more is done."""
        self.show(self.done + by, self.total)

    def show(self, done: int, total: int | None) -> None:
        """Say how much is done, of how much."""
        self.done, self.total = done, total
        if self._bar is not None:
            _bars.update(self._bar, self)
        elif time.monotonic() - self._reported >= _SECONDS_BETWEEN_LINES:
            self.report()

    def report(self) -> None:
        """Write a log line now."""
        self._reported = time.monotonic()
        of = "" if self.total is None else f" of {self.total:,}"
        _log.info("%s: %s%s", self.what, f"{self.done:,}", of, extra={"done": self.done, "total": self.total})

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            _bars.remove(self._bar)


@contextmanager
def metering(total: int | None, what: str) -> Iterator[Meter]:
    """Show progress while the body runs; the body says how far it is with `Meter.advance`.

    Args:
        total: how much there is to do; None if nobody knows.
        what: what advances, for people: ``files copied``.
    """
    meter = Meter(what, total)
    try:
        yield meter
    finally:
        meter.close()
        meter.report()


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Go through items and show how many have been gone through.

    Args:
        items: what to go through.
        what: what they are, for people.
        total: how many there are, where ``len`` cannot tell.

    Example:
        ``for day in progress(days, "days loaded"): load(day)``
    """
    with metering(len(items) if total is None and isinstance(items, Sized) else total, what) as meter:
        for item in items:
            yield item
            meter.advance()


@contextmanager
def watching_spark(context: Callable[[], SparkContext | None], what: str) -> Iterator[None]:
    """Show the finished tasks of Spark's running stages while the body runs, without touching the work itself.

    Args:
        context: returns the running Spark context, or None while there is none.
        what: the name of the step.
    """
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(context, what, over), name=f"progress of {what}", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(timeout=5)


def _watch(context: Callable[[], SparkContext | None], what: str, over: threading.Event) -> None:
    meter: Meter | None = None
    try:
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            running = context()
            tasks = _tasks(running) if running is not None else None
            if tasks:
                # No meter before there is something to show: most steps are over sooner.
                meter = meter or Meter(f"{what}: tasks", tasks[1])
                meter.show(*tasks)
    except Exception:  # noqa: BLE001 - a session that stops meanwhile must not disturb the step
        _log.debug("progress of %s is not shown any more", what, exc_info=True)
    finally:
        if meter is not None:
            meter.close()


def _tasks(context: SparkContext) -> tuple[int, int] | None:
    tracker = context.statusTracker()
    stages = [stage for number in tracker.getActiveStageIds() if (stage := tracker.getStageInfo(number)) is not None]
    if not stages:
        return None
    return sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages)


def _on_terminal() -> bool:
    return sys.stderr.isatty() and importlib.util.find_spec("rich") is not None


class _Bars:
    """All bars of the process in one display: a terminal has room for one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Any = None

    def add(self, meter: Meter) -> Any:
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        with self._lock:
            if self._display is None:
                columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
                self._display = Progress(*columns, console=Console(file=sys.stderr), transient=True)
                self._display.start()
            return self._display.add_task(meter.what, total=meter.total)

    def update(self, bar: Any, meter: Meter) -> None:
        with self._lock:
            self._display.update(bar, completed=meter.done, total=meter.total)

    def remove(self, bar: Any) -> None:
        with self._lock:
            self._display.remove_task(bar)
            if not self._display.task_ids:
                self._display.stop()
                self._display = None


_bars = _Bars()
