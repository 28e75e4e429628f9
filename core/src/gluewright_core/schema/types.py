"""The types of Hive, Glue and Spark, from text and back.

This file stands alone: it needs the standard library and PySpark, and can be copied into a job.

The grammar is that of Spark SQL ("Data Types", Spark SQL guide) and of Hive's type strings ("LanguageManual Types", Apache
Hive), as the Glue Data Catalog keeps them:

| type                                | also written                                              |
|-------------------------------------|-----------------------------------------------------------|
| `boolean`                           |                                                           |
| `tinyint` `smallint` `int` `bigint` | `byte` `short` `integer` `long`                           |
| `float` `double`                    | `real` `double precision`                                 |
| `decimal(p,s)`                      | `dec` `numeric`; `decimal` is (10,0), `decimal(p)` is (p,0) |
| `string` `char(n)` `varchar(n)`     |                                                           |
| `binary` `date` `void`              |                                                           |
| `timestamp`                         | `timestamp_ltz` `timestamp with local time zone`          |
| `timestamp_ntz`                     | `timestamp without time zone`                             |
| `array<T>` `map<K,V>`               |                                                           |
| `struct<name:T [NOT NULL] [COMMENT 'text'], …>` | the colon may be left out                     |

Names of fields may be quoted by backticks, where a doubled backtick is one. Unquoted ones end at the colon, so that what
crawlers find in JSON (`$oid`, `@type`, `first name`) is read too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Literal, NoReturn

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    CharType,
    DataType,
    DateType,
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
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

Dialect = Literal["spark", "hive", "glue"]

_PLAIN: dict[str, type[DataType]] = {
    "boolean": BooleanType,
    "tinyint": ByteType,
    "byte": ByteType,
    "smallint": ShortType,
    "short": ShortType,
    "int": IntegerType,
    "integer": IntegerType,
    "bigint": LongType,
    "long": LongType,
    "float": FloatType,
    "real": FloatType,
    "double": DoubleType,
    "string": StringType,
    "binary": BinaryType,
    "date": DateType,
    "timestamp": TimestampType,
    "timestamp_ltz": TimestampType,
    "timestamp_ntz": TimestampNTZType,
    "void": NullType,
}
_REFUSED = {
    "uniontype": "Spark has no union; write a struct with one nullable field for each alternative",
    "interval": "no table can store an interval; keep a number of days or seconds",
    "variant": "neither Hive nor Glue can store it; keep the JSON as string",
    "time": "neither Hive nor Glue can store a time of day; keep it as string, or as int of milliseconds",
    "null": "the type without values is called void",
}
_OTHERS = ["decimal", "dec", "numeric", "char", "varchar", "array", "map", "struct"]
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a", "%": "\\%", "_": "\\_"}
_CODE_POINT = re.compile(r"u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})")
_SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HIVE_NAME = re.compile(r"[^,:<>()`'\"\s]+( +[^,:<>()`'\"\s]+)*")
LONGEST_CHAR, LONGEST_VARCHAR = 255, 65535


class InvalidTypeError(ValueError):
    """A text is not a type, or a type has no text in the dialect asked for.

    Attributes:
        offset: where in the text, from 0; None when a type could not be written.
    """

    def __init__(self, reason: str, text: str = "", offset: int | None = None) -> None:
        self.reason, self.offset = reason, offset
        super().__init__(reason if offset is None else f"{reason} (at offset {offset}):\n{_shown(text, offset)}")


def parse_type(text: str) -> DataType:
    """Read a type as Hive, Glue or Spark writes it.

    Args:
        text: such as ``array<struct<price:decimal(10,2),note:string>>``; case and spaces do not matter, names keep theirs.

    Returns:
        The Spark type. Comments of fields lie in their metadata under ``comment``.

    Raises:
        InvalidTypeError: it is not a type, or one that Spark or Hive cannot store; the message shows the place.

    Example:
        >>> parse_type("map<string, decimal(10, 2)>").simpleString()
        'map<string,decimal(10,2)>'
    """
    parser = TypeParser(text)
    parsed = parser.type()
    parser.end()
    return parsed


def parse_fields(text: str) -> StructType:
    """Read a list of columns: ``id BIGINT NOT NULL, name STRING COMMENT 'as signed'``.

    Raises:
        InvalidTypeError: the text is no such list; the message shows the place.
    """
    parser = TypeParser(text)
    fields = parser.fields()
    parser.end()
    return StructType(fields)


def type_text(kind: DataType, dialect: Dialect = "spark") -> str:
    """Write a type as text.

    Args:
        kind: the type.
        dialect: ``spark`` quotes names where needed and keeps NOT NULL and comments of fields; ``hive`` and ``glue``, which
            are the same, have neither, and write a timestamp without zone as ``timestamp``.

    Returns:
        The text; ``parse_type(type_text(kind))`` is the type again, except that elements and values of collections always
        read as nullable.

    Raises:
        InvalidTypeError: the dialect cannot express it.

    Example:
        >>> type_text(parse_type("STRUCT<id: BIGINT NOT NULL, `unit price`: DEC(5)>"))
        'struct<id:bigint NOT NULL,`unit price`:decimal(5,0)>'
        >>> type_text(parse_type("struct<id:bigint not null>"), "glue")
        'struct<id:bigint>'
    """
    if isinstance(kind, ArrayType):
        return f"array<{type_text(kind.elementType, dialect)}>"
    if isinstance(kind, MapType):
        return f"map<{type_text(kind.keyType, dialect)},{type_text(kind.valueType, dialect)}>"
    if isinstance(kind, StructType):
        write = _spark_field if dialect == "spark" else _hive_field
        return f"struct<{','.join(write(field) for field in kind)}>"
    if isinstance(kind, TimestampNTZType) and dialect != "spark":
        return "timestamp"
    if isinstance(kind, CharType | VarcharType):
        _check_hive_length(kind, dialect)
    text = kind.simpleString()
    if text.partition("(")[0] not in {*_PLAIN, "decimal", "char", "varchar"}:
        raise InvalidTypeError(f"{text} is not a type of Hive or Glue; convert the column first")
    return text


def without_lengths(kind: DataType) -> DataType:
    """Return the type as a DataFrame has it: char and varchar are string there."""
    match kind:
        case CharType() | VarcharType():
            return StringType()
        case ArrayType():
            return ArrayType(without_lengths(kind.elementType), kind.containsNull)
        case MapType():
            return MapType(without_lengths(kind.keyType), without_lengths(kind.valueType), kind.valueContainsNull)
        case StructType():
            return StructType(
                [StructField(field.name, without_lengths(field.dataType), field.nullable, field.metadata) for field in kind]
            )
    return kind


def quoted_text(text: str) -> str:
    """Write a text as Spark SQL reads it after COMMENT, LOCATION and TBLPROPERTIES.

    Spark reads it so there whatever ``spark.sql.parser.escapedStringLiterals`` is. In an expression that setting would
    change a text with a quote or a backslash.
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """Write a name as Spark SQL reads it: as it is, or in backticks where it needs them."""
    return name if _SIMPLE_NAME.fullmatch(name) else "`" + name.replace("`", "``") + "`"


def _spark_field(field: StructField) -> str:
    required = "" if field.nullable else " NOT NULL"
    comment = (field.metadata or {}).get("comment")
    commented = f" COMMENT {quoted_text(comment)}" if comment else ""
    return f"{quoted_name(field.name)}:{type_text(field.dataType)}{required}{commented}"


def _hive_field(field: StructField) -> str:
    if not _HIVE_NAME.fullmatch(field.name):
        raise InvalidTypeError(f"the field name {field.name!r} cannot stand in a Hive type; rename the field")
    return f"{field.name}:{type_text(field.dataType, 'hive')}"


def _check_hive_length(kind: CharType | VarcharType, dialect: Dialect) -> None:
    longest = LONGEST_CHAR if isinstance(kind, CharType) else LONGEST_VARCHAR
    if dialect != "spark" and kind.length > longest:
        raise InvalidTypeError(f"{kind.simpleString()} is longer than Hive's {longest}; use string")


class TypeParser:
    """Reads types out of a text, from left to right.

    Args:
        text: what to read.
        at: where to begin; afterwards, how far it has come.
    """

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at
        self._within: list[str] = []

    def type(self) -> DataType:
        """Read one type.

        Raises:
            InvalidTypeError: there is none.
        """
        start = self.place()
        name = self.word().lower()
        composed: dict[str, Callable[[], DataType]] = {
            "array": self._array,
            "map": self._map,
            "struct": self._struct,
            "char": lambda: CharType(self._length("char")),
            "varchar": lambda: VarcharType(self._length("varchar")),
            "decimal": self._decimal,
            "dec": self._decimal,
            "numeric": self._decimal,
        }
        if name in composed:
            return composed[name]()
        if name in _REFUSED:
            self.fail(f"{name} cannot be used: {_REFUSED[name]}", start)
        if name not in _PLAIN:
            self._fail_unknown(name, start)
        if name == "timestamp":
            return self._timestamp(start)
        if name == "double":
            self.words("precision")
        if name == "string" and self.words("collate"):
            self.fail(f"{self._whose()}a collation cannot be stored by Hive or Glue; write string", start)
        return _PLAIN[name]()

    def fields(self, until: str = "") -> list[StructField]:
        """Read fields separated by commas.

        Args:
            until: the character that ends the list, which is read too; none when the text ends there.

        Raises:
            InvalidTypeError: the list is not one.
        """
        found: list[StructField] = []
        if until and self.take(until):
            return found
        while True:
            found.append(self.field())
            if not self.take(","):
                break
        if until:
            self.expect(until, f"a comma or {until!r} after the field {found[-1].name!r}")
        return found

    def field(self) -> StructField:
        """Read one field: name, type and what follows it."""
        name = self.name()
        self.take(":")
        self._within.append(name)
        kind = self.type()
        self._within.pop()
        nullable, metadata = True, {}
        while True:
            if self.words("not", "null"):
                nullable = False
            elif self.words("comment"):
                metadata["comment"] = self.literal()
            elif not self.option(name):
                return StructField(name, kind, nullable, metadata)

    def option(self, name: str) -> bool:
        """Read one more thing that may follow a field's type; none in a struct.

        Args:
            name: of the field.

        Returns:
            Whether there was one.
        """
        del name
        return False

    def name(self) -> str:
        """Read a field's name, quoted or not."""
        start = self.place()
        if self.take("`"):
            name = self._until_backtick(start)
        else:
            until_colon = re.compile(r"[^:<>,()`'\"]+(?=:)").match(self.text, start)
            first_word = re.compile(r"[^:<>,()`'\"\s]+").match(self.text, start)
            found = until_colon or first_word
            name = found.group().rstrip() if found else ""
            self.at = start + len(name)
        if not name:
            self.fail("a name was expected", start)
        return name

    def word(self) -> str:
        """Read letters, digits and underscores."""
        start = self.place()
        found = re.compile(r"\w+").match(self.text, start)
        if not found:
            self.fail("a type was expected" if start < len(self.text) else "the text ends where a type was expected", start)
        self.at = found.end()
        return found.group()

    def words(self, *wanted: str) -> bool:
        """Read these words, in any case, if they are what comes next."""
        pattern = r"\s*" + r"\s+".join(wanted) + r"\b"
        found = re.compile(pattern, re.IGNORECASE).match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found is not None

    def literal(self) -> str:
        """Read a quoted text. Backslashes escape as in Spark SQL; a doubled quote is one."""
        start = self.place()
        quote = self.text[start : start + 1]
        if quote not in {"'", '"'}:
            self.fail("a quoted text was expected", start)
        parts, at = [], start + 1
        while at < len(self.text):
            character = self.text[at]
            if character == "\\" and at + 1 < len(self.text):
                part, at = self._escape(at + 1)
                parts.append(part)
                continue
            if character == quote:
                if self.text[at + 1 : at + 2] != quote:
                    self.at = at + 1
                    return "".join(parts)
                at += 1
            parts.append(character)
            at += 1
        return self.fail("the quoted text has no end", start)

    def place(self) -> int:
        """Skip spaces and tell where the next thing begins."""
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.at

    def take(self, character: str) -> bool:
        """Read this character if it comes next."""
        taken = self.text[self.place() : self.at + 1] == character
        self.at += taken
        return taken

    def expect(self, character: str, what: str) -> None:
        """Read this character, or fail."""
        if not self.take(character):
            self.fail(f"{what} was expected")

    def end(self) -> None:
        """Fail unless everything has been read."""
        if self.place() < len(self.text):
            self.fail("nothing more was expected")

    def fail(self, reason: str, offset: int | None = None) -> NoReturn:
        """Raise, with the place."""
        raise InvalidTypeError(reason, self.text, self.place() if offset is None else offset)

    def _whose(self) -> str:
        return f"{'.'.join(self._within)}: " if self._within else ""

    def _array(self) -> DataType:
        self.expect("<", "'<' after array")
        element = self.type()
        self.expect(">", "'>' after the elements' type")
        return ArrayType(element)

    def _map(self) -> DataType:
        self.expect("<", "'<' after map")
        start = self.place()
        key = self.type()
        if isinstance(key, MapType):
            self.fail("a map cannot be the key of a map", start)
        self.expect(",", "',' after the keys' type")
        value = self.type()
        self.expect(">", "'>' after the values' type")
        return MapType(key, value)

    def _struct(self) -> DataType:
        self.expect("<", "'<' after struct")
        return StructType(self.fields(">"))

    def _decimal(self) -> DataType:
        start = self.place()
        precision, scale = 10, 0
        if self.take("("):
            precision = self._number()
            scale = self._number() if self.take(",") else 0
            self.expect(")", "')'")
        if not (1 <= precision <= 38 and scale <= precision):
            self.fail(f"decimal({precision},{scale}): the precision goes from 1 to 38, the scale from 0 to it", start)
        return DecimalType(precision, scale)

    def _length(self, name: str) -> int:
        self.expect("(", f"{name} needs a length, such as {name}(20): '('")
        start = self.place()
        length = self._number()
        self.expect(")", "')'")
        if length < 1:
            self.fail(f"{name}({length}): the length begins at 1", start)
        return length

    def _number(self) -> int:
        start = self.place()
        found = re.compile(r"[0-9]+").match(self.text, start)
        if not found:
            self.fail("a whole number was expected", start)
        self.at = found.end()
        return int(found.group())

    def _timestamp(self, start: int) -> DataType:
        if self.words("without", "time", "zone"):
            return TimestampNTZType()
        if self.words("with", "time", "zone"):
            self.fail(
                "Spark and Hive store no zone beside a timestamp; write timestamp for an instant, and keep the zone "
                "in a column of its own",
                start,
            )
        self.words("with", "local", "time", "zone")
        return TimestampType()

    def _until_backtick(self, start: int) -> str:
        found = re.compile(r"((?:[^`]|``)*)`").match(self.text, self.at)
        if not found:
            self.fail("the quoted name has no end", start)
        self.at = found.end()
        return found.group(1).replace("``", "`")

    def _escape(self, at: int) -> tuple[str, int]:
        code = _CODE_POINT.match(self.text, at)
        if code:
            base = 8 if code.group(3) else 16
            return chr(int(next(filter(None, code.groups())), base)), code.end()
        return _ESCAPES.get(self.text[at], self.text[at]), at + 1

    def _fail_unknown(self, name: str, start: int) -> NoReturn:
        near = difflib.get_close_matches(name, [*_PLAIN, *_OTHERS], n=1)
        self.fail(f"unknown type {name!r}{f'; did you mean {near[0]}?' if near else ''}", start)


def _shown(text: str, offset: int) -> str:
    """Show what is around the offset in its line, and a caret under it."""
    start = max(text.rfind("\n", 0, offset) + 1, offset - 80)
    line = text[start:].partition("\n")[0][: offset - start + 40]
    spaces = "".join("\t" if character == "\t" else " " for character in line[: offset - start])
    return f"  {line}\n  {spaces}^"
