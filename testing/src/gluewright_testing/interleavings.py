"""Interleavings: writers stepped against each other, in every order, killed at every step, on a network that has faults.

One writer runs at a time: each stops before every effect until the explorer picks it; on the in-memory store it stops before
every read too. The explorer walks the schedules depth first, always from a fresh world. Where the world has a
``fingerprint()`` and a ``journal``, one list of what was seen and done, a schedule is given up as soon as it reaches a state
that was explored before: the same store, and every writer having seen and done the same. So every schedule is covered, and
the walk is short.

A request to the in-memory store or catalog can be hit by a :class:`Fault`. What is late is delivered before any later step
that can see it, or at the end: at other times its delivery and that step give the same state in either order.

(Godefroid, "Model checking for programming languages using VeriSoft", 1997, for exploring schedules of real code; visited
states as in any explicit-state model checker; Godefroid, "Partial-order methods for the verification of concurrent systems",
1996, for leaving out orders of independent steps.)

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
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from greenlet import getcurrent, greenlet

from gluewright_core.effects import Effect, watching
from gluewright_core.errors import GluewrightError, OutcomeUnknownError
from gluewright_testing.killpoints import Killed
from gluewright_testing.memory import through

World = TypeVar("World")
Pending = Mapping[str, Effect]

_STEADY = 0.93
"""How often a random schedule goes on with the writer of its last step: what is wrong shows after few switches.

(Burckhardt and others, "A randomized scheduler with probabilistic guarantees of finding bugs", 2010.)
"""


class Fault(Enum):
    """What can happen to a request that changes something."""

    LOST = "lost"
    """Performed, and the answer is lost."""
    LATE = "late"
    """No answer, and it is performed at some later time, or never."""
    DOUBLED = "doubled"
    """Performed and answered, and performed a second time at some later time."""
    REPEATED = "repeated"
    """Performed twice at once; the answer is the second one's."""


class _Choice(NamedTuple):
    """One way to go on: a writer's next step, its death, a fault of its request, or the delivery of a late request."""

    writer: _Writer | None
    kill: bool = False
    fault: Fault | None = None
    late: int = -1
    drop: bool = False

    def __str__(self) -> str:
        if self.writer is None:
            return f"{'dropped' if self.drop else 'delivered'}:{self.late}"
        return f"{'!' if self.kill else ''}{self.writer.name}{f':{self.fault.value}' if self.fault else ''}"


@dataclass
class Outcome:
    """What became of the writers of one schedule.

    Attributes:
        schedule: who was picked, in order; ``!name`` where the writer was killed, ``name:lost`` where
            its request had a fault.
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
    faults: int = 0,
    kinds: Sequence[Fault] = tuple(Fault),
    pauses: frozenset[str] | set[str] = frozenset(),
    switches: int | None = None,
    most: int | None = None,
    seed: int = 0,
) -> Explored:
    """Run writers against each other under every schedule of their steps.

    Args:
        make_world: a fresh world for each schedule, always the same.
        writers: by name; each is called with the world, and must do the same whenever it sees the same.
        check: raises when the world or the outcome is not as it should be at the end.
        look: raises when the world is not fit for readers; called after every step. With it, late requests arrive
            at any step.
        enabled: whether a writer may be picked now, by its name and what the others are about to do; all by default.
        kills: how many writers may be killed in one schedule; where a writer stands before an effect, it may die instead.
        faults: how many faults there may be in one schedule.
        kinds: of faults.
        pauses: names of writers whose steps count as faults: time that passes while others stand still.
        switches: how often at most the next step may be another writer's although the last one could go on; any number by
            default. Few switches show most of what is wrong.
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
        limits = _Limits(kills, faults, tuple(kinds), frozenset(pauses), switches)
        schedule = _Schedule(make_world, writers, chooser, None if most else visited, enabled, limits)
        schedule.run(look, check)
        if most and count == most:
            return Explored(count, 0, exhaustive=False)
        path = [] if most else chooser.next_path()
        if not most and not path:
            return Explored(count, len(visited), exhaustive=True)
    raise AssertionError("unreachable")  # pragma: no cover


@dataclass(frozen=True)
class Go:
    """One line of a script for :func:`play`.

    Attributes:
        writer: who goes on; or ``late``: the oldest request that is under way is delivered.
        until: a text in the kind or target of the effect before which the writer stops; by default it goes to its end.
        fault: of the request before which it stood; it goes one step.
    """

    writer: str
    until: str = ""
    fault: Fault | None = None


def play(
    make_world: Callable[[], World], writers: Mapping[str, Callable[[World], object]], script: Sequence[Go]
) -> tuple[World, Outcome]:
    """Run one schedule that is known, such as one that lost rows once.

    Args:
        make_world: a fresh world.
        writers: by name.
        script: who goes on, how far, and with which fault.

    Returns:
        The world and what became of the writers; those that the script did not bring to their end were killed.
    """
    limits = _Limits(0, len(script), tuple(Fault), frozenset(), None)
    schedule = _Schedule(make_world, writers, _Chooser([], None), None, None, limits)
    return schedule.play(script)


class _Chooser:
    """Replays a path of choices, then takes the first option (or a random one) at each new step."""

    def __init__(self, path: list[int], draw: random.Random | None) -> None:
        self._path = path
        self._draw = draw
        self._taken: list[tuple[int, int]] = []

    @property
    def replaying(self) -> bool:
        return len(self._taken) < len(self._path)

    def choose(self, options: int, usual: int | None = None) -> int:
        """Choose one of the options; at random mostly the usual one, so that a schedule has few switches and faults."""
        first = 0
        if self._draw:
            is_usual = usual is not None and self._draw.random() < _STEADY
            first = usual if is_usual and usual is not None else self._draw.randrange(options)
        picked = self._path[len(self._taken)] if self.replaying else first
        self._taken.append((picked, options))
        return picked

    def next_path(self) -> list[int]:
        taken = list(self._taken)
        while taken and taken[-1][0] + 1 >= taken[-1][1]:
            taken.pop()
        return [picked for picked, _ in taken[:-1]] + [taken[-1][0] + 1] if taken else []


class _Writer:
    """A greenlet that stops before each step until it is let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pending: Effect | None = None
        self.fault: Fault | None = None
        self.doomed = False
        self.done = False
        self.history = 0
        self.tokens = itertools.count()
        self.greenlet: Any = None


@dataclass
class _Limits:
    kills: int
    faults: int
    kinds: tuple[Fault, ...]
    pauses: frozenset[str]
    switches: int | None


@dataclass
class _Late:
    """A request that is under way: what it is, what tells it from others of its kind, and what performs it."""

    request: Effect
    content: Hashable
    perform: Callable[[], Any]


class _Schedule(Generic[World]):
    def __init__(
        self,
        make_world: Callable[[], World],
        work: Mapping[str, Callable[[World], object]],
        chooser: _Chooser,
        visited: set[int] | None,
        enabled: Callable[[str, Pending], bool] | None,
        limits: _Limits,
    ) -> None:
        self._by_greenlet: dict[Any, _Writer] = {}
        self._tokens = itertools.count()
        with self._known_tokens():
            self._world: Any = make_world()
        self._work = work
        self._chooser = chooser
        world: Any = self._world
        self._visited = visited if hasattr(world, "fingerprint") and hasattr(world, "journal") else None
        if self._visited is not None and world.journal is not world.journal:
            raise TypeError("the journal of a world is one list that grows at its end, the same at every call")
        self._enabled = enabled
        self._limits = limits
        self._late: list[_Late] = []
        self._outcome = Outcome()
        self._writers = [_Writer(name) for name in work]
        self._main = getcurrent()
        self._last: _Writer | None = None
        self._looks = False

    def run(self, look: Callable[[World], None] | None, check: Callable[[World, Outcome], None]) -> None:
        self._looks = look is not None
        with watching(self), through(self), self._known_tokens():
            self._start()
            try:
                while options := self._options():
                    self._step(options[self._chooser.choose(len(options), self._usual(options))])
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

    def play(self, script: Sequence[Go]) -> tuple[World, Outcome]:
        with watching(self), through(self), self._known_tokens():
            self._start()
            for line in script:
                if line.writer == "late":
                    self._step(_Choice(None, late=0))
                    continue
                writer = next(each for each in self._writers if each.name == line.writer)
                if line.fault:
                    self._step(_Choice(writer, fault=line.fault))
                while not line.fault and not writer.done and not (line.until and line.until in str(writer.pending)):
                    self._step(_Choice(writer))
            self._end()
        return self._world, self._outcome

    def _start(self) -> None:
        for writer in self._writers:
            writer.greenlet = greenlet(self._live)
            self._by_greenlet[writer.greenlet] = writer
            writer.greenlet.switch(writer)

    def _options(self) -> list[_Choice]:
        alive = [writer for writer in self._writers if not writer.done]
        late = [_Choice(None, late=number) for number, each in enumerate(self._late) if self._can_be_seen(each, alive)]
        if not any(writer.name not in self._limits.pauses for writer in alive):
            # Nobody can see any more when a request arrives: it arrives now, in any order, or never.
            arrivals = [_Choice(None, late=number) for number in range(len(self._late))]
            return [*arrivals, _Choice(None, late=0, drop=True)] if arrivals else []
        pending = {writer.name: writer.pending for writer in alive if writer.pending}
        ready = [writer for writer in alive if self._enabled is None or self._enabled(writer.name, pending)]
        if self._limits.switches == 0 and self._last in ready:
            ready = [writer for writer in ready if writer is self._last or writer.name in self._limits.pauses]
        found = []
        for writer in ready:
            if writer.name in self._limits.pauses and not self._limits.faults:
                continue
            found.append(_Choice(writer))
            # A writer that dies before a read dies after its last effect: that is the death before its next effect.
            if _is_read(writer.pending) or writer.name in self._limits.pauses:
                continue
            found += [_Choice(writer, kill=True)] if self._limits.kills else []
            if self._limits.faults and _is_request(writer.pending):
                found += [_Choice(writer, fault=kind) for kind in self._limits.kinds]
        return [*found, *late]

    def _can_be_seen(self, late: _Late, alive: Sequence[_Writer]) -> bool:
        """Tell whether the next step of some writer depends on whether the request has arrived."""
        return self._looks or any(_depends(writer.pending, late.request) for writer in alive)

    def _usual(self, options: Sequence[_Choice]) -> int | None:
        """Find the option by which the writer of the last step goes on."""
        if self._last is None or self._last.fault is not None:
            return None  # after a fault anything may come
        return next((n for n, choice in enumerate(options) if choice == _Choice(self._last)), None)

    def _step(self, choice: _Choice) -> None:
        self._outcome.schedule.append(str(choice))
        seen = len(getattr(self._world, "journal", ()))
        if choice.writer is None:
            late = self._late.pop(choice.late)
            if not choice.drop:
                with suppress(GluewrightError):
                    late.perform()
            return
        writer = choice.writer
        if writer.name not in self._limits.pauses:
            if self._limits.switches and self._last not in {None, writer} and not (self._last and self._last.done):
                self._limits.switches -= 1
            self._last = writer
        self._limits.kills -= choice.kill
        self._limits.faults -= choice.fault is not None or writer.name in self._limits.pauses
        writer.doomed = choice.kill
        writer.fault = choice.fault
        writer.greenlet.switch()
        if self._visited is not None:
            writer.history = hash((writer.history, choice[1:], tuple(self._world.journal[seen:])))

    def _was_here(self) -> bool:
        if self._visited is None or self._chooser.replaying:
            return False
        writers = tuple((writer.history, writer.done, writer.pending) for writer in self._writers)
        late = tuple(sorted(hash((each.request, each.content)) for each in self._late))
        last = self._last.name if self._last and self._limits.switches is not None else None
        left = (self._limits.kills, self._limits.faults, self._limits.switches, last)
        state = hash((self._world.fingerprint(), writers, late, left))
        if state in self._visited:
            return True
        self._visited.add(state)
        return False

    def _end(self) -> None:
        """Let no writer outlive its schedule."""
        for writer in self._writers:
            while not writer.done:
                writer.doomed = True
                writer.greenlet.switch()

    def _live(self, writer: _Writer) -> None:
        try:
            self._outcome.results[writer.name] = self._work[writer.name](self._world)
        except BaseException as error:  # noqa: BLE001 - the outcome of a writer is data here
            self._outcome.errors[writer.name] = error
        writer.done = True
        writer.pending = None

    @contextmanager
    def _known_tokens(self) -> Iterator[None]:
        """Make random tokens the same whenever a writer does the same, so that states can be recognised."""
        real = secrets.token_hex

        def token(_: int | None = None) -> str:
            writer = self._by_greenlet.get(getcurrent())
            return f"{writer.name}-{next(writer.tokens)}" if writer else f"-{next(self._tokens)}"

        secrets.token_hex = token  # type: ignore[assignment]
        try:
            yield
        finally:
            secrets.token_hex = real

    def before(self, happening: Effect) -> None:
        """Stop the writer until it is picked."""
        writer = self._by_greenlet.get(getcurrent())
        if writer is None:
            return
        if not writer.doomed:
            writer.pending = happening
            self._main.switch()
        if writer.doomed:
            raise Killed(f"{writer.name} was killed before {happening.kind} {happening.target}")

    def after(self, happening: Effect) -> None:
        """Go on: what follows a step belongs to it."""

    def deliver(self, request: Effect, perform: Callable[[], Any], content: Hashable) -> Any:
        """Deliver a request, with the fault that was picked for it."""
        writer = self._by_greenlet.get(getcurrent())
        fault = writer.fault if writer else None
        if fault in {Fault.LATE, Fault.DOUBLED}:
            self._late.append(_Late(request, content, perform))
        if fault is Fault.LATE:
            raise OutcomeUnknownError(f"no answer to {request.kind} {request.target}")
        if fault is Fault.REPEATED:
            with suppress(GluewrightError):
                perform()
        answer = perform()
        if fault is Fault.LOST:
            raise OutcomeUnknownError(f"the answer to {request.kind} {request.target} is lost")
        return answer


def _is_read(pending: Effect | None) -> bool:
    return pending is not None and pending.kind.endswith(".read")


def _is_request(pending: Effect | None) -> bool:
    return pending is not None and pending.kind in {"storage.write", "storage.delete", "catalog.move"}


def _depends(step: Effect | None, request: Effect) -> bool:
    """Tell whether a step and a request touch the same object; a listing touches all objects below its prefix."""
    if step is None or _place(step) != _place(request):
        return False
    return _place(step) != "storage" or request.target.startswith(step.target)


def _place(happening: Effect) -> str:
    return happening.kind.partition(".")[0]
