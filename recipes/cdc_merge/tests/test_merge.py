"""The merge gives the same table in every order, in every portion and however often, and it is the model's."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from gluewright_cdc_merge import counts, merge, table_schema, tombstone_schema
from gluewright_cdc_merge.job.publish import open_target
from gluewright_testing.sharing import in_turn, shared

COLUMNS = ["name", "amount"]
PORTIONS = 3
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = "op string, key struct<feed: int, id: int>, sequence struct<n: bigint, feed: int>, "
SCHEMA += "row struct<feed: int, id: int, name: string, amount: int>"


@dataclass(frozen=True)
class Change:
    """A change: what a feed delivers."""

    op: str
    key: int | None
    sequence: int
    values: dict[str, object] = field(default_factory=dict)  # only the columns that it says something about
    old_key: int | None = None  # of a row that it moves: what it leaves out is as it was under this key

    def __hash__(self) -> int:
        return hash((self.op, self.key, self.sequence, tuple(sorted(self.values.items(), key=repr)), self.old_key))


def table_of(changes: list[Change], columns: list[str]) -> dict[int, dict[str, object]]:
    """Return the rows by key after these changes, in whatever order they are given."""
    rows = {}
    for key in {c.key for c in changes if c.key is not None}:
        # A delete with the sequence of an upsert goes before it.
        if life(changes, key, before=math.inf)[1]:
            rows[key] = {name: values_of(changes, key, before=math.inf).get(name) for name in columns}
    return rows


def life(changes: list[Change], key: int | None, before: float) -> tuple[int, list[Change]]:
    """Return when the row was last deleted before a sequence, and its upserts since then, in order."""
    earlier = [c for c in changes if c.sequence < before]
    died = max((c.sequence for c in earlier if c.op == "truncate" or (c.op == "delete" and c.key == key)), default=-1)
    living = [c for c in earlier if c.op == "upsert" and c.key == key and c.sequence >= died]
    return died, sorted(living, key=lambda change: change.sequence)


def values_of(changes: list[Change], key: int | None, before: float) -> dict[str, object]:
    """Return what is known of a row before a sequence; of a deleted one, that it has no values any more."""
    died, living = life(changes, key, before)
    values: dict[str, object] = dict.fromkeys(COLUMNS) if died >= 0 else {}
    for change in living:
        if change.old_key is not None:
            values |= values_of(changes, change.old_key, change.sequence)
        values |= change.values
    return values


def changes_of(spark, feeds, truncates, *, partial):
    """Give the changes of many feeds as one DataFrame; the feed's number is part of each key and sequence."""
    rows = []
    for feed, changes in feeds.items():
        for c in changes:
            row = unset = None
            if c.op == "upsert":
                row = (feed, c.key, *(c.values.get(name) for name in COLUMNS))
                unset = [name for name in COLUMNS if name not in c.values] or None
            own = [unset, c.old_key is not None] if partial else []
            rows.append((c.op, (feed, c.key), (c.sequence, feed), row, *own))
    rows += [("truncate", None, (c.sequence, -1), None, *([None, False] if partial else [])) for c in truncates]
    return spark.createDataFrame(rows, SCHEMA + (", unset array<string>, moved boolean" if partial else ""))


def empty(spark, changes):
    schema = changes.schema
    return spark.createDataFrame([], table_schema(schema)), spark.createDataFrame([], tombstone_schema(schema))


def random_changes(rng, *, partial):
    """No two upserts of a key have one sequence, so the model needs no rule for ties."""
    found, used = [], set()
    for _ in range(rng.randrange(3, 25)):
        key, sequence = rng.randrange(4), rng.randrange(30)
        if rng.random() < 0.25:
            found.append(Change("delete", key, sequence))
        elif (key, sequence) not in used:
            used.add((key, sequence))
            values = {"name": rng.choice(["a", "b", None]), "amount": rng.randrange(5)}
            if partial:
                values = {name: value for name, value in values.items() if rng.random() < 0.7}
            found.append(Change("upsert", key, sequence, values))
    return with_moves(rng, found) if partial else found


def with_moves(rng, changes):
    """Give rows a new key, one after the other, so that a row may be moved several times, and old keys be used again."""
    moves = sorted(rng.sample([n + 0.5 for n in range(30)], k=rng.randrange(4)))
    for number, at in enumerate(moves):
        old, new, until = rng.choice(sorted({c.key for c in changes})), 10 + number, at + rng.choice([0, 3, 6, 30])
        later = [c for c in changes if at < c.sequence < until and c.key == old]
        changes = [c for c in changes if c not in later]
        values = {name: value for name, value in (("name", "m"), ("amount", 7)) if rng.random() < 0.4}
        changes += [Change("delete", old, at), Change("upsert", new, at, values, old_key=old)]
        changes += [replace(c, key=new) for c in later]
    # Sequences are whole numbers.
    return [replace(c, sequence=int(c.sequence * 2)) for c in changes]


def portions(rng, changes):
    """Deliver changes shuffled, some of them twice, in portions."""
    delivered = changes + rng.choices(changes, k=len(changes) // 3)
    rng.shuffle(delivered)
    cuts = sorted(rng.randrange(len(delivered) + 1) for _ in range(PORTIONS - 1))
    return [delivered[start:end] for start, end in zip([0, *cuts], [*cuts, len(delivered)], strict=True)]


def held_to_the_model(feeds, merged, got, *, partial, spark):
    """Merge random feeds portion by portion with ``merged``, which gives the counts, and compare the rows that it got."""
    rng = random.Random(7)
    every = {feed: random_changes(random.Random(feed), partial=partial) for feed in feeds}
    delivered = {feed: portions(rng, changes) for feed, changes in every.items()}
    # A truncate concerns every feed, because they share the table.
    truncates = [Change("truncate", None, 9), Change("truncate", None, 24)]
    rng.shuffle(truncates)
    for portion in range(PORTIONS):
        batch, emptied = {feed: delivered[feed][portion] for feed in feeds}, truncates[portion : portion + 1]
        counted = merged(changes_of(spark, batch, emptied, partial=partial))
        assert sum(counted.values()) == sum(map(len, batch.values())) + len(emptied), counted
    found = {feed: {} for feed in feeds}
    for row in got().collect():
        assert row["id"] not in found[row["feed"]]
        found[row["feed"]][row["id"]] = {name: row[name] for name in COLUMNS}
    for feed, changes in every.items():
        assert found[feed] == table_of(changes + truncates, COLUMNS), changes


def test_whole_rows_in_any_order_portions_and_repetition_give_the_models_table(spark):
    kept = {}

    def merged(changes):
        if not kept:
            kept["table"], kept["tombstones"] = empty(spark, changes)
        outcome = merge(kept["table"], kept["tombstones"], changes, now=NOW)
        kept["table"], kept["tombstones"] = outcome.rows.localCheckpoint(), outcome.tombstones.localCheckpoint()
        return {row["outcome"]: row["records"] for row in counts(outcome.resolved).collect()}

    held_to_the_model(shared(range(700)), merged, lambda: kept["table"], partial=False, spark=spark)


@pytest.mark.parametrize("kind", in_turn(["parquet", "delta", "iceberg"]))
def test_partial_changes_moves_and_truncates_in_any_order_give_the_models_table(spark, catalog, tmp_path, kind):
    name = f"{'ice.' if kind == 'iceberg' else ''}{catalog.name}.feeds"
    location = "" if kind == "iceberg" else f"file://{tmp_path}/feeds"
    runs = iter(["mon", "tue", "wed"])

    def opened(changes):
        # The amount of a row changes, and with it its partition.
        return open_target(spark, name, changes.schema, kind=kind, location=location, partition_by=["amount"])

    def merged(changes):
        return opened(changes).merge(changes, run=next(runs), now=NOW)

    held_to_the_model(range(1000), merged, lambda: spark.table(name), partial=True, spark=spark)
