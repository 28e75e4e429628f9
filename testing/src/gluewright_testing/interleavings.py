"""Interleavings: writers stepped against each other, in every order, each also killed at every step.

The writers run in threads, one at a time: each stops before every effect until the explorer picks it; on the in-memory
store it stops before every read too. The explorer walks the schedules depth first, always from a fresh world. Where the
world has a ``fingerprint()`` and a ``journal``, a schedule is given up as soon as it reaches a state that was explored
before: the same store, and every writer having seen and done the same. So every schedule is covered, and the walk is short.

(Godefroid, "Model checking for programming languages using VeriSoft", 1997, for exploring schedules of real code; visited
states as in any explicit-state model checker.)

Example:
    >>> from gluewright_testing.interleavings import explore
    >>> from gluewright_testing.memory import MemoryStorage
    >>> def writer(world): world.write("a", b"1")
    >>> explore(MemoryStorage, {"one": writer, "two": writer}, lambda world, outcome: None).exhaustive
    True
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gluewright_core.effects import Effect, watching
from gluewright_testing.killpoints import Killed

World = TypeVar("World")
Pending = Mapping[str, Effect]
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
    """How much was explored.

    Attributes:
        schedules: that were begun, each safe as far as it went.
        states: different ones that were met; 0 when the world has no fingerprint.
        exhaustive: whether every schedule is covered.
    """

    schedules: int
    states: int
    exhaustive: bool


def explore(
    make_world: Callable[[], World],
    writers: Mapping[str, Callable[[World], object]],
    check: Callable[[World, Outcome], None],
    *,
    look: Callable[[World], None] | None = None,
    enabled: Callable[[str, Pending], bool] | None = None,
    kills: int = 0,
    most: int | None = None,
    seed: int = 0,
) -> Explored:
    """Run writers against each other under every schedule of their steps.

    Args:
        make_world: a fresh world for each schedule, always the same.
        writers: by name; each is called with the world, in a thread of its own, and must do the same whenever it sees the
            same.
        check: raises when the world or the outcome is not as it should be at the end.
        look: raises when the world is not fit for readers; called after every step.
        enabled: whether a writer may be picked now, by its name and what the others are about to do; all by default.
        kills: how many writers may be killed in one schedule; where a writer stands before an effect, it may die instead.
        most: how many schedules at most, drawn at random. Without it all are walked.
        seed: of the draw.

    Returns:
        How much was explored, all of it safe.

    Raises:
        AssertionError: from ``check`` or ``look``, with a note that gives the schedule.
    """
    draw = random.Random(seed)  # noqa: S311 - a schedule is no secret
    visited: set[int] = set()
    path: list[int] = []
    for count in itertools.count(1):
        chooser = _Chooser(path, draw if most else None)
        schedule = _Schedule(make_world, writers, chooser, None if most else visited, enabled, kills)
        schedule.run(look, check)
        if most and count == most:
            return Explored(count, 0, exhaustive=False)
        path = [] if most else chooser.next_path()
        if not most and not path:
            return Explored(count, len(visited), exhaustive=True)
    raise AssertionError("unreachable")  # pragma: no cover


class _Chooser:
    """Replays a path of choices, then takes the first option (or a random one) at each new step."""

    def __init__(self, path: list[int], draw: random.Random | None) -> None:
        self._path = path
        self._draw = draw
        self._taken: list[tuple[int, int]] = []

    @property
    def replaying(self) -> bool:
        return len(self._taken) < len(self._path)

    def choose(self, options: int) -> int:
        first = self._draw.randrange(options) if self._draw else 0
        picked = self._path[len(self._taken)] if self.replaying else first
        self._taken.append((picked, options))
        return picked

    def next_path(self) -> list[int]:
        taken = list(self._taken)
        while taken and taken[-1][0] + 1 >= taken[-1][1]:
            taken.pop()
        return [picked for picked, _ in taken[:-1]] + [taken[-1][0] + 1] if taken else []


class _Writer:
    """A thread that stops before each step until it is let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.go = threading.Event()
        self.stopped = threading.Event()
        self.pending: Effect | None = None
        self.doomed = False
        self.done = False
        self.history = 0
        self.tokens = itertools.count()


class _Schedule(Generic[World]):
    def __init__(
        self,
        make_world: Callable[[], World],
        work: Mapping[str, Callable[[World], object]],
        chooser: _Chooser,
        visited: set[int] | None,
        enabled: Callable[[str, Pending], bool] | None,
        kills: int,
    ) -> None:
        self._by_thread: dict[int, _Writer] = {}
        self._tokens = itertools.count()
        with self._known_tokens():
            self._world: Any = make_world()
        self._work = work
        self._chooser = chooser
        self._visited = visited if hasattr(self._world, "fingerprint") and hasattr(self._world, "journal") else None
        self._enabled = enabled
        self._kills = kills
        self._outcome = Outcome()
        self._writers = [_Writer(name) for name in work]

    def run(self, look: Callable[[World], None] | None, check: Callable[[World, Outcome], None]) -> None:
        with watching(self), self._known_tokens():
            for writer in self._writers:
                threading.Thread(target=self._live, args=(writer,), daemon=True).start()
                self._wait(writer)
            try:
                while options := self._options():
                    self._step(options)
                    if look:
                        look(self._world)
                    if self._was_here():
                        return
                check(self._world, self._outcome)
            except BaseException as error:
                error.add_note(f"under the schedule {' '.join(self._outcome.schedule)}")
                raise
            finally:
                self._end()

    def _options(self) -> list[tuple[_Writer, bool]]:
        alive = [writer for writer in self._writers if not writer.done]
        pending = {writer.name: writer.pending for writer in alive if writer.pending}
        ready = [writer for writer in alive if self._enabled is None or self._enabled(writer.name, pending)]
        # A writer that dies before a read dies after its last effect: that is the death before its next effect.
        mortal = [writer for writer in ready if self._kills and not _is_read(writer.pending)]
        return [(writer, False) for writer in ready] + [(writer, True) for writer in mortal]

    def _step(self, options: Sequence[tuple[_Writer, bool]]) -> None:
        writer, kill = options[self._chooser.choose(len(options))]
        self._outcome.schedule.append(f"!{writer.name}" if kill else writer.name)
        if kill:
            self._kills -= 1
            writer.doomed = True
        seen = len(getattr(self._world, "journal", ()))
        self._resume(writer)
        if self._visited is not None:
            writer.history = hash((writer.history, kill, tuple(self._world.journal[seen:])))

    def _was_here(self) -> bool:
        if self._visited is None or self._chooser.replaying:
            return False
        writers = tuple((writer.history, writer.done, writer.pending) for writer in self._writers)
        state = hash((self._world.fingerprint(), writers, self._kills))
        if state in self._visited:
            return True
        self._visited.add(state)
        return False

    def _resume(self, writer: _Writer) -> None:
        writer.stopped.clear()
        writer.go.set()
        self._wait(writer)

    def _wait(self, writer: _Writer) -> None:
        assert writer.stopped.wait(_PATIENCE), f"writer {writer.name} neither stops before a step nor ends"

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
        writer.pending = None
        writer.stopped.set()

    @contextmanager
    def _known_tokens(self) -> Iterator[None]:
        """Make random tokens the same whenever a writer does the same, so that states can be recognised."""
        real = secrets.token_hex

        def token(_: int | None = None) -> str:
            writer = self._by_thread.get(threading.get_ident())
            return f"{writer.name}-{next(writer.tokens)}" if writer else f"-{next(self._tokens)}"

        secrets.token_hex = token  # type: ignore[assignment]
        try:
            yield
        finally:
            secrets.token_hex = real

    def before(self, happening: Effect) -> None:
        """Stop the writer until it is picked."""
        writer = self._by_thread.get(threading.get_ident())
        if writer is None:
            return
        if not writer.doomed:
            writer.pending = happening
            writer.go.clear()
            writer.stopped.set()
            writer.go.wait()
        if writer.doomed:
            raise Killed(f"{writer.name} was killed before {happening.kind} {happening.target}")

    def after(self, happening: Effect) -> None:
        """Go on: what follows a step belongs to it."""


def _is_read(pending: Effect | None) -> bool:
    return pending is not None and pending.kind.endswith(".read")
