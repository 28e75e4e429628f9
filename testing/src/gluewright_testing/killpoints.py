"""Kill points: for every effect of a job, kill it there, run it again, and look whether the same rows result.

A job's effects pass through :mod:`gluewright_core.effects`; a kill is :class:`Killed` raised just before or just after one
of them. A dead process has no effects any more, so every later effect of the same attempt is prevented too, whatever
``finally`` blocks try. With :func:`die_at` the process really dies, for tests that run the job as a child process.

Example:
    >>> from gluewright_testing.killpoints import every_kill_point
    >>> from gluewright_testing.memory import MemoryStorage
    >>> def job(world): world.write("a", b"1"); world.write("b", b"2")
    >>> def check(world): assert [found.key for found in world.list_objects()] == ["a", "b"]
    >>> every_kill_point(MemoryStorage, job, check)
    4
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from gluewright_core.effects import Effect, watching
from gluewright_testing.sharing import shared

World = TypeVar("World")
KILL_AT = "GLUEWRIGHT_KILL_AT"
"""Environment variable by which a child process is told where to die: ``<number of the effect>:<before|after>``."""

_until_death = ExitStack()


class Killed(BaseException):
    """The attempt is dead. Not an Exception, so that no handler of the job survives it."""


@dataclass
class KillPoint:
    """A watcher that kills at one effect.

    Attributes:
        number: of the effect, from 0; a number that is not reached kills nothing and so counts the effects.
        side: ``before`` or ``after`` the effect.
        seen: the effects so far.
    """

    number: int = -1
    side: str = "before"
    seen: list[Effect] = field(default_factory=list)
    dead: bool = False

    def before(self, happening: Effect) -> None:
        """Kill before the effect, if this is the one."""
        if self.dead:
            raise Killed(f"dead before {happening.kind} {happening.target}")
        self.seen.append(happening)
        self._kill_if("before", happening)

    def after(self, happening: Effect) -> None:
        """Kill after the effect, if this is the one."""
        self._kill_if("after", happening)

    def _kill_if(self, side: str, happening: Effect) -> None:
        if self.dead or (len(self.seen) - 1 == self.number and side == self.side):
            self.dead = True
            raise Killed(f"killed {side} effect {self.number}: {happening.kind} {happening.target}")


def effects_of(run: Callable[[], object]) -> list[Effect]:
    """Run something and list its effects in order."""
    counter = KillPoint()
    with watching(counter):
        run()
    return counter.seen


@contextmanager
def killed_at(number: int, side: str) -> Iterator[KillPoint]:
    """Kill the body at one of its effects.

    Args:
        number: of the effect, from 0.
        side: ``before`` or ``after``.

    Raises:
        AssertionError: the body ended without reaching that effect.
    """
    with _killed_at(number, side) as point:
        yield point
    assert point.dead, f"effect {number} was never reached: the body had {len(point.seen)}"


@contextmanager
def _killed_at(number: int, side: str) -> Iterator[KillPoint]:
    point = KillPoint(number, side)
    try:
        with watching(point):
            yield point
    except Killed:
        return
    except BaseException:
        if point.dead:  # the job told its own death in other words
            return
        raise


def every_kill_point(
    make_world: Callable[[], World],
    job: Callable[[World], object],
    check: Callable[[World], None],
    *,
    look: Callable[[World], None] | None = None,
    at: Callable[[Effect], bool] = lambda _: True,
) -> int:
    """Kill a job before and after every effect, each time in a new world, run it again and check the result.

    A dead attempt has no effects, so a kill after one effect and a kill before the next leave the same world: it is made and
    checked once and counts for both. Reads are no effects. Runs may share the kill points, see
    :mod:`gluewright_testing.sharing`.

    Args:
        make_world: a fresh world for each kill: folders, tables, a database.
        job: works in the world; called again after the kill.
        check: raises when the world is not as it should be after the second call.
        look: raises when the world is not fit for readers between the kill and the second call.
        at: at which effects to kill; all by default.

    Returns:
        How many kill points there were, two for each effect, or how many were this run's share; all have converged.

    Raises:
        AssertionError: from ``check`` or ``look``, with a note that names the kill point.
    """
    counted = make_world()
    effects = effects_of(lambda: job(counted))
    check(counted)
    chosen = [number for number, happening in enumerate(effects) if at(happening) and not happening.kind.endswith(".read")]
    gaps = shared(sorted({gap for number in chosen for gap in (number, number + 1)}))
    missed = 0
    for gap in gaps:
        number, side = (gap - 1, "after") if gap else (0, "before")
        world = make_world()
        try:
            with _killed_at(number, side) as point:
                job(world)
            missed += not point.dead
            if look:
                look(world)
            job(world)
            check(world)
        except BaseException as error:
            error.add_note(f"after a kill {side} effect {number}: {effects[number].kind} {effects[number].target}")
            raise
    # How often a lease is renewed depends on time, so the last effects may not be there each time.
    assert missed <= max(2, len(gaps) // 10), f"{missed} of {len(gaps)} kill points were not reached"
    return sum((gap in chosen) + (gap - 1 in chosen) for gap in gaps)


def die_at(value: str | None = None) -> None:
    """Make this process die by SIGKILL at one of its effects: no handler, no ``finally``, nothing runs.

    Args:
        value: ``<number>:<before|after>``; by default from the environment variable :data:`KILL_AT`; nothing when unset.
    """
    value = value or os.environ.get(KILL_AT)
    if not value:
        return
    number, _, side = value.partition(":")

    class _Death(KillPoint):
        def _kill_if(self, at: str, happening: Effect) -> None:
            if len(self.seen) - 1 == self.number and at == self.side:
                os.kill(os.getpid(), signal.SIGKILL)

    _until_death.enter_context(watching(_Death(int(number), side)))
