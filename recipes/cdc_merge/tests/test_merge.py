"""The merge gives the same table in every order, in every portion and however often, and it is the model's."""

from __future__ import annotations

import importlib
import random
import shutil
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gluewright_cdc_merge.merge import counts, merge, table_schema, tombstone_schema

COLUMNS = ["name", "amount"]
PORTIONS = 3
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = "op string, key struct<feed: int, id: int>, sequence struct<n: bigint>, "
SCHEMA += "row struct<feed: int, id: int, name: string, amount: int>"


@dataclass(frozen=True)
class Change:
    """A change: what a feed delivers."""

    op: str
    key: int | None
    sequence: int
    values: dict[str, object] = field(default_factory=dict)  # only the columns that it says something about

    def __hash__(self) -> int:
        return hash((self.op, self.key, self.sequence, tuple(sorted(self.values.items(), key=repr))))


def table_of(changes: list[Change], columns: list[str]) -> dict[int, dict[str, object]]:
    """Return the rows by key after these changes, in whatever order they are given."""
    truncated = max((c.sequence for c in changes if c.op == "truncate"), default=-1)
    rows = {}
    for key in {c.key for c in changes if c.key is not None}:
        mine = [c for c in changes if c.key == key]
        deleted = max((c.sequence for c in mine if c.op == "delete"), default=-1)
        # An upsert with the sequence of a delete goes before it.
        living = [c for c in mine if c.op == "upsert" and c.sequence >= max(deleted, truncated)]
        if living:
            living.sort(key=lambda change: change.sequence)
            newest = {name: value for change in living for name, value in change.values.items()}
            rows[key] = {name: newest.get(name) for name in columns}
    return rows


def changes_of(spark, feeds, *, partial):
    """Give the changes of many feeds as one DataFrame; the feed's number is part of the key."""
    rows = []
    for feed, changes in feeds.items():
        for c in changes:
            row = unset = None
            if c.op == "upsert":
                row = (feed, c.key, *(c.values.get(name) for name in COLUMNS))
                unset = [name for name in COLUMNS if name not in c.values] or None
            rows.append((c.op, None if c.key is None else (feed, c.key), (c.sequence,), row, *([unset] if partial else [])))
    return spark.createDataFrame(rows, SCHEMA + (", unset array<string>" if partial else ""))


def empty(spark, changes):
    schema = changes.schema
    return spark.createDataFrame([], table_schema(schema)), spark.createDataFrame([], tombstone_schema(schema))


def random_changes(rng, *, partial, truncates=False):
    """No two upserts of a key have one sequence, so the model needs no rule for ties."""
    found, used = [], set()
    for _ in range(rng.randrange(3, 25)):
        key, sequence = rng.randrange(4), rng.randrange(30)
        op = rng.choices(["upsert", "delete", "truncate"], [10, 3, 1 if truncates else 0])[0]
        if op == "truncate":
            found.append(Change("truncate", None, sequence))
        elif op == "delete":
            found.append(Change("delete", key, sequence))
        elif (key, sequence) not in used:
            used.add((key, sequence))
            values = {"name": rng.choice(["a", "b", None]), "amount": rng.randrange(5)}
            if partial:
                values = {name: value for name, value in values.items() if rng.random() < 0.7}
            found.append(Change("upsert", key, sequence, values))
    return found


def portions(rng, changes):
    """Deliver changes shuffled, some of them twice, in portions."""
    delivered = changes + rng.choices(changes, k=len(changes) // 3)
    rng.shuffle(delivered)
    cuts = sorted(rng.randrange(len(delivered) + 1) for _ in range(PORTIONS - 1))
    return [delivered[start:end] for start, end in zip([0, *cuts], [*cuts, len(delivered)], strict=True)]


@pytest.mark.parametrize(
    ("partial", "truncates", "feeds"),
    [(False, False, 700), (True, False, 700), (False, True, 1), (True, True, 1)],
    ids=["whole rows", "partial changes", "whole rows and truncates", "partial changes and truncates"],
)
def test_any_order_any_portions_any_repetition_gives_the_models_table(spark, partial, truncates, feeds):
    rng = random.Random(7)
    for _ in range(1):
        every = {feed: random_changes(rng, partial=partial, truncates=truncates) for feed in range(feeds)}
        delivered = {feed: portions(rng, changes) for feed, changes in every.items()}
        table = tombstones = None
        for portion in range(PORTIONS):
            batch = {feed: delivered[feed][portion] for feed in every}
            changes = changes_of(spark, batch, partial=partial)
            if table is None:
                table, tombstones = empty(spark, changes)
            merged = merge(table, tombstones, changes, now=NOW)
            table, tombstones = merged.rows.localCheckpoint(), merged.tombstones.localCheckpoint()
            counted = {row["outcome"]: row["records"] for row in counts(merged.settled).collect()}
            assert sum(counted.values()) == sum(map(len, batch.values())), counted
        got = {feed: {} for feed in every}
        for row in table.collect():
            assert row["id"] not in got[row["feed"]]
            got[row["feed"]][row["id"]] = {name: row[name] for name in COLUMNS}
        for feed, changes in every.items():
            assert got[feed] == table_of(changes, COLUMNS), changes


def test_the_files_work_alone_where_none_of_our_packages_is(spark, tmp_path, monkeypatch):
    source = Path(sys.modules[merge.__module__].__file__).parent
    for name in ("merge", "decode"):
        shutil.copy(source / f"{name}.py", tmp_path / f"copied_{name}.py")
    for package in [name for name in sys.modules if name.startswith("gluewright")]:
        monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    monkeypatch.syspath_prepend(tmp_path)
    copied_merge, copied_decode = importlib.import_module("copied_merge"), importlib.import_module("copied_decode")

    given = [("insert", 1, "a", 1), ("delete", 2, None, 2)]
    records = spark.createDataFrame(given, "op string, id int, name string, at int")
    changes = copied_decode.plain(records, ["id"], op="op", sequence_by=["at"]).changes
    table = spark.createDataFrame([], copied_merge.table_schema(changes.schema))
    tombstones = spark.createDataFrame([], copied_merge.tombstone_schema(changes.schema))
    merged = copied_merge.merge(table, tombstones, changes, now=NOW)
    assert [(row["id"], row["name"]) for row in merged.rows.collect()] == [(1, "a")]
    assert [row["key"]["id"] for row in merged.tombstones.collect()] == [2]
