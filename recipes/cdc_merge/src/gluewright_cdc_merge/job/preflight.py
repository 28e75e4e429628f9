"""Check a job's arguments before anything is read: a mistake costs a second, not the time to read the feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gluewright_core.errors import GluewrightError, InvalidArgumentsError
from gluewright_core.schema.types import InvalidTypeError, parse_fields
from gluewright_core.tables import Kind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType


class TargetNotFoundError(GluewrightError):
    """The target's database does not exist. Nothing was read."""


def check_arguments(
    target: str,
    kind: Kind,
    location: str,
    columns: StructType,
    named: Mapping[str, Sequence[str]],
    *,
    missing: Sequence[str] = (),
) -> None:
    """Check what needs no session.

    Args:
        target: the table's name.
        kind: how it is kept.
        location: its folder.
        columns: its columns.
        named: arguments that name columns, with their values.
        missing: what else is wrong.

    Raises:
        InvalidArgumentsError: with everything that is wrong, in one line.
    """
    wrong = list(missing)
    parts = target.split(".")
    expected = "catalog.database.table" if kind is Kind.ICEBERG else "database.table"
    if not all(parts) or len(parts) not in ((2, 3) if kind is Kind.ICEBERG else (2,)):
        wrong.append(f"--target: given {target!r}, expected {expected}")
    if kind is not Kind.ICEBERG and not location:
        wrong.append(f"--location: not given, a {kind.value} table needs the folder of its files")
    names = {name.lower() for name in columns.names}
    for argument, given in named.items():
        if unknown := [name for name in given if name.lower() not in names]:
            wrong.append(f"--{argument}: {', '.join(unknown)} is not in --columns, which has {', '.join(columns.names)}")
    if reserved := [name for name in columns.names if name.lower().startswith("_gw_")]:
        wrong.append(f"--columns: {', '.join(reserved)} begins with _gw_, which is reserved")
    if wrong:
        raise InvalidArgumentsError("; ".join(wrong))


def check_database(spark: SparkSession, target: str) -> None:
    """Check that the target's database exists. An Iceberg catalog of type ``hadoop`` needs none.

    Args:
        spark: the session.
        target: the table's name.

    Raises:
        TargetNotFoundError: it does not.
    """
    database = target.rpartition(".")[0]
    catalog = database.rpartition(".")[0]
    if catalog and spark.conf.get(f"spark.sql.catalog.{catalog}.type", "") == "hadoop":
        return
    if not spark.catalog.databaseExists(database):
        raise TargetNotFoundError(
            f"{target}: the catalog has no database {database}; create it, or correct --target"
            " (on Glue, the job needs --enable-glue-datacatalog)"
        )


def parse_columns(text: str) -> StructType:
    """Read the argument ``--columns``.

    Args:
        text: such as ``id bigint, name string``.

    Raises:
        InvalidArgumentsError: it is no list of columns.
    """
    try:
        return parse_fields(text)
    except InvalidTypeError as error:
        raise InvalidArgumentsError(f"--columns: {error}") from None


def names_of(columns: Sequence[str]) -> list[str]:
    """Return the names in a list of columns that may have their types: ``id bigint`` or ``id``."""
    try:
        return parse_fields(", ".join(columns)).names
    except InvalidTypeError:
        return list(columns)
