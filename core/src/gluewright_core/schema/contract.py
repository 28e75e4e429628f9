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

from pyspark.sql import SparkSession
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

from gluewright_core.errors import InvalidContractError
from gluewright_core.schema.collations import collated
from gluewright_core.schema.conform import Mode, tags_of
from gluewright_core.schema.rules import Rule, duplicates
from gluewright_core.schema.types import InvalidTypeError, parse_type

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.schema.conform import Conformed
    from gluewright_core.schema.differences import Difference

Place = tuple[str | int, ...]

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
        tags: such as ``pii`` (in any case), which withholds the values from quarantine and evidence, and from quarantine
            the values of unknown columns and fields too. A text is one tag, or several between commas or spaces.
        on_surprise: what happens to a value that does not fit, where it differs from the contract's ``values``.
        format: the date or timestamp pattern of values that come as text (Spark SQL guide, "Datetime Patterns").
        rules: what else holds of its values, such as ``Rule(allowed=("EUR", "USD"))``. A Spark schema does not hold them.

    Raises:
        InvalidContractError: the type or the mode is none, or a rule does not go with the type.
    """

    name: str
    type: DataType | str
    nullable: bool = True
    comment: str = ""
    tags: Sequence[str] = ()
    on_surprise: Mode | str | None = None
    format: str = ""
    rules: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if not isinstance(self.name, str) or not self.name:
            raise _column_invalid("a column", "name", f"it has the name {self.name!r}; give it a text that is not empty")
        if not isinstance(self.type, DataType):
            set_field(self, "type", _parsed(self.name, self.type))
        if found := collated(self.data_type, self.name):
            reason = f"{found[0]} has the collation {found[1]}, which Hive and Glue cannot store; give it the type string"
            raise _column_invalid(self.name, "type", reason)
        set_field(self, "tags", tags_of({"tags": self.tags}) if isinstance(self.tags, str) else tuple(self.tags))
        if self.on_surprise is not None:
            set_field(self, "on_surprise", mode_of(self.on_surprise, self.name, "on_surprise"))
        given = (self.rules,) if isinstance(self.rules, Rule) else tuple(self.rules)
        set_field(self, "rules", tuple(self._typed_rule(rule, number) for number, rule in enumerate(given)))
        for number, reason in duplicates([rule.name for rule in self.rules]):
            raise _moved(self.name, ("rules", number), InvalidContractError(reason, [((), reason)]))

    def _typed_rule(self, rule: Rule, number: int) -> Rule:
        try:
            return rule.of_type(self.data_type)
        except InvalidContractError as error:
            raise _moved(self.name, ("rules", number), error) from error

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
            tags=tags_of(metadata),
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
        rules: what holds of whole rows, such as ``Rule(name="paid", sql="price >= 0")`` or ``Rule(unique=("id",))``.

    Raises:
        InvalidContractError: it contradicts itself; every contradiction is named. Patterns and SQL are checked by Spark, so
            only if a session is active; else they are when rows are first conformed.
    """

    name: str
    columns: Sequence[Column]
    key: Sequence[str] = ()
    partition_by: Sequence[str] = ()
    comment: str = ""
    values: Mode | str = Mode.DISCARD_ROW
    new_columns: Mode | str = Mode.DISCARD_VALUE
    rules: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        for name in ("columns", "key", "partition_by", "rules"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str | Rule) else tuple(given))
        for name in ("values", "new_columns"):
            object.__setattr__(self, name, mode_of(getattr(self, name), self.name, name))
        self._require(_contradictions(self))
        if self.has_rules and SparkSession.getActiveSession():
            self._check_rules()

    def _require(self, found: Iterable[tuple[Place, str]]) -> None:
        if wrong := list(found):
            raise InvalidContractError(f"contract {self.name}: {'; '.join(reason for _, reason in wrong)}", wrong)

    def _check_rules(self) -> None:
        from gluewright_core.schema.rule_checks import broken_rules  # noqa: PLC0415 - needs a session's modules

        self._require(broken_rules(self))

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def has_rules(self) -> bool:
        """Whether it or a column has a rule."""
        return bool(self.rules or any(column.rules for column in self.columns))

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
        """Return the same contract with other columns.

        Keys and partitions that are gone with them are left out, and so are rules of rows where any column is gone or new
        in type, because they may be about it.
        """
        columns = tuple(columns)
        names = {column.name for column in columns}
        kept = {(column.name, column.data_type) for column in self.columns} <= {
            (column.name, column.data_type) for column in columns
        }
        return replace(
            self,
            columns=columns,
            rules=tuple(rule for rule in self.rules if (names >= {*rule.unique} if rule.unique else kept)),
            key=tuple(name for name in self.key if name in names),
            partition_by=tuple(name for name in self.partition_by if name in names),
        )

    def conform(
        self, rows: DataFrame, *, unique_key: bool = False, problems: str = "", show_unknown: bool | None = None
    ) -> Conformed:
        """Bring rows to the contract; see :func:`gluewright_core.schema.conform.conform`.

        Args:
            rows: as they come.
            unique_key: whether rows that share a key do not fit either.
            problems: the column with what the caller found wrong with a row.
            show_unknown: whether quarantine has the values of unknown columns and fields; by default not if anything is
                tagged ``pii``.
        """
        from gluewright_core.schema.conform import conform  # noqa: PLC0415 - needs a session's modules

        if self.has_rules:
            self._check_rules()
        checks = [rule.check(column.name, column.data_type) for column in self.columns for rule in column.rules]
        return conform(
            rows,
            self.struct,
            dataset=self.name,
            values=Mode(self.values),
            columns=Mode(self.new_columns),
            key=self.key,
            unique_key=unique_key,
            problems=problems,
            show_unknown=show_unknown,
            checks=[*checks, *(rule.check() for rule in self.rules)],
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


def mode_of(given: Mode | str, where: str, field: str) -> Mode:
    """Read a mode.

    Args:
        given: the mode or its text.
        where: whose it is, for the message.
        field: what it is called there.

    Raises:
        InvalidContractError: there is no such mode.
    """
    try:
        return Mode(given)
    except ValueError:
        reason = _unknown_mode(given)
        raise InvalidContractError(f"{where}: {reason}", [((field,), reason)]) from None


def _unknown_mode(given: object) -> str:
    return f"unknown mode {given!r}; use one of {', '.join(Mode)}"


def twice_by_case(names: Iterable[str]) -> list[tuple[int, int]]:
    """Tell which names are the same but for case: the numbers of the first and of each that repeats it."""
    seen: dict[str, int] = {}
    return [
        (seen[name.lower()], number) for number, name in enumerate(names) if seen.setdefault(name.lower(), number) != number
    ]


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


def _contradictions(contract: Contract) -> Iterator[tuple[Place, str]]:
    if not contract.name or not isinstance(contract.name, str):
        yield ("name",), "it has no name"
    if not contract.columns:
        yield ("columns",), "it has no columns"
    for first, second in twice_by_case(contract.names):
        yield ("columns", second), _same_but_for_case("the columns", contract.names[first], contract.names[second])
    for number, column in enumerate(contract.columns):
        yield from ((("columns", number), reason) for reason in _contradictions_within(column))
    for role, names in (("key", contract.key), ("partition_by", contract.partition_by)):
        for first, second in twice_by_case(names):
            yield (role, second), f"{role} names {names[first]} and {names[second]} twice"
        for number, name in enumerate(names):
            if name not in contract.names:
                yield (role, number), _not_a_column(role, name, contract.names)
            elif reason := _unfit(role, contract[name].data_type):
                yield (role, number), f"{role}: {name} {reason}"
    yield from _contradictions_of_rules(contract)
    if contract.columns and {*contract.partition_by} >= {*contract.names}:
        yield ("partition_by",), "every column partitions the table; at least one must not"


def _contradictions_of_rules(contract: Contract) -> Iterator[tuple[Place, str]]:
    for number, rule in enumerate(contract.rules):
        if not rule.of_rows:
            yield ("rules", number), f"the rule {rule.name} is one of a column; move it to the column's rules"
        for name in rule.unique:
            if name not in contract.names:
                yield ("rules", number, "unique"), _not_a_column("unique", name, contract.names)
            elif reason := _unfit("key", contract[name].data_type):
                yield ("rules", number, "unique"), f"unique: {name} {reason}"
    labels = [rule.check().label for rule in contract.rules if rule.of_rows]
    yield from ((("rules", number, "name"), reason) for number, reason in duplicates(labels))


def _contradictions_within(column: Column) -> Iterator[str]:
    for path, struct in structs_within(column.data_type, column.name):
        for first, second in twice_by_case(struct.names):
            yield _same_but_for_case(f"{path}: the fields", struct.names[first], struct.names[second])
        for field in struct:
            mode = (field.metadata or {}).get("on_surprise")
            if mode is not None and mode not in list(Mode):
                yield f"{path}.{field.name}: {_unknown_mode(mode)}"


def _same_but_for_case(what: str, first: str, second: str) -> str:
    return f"{what} {first} and {second} have the same name but for case; Glue and Hive cannot tell them apart, rename one"


def _unfit(role: str, kind: DataType) -> str:
    if role == "partition_by" and isinstance(kind, ArrayType | MapType | StructType | NullType):
        return f"is {kind.simpleString()}; a table is partitioned by plain values only"
    if role == "key" and any(isinstance(inner, MapType) for inner in _within(kind)):
        return "holds a map, and maps cannot be compared; choose other columns"
    return ""


def _not_a_column(role: str, name: str, names: Sequence[str]) -> str:
    same = [other for other in names if other.lower() == name.lower()]
    return f"{role}: {name} is not a column" + (f"; did you mean {same[0]}?" if same else f"; it has {', '.join(names)}")


def _within(kind: DataType) -> Iterator[DataType]:
    yield kind
    inner = {ArrayType: ("elementType",), MapType: ("keyType", "valueType")}.get(type(kind), ())
    for name in inner:
        yield from _within(getattr(kind, name))
    if isinstance(kind, StructType):
        for field in kind:
            yield from _within(field.dataType)


def _moved(column: str, place: Place, error: InvalidContractError) -> InvalidContractError:
    return InvalidContractError(f"{column}: {error}", [((*place, *where), reason) for where, reason in error.problems])


def _column_invalid(column: str, field: str, reason: str) -> InvalidContractError:
    return InvalidContractError(f"{column}: {reason}", [((field,), reason)])


def _parsed(column: str, text: Any) -> DataType:
    if not isinstance(text, str):
        raise _column_invalid(column, "type", f"the type is {text!r}; write a text such as 'decimal(10,2)' or a Spark type")
    try:
        return parse_type(text)
    except InvalidTypeError as error:
        raise _column_invalid(column, "type", str(error)) from error


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
