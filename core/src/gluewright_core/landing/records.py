"""The column that carries what cannot be parsed to quarantine, and what the readers have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.errors import LandingError
from gluewright_core.landing.files import Landing
from gluewright_core.schema.conform import DIFFERENCES, LANDED, PROBLEM
from gluewright_core.schema.contract import Contract

LARGEST_RECORD = 100_000
"""Up to how many characters of a record that cannot be parsed are shown; a quote that is not closed may span the file."""
RESERVED = "_gw_"
RECORD, FILE, PROBLEM_COLUMN = "_gw_record", "_gw_file", "_gw_problem"


def problem(rule: str, reason: str | Column) -> Column:
    """Build a problem of a whole record.

    Args:
        rule: as quarantine names it.
        reason: what is wrong with the record.
    """
    text = F.lit(reason) if isinstance(reason, str) else reason
    return F.struct(F.lit(""), F.lit(rule), text, F.lit(None).cast("string")).cast(PROBLEM)


def is_utf8(text: Column) -> Column:
    """Test that a text of the files' own bytes is UTF-8: decoding replaces the bytes that are not."""
    return text.cast("binary") == F.encode(text, "UTF-8")


def first_of(cases: Iterable[tuple[Column, Column]]) -> Column:
    """Return the problem of the first condition that holds, or NULL.

    Args:
        cases: conditions with their problems.
    """
    chosen = F.lit(None).cast(PROBLEM)
    for condition, found in reversed(list(cases)):
        chosen = F.when(condition, found).otherwise(chosen)
    return chosen


def with_landing(
    rows: DataFrame, columns: Mapping[str, Column], partitions: Sequence[str], missing: Mapping[str, str]
) -> DataFrame:
    """Select the columns and add the reserved one.

    Args:
        rows: with a record, its file and its problem in the reserved columns.
        columns: by name; they are NULL where there is a problem.
        partitions: the columns of folders.
        missing: what is different in some of the files, by column.
    """
    found, record = F.col(PROBLEM_COLUMN), F.col(RECORD)
    size = F.length(record)
    shortened = F.concat(F.substring(record, 1, LARGEST_RECORD), F.format_string(" ... (%d characters)", size))
    shown = F.when(size > LARGEST_RECORD, shortened).otherwise(record)
    safe = F.when(found["rule"] == "encoding", F.base64(record.cast("binary"))).otherwise(shown)
    landing = F.struct(
        F.col(FILE).alias("file"),
        F.when(found.isNotNull(), safe).alias("record"),
        F.when(found.isNotNull(), F.array(found)).alias("problems"),
    )
    values = [column.alias(name) for name, column in columns.items()]
    return rows.select(*values, *(F.col(quoted(name)) for name in partitions), described(landing, missing))


def described(landing: Column, missing: Mapping[str, str]) -> Column:
    """Name the reserved column, with what is different in some of the files.

    Args:
        landing: its value.
        missing: what is different, by column.
    """
    return landing.alias(LANDED, metadata={DIFFERENCES: json.dumps(missing)} if missing else {})


def empty(spark: SparkSession, landing: Landing, contract: Contract) -> DataFrame:
    """Return no rows, with the contract's columns as text: what files without a record are.

    Args:
        spark: the session.
        landing: the files.
        contract: what the rows were to become.
    """
    names = [*contract.names, *(name for name in landing.partitions if name not in contract.names)]
    none = spark.createDataFrame([], StructType([StructField(name, StringType()) for name in names]))
    unknown = F.lit(None).cast("string")
    landed = F.struct(unknown.alias("file"), unknown.alias("record"), F.array(F.lit(None).cast(PROBLEM)).alias("problems"))
    return none.select("*", described(landed, {}))


def require_apart(names: Iterable[str], landing: Landing) -> None:
    """Refuse columns of files that folders are named after too, and reserved names.

    Args:
        names: of the files' columns.
        landing: the files.

    Raises:
        LandingError: names the column.
    """
    folders = {name.lower() for name in landing.partitions}
    for name in names:
        if name.lower().startswith(RESERVED):
            raise LandingError(f"{landing.location}: the column {name} begins with {RESERVED}, which is reserved; rename it")
        if name.lower() in folders:
            raise LandingError(f"{landing.location}: the column {name} is in the files and in the names of their folders")


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return "`" + name.replace("`", "``") + "`"
