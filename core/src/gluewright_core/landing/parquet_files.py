"""Read Parquet files whose schemas differ, and name the files where they contradict each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.errors import LandingError
from gluewright_core.landing.files import LandedFile, Landing
from gluewright_core.landing.records import described, empty, quoted, require_apart
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.types import type_text

_MAGIC = {b"PAR1", b"PARE"}
_THREADS = 16


def read_parquet(spark: SparkSession, landing: Landing, contract: Contract | None) -> DataFrame:
    """Read Parquet files; see :func:`gluewright_core.landing.read_landing`.

    Raises:
        LandingError: a file is not Parquet, or the types of a column differ between files.
    """
    if not landing.files and contract is None:
        raise LandingError(f"{landing.location}: all files are of 0 bytes, and no contract says which columns they have")
    if not landing.files:
        assert contract is not None
        return empty(spark, landing, contract)
    with ThreadPoolExecutor(_THREADS) as pool:
        whole = list(pool.map(_is_parquet, landing.files))
    if not all(whole):
        file = landing.files[whole.index(False)]
        raise LandingError(f"{file.uri} is not a Parquet file, or not all of one; have it sent again")
    paths = [file.path for file in landing.files]
    try:
        merged = spark.read.options(mergeSchema="true", recursiveFileLookup="true").parquet(*paths).schema
    except (PySparkException, Py4JError) as error:
        raise _explained(spark, landing) or error from error
    require_apart(merged.names, landing)
    # As text: Spark would take 007 for a number.
    schema = StructType([*merged, *(StructField(name, StringType()) for name in landing.partitions)])
    rows = spark.read.schema(schema).options(**landing.options).parquet(*paths)
    landed = F.struct(F.col("_metadata.file_path").alias("file"))
    return rows.select(*(F.col(quoted(name)) for name in schema.names), described(landed, {}))


def _is_parquet(file: LandedFile) -> bool:
    """Look at both ends of a file."""
    ends = file.storage.read_range(file.key, 0, 4), file.storage.read_range(file.key, -4, 4)
    return file.size > 8 and ends[0] in _MAGIC and ends[0] == ends[1]


def _explained(spark: SparkSession, landing: Landing) -> LandingError | None:
    """Find the file that cannot be read, or the two files whose types of a column differ."""
    seen: dict[str, tuple[str, LandedFile]] = {}
    for file in landing.files:
        try:
            schema = spark.read.option("recursiveFileLookup", "true").parquet(file.path).schema
        except (PySparkException, Py4JError):
            return LandingError(f"{file.uri} is damaged: its Parquet footer cannot be read; have it sent again")
        for field in schema:
            text = type_text(field.dataType)
            kind, other = seen.setdefault(field.name, (text, file))
            if kind != text and not _is_merged(spark, other, file):
                return LandingError(
                    f"{landing.location}: column {field.name} is {kind} in {other.uri} and {text} in {file.uri}; "
                    "have one of them sent again, or read them apart"
                )
    return None


def _is_merged(spark: SparkSession, first: LandedFile, second: LandedFile) -> bool:
    """Return whether Spark merges the schemas of two files, such as those of structs with different fields."""
    try:
        options = {"mergeSchema": "true", "recursiveFileLookup": "true"}
        return bool(spark.read.options(**options).parquet(first.path, second.path).schema)
    except (PySparkException, Py4JError):
        return False
