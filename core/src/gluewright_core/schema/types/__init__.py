"""The types of Hive, Glue and Spark, from text and back.

This folder stands alone: it needs the standard library and PySpark, and can be copied into a job. ``parser`` reads types,
``writing`` writes them, ``names`` has what both need.

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

from pyspark.sql import types as T

from .names import InvalidTypeError, quoted_name, quoted_text
from .parser import TypeParser
from .writing import LONGEST_CHAR, LONGEST_VARCHAR, Dialect, type_text, without_lengths

__all__ = [
    "LONGEST_CHAR",
    "LONGEST_VARCHAR",
    "Dialect",
    "InvalidTypeError",
    "TypeParser",
    "parse_fields",
    "parse_type",
    "quoted_name",
    "quoted_text",
    "type_text",
    "without_lengths",
]


def parse_type(text: str) -> T.DataType:
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


def parse_fields(text: str) -> T.StructType:
    """Read a list of columns: ``id BIGINT NOT NULL, name STRING COMMENT 'as signed'``.

    Raises:
        InvalidTypeError: the text is no such list; the message shows the place.
    """
    parser = TypeParser(text)
    fields = parser.fields()
    parser.end()
    return T.StructType(fields)
