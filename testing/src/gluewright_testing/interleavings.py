"""Interleavings: writers stepped effect by effect against each other, in every order, each also killed at every step.

The writers run in threads, one at a time: each stops before every effect until the explorer picks it. The explorer walks all
the schedules depth first, always from a fresh world, so what it covers is exactly what it counts. Reads are not effects; a
writer's reads happen together with its next effect, which is the order that leaves another writer the most room in between.

(Godefroid, "Model checking for programming languages using VeriSoft", 1997: stateless exploration of schedules.)

Example:
    >>> from gluewright_testing.interleavings import explore
    >>> from gluewright_testing.memory import MemoryStorage
    >>> def writer(world): world.write("a", b"1")
    >>> explore(MemoryStorage, {"one": writer, "two": writer}, lambda world, outcome: None).schedules
    2
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gluewright_core.effects import Effect, watching
from gluewright_testing.killpoints import Killed

World = TypeVar("World")
_PATIENCE = 30.0


@dataclass
class Outcome:
    """What became of the writers of one schedule.

    Attributes:
        schedule: who was picked, in order; ``!name`` where the writer was killed.
        results: what each writer returned.
        errors: what each writer raised; :class:`Killed` when it was killed.
    """

    schedule: list[str] = field(default_factory=list)
    results: dict[str, object] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)


@dataclass(frozen=True)
class Explored:
    """How much was explored: schedules, and whether these are all there are."""

    schedules: int
    exhaustive: bool


def explore(
    make_world: Callable[[], World],
    writers: Mapping[str, Callable[[World], object]],
    check: Callable[[World, Outcome], None],
    *,
    look: Callable[[World], None] | None = None,
    kills: int = 0,
    most: int | None = None,
    seed: int = 0,
) -> Explored:
    """Run writers against each other under every schedule of their effects.

    Args:
        make_world: a fresh world for each schedule.
        writers: by name; each is called with the world, in a thread of its own.
        check: raises when the world or the outcome is not as it should be at the end.
        look: raises when the world is not fit for readers; called after every effect.
        kills: how many writers may be killed in one schedule; where a writer stands before an effect, it may die instead.
        most: how many schedules at most. Without it all are walked; with it they are drawn at random.
        seed: of the draw.

    Returns:
        How many schedules were run, all of them safe.

    Raises:
        AssertionError: from ``check`` or ``look``, with a note that gives the schedule.
    """
    draw = random.Random(seed)  # noqa: S311 - a schedule is no secret
    path: list[int] = []
    count = 0
    while True:
        choices: list[int] = []

        def choose(options: int, choices: list[int] = choices) -> int:
            step = len(choices)
            picked = path[step] if step < len(path) else (draw.randrange(options) if most else 0)
            choices.append(options)
            if step >= len(path):
                path.append(picked)
            return picked

        _Schedule(make_world(), writers, choose, kills, look, check).run()
        count += 1
        if most:
            path = []
            if count >= most:
                return Explored(count, exhaustive=False)
            continue
        while path and path[-1] + 1 >= choices[len(path) - 1]:
            path.pop()
        if not path:
            return Explored(count, exhaustive=True)
        path[-1] += 1


class _Writer:
    """A thread that stops before each effect until it is let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.go = threading.Event()
        self.stopped = threading.Event()
        self.doomed = False
        self.done = False
        self.thread: threading.Thread | None = None


class _Schedule(Generic[World]):
    def __init__(
        self,
        world: World,
        writers: Mapping[str, Callable[[World], object]],
        choose: Callable[[int], int],
        kills: int,
        look: Callable[[World], None] | None,
        check: Callable[[World, Outcome], None],
    ) -> None:
        self._world = world
        self._choose = choose
        self._kills = kills
        self._look = look
        self._check = check
        self._work = writers
        self._outcome = Outcome()
        self._writers = [_Writer(name) for name in writers]
        self._by_thread: dict[int, _Writer] = {}

    def run(self) -> None:
        with watching(self):
            for writer in self._writers:
                writer.thread = threading.Thread(target=self._live, args=(writer,), daemon=True)
                writer.thread.start()
                self._wait(writer)
            try:
                while alive := [writer for writer in self._writers if not writer.done]:
                    self._step(alive)
                    if self._look:
                        self._look(self._world)
                self._check(self._world, self._outcome)
            except BaseException as error:
                error.add_note(f"under the schedule {' '.join(self._outcome.schedule)}")
                raise
            finally:
                self._end()

    def _step(self, alive: Sequence[_Writer]) -> None:
        options = [(writer, False) for writer in alive]
        if self._kills:
            options += [(writer, True) for writer in alive]
        writer, kill = options[self._choose(len(options))]
        self._outcome.schedule.append(f"!{writer.name}" if kill else writer.name)
        if kill:
            self._kills -= 1
            writer.doomed = True
        self._resume(writer)

    def _resume(self, writer: _Writer) -> None:
        writer.stopped.clear()
        writer.go.set()
        self._wait(writer)

    def _wait(self, writer: _Writer) -> None:
        assert writer.stopped.wait(_PATIENCE), f"writer {writer.name} neither stops before an effect nor ends"

    def _end(self) -> None:
        """Let no thread outlive its schedule."""
        for writer in self._writers:
            while not writer.done:
                writer.doomed = True
                self._resume(writer)

    def _live(self, writer: _Writer) -> None:
        self._by_thread[threading.get_ident()] = writer
        try:
            self._outcome.results[writer.name] = self._work[writer.name](self._world)
        except BaseException as error:  # noqa: BLE001 - the outcome of a writer is data here
            self._outcome.errors[writer.name] = error
        writer.done = True
        writer.stopped.set()

    def before(self, happening: Effect) -> None:
        """Stop the writer until it is picked."""
        writer = self._by_thread.get(threading.get_ident())
        if writer is None:
            return
        if not writer.doomed:
            writer.go.clear()
            writer.stopped.set()
            writer.go.wait()
        if writer.doomed:
            raise Killed(f"{writer.name} was killed before {happening.kind} {happening.target}")

    def after(self, happening: Effect) -> None:
        """Go on: what follows an effect belongs to the same step."""
