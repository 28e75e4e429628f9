# gluewright-pii-masking 0.1.0 masking.py
# SPDX-License-Identifier: Apache-2.0
"""Mask personal data by a policy that names every column, in native Spark expressions and one pass.

It can be copied into a job with the files beside it: they need the standard library and PySpark 3.5 or newer.

A *policy* says what becomes of each column, by its path or by a tag of its field's metadata. It is closed: a column that it
does not name stops the job, and so does an entry that names nothing. NULL stays NULL under every action.

**Paths** are ``email``, ``address.street`` (a field of a struct), ``phones[]`` (the elements of an array),
``orders[].card``, ``labels{}.key`` and ``labels{}.value`` (the keys and values of a map). A name with another character than
letters, digits and ``_`` stands in backticks: ```e-mail`.host``. Only `Drop` and `Redact` may name something that has parts.

**The key never becomes part of a plan**: a literal would show in ``explain``, in Spark's pages and in the event log. It
travels as a frame of one row that is broadcast and crossed with the rows. The JVM reads it from a pipe: no file has it, and
Py4J, which logs its commands, does not send it.

Example:
    >>> policy = Policy({"id": Keep(), "email": Token(normalise=("trim", "lower")), "born": TruncateDate("year")})
    >>> masked = mask(people, policy, key=Key.from_base64("2026a", text))                       # doctest: +SKIP
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import functools
import hashlib
import hmac
import inspect
import json
import os
import re
import tempfile
import threading
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from . import canonical, ff1

# -- Errors ------------------------------------------------------------------------------------------------------------


class MaskingError(Exception):
    """The base of this file's errors. No message has a value of the data or a part of a key in it."""


class InvalidPolicyError(MaskingError):
    """A policy contradicts itself, or asks for what does not protect anything."""


class PolicyMismatchError(MaskingError):
    """A policy does not fit the rows: a column is not named, an entry names nothing, or an action is not for that type."""


class InvalidKeyError(MaskingError):
    """A key is missing, too short, or not written as base64."""


# -- Keys --------------------------------------------------------------------------------------------------------------

SHORTEST_KEY = 32
"""Bytes. A key should not be shorter than what the hash gives (RFC 2104, "HMAC: Keyed-Hashing for Message
Authentication", section 3)."""

_BLOCK = 64
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True)
class Key:
    """A secret key and the name by which tokens and ciphertexts tell that they were made with it.

    Attributes:
        id: up to 16 letters, digits, ``_`` and ``-``. It is no secret.
        secret: at least 32 random bytes; no `repr` shows them.

    Raises:
        InvalidKeyError: the key is too short, or its id has other characters.
    """

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise InvalidKeyError(f"key id {self.id!r}: use 1 to 16 letters, digits, _ and -")
        if len(self.secret) < SHORTEST_KEY:
            raise InvalidKeyError(
                f"key {self.id}: it has {len(self.secret)} bytes, at least {SHORTEST_KEY} are needed; make one with "
                "`openssl rand -base64 32`"
            )

    @classmethod
    def from_base64(cls, id: str, text: str) -> Key:  # noqa: A002 - it is called so
        """Read a key as a secrets store keeps it.

        Args:
            id: see the class.
            text: base64, such as ``openssl rand -base64 32`` prints.

        Raises:
            InvalidKeyError: the text is not base64, or the key is too short. The message does not repeat it.
        """
        try:
            return cls(id, base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            # Without the cause: nothing made of the key's text may travel further.
            raise InvalidKeyError(f"key {id}: it is not base64; make one with `openssl rand -base64 32`") from None

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"key {self.id} stays in the process that has it: it is not pickled or copied")


def derived(key: bytes, purpose: str) -> bytes:
    """Return a key of 32 bytes for one purpose, so that no two purposes share one.

    By HMAC-SHA-512: tokens are HMAC-SHA-256 under the key itself, and no value that is tokenised may give a derived key.
    """
    return hmac.digest(key, f"gluewright {purpose}".encode(), "sha512")[:32]


def pads(key: bytes) -> tuple[bytes, bytes]:
    """Return what HMAC-SHA-256 puts before the message and before the inner digest (RFC 2104, section 2)."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def one_row(spark: SparkSession, values: Mapping[str, bytes]) -> DataFrame:
    """Make a frame of one row of binary columns whose values are in no plan, file or log.

    `createDataFrame` from Python hands its rows to the JVM through a temporary file. A row made in the JVM needs none, and
    a plan names only the columns of a local relation. Py4J logs what it sends at level DEBUG, so the values do not go
    through it: the JVM reads them from a pipe.
    """
    java = spark.sparkContext._jvm
    assert java is not None
    rows = java.java.util.ArrayList()
    rows.add(java.org.apache.spark.sql.RowFactory.create(_in_jvm(java, [*values.values()])))
    columns = java.org.apache.spark.sql.types.DataType.fromDDL(", ".join(f"`{name}` BINARY" for name in values))
    return DataFrame(spark._jsparkSession.createDataFrame(rows, columns), spark)


def _in_jvm(java: Any, values: Sequence[bytes]) -> Any:
    """Return a reference to an ``Object[]`` of byte arrays in the JVM. The pipe has a name, and no content on any disk."""
    with tempfile.TemporaryDirectory(prefix="gluewright-") as folder:
        path = os.path.join(folder, "pipe")  # noqa: PTH118 - pathlib makes no pipes
        os.mkfifo(path, 0o600)
        # Open for both, because a writer alone would wait for its reader.
        pipe = os.open(path, os.O_RDWR)
        try:
            # A pipe takes 64 KiB before somebody reads it, and Unicode's tables are larger.
            threading.Thread(target=_write, args=(os.dup(pipe), _serialised(values)), daemon=True).start()
            stream = java.java.io.ObjectInputStream(java.java.io.FileInputStream(path))
            try:
                return stream.readObject()
            finally:
                stream.close()
        finally:
            os.close(pipe)


def _write(pipe: int, content: bytes) -> None:
    with os.fdopen(pipe, "wb", buffering=0) as file:
        while content:
            content = content[file.write(content) :]


def _serialised(values: Sequence[bytes]) -> bytes:
    """Write byte arrays as Java does (Java Object Serialization Specification, "6 Object Serialization Stream Protocol")."""

    def array(name: bytes, version: str) -> bytes:
        described = len(name).to_bytes(2, "big") + name + bytes.fromhex(version)
        # An array of a class that is described here: serializable, without fields and a parent.
        return b"\x75\x72" + described + b"\x02\0\0\x78\x70"

    of_bytes = array(b"[B", "acf317f8060854e0")
    written = b"\xac\xed\0\5" + array(b"[Ljava.lang.Object;", "90ce589f1073296c") + len(values).to_bytes(4, "big")
    return written + b"".join(of_bytes + len(value).to_bytes(4, "big") + value for value in values)


class Keys:
    """The columns with key material, and with Unicode's tables, that the actions of one plan ask for.

    Args:
        keys: the current one first.
        taken: the names of the rows' columns.
        texts: what `ShiftDate` shifts by, as text, by path.
    """

    def __init__(self, keys: Sequence[Key], taken: Iterable[str], texts: Mapping[str, Column] | None = None) -> None:
        self.keys = tuple(keys)
        self.texts = dict(texts or {})
        self._unicode = False
        self._values: dict[str, bytes] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._prefix = "_key"
        while any(name.lower().startswith(self._prefix) for name in taken):
            self._prefix = f"_{self._prefix}"

    @property
    def current(self) -> Key:
        """The key that new tokens and ciphertexts are made with."""
        return self.keys[0]

    def pads(self, key: Key, purpose: str = "") -> tuple[Column, Column]:
        """Return the columns with a key's HMAC pads; without a purpose of the key itself."""
        inner, outer = pads(derived(key.secret, purpose) if purpose else key.secret)
        return self._column((key.id, f"{purpose} inner"), inner), self._column((key.id, f"{purpose} outer"), outer)

    def aes(self, key: Key) -> Column:
        """Return the column with a key's AES-256 key."""
        return self._column((key.id, "aes"), derived(key.secret, "aes"))

    def ff1(self) -> Column:
        """Return the column with the current key's AES-256 key for digits."""
        return self._column((self.current.id, "ff1"), derived(self.current.secret, "ff1"))

    def unicode(self) -> Column:
        """Return the column with the tables of :func:`nfc`: NULL in rows that need none."""
        self._unicode = True
        return F.col(f"{self._prefix}_unicode")

    def _column(self, wanted: tuple[str, str], value: bytes) -> Column:
        name = self._names.setdefault(wanted, f"{self._prefix}{len(self._names)}")
        self._values[name] = value
        return F.col(name)

    def beside(self, rows: DataFrame, decomposed: Column | None = None) -> DataFrame:
        """Put what was asked for beside every row.

        Args:
            rows: any.
            decomposed: whether a row has a text that :func:`nfc` may change. Others do not carry its tables along.
        """
        if self._unicode:
            tables = unicode_tables(rows.sparkSession, f"{self._prefix}_unicode")
            rows = rows.join(F.broadcast(tables), F.lit(True) if decomposed is None else decomposed, "left")
        return rows.crossJoin(F.broadcast(one_row(rows.sparkSession, self._values))) if self._values else rows


# -- Expressions -------------------------------------------------------------------------------------------------------


def hmac_sha256(message: Column, inner: Column, outer: Column) -> Column:
    """Return HMAC-SHA-256 as 64 hexadecimal digits.

    Args:
        message: binary.
        inner: the first of the key's :func:`pads`.
        outer: the second.

    Returns:
        Text; NULL for NULL. (RFC 2104; the vectors of RFC 4231, "Identifiers and Test Vectors for HMAC-SHA-224,
        HMAC-SHA-256, HMAC-SHA-384, and HMAC-SHA-512", hold.)
    """
    return F.sha2(F.concat(outer, F.unhex(F.sha2(F.concat(inner, message), 256))), 256)


def aes_gcm(plain: Column, key: Column, iv: Column | None = None) -> Column:
    """Encrypt with AES-GCM: 12 bytes of IV, the ciphertext, 16 bytes of tag.

    Args:
        plain: binary.
        key: binary, 16, 24 or 32 bytes.
        iv: 12 bytes; without it random ones.

    Returns:
        Binary; NULL for NULL. (NIST SP 800-38D, "Recommendation for Block Cipher Modes of Operation: Galois/Counter Mode
        (GCM) and GMAC".)
    """
    mode, padding = F.lit("GCM"), F.lit("DEFAULT")
    return F.aes_encrypt(plain, key, mode, padding) if iv is None else F.aes_encrypt(plain, key, mode, padding, iv)


_INTEGERS = (ByteType, ShortType, IntegerType, LongType)
# Without ANSI Spark writes decimals below 0.000001 as 1E-7, with it as 0.0000001.
_SCALE_WRITTEN_ALIKE = 6


def _no_text(kind: DataType) -> str:
    """Say why equal values of a type have no equal text on every line, or nothing if they have."""
    if isinstance(kind, FloatType | DoubleType):
        return "floating numbers have no certain text; cast them to a decimal"
    if isinstance(kind, DecimalType) and kind.scale > _SCALE_WRITTEN_ALIKE:
        return f"cast it to a decimal with at most {_SCALE_WRITTEN_ALIKE} places"
    if not isinstance(kind, (StringType, *_INTEGERS, DecimalType, DateType, TimestampType, TimestampNTZType)):
        return f"it is not for {kind.simpleString()}"
    return ""


def _as_text(value: Column, kind: DataType) -> Column:
    """Write a value as text, equal for equal values whatever the width of the type, the time zone and the Spark line."""
    if isinstance(kind, DecimalType):
        shortest = F.regexp_replace(value.cast("string"), r"(\.\d*?)0+$", "$1")
        return F.regexp_replace(shortest, r"\.$", "")
    if isinstance(kind, TimestampType):
        return F.unix_micros(value).cast("string")
    return value.cast("string")


# -- Unicode's normal form C -------------------------------------------------------------------------------------------

_PAGE = 32
_TABLES = "pages array<int>, slots array<int>, parts array<array<int>>, classes array<int>"
_TABLES += ", firsts array<array<int>>, composites array<array<int>>"
# Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12): where the four ranges begin.
_S, _L, _V, _T = 0xAC00, 0x1100, 0x1161, 0x11A7
# The only letter that becomes a letter and a mark when it is made small.
_DOTTED_I = "\u0130"


@functools.cache
def _unicode() -> tuple[str, str]:
    """Make the tables as JSON, and the ranges, as a regular expression has them, of what the normal form may change.

    From the Unicode database of the Python that makes the plan. In every later version of Unicode a text has the same normal
    form (Unicode Standard Annex 15, "Unicode Normalization Forms", section 3), if the version had all of its characters.
    """
    parts: dict[int, list[int]] = {}
    classes: dict[int, int] = {}
    firsts: dict[int, list[int]] = {}
    composites: dict[int, list[int]] = {}
    changed = {*range(_V, _V + 21), *range(_T + 1, _T + 28)}
    for point in {*range(0x30000)} - {*range(_S, _S + 11172)}:
        char = chr(point)
        if found := unicodedata.combining(char):
            classes[point] = found
        mapping = unicodedata.decomposition(char)
        if mapping and not mapping.startswith("<"):
            parts[point] = [ord(part) for part in unicodedata.normalize("NFD", char)]
            if unicodedata.normalize("NFC", char) == char:
                first, second = (int(part, 16) for part in mapping.split())
                firsts.setdefault(second, []).append(first)
                composites.setdefault(second, []).append(point)
            else:
                changed.add(point)
    changed |= {*classes, *firsts}
    entries = [0, *sorted({*parts, *classes, *firsts})]
    numbers = {point: number for number, point in enumerate(entries)}
    full = sorted({point // _PAGE for point in entries[1:]})
    tables = {
        "pages": [full.index(page) if page in full else None for page in range(full[-1] + 1)],
        "slots": [numbers.get(page * _PAGE + place, 0) for page in full for place in range(_PAGE)],
        "parts": [parts.get(point) for point in entries],
        "classes": [classes.get(point, 0) for point in entries],
        "firsts": [firsts.get(point, []) for point in entries],
        "composites": [composites.get(point, []) for point in entries],
    }
    # Few wide ranges instead of many narrow ones: what lies between is looked at in vain, and the plan stays short.
    ranges: list[list[int]] = []
    for point in sorted(changed):
        if ranges and point - ranges[-1][1] <= 128:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return json.dumps(tables), "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges)


def unicode_tables(spark: SparkSession, name: str) -> DataFrame:
    """Make a frame of one row and one column with the tables that :func:`nfc` needs."""
    row = one_row(spark, {name: _unicode()[0].encode()})
    return row.select(F.from_json(F.col(name).cast("string"), _TABLES).alias(name))


def nfc(text: Column, tables: Column) -> Column:
    """Bring a text into Unicode's normal form C, in native expressions.

    A text without a character that the form may change is left alone after one look. Others are cut where nothing reaches
    across, and only the pieces with such a character are decomposed, ordered and composed.

    Args:
        text: any; NULL stays NULL.
        tables: of :func:`unicode_tables`; may be NULL beside texts that have no such character.
    """
    some = _unicode()[1]
    pieces = F.regexp_extract_all(text, F.lit(rf"(?s)[^{some}]+(?![{some}])|[^{some}]?[{some}]+"), F.lit(0))
    normal = F.transform(pieces, lambda piece: F.when(piece.rlike(f"[{some}]"), _composed(piece, tables)).otherwise(piece))
    return F.when(_may_change(text), F.array_join(normal, "")).otherwise(text)


def _may_change(text: Column) -> Column:
    """Tell whether a text, or the small letters of it, may change. A look at one range first makes Latin texts quick."""
    return text.rlike(rf"(?=[^\x00-\xff])[{_DOTTED_I}{_unicode()[1]}]")


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """Use a value more than once and compute it once."""
    return F.transform(F.array(value), body)[0]


def _composed(piece: Column, tables: Column) -> Column:
    """Decompose, order and compose the characters of a short text (The Unicode Standard, section 3.11)."""

    def told(table: str, point: Column) -> Column:
        place = F.get(tables["pages"], F.shiftright(point, _PAGE.bit_length() - 1)) * _PAGE + point.bitwiseAND(_PAGE - 1)
        return F.get(tables[table], F.coalesce(F.get(tables["slots"], place), F.lit(0)))

    def decomposed(point: Column) -> Column:
        number = point - _S
        syllable = F.array(_L + F.floor(number / 588), _V + F.floor(number % 588 / 28), _T + number % 28)
        jamo = F.filter(syllable.cast("array<int>"), lambda part: part != _T)
        return F.when(point.between(_S, _S + 11171), jamo).otherwise(F.coalesce(told("parts", point), F.array(point)))

    points = F.flatten(F.transform(F.transform(F.split(piece, ""), F.ascii), decomposed))
    pairs = F.transform(
        points, lambda point: F.struct(F.coalesce(told("classes", point), F.lit(0)).alias("class"), point.alias("point"))
    )
    # Marks are sorted by their class, without passing a character of class 0.
    ordered = _let(
        pairs,
        lambda all_: F.array_sort(
            F.transform(
                all_,
                lambda pair, place: F.struct(
                    F.size(F.filter(F.slice(all_, F.lit(1), place + 1), lambda one: one["class"] == 0)).alias("stretch"),
                    pair["class"].alias("class"),
                    place.alias("place"),
                    pair["point"].alias("point"),
                ),
            )
        ),
    )

    def composite(first: Column, second: Column) -> Column:
        # F.array_position takes no column as the value on Spark 3.5.
        place = F.call_function("array_position", told("firsts", second), first).cast("int") - 1
        is_lead = first.between(_L, _L + 18) & second.between(_V, _V + 20)
        is_open = first.between(_S, _S + 11171) & ((first - _S) % 28 == 0) & second.between(_T + 1, _T + 27)
        return F.coalesce(
            F.when(is_lead, ((first - _L) * 21 + (second - _V)) * 28 + _S),
            F.when(is_open, first + second - _T),
            F.get(told("composites", second), place),
        )

    none = F.array().cast("array<int>")

    def state(before: Column, starter: Column, after: Column, last: Column) -> Column:
        return F.struct(before.alias("before"), starter.alias("starter"), after.alias("after"), last.alias("last"))

    def so_far(found: Column) -> Column:
        return F.concat(found["before"], F.filter(F.array(found["starter"]), lambda one: one.isNotNull()), found["after"])

    def step(found: Column, one: Column) -> Column:
        # A character of the same class, or of class 0, stands between: then two are not composed.
        joined = F.when(found["last"] < one["class"], composite(found["starter"], one["point"]))
        return _let(
            joined,
            lambda made: F.when(made.isNotNull(), state(found["before"], made, found["after"], found["last"]))
            .when(one["class"] == 0, state(so_far(found), one["point"], none, F.lit(-1)))
            .otherwise(
                state(found["before"], found["starter"], F.concat(found["after"], F.array(one["point"])), one["class"])
            ),
        )

    start = state(none, F.lit(None).cast("int"), none, F.lit(-1))
    done = F.aggregate(ordered, start, step, so_far)
    digits = F.array_join(F.transform(done, lambda point: F.lpad(F.hex(point), 8, "0")), "")
    # With a byte order mark of ours in front, one of the text's own is kept.
    return F.decode(F.unhex(F.concat(F.lit("0000FEFF"), digits)), "UTF-32")


# -- Actions -----------------------------------------------------------------------------------------------------------


class Action(ABC):
    """What becomes of a column."""

    keyed: ClassVar[bool] = False
    keeps_apart: ClassVar[bool] = False
    """Whether different values stay different, as the keys of a map must."""

    @property
    def refuses_inside(self) -> str:
        """Say why this cannot be done inside arrays and maps; empty text if it can."""
        return ""

    def refuses(self, kind: DataType) -> str:
        """Say why this is not for a type; empty text if it is."""
        return ""

    @abstractmethod
    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:
        """Return the masked value."""


@dataclass(frozen=True)
class Keep(Action):
    """Leave the value as it is. Of something with parts, each part is named by itself."""

    keeps_apart: ClassVar[bool] = True

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return value


@dataclass(frozen=True)
class Drop(Action):
    """Leave the column or field out, with all its parts. An array or map without its elements is left out too."""

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        raise AssertionError("what is dropped is not masked")


@dataclass(frozen=True)
class Redact(Action):
    """Replace the value by nothing, or by a text that is the same for all. The type stays.

    Attributes:
        text: what replaces a text; without it NULL does.
    """

    text: str | None = None

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        wrong = self.text is not None and not isinstance(kind, StringType)
        return f"{kind.simpleString()} is not replaced by a text; leave the text out, then it becomes NULL" if wrong else ""

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return F.lit(None).cast(kind) if self.text is None else F.when(value.isNotNull(), F.lit(self.text))


@dataclass(frozen=True)
class Partial(Action):
    """Show the first and last characters of a text. A text that is not longer than both together shows nothing.

    Attributes:
        first: how many characters at the beginning.
        last: how many at the end.
        by_class: hide a capital letter as ``X``, a digit as ``0``, ASCII's punctuation and space not at all, and every
            other character as ``x``; without it each character is hidden as ``*``.
    """

    first: int = 0
    last: int = 0
    by_class: bool = False

    def __post_init__(self) -> None:
        if min(self.first, self.last) < 0:
            raise InvalidPolicyError(
                f"partial: first is {self.first} and last is {self.last}; give numbers of characters from 0"
            )

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return "" if isinstance(kind, StringType) else f"it shows parts of a text, not of {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        shown = self.first + self.last
        length = F.length(value)
        if not shown:
            return self._hidden(value)
        middle = value.substr(F.lit(self.first + 1), length - shown)
        whole = F.concat(
            value.substr(1, self.first),
            self._hidden(middle),
            F.substring(value, -self.last, self.last) if self.last else F.lit(""),
        )
        return F.when(length > shown, whole).otherwise(self._hidden(value))

    def _hidden(self, text: Column) -> Column:
        if not self.by_class:
            return F.regexp_replace(text, "(?s).", "*")
        # Spark's own `mask` leaves every letter outside ASCII as it is.
        capitals = F.regexp_replace(text, r"\p{Lu}", "X")
        others = F.regexp_replace(capitals, r"[^X\p{Nd} -/:-@\[-`{-~]", "x")
        return F.regexp_replace(others, r"\p{Nd}", "0")


_UNITS = ("month", "quarter", "year")


@dataclass(frozen=True)
class TruncateDate(Action):
    """Replace a date or timestamp by the first day of its month, quarter or year. The type stays.

    A timestamp is truncated in the session's time zone.

    Attributes:
        to: ``month``, ``quarter`` or ``year``.
    """

    to: str

    def __post_init__(self) -> None:
        if self.to not in _UNITS:
            raise InvalidPolicyError(f"truncate_date: to is {self.to!r}; it is one of {', '.join(_UNITS)}")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        timely = isinstance(kind, DateType | TimestampType | TimestampNTZType)
        return "" if timely else f"it is for dates and timestamps, not for {kind.simpleString()}; cast it before"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return F.trunc(value, self.to) if isinstance(kind, DateType) else F.date_trunc(self.to, value).cast(kind)


@dataclass(frozen=True)
class ShiftDate(Action):
    """Move a date or timestamp by a number of days that is the same for all rows of one person.

    The time between two dates of a person stays, the dates do not. The number follows from the key and the person's id:
    at most ``days`` forwards or backwards, and never none.

    Attributes:
        by: path of the column that tells persons apart, such as ``patient_id``; not inside an array or map. Without a value
            there the date becomes NULL.
        days: at most this many, from 1.
    """

    by: str
    days: int = 365

    keyed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.days, bool) or not isinstance(self.days, int) or not 0 < self.days <= _MOST_DAYS:
            raise InvalidPolicyError(f"shift_date: days is {self.days!r}; it is a whole number from 1 to {_MOST_DAYS:,}")
        if not isinstance(self.by, str) or not self.by:
            raise InvalidPolicyError("shift_date: by names the column that tells persons apart, such as patient_id")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        timely = isinstance(kind, DateType | TimestampType | TimestampNTZType)
        return "" if timely else f"it is for dates and timestamps, not for {kind.simpleString()}; cast it before"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        digest = hmac_sha256(keys.texts[self.by].cast("binary"), *keys.pads(keys.current, "shift"))
        # From 60 bits: the bias towards small numbers is below any that rows could show.
        number = F.conv(F.substring(digest, 1, 15), 16, 10).cast("bigint") % (2 * self.days)
        days = (F.when(number < self.days, number - self.days).otherwise(number - self.days + 1)).cast("int")
        if isinstance(kind, DateType):
            return F.date_add(value, days)
        return F.try_add(value, F.make_dt_interval(days))


_MOST_DAYS = 36_500


@dataclass(frozen=True)
class Band(Action):
    """Replace a number by the lower end of its band: with a width of 10, 37 becomes 30 and -1 becomes -10.

    Whole numbers become ``bigint``; decimals and floating numbers ``double``.

    Attributes:
        width: of the bands; for whole numbers a whole one.
    """

    width: int | float

    def __post_init__(self) -> None:
        if isinstance(self.width, bool) or not self.width > 0:
            raise InvalidPolicyError(f"band: width is {self.width!r}; it is a number above 0")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        if isinstance(kind, _INTEGERS):
            return "" if isinstance(self.width, int) else f"bands of whole numbers have a whole width, not {self.width}"
        return (
            "" if isinstance(kind, DecimalType | FloatType | DoubleType) else f"it is for numbers, not {kind.simpleString()}"
        )

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        if isinstance(kind, _INTEGERS):
            # pmod is from 0 to the width: only the lowest bigints have no lower end, and they become the lowest.
            number, least = value.cast("bigint"), -(2**63)
            above = F.pmod(number, F.lit(self.width).cast("bigint"))
            return F.when(number >= F.lit(least) + above, number - above).otherwise(F.when(number.isNotNull(), F.lit(least)))
        return _floor(value, self.width)


@dataclass(frozen=True)
class Grid(Action):
    """Replace a latitude or longitude by the lower edge of its cell. The result is ``double``.

    Attributes:
        degrees: the cell's width: 0.1 is about 11 km of latitude, 0.01 about 1.1 km.
    """

    degrees: float

    def __post_init__(self) -> None:
        if isinstance(self.degrees, bool) or not 0 < self.degrees <= 180:
            raise InvalidPolicyError(f"grid: degrees is {self.degrees!r}; it is above 0 and at most 180")

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        coordinate = isinstance(kind, DecimalType | FloatType | DoubleType)
        return "" if coordinate else f"it is for double, float and decimal coordinates, not {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return _floor(value, self.degrees)


def _floor(value: Column, width: float) -> Column:
    """Round down to a multiple of a width, without the noise that 3 * 0.1 has. NaN and infinity become NULL."""
    number = value.cast("double")
    finite = F.when(F.abs(number) < F.lit(float("inf")), number)
    places = max(0, -int(Decimal(str(width)).as_tuple().exponent))
    # Rounded, because 0.3 / 0.1 is below 3; and as a double, because a number of bands need not fit a bigint.
    bands = F.round(finite / F.lit(float(width)), 9)
    return F.round((bands - F.pmod(bands, F.lit(1.0))) * F.lit(float(width)), places)


@dataclass(frozen=True)
class Change(Action):
    """Change texts by a function of your own, such as one that hides what it finds inside free text.

    Attributes:
        by: from a column to a column of texts, in native expressions; NULL has to stay NULL.
    """

    by: Callable[[Column], Column]

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return "" if isinstance(kind, StringType) else f"it changes texts, not {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return self.by(value)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"
_GROUPS = r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})"
_IPV6 = rf"^(?:{_GROUPS}{{7}}|(?=[^:]*(?::[^:]*){{2,8}}$)(?:{_GROUPS}*)?::(?:{_GROUPS}*)?)$"


@dataclass(frozen=True)
class IpPrefix(Action):
    """Replace an IP address in text by its network: ``10.1.2.3`` by ``10.1.2.0/24``.

    An IPv4 address mapped into IPv6 counts as IPv4. What is no address becomes NULL.

    Attributes:
        v4: bits that are kept of an IPv4 address.
        v6: bits that are kept of an IPv6 address: 16, 32, 48 or 64.
    """

    v4: int = 24
    v6: int = 48

    def __post_init__(self) -> None:
        if not 0 < self.v4 < 32 or self.v6 not in {16, 32, 48, 64}:
            raise InvalidPolicyError(
                f"ip_prefix: v4 is {self.v4} and v6 is {self.v6}; v4 is 1 to 31, v6 is 16, 32, 48 or 64"
            )

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return "" if isinstance(kind, StringType) else f"it is for addresses as text, not for {kind.simpleString()}"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        address = F.regexp_replace(F.trim(value), r"^::[Ff]{4}:(?=\d+\.)", "")
        return F.coalesce(
            self._network_v4(F.when(address.rlike(_IPV4), address)), self._network_v6(F.when(address.rlike(_IPV6), address))
        )

    def _network_v4(self, address: Column) -> Column:
        octets = [F.substring_index(F.substring_index(address, ".", n), ".", -1).cast("bigint") for n in (1, 2, 3, 4)]
        number = octets[0] * 2**24 + octets[1] * 2**16 + octets[2] * 2**8 + octets[3]
        network = number - number % 2 ** (32 - self.v4)
        shown = [F.shiftright(network, bits).bitwiseAND(F.lit(255)).cast("string") for bits in (24, 16, 8, 0)]
        first, *others = shown
        return F.concat(first, *(F.concat(F.lit("."), octet) for octet in others), F.lit(f"/{self.v4}"))

    def _network_v6(self, address: Column) -> Column:
        halves = F.split(address, "::")
        left, right = (
            F.filter(F.split(F.coalesce(F.get(halves, F.lit(half)), F.lit("")), ":"), lambda group: group != "")
            for half in (0, 1)
        )
        zeros = F.array_repeat(F.lit("0"), F.lit(8) - F.size(left) - F.size(right))
        kept = F.slice(F.concat(left, zeros, right), 1, self.v6 // 16)
        plain = F.transform(kept, lambda group: F.regexp_replace(F.lower(group), "^0+(?=.)", ""))
        joined = F.regexp_replace(F.array_join(plain, ":"), "(?:^|:)0(?::0)*$", "")
        return F.when(address.isNotNull(), F.concat(joined, F.lit(f"::/{self.v6}")))


_ALPHABETS = {"hex": (4.0, 64), "base64url": (6.0, 43), "digits": (3.32, 60)}
"""Bits that a character tells, and how many characters there are."""
_FEWEST_BITS = 64
_NORMALISE = ("trim", "lower", "nfc")


def _steps(action: str, given: Sequence[str]) -> tuple[str, ...]:
    """Check the steps of a normalisation."""
    steps = (given,) if isinstance(given, str) else tuple(given)
    forms = [step for step in steps if step not in _NORMALISE]
    if wrong := [step for step in forms if canonical.form_of(str(step)) is None]:
        raise InvalidPolicyError(
            f"{action}: normalise has {wrong[0]!r}; there are {', '.join((*_NORMALISE, *canonical.FORMS))}"
        )
    if len(forms) > 1:
        raise InvalidPolicyError(f"{action}: normalise has {' and '.join(forms)}; a value has one form")
    for step in forms:
        try:
            canonical.check(step)
        except ValueError as error:
            raise InvalidPolicyError(f"{action}: {error}") from None
    return steps


def _no_python_inside(steps: Sequence[str]) -> str:
    needs_python = any(step.startswith("phone") for step in steps)
    return "the form of telephone numbers is found in Python, which Spark does in columns only; explode it" * needs_python


def _normalised(text: Column, steps: Sequence[str], keys: Keys) -> Column:
    for form in filter(None, map(canonical.form_of, steps)):
        text = form(text)
    if "trim" in steps:
        text = canonical.trimmed(text)
    if "lower" in steps:
        text = F.lower(text)
    # Last: the small letters of a composed text may compose further.
    return nfc(text, keys.unicode()) if "nfc" in steps else text


@dataclass(frozen=True)
class Token(Action):
    """Replace a value by a token: the same for the same value and key, in every run, table and Spark line.

    The token is HMAC-SHA-256 of the value's text. Text is the value itself; numbers, dates and decimals are written so that
    equal values of different widths have one token; timestamps are microseconds since 1970. The result is ``string``.

    Attributes:
        length: characters of the token, without the key's id; all of them by default. Fewer than 64 bits are refused:
            with 48, two values would share a token in one of 600 tables with a million values.
        alphabet: ``hex``, ``base64url`` or ``digits``.
        normalise: what is done to a text before, of ``trim`` (Unicode's white space at both ends), ``lower`` (small
            letters) and ``nfc`` (Unicode's normal form C: ``é`` as one or two characters is the same), in this order. Before
            them one canonical form, see `canonical.py`: ``email``, ``email_without_tag``, ``iban``, ``card``, ``phone:GB``.
        domain: columns with different domains have different tokens for the same value, so they do not join.
        with_key_id: write the key's id and a dot before the token.
    """

    length: int | None = None
    alphabet: str = "hex"
    normalise: Sequence[str] = ()
    domain: str = ""
    with_key_id: bool = True

    keyed: ClassVar[bool] = True
    keeps_apart: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalise", _steps("token", self.normalise))
        if self.alphabet not in _ALPHABETS:
            raise InvalidPolicyError(f"token: alphabet is {self.alphabet!r}; it is one of {', '.join(_ALPHABETS)}")
        bits, most = _ALPHABETS[self.alphabet]
        fewest = -int(-_FEWEST_BITS // bits)
        if self.length is not None and not fewest <= self.length <= most:
            raise InvalidPolicyError(
                f"token: length is {self.length}; in {self.alphabet} it is {fewest} to {most}: with fewer than "
                f"{_FEWEST_BITS} bits different values get the same token"
            )

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        if self.normalise and not isinstance(kind, StringType):
            return f"normalise is for texts, not for {kind.simpleString()}"
        return "" if isinstance(kind, BinaryType) else _no_text(kind)

    @property
    def refuses_inside(self) -> str:  # noqa: D102
        return _no_python_inside(self.normalise)

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return self.with_key(value, kind, keys, keys.current)

    def with_key(self, value: Column, kind: DataType, keys: Keys, key: Key) -> Column:
        """Return the token that one of several keys gives."""
        text = value if isinstance(kind, BinaryType) else _normalised(_as_text(value, kind), self.normalise, keys)
        digest = hmac_sha256(text.cast("binary"), *keys.pads(key, f"token {self.domain}" if self.domain else ""))
        token = _written(digest, self.alphabet)
        if self.length and self.length < _ALPHABETS[self.alphabet][1]:
            token = _first(token, self.length)
        return F.concat(F.lit(f"{key.id}."), token) if self.with_key_id else token


def _written(digest: Column, alphabet: str) -> Column:
    """Write a digest of 64 hexadecimal digits in another alphabet."""
    if alphabet == "base64url":
        # Not by `translate`, which looks each character up. The 44th is padding; lines break only after the 76th.
        text = F.replace(_first(F.base64(F.unhex(digest)), 43), F.lit("+"), F.lit("-"))
        return F.replace(text, F.lit("/"), F.lit("_"))
    if alphabet == "digits":
        # Four numbers of 64 bits, the last 15 digits of each: the bias towards small ones is under 1 in 18,000.
        parts = [F.lpad(F.conv(F.substring(digest, place, 16), 16, 10), 20, "0") for place in (1, 17, 33, 49)]
        return F.concat(*(F.substring(part, 6, 15) for part in parts))
    return digest


def _first(text: Column, length: int) -> Column:
    """Give the first characters of a text of ASCII; of a text Spark would look at each, of bytes it does not."""
    return F.substring(text.cast("binary"), 1, length).cast("string")


def _base64(data: Column) -> Column:
    # Spark breaks base64 into lines of 76 characters, on some lines and settings.
    return F.replace(F.base64(data), F.lit("\r\n"), F.lit(""))


@dataclass(frozen=True)
class Encrypt(Action):
    """Encrypt a value with AES-256-GCM, to be decrypted by :func:`decrypt`. The result is ``string``: key id, dot, base64.

    Attributes:
        deterministic: the same value has the same ciphertext, so that it can be joined and grouped by; whoever sees the
            ciphertexts sees which are equal. The IV is then a keyed hash of the value instead of random.
    """

    deterministic: bool = False

    keyed: ClassVar[bool] = True
    keeps_apart: ClassVar[bool] = True

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        return _no_text(kind)

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        plain, key = _as_text(value, kind).cast("binary"), keys.current
        iv = F.substring(F.unhex(hmac_sha256(plain, *keys.pads(key, "iv"))), 1, 12) if self.deterministic else None
        return F.concat(F.lit(f"{key.id}."), _base64(aes_gcm(plain, keys.aes(key), iv)))


@dataclass(frozen=True)
class EncryptDigits(Action):
    """Encrypt the digits of a text and keep its form: as many digits, and every other character in its place.

    ``4929-5555-0199-1234`` becomes another ``dddd-dddd-dddd-dddd``. Different values stay different, equal ones equal;
    :func:`decrypt_digits` gives them back. The text has no room for the key's id: note with the table which key it was.
    A text with fewer than 6 or more than 36 digits becomes NULL. (FF1 of NIST SP 800-38G, see `ff1.py`.)

    Attributes:
        domain: columns with different domains have different digits for the same value.
    """

    domain: str = ""

    keyed: ClassVar[bool] = True

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        is_text = isinstance(kind, StringType)
        return "" if is_text else f"it is for digits in texts, not for {kind.simpleString()}; cast it before"

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return _digits_changed(value, lambda digits: ff1.encrypt(digits, keys.ff1(), tweak=self.domain.encode()))


def _digits_changed(text: Column, change: Callable[[Column], Column]) -> Column:
    """Put other digits in the places of a text's own; NULL where there are none."""
    between = F.split(text, "[0-9]", -1)

    def filled(digits: Column) -> Column:
        places = F.transform(between, lambda piece, place: F.concat(piece, digits.substr(place + 1, F.lit(1))))
        return F.when(digits.isNotNull(), F.array_join(places, ""))

    return _let(change(F.regexp_replace(text, "[^0-9]", "")), filled)


@dataclass(frozen=True)
class VaultToken(Action):
    """Replace a value by a random token that a table keeps, the vault: the same value has the same token.

    `mask` puts a keyed look-up in its place, the key's id and HMAC-SHA-256 of domain and value. :func:`vault_entries` tells
    what the vault has to know, and `vault.py` of this package issues tokens and exchanges look-ups for them. Without the
    vault nobody can tell whether a token stands for a value, not even with the key; with both, tokens become values again.

    It is for columns and fields of structs, not inside arrays and maps: tokens are joined to the rows.

    Attributes:
        normalise: see `Token`. What is kept is the normalised text.
        domain: columns with different domains have different tokens for the same value.
    """

    normalise: Sequence[str] = ()
    domain: str = ""

    keyed: ClassVar[bool] = True

    @property
    def refuses_inside(self) -> str:  # noqa: D102
        return "inside arrays and maps there are no tokens of a vault; use token, or explode the column"

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalise", _steps("vault_token", self.normalise))

    def refuses(self, kind: DataType) -> str:  # noqa: D102
        if self.normalise and not isinstance(kind, StringType):
            return f"normalise is for texts, not for {kind.simpleString()}"
        return _no_text(kind)

    def masked(self, value: Column, kind: DataType, keys: Keys) -> Column:  # noqa: D102
        return self.looked_up(F.lit(self.domain), self.text(value, kind, keys), keys)

    def text(self, value: Column, kind: DataType, keys: Keys) -> Column:
        """Return what the vault keeps of a value."""
        return _normalised(_as_text(value, kind), self.normalise, keys)

    @staticmethod
    def looked_up(domain: Column, text: Column, keys: Keys) -> Column:
        """Return the look-up of a text, with the current key."""
        message = F.concat(domain.cast("binary"), F.lit(b"\0"), text.cast("binary"))
        return F.concat(F.lit(f"{keys.current.id}."), hmac_sha256(message, *keys.pads(keys.current, "vault")))


_ACTIONS: dict[str, type[Action]] = {
    "keep": Keep,
    "drop": Drop,
    "redact": Redact,
    "partial": Partial,
    "truncate_date": TruncateDate,
    "shift_date": ShiftDate,
    "band": Band,
    "grid": Grid,
    "ip_prefix": IpPrefix,
    "token": Token,
    "encrypt": Encrypt,
    "encrypt_digits": EncryptDigits,
    "vault_token": VaultToken,
}
_UNKEYED = ("hash", "md5", "sha1", "sha2", "sha256", "sha512", "crc32", "xxhash64")
_HASH_REFUSED = (
    "an unkeyed hash protects nothing: whoever can list the possible values (all telephone numbers, all IPv4 addresses) "
    "hashes them all and looks the value up; use token, which needs a key"
)

# -- Policy ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """What becomes of every column of a dataset.

    Attributes:
        columns: an action by path; see the module for paths.
        tags: an action by tag, for columns and fields that have it among their metadata's ``tags``, in any case, and are not
            named by path. What a column is tagged as, its parts are too, unless they have an entry of their own.
        unlisted: what happens to a column that neither names: ``stop`` or ``drop``.
        name: of the dataset, for messages.
        leak_check: how much of the masked rows the job has to search for plain values, whatever its arguments:
            ``none``, ``sampled`` or ``full``.

    Raises:
        InvalidPolicyError: an entry is no action.

    Example:
        >>> Policy({"id": Keep()}, tags={"pii": Redact()}).tags
        {'pii': Redact(text=None)}
    """

    columns: Mapping[str, Action] = field(default_factory=dict)
    tags: Mapping[str, Action] = field(default_factory=dict)
    unlisted: str = "stop"
    name: str = "rows"
    leak_check: str = "none"

    def __post_init__(self) -> None:
        if self.unlisted not in {"stop", "drop"}:
            raise InvalidPolicyError(f"{self.name}: unlisted is {self.unlisted!r}; it is stop or drop")
        if self.leak_check not in {"none", "sampled", "full"}:
            raise InvalidPolicyError(f"{self.name}: leak_check is {self.leak_check!r}; it is none, sampled or full")
        names = [tag.lower() for tag in self.tags]
        if twice := [tag for tag in names if names.count(tag) > 1]:
            raise InvalidPolicyError(
                f"{self.name}: the tag {twice[0]} is there twice; upper and lower case are the same tag"
            )
        for where, action in [*self.columns.items(), *self.tags.items()]:
            if not isinstance(action, Action):
                raise InvalidPolicyError(
                    f"{self.name}: {where}: {type(action).__name__} is no action; use Keep(), Token() or another"
                )

    @classmethod
    def from_document(cls, document: Mapping[str, Any], more: Mapping[str, Callable[..., Action]] | None = None) -> Policy:
        """Read a policy as a file has it.

        Args:
            document: a mapping with the attributes of this class, all optional. An action is its name, ``keep``, or a
                mapping with ``action`` and its attributes, ``{action: partial, last: 4}``.
            more: actions of your own by name, as functions of their attributes.

        Raises:
            InvalidPolicyError: names the entry and what it may be.

        Example:
            >>> Policy.from_document({"columns": {"id": "keep", "card": {"action": "partial", "last": 4}}}).columns["card"]
            Partial(first=0, last=4, by_class=False)
        """
        known = [each.name for each in dataclasses.fields(cls)]
        if not isinstance(document, Mapping):
            raise InvalidPolicyError(f"a policy is a mapping with {', '.join(known)}")
        if wrong := [str(entry) for entry in document if entry not in known]:
            raise InvalidPolicyError(f"a policy has no {wrong[0]!r}; it has {', '.join(known)}")
        given = dict(document)
        actions: dict[str, Callable[..., Action]] = {**_ACTIONS, **(more or {})}
        for part in ("columns", "tags"):
            entries = given.get(part) or {}
            if not isinstance(entries, Mapping):
                raise InvalidPolicyError(f"{part}: a mapping of names to actions was expected")
            given[part] = {str(name): _action(f"{part}.{name}", entry, actions) for name, entry in entries.items()}
        return cls(**given)

    @property
    def keyed(self) -> bool:
        """Whether a key is needed."""
        return any(action.keyed for action in [*self.columns.values(), *self.tags.values()])


def _action(where: str, entry: Any, actions: Mapping[str, Callable[..., Action]]) -> Action:
    options = {"action": entry} if isinstance(entry, str) else entry
    if not isinstance(options, Mapping) or "action" not in options:
        raise InvalidPolicyError(f"{where}: an action is its name, or a mapping with action and its attributes")
    called = str(options["action"])
    if called.lower().replace("-", "").replace("_", "") in _UNKEYED:
        raise InvalidPolicyError(f"{where}: {_HASH_REFUSED}")
    if called not in actions:
        raise InvalidPolicyError(f"{where}: there is no action {called!r}; {_near(called, actions)}")
    make = actions[called]
    attributes = {str(name): value for name, value in options.items() if name != "action"}
    declared = list(inspect.signature(make).parameters)
    if unknown := [name for name in attributes if name not in declared]:
        raise InvalidPolicyError(f"{where}: {called} has no {unknown[0]!r}; it has {', '.join(declared) or 'no attributes'}")
    try:
        return make(**attributes)
    except InvalidPolicyError as error:
        raise InvalidPolicyError(f"{where}: {error}") from error
    except TypeError as error:
        raise InvalidPolicyError(
            f"{where}: {called}: an attribute is missing or of another type ({', '.join(declared)})"
        ) from error


def _near(name: str, names: Iterable[str]) -> str:
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


# -- The columns of rows, and what a policy makes of them -----------------------------------------------------------------


@dataclass(frozen=True)
class _Node:
    """A column or a part of one.

    Attributes:
        path: as a policy names it.
        step: how it is reached from what it is a part of: a field's name, or ``[]``, ``{}.key``, ``{}.value``.
        kind: its type.
        tags: its own.
        parts: of a struct its fields, of an array its elements, of a map its keys and values.
    """

    path: str
    step: str
    kind: DataType
    tags: tuple[str, ...]
    parts: tuple[_Node, ...]

    def below(self) -> Iterator[_Node]:
        """Return it and everything under it."""
        yield self
        for part in self.parts:
            yield from part.below()


def _nodes(struct: StructType, above: str = "") -> tuple[_Node, ...]:
    found = []
    for each in struct:
        shown = each.name if re.fullmatch(r"\w+", each.name) else _quoted(each.name)
        tags = _tags(each.metadata)
        found.append(_node(f"{above}.{shown}" if above else shown, each.name, each.dataType, tags))
    return tuple(found)


def _tags(metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the tags in a field's metadata, in small letters. They are a list, or a text with one or more of them."""
    tags = (metadata or {}).get("tags") or ()
    given = re.split(r"[\s,;]+", tags) if isinstance(tags, str) else map(str, tags)
    return tuple(tag.strip().lower() for tag in given if tag.strip())


def _node(path: str, step: str, kind: DataType, tags: tuple[str, ...] = ()) -> _Node:
    parts: tuple[_Node, ...] = ()
    if isinstance(kind, StructType):
        parts = _nodes(kind, path)
    elif isinstance(kind, ArrayType):
        parts = (_node(f"{path}[]", "[]", kind.elementType),)
    elif isinstance(kind, MapType):
        ends = (("{}.key", kind.keyType), ("{}.value", kind.valueType))
        parts = tuple(_node(f"{path}{end}", end, inner) for end, inner in ends)
    return _Node(path, step, kind, tags, parts)


def _is_inside(path: str) -> bool:
    """Tell whether a path leads into an array or map."""
    return bool(re.search(r"\[\]|\{\}", re.sub("`[^`]*`", "", path)))


class _Decisions:
    """The action of every column and part, by path; everything that is wrong is found before it is told."""

    def __init__(self, policy: Policy, struct: StructType, declared: StructType | None) -> None:
        self.policy = policy
        self.columns = _nodes(struct)
        self.actions: dict[str, Action] = {}
        # The tags of both: a declared schema does not take away what the data says of itself. Spark's names have no case.
        self._tags: dict[str, dict[str, None]] = {}
        for each in (*self.columns, *(_nodes(declared) if declared else ())):
            for node in each.below():
                self._tags.setdefault(node.path.lower(), {}).update(dict.fromkeys(node.tags))
        self._by_tag = {tag.lower(): action for tag, action in policy.tags.items()}
        self._used: set[str] = set()
        self._problems: list[str] = []
        for column in self.columns:
            self._decide(column, None)
        self._entries_without_a_column()
        self._names_twice(struct.names)
        if not self._problems and all(isinstance(self.actions.get(column.path), Drop) for column in self.columns):
            self._problems.append("no column would be left")
        if self._problems:
            raise PolicyMismatchError(f"{policy.name}: the policy does not fit: {'; '.join(self._problems)}")

    def _decide(self, node: _Node, inherited: Action | None) -> None:
        """Find the action of a node and of its parts."""
        action = self._named(node) or inherited
        if node.parts and not isinstance(action, Drop | Redact):
            if node.path in self.policy.columns:
                action = None
                parts = ", ".join(part.path for part in node.parts)
                self._wrong(node, f"it has parts, each of which is named by itself: {parts}")
            for part in node.parts:
                self._decide(part, action)
            # Without one of its fields a struct is still one; without its elements nothing is left of an array.
            gone = [isinstance(self.actions.get(part.path), Drop) for part in node.parts]
            if all(gone) if isinstance(node.kind, StructType) else any(gone):
                self.actions[node.path] = Drop()
            return
        if action is None:
            if self.policy.unlisted == "stop":
                self._wrong(node, "the policy does not name it; say keep, drop or how it is masked")
            action = Drop()
        if reason := action.refuses(node.kind):
            self._wrong(node, reason)
        if action.refuses_inside and _is_inside(node.path):
            self._wrong(node, action.refuses_inside)
        if isinstance(action, ShiftDate) and (reason := self._no_person(action.by)):
            self._wrong(node, reason)
        if node.step == "{}.key" and not isinstance(action, Drop) and not action.keeps_apart:
            self._wrong(node, "the keys of a map stay different: keep, token or encrypt them, or drop the map")
        self.actions[node.path] = action

    def _no_person(self, path: str) -> str:
        """Say why dates cannot be shifted by a column; empty text if they can."""
        found = self._found(path)
        if found is None:
            paths = [node.path for column in self.columns for node in column.below()]
            return f"it is shifted by {path}, which is no column: {_near(path, paths)}"
        if _is_inside(path) or found[1].parts or _no_text(found[1].kind):
            return f"it is shifted by {path}; that must be a text, number or date outside arrays and maps"
        return ""

    def _found(self, path: str) -> tuple[_Node, _Node] | None:
        """Find a column or part by its path, with the column that it is in."""
        return next(((column, node) for column in self.columns for node in column.below() if node.path == path), None)

    @property
    def texts(self) -> dict[str, Column]:
        """What dates are shifted by, as text, by path."""
        paths = {action.by for action in self.actions.values() if isinstance(action, ShiftDate)}
        found = {path: self._found(path) for path in sorted(paths)}
        return {path: _as_text(_only(*each, _column(each[0].step)), each[1].kind) for path, each in found.items() if each}

    def _named(self, node: _Node) -> Action | None:
        tags = [tag for tag in self._tags.get(node.path.lower(), ()) if tag in self._by_tag]
        self._used |= {f"tag {tag}" for tag in tags}
        if node.path in self.policy.columns:
            self._used.add(node.path)
            return self.policy.columns[node.path]
        actions = [self._by_tag[tag] for tag in tags]
        if any(action != actions[0] for action in actions):
            self._wrong(node, f"its tags {' and '.join(tags)} say different things; name it by its path")
        return actions[0] if actions else None

    def _entries_without_a_column(self) -> None:
        paths = [node.path for column in self.columns for node in column.below()]
        for path in self.policy.columns:
            if path not in self._used:
                why = "what it is a part of is dropped or redacted" if path in paths else _near(path, paths)
                self._problems.append(f"the entry {path} names no column: {why}")
        for tag in self.policy.tags:
            if f"tag {tag.lower()}" not in self._used:
                self._problems.append(f"the entry for the tag {tag} names no column; are the tags in the rows' metadata?")

    def _names_twice(self, names: Sequence[str]) -> None:
        lower = [name.lower() for name in names]
        self._problems += [f"the column {name} is there twice" for name in sorted({n for n in lower if lower.count(n) > 1})]

    def _wrong(self, node: _Node, why: str) -> None:
        self._problems.append(f"{node.path} ({node.kind.simpleString()[:60]}): {why}")

    def decomposed(self) -> Column | None:
        """Return whether a row has a text that Unicode's normal form may change; None if none is asked for."""
        found = None
        for column in self.columns:
            for node in column.below():
                if "nfc" in getattr(self.actions.get(node.path), "normalise", ()):
                    value = _column(column.step)
                    has = _may_change(value) if node is column else F.exists(_every(column, node, value), _may_change)
                    has = F.coalesce(has, F.lit(False))
                    found = has if found is None else found | has
        return found

    def kept(self, node: _Node) -> bool:
        """Tell whether nothing changes in a column or part."""
        decided = self.actions.get(node.path)
        return isinstance(decided, Keep) if decided or not node.parts else all(map(self.kept, node.parts))


def _applied(  # noqa: PLR0911 - one for each kind of node
    node: _Node, value: Column, decisions: _Decisions, keys: Keys
) -> Column | None:
    """Return what becomes of a value, or None if it is dropped."""
    action = decisions.actions.get(node.path)
    if isinstance(action, Drop):
        return None
    if decisions.kept(node):
        return value
    if action:
        return action.masked(value, node.kind, keys)

    def inside(part: _Node, inner: Column) -> Column:
        masked = _applied(part, inner, decisions, keys)
        assert masked is not None, "a container without its parts is dropped itself"
        return masked

    if isinstance(node.kind, ArrayType):
        return F.transform(value, lambda element: inside(node.parts[0], element))
    if isinstance(node.kind, MapType):
        of_key, of_value = node.parts
        if decisions.kept(of_key):
            return F.transform_values(value, lambda key, inner: inside(of_value, inner))
        pair = F.transform(
            F.map_entries(value),
            lambda entry: F.struct(
                inside(of_key, entry.getField("key")).alias("key"), inside(of_value, entry.getField("value")).alias("value")
            ),
        )
        return F.map_from_entries(pair)
    fields = [(part, _applied(part, value.getField(part.step), decisions, keys)) for part in node.parts]
    return F.when(value.isNotNull(), F.struct(*(masked.alias(part.step) for part, masked in fields if masked is not None)))


def mask(rows: DataFrame, policy: Policy, *, key: Key | None = None, declared: StructType | None = None) -> DataFrame:
    """Apply a policy to rows.

    Args:
        rows: any number; they are read once.
        policy: what becomes of each column.
        key: what tokens and ciphertexts are made with.
        declared: a schema whose fields have tags in their metadata, such as a contract's ``struct``; tags of the rows' own
            schema count too.

    Returns:
        The columns that are left, in the same order and with the same names. Columns that are kept have their metadata;
        others only their comment.

    Raises:
        PolicyMismatchError: names everything that does not fit, before anything is read.
        InvalidKeyError: the policy needs a key and there is none.

    Example:
        >>> mask(people, Policy({"id": Keep(), "card": Partial(last=4)}))                          # doctest: +SKIP
    """
    decisions = _Decisions(policy, rows.schema, declared)
    if key is None and any(action.keyed for action in decisions.actions.values()):
        raise InvalidKeyError(f"{policy.name}: tokens and encryption need a key; {_HASH_REFUSED}")
    keys = Keys([key] if key else [], rows.columns, decisions.texts)
    masked = []
    for column, each in zip(decisions.columns, rows.schema, strict=True):
        found = _applied(column, _column(each.name), decisions, keys)
        if found is None:
            continue
        comment = (each.metadata or {}).get("comment")
        metadata = each.metadata if decisions.kept(column) else {"comment": comment} if comment else {}
        masked.append(found.alias(each.name, metadata=metadata))
    return keys.beside(rows, decisions.decomposed()).select(*masked)


def rotation(rows: DataFrame, policy: Policy, *, old: Key, new: Key, declared: StructType | None = None) -> DataFrame:
    """Pair the tokens of two keys, so that tables masked with either can be joined while a key is exchanged.

    Whoever has the pairs can tell that two tokens stand for one value, and not the value. Delete them when every table is
    masked with the new key.

    Args:
        rows: the plain rows.
        policy: what masks them.
        old: the key until now.
        new: the key from now on.
        declared: see :func:`mask`.

    Returns:
        ``column`` (the path), ``old`` and ``new``: each pair once. No rows if the policy makes no tokens.

    Raises:
        PolicyMismatchError: see :func:`mask`.
        InvalidKeyError: the keys have the same id.

    Example:
        >>> pairs = rotation(people, policy, old=Key("2025", a), new=Key("2026", b))               # doctest: +SKIP
        >>> orders.join(pairs.where("column = 'email'"), orders.email == pairs.old)                # doctest: +SKIP
    """
    if old.id == new.id:
        raise InvalidKeyError(f"key {old.id}: both keys have this id; give the new one another")
    decisions, keys = _Decisions(policy, rows.schema, declared), Keys([new, old], rows.columns)
    pairs = [F.array().cast("array<struct<column:string,old:string,new:string>>")]
    for column in decisions.columns:
        for node in column.below():
            if isinstance(action := decisions.actions.get(node.path), Token):
                pairs.append(_pairs(action, column, node, keys))
    found = keys.beside(rows, decisions.decomposed()).select(F.explode(F.concat(*pairs)).alias("pair")).select("pair.*")
    return found.where("old IS NOT NULL").distinct()


def vault_entries(rows: DataFrame, policy: Policy, *, key: Key, declared: StructType | None = None) -> DataFrame:
    """Return what a vault has to know to give every value its token.

    Args:
        rows: the plain rows.
        policy: what masks them.
        key: what masks them.
        declared: see :func:`mask`.

    Returns:
        ``domain``, ``lookup`` (what `mask` puts in the value's place) and ``sealed`` (the value encrypted with the key, as
        `decrypt` reads it), each once. No rows if the policy has no `VaultToken`.

    Raises:
        PolicyMismatchError: see :func:`mask`.

    Example:
        >>> new = issued(vault_entries(people, policy, key=key), vault)                            # doctest: +SKIP
    """
    decisions, keys = _Decisions(policy, rows.schema, declared), Keys([key], rows.columns)
    entries = [F.array().cast("array<struct<domain:string,lookup:string,sealed:string>>")]
    for column in decisions.columns:
        for node in column.below():
            if isinstance(action := decisions.actions.get(node.path), VaultToken):
                entries.append(F.array(_entry(action, node, _only(column, node, _column(column.step)), keys)))
    beside = keys.beside(rows, decisions.decomposed())
    found = beside.select(F.explode(F.concat(*entries)).alias("entry")).select("entry.*")
    return found.where("lookup IS NOT NULL").distinct()


def _entry(action: VaultToken, node: _Node, value: Column, keys: Keys) -> Column:
    text = action.text(value, node.kind, keys)
    return F.struct(
        F.lit(action.domain).alias("domain"),
        action.looked_up(F.lit(action.domain), text, keys).alias("lookup"),
        Encrypt(deterministic=True).masked(text, StringType(), keys).alias("sealed"),
    )


def _only(node: _Node, wanted: _Node, value: Column) -> Column:
    """Return a field of a struct, however deep."""
    while node.path != wanted.path:
        (node,) = (part for part in node.parts if any(below.path == wanted.path for below in part.below()))
        value = value.getField(node.step)
    return value


def vault_columns(rows: DataFrame, policy: Policy, *, declared: StructType | None = None) -> list[str]:
    """Return the paths of the columns that have a `VaultToken`.

    Args:
        rows: the plain rows.
        policy: what masks them.
        declared: see :func:`mask`.

    Raises:
        PolicyMismatchError: see :func:`mask`.
    """
    actions = _Decisions(policy, rows.schema, declared).actions
    return [path for path, action in actions.items() if isinstance(action, VaultToken)]


def rekeyed(vault: DataFrame, *, old: Key, new: Key) -> DataFrame:
    """Exchange the key of a vault. Tokens stay as they are, so masked tables do too.

    Args:
        vault: with ``domain``, ``lookup``, ``sealed`` and other columns, all of one key.
        old: the key until now.
        new: the key from now on.

    Returns:
        The same rows with the new key's ``lookup`` and ``sealed``. What the old key does not open fails the action.

    Raises:
        InvalidKeyError: the keys have the same id.

    Example:
        >>> vault = rekeyed(vault, old=Key("2025", a), new=Key("2026", b))                         # doctest: +SKIP
    """
    if old.id == new.id:
        raise InvalidKeyError(f"key {old.id}: both keys have this id; give the new one another")
    keys = Keys([new, old], vault.columns)
    text = _decrypted("sealed", keys)
    changed = {
        "lookup": VaultToken.looked_up(F.col("domain"), text, keys),
        "sealed": Encrypt(deterministic=True).masked(text, StringType(), keys),
    }
    columns = [changed.get(name, _column(name)).alias(name) for name in vault.columns]
    return keys.beside(vault).select(*columns)


def hidden_columns(rows: DataFrame, policy: Policy, *, declared: StructType | None = None) -> list[str]:
    """Return the paths of the values of which nothing should be left: dropped, redacted, tokenised or encrypted ones.

    They are what to search the masked rows for. Binary values are not among them.

    Args:
        rows: the plain rows.
        policy: what masks them.
        declared: see :func:`mask`.

    Raises:
        PolicyMismatchError: see :func:`mask`.
    """
    decisions = _Decisions(policy, rows.schema, declared)
    found: dict[str, None] = {}
    for column in decisions.columns:
        for node in column.below():
            if isinstance(decisions.actions.get(node.path), Drop | Redact | Token | Encrypt | EncryptDigits | VaultToken):
                found |= {part.path: None for part in node.below() if not (part.parts or isinstance(part.kind, BinaryType))}
    return list(found)


def _pairs(action: Token, column: _Node, node: _Node, keys: Keys) -> Column:
    """Pair the tokens of all values of a column or part, as an array."""
    new, old = keys.keys

    def pair(value: Column) -> Column:
        return F.struct(
            F.lit(node.path).alias("column"),
            action.with_key(value, node.kind, keys, old).alias("old"),
            action.with_key(value, node.kind, keys, new).alias("new"),
        )

    value = _column(column.step)
    if not _is_inside(node.path):
        return F.array(pair(_only(column, node, value)))
    return F.transform(_every(column, node, value), pair)


def _every(node: _Node, wanted: _Node, value: Column) -> Column:
    """Return all values of a part of a column, wherever they are nested, as one array."""
    if node.path == wanted.path:
        return F.array(value)
    (part,) = (part for part in node.parts if any(below.path == wanted.path for below in part.below()))
    if isinstance(node.kind, StructType):
        return _every(part, wanted, value.getField(part.step))
    reached = {"{}.key": F.map_keys, "{}.value": F.map_values}.get(part.step, lambda array: array)
    return F.coalesce(
        F.flatten(F.transform(reached(value), lambda inner: _every(part, wanted, inner))),
        F.array().cast(ArrayType(wanted.kind)),
    )


def decrypt(rows: DataFrame, columns: Mapping[str, DataType | str], keys: Sequence[Key]) -> DataFrame:
    """Decrypt top-level columns that `Encrypt` made.

    Args:
        rows: with the ciphertexts. Those of nested columns are taken out before.
        columns: which columns, and of which type the values were.
        keys: every key that they may have been made with; each ciphertext tells which.

    Returns:
        The same rows, with the plain values. A ciphertext that was changed, or whose key is not there, and a value that is
        not of the type, fail the action with the column's name and not with the value.

    Raises:
        PolicyMismatchError: there is no such column.

    Example:
        >>> decrypt(masked, {"email": "string", "born": "date"}, [key])                            # doctest: +SKIP
    """
    _require_columns(columns, rows)
    found = Keys(keys, rows.columns)
    texts = {name: _decrypted(name, found) for name in columns}
    opened = found.beside(rows).select(*(texts.get(name, _column(name)).alias(name) for name in rows.columns))
    plain = {name: _from_text(name, kind) for name, kind in columns.items()}
    return opened.select(*(plain.get(name, _column(name)).alias(name) for name in rows.columns))


def decrypt_digits(rows: DataFrame, columns: Sequence[str], key: Key, *, domain: str = "") -> DataFrame:
    """Decrypt top-level columns that `EncryptDigits` made.

    Args:
        rows: with the encrypted texts.
        columns: which columns.
        key: what they were encrypted with. Another key gives other digits, and no error.
        domain: as it was in the policy.

    Returns:
        The same rows, with the plain texts.

    Raises:
        PolicyMismatchError: there is no such column.

    Example:
        >>> decrypt_digits(masked, ["card"], key)                                                  # doctest: +SKIP
    """
    _require_columns(columns, rows)
    keys = Keys([key], rows.columns)
    plain = {
        name: _digits_changed(_column(name), lambda digits: ff1.decrypt(digits, keys.ff1(), tweak=domain.encode()))
        for name in columns
    }
    found = [plain.get(name, _column(name)).alias(name) for name in rows.columns]
    return keys.beside(rows).select(*found)


def _require_columns(columns: Iterable[str], rows: DataFrame) -> None:
    if missing := [name for name in columns if name not in rows.columns]:
        raise PolicyMismatchError(f"there is no column {missing[0]} to decrypt; {_near(missing[0], rows.columns)}")


def _decrypted(name: str, keys: Keys) -> Column:
    sealed = _column(name)
    used, payload = F.substring_index(sealed, ".", 1), F.substring_index(sealed, ".", -1)
    secret = F.coalesce(*(F.when(used == key.id, keys.aes(key)) for key in keys.keys), F.lit(None).cast("binary"))
    looks_right = sealed.rlike(r"^[A-Za-z0-9_-]{1,16}\.[A-Za-z0-9+/]{38,}={0,2}$")
    plain = F.try_aes_decrypt(F.unbase64(F.when(looks_right, payload)), secret, F.lit("GCM"), F.lit("DEFAULT"))
    failed = F.raise_error(f"{name}: a value cannot be decrypted: it was changed, or its key is not among those given")
    return F.when(sealed.isNotNull(), F.coalesce(plain.cast("string"), failed))


def _from_text(name: str, kind: DataType | str) -> Column:
    """Read what `_as_text` wrote. Never by a plain cast: its error would show the value."""
    wanted = kind if isinstance(kind, str) else kind.simpleString()
    text = _quoted(name)
    read = f"timestamp_micros(try_cast({text} AS bigint))" if wanted == "timestamp" else f"try_cast({text} AS {wanted})"
    failed = F.raise_error(f"{name}: a value is no {wanted}; give the type that it had when it was encrypted")
    return F.when(F.expr(text).isNotNull(), F.coalesce(F.expr(read), failed))


def _column(name: str) -> Column:
    return F.col(_quoted(name))


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"
