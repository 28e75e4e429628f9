"""Read JSON lines: one object per line, its plain values as text.

Spark's JSON functions take less care than a reader of records needs: they stop behind the first value of a line, keep the
last of two equal keys, and write numbers anew. So a line is also counted as an array of one, its keys are compared, and
numbers with decimals or an exponent are made texts before the line is parsed.
"""

from __future__ import annotations

import json

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructField, StructType

from gluewright_core.errors import LandingError
from gluewright_core.landing.files import Landing
from gluewright_core.landing.records import (
    FILE,
    PROBLEM_COLUMN,
    RECORD,
    empty,
    first_of,
    is_utf8,
    problem,
    quoted,
    require_apart,
    with_landing,
)
from gluewright_core.schema.contract import Contract

MOST_KEYS = 2_000
"""More top-level keys are data, not names of columns."""
_PARSED, _KEYS, _CORRUPT = "_gw_parsed", "_gw_keys", "_gw_corrupt"
# In front of a number that was made a text. No other text begins so: a control character is never written as itself.
_MARK = "\x01gw:"
_INTEGER = r"-?[0-9]++(?![0-9.eE])"
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLOATING = r"-?(?:0|[1-9][0-9]*+)(?=[.eE])(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_NUMBERS = rf'\G((?:[^"0-9\-]++|{_STRING}|{_INTEGER})*+)({_FLOATING})(?=[\s,}}\]])'


def read_json(spark: SparkSession, landing: Landing, contract: Contract) -> DataFrame:
    """Read JSON lines; see :func:`gluewright_core.landing.read_landing`.

    Raises:
        LandingError: there are too many keys, or one of them is reserved.
    """
    if not landing.files:
        return empty(spark, landing, contract)
    paths = [file.path for file in landing.files]
    partitions = [F.col(quoted(name)) for name in landing.partitions]
    fields = [StructField("value", StringType()), *(StructField(name, StringType()) for name in landing.partitions)]
    lines = spark.read.schema(StructType(fields)).options(**landing.options).text(paths)
    # An empty line is no record.
    lines = lines.where(F.trim("value") != "")
    record = F.col(RECORD)
    rows = lines.select(F.col("value").alias(RECORD), F.col("_metadata.file_path").alias(FILE), *partitions)
    rows = rows.withColumn(_KEYS, F.json_object_keys(record))
    schema = _schema(rows, landing, contract)
    rows = rows.withColumn(_PARSED, _parsed(record, schema))
    rows = rows.withColumn(PROBLEM_COLUMN, first_of(_problems()))
    rows = rows.withColumn(_PARSED, F.when(F.col(PROBLEM_COLUMN).isNull(), F.col(_PARSED)))
    return with_landing(rows, _columns(schema, contract), landing.partitions, {})


def _parsed(record: Column, schema: StructType) -> Column:
    outer = StructType(
        [StructField("record", schema), StructField("end", StringType()), StructField(_CORRUPT, StringType())]
    )
    marked = F.regexp_replace(record, F.lit(_NUMBERS), F.lit(rf'$1"\\u0001{_MARK[1:]}$2"'))
    texts = F.when(record.rlike("[0-9][.eE]"), marked).otherwise(record)
    # What stands behind the object is noticed: then the end is not where it should be.
    whole = F.concat(F.lit('{"record":'), texts, F.lit(',"end":"1"}'))
    return F.from_json(whole, outer, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT})


def _problems() -> list[tuple[Column, Column]]:
    record, keys, parsed = F.col(RECORD), F.col(_KEYS), F.col(_PARSED)
    single = F.json_array_length(F.concat(F.lit("["), record, F.lit("]"))) == 1
    lowered = F.transform(keys, F.lower)
    sound = F.coalesce(single & keys.isNotNull(), F.lit(False))
    fitting = F.coalesce(parsed[_CORRUPT].isNull() & (parsed["end"] == "1") & parsed["record"].isNotNull(), F.lit(False))
    return [
        (~is_utf8(record), problem("encoding", "has bytes that are not UTF-8")),
        (~sound, problem("json", "is not one JSON object")),
        (F.size(F.array_distinct(lowered)) < F.size(keys), problem("duplicate_key", "has the same key twice")),
        (~fitting, problem("json", "is not JSON of the structure that the contract has")),
    ]


def _columns(schema: StructType, contract: Contract) -> dict[str, Column]:
    """Return the columns by name. Keys that only case tells apart are one column."""
    spelt = {name.lower(): name for name in contract.names}
    alike: dict[str, list[int]] = {}
    for place, field in enumerate(schema):
        alike.setdefault(field.name.lower(), []).append(place)
    # By position, because Spark cannot refer to one of two names that only case tells apart.
    renamed = StructType([StructField(f"k{place}", field.dataType) for place, field in enumerate(schema)])
    record = F.col(_PARSED)["record"].cast(renamed)
    return {
        (schema[places[0]].name if len(places) == 1 else spelt.get(lowered, schema[places[0]].name)): F.coalesce(
            *(_unmarked(record[f"k{place}"], schema[place].dataType) for place in places)
        )
        for lowered, places in alike.items()
    }


def _unmarked(value: Column, kind: DataType) -> Column:
    """Give numbers that were made texts their own text, at any depth."""
    if isinstance(kind, StructType):
        parts = (_unmarked(value[field.name], field.dataType).alias(field.name) for field in kind)
        return F.when(value.isNotNull(), F.struct(*parts))
    if isinstance(kind, ArrayType):
        return F.transform(value, lambda element: _unmarked(element, kind.elementType))
    if isinstance(kind, MapType):
        return F.transform_values(value, lambda _, element: _unmarked(element, kind.valueType))
    inside = F.regexp_replace(value, F.lit(r'"\\u0001gw:([^"]*)"'), F.lit("$1"))
    number = F.substr(value, F.lit(len(_MARK) + 1))
    plain = F.when(value.startswith(_MARK), number).when(value.contains(r"\u0001gw:"), inside)
    return plain.otherwise(value)


def _schema(rows: DataFrame, landing: Landing, contract: Contract) -> StructType:
    """Find the keys of all records, and shape what the contract has as the contract has it."""
    # Spark refuses to infer a schema from a record that has a key twice.
    once = F.size(F.array_distinct(F.col(_KEYS))) == F.size(_KEYS)
    session = rows.sparkSession
    texts = rows.where(once & is_utf8(F.col(RECORD))).select(RECORD)
    encoder = session._jvm.org.apache.spark.sql.Encoders.STRING()  # type: ignore[union-attr]
    reader = session._jsparkSession.read().option("primitivesAsString", "true").option("columnNameOfCorruptRecord", _CORRUPT)
    # Python's reader takes lines only as an RDD, and paths with a check that keys are distinct whatever their case.
    inferred = StructType.fromJson(json.loads(reader.json(getattr(texts._jdf, "as")(encoder)).schema().json()))
    keys = [field for field in inferred if field.name != _CORRUPT]
    if len(keys) > MOST_KEYS:
        raise LandingError(f"{landing.location}: the records have {len(keys)} different keys; up to {MOST_KEYS} are columns")
    require_apart([field.name for field in keys], landing)
    return _shaped(StructType(keys), contract.struct)


def _shaped(found: StructType, wanted: StructType) -> StructType:
    by_name = {field.name.lower(): field.dataType for field in wanted}
    once = {field.name: field.dataType for field in reversed(found.fields)}
    return StructType([StructField(name, _kind(once[name], by_name.get(name.lower()))) for name in sorted(once)])


def _kind(found: DataType, wanted: DataType | None) -> DataType:
    if isinstance(found, StructType) and (wanted is None or isinstance(wanted, StructType)):
        return _shaped(found, wanted or StructType())
    if isinstance(found, ArrayType) and (wanted is None or isinstance(wanted, ArrayType)):
        return ArrayType(_kind(found.elementType, wanted.elementType if wanted else None))
    if isinstance(found, StructType) and isinstance(wanted, MapType):
        return _texts(wanted)
    # One of them is a single value: the contract says which structure the others need.
    return _texts(wanted) if wanted else StringType()


def _texts(kind: DataType) -> DataType:
    """Return a type with text in place of every plain type."""
    if isinstance(kind, StructType):
        return StructType([StructField(field.name, _texts(field.dataType)) for field in kind])
    if isinstance(kind, ArrayType):
        return ArrayType(_texts(kind.elementType))
    if isinstance(kind, MapType):
        return MapType(StringType(), _texts(kind.valueType))
    return StringType()
