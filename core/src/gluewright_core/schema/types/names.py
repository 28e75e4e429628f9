"""The names of plain types, the refusal of other ones, and how names and texts are quoted."""

from __future__ import annotations

import re

from pyspark.sql import types as T

PLAIN: dict[str, type[T.DataType]] = {
    "boolean": T.BooleanType,
    "tinyint": T.ByteType,
    "byte": T.ByteType,
    "smallint": T.ShortType,
    "short": T.ShortType,
    "int": T.IntegerType,
    "integer": T.IntegerType,
    "bigint": T.LongType,
    "long": T.LongType,
    "float": T.FloatType,
    "real": T.FloatType,
    "double": T.DoubleType,
    "string": T.StringType,
    "binary": T.BinaryType,
    "date": T.DateType,
    "timestamp": T.TimestampType,
    "timestamp_ltz": T.TimestampType,
    "timestamp_ntz": T.TimestampNTZType,
    "void": T.NullType,
}
_SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class InvalidTypeError(ValueError):
    """A text is not a type, or a type has no text in the dialect asked for.

    Attributes:
        offset: where in the text, from 0; None when a type could not be written.
    """

    def __init__(self, reason: str, text: str = "", offset: int | None = None) -> None:
        self.reason, self.offset = reason, offset
        super().__init__(reason if offset is None else f"{reason} (at offset {offset}):\n{_shown(text, offset)}")


def quoted_text(text: str) -> str:
    """Write a text as Spark SQL reads it after COMMENT, LOCATION and TBLPROPERTIES.

    Spark reads it so there whatever ``spark.sql.parser.escapedStringLiterals`` is. In an expression that setting would
    change a text with a quote or a backslash.
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """Write a name as Spark SQL reads it: as it is, or in backticks where it needs them."""
    return name if _SIMPLE_NAME.fullmatch(name) else "`" + name.replace("`", "``") + "`"


def _shown(text: str, offset: int) -> str:
    """Show what is around the offset in its line, and a caret under it."""
    start = max(text.rfind("\n", 0, offset) + 1, offset - 80)
    line = text[start:].partition("\n")[0][: offset - start + 40]
    spaces = "".join("\t" if character == "\t" else " " for character in line[: offset - start])
    return f"  {line}\n  {spaces}^"
