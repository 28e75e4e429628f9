"""Read types out of a text, from left to right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import NoReturn

from pyspark.sql import types as T

from .names import PLAIN, InvalidTypeError

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


class TypeParser:
    """Reads types out of a text, from left to right.

    Args:
        text: what to read.
        at: where to begin; afterwards, how far it has come.
    """

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at
        self._within: list[str] = []

    def type(self) -> T.DataType:
        """Read one type.

        Raises:
            InvalidTypeError: there is none.
        """
        start = self.place()
        name = self.word().lower()
        composed: dict[str, Callable[[], T.DataType]] = {
            "array": self._array,
            "map": self._map,
            "struct": self._struct,
            "char": lambda: T.CharType(self._length("char")),
            "varchar": lambda: T.VarcharType(self._length("varchar")),
            "decimal": self._decimal,
            "dec": self._decimal,
            "numeric": self._decimal,
        }
        if name in composed:
            return composed[name]()
        if name in _REFUSED:
            self.fail(f"{name} cannot be used: {_REFUSED[name]}", start)
        if name not in PLAIN:
            self._fail_unknown(name, start)
        if name == "timestamp":
            return self._timestamp(start)
        if name == "double":
            self.words("precision")
        if name == "string" and self.words("collate"):
            self.fail(f"{self._whose()}a collation cannot be stored by Hive or Glue; write string", start)
        return PLAIN[name]()

    def fields(self, until: str = "") -> list[T.StructField]:
        """Read fields separated by commas.

        Args:
            until: the character that ends the list, which is read too; none when the text ends there.

        Raises:
            InvalidTypeError: the list is not one.
        """
        found: list[T.StructField] = []
        if until and self.take(until):
            return found
        while True:
            found.append(self.field())
            if not self.take(","):
                break
        if until:
            self.expect(until, f"a comma or {until!r} after the field {found[-1].name!r}")
        return found

    def field(self) -> T.StructField:
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
                return T.StructField(name, kind, nullable, metadata)

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
        """Skip spaces and return where the next thing begins."""
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

    def _array(self) -> T.DataType:
        self.expect("<", "'<' after array")
        element = self.type()
        self.expect(">", "'>' after the elements' type")
        return T.ArrayType(element)

    def _map(self) -> T.DataType:
        self.expect("<", "'<' after map")
        start = self.place()
        key = self.type()
        if isinstance(key, T.MapType):
            self.fail("a map cannot be the key of a map", start)
        self.expect(",", "',' after the keys' type")
        value = self.type()
        self.expect(">", "'>' after the values' type")
        return T.MapType(key, value)

    def _struct(self) -> T.DataType:
        self.expect("<", "'<' after struct")
        return T.StructType(self.fields(">"))

    def _decimal(self) -> T.DataType:
        start = self.place()
        precision, scale = 10, 0
        if self.take("("):
            precision = self._number()
            scale = self._number() if self.take(",") else 0
            self.expect(")", "')'")
        if not (1 <= precision <= 38 and scale <= precision):
            self.fail(f"decimal({precision},{scale}): the precision goes from 1 to 38, the scale from 0 to it", start)
        return T.DecimalType(precision, scale)

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

    def _timestamp(self, start: int) -> T.DataType:
        if self.words("without", "time", "zone"):
            return T.TimestampNTZType()
        if self.words("with", "time", "zone"):
            self.fail(
                "Spark and Hive store no zone beside a timestamp; write timestamp for an instant, and keep the zone "
                "in a column of its own",
                start,
            )
        self.words("with", "local", "time", "zone")
        return T.TimestampType()

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
        near = difflib.get_close_matches(name, [*PLAIN, *_OTHERS], n=1)
        self.fail(f"unknown type {name!r}{f'; did you mean {near[0]}?' if near else ''}", start)
