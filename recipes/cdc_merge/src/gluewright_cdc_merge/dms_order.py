# gluewright-cdc-merge 0.1.0 dms_order.py
# SPDX-License-Identifier: Apache-2.0
"""Order the records of DMS files: commit time, change number, file, line.

``TimestampColumnName`` is the time of the commit, so all changes of a transaction tie on it. What orders them is the header
``$AR_H_CHANGE_SEQ``, if a transformation rule of the task adds it as a column, else their place in the files: DMS numbers
the files of a full load (``LOAD00000001.csv``), names those of changes by their time (``20260105-081500000.csv``), and
writes changes into a file in the order in which it applies them.

The timestamp of a loaded row is when it was transferred, which may be after the commit of a change that it does not contain
yet. Without expressions of the caller a load comes before all changes, as it does in one task of DMS.

The sequence of a record has these fields, after those that the caller names:

==================  ===================================================================================================
field               value
==================  ===================================================================================================
``_gw_stage``       0 for rows of a full load, 1 for changes
``_gw_change_seq``  the header column ``AR_H_CHANGE_SEQ``; empty for a full load and where there is none
``_gw_file``        the file's name
``_gw_line``        the record's number in its file
==================  ===================================================================================================

Sources: the user guide of AWS DMS, "Using Amazon S3 as a target for AWS Database Migration Service" (names of files,
``TimestampColumnName``, ``PreserveTransactions``) and "Using transformation rule expressions to define column content".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

CHANGE_SEQ = "AR_H_CHANGE_SEQ"
"""The header column with the change number, as the guide names it; case does not matter."""
PATH, ROW, FILE = "_gw_path", "_gw_row", "_gw_name"
"""Columns of records: the file's path, what grows line by line within a file, and the file's name."""
STAGE, SEQ, NAME, LINE = "_gw_stage", "_gw_change_seq", "_gw_file", "_gw_line"
"""Fields of the sequence."""
_NAMED_BY_DMS = "(LOAD[0-9A-Fa-f]+|[0-9]{8}-[0-9]{4,})([.].*)?"


@dataclass(frozen=True)
class Files:
    """What is known of a feed's files without reading them.

    Attributes:
        some: whether there is a file with anything in it.
        ordered: whether the names of all files are DMS's and different, so that they define an order.
    """

    some: bool
    ordered: bool


def list_files(spark: SparkSession, source: str) -> Files:
    """Look at the files of a feed. Their content is not read. Runs a job.

    Args:
        spark: the session.
        source: folder or files.
    """
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(source).where("length > 0")
    names = files.selectExpr("substring_index(path, '/', -1) AS name")
    known = F.col("name").rlike(f"^{_NAMED_BY_DMS}$")
    counted = names.agg(F.count("*"), F.count_if(known), F.count_distinct(F.when(known, F.col("name")))).first()
    every, named, different = counted or (0, 0, 0)
    return Files(every > 0, every == named == different)


def with_place(records: DataFrame, *, numbered: bool) -> DataFrame:
    """Add where each record stands: the columns ``_gw_path``, ``_gw_name`` and ``_gw_row``.

    Parquet numbers its rows itself. A CSV file in which values may hold line breaks is read by one task from its first line
    to its last, though perhaps after other files: the number grows with the lines, and :func:`number_lines` makes it the
    line's own. Call this right after reading, before rows are filtered or joined.

    Args:
        records: as the reader returns them.
        numbered: whether the files are Parquet.
    """
    row = F.col("_metadata.row_index") if numbered else F.monotonically_increasing_id()
    place = [F.col("_metadata.file_path").alias(PATH), F.col("_metadata.file_name").alias(FILE), row.alias(ROW)]
    return records.select("*", *place)


def order_by(records: DataFrame, sequence_by: Sequence[str], op: str) -> list[str]:
    """Return the SQL expressions that order the records of DMS files.

    Args:
        records: with the columns that :func:`with_place` adds.
        sequence_by: the caller's own expressions, such as the timestamp column; they come first.
        op: the column with the operation; it need not be there.
    """
    names = {name.lower(): f"`{name}`" for name in records.columns}
    load = f"{FILE} LIKE 'LOAD%'"
    load += f" OR coalesce({names[op.lower()]}, '') = ''" if op.lower() in names else " OR true"
    change_seq = names.get(CHANGE_SEQ.lower(), "''")
    return [
        *sequence_by,
        f"if({load}, 0, 1) AS {STAGE}",
        f"if({load}, '', coalesce(CAST({change_seq} AS STRING), '')) AS {SEQ}",
        f"{FILE} AS {NAME}",
        f"{ROW} AS {LINE}",
    ]


def number_lines(changes: DataFrame, records: DataFrame) -> DataFrame:
    """Count the lines of each file from 0, whatever the task that read it had read before.

    So a line has the same number whenever it is read, and a run that is repeated finds what it has merged before.

    Args:
        changes: with ``sequence`` and ``_gw_path``.
        records: all records of the same reading, also those that are no changes.
    """
    line = F.col(f"sequence.{LINE}")
    first = records.groupBy(F.col(PATH).alias("_gw_of")).agg(F.min(line).alias("_gw_first"))
    joined = changes.join(F.broadcast(first), F.col(PATH) == F.col("_gw_of"))
    numbered = F.col("sequence").withField(LINE, line - F.col("_gw_first"))
    return joined.withColumn("sequence", numbered).drop("_gw_of", "_gw_first")


def position_of_ties(sequence: StructType) -> list[str]:
    """Return what two records of a key share if nothing but the names of their files could order them.

    Args:
        sequence: the type of the records' sequence.

    Returns:
        SQL expressions, for :func:`gluewright_cdc_merge.ties.quarantine_ties`.
    """
    shared = [f"sequence.`{name}`" for name in sequence.names if name not in {NAME, LINE}]
    return [*shared, f"if(sequence.{NAME} RLIKE '^{_NAMED_BY_DMS}$', sequence.{NAME}, '')"]
