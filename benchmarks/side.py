"""One side of a benchmark, once, in this process: ``python -m benchmarks.side NAME SIDE ROWS INPUTS WORKSPACE RESULT``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from benchmarks.bench import Bench, Context, Steps, load
from benchmarks.measuring import measured

PREPARE = "(prepare)"


def main() -> None:
    """Run the side that the command line names and write what it took as JSON."""
    name, side, rows, inputs, workspace, result = sys.argv[1:]
    bench = load(name)
    context = Context(int(rows), Path(inputs), Path(workspace), bench.parts or ())
    outcome = _prepare(bench, context) if side == PREPARE else _run(bench, side, context)
    Path(result).write_text(json.dumps(outcome), encoding="utf-8")


def _prepare(bench: Bench, context: Context) -> dict[str, object]:
    if bench.prepare:
        bench.prepare(context)
    return {}


def _run(bench: Bench, side: str, context: Context) -> dict[str, object]:
    if bench.parts is not None:
        # A session starts before its first job does: the scheduler and Python's way to the JVM are warm then.
        context.spark.range(1).count()
    steps = bench.sides[side]
    if isinstance(steps, Steps):
        steps.ready(context)
    with measured() as usage:
        returned = (steps.run if isinstance(steps, Steps) else steps)(context)
    if isinstance(steps, Steps):
        returned = steps.check(context)
    return dataclasses.asdict(usage) | {"returned": returned}


if __name__ == "__main__":
    main()
