"""Read CSV files, each by its own header, record by record.

Spark's CSV parser finds where a record ends, in both Spark versions the same, but takes whatever a record holds. So it is
asked for the record only, through its column for corrupt records, and the values are taken out of that by a regular
expression that matches what RFC 4180 allows and nothing else.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from gluewright_core.errors import LandingError
from gluewright_core.landing.files import LONG_HEAD, UTF8_BOM, LandedFile, Landing, with_head
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

MOST_HEADERS = 100
"""Each different header is a reading of its own, so more of them are refused."""
# Each byte is a character: a reader of UTF-8 would replace what is no UTF-8.
_BYTES = "ISO-8859-1"
# A date that no value is: a record of several values has too many for the schema, one of a single value does not parse.
_NEVER = "'_gw_record 'yyyy'-'MM'-'dd"
_VALUE, _RAW, _FIELDS = "_gw_value", "_gw_raw", "_gw_fields"


def read_csv(
    spark: SparkSession,
    landing: Landing,
    contract: Contract,
    *,
    separator: str,
    null: str,
    quoted_null: bool,
    multiline: bool,
) -> DataFrame:
    """Read CSV files; see :func:`gluewright_core.landing.read_landing`.

    Raises:
        LandingError: a header cannot be used.
    """
    if len(separator) != 1 or separator in '"\\\r\n':
        raise LandingError(f"the separator is {separator!r}; give one character other than a quote, backslash or line break")
    by_header: dict[tuple[str, ...], list[LandedFile]] = {}
    for file in landing.files:
        if header := _header(file, separator, contract):
            by_header.setdefault(header, []).append(file)
    if not by_header:
        return empty(spark, landing, contract)
    if len(by_header) > MOST_HEADERS:
        raise LandingError(
            f"{landing.location}: the files have {len(by_header)} different headers; up to {MOST_HEADERS} are read together"
        )
    for header in by_header:
        require_apart(header, landing)
    missing = _missing(by_header, contract)
    found = []
    for header, files in by_header.items():
        records = _records(spark, landing, files, separator, multiline)
        fields = F.col(_FIELDS)
        rows = records.withColumn(_FIELDS, _split(F.col(RECORD), separator))
        rows = rows.withColumn(PROBLEM_COLUMN, first_of(_problems(len(header), separator, multiline)))
        # In one array: as expressions of their own, the values of many columns are too much code for the JVM to compile.
        values = F.transform(fields, lambda field: _value(field, null, quoted_null))
        rows = rows.withColumn(_FIELDS, F.when(F.col(PROBLEM_COLUMN).isNull(), values))
        columns = {name: F.get(fields, F.lit(n)) for n, name in enumerate(header)}
        found.append(with_landing(rows, columns, landing.partitions, missing))
    return functools.reduce(functools.partial(DataFrame.unionByName, allowMissingColumns=True), found)


def _records(
    spark: SparkSession, landing: Landing, files: Sequence[LandedFile], separator: str, multiline: bool
) -> DataFrame:
    partitions = [StructField(name, StringType()) for name in landing.partitions]
    schema = StructType([StructField(_VALUE, DateType()), StructField(_RAW, StringType()), *partitions])
    options = {
        **landing.options,
        "header": "true",
        "multiLine": str(multiline).lower(),
        "sep": separator,
        "quote": '"',
        "escape": '"',
        "lineSep": "\n",
        "encoding": _BYTES,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": _RAW,
        "dateFormat": _NEVER,
        "enableDateTimeParsingFallback": "false",
    }
    rows = spark.read.schema(schema).options(**options).csv([file.path for file in files])
    # A line with nothing but its end is no record.
    rows = rows.where(~F.coalesce(_RAW, F.lit("-")).isin("", "\r"))
    # An empty value is neither a date nor corrupt.
    whole = F.coalesce(F.col(_RAW), F.date_format(_VALUE, _NEVER), F.lit('""'))
    ascii_only = F.octet_length(_RAW) == F.length(_RAW)
    decoded = F.when(ascii_only, F.col(_RAW)).otherwise(F.encode(_RAW, _BYTES).cast("string"))
    ended = F.when(F.endswith(F.col(RECORD), F.lit("\r")), F.expr(f"left({RECORD}, length({RECORD}) - 1)"))
    others = [F.col("_metadata.file_path").alias(FILE), *(F.col(quoted(name)) for name in landing.partitions)]
    rows = rows.select(whole.alias(_RAW), *others)
    rows = rows.select(decoded.alias(RECORD), *_others(landing))
    return rows.select(ended.otherwise(F.col(RECORD)).alias(RECORD), *_others(landing))


def _others(landing: Landing) -> list[Column]:
    return [F.col(FILE), *(F.col(quoted(name)) for name in landing.partitions)]


def _split(record: Column, separator: str) -> Column:
    parsed = F.regexp_extract_all(F.concat(record, F.lit(separator)), F.lit(_field(separator)), F.lit(1))
    plain = ~record.contains('"') & ~record.contains("\r")
    return F.when(plain, F.split(record, re.escape(separator), -1)).otherwise(parsed)


def _field(separator: str) -> str:
    """Write the pattern of one value and the separator behind it. It never goes back, so long values need no stack."""
    apart = re.escape(separator)
    return rf'\G("[^"]*+(?:""[^"]*+)*+"|[^"{apart}\r\n][^{apart}\r\n]*+|){apart}'


def _problems(columns: int, separator: str, multiline: bool) -> Iterable[tuple[Column, Column]]:
    record, fields = F.col(RECORD), F.col(_FIELDS)
    parsed = F.array_join(fields, separator)
    first_unparsed = F.length(parsed) + F.when(F.size(fields) == 0, 1).otherwise(2)
    rest = F.substr(record, first_unparsed)
    never_closed = rest.rlike(r'^"[^"]*+(?:""[^"]*+)*+\z')
    where = "the file ends" if multiline else "the line ends"
    count = F.format_string(f"has %d values where the header has {columns}", F.size(fields))
    return [
        (~is_utf8(record), problem("encoding", "has bytes that are not UTF-8")),
        ((parsed != record) & never_closed, problem("quote", f"has a quoted value that is not closed before {where}")),
        (parsed != record, problem("quoting", "has text behind a closing quote, or a carriage return outside quotes")),
        (F.size(fields) != columns, problem("fields", count)),
    ]


def _value(field: Column, null: str, quoted_null: bool) -> Column:
    inner = F.replace(F.substr(field, F.lit(2), F.length(field) - 2), F.lit('""'), F.lit('"'))
    nulls = sorted({"", null})
    if quoted_null:
        inner = F.when(~inner.isin(nulls), inner)
    return F.when(field.startswith('"'), inner).when(~field.isin(nulls), field)


def _header(file: LandedFile, separator: str, contract: Contract) -> tuple[str, ...]:
    """Read the names in the first line of a file; nothing where it has no line."""
    if not file.complete and b"\n" not in file.head:
        file = with_head(file, LONG_HEAD)
    line, ended, _ = file.head.removeprefix(UTF8_BOM).lstrip(b"\r\n").partition(b"\n")
    if not ended and not file.complete:
        raise LandingError(f"{file.uri}: the first line has no end within {LONG_HEAD >> 20} MiB; is it CSV?")
    if b"\r" in line.rstrip(b"\r"):
        raise LandingError(f"{file.uri}: its lines end with a carriage return only; convert them to line feeds")
    try:
        names = next(csv.reader(io.StringIO(line.decode().rstrip("\r")), delimiter=separator, strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise LandingError(f"{file.uri}: its first line is no header ({error}); names stand in one line of UTF-8") from error
    names = [name or f"_c{place}" for place, name in enumerate(names)]
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            both = f"{seen[name.lower()]} and {name}"
            raise LandingError(f"{file.uri}: the header names a column twice ({both}); have it sent with distinct names")
        seen[name.lower()] = name
    if names and not seen.keys() & {name.lower() for name in contract.names}:
        raise LandingError(
            f"{file.uri}: its first line names no column of {contract.name}; the files need a header with names such as "
            f"{', '.join(contract.names[:3])}, separated by {separator!r}"
        )
    return tuple(names)


def _missing(by_header: Mapping[tuple[str, ...], Sequence[LandedFile]], contract: Contract) -> dict[str, str]:
    """Describe the contract's columns that some of the files lack, but not all."""
    files = sum(map(len, by_header.values()))
    found = {}
    for name in contract.names:
        without = [
            each for header, group in by_header.items() if name.lower() not in map(str.lower, header) for each in group
        ]
        if without and len(without) < files:
            found[name] = f"is missing in {len(without)} of {files} files, such as {without[0].uri}, and becomes NULL there"
    return found
