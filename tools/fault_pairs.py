"""The pairs of ``hatch run faults``: two worker processes at the same task, one of them stopped or killed now and then."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tools.fault_audit import Audit
from tools.fault_worker import LEASE_SECONDS, Place, Result, Task, work

PAUSED, KILLED = 0.1, 0.05
"""The share of pairs in which a worker is stopped beyond its lease, and in which one is killed."""
TABLE_PAIRS = 40
"""How many pairs use the same tables, before new ones begin."""
_GRACE = 30.0


@dataclass(frozen=True)
class Settings:
    """How a lane works.

    Attributes:
        name: of the lane; its tables begin with it.
        seed: of pauses and kills.
        pairs: how many.
        until: the monotonic time at which no further pair begins.
        logs: the folder for the workers' logs.
    """

    name: str
    seed: int
    pairs: int
    until: float
    logs: Path


class Process:
    """A worker process, and the task that it has.

    Args:
        place: where it works.
    """

    def __init__(self, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(place, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        """Wait until it has loaded what it needs."""
        if not self._connection.poll(120):
            raise TimeoutError("a worker process did not start within 120 seconds")
        self._connection.recv()

    def begin(self, task: Task) -> None:
        """Give it a task."""
        self._connection.send(task)

    def result(self, seconds: float) -> Result | None:
        """Wait for its result; None when there is none in time, or when it died."""
        with suppress(EOFError, OSError):
            if self._connection.poll(max(0.0, seconds)):
                found: Result = self._connection.recv()
                return found
        return None

    @property
    def is_busy(self) -> bool:
        """Whether it lives and its result is not there yet."""
        return self._process.is_alive() and not self._connection.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still lives."""
        if self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join(10)


class Lane:
    """Runs pairs one after the other with two workers.

    Args:
        place: where the workers work.
        audit: prepares tables and compares them afterwards.
        settings: how.
        progress: prints a line.
    """

    def __init__(self, place: Place, audit: Audit, settings: Settings, progress: Callable[[str], None]) -> None:
        self._places = [replace(place, log=settings.logs / f"{settings.name}-{side}.log") for side in "ab"]
        self._audit = audit
        self._settings = settings
        self._progress = progress
        self._workers: list[Process] = []
        self.pairs_done = 0
        self.outcomes: Counter[str] = Counter()
        self.dead: list[str] = []
        self.problems: list[str] = []

    def run(self) -> None:
        """Run the pairs until all are done or the time is over."""
        self._workers = [Process(place) for place in self._places]
        try:
            for worker in self._workers:
                worker.wait_until_ready()
            for number in range(self._settings.pairs):
                if time.monotonic() > self._settings.until:
                    self.problems.append(f"{self._settings.name}: the time was over after {number} pairs")
                    return
                self._run_pair(number)
        finally:
            for worker in self._workers:
                worker.kill()

    def _run_pair(self, number: int) -> None:
        began = time.monotonic()
        draw = random.Random(f"{self._settings.seed} {self._settings.name} {number}")
        kind = "ledger" if number % 8 == 3 else "unpartitioned" if number % 4 == 1 else "partitioned"
        name = f"{self._settings.name}_{kind}_{number // TABLE_PAIRS}"
        tasks = [Task(kind, name, f"{name}-{number}{side}") for side in "ab"]
        self._audit.prepare(tasks[0])
        for worker, task in zip(self._workers, tasks, strict=True):
            worker.begin(task)
        event = self._disturb(draw, tasks)
        told = [self._finish(side, task) for side, task in enumerate(tasks)]
        self.pairs_done += all(told)
        what = f"{'done' if all(told) else 'NOT DONE'} in {time.monotonic() - began:.1f} s"
        self._progress(f"{name} {number + 1}/{self._settings.pairs}: {what}{event and ', '}{event}")

    def _disturb(self, draw: random.Random, tasks: list[Task]) -> str:
        """Stop or kill one of the workers, in some pairs; return what was done."""
        chance, side, delay = draw.random(), draw.randrange(2), draw.uniform(0.02, 1.5)
        if chance >= PAUSED + KILLED:
            return ""
        time.sleep(delay)
        worker = self._workers[side]
        if not worker.is_busy:
            return f"{'ab'[side]} was done before it could be stopped"
        if chance < PAUSED:
            worker.signal(signal.SIGSTOP)
            time.sleep(LEASE_SECONDS * draw.uniform(1.1, 2.0))
            worker.signal(signal.SIGCONT)
            return f"{'ab'[side]} stopped after {delay:.2f} s"
        worker.kill()
        self._replace(side)
        self._workers[side].begin(tasks[side])
        return f"{'ab'[side]} killed after {delay:.2f} s"

    def _finish(self, side: int, task: Task) -> bool:
        """Take a worker's result; return whether its task is done."""
        result = self._workers[side].result(task.seconds + _GRACE)
        if result is None:
            self.problems.append(f"{task.run}: its worker died or hangs")
            self._workers[side].kill()
            self._replace(side)
            result = Result()
        elif not result.done:
            self.problems.append(f"{task.run}: gave up after {dict(result.outcomes)}")
        self._audit.note(task, told=result.done)
        self.outcomes += result.outcomes
        self.dead += [f"{task.run}: {each}" for each in result.dead]
        return result.done

    def _replace(self, side: int) -> None:
        self._workers[side] = Process(self._places[side])
        self._workers[side].wait_until_ready()
