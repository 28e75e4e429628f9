"""What it costs to find 1,000 new objects among many that are known: the ledger beside a full comparison of two lists.

The source is a listing in memory that answers as S3 does, sorted and from a given key on; a page of 1,000 costs no time, so
what is measured is the bookkeeping alone. The full comparison reads the known keys and ETags from one Parquet or JSON file,
lists everything, and takes the difference of two sets.
"""

from __future__ import annotations

import json
import pickle
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bench import Steps
from gluewright_core.storage import Storage, StoredObject, open_storage
from gluewright_incremental.job.incremental import Incremental

if TYPE_CHECKING:
    from benchmarks.bench import Context

ROWS, QUICK_ROWS = 1_000_000, 20_000
NEW = 1_000
A_PREFIX = 500
"""Objects in one prefix: a day."""
CONSUMER = "bench"
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Listing(Storage):
    """A source that can only be listed."""

    def __init__(self, entries: list[tuple[str, str, int]]) -> None:
        self.uri = "memory://listing"
        self._entries = entries
        self._keys = [key for key, _, _ in entries]

    def list_objects(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See :meth:`Storage.list_objects`."""
        start = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after) if after else 0)
        for at in range(start, len(self._entries)):
            key, version, size = self._entries[at]
            if not key.startswith(prefix):
                return
            yield StoredObject(key, size, version, WHEN)

    def _none(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("the benchmark only lists")

    list_folders = stat = read = write = delete = delete_version = join = _none


def entries(first: int, count: int) -> list[tuple[str, str, int]]:
    """Make up objects: key, version, size."""
    numbers = range(first, first + count)
    return [
        (
            f"day={n // A_PREFIX:06d}/part-{n:08d}.parquet",
            md5(str(n).encode(), usedforsecurity=False).hexdigest(),
            1000 + n % 999,
        )
        for n in numbers
    ]


def _known_and_new(context: Context) -> Listing:
    return Listing(pickle.loads((context.inputs / "entries.pickle").read_bytes()))


def _incremental(context: Context, source: Storage) -> Incremental:
    state = open_storage(context.inputs / "state")
    return Incremental(source, consumer=CONSUMER, state=state, close_after=2, audit_every=10_000, patience=0)


def prepare(context: Context) -> None:
    """Let the ledger read everything, in 36 large batches and 4 small ones; write down what the full comparison reads."""
    known = entries(0, context.rows)
    (context.inputs / "state").mkdir()
    usual = context.rows - 4 * NEW
    for until in [*(usual * part // 36 for part in range(1, 37)), *(usual + part * NEW for part in range(1, 5))]:
        with _incremental(context, Listing(known[:until])).batch():
            pass
    (context.inputs / "entries.pickle").write_bytes(pickle.dumps(known + entries(context.rows, NEW)))
    (context.inputs / "known.json").write_text(json.dumps([[key, version] for key, version, _ in known]))
    columns = {"key": [key for key, _, _ in known], "version": [version for _, version, _ in known]}
    pq.write_table(pa.table(columns), context.inputs / "known.parquet")
    document = context.inputs / "state" / "_gluewright" / "ledgers" / f"{CONSUMER}.json"
    names = sum(
        file.stat().st_size
        for file in document.with_suffix("").rglob("*")
        if "/batches/" not in str(file) and file.is_file()
    )
    print(f"{context.rows:,} known objects: the document has {document.stat().st_size:,} bytes, its side objects {names:,}")


_source: dict[str, Listing] = {}


def _ready(context: Context) -> None:
    _source["listing"] = _known_and_new(context)
    pq.read_table(context.inputs / "known.parquet", columns=[])  # loads what pyarrow loads at its first use


def _ledger(context: Context) -> None:
    batch = _incremental(context, _source["listing"]).plan()
    context.workspace.joinpath("new").write_text("\n".join(each.key for each in batch.objects))


def _ledger_full(context: Context) -> None:
    batch = _incremental(context, _source["listing"]).plan(full=True)
    context.workspace.joinpath("new").write_text("\n".join(each.key for each in batch.objects))


def _difference(context: Context, known: set[tuple[str, str]]) -> None:
    listed = {(each.key, each.version) for each in _source["listing"].list_objects()}
    context.workspace.joinpath("new").write_text("\n".join(sorted(key for key, _ in listed - known)))


def _full_json(context: Context) -> None:
    _difference(context, {(key, version) for key, version in json.loads((context.inputs / "known.json").read_text())})


def _full_parquet(context: Context) -> None:
    table = pq.read_table(context.inputs / "known.parquet")
    _difference(context, set(zip(table["key"].to_pylist(), table["version"].to_pylist(), strict=True)))


def _found(context: Context) -> str:
    new = context.workspace.joinpath("new").read_text()
    return f"{len(new.splitlines())} {md5(new.encode(), usedforsecurity=False).hexdigest()}"


SIDES = {
    "ledger, closed prefixes not listed": Steps(_ready, _ledger, _found),
    "ledger, everything listed": Steps(_ready, _ledger_full, _found),
    "difference of sets, from JSON": Steps(_ready, _full_json, _found),
    "difference of sets, from Parquet": Steps(_ready, _full_parquet, _found),
}
RATIOS = {
    "ledger / sets from JSON": ("ledger, closed prefixes not listed", "difference of sets, from JSON", 1 / 20),
    "ledger / sets from Parquet": ("ledger, closed prefixes not listed", "difference of sets, from Parquet", 1 / 20),
    "everything listed / sets from Parquet": ("ledger, everything listed", "difference of sets, from Parquet", 3.0),
}
