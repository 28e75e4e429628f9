"""One column of a contract: its type, tags, mode, format and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import types as T

from gluewright_core.errors import InvalidContractError
from gluewright_core.schema.collations import collated
from gluewright_core.schema.conform import Mode, tags_of
from gluewright_core.schema.rules import Rule, duplicates
from gluewright_core.schema.types import InvalidTypeError, parse_type

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
    type: T.DataType | str
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
        if not isinstance(self.type, T.DataType):
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
    def data_type(self) -> T.DataType:
        """The type, read."""
        assert isinstance(self.type, T.DataType)
        return self.type

    @property
    def field(self) -> T.StructField:
        """The column as a field of a Spark schema, everything else in its metadata."""
        said = {
            "comment": self.comment,
            "tags": list(self.tags),
            "on_surprise": str(self.on_surprise) if self.on_surprise else "",
            "format": self.format,
        }
        metadata = {key: value for key, value in said.items() if value}
        return T.StructField(self.name, self.data_type, self.nullable, metadata)

    @classmethod
    def from_field(cls, field: T.StructField) -> Column:
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
        reason = unknown_mode(given)
        raise InvalidContractError(f"{where}: {reason}", [((field,), reason)]) from None


def unknown_mode(given: object) -> str:
    """Return the reason for a mode that does not exist."""
    return f"unknown mode {given!r}; use one of {', '.join(Mode)}"


def _moved(column: str, place: Place, error: InvalidContractError) -> InvalidContractError:
    return InvalidContractError(f"{column}: {error}", [((*place, *where), reason) for where, reason in error.problems])


def _column_invalid(column: str, field: str, reason: str) -> InvalidContractError:
    return InvalidContractError(f"{column}: {reason}", [((field,), reason)])


def _parsed(column: str, text: Any) -> T.DataType:
    if not isinstance(text, str):
        raise _column_invalid(column, "type", f"the type is {text!r}; write a text such as 'decimal(10,2)' or a Spark type")
    try:
        return parse_type(text)
    except InvalidTypeError as error:
        raise _column_invalid(column, "type", str(error)) from error


def _with_lengths(kind: T.DataType, metadata: Mapping[str, Any]) -> T.DataType:
    """Give a schema read from a table its char and varchar back."""
    text = metadata.get(_SPARK_TEXT_TYPE)
    return _merged(kind, parse_type(text)) if text else kind


def _merged(kind: T.DataType, declared: T.DataType) -> T.DataType:
    if isinstance(kind, T.StringType) and isinstance(declared, T.CharType | T.VarcharType):
        return declared
    if isinstance(kind, T.ArrayType) and isinstance(declared, T.ArrayType):
        return T.ArrayType(_merged(kind.elementType, declared.elementType), kind.containsNull)
    if isinstance(kind, T.MapType) and isinstance(declared, T.MapType):
        key, value = _merged(kind.keyType, declared.keyType), _merged(kind.valueType, declared.valueType)
        return T.MapType(key, value, kind.valueContainsNull)
    if isinstance(kind, T.StructType) and isinstance(declared, T.StructType):
        pairs = zip(kind, declared, strict=True)
        return T.StructType(
            [T.StructField(a.name, _merged(a.dataType, b.dataType), a.nullable, a.metadata) for a, b in pairs]
        )
    return kind
