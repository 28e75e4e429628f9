"""What a benchmark is: a module of this folder that says what to compare.

    ROWS = 10_000_000                       # and with --quick:
    QUICK_ROWS = 100_000
    PARTS = ("iceberg",)                    # of the Spark session; leave it out to run without Spark
    CONF = {"spark.driver.memory": "4g"}    # of the Spark session; may be left out

    def prepare(context): ...               # makes context.inputs, once, in a process of its own; may be left out

    SIDES = {"publish": publish, "plain write": plain_write}
    RATIOS = {"publish / plain write": ("publish", "plain write", 1.1)}

A side is a function of the context, or `Steps` with what comes before and after the clock. What it returns, if anything,
must be the same for every side: a count of rows or a checksum shows that all did the same work; where sides do different
work, it is a dictionary with a checksum for each. A ratio is the first side's time by the second's, and its goal an upper
bound.

A benchmark with a Spark session runs each side on QUICK_ROWS before the clock: classes are loaded and code is compiled for
every side alike, and what is compared is the work. ``--cold`` leaves that out, as a job's first minute does. A side that
makes tables names them by `Context.table`, because it makes them twice.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Context:
    """What a side works with.

    Attributes:
        rows: how many rows to work on.
        inputs: the folder that ``prepare`` filled; the same for every side and round.
        workspace: an empty folder of this side and round.
        parts: of the Spark session, or None to start none.
        conf: of the Spark session.
    """

    rows: int
    inputs: Path
    workspace: Path
    parts: tuple[str, ...] | None
    conf: Mapping[str, str] = field(default_factory=dict)

    def small(self, rows: int) -> Context:
        """Make the context of the same side on few rows, in folders of its own and in the same session."""
        inputs, workspace = self.inputs / "small", self.workspace / "small"
        workspace.mkdir()
        other = Context(rows, inputs, workspace, self.parts, self.conf)
        other.__dict__["spark"] = self.spark
        return other

    def table(self, name: str) -> str:
        """Name a table that no other context of the session has."""
        return f"{name}_{self.rows}"

    @cached_property
    def spark(self) -> SparkSession:
        """The session; started before the clock when the benchmark names its parts."""
        from gluewright_testing.sessions import start_session  # noqa: PLC0415 - not every benchmark needs Spark

        return start_session(*(self.parts or ()), workspace=self.workspace, conf=self.conf, app_name="benchmark")


Side = Callable[[Context], Any]


@dataclass(frozen=True)
class Steps:
    """A side that needs a table to work on.

    Attributes:
        ready: makes it, before the clock starts.
        run: is measured.
        check: returns what must be the same for every side, after the clock has stopped.
    """

    ready: Side
    run: Side
    check: Side


@dataclass(frozen=True)
class Bench:
    """A benchmark as its module declares it.

    Attributes:
        name: the module's.
        sides: by name, in the order they run.
        ratios: by name: side, side it is divided by, upper bound.
        rows: by default.
        quick_rows: with ``--quick``.
        parts: of the Spark session, or None to start none.
        prepare: makes the inputs.
        conf: of the Spark session.
    """

    name: str
    sides: Mapping[str, Side | Steps]
    ratios: Mapping[str, tuple[str, str, float]]
    rows: int
    quick_rows: int
    parts: tuple[str, ...] | None
    prepare: Side | None
    conf: Mapping[str, str]


def load(name: str) -> Bench:
    """Load a benchmark by name.

    Raises:
        SystemExit: there is none, with the names there are.
    """
    try:
        module = importlib.import_module(f"benchmarks.{name}")
        return Bench(
            name,
            module.SIDES,
            module.RATIOS,
            module.ROWS,
            module.QUICK_ROWS,
            getattr(module, "PARTS", None),
            getattr(module, "prepare", None),
            getattr(module, "CONF", {}),
        )
    except (ModuleNotFoundError, AttributeError) as problem:
        here = Path(__file__).parent.glob("*.py")
        names = sorted(file.stem for file in here if "\nSIDES = " in file.read_text(encoding="utf-8"))
        raise SystemExit(f"{name!r} is no benchmark ({problem}). There are: {', '.join(names) or 'none yet'}.") from problem
