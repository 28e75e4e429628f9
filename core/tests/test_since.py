"""Rows that were made from the table's own are published only onto the version that they were made from.

The other run comes whole between every two steps of the first one's publish: its looks at the table's version and its
commits. (The schedules of Parquet tables are explored in test_lost_answers.py.)
"""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest

from gluewright_core.effects import watching
from gluewright_core.errors import ConcurrentUpdateError, OutcomeUnknownError
from gluewright_core.tables import TableSpec, open_table
from gluewright_testing.rows import rows
from gluewright_testing.sharing import in_turn, shared

pytestmark = pytest.mark.usefixtures("interpreted")

SCHEMA = "n bigint, p string"
_names = itertools.count()


@pytest.fixture(params=in_turn(["iceberg", "delta"]))
def make(request, spark, catalog, tmp_path):
    def made():
        name = f"counters_{next(_names)}"
        iceberg = request.param == "iceberg"
        full = catalog.iceberg_table(name) if iceberg else catalog.table(name)
        spec = TableSpec(full, rows(spark, SCHEMA, []).schema, ("p",), "" if iceberg else f"file://{tmp_path}/wh/{name}")
        table = open_table(spark, spec, request.param)
        table.publish(rows(spark, SCHEMA, [(0, "x"), (0, "y")]), run="before", replace=[{"p": "x"}, {"p": "y"}])
        return table

    return made


class Step:
    """Counts the steps of a publish, and lets something happen before one of them."""

    def __init__(self, number: int = -1, meanwhile=None) -> None:
        self.number, self.meanwhile, self.seen, self.busy = number, meanwhile, 0, False

    def before(self, happening) -> None:
        if self.busy or happening.kind not in {"table.read", "spark.commit"}:
            return
        self.seen += 1
        if self.seen == self.number:
            self.busy = True
            self.meanwhile()
            self.busy = False

    def after(self, happening) -> None:
        pass


def values(table) -> dict[str, int]:
    return {row.p: row.n for row in table.read().collect()}


def increment(spark, table, run: str, partition: str, step: Step | None = None) -> None:
    """Make a partition one more than the sum of the whole table."""
    since = table.begin(run)
    total = sum(values(table).values())
    new = rows(spark, SCHEMA, [(total + 1, partition)])
    if step is None:
        table.publish(new, run=run, replace=[{"p": partition}], since=since)
        return
    with watching(step):
        table.publish(new, run=run, replace=[{"p": partition}], since=since)


@pytest.mark.parametrize("other", ["x", "y"], ids=["the same partition", "another partition"])
def test_no_increment_is_lost_wherever_another_one_comes_between(spark, make, other):
    counted = Step()
    increment(spark, make(), "a", "x", counted)
    assert counted.seen >= 3
    refused = 0
    steps = range(1, counted.seen + 1)
    for number in shared(steps):
        table = make()
        step = Step(number, lambda table=table: increment(spark, table, "b", other))
        try:
            increment(spark, table, "a", "x", step)
        except ConcurrentUpdateError:
            refused += 1
            increment(spark, table, "a", "x")
        published = sorted(run for run in ("a", "b") if table.published(run))
        assert published == ["a", "b"], f"before step {number}"
        # From 0 and 0: who came second has counted the first.
        found = values(table)
        assert max(found.values()) == 2 if other == "y" else found == {"x": 2, "y": 0}, f"{found} before step {number}"
    assert refused or len(shared(steps)) < len(steps)  # a share may have none of the steps that refuse


def test_a_commit_without_an_answer_is_published_if_it_was_performed(spark, make, monkeypatch):
    table = make()
    since, real = table.begin("a"), type(table)._committing

    def lost(self):
        context = real(self)

        class Lost:
            def __enter__(self):
                context.__enter__()

            def __exit__(self, *error):
                context.__exit__(*error)
                raise OutcomeUnknownError("the answer is lost")

        return Lost()

    new = rows(spark, SCHEMA, [(1, "x")])
    monkeypatch.setattr(type(table), "_committing", lost)
    with suppress(OutcomeUnknownError):
        table.publish(new, run="a", replace=[{"p": "x"}], since=since)
    monkeypatch.undo()
    again = table.publish(new, run="a", replace=[{"p": "x"}], since=table.begin("a"))
    assert values(table) == {"x": 1, "y": 0}
    assert table.published("a")
    assert again.run == "a"
