"""One side of a benchmark, in this process: ``python -m benchmarks.side NAME SIDE ROWS INPUTS WORKSPACE RESULT COLD``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from benchmarks.bench import Bench, Context, Side, Steps, load
from benchmarks.measuring import measured

PREPARE = "(prepare)"


def main() -> None:
    """Run the side that the command line names and write what it took as JSON."""
    name, side, rows, inputs, workspace, result, cold = sys.argv[1:]
    bench = load(name)
    context = Context(int(rows), Path(inputs), Path(workspace), bench.parts, bench.conf)
    # What is small anyway, and what has no session, has nothing to be warmed up.
    few = None if cold == "True" or bench.parts is None or context.rows <= bench.quick_rows else bench.quick_rows
    outcome = _prepare(bench, context, few) if side == PREPARE else _run(bench.sides[side], context, few)
    Path(result).write_text(json.dumps(outcome), encoding="utf-8")


def _prepare(bench: Bench, context: Context, few: int | None) -> dict[str, object]:
    if bench.prepare:
        if few:
            small = context.small(few)
            small.inputs.mkdir()
            bench.prepare(small)
        bench.prepare(context)
    return {}


def _run(side: Side | Steps, context: Context, few: int | None) -> dict[str, object]:
    steps = side if isinstance(side, Steps) else Steps(_nothing, side, _nothing)
    if context.parts is not None:
        # A session starts before its first job does: the scheduler and Python's way to the JVM are warm then.
        context.spark.range(1).count()
    if few:
        small = context.small(few)
        steps.ready(small)
        steps.run(small)
    steps.ready(context)
    with measured() as usage:
        returned = steps.run(context)
    if isinstance(side, Steps):
        returned = steps.check(context)
    return dataclasses.asdict(usage) | {"returned": returned}


def _nothing(_: Context) -> None:
    pass


if __name__ == "__main__":
    main()
