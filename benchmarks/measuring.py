"""Measure a stretch of work of this process and all its children, the JVM among them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_EVERY = 0.05


@dataclass
class Usage:
    """What a stretch of work took.

    Attributes:
        seconds: of wall time.
        cpu_seconds: of all processes together.
        peak_memory: in bytes, resident, of all processes together, sampled.
        bytes_read: through system calls, whether from disk, cache or a socket.
        bytes_written: likewise.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure the body. The result is complete when it has ended."""
    usage, done = Usage(), threading.Event()
    tree = _Tree()
    before = tree.totals()
    sampler = threading.Thread(target=_sample, args=(tree, usage, done), daemon=True)
    sampler.start()
    started = time.perf_counter()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - started
        done.set()
        sampler.join()
        after = tree.totals()
        usage.cpu_seconds, usage.bytes_read, usage.bytes_written = (
            after[0] - before[0],
            int(after[1] - before[1]),
            int(after[2] - before[2]),
        )


def _sample(tree: _Tree, usage: Usage, done: threading.Event) -> None:
    while True:
        usage.peak_memory = max(usage.peak_memory, tree.memory())
        if done.wait(_EVERY):
            return


class _Tree:
    """This process and its descendants; what a process had used when it was last seen still counts after its end."""

    def __init__(self) -> None:
        self._root = psutil.Process()
        self._used: dict[tuple[int, float], tuple[float, float, float]] = {}

    def memory(self) -> int:
        total = 0
        for process in self._processes():
            try:
                with process.oneshot():
                    total += process.memory_info().rss
                    self._used[process.pid, process.create_time()] = _used_by(process)
            except psutil.Error:
                continue
        return total

    def totals(self) -> tuple[float, float, float]:
        self.memory()
        cpu, read, written = zip(*self._used.values(), strict=True)
        return sum(cpu), sum(read), sum(written)

    def _processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


def _used_by(process: psutil.Process) -> tuple[float, float, float]:
    cpu = process.cpu_times()
    counters = getattr(process, "io_counters", None)
    # Characters rather than disk blocks: whether a file is still in the cache is chance. macOS counts neither.
    io = counters() if counters else None
    return cpu.user + cpu.system, getattr(io, "read_chars", 0), getattr(io, "write_chars", 0)
