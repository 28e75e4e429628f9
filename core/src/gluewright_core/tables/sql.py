"""Texts and names as Spark SQL wants them written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql.types import StructField, StructType


def sql_text(text: str) -> str:
    """Write a text as a literal of Spark SQL, for COMMENT, LOCATION and properties.

    In expressions and partition specs ``spark.sql.parser.escapedStringLiterals`` changes what a text with a quote or a
    backslash reads as: see :func:`text_expression`.
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def text_expression(text: str) -> str:
    """Write a text as an expression of Spark SQL that reads the same whatever ``escapedStringLiterals`` is.

    Example:
        >>> text_expression("it's"), text_expression("plain")
        ("concat('it', char(39), 's')", "'plain'")
    """
    parts = [part for part in re.split(r"(['\\])", text) if part]
    written = [f"char({ord(part)})" if part in "'\\" else f"'{part}'" for part in parts]
    return written[0] if len(written) == 1 else f"concat({', '.join(written)})" if written else "''"


def quoted(name: str) -> str:
    """Write one name as a quoted identifier of Spark SQL."""
    return "`" + name.replace("`", "``") + "`"


def identifier(name: str) -> str:
    """Write a dotted table name as a quoted identifier of Spark SQL."""
    return ".".join(quoted(part) for part in name.split("."))


def columns_ddl(schema: StructType) -> str:
    """Write a schema's columns as they stand in CREATE TABLE, with their comments."""
    return ", ".join(column_ddl(column) for column in schema)


def column_ddl(column: StructField, path: Sequence[str] = ()) -> str:
    """Write a column with its type and comment; by its path if it lies in a struct."""
    from gluewright_core.schema.types import type_text  # noqa: PLC0415 - not needed to import a job

    comment = column.metadata.get("comment", "")
    required = "" if column.nullable else " NOT NULL"
    commented = f" COMMENT {sql_text(comment)}" if comment else ""
    return f"{'.'.join(map(quoted, path or [column.name]))} {type_text(column.dataType)}{required}{commented}"


def properties_ddl(keyword: str, properties: Mapping[str, str]) -> str:
    """Write table properties after a keyword such as ``TBLPROPERTIES``; nothing when there are none."""
    pairs = ", ".join(f"{sql_text(key)}={sql_text(value)}" for key, value in properties.items())
    return f"{keyword} ({pairs})" if pairs else ""
