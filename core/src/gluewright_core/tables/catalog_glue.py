"""The Glue Data Catalog through its own API: for jobs that switch partitions without a Spark statement each.

Limits (AWS Glue API reference): a call creates or updates 100 partitions, deletes 25, gets 1,000; a 200 answer may carry
``Errors`` for some of its entries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from pyspark.sql.types import StructField, StructType

from gluewright_core.effects import effect
from gluewright_core.errors import ConcurrentUpdateError, OutcomeUnknownError, TableError, UnsupportedTableError
from gluewright_core.schema.types import parse_type, type_text
from gluewright_core.tables.catalog import Catalog, CatalogTable, PartitionChange, kinds_of, unprotected
from gluewright_core.tables.evolving import evolved
from gluewright_core.tables.partitions import NULL_PARTITION, Values, name_of

if TYPE_CHECKING:
    from gluewright_core.tables.interface import TableSpec

_READING = Config(retries={"mode": "adaptive", "max_attempts": 8})
# Requests that change partitions are repeated here and not by boto3, each after the lease was looked at.
_CHANGING = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=25)
_CREATE, _UPDATE, _DELETE, _GET = 100, 100, 25, 1000
_PASSING = {"ThrottlingException", "InternalServiceException", "OperationTimeoutException"}
_TRIES = 6
_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
# What get_table answers and update_table does not take.
_READ_ONLY = {
    "DatabaseName", "CreateTime", "UpdateTime", "CreatedBy", "IsRegisteredWithLakeFormation", "CatalogId", "VersionId",
    "FederatedTable", "IsMultiDialectView", "Status", "IsMaterializedView",
}  # fmt: skip


class GlueDataCatalog(Catalog):
    """The Glue Data Catalog, changed by batch calls.

    Args:
        client: a boto3 Glue client; by default boto3's usual chain with adaptive retries, for throttling.
        catalog_id: of another account's catalog.
        sleep: waits between tries of throttled entries, in seconds.
    """

    def __init__(
        self, client: Any = None, *, catalog_id: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._glue: Any = client or boto3.client("glue", config=_READING)
        self._changing: Any = client or boto3.client("glue", config=_CHANGING)
        self._account: dict[str, str] = {"CatalogId": catalog_id} if catalog_id else {}
        self._sleep = sleep

    def table(self, name: str) -> CatalogTable | None:  # noqa: D102
        found = self._get(name)
        if found is None:
            return None
        keys = found.get("PartitionKeys", [])
        columns = {column["Name"]: column["Type"] for column in [*found["StorageDescriptor"]["Columns"], *keys]}
        return CatalogTable(
            columns,
            tuple(key["Name"] for key in keys),
            found["StorageDescriptor"].get("Location", ""),
            found.get("Parameters", {}),
            found.get("VersionId", ""),
        )

    def create(self, spec: TableSpec, properties: Mapping[str, str]) -> None:  # noqa: D102
        database, table = _names(spec.name)
        columns = {column.name: glue_column(spec.name, column) for column in spec.schema}
        definition = {
            "Name": table,
            "Description": spec.comment,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", **properties},
            "PartitionKeys": [columns.pop(name) for name in spec.partition_by],
            "StorageDescriptor": {"Columns": list(columns.values()), "Location": spec.location, **_PARQUET},
        }
        with effect("catalog.create", spec.name):
            try:
                self._glue.create_table(**self._account, DatabaseName=database, TableInput=definition)
            except self._glue.exceptions.AlreadyExistsException:
                return

    def evolve(self, spec: TableSpec) -> None:  # noqa: D102
        def change(table: dict[str, Any]) -> None:
            if any(key.startswith("spark.sql.sources.schema") for key in table.get("Parameters", {})):
                raise UnsupportedTableError(
                    f"{spec.name} was created by Spark, which keeps its own copy of the columns; add the new ones by its "
                    "ALTER TABLE ... ADD COLUMNS"
                )
            existing = {column["Name"]: column for column in table["StorageDescriptor"]["Columns"]}
            known = StructType([StructField(name, parse_type(column["Type"])) for name, column in existing.items()])
            declared = StructType([column for column in spec.schema if column.name not in spec.partition_by])
            columns = [glue_column(spec.name, column) for column in evolved(known, declared)]
            for column in columns:
                column["Comment"] = existing.get(column["Name"], column).get("Comment", "")
            table["StorageDescriptor"] = {**table["StorageDescriptor"], "Columns": columns}

        with effect("catalog.evolve", spec.name):
            self._update_table(spec.name, change)

    def mark(self, name: str, properties: Mapping[str, str]) -> None:  # noqa: D102
        def change(table: dict[str, Any]) -> None:
            table["Parameters"] = {**table.get("Parameters", {}), **properties}

        with effect("catalog.mark", name):
            self._update_table(name, change)

    def locations(self, name: str, partitions: Sequence[Values] | None = None) -> dict[Values, str]:  # noqa: D102
        table = self._must_get(name)
        if not table.get("PartitionKeys"):
            return {(): table["StorageDescriptor"].get("Location", "")}
        found = self._all(name) if partitions is None else self._some(name, partitions)
        return {_values(part): part["StorageDescriptor"].get("Location", "") for part in found}

    def move(  # noqa: D102
        self,
        name: str,
        moves: Sequence[PartitionChange],
        *,
        require: Callable[[], None] = unprotected,
        version: str = "",
    ) -> None:
        table = self._must_get(name)
        columns = [key["Name"] for key in table.get("PartitionKeys", [])]
        added, switched, dropped = kinds_of(moves)
        if not columns:
            for move in switched:
                self._move_table(name, str(move.after), require, version)
            return

        def partition_input(move: PartitionChange) -> dict[str, Any]:
            return {
                "Values": _texts(move.partition),
                "StorageDescriptor": {**table["StorageDescriptor"], "Location": str(move.after)},
            }

        def key(move: PartitionChange) -> dict[str, Any]:
            return {"Values": _texts(move.partition)}

        def update_entry(move: PartitionChange) -> dict[str, Any]:
            return {"PartitionValueList": _texts(move.partition), "PartitionInput": partition_input(move)}

        where = {**self._account, **dict(zip(("DatabaseName", "TableName"), _names(name), strict=True))}
        for batch in _batches(added, _CREATE):
            # Another writer may have added a partition since it was looked up: it is switched like any other.
            switched += self._entries(
                name, columns, "batch_create_partition", where, "PartitionInputList", batch, partition_input, require
            )
        for batch in _batches(switched, _UPDATE):
            self._entries(name, columns, "batch_update_partition", where, "Entries", batch, update_entry, require)
        for batch in _batches(dropped, _DELETE):
            self._entries(name, columns, "batch_delete_partition", where, "PartitionsToDelete", batch, key, require)

    def _entries(
        self,
        name: str,
        columns: Sequence[str],
        call: str,
        where: Mapping[str, Any],
        parameter: str,
        moves: Sequence[PartitionChange],
        entry: Callable[[PartitionChange], dict[str, Any]],
        require: Callable[[], None],
    ) -> list[PartitionChange]:
        """Send one batch; send again what failed for a passing reason; give back what exists already; raise for the rest."""
        existing: list[PartitionChange] = []
        error: type[TableError | OutcomeUnknownError] = TableError
        left = {tuple(_texts(move.partition)): move for move in moves}
        for attempt in range(_TRIES):
            first = name_of(columns, next(iter(left.values())).partition)
            require()
            entries = {parameter: [entry(move) for move in left.values()]}
            with effect("catalog.move", f"{name} {first}"):
                answer = self._answer(name, call, {**where, **entries})
            if answer is None:
                error = OutcomeUnknownError
                self._sleep(0.2 * 2**attempt)
                continue
            failed = {
                tuple(error.get("PartitionValues") or error.get("PartitionValueList")): error["ErrorDetail"]
                for error in answer.get("Errors", [])
            }
            existing += [left[key] for key, why in failed.items() if why["ErrorCode"] == "AlreadyExistsException"]
            failed = {key: why for key, why in failed.items() if not _as_wanted(call, why["ErrorCode"])}
            for key, why in failed.items():
                if why["ErrorCode"] not in _PASSING:
                    raise TableError(
                        f"{name}: {len(failed)} of {len(left)} partitions were refused by the Glue Data Catalog, first "
                        f"{name_of(columns, left[key].partition)}: {why['ErrorCode']} {why.get('ErrorMessage', '')}; "
                        "the next publish finishes what is left"
                    )
            left = {key: left[key] for key in failed}
            if not left:
                return existing
            self._sleep(0.2 * 2**attempt)
        raise error(
            f"{name}: the Glue Data Catalog still refuses or does not answer for {len(left)} partitions after {_TRIES} "
            "tries; the next publish finishes what is left"
        )

    def _answer(self, name: str, call: str, request: Mapping[str, Any]) -> Any:
        """Make a call; None when it was throttled or not answered, and so may be repeated."""
        try:
            return getattr(self._changing, call)(**request)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _PASSING or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
                return None
            raise TableError(f"{name}: the Glue Data Catalog cannot be changed: {error}") from error
        except HTTPClientError:
            return None

    def _all(self, name: str) -> Iterator[dict[str, Any]]:
        database, table = _names(name)
        pages = self._glue.get_paginator("get_partitions").paginate(
            **self._account, DatabaseName=database, TableName=table, ExcludeColumnSchema=True
        )
        for page in pages:
            yield from page["Partitions"]

    def _some(self, name: str, partitions: Sequence[Values]) -> Iterator[dict[str, Any]]:
        database, table = _names(name)
        for batch in _batches(partitions, _GET):
            wanted = [{"Values": _texts(values)} for values in batch]
            for attempt in range(_TRIES):
                answer = self._glue.batch_get_partition(
                    **self._account, DatabaseName=database, TableName=table, PartitionsToGet=wanted
                )
                yield from answer.get("Partitions", [])
                wanted = answer.get("UnprocessedKeys", [])
                if not wanted:
                    break
                self._sleep(0.2 * 2**attempt)
            else:
                raise TableError(
                    f"{name}: the Glue Data Catalog leaves {len(wanted)} partitions unprocessed; run again later"
                )

    def _move_table(self, name: str, location: str, require: Callable[[], None], version: str) -> None:
        """Switch an unpartitioned table, if it still is the version for which the switch was planned."""

        def change(table: dict[str, Any]) -> None:
            table["StorageDescriptor"] = {**table["StorageDescriptor"], "Location": location}

        require()
        try:
            with effect("catalog.move", name):
                self._update_table(name, change, version)
        except ConcurrentUpdateError:
            # An earlier attempt was performed, or columns were added since. Only who holds the lease may look again.
            require()
            if self._must_get(name)["StorageDescriptor"].get("Location", "") == location:
                return
            with effect("catalog.move", name):
                self._update_table(name, change)

    def _update_table(self, name: str, change: Callable[[dict[str, Any]], None], version: str = "") -> None:
        database, _ = _names(name)
        found = self._must_get(name)
        definition = {key: value for key, value in found.items() if key not in _READ_ONLY}
        change(definition)
        expected = {"VersionId": version or found["VersionId"]} if "VersionId" in found else {}
        try:
            # A switch is not a new version of the schema: archiving each would run into the account's limit of versions.
            self._changing.update_table(
                **self._account, DatabaseName=database, TableInput=definition, SkipArchive=True, **expected
            )
        except HTTPClientError as error:
            raise OutcomeUnknownError(f"{name}: the Glue Data Catalog did not answer; run again to find out") from error
        except self._glue.exceptions.ConcurrentModificationException as error:
            raise ConcurrentUpdateError(f"{name}: its catalog entry was changed by another writer; run again") from error

    def _get(self, name: str) -> dict[str, Any] | None:
        database, table = _names(name)
        try:
            found = self._glue.get_table(**self._account, DatabaseName=database, Name=table)
        except self._glue.exceptions.EntityNotFoundException:
            return None
        except ClientError as error:
            raise TableError(f"{name}: the Glue Data Catalog cannot be read: {error}") from error
        return dict(found["Table"])

    def _must_get(self, name: str) -> dict[str, Any]:
        found = self._get(name)
        if found is None:
            raise TableError(f"{name} is not in the Glue Data Catalog; it was dropped while a run was publishing to it")
        return found


def glue_column(table: str, column: Any) -> dict[str, str]:
    """Write one column of a Spark schema as the Glue Data Catalog has it.

    Raises:
        UnsupportedTableError: the catalog has no such type.
    """
    kind = column.dataType.simpleString()
    if "timestamp_ntz" in kind or "interval" in kind or "variant" in kind:
        raise UnsupportedTableError(
            f"{table}.{column.name}: the Glue Data Catalog has no type {kind}; convert the column first"
        )
    return {"Name": column.name, "Type": type_text(column.dataType, "glue"), "Comment": column.metadata.get("comment", "")}


def _names(name: str) -> tuple[str, str]:
    database, _, table = name.rpartition(".")
    return database or "default", table


def _texts(values: Values) -> list[str]:
    return [NULL_PARTITION if value is None else value for value in values]


def _values(part: Mapping[str, Any]) -> Values:
    return tuple(None if value == NULL_PARTITION else value for value in part["Values"])


def _as_wanted(call: str, code: str) -> bool:
    return code == "AlreadyExistsException" or (call == "batch_delete_partition" and code == "EntityNotFoundException")


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
