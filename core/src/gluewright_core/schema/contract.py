"""A dataset's contract: its columns, keys and partitions, and what happens to what it does not foresee.

Example:
    >>> from gluewright_core.schema import Column, Contract
    >>> orders = Contract(
    ...     "shop.orders",
    ...     (
    ...         Column("order_id", "bigint", nullable=False),
    ...         Column("email", "string", tags=("pii",)),
    ...         Column("items", "array<struct<sku:string,price:decimal(10,2)>>"),
    ...     ),
    ...     key=("order_id",),
    ... )
    >>> orders.struct["email"].metadata
    {'tags': ['pii']}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import (
    ArrayType,
    CharType,
    DataType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
    VarcharType,
)

from gluewright_core.errors import ContractInvalid
from gluewright_core.schema.conform import Mode
from gluewright_core.schema.types import TypeTextInvalid, parse_type

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.schema.conform import Conformed
    from gluewright_core.schema.differences import Difference

# Spark keeps the true type of a char or varchar column there, and says string.
_SPARK_TEXT_TYPE = "__CHAR_VARCHAR_TYPE_STRING"


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes:
        name: as it is written, case included.
        type: a Spark type, or its text in Hive's, Glue's or Spark's grammar. Fields of structs carry what a column carries
            in their metadata: ``comment``, ``tags``, ``on_surprise``, ``format``.
        nullable: whether the value may be NULL.
        comment: for people.
        tags: such as ``pii``, which withholds the values from quarantine and evidence.
        on_surprise: what happens to a value that does not fit, where it differs from the contract's ``values``.
        format: the date or timestamp pattern of values that come as text (Spark SQL guide, "Datetime Patterns").

    Raises:
        ContractInvalid: the type or the mode is none.
    """

    name: str
    type: DataType | str
    nullable: bool = True
    comment: str = ""
    tags: Sequence[str] = ()
    on_surprise: Mode | str | None = None
    format: str = ""

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if not isinstance(self.name, str) or not self.name:
            raise ContractInvalid(f"a column has the name {self.name!r}; give it a text that is not empty")
        if not isinstance(self.type, DataType):
            set_field(self, "type", _parsed(self.name, self.type))
        if isinstance(self.tags, str):
            raise ContractInvalid(f"{self.name}: tags is the text {self.tags!r}; give a list, such as ['{self.tags}']")
        set_field(self, "tags", tuple(self.tags))
        if self.on_surprise is not None:
            set_field(self, "on_surprise", mode_of(self.on_surprise, self.name))

    @property
    def data_type(self) -> DataType:
        """The type, read."""
        assert isinstance(self.type, DataType)
        return self.type

    @property
    def field(self) -> StructField:
        """The column as a field of a Spark schema, everything else in its metadata."""
        said = {
            "comment": self.comment,
            "tags": list(self.tags),
            "on_surprise": str(self.on_surprise) if self.on_surprise else "",
            "format": self.format,
        }
        metadata = {key: value for key, value in said.items() if value}
        return StructField(self.name, self.data_type, self.nullable, metadata)

    @classmethod
    def from_field(cls, field: StructField) -> Column:
        """Read a column out of a field of a Spark schema."""
        metadata = field.metadata or {}
        return cls(
            field.name,
            _with_lengths(field.dataType, metadata),
            field.nullable,
            comment=metadata.get("comment", ""),
            tags=tuple(metadata.get("tags", ())),
            on_surprise=metadata.get("on_surprise"),
            format=metadata.get("format", ""),
        )


@dataclass(frozen=True)
class Contract:
    """What a dataset's rows promise.

    Attributes:
        name: of the dataset, such as ``shop.orders``.
        columns: in their order, partition columns included.
        key: the columns that identify a row: its grain.
        partition_by: the columns that partition the table.
        comment: for people.
        values: what happens to a value that does not fit its column, and to a row with it.
        new_columns: what happens to a column that the contract does not have.

    Raises:
        ContractInvalid: it contradicts itself; every contradiction is named.
    """

    name: str
    columns: Sequence[Column]
    key: Sequence[str] = ()
    partition_by: Sequence[str] = ()
    comment: str = ""
    values: Mode | str = Mode.DISCARD_ROW
    new_columns: Mode | str = Mode.DISCARD_VALUE

    def __post_init__(self) -> None:
        for name in ("columns", "key", "partition_by"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for name in ("values", "new_columns"):
            object.__setattr__(self, name, mode_of(getattr(self, name), self.name))
        wrong = list(_contradictions(self))
        if wrong:
            raise ContractInvalid(f"contract {self.name}: {'; '.join(wrong)}")

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def struct(self) -> StructType:
        """The Spark schema. What Spark's types do not say lies in the fields' metadata."""
        return StructType([column.field for column in self.columns])

    @classmethod
    def from_struct(
        cls,
        name: str,
        struct: StructType,
        *,
        key: Sequence[str] = (),
        partition_by: Sequence[str] = (),
        comment: str = "",
        values: Mode | str = Mode.DISCARD_ROW,
        new_columns: Mode | str = Mode.DISCARD_VALUE,
    ) -> Contract:
        """Make a contract of a Spark schema, as a DataFrame has it: the other way of :attr:`struct`.

        Args:
            name: of the dataset.
            struct: its columns. Metadata that is not a contract's is left out.
            key: see the class, as everything that follows.
            partition_by: see the class.
            comment: see the class.
            values: see the class.
            new_columns: see the class.
        """
        columns = tuple(Column.from_field(field) for field in struct)
        return cls(name, columns, key, partition_by, comment, values, new_columns)

    def with_columns(self, columns: Iterable[Column]) -> Contract:
        """Return the same contract with other columns; keys and partitions that are gone with them are left out."""
        columns = tuple(columns)
        names = {column.name for column in columns}
        return replace(
            self,
            columns=columns,
            key=tuple(name for name in self.key if name in names),
            partition_by=tuple(name for name in self.partition_by if name in names),
        )

    def conform(self, rows: DataFrame, *, unique_key: bool = False) -> Conformed:
        """Bring rows to the contract; see :func:`gluewright_core.schema.conform.conform`.

        Args:
            rows: as they come.
            unique_key: whether rows that share a key do not fit either.
        """
        from gluewright_core.schema.conform import conform  # noqa: PLC0415 - needs a session's modules

        return conform(
            rows,
            self.struct,
            dataset=self.name,
            values=Mode(self.values),
            columns=Mode(self.new_columns),
            key=self.key,
            unique_key=unique_key,
        )

    def diff(self, other: Contract) -> tuple[Difference, ...]:
        """Tell what is different in another contract, such as its next version; nothing when they are equal.

        Example:
            >>> before = Contract("t", (Column("a", "int"), Column("b", "string")))
            >>> for difference in before.diff(Contract("t", (Column("a", "bigint"), Column("c", "string")))):
            ...     print(difference)
            a: type int -> bigint
            b: column removed
            c: column added (string)
        """
        from gluewright_core.schema.differences import differences  # noqa: PLC0415 - needs this module

        return differences(self, other)


def mode_of(given: Mode | str, where: str) -> Mode:
    """Read a mode.

    Raises:
        ContractInvalid: there is no such mode.
    """
    try:
        return Mode(given)
    except ValueError:
        raise ContractInvalid(f"{where}: unknown mode {given!r}; use one of {', '.join(Mode)}") from None


def twice_by_case(names: Iterable[str]) -> list[str]:
    """Tell which names differ by case only, or not at all."""
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        if name.lower() in seen:
            pairs.append(f"{seen[name.lower()]} and {name}")
        seen.setdefault(name.lower(), name)
    return pairs


def structs_within(kind: DataType, path: str) -> Iterator[tuple[str, StructType]]:
    """Go through every struct inside a type, with its path such as ``items[]`` or ``tags{}.value``."""
    if isinstance(kind, StructType):
        yield path, kind
        for field in kind:
            yield from structs_within(field.dataType, f"{path}.{field.name}" if path else field.name)
    elif isinstance(kind, ArrayType):
        yield from structs_within(kind.elementType, f"{path}[]")
    elif isinstance(kind, MapType):
        yield from structs_within(kind.keyType, f"{path}{{}}.key")
        yield from structs_within(kind.valueType, f"{path}{{}}.value")


def _contradictions(contract: Contract) -> Iterator[str]:
    if not contract.name or not isinstance(contract.name, str):
        yield "it has no name"
    if not contract.columns:
        yield "it has no columns"
    for path, struct in structs_within(contract.struct, ""):
        for pair in twice_by_case(struct.names):
            place = f"{path}: the fields" if path else "the columns"
            yield f"{place} {pair} have the same name but for case; Glue and Hive cannot tell them apart, rename one"
        for field in struct:
            if "on_surprise" in (field.metadata or {}):
                mode_of(field.metadata["on_surprise"], f"{path}.{field.name}".strip("."))
    for role, names in (("key", contract.key), ("partition_by", contract.partition_by)):
        yield from (f"{role} names {pair} twice" for pair in twice_by_case(names))
        yield from (_not_a_column(role, name, contract.names) for name in names if name not in contract.names)
    types = {column.name: column.data_type for column in contract.columns}
    for name in contract.partition_by:
        if isinstance(types.get(name), ArrayType | MapType | StructType | NullType):
            yield f"partition_by: {name} is {types[name].simpleString()}; a table is partitioned by plain values only"
    for name in contract.key:
        if any(isinstance(kind, MapType) for kind in _within(types.get(name))):
            yield f"key: {name} holds a map, and maps cannot be compared; choose other columns"
    if contract.columns and {*contract.partition_by} >= {*contract.names}:
        yield "every column partitions the table; at least one must not"


def _not_a_column(role: str, name: str, names: Sequence[str]) -> str:
    same = [other for other in names if other.lower() == name.lower()]
    return f"{role}: {name} is not a column" + (f"; did you mean {same[0]}?" if same else f"; it has {', '.join(names)}")


def _within(kind: DataType | None) -> Iterator[DataType]:
    if kind is None:
        return
    yield kind
    inner = {ArrayType: ("elementType",), MapType: ("keyType", "valueType")}.get(type(kind), ())
    for name in inner:
        yield from _within(getattr(kind, name))
    if isinstance(kind, StructType):
        for field in kind:
            yield from _within(field.dataType)


def _parsed(name: str, text: Any) -> DataType:
    if not isinstance(text, str):
        raise ContractInvalid(f"{name}: the type is {text!r}; write a text such as 'decimal(10,2)' or a Spark type")
    try:
        return parse_type(text)
    except TypeTextInvalid as error:
        raise ContractInvalid(f"{name}: {error}") from error


def _with_lengths(kind: DataType, metadata: Mapping[str, Any]) -> DataType:
    """Give a schema read from a table its char and varchar back."""
    text = metadata.get(_SPARK_TEXT_TYPE)
    return _merged(kind, parse_type(text)) if text else kind


def _merged(kind: DataType, declared: DataType) -> DataType:
    if isinstance(kind, StringType) and isinstance(declared, CharType | VarcharType):
        return declared
    if isinstance(kind, ArrayType) and isinstance(declared, ArrayType):
        return ArrayType(_merged(kind.elementType, declared.elementType), kind.containsNull)
    if isinstance(kind, MapType) and isinstance(declared, MapType):
        key, value = _merged(kind.keyType, declared.keyType), _merged(kind.valueType, declared.valueType)
        return MapType(key, value, kind.valueContainsNull)
    if isinstance(kind, StructType) and isinstance(declared, StructType):
        pairs = zip(kind, declared, strict=True)
        return StructType([StructField(a.name, _merged(a.dataType, b.dataType), a.nullable, a.metadata) for a, b in pairs])
    return kind
