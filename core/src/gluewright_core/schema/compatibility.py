"""Whether versions of a contract can be read by each other's readers, in the vocabulary of schema registries.

The answers are Avro's ("Schema Resolution", Apache Avro Specification), the modes those of the Glue Schema Registry ("How
the schema registry works", AWS Glue Developer Guide), where the transitive ones are called ``BACKWARD_ALL`` and so on. Avro
schemas themselves are compared by :mod:`gluewright_core.schema.avro_compatibility`, with their defaults, symbols and names.

| change                                        | new reads old (BACKWARD) | old reads new (FORWARD) |
|-----------------------------------------------|--------------------------|-------------------------|
| a nullable column is added                    | yes                      | yes                     |
| a column that may not be NULL is added        | no: it has no default    | yes                     |
| a nullable column is removed                  | yes                      | yes                     |
| a column that may not be NULL is removed      | yes                      | no                      |
| a column is renamed                           | as removed and added     | as removed and added    |
| NULL becomes allowed                          | yes                      | no                      |
| NULL becomes forbidden                        | no                       | yes                     |
| int → bigint → float → double                 | yes                      | no                      |
| string ↔ binary                               | yes                      | yes                     |
| another precision or scale of a decimal       | no                       | no                      |

A nullable column has the default NULL; a contract has no other defaults. The order of columns does not matter. What Avro
does not have follows the same idea, that a reader takes every value: ``tinyint`` and ``smallint`` are read as wider numbers,
``char`` and ``varchar`` as longer ones and as string. Types that Avro stores alike, such as date and int, are told apart.
The same holds for fields at every depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    ByteType,
    CharType,
    DataType,
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
    VarcharType,
)

from gluewright_core.schema.contract import Contract
from gluewright_core.schema.types import type_text

_NUMBERS: list[type[DataType]] = [ByteType, ShortType, IntegerType, LongType, FloatType, DoubleType]


class Compatibility(StrEnum):
    """Which versions have to read which.

    Attributes:
        NONE: anything goes.
        BACKWARD: the new version reads what the one before wrote: update readers first.
        BACKWARD_TRANSITIVE: it reads what every earlier version wrote.
        FORWARD: the version before reads what the new one writes: update writers first.
        FORWARD_TRANSITIVE: every earlier version reads what the new one writes.
        FULL: both ways with the one before.
        FULL_TRANSITIVE: both ways with every earlier one.
    """

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @classmethod
    def _missing_(cls, value: object) -> Compatibility | None:
        """Take the names of the Glue Schema Registry too."""
        given = str(value).upper()
        name = given.removesuffix("_ALL") + "_TRANSITIVE" if given.endswith("_ALL") else given
        return cls.__members__.get(name)


@dataclass(frozen=True)
class Unreadable:
    """One thing that a reader cannot read.

    Attributes:
        path: of the column, such as ``items[].price``.
        why: the reason, with both types.
    """

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(frozen=True)
class Incompatibility:
    """One thing that one version of a schema cannot read of another.

    Attributes:
        reader: the number of the version that reads, from 1.
        writer: the number of the version that wrote.
        problem: the column and the reason.
    """

    reader: int
    writer: int
    problem: Unreadable

    def __str__(self) -> str:
        return f"version {self.reader} cannot read version {self.writer}: {self.problem}"

    def as_note(self) -> str:
        """Describe what is read, but perhaps not as it was meant."""
        return f"version {self.reader} reads version {self.writer}: {self.problem}"


def check_versions(versions: Sequence[Contract], mode: Compatibility | str) -> tuple[Incompatibility, ...]:
    """Check the newest version of a contract against the earlier ones.

    Args:
        versions: oldest first.
        mode: which of them have to read which.

    Returns:
        What is not compatible; empty when all is well.

    Example:
        >>> old = Contract("t", (Column("a", "int"),))
        >>> new = Contract("t", (Column("a", "bigint"), Column("b", "string", nullable=False)))
        >>> [str(found) for found in check_versions([old, new], "BACKWARD")]
        ['version 2 cannot read version 1: b: string NOT NULL is new and has no default; make it nullable']
    """
    return tuple(
        Incompatibility(reader, writer, problem)
        for reader, writer in version_pairs(len(versions), mode)
        for problem in unreadable(versions[reader - 1], versions[writer - 1])
    )


def version_pairs(newest: int, mode: Compatibility | str) -> list[tuple[int, int]]:
    """List which version has to read which when the newest is checked.

    Args:
        newest: the number of the newest version, from 1.
        mode: which of them have to read which.

    Returns:
        Pairs of the version that reads and the version that wrote.

    Example:
        >>> version_pairs(3, "FULL")
        [(3, 2), (2, 3)]
    """
    mode = Compatibility(mode)
    if mode == Compatibility.NONE or newest < 2:
        return []
    earlier = range(1, newest) if mode.endswith("_TRANSITIVE") else [newest - 1]
    backward = [] if mode.startswith("FORWARD") else [(newest, number) for number in earlier]
    return backward + ([] if mode.startswith("BACKWARD") else [(number, newest) for number in earlier])


def unreadable(reader: Contract, writer: Contract) -> tuple[Unreadable, ...]:
    """Tell what a reader with one contract cannot read of rows that were written with another.

    Args:
        reader: the contract that is expected.
        writer: the contract that the rows were written with.
    """
    return tuple(_in_structs(reader.struct, writer.struct, ""))


def _in_structs(reader: StructType, writer: StructType, path: str) -> Iterator[Unreadable]:
    for field in reader:
        at = f"{path}.{field.name}" if path else field.name
        if field.name in writer.names:
            yield from _in_fields(field, writer[field.name], at)
        elif not field.nullable:
            yield Unreadable(
                at, f"{type_text(field.dataType)} NOT NULL is new and has no default{_hint(field, reader, writer)}"
            )


def _hint(field: StructField, reader: StructType, writer: StructType) -> str:
    gone = [other for other in writer if other.name not in reader.names and other.dataType == field.dataType]
    if not gone:
        return "; make it nullable"
    return f"; if it is {gone[0].name} renamed, keep both columns for as long as both versions are in use"


def _in_fields(reader: StructField, writer: StructField, path: str) -> Iterator[Unreadable]:
    yield from _in_values(reader.dataType, reader.nullable, writer.dataType, writer.nullable, path)


def _in_values(reader: DataType, reader_null: bool, writer: DataType, writer_null: bool, path: str) -> Iterator[Unreadable]:
    if writer_null and not reader_null:
        yield Unreadable(path, "NULL was allowed and is no more; keep it nullable")
    yield from _in_types(reader, writer, path)


def _in_types(reader: DataType, writer: DataType, path: str) -> Iterator[Unreadable]:
    if isinstance(reader, StructType) and isinstance(writer, StructType):
        yield from _in_structs(reader, writer, path)
    elif isinstance(reader, ArrayType) and isinstance(writer, ArrayType):
        elements = (reader.elementType, reader.containsNull, writer.elementType, writer.containsNull)
        yield from _in_values(*elements, f"{path}[]")
    elif isinstance(reader, MapType) and isinstance(writer, MapType):
        yield from _in_keys(reader.keyType, writer.keyType, f"{path}{{}}.key")
        values = (reader.valueType, reader.valueContainsNull, writer.valueType, writer.valueContainsNull)
        yield from _in_values(*values, f"{path}{{}}.value")
    elif not _promotes(writer, reader):
        yield Unreadable(path, f"{type_text(writer)} is not read as {type_text(reader)}{_reason(writer, reader)}")


def _in_keys(reader: DataType, writer: DataType, path: str) -> Iterator[Unreadable]:
    if (type(reader) is StringType) != (type(writer) is StringType):
        why = f"a map by {type_text(writer)} is not read as one by {type_text(reader)}"
        yield Unreadable(path, f"{why}: Avro's own maps have string keys, others are arrays of entries")
    else:
        yield from _in_types(reader, writer, path)


def _promotes(writer: DataType, reader: DataType) -> bool:
    if writer == reader or isinstance(writer, NullType):
        return True
    if type(writer) in _NUMBERS and type(reader) in _NUMBERS:
        return _NUMBERS.index(type(writer)) < _NUMBERS.index(type(reader))
    text = StringType | CharType | VarcharType
    if isinstance(writer, text) and isinstance(reader, StringType | BinaryType):
        return True
    if isinstance(writer, BinaryType):
        return type(reader) is StringType
    if isinstance(writer, CharType | VarcharType) and isinstance(reader, CharType | VarcharType):
        return type(reader) in {type(writer), VarcharType} and reader.length >= writer.length
    return False


def _reason(writer: DataType, reader: DataType) -> str:
    if isinstance(writer, DecimalType) and isinstance(reader, DecimalType):
        return ": decimals are read with their own precision and scale only; add a column beside it"
    if _promotes(reader, writer):
        return f": it is narrower; keep {type_text(writer)}"
    return "; add a column beside it"
