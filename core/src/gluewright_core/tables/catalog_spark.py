"""Spark's own view of a catalog: whatever its session has, in memory, a Hive metastore, or the Glue Data Catalog."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pyspark.sql.types import StructType

from gluewright_core.effects import effect
from gluewright_core.errors import TableMismatchError, UnsupportedTableError
from gluewright_core.tables.catalog import Catalog, CatalogTable, PartitionChange, kinds_of, unprotected
from gluewright_core.tables.creating import create_table
from gluewright_core.tables.evolving import evolved
from gluewright_core.tables.partitions import NULL_PARTITION, Values, name_of
from gluewright_core.tables.sql import identifier, properties_ddl, quoted, sql_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gluewright_core.tables.interface import TableSpec

_ONE_BY_ONE = 10
"""Up to so many partitions are looked up one at a time; more are listed all together, which soon costs less in Hive."""


class SparkCatalog(Catalog):
    """The session catalog.

    ``ADD`` and ``DROP PARTITION`` are Spark SQL (Spark SQL reference, "ALTER TABLE"). Locations are looked up and switched
    through the session's catalog object: SQL knows only one partition at a time, at a tenth of a second each in Hive.

    Args:
        spark: the session.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def table(self, name: str) -> CatalogTable | None:  # noqa: D102
        if not self._spark.catalog.tableExists(name):
            return None
        found = self._metadata(name)
        schema = StructType.fromJson(json.loads(found.schema().json()))
        return CatalogTable(
            {column.name: column.dataType.simpleString() for column in schema},
            tuple(_python(found.partitionColumnNames())),
            self._text(found.location()),
            _python_map(found.properties()),
        )

    def create(self, spec: TableSpec, properties: Mapping[str, str]) -> None:  # noqa: D102
        create_table(self._spark, spec, "parquet", properties)

    def evolve(self, spec: TableSpec) -> None:  # noqa: D102
        jvm: Any = self._spark._jvm
        existing = StructType.fromJson(json.loads(self._metadata(spec.name).schema().json()))
        columns = [column for column in evolved(existing, spec.row_schema) if column.name not in spec.partition_by]
        # SQL adds no field to a struct.
        schema = jvm.org.apache.spark.sql.types.DataType.fromJson(StructType(columns).json())
        with effect("catalog.evolve", spec.name):
            self._catalog().alterTableDataSchema(self._identifier(spec.name), schema)

    def mark(self, name: str, properties: Mapping[str, str]) -> None:  # noqa: D102
        with effect("catalog.mark", name):
            self._spark.sql(f"ALTER TABLE {identifier(name)}{properties_ddl(' SET TBLPROPERTIES', properties)}")

    def locations(self, name: str, partitions: Sequence[Values] | None = None) -> dict[Values, str]:  # noqa: D102
        columns = tuple(_python(self._metadata(name).partitionColumnNames()))
        if not columns:
            return {(): self._text(self._metadata(name).location())}
        found: dict[Values, str] = {}
        wanted = None if partitions is None else set(partitions)
        for part in self._described(name, columns, partitions):
            values = tuple(None if part["spec"][column] == NULL_PARTITION else part["spec"][column] for column in columns)
            if wanted is None or values in wanted:
                found[values] = _decoded(part["storage"]["locationUri"] or "")
        return found

    def _described(self, name: str, columns: Sequence[str], partitions: Sequence[Values] | None) -> Iterator[dict[str, Any]]:
        """Describe partitions as JSON that the JVM writes: one call for all, not a dozen for each."""
        jvm: Any = self._spark._jvm
        mapper = jvm.com.fasterxml.jackson.databind.ObjectMapper()
        mapper.registerModule(jvm.com.fasterxml.jackson.module.scala.DefaultScalaModule())
        one_by_one = partitions is not None and len(partitions) <= _ONE_BY_ONE
        for values in partitions if one_by_one and partitions is not None else [None]:
            yield from json.loads(mapper.writeValueAsString(self._listed(name, columns, values)))

    def move(  # noqa: D102
        self,
        name: str,
        moves: Sequence[PartitionChange],
        *,
        require: Callable[[], None] = unprotected,
        version: str = "",
    ) -> None:
        columns = tuple(_python(self._metadata(name).partitionColumnNames()))
        added, switched, dropped = kinds_of(moves)
        self._refuse_unreadable(name, columns, [move.partition for move in (*added, *dropped)])
        if added:
            require()
            specs = " ".join(f"{_spec(columns, m.partition)} LOCATION {sql_text(str(m.after))}" for m in added)
            self._alter(name, name_of(columns, added[0].partition), f"ADD IF NOT EXISTS {specs}")
        if switched:
            require()
        if switched and columns:
            self._switch(name, columns, switched)
        elif switched:
            self._alter(name, name_of(columns, ()), f"SET LOCATION {sql_text(str(switched[0].after))}")
        if dropped:
            require()
            specs = ", ".join(_spec(columns, move.partition) for move in dropped)
            self._alter(name, name_of(columns, dropped[0].partition), f"DROP IF EXISTS {specs}")

    def _refuse_unreadable(self, name: str, columns: Sequence[str], partitions: Sequence[Values]) -> None:
        """Refuse values that a statement could not name: with this setting Spark keeps the backslashes of a literal."""
        setting = "spark.sql.parser.escapedStringLiterals"
        unsafe = [values for values in partitions if any(set(value or "") & {"'", "\\"} for value in values)]
        if unsafe and str(self._spark.conf.get(setting, "false")).lower() == "true":
            raise UnsupportedTableError(
                f"{name}: the partition {name_of(columns, unsafe[0])} has a quote or a backslash, which Spark would change "
                f"while {setting} is true; set it to false"
            )

    def _alter(self, name: str, first: str, change: str) -> None:
        with effect("catalog.move", f"{name} {first}"):
            self._spark.sql(f"ALTER TABLE {identifier(name)} {change}")

    def _switch(self, name: str, columns: Sequence[str], moves: Sequence[PartitionChange]) -> None:
        after = {move.partition: str(move.after) for move in moves}
        jvm: Any = self._spark._jvm
        switched = jvm.java.util.ArrayList()
        for part in self._parts(name, columns, list(after)):
            switched.append(self._at(part, after[self._values(columns, part)]))
        if switched.size() < len(moves):
            raise TableMismatchError(f"{name}: partitions were dropped behind a publish that was switching them; run again")
        with effect("catalog.move", f"{name} {name_of(columns, moves[0].partition)}"):
            self._catalog().alterPartitions(
                self._identifier(name), jvm.org.apache.spark.api.python.PythonUtils.toSeq(switched)
            )

    def _at(self, part: Any, location: str) -> Any:
        """Copy a catalog partition to another location, whatever else this version of Spark keeps about it."""
        jvm: Any = self._spark._jvm
        uri = jvm.scala.Option.apply(jvm.org.apache.hadoop.fs.Path(location).toUri())
        kept = _python_iterator(part.storage().productIterator())
        storage = part.storage().copy(uri, *kept[1:])
        spec, _, *others = _python_iterator(part.productIterator())
        return part.copy(spec, storage, *others)

    def _parts(self, name: str, columns: Sequence[str], partitions: Sequence[Values] | None) -> list[Any]:
        """Look up partitions that are in the catalog; None for all."""
        if partitions is not None and len(partitions) <= _ONE_BY_ONE:
            return [part for values in partitions for part in self._list(name, columns, values)]
        wanted = None if partitions is None else set(partitions)
        return [part for part in self._list(name, columns, None) if wanted is None or self._values(columns, part) in wanted]

    def _list(self, name: str, columns: Sequence[str], values: Values | None) -> list[Any]:
        return _python(self._listed(name, columns, values))

    def _listed(self, name: str, columns: Sequence[str], values: Values | None) -> Any:
        jvm: Any = self._spark._jvm
        spec = jvm.scala.Option.empty()
        if values is not None:
            mapping = jvm.java.util.HashMap()
            for column, value in zip(columns, values, strict=True):
                mapping.put(column, NULL_PARTITION if value is None else value)
            spec = jvm.scala.Option.apply(jvm.org.apache.spark.api.python.PythonUtils.toScalaMap(mapping))
        return self._catalog().listPartitions(self._identifier(name), spec)

    def _values(self, columns: Sequence[str], part: Any) -> Values:
        spec = _python_map(part.spec())
        return tuple(None if spec[column] == NULL_PARTITION else spec[column] for column in columns)

    def _metadata(self, name: str) -> Any:
        return self._catalog().getTableMetadata(self._identifier(name))

    def _catalog(self) -> Any:
        jspark: Any = self._spark._jsparkSession  # type: ignore[attr-defined,unused-ignore]
        return jspark.sessionState().catalog()

    def _identifier(self, name: str) -> Any:
        return self._spark._jsparkSession.sessionState().sqlParser().parseTableIdentifier(identifier(name))  # type: ignore[attr-defined,unused-ignore]

    def _text(self, uri: Any) -> str:
        """Undo the URI's own escaping, so that ``%2F`` in a folder's name reads ``%2F`` again."""
        jvm: Any = self._spark._jvm
        text = str(jvm.org.apache.hadoop.fs.Path(uri).toString())
        return (
            f"file://{text.removeprefix('file:')}" if text.startswith("file:/") and not text.startswith("file://") else text
        )


def _decoded(uri: str) -> str:
    """Undo the URI's own escaping, as :meth:`SparkCatalog._text` does for a URI of the JVM."""
    text = unquote(uri)
    return f"file://{text.removeprefix('file:')}" if text.startswith("file:/") and not text.startswith("file://") else text


def _spec(columns: Sequence[str], values: Values) -> str:
    pairs = (f"{quoted(c)}={'null' if v is None else sql_text(v)}" for c, v in zip(columns, values, strict=True))
    return f"PARTITION ({', '.join(pairs)})"


def _python(sequence: Any) -> list[Any]:
    return [sequence.apply(index) for index in range(sequence.size())]


def _python_iterator(iterator: Any) -> list[Any]:
    found = []
    while iterator.hasNext():
        found.append(iterator.next())
    return found


def _python_map(mapping: Any) -> dict[str, str]:
    entries = _python(mapping.toSeq())
    return {str(entry._1()): str(entry._2()) for entry in entries}
