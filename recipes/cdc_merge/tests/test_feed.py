"""A database tells its changes as Debezium does; whatever the order, the merged table is what the database holds."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from functools import partial
from itertools import count

from gluewright_cdc_merge import counts, debezium, merge, table_schema, tombstone_schema

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNAVAILABLE = "__debezium_unavailable_value"
COLUMNS = "id bigint, n int, note string, doc string"
LARGE = ("note", "doc")


class Database:
    """A table in PostgreSQL with REPLICA IDENTITY DEFAULT, and what its connector tells of it.

    A value that begins with ``large`` is stored out of line: what does not change it says the placeholder instead.
    """

    def __init__(self, seed: int, groups: int) -> None:
        self.rng, self.groups = random.Random(seed), groups
        self.rows: dict[int, dict] = {}
        self.events: list[str | None] = []
        self.position = count(1000, 8)

    def tell(self, op: str, at: int, *, before=None, after=None, snapshot=False) -> None:
        # Positions of an incremental snapshot are in the sequence only, and its first is null.
        sequence = [None if snapshot else str(at), str(at)]
        source = {"lsn": None if snapshot else at, "sequence": json.dumps(sequence)}
        self.events.append(json.dumps({"op": op, "before": before, "after": after, "source": source, "ts_ms": 0}))

    def value(self) -> str | None:
        return self.rng.choice([None, "small", f"large {self.rng.randrange(10**6)}"])

    def insert(self, key: int) -> None:
        self.rows[key] = {"id": key, "n": self.rng.randrange(100), **{name: self.value() for name in LARGE}}
        self.tell("c", next(self.position), after=self.rows[key])

    def update(self, key: int, to: int) -> None:
        """Update some columns, and the key if ``to`` is another one."""
        old, at = self.rows.pop(key), next(self.position)
        changed = {name: self.value() for name in LARGE if self.rng.random() < 0.4}
        self.rows[to] = {**old, "id": to, "n": self.rng.randrange(100), **changed}
        kept = {name: UNAVAILABLE for name in LARGE if name not in changed and (old[name] or "").startswith("large")}
        after = {**self.rows[to], **kept}
        if to == key:
            return self.tell("u", at, after=after)
        self.leave(key, at)
        return self.tell("c", at, after=after)

    def delete(self, key: int) -> None:
        self.rows.pop(key)
        self.leave(key, next(self.position))

    def leave(self, key: int, at: int) -> None:
        # Of the deleted row the key alone is known.
        self.tell("d", at, before={"id": key, "n": None, "note": "", "doc": None})
        self.events.append(None)

    def read(self, key: int) -> None:
        self.tell("r", next(self.position), after=self.rows[key], snapshot=True)

    def truncate(self) -> None:
        self.rows.clear()
        self.tell("t", next(self.position))

    def work(self) -> None:
        """Do something to a row. Each has its group of four keys, so that keys are used again and again."""
        first = 4 * self.rng.randrange(self.groups)
        key, other = self.rng.sample(range(first, first + 4), k=2)
        if key not in self.rows:
            self.insert(key)
        elif self.rng.random() < 0.3 and other not in self.rows:
            self.update(key, to=other)
        else:
            change = partial(self.update, to=key)
            self.rng.choice([change] * 6 + [self.delete] * 2 + [self.read])(key)


def test_the_changes_of_a_database_shuffled_and_repeated_give_its_rows(spark, interpreted):
    database = Database(seed=11, groups=250)
    for step in range(4000):
        database.work()
        if step == 1000:
            database.truncate()
    rng = random.Random(12)
    delivered = database.events + rng.choices(database.events, k=len(database.events) // 5)
    rng.shuffle(delivered)
    schema = spark.createDataFrame([], COLUMNS).schema
    table = tombstones = None
    for portion in range(3):
        records = spark.createDataFrame([(value,) for value in delivered[portion::3]], "value string")
        decoded = debezium(records, schema, ["id"])
        changes = decoded.changes.localCheckpoint()
        assert decoded.quarantine.isEmpty()
        if table is None:
            table = spark.createDataFrame([], table_schema(changes.schema))
            tombstones = spark.createDataFrame([], tombstone_schema(changes.schema))
        merged = merge(table, tombstones, changes, now=NOW)
        table, tombstones = merged.rows.localCheckpoint(), merged.tombstones.localCheckpoint()
        counted = sum(row["records"] for row in counts(merged.resolved).collect())
        assert counted + decoded.ignored.count() == records.count()
    found = {row["id"]: row.asDict() for row in table.select("id", "n", "note", "doc").collect()}
    assert found == database.rows
