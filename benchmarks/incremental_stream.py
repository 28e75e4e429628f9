"""A whole run that finds 1,000 new files where many are known: this recipe beside Spark's own file stream.

Both find the new files of a folder, read their lines, write them as Parquet, and record what they have read: the recipe in
its ledger, the stream (``availableNow``) in its checkpoint. The known files are in the ledger and in the checkpoint only, so
neither pays for listing them: what differs is the bookkeeping.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Steps
from benchmarks.incremental import A_PREFIX, CONSUMER, NEW, Listing, entries
from gluewright_core.storage import open_storage
from gluewright_incremental.job.incremental import Incremental

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from benchmarks.bench import Context
    from gluewright_core.storage import Storage

ROWS, QUICK_ROWS = 1_000_000, 20_000
PARTS = ()
# With 2 GB the stream dies: it reads a line for each file that it has ever seen.
CONF = {"spark.driver.memory": "6g"}


def prepare(context: Context) -> None:
    """Lay the new files down, and let both know the others."""
    source = context.inputs / "source"
    _write(source, f"day={context.rows // A_PREFIX - 1:06d}/first.txt")
    _stream(context, context.inputs / "checkpoint", context.workspace / "first")
    shutil.rmtree(source)
    known = entries(0, context.rows)
    # As the stream itself writes what it has seen.
    seen = context.inputs / "checkpoint" / "sources" / "0" / "0"
    version, line = seen.read_text(encoding="utf-8").splitlines()
    entry = json.loads(line)
    lines = (json.dumps({**entry, "path": f"file://{source}/{key}"}) for key, _, _ in known)
    seen.write_text("\n".join([version, *lines]), encoding="utf-8")
    seen.with_name(".0.crc").unlink()

    (context.inputs / "state").mkdir()
    usual = context.rows - 2 * NEW
    for until in (usual, usual + NEW, context.rows):
        listing = Listing(known[:until])
        listing.uri = open_storage(source).uri
        with _incremental(context.inputs / "state", listing).batch():
            pass
    for key, _, _ in entries(context.rows, NEW):
        _write(source, key.replace(".parquet", ".txt"))
    sizes = (_size(context.inputs / "state"), _size(context.inputs / "checkpoint"))
    print(f"{context.rows:,} known files: the ledger with its history has {sizes[0]:,} bytes, the checkpoint {sizes[1]:,}")


def _write(source: Path, key: str) -> None:
    file = source / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{key}\n", encoding="utf-8")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _incremental(state: Path, source: Storage) -> Incremental:
    return Incremental(
        source, consumer=CONSUMER, state=open_storage(state), close_after=1, audit_every=10_000, gone="ignore", patience=0
    )


def _stream(context: Context, checkpoint: Path, target: Path) -> None:
    lines = context.spark.readStream.text(f"{context.inputs}/source", recursiveFileLookup=True)
    # Not into files by itself: it would have another log there, of what it wrote.
    writing = lines.writeStream.foreachBatch(lambda batch, _: batch.write.mode("append").parquet(str(target)))
    writing.trigger(availableNow=True).option("checkpointLocation", str(checkpoint)).start().awaitTermination()


def _ready(context: Context) -> None:
    """Give the side a state of its own."""
    for name in ("state", "checkpoint"):
        shutil.copytree(context.inputs / name, context.workspace / name)


def _recipe(context: Context) -> None:
    incremental = _incremental(context.workspace / "state", open_storage(context.inputs / "source"))
    with incremental.batch() as batch:
        batch.read(context.spark, "text", "value string").write.parquet(f"{context.workspace}/written")


def _file_stream(context: Context) -> None:
    _stream(context, context.workspace / "checkpoint", context.workspace / "written")


def _check(context: Context) -> int:
    written: DataFrame = context.spark.read.parquet(f"{context.workspace}/written")
    return written.select("value").distinct().count()


SIDES = {
    "incremental": Steps(_ready, _recipe, _check),
    "file stream": Steps(_ready, _file_stream, _check),
}
RATIOS = {"incremental / file stream": ("incremental", "file stream", 1.0)}
