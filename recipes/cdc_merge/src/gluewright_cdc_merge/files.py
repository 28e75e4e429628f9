# gluewright-cdc-merge 0.1.0 files.py
# SPDX-License-Identifier: Apache-2.0
"""Read the files of a change feed, of which not all need to have the same columns."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from ._sql import quoted
from .audit import ARRIVAL
from .dms_order import PATH, with_place
from .feeds import MALFORMED, UNREADABLE, UnsupportedFeedError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RECURSIVE = {"recursiveFileLookup": "true"}
"""Folders in the source are read too: DMS makes one for each date, Kafka's S3 sink one for each partition."""
CSV = {"multiLine": "true", "escape": '"', "mode": "PERMISSIVE", "columnNameOfCorruptRecord": MALFORMED}
"""As DMS writes: a quote in a quoted value is doubled, and there may be line breaks in it."""
BYTES, BOM = "ISO-8859-1", "\ufeff"
"""CSV is read byte by byte: a reader of UTF-8 would replace what is no UTF-8 without a word."""
NOT_UTF8 = "it has bytes that are not UTF-8; such values are base64"
MOST_HEADS = 100
"""So many tables one table was, over all changes of its columns; files with more different first lines have no header."""


def came(rows: DataFrame) -> DataFrame:
    """Add in which order records came, for an audit: by the files' times, then line by line."""
    line = F.monotonically_increasing_id().alias("line")
    return rows.withColumn(ARRIVAL, F.struct("_metadata.file_modification_time", "_metadata.file_path", line))


def read_text(spark: SparkSession, source: str) -> DataFrame:
    """Read lines."""
    return spark.read.options(**RECURSIVE).text(source)


def read_parquet(spark: SparkSession, source: str, *, partitioned: bool) -> DataFrame:
    """Read Parquet files; a column that some of them lack is NULL in those.

    Args:
        spark: the session.
        source: folder or files.
        partitioned: whether folders such as ``dt=2026-01-05`` are columns; else folders mean nothing.
    """
    # Without it the columns of one file count: the operation would be lost beside a full load, which has none.
    options = {"mergeSchema": "true"} | ({} if partitioned else RECURSIVE)
    return spark.read.options(**options).parquet(source)


def read_csv(
    spark: SparkSession,
    source: str,
    keys: Sequence[str],
    *,
    op: str,
    null: str,
    names: Sequence[str] = (),
    audited: bool = False,
) -> DataFrame:
    """Read CSV files of DMS as text. Lines with more or fewer fields than their file has are in ``_gw_malformed`` too.

    Lines with bytes that are not UTF-8 have a reason in ``_gw_unreadable``, and such values are base64. Every line has its
    place; see :func:`gluewright_cdc_merge.dms_order.with_place`.

    Files of the full load have no operation, and older ones may lack columns that were added since. Spark takes the header
    of one file for all and assigns by position; here every file is read by its own. If the files have none, a line with one
    field less than named, and no operation in front, is of the full load.

    Args:
        spark: the session.
        source: folder or files.
        keys: the key columns: a line that does not name them is no header.
        op: the column with the operation.
        null: the word for NULL; nothing between two commas is NULL too.
        names: the columns of the files, if they have no header.
        audited: whether to add in which order records :func:`came`.

    Raises:
        UnsupportedFeedError: some files have no header that names the key columns.
    """
    read = partial(_rows, spark, source, null=null, audited=audited)
    if names:
        return _by_position(read(names, header=False), names, op, null)
    heads = _heads(spark, source).localCheckpoint()
    headers = [row["head"] for row in heads.select("head").distinct().limit(MOST_HEADS + 1).collect()]
    named = {header: next(csv.reader([header.removeprefix(BOM)])) for header in headers}
    wanted = {key.lower() for key in keys}
    if len(named) > MOST_HEADS or not all(wanted <= {name.lower() for name in columns} for columns in named.values()):
        # What stands there may be data.
        raise UnsupportedFeedError(
            f"{source}: the first lines of some files are no headers that name {', '.join(keys)}; if the files have none, "
            "name their columns in --file_columns"
        )
    found = []
    for header, columns in named.items():
        rows = read(columns, header=True)
        if len(named) > 1:
            own = F.broadcast(heads.where(F.col("head") == header).select(F.col("file").alias("_gw_of")))
            rows = rows.join(own, F.col(PATH) == F.col("_gw_of"), "left_semi")
        found.append(rows)
    return functools.reduce(partial(DataFrame.unionByName, allowMissingColumns=True), found)


def _rows(spark: SparkSession, source: str, names: Sequence[str], *, null: str, audited: bool, header: bool) -> DataFrame:
    schema = StructType([StructField(name, StringType()) for name in [*names, MALFORMED]])
    options = {**RECURSIVE, **CSV, "nullValue": _as_bytes(null), "encoding": BYTES}
    rows = spark.read.schema(schema).options(**options, header=header).csv(source)
    return _decoded(with_place(came(rows) if audited else rows, numbered=False), [*names, MALFORMED])


def _as_bytes(text: str) -> str:
    """Return a text as it looks where each byte is a character."""
    return text.encode().decode(BYTES)


def _decoded(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Decode values that were read byte by byte, and find those that are not UTF-8."""
    others = [quoted(name) for name in rows.columns if name not in names]
    raw = _without_bom(names)
    # Where each character is one byte the text is ASCII, and stays.
    ascii_only, decoded = "octet_length({0}) = length({0})", f"CAST(encode({{0}}, '{BYTES}') AS STRING)"
    same = "CAST({0} AS BINARY) = encode({0}, 'UTF-8')"
    values = [f"if({ascii_only}, {{0}}, {decoded})".format(sql) for sql in raw]
    valid = [f"({sql} IS NULL OR {ascii_only.format(sql)} OR {same.format(decoded.format(sql))})" for sql in raw]
    rows = rows.selectExpr(
        *others,
        *(f"{sql} AS _gw_value{n}" for n, sql in enumerate(values)),
        f"if({' AND '.join(valid)}, NULL, '{NOT_UTF8}') AS {UNREADABLE}",
    )
    shown = "if({1} IS NULL OR {0} IS NULL OR " + same + ", {0}, base64(CAST({0} AS BINARY))) AS {2}"
    made = [shown.format(f"_gw_value{n}", UNREADABLE, quoted(name)) for n, name in enumerate(names)]
    return rows.selectExpr(*made, *others, UNREADABLE)


def _without_bom(names: Sequence[str]) -> list[str]:
    """Return the columns as SQL, without a byte order mark in front of the first or of a malformed line."""
    bom, first = _as_bytes(BOM), quoted(names[0])
    # In front of a quote the mark hides the quote from the parser.
    inner = f"substring({first}, {len(bom) + 2}, length({first}) - {len(bom) + 2})"
    unquoted = f"CASE WHEN {first} LIKE '{bom}\"%\"' THEN replace({inner}, '\"\"', '\"')"

    def bare(name: str) -> str:
        return f"WHEN startswith({name}, '{bom}') THEN substring({name}, {len(bom) + 1}) ELSE {name} END"

    columns = [quoted(name) for name in names]
    return [
        f"{unquoted} {bare(name)}" if name == first else f"CASE {bare(name)}" if name == quoted(MALFORMED) else name
        for name in columns
    ]


def _heads(spark: SparkSession, source: str) -> DataFrame:
    """Give the first line of every file: ``file`` and ``head``."""
    lines = read_text(spark, source).where("_metadata.file_block_start = 0")
    lines = lines.select(F.col("_metadata.file_path").alias("file"), "value", F.monotonically_increasing_id().alias("line"))
    return lines.groupBy("file").agg(F.min_by("value", "line").alias("head"))


def _by_position(rows: DataFrame, names: Sequence[str], op: str, null: str) -> DataFrame:
    """Take lines that lack just the operation for what they are: rows of a full load."""
    if names[0].lower() != op.lower():
        return rows
    shorter = ", ".join(f"{quoted(name)} STRING" for name in [*names[1:], MALFORMED])
    parsed = F.from_csv(MALFORMED, shorter, {**CSV, "nullValue": null})
    rows = rows.withColumn("_gw_short", F.when(F.col(MALFORMED).isNotNull(), parsed))
    short = {name: F.col(f"_gw_short.{quoted(name)}") for name in [*names[1:], MALFORMED]}
    # A line with an operation lacks something else.
    loaded = F.col("_gw_short").isNotNull() & short[MALFORMED].isNull() & ~short[names[1]].isin("I", "U", "D")
    rows = rows.withColumn("_gw_loaded", F.coalesce(loaded, F.lit(False)))
    own = {name: F.when(F.col("_gw_loaded"), short.get(name)).otherwise(F.col(quoted(name))) for name in names[1:]}
    own |= {name: F.when(~F.col("_gw_loaded"), F.col(quoted(name))) for name in (names[0], MALFORMED)}
    return rows.withColumns(own).drop("_gw_short", "_gw_loaded")
