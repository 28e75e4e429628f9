"""The schemas that Parquet files really have, read from their footers by PyArrow; no row is read.

Types are what Spark reads them as ("Parquet Files", Spark SQL guide). Files say nothing of char and varchar, comments or
tags. Partition columns are in the folders' names, not in the files.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    NullType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from gluewright_core.errors import InvalidSourceError, SchemaError
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.differences import differences
from gluewright_core.schema.losses import Converted, Loss
from gluewright_core.schema.types import type_text

_PLAIN: dict[str, type[DataType]] = {
    "bool": BooleanType,
    "int8": ByteType,
    "int16": ShortType,
    "uint8": ShortType,
    "int32": IntegerType,
    "uint16": IntegerType,
    "int64": LongType,
    "uint32": LongType,
    "halffloat": FloatType,
    "float": FloatType,
    "double": DoubleType,
    "string": StringType,
    "large_string": StringType,
    "binary": BinaryType,
    "fixed_size": BinaryType,
    "large_binary": BinaryType,
    "date32[day]": DateType,
    "null": NullType,
}


def from_parquet(uri: str, *, name: str = "") -> Converted[Contract]:
    """Read the schema of the files of a folder, or of one file.

    Args:
        uri: a path or an S3 URI.
        name: of the contract; by default the URI.

    Returns:
        The schema that most files have, and a loss for each thing that is different in another file.

    Raises:
        InvalidSourceError: there is no Parquet file, or one has a type that Spark does not read.
        SchemaError: PyArrow is not installed.
    """
    found = file_schemas(uri)
    texts = {file: type_text(struct) for file, struct in found.items()}
    (most, _), *_ = Counter(texts.values()).most_common(1)
    usual = next(file for file, text in texts.items() if text == most)
    contract = Contract.from_struct(name or uri, found[usual])
    losses = [
        Loss(difference.path, difference.what, f"{file} differs from {usual}: {difference}")
        for file, struct in found.items()
        for difference in differences(contract, Contract.from_struct(contract.name, struct))
    ]
    return Converted(contract, tuple(losses))


def file_schemas(uri: str) -> dict[str, StructType]:
    """Read the footer of every Parquet file of a folder, or of one file.

    Args:
        uri: a path or an S3 URI. Files whose names begin with a dot or underscore are passed over, as Spark does.

    Returns:
        The schema of each file, by its path.

    Raises:
        InvalidSourceError: there is no such file, or one cannot be read.
        SchemaError: PyArrow is not installed.
    """
    try:
        from pyarrow import ArrowException, fs, parquet  # noqa: PLC0415 - comes with Glue, not with core
    except ImportError as error:
        raise SchemaError("the footers of Parquet files need PyArrow: install pyarrow") from error
    try:
        # PyArrow knows S3 by one name, Hadoop by three.
        known = re.sub(r"^s3[an]://", "s3://", uri)
        system, path = fs.FileSystem.from_uri(known if "://" in uri else str(Path(uri).absolute()))
        files = [path] if system.get_file_info(path).is_file else _files(fs, system, path)
    except (OSError, ArrowException) as error:
        raise InvalidSourceError(f"{uri}: cannot be listed: {error}") from error
    if not files:
        raise InvalidSourceError(f"{uri}: there is no Parquet file; give the folder that holds them")
    found = {}
    for file in files:
        try:
            with system.open_input_file(file) as stream:
                footer = parquet.ParquetFile(stream)
                found[file] = _struct(footer)
        except (OSError, ArrowException, InvalidSourceError) as error:
            raise InvalidSourceError(f"{file}: not a Parquet file that Spark reads: {error}") from error
    return found


def _files(fs: Any, system: Any, path: str) -> list[str]:
    listed = system.get_file_info(fs.FileSelector(path, recursive=True))
    inside = {info.path: info.path[len(path) :].strip("/").split("/") for info in listed if info.is_file}
    # A partition column may begin with an underscore.
    hidden = {file for file, parts in inside.items() if any(part[0] in "._" and "=" not in part for part in parts)}
    return sorted(file for file in inside.keys() - hidden if not file.endswith(".crc"))


def _struct(footer: Any) -> StructType:
    # The timestamps of old writers (INT96) are instants, though PyArrow shows them like those without zone.
    leaves = range(len(footer.schema))
    old = any(footer.schema.column(leaf).physical_type == "INT96" for leaf in leaves)
    fields = footer.schema_arrow
    return StructType([StructField(field.name, _type(field.type, field.name, old), field.nullable) for field in fields])


def _type(kind: Any, path: str, old: bool) -> DataType:
    # Without the size of a fixed_size_binary[16].
    text = str(kind).partition("_binary[")[0]
    if text in _PLAIN:
        return _PLAIN[text]()
    if text.startswith("timestamp"):
        return TimestampType() if kind.tz or (old and kind.unit == "ns") else TimestampNTZType()
    decimal = re.fullmatch(r"decimal\d+\((\d+), (\d+)\)", "decimal64(20, 0)" if text == "uint64" else text)
    if decimal and int(decimal.group(1)) <= 38:
        return DecimalType(int(decimal.group(1)), int(decimal.group(2)))
    if text.startswith("dictionary"):
        return _type(kind.value_type, path, old)
    return _nested(kind, text, path, old)


def _nested(kind: Any, text: str, path: str, old: bool) -> DataType:
    if text.startswith("struct"):
        inner = [kind.field(number) for number in range(kind.num_fields)]
        return StructType([StructField(f.name, _type(f.type, f"{path}.{f.name}", old), f.nullable) for f in inner])
    if text.startswith(("list", "large_list", "fixed_size_list")):
        return ArrayType(_type(kind.value_type, f"{path}[]", old), kind.value_field.nullable)
    if text.startswith("map"):
        key, value = _type(kind.key_type, f"{path}{{}}.key", old), _type(kind.item_type, f"{path}{{}}.value", old)
        return MapType(key, value, kind.item_field.nullable)
    raise InvalidSourceError(f"{path} is {text}, which Spark does not read")
