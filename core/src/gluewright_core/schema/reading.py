"""Schemas by a short text that says where they are: a file, the catalog, a template, data.

| text                       | what is read                                                              |
|----------------------------|---------------------------------------------------------------------------|
| `orders.yaml`              | a contract's file: YAML or JSON; also `contract:orders.yaml`              |
| `glue:shop.orders`         | a table of the Glue Data Catalog, with the credentials of the environment |
| `cfn:template.yaml#Orders` | a table of a CloudFormation template; the logical id may be left out if there is one |
| `avro:orders.avsc`         | an Avro schema                                                            |
| `ddl:orders.sql`           | a CREATE TABLE statement, a list of columns, or the JSON of a StructType  |
| `parquet:s3://lake/orders` | the footers of Parquet files                                              |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.files import form_of, load_contract, read_text
from gluewright_core.schema.losses import Converted, Loss

_COLUMNS = frozenset({"column", "type", "order", "comment"})
_EVERYTHING = _COLUMNS | {
    "name",
    "nullable",
    "tags",
    "on_surprise",
    "format",
    "key",
    "partition_by",
    "values",
    "new_columns",
}
FACETS = {
    "contract": _EVERYTHING,
    "glue": _COLUMNS | {"partition_by"},
    "cfn": _COLUMNS | {"partition_by"},
    "avro": _COLUMNS | {"name", "nullable"},
    "ddl": _COLUMNS | {"name", "nullable"},
    "parquet": frozenset({"column", "name", "type"}),
}
"""What each kind of source can say, in the words of :class:`~gluewright_core.schema.differences.Difference`."""


@dataclass(frozen=True)
class Source:
    """A schema as it was found.

    Attributes:
        spec: the text that says where.
        kind: ``contract``, ``glue``, ``cfn``, ``avro``, ``ddl`` or ``parquet``.
        contract: what was read.
        losses: what a contract cannot say of it; for Parquet, how files differ.
    """

    spec: str
    kind: str
    contract: Contract
    losses: tuple[Loss, ...] = ()

    @property
    def facets(self) -> frozenset[str]:
        """What it can say."""
        more = {"partition_by"} if self.kind == "ddl" and self.contract.partition_by else set()
        return frozenset(FACETS[self.kind] | more)


def read_source(spec: str) -> Source:
    """Read a schema from where a text says it is.

    Args:
        spec: see the module.

    Raises:
        SchemaError: it cannot be read as one.
        StorageError: the file cannot be read.
    """
    kind, where = kind_and_place(spec)
    readers: dict[str, Callable[[str], Converted[Contract]]] = {
        "contract": lambda path: Converted(load_contract(path), ()),
        "glue": _glue,
        "cfn": _cloudformation,
        "avro": _avro,
        "ddl": _ddl,
        "parquet": _parquet,
    }
    contract, losses = readers[kind](where)
    return Source(spec, kind, contract, losses)


def kind_and_place(spec: str) -> tuple[str, str]:
    """Split a text that says where a schema is: the kind of source, and what that kind reads.

    Example:
        >>> kind_and_place("avro:orders.avsc"), kind_and_place("s3://lake/orders.yaml")
        (('avro', 'orders.avsc'), ('contract', 's3://lake/orders.yaml'))
    """
    kind, separator, where = spec.partition(":")
    if not separator or kind not in FACETS or where.startswith("//"):
        return "contract", spec
    return kind, where


def _glue(table: str) -> Converted[Contract]:
    import boto3  # noqa: PLC0415 - takes longer to import than everything else here
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from gluewright_core.schema.sources.glue import from_glue  # noqa: PLC0415 - only the asked-for source is imported

    database, _, name = table.rpartition(".")
    try:
        answer = boto3.client("glue").get_table(DatabaseName=database or "default", Name=name)
    except (BotoCoreError, ClientError) as error:
        raise InvalidSourceError(f"{table}: the Glue Data Catalog cannot be read: {error}") from error
    return from_glue(answer)


def _cloudformation(place: str) -> Converted[Contract]:
    from gluewright_core.schema.sources.cloudformation import from_cloudformation  # noqa: PLC0415

    path, _, logical_id = place.partition("#")
    form = form_of(path) if path.endswith((".json", ".yaml", ".yml")) else "yaml"
    tables = from_cloudformation(read_text(path), form=form, where=path)
    if logical_id and logical_id not in tables:
        raise InvalidSourceError(f"{path}: it has no table {logical_id}; it has {', '.join(tables)}")
    if not logical_id and len(tables) > 1:
        raise InvalidSourceError(
            f"{path}: it has the tables {', '.join(tables)}; say which: cfn:{path}#{next(iter(tables))}"
        )
    return tables[logical_id or next(iter(tables))]


def _avro(path: str) -> Converted[Contract]:
    from gluewright_core.schema.sources.avro import from_avro  # noqa: PLC0415

    return from_avro(read_text(path), where=path)


def _ddl(path: str) -> Converted[Contract]:
    from gluewright_core.schema.sources.ddl import from_ddl  # noqa: PLC0415

    return from_ddl(read_text(path), where=path)


def _parquet(uri: str) -> Converted[Contract]:
    from gluewright_core.schema.sources.parquet import from_parquet  # noqa: PLC0415

    return from_parquet(uri)
