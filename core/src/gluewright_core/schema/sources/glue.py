"""Tables of the Glue Data Catalog, as boto3's ``get_table`` shows and ``create_table`` takes them.

Limits from the AWS Glue Web API Reference, "Column" and "TableInput". What the catalog cannot say:

- the case of column names: it keeps them in lower case, and partition columns stand last;
- ``timestamp_ntz``: it has one ``timestamp``;
- NOT NULL, comments, tags and modes of nested fields: its types are plain texts. What columns carry is kept in the table's
  parameters;
- comments beyond 255 bytes or one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gluewright_core.errors import InvalidContractError, InvalidSourceError, UnsupportedSourceError
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.differences import Difference, matched
from gluewright_core.schema.losses import Converted, losses_between
from gluewright_core.schema.sources.parameters import to_parameters, with_parameters
from gluewright_core.schema.types import InvalidTypeError, type_text

_COMMENT_BYTES, _DESCRIPTION_BYTES = 255, 2048
_SPARKS_SCHEMA = "spark.sql.sources.schema"
_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
_WHY = {
    "type": "the Glue Data Catalog has one timestamp, without saying whether it has a zone",
    "name": "the Glue Data Catalog keeps names in lower case",
    "order": "partition columns stand last",
    "comment": f"a comment is one line of up to {_COMMENT_BYTES} bytes, a description up to {_DESCRIPTION_BYTES}",
    "partition_by": "the Glue Data Catalog keeps names in lower case",
    "key": "the Glue Data Catalog keeps names in lower case",
}


def from_glue(table: Mapping[str, Any], *, name: str = "") -> Converted[Contract]:
    """Read a table of the Glue Data Catalog.

    Args:
        table: the answer of ``get_table``, the ``Table`` in it, or a ``TableInput``.
        name: of the contract; by default ``database.table``.

    Returns:
        The contract. A table written by Spark gets the case of its columns back from Spark's own table property.

    Raises:
        InvalidSourceError: the table has no columns, a type that is none, or a broken schema of Spark in its properties; the
            message names the place.

    Example:
        >>> table = {"Name": "t", "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]}}
        >>> from_glue(table).result.names
        ['a']
    """
    table = _mapping(_mapping(table, "the table", ()).get("Table", table), "the table", ())
    names = [_text(table.get(key), f"the table's {key}", (key,)) for key in ("DatabaseName", "Name")]
    name = name or ".".join(filter(None, names)) or "table"
    partitions = list(_columns(name, table, ("PartitionKeys",)))
    columns = [*_columns(name, table, ("StorageDescriptor", "Columns")), *partitions]
    if not columns:
        raise InvalidSourceError(
            f"{name}: the table has no columns in StorageDescriptor.Columns; run its crawler, or define them"
        )
    parameters = _mapping(table.get("Parameters") or {}, f"{name}: Parameters", ("Parameters",))
    columns = _in_sparks_case(name, columns, parameters)
    partition_by = tuple(column.name for column in columns[len(columns) - len(partitions) :])
    comment = _text(table.get("Description"), f"{name}: Description", ("Description",))
    try:
        contract = Contract(name, columns, partition_by=partition_by, comment=comment)
    except InvalidContractError as error:
        raise InvalidSourceError(str(error)) from error
    return Converted(with_parameters(contract, parameters, name), ())


def to_glue(contract: Contract, *, location: str) -> Converted[dict[str, Any]]:
    """Write a contract as the ``TableInput`` of ``create_table``: an external table of Parquet files.

    Args:
        contract: named ``table`` or ``database.table``; the database is not part of the result.
        location: the table's folder, such as ``s3://lake/orders``.

    Raises:
        UnsupportedSourceError: a name or type cannot stand in the catalog.

    Example:
        >>> made = to_glue(Contract("shop.t", (Column("Id", "bigint"),)), location="s3://lake/t")
        >>> made.result["StorageDescriptor"]["Columns"]
        [{'Name': 'id', 'Type': 'bigint'}]
        >>> str(made.losses[0])
        'Id: name: Id becomes id: the Glue Data Catalog keeps names in lower case'
    """
    database, _, table = contract.name.rpartition(".")
    partitions = [contract[name] for name in contract.partition_by]
    others = [column for column in contract.columns if column.name not in contract.partition_by]
    definition: dict[str, Any] = {
        "Name": table.lower(),
        **({"Description": _cut(contract.comment, _DESCRIPTION_BYTES)} if contract.comment else {}),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", **to_parameters(contract)},
        "PartitionKeys": [_glue_column(column) for column in partitions],
        "StorageDescriptor": {"Columns": [_glue_column(column) for column in others], "Location": location, **_PARQUET},
    }
    read_back = from_glue(definition | {"DatabaseName": database.lower()}).result
    return Converted(definition, losses_between(contract, read_back, why_lost))


def why_lost(difference: Difference) -> str:
    """Explain a difference between a contract and the table made of it."""
    if difference.what != "type" and any(mark in difference.path for mark in ".[{"):
        return "the catalog's types are texts that say nothing of it"
    return _WHY.get(difference.what, "the Glue Data Catalog has no place for it")


def _columns(name: str, table: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[Column]:
    where = f"{name}: {'.'.join(place)}"
    given: Any = table
    for depth, step in enumerate(place):
        given = _mapping(given, f"{name}: {'.'.join(place[:depth])}", place[:depth]).get(step) or {}
    if given and not isinstance(given, list):
        raise InvalidSourceError(f"{where} is {_short(given)}; a list of columns was expected", place)
    for number, item in enumerate(given):
        at = f"{where}[{number}]"
        here: tuple[str | int, ...] = (*place, number)
        column = _mapping(item, at, here)
        parameters = _mapping(column.get("Parameters") or {}, f"{at}.Parameters", (*here, "Parameters"))
        # Iceberg leaves columns of older snapshots in the catalog.
        if parameters.get("iceberg.field.current") == "false":
            continue
        if "Name" not in column or "Type" not in column:
            raise InvalidSourceError(f"{at} has no Name or no Type; define both", here)
        try:
            yield Column(
                _text(column["Name"], f"{at}.Name", (*here, "Name")),
                column["Type"],
                nullable=parameters.get("iceberg.field.optional") != "false",
                comment=_text(column.get("Comment"), f"{at}.Comment", (*here, "Comment")),
            )
        except InvalidContractError as error:
            raise InvalidSourceError(f"{at}: {error}", (*here, "Type")) from error


def _mapping(given: Any, what: str, place: tuple[str | int, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidSourceError(f"{what} is {_short(given)}; a mapping was expected", place)
    return given


def _text(given: Any, what: str, place: tuple[str | int, ...]) -> str:
    """Read a text; a number counts as one, as it does where templates are deployed."""
    if given is None:
        return ""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise InvalidSourceError(f"{what} is {_short(given)}; a text was expected: put it in quotes", place)
    return str(given)


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _in_sparks_case(name: str, columns: list[Column], parameters: Mapping[str, Any]) -> list[Column]:
    """Take names from the schema that Spark keeps beside the columns, in one property or in parts."""
    whole = _sparks_schema(name, parameters)
    if not whole:
        return columns
    try:
        # Spark 4's reader of types looks at their collations, which do not matter for names.
        found = [field["name"] for field in json.loads(whole)["fields"]]
        names = matched([column.name for column in columns], found)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSourceError(
            f"{name}: {_SPARKS_SCHEMA} is not the JSON of a schema ({error}); "
            "remove the table's properties of that name, or write the table anew with Spark",
            ("Parameters",),
        ) from error
    return [replace(column, name=names.get(column.name, column.name)) for column in columns]


def _sparks_schema(name: str, parameters: Mapping[str, Any]) -> str:
    """Put together the text of Spark's own schema; empty if there is none."""
    if parameters.get(_SPARKS_SCHEMA) is not None:
        return _text(parameters[_SPARKS_SCHEMA], f"{name}: {_SPARKS_SCHEMA}", ("Parameters", _SPARKS_SCHEMA))
    key = f"{_SPARKS_SCHEMA}.numParts"
    given = _text(parameters.get(key, "0"), f"{name}: {key}", ("Parameters", key))
    if not given.isdecimal():
        raise InvalidSourceError(
            f"{name}: {key} is {given!r}, not a number; correct it, or write the table anew with Spark", ("Parameters", key)
        )
    parts = []
    for number in range(int(given[:9])):
        part = f"{_SPARKS_SCHEMA}.part.{number}"
        if part not in parameters:
            raise InvalidSourceError(
                f"{name}: {part} is missing of {given} parts; write the table anew with Spark", ("Parameters", part)
            )
        parts.append(_text(parameters[part], f"{name}: {part}", ("Parameters", part)))
    return "".join(parts)


def _glue_column(column: Column) -> dict[str, str]:
    try:
        found = {"Name": column.name.lower(), "Type": type_text(column.data_type, "glue")}
    except InvalidTypeError as error:
        raise UnsupportedSourceError(f"{column.name}: {error}") from error
    if not column.name.isprintable():
        raise UnsupportedSourceError(f"{column.name!r}: a column's name must be one printable line in Glue; rename it")
    return found | ({"Comment": _cut(" ".join(column.comment.split()), _COMMENT_BYTES)} if column.comment else {})


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")
