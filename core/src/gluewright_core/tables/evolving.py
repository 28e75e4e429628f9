"""A declaration may have more columns than the table has: they are added behind the others, and old rows have NULL there.

Fields of structs count as columns. Nothing else about a table is changed: what was renamed, dropped or has another type is
refused when rows are published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql.types import DataType, StructField, StructType

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from gluewright_core.tables.interface import TableSpec


Path = tuple[str, ...]


def added(declared: StructType, existing: StructType, above: Path = ()) -> list[tuple[Path, StructField]]:
    """List what is declared and not there yet, each with its path.

    Args:
        declared: the columns as the job has them, without lengths of char and varchar.
        existing: those of the table.
        above: the path of the struct whose fields these are.
    """
    known = {field.name.lower(): field.dataType for field in existing}
    found: list[tuple[Path, StructField]] = []
    for field in declared:
        kind = known.get(field.name.lower())
        if kind is None:
            found.append(((*above, field.name), field))
        elif isinstance(kind, StructType) and isinstance(field.dataType, StructType):
            found += added(field.dataType, kind, (*above, field.name))
    return found


def undeclared(spec: TableSpec, existing: StructType) -> list[str]:
    """List the table's columns that are not declared."""
    declared = {name.lower() for name in spec.schema.names}
    return [name for name in existing.names if name.lower() not in declared]


def evolved(existing: StructType, declared: StructType) -> StructType:
    """Return the table's columns with those added that are declared and not there yet."""
    wanted = {field.name.lower(): field for field in declared}
    known = {field.name.lower() for field in existing}
    grown = [
        StructField(field.name, _grown(field.dataType, wanted.get(field.name.lower())), field.nullable, field.metadata)
        for field in existing
    ]
    return StructType([*grown, *(_optional(field) for field in declared if field.name.lower() not in known)])


def alike(one: DataType, other: DataType) -> bool:
    """Tell whether types are the same but for case and the order of fields in structs."""
    if isinstance(one, StructType) and isinstance(other, StructType):
        known = {field.name.lower(): field.dataType for field in other}
        same_names = sorted(known) == sorted(name.lower() for name in one.names)
        return same_names and all(alike(field.dataType, known[field.name.lower()]) for field in one)
    return one.simpleString().lower() == other.simpleString().lower()


def filled(rows: DataFrame, declared: StructType) -> DataFrame:
    """Read a table as it is declared: NULL in columns that it does not have yet."""
    from pyspark.sql import functions as F  # noqa: PLC0415 - not needed to import a job

    def value(path: Path, wanted: DataType, found: DataType | None) -> Column:
        here = F.col(".".join(f"`{name}`" for name in path))
        if found is None:
            return F.lit(None).cast(wanted)
        if not (isinstance(wanted, StructType) and isinstance(found, StructType)):
            return here
        if wanted.simpleString() == found.simpleString():
            return here
        # The fields may also come in another order.
        inside = {field.name.lower(): field.dataType for field in found}
        fields = (value((*path, f.name), f.dataType, inside.get(f.name.lower())).alias(f.name) for f in wanted)
        return F.when(here.isNotNull(), F.struct(*fields))

    if [(f.name, f.dataType.simpleString()) for f in rows.schema] == [(f.name, f.dataType.simpleString()) for f in declared]:
        return rows
    known = {field.name.lower(): field.dataType for field in rows.schema}
    return rows.select(*(value((f.name,), f.dataType, known.get(f.name.lower())).alias(f.name) for f in declared))


def _grown(kind: DataType, wanted: StructField | None) -> DataType:
    if wanted is None or not (isinstance(kind, StructType) and isinstance(wanted.dataType, StructType)):
        return kind
    return evolved(kind, wanted.dataType)


def _optional(field: StructField) -> StructField:
    # Old rows have no value.
    return StructField(field.name, field.dataType, True, field.metadata)
