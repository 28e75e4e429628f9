"""SQL and Spark schemas: ``CREATE TABLE`` statements, lists of columns, and the JSON of a ``StructType``.

Statements of Spark SQL, Hive and Athena are read: columns with NOT NULL and COMMENT, PARTITIONED BY, the table's COMMENT
and its TBLPROPERTIES; everything else is passed over, but for a second statement, which is refused. Comments are read as
Spark reads them, whatever ``spark.sql.parser.escapedStringLiterals`` is. What a list of columns cannot say: tags, modes and
formats, and that elements of a collection are not NULL. Grammar from the Spark SQL guide, "CREATE DATASOURCE TABLE" and
"CREATE HIVEFORMAT TABLE", and the Amazon Athena User Guide, "CREATE TABLE".
"""

from __future__ import annotations

import json
import re
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql.types import ArrayType, MapType, StructField, StructType

from gluewright_core.errors import InvalidContractError, InvalidSourceError
from gluewright_core.schema.collations import collated
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.differences import Difference, matched
from gluewright_core.schema.losses import Converted, Loss, losses_between
from gluewright_core.schema.sources.parameters import to_parameters, with_parameters
from gluewright_core.schema.types import InvalidTypeError, TypeParser, quoted_name, quoted_text, type_text

_NO_COLLATION = "cannot be stored by Hive or Glue; cast the column to string"
_NOTHING = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def from_ddl(text: str, *, name: str = "table", where: str = "ddl") -> Converted[Contract]:
    """Read a statement, a list of columns, a struct's text, or the JSON of a ``StructType``.

    Args:
        text: such as ``CREATE TABLE shop.t (id BIGINT) PARTITIONED BY (day DATE)`` or ``id BIGINT, day DATE``.
        name: of the contract, where the text does not name it.
        where: the file's name, for messages.

    Raises:
        InvalidSourceError: it is none of them; the message shows the place.

    Example:
        >>> from_ddl("id BIGINT NOT NULL, name STRING").result.names
        ['id', 'name']
    """
    try:
        if text.lstrip().startswith("{"):
            return Converted(_from_json(text, name), ())
        parser = _Statement(text)
        if parser.words("create"):
            return parser.table(where)
        if parser.words("struct") and parser.take("<"):
            parser.at = 0
            struct = parser.type()
            assert isinstance(struct, StructType)
        else:
            parser.at = 0
            struct = StructType(parser.fields())
        parser.end()
        return Converted(Contract.from_struct(name, struct), ())
    except (InvalidTypeError, InvalidContractError) as error:
        raise InvalidSourceError(f"{where}: {error}") from error
    except RecursionError as error:
        raise InvalidSourceError(f"{where}: its types are nested too deeply") from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, PySparkException) as error:
        said = f"{type(error).__name__}: {error}" if isinstance(error, LookupError | AssertionError) else error
        raise InvalidSourceError(
            f"{where}: not the JSON of a StructType ({said}); write it with StructType.json()"
        ) from error


def _from_json(text: str, name: str) -> Contract:
    document = json.loads(text)
    struct = StructType.fromJson(document)
    for number, (field, given) in enumerate(zip(struct, document["fields"], strict=True)):
        _check_field(field, given, f"fields[{number}]")
    return Contract.from_struct(name, struct)


def _check_field(field: StructField, given: Any, place: str) -> None:
    """Refuse what a field cannot carry: Spark's own reader takes anything."""
    if not isinstance(field.name, str) or not isinstance(field.nullable, bool):
        raise TypeError(f"{place} has no text as its name, or something else than true or false as nullable")
    metadata = field.metadata or {}
    for key in ("comment", "format", "on_surprise"):
        if not isinstance(metadata.get(key, ""), str):
            raise TypeError(f"{key} of {field.name} is {metadata[key]!r}, not a text")
    # Spark 3.5 reads a column with a collation as a plain one, and keeps the collation in the metadata.
    found = collated(field.dataType, field.name)
    named = metadata.get("__COLLATIONS") or (given.get("metadata") or {}).get("__COLLATIONS")
    if named and not found:
        found = field.name, ", ".join(map(str, named.values())) if isinstance(named, dict) else str(named)
    if found:
        raise InvalidContractError(f"{found[0]}: the collation {found[1]} {_NO_COLLATION}")
    inner = field.dataType
    while isinstance(inner, ArrayType | MapType):
        inner = inner.elementType if isinstance(inner, ArrayType) else inner.valueType
    for number, nested in enumerate(inner if isinstance(inner, StructType) else ()):
        _check_field(nested, {}, f"{place}.fields[{number}]")


def to_ddl(contract: Contract) -> Converted[str]:
    r"""Write a contract's columns as SQL, as in ``CREATE TABLE t (…)`` or for ``spark.read.schema``.

    Example:
        >>> to_ddl(Contract("t", (Column("id", "bigint", nullable=False, comment="it's"),))).result
        "id bigint NOT NULL COMMENT 'it\\'s'"
    """
    text = columns_sql(contract)
    return Converted(text, losses_between(contract, from_ddl(text, name=contract.name).result, _why))


def create_sql(contract: Contract, *, location: str = "") -> Converted[str]:
    """Write the statement that makes the contract's table in Spark: Parquet, partitioned, with its comments.

    Args:
        contract: named as the table.
        location: the table's folder; by default where the catalog puts it.
    """
    partitions = ", ".join(quoted_name(name) for name in contract.partition_by)
    properties = ", ".join(f"{quoted_text(key)}={quoted_text(value)}" for key, value in to_parameters(contract).items())
    clauses = [
        f"CREATE TABLE {'.'.join(quoted_name(part) for part in contract.name.split('.'))} ({columns_sql(contract)})",
        "USING parquet",
        f"PARTITIONED BY ({partitions})" if partitions else "",
        f"COMMENT {quoted_text(contract.comment)}" if contract.comment else "",
        f"LOCATION {quoted_text(location)}" if location else "",
        f"TBLPROPERTIES ({properties})" if properties else "",
    ]
    text = "\n".join(filter(None, clauses))
    return Converted(text, losses_between(contract, from_ddl(text).result, _why))


def columns_sql(contract: Contract) -> str:
    """Write the columns alone."""
    return ", ".join(_column_sql(column) for column in contract.columns)


def _column_sql(column: Column) -> str:
    required = "" if column.nullable else " NOT NULL"
    comment = f" COMMENT {quoted_text(column.comment)}" if column.comment else ""
    return f"{quoted_name(column.name)} {type_text(column.data_type)}{required}{comment}"


def _why(difference: Difference) -> str:
    if difference.what == "nullable":
        return "SQL cannot say that elements of a collection are not NULL"
    return "SQL has no place for it"


class _Statement(TypeParser):
    """Reads SQL, comments and all."""

    def place(self) -> int:
        """Skip spaces and comments."""
        while found := _NOTHING.match(self.text, super().place()):
            self.at = found.end()
        return self.at

    def words(self, *wanted: str) -> bool:
        """Read these words, if they come next."""
        start, _ = self.at, self.place()
        found = super().words(*wanted)
        self.at = self.at if found else start
        return found

    def table(self, where: str) -> Converted[Contract]:
        """Read the rest of a CREATE TABLE statement."""
        self.words("or", "replace")
        self.words("external")
        if not self.words("table"):
            self.fail("CREATE TABLE was expected")
        self.words("if", "not", "exists")
        name = self._table_name()
        self.expect("(", "a list of columns in brackets")
        columns = [Column.from_field(field) for field in self.fields(")")]
        comment = ""
        partition_by: tuple[str, ...] = ()
        losses: list[Loss] = []
        properties: dict[str, str] = {}
        while self.place() < len(self.text):
            if self.words("comment"):
                comment = self.literal()
            elif self.words("partitioned", "by"):
                columns, partition_by, losses = self._partitions(columns)
            elif self.words("tblproperties"):
                properties = self._properties()
            elif self.words("stored", "as"):
                self._pass_over()
            elif self.take(";") or self._at_words("create"):
                self._nothing_more()
            elif self.words("as"):
                self.fail("a statement with a query says nothing of its types; give the table's own definition")
            else:
                self._pass_over()
        contract = Contract(name, columns, partition_by=partition_by, comment=comment)
        return Converted(with_parameters(contract, properties, where), tuple(losses))

    def _nothing_more(self) -> None:
        """Refuse a second statement, by the name of its table if it has one."""
        while self.take(";"):
            pass
        start = self.place()
        if start >= len(self.text):
            return
        what = "a second statement"
        if self.words("create"):
            for words in (("or", "replace"), ("external",), ("temporary",)):
                self.words(*words)
            what = "a second CREATE"
            if self.words("table"):
                self.words("if", "not", "exists")
                what = f"a second CREATE TABLE, of {self._table_name()}"
        self.fail(f"{what}: a file has the statement of one table; move the other to a file of its own", start)

    def option(self, name: str) -> bool:
        """Pass over DEFAULT and GENERATED, which a contract does not have."""
        if not (self.words("default") or self.words("generated")):
            return False
        while self.text[self.place() : self.at + 1] not in {",", ")", ""} and not self._at_option():
            self._pass_over()
        return True

    def _at_option(self) -> bool:
        return self._at_words("comment") or self._at_words("not", "null")

    def _at_words(self, *wanted: str) -> bool:
        start = self.at
        found = self.words(*wanted)
        self.at = start
        return found

    def _table_name(self) -> str:
        parts = []
        while True:
            # Without the colon's rule for fields: a name here ends at a dot, a space or a bracket.
            self.place()
            parts.append(self.name() if self.text[self.at : self.at + 1] == "`" else self.word())
            if not self.take("."):
                return ".".join(parts)

    def _partitions(self, columns: list[Column]) -> tuple[list[Column], tuple[str, ...], list[Loss]]:
        self.expect("(", "'(' after PARTITIONED BY")
        names: list[str] = []
        losses: list[Loss] = []
        while True:
            start = self.place()
            name = self.name()
            if self.take("("):
                self._pass_to_bracket()
                losses.append(Loss("", "partition_by", f"{self.text[start : self.at]} is no column, so it is left out"))
            elif self.text[self.place() : self.at + 1] in {",", ")"}:
                names.append(matched([name], [column.name for column in columns]).get(name, name))
            else:
                self.at = start
                columns = [*columns, Column.from_field(self.field())]
                names.append(name)
            if not self.take(","):
                break
        self.expect(")", "')' after the partition columns")
        return columns, tuple(names), losses

    def _properties(self) -> dict[str, str]:
        found = {}
        self.expect("(", "'(' after TBLPROPERTIES")
        while not self.take(")"):
            key = self.literal() if self.text[self.place() : self.at + 1] in {"'", '"'} else self.word()
            self.take("=")
            found[key] = self.literal() if self.text[self.place() : self.at + 1] in {"'", '"'} else self.word()
            self.take(",")
        return found

    def _pass_over(self) -> None:
        """Go past one word, text, name, character, or everything in brackets."""
        following = self.text[self.place() : self.at + 1]
        if following in {"'", '"'}:
            self.literal()
        elif following == "`":
            self.name()
        elif self.take("("):
            self._pass_to_bracket()
        elif following.isalnum() or following == "_":
            self.word()
        else:
            self.at += 1

    def _pass_to_bracket(self) -> None:
        while not self.take(")"):
            if self.place() >= len(self.text):
                self.fail("')' was expected")
            self._pass_over()
