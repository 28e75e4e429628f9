# gluewright-single-file-output 0.1.0 single_file.py
# SPDX-License-Identifier: Apache-2.0
"""Write a DataFrame as one file with an exact name: at once or not at all, and in parallel.

All tasks write parts under a staging prefix. The parts are joined where they lie: on S3 by a multipart upload whose parts
are copied on the server, in a local folder by appending them. So the work before the file stays parallel, and no process
holds the rows. A header stands in front once, also of no rows. One pass over the rows can also write a file for each group.

Sections: one file, a file for each group, names, formats, order, the arithmetic of joining, S3, a local folder.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import string
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, TypeVar, Union

from pyspark import StorageLevel
from pyspark.sql import Observation
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    MapType,
    NullType,
    ShortType,
    StringType,
    StructType,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
    from pyspark.sql import Column, DataFrame
else:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:  # Only targets on S3 need boto3.

        class ClientError(Exception):
            """Never raised: without boto3 there are no targets on S3."""

        BotoCoreError = ClientError

Format = Union["Csv", "JsonLines", "Text", "Parquet"]
Existing = Literal["overwrite", "refuse", "keep_version"]
Effect = Callable[[str, str], AbstractContextManager[None]]

ABANDONED = timedelta(days=1)
"""What another run has staged and not touched for so long is taken away."""
CONTROL = ".control.json"
"""What the name of the control file adds to the file's."""


class SingleFileError(Exception):
    """A file could not be written. Nothing of it can be seen, unless a subclass says otherwise."""


class InvalidNameError(SingleFileError):
    """A name lacks a value, or a value would lead out of its folder."""


class UnsupportedRowsError(SingleFileError):
    """The format has no way to write a column."""


class TargetExistsError(SingleFileError):
    """The file is there and was not to be replaced."""


class TargetOvertakenError(SingleFileError):
    """The file was written and, before its control file was, replaced by another run. That run's file stands."""


class UnsupportedTargetError(SingleFileError):
    """The target cannot do what was asked for."""


@dataclass(frozen=True)
class SingleFile:
    """What was written; the control file holds the same.

    Attributes:
        uri: the file.
        rows: how many, without the header.
        bytes: the file's size.
        sha256: of the whole file, in hexadecimal; None if it was not asked for.
        format: ``csv``, ``json``, ``text`` or ``parquet``.
        compression: ``gzip`` or None; of Parquet, the one inside.
        schema: the columns' types by name, in order.
        run: that wrote it.
        written: when, in UTC.
        etag: S3's; tells whether a control file belongs to what is there now. None in a folder.
        version: S3's id of it, in a bucket that keeps versions.
    """

    uri: str
    rows: int
    bytes: int
    sha256: str | None
    format: str
    compression: str | None
    schema: Mapping[str, str]
    run: str
    written: str
    etag: str | None = None
    version: str | None = None

    def to_json(self) -> str:
        """Return the content of the control file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, control: str) -> SingleFile:
        """Read the content of a control file."""
        return cls(**json.loads(control))


def _unseen(kind: str, target: str) -> AbstractContextManager[None]:
    return nullcontext()


def write_single_file(
    rows: DataFrame,
    target: str,
    *,
    format: Format | None = None,  # noqa: A002 - as in Spark
    order_by: Sequence[str | Column] = (),
    existing: Existing = "overwrite",
    run: str | None = None,
    staging: str | None = None,
    sha256: bool = True,
    client: Any = None,
    effect: Effect = _unseen,
) -> SingleFile:
    """Write rows as one file, and beside it, after it, a control file.

    Args:
        rows: what to write. Without ``order_by`` the file has the order of the DataFrame.
        target: the exact name: ``s3://bucket/key`` or a path. With ``.gz`` at the end it is compressed.
        format: of the file; by default what the name's ending says.
        order_by: the columns to sort by. Rows that tie are sorted by their other columns, so that the same rows always give
            the same file.
        existing: what becomes of a file of that name: ``overwrite`` it, ``refuse`` to, or ``keep_version``: overwrite it in
            a bucket that keeps versions, and only there.
        run: the logical run's id, the same in every attempt: an attempt again finishes or takes away what the one before
            left. By default a new one.
        staging: where parts wait, as a prefix or folder of its own. By default ``_gluewright/single_file_output/`` of the
            target's bucket, or a hidden folder beside a local target.
        sha256: whether to compute the file's digest. A digest of the whole file has to see all bytes in order: in a folder
            it is taken while they are appended; on S3 this process reads the parts once, as a stream, while they are copied.
        client: a boto3 S3 client, for an endpoint or credentials of its own.
        effect: entered around each effect with its kind and target, for tests that kill there.

    Returns:
        What was written.

    Raises:
        UnsupportedRowsError: before anything is computed.
        TargetExistsError: with ``refuse``; nothing was changed.
        TargetOvertakenError: another run has replaced the file meanwhile.
        UnsupportedTargetError: the target cannot keep versions.
        SingleFileError: S3 said no; what was staged has been taken away.

    Example:
        ``write_single_file(flights, "s3://reports/2013-02/on_time.csv.gz", order_by=["day", "carrier", "flight"])``
    """
    kind = format or format_of(target)
    kind.check(rows.schema, target)
    place = _open(target, staging, run or uuid.uuid4().hex, existing, client, effect)
    with _explained(target):
        if finished := place.prepare():
            return place.finish(finished)
        try:
            return place.finish(_stage(rows, kind, order_by, place, with_digest=sha256))
        except BaseException as error:
            if not place.published or isinstance(error, TargetOvertakenError):
                _discard(place, error)
            raise


def _stage(
    rows: DataFrame, kind: Format, order_by: Sequence[str | Column], place: _Place, *, with_digest: bool
) -> SingleFile:
    """Write the parts, and join them so far that one step makes the file appear."""
    prelude = _prelude(rows, kind, place)
    if prelude:
        place.put("prelude", prelude)
    count = _write_parts(rows, kind, order_by, place)
    return _joined(place, place.staged("prelude", "parts/"), kind, rows.schema, count, with_digest=with_digest)


def _prelude(rows: DataFrame, kind: Format, place: _Place) -> bytes:
    """Return what stands in front of the rows, as the file has it."""
    prelude = kind.prelude(rows, place)
    return gzip.compress(prelude, mtime=0) if prelude and place.compressed else prelude


def _joined(
    place: _Place, parts: Sequence[_Staged], kind: Format, schema: StructType, rows: int, *, with_digest: bool
) -> SingleFile:
    if isinstance(kind, Parquet) and len(parts) != 1:
        raise SingleFileError(f"{place.target}: Spark wrote {len(parts)} Parquet files instead of one; run it again")
    return SingleFile(
        uri=place.target,
        rows=rows,
        bytes=sum(part.size for part in parts),
        sha256=place.join(parts, with_digest=with_digest),
        format=kind.name,
        compression="gzip" if place.compressed else kind.compression if isinstance(kind, Parquet) else None,
        schema={column.name: column.dataType.simpleString() for column in schema},
        run=place.run,
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write_parts(rows: DataFrame, kind: Format, order_by: Sequence[str | Column], place: _Place) -> int:
    # A sort reads its rows twice, first to find the ranges, and Parquet is counted before: what comes before must not be
    # computed twice.
    with _kept(rows, order_by or isinstance(kind, Parquet)):
        ordered = in_order(rows, order_by) if order_by else rows
        if isinstance(kind, Parquet):
            kind.check_count(rows.count(), place.target)
            ordered = ordered.coalesce(1)
        observation = Observation()
        counted = ordered.observe(observation, F.count(F.lit(1)).alias("rows"))
        with place.effect("spark.write", place.folder("parts")):
            _write(counted, kind, place.folder("parts"), compressed=place.compressed)
        return int(observation.get["rows"])


@contextmanager
def _kept(rows: DataFrame, wanted: object) -> Iterator[None]:
    """Keep rows on the executors' disks while they are read more than once."""
    kept = rows.persist(StorageLevel.DISK_ONLY) if wanted and not rows.is_cached else None
    try:
        yield
    finally:
        if kept is not None:
            kept.unpersist()


def _discard(place: _Place, error: BaseException) -> None:
    """Take away what was staged; when that fails too, the error that came first is the one to see."""
    try:
        place.discard()
    except Exception as problem:  # noqa: BLE001
        error.add_note(f"{place.target}: what was staged could not be taken away ({problem}); the next attempt does")


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        raise SingleFileError(
            f"{target}: S3 refuses {error.operation_name} ({told.get('Code')}: {told.get('Message')}); look at the job's "
            "permissions on the target, its control file and the staging prefix, uploads included"
        ) from error
    except BotoCoreError as error:
        raise SingleFileError(f"{target}: S3 cannot be reached: {error}") from error


# A file for each group

MOST_FILES = 10_000
"""More groups than this are a table with partitions, not files that somebody is sent."""
_FILES_AT_ONCE = 8
_LONGEST_STEP = 200
_IN_NAMES = (StringType, BooleanType, ByteType, ShortType, IntegerType, LongType, DecimalType, DateType)


def write_file_per_group(
    rows: DataFrame,
    template: str,
    *,
    by: Sequence[str],
    values: Mapping[str, object] | None = None,
    without: bool = False,
    format: Format | None = None,  # noqa: A002 - as in Spark
    order_by: Sequence[str | Column] = (),
    existing: Existing = "overwrite",
    run: str | None = None,
    staging: str | None = None,
    sha256: bool = True,
    client: Any = None,
    effect: Effect = _unseen,
) -> list[SingleFile]:
    """Write a file for each group of rows, from one pass over them, each with a control file beside it.

    The rows are computed once and kept on the executors' disks, because they are read to find the groups, to sort and to
    write. All tasks write parts of all files. Each file appears at once, one file after the other.

    Args:
        rows: what to write.
        template: the exact names, with the groups' values in braces: ``s3://bucket/customer={customer}/orders.csv``. In a
            text, what could be taken for something else in a path is written as ``%2F``, the way Hive does.
        by: the columns whose values make a group. Texts, whole numbers, decimals, booleans and dates can.
        values: more values for the names.
        without: leave the columns of ``by`` out of the files.
        format: see :func:`write_single_file`.
        order_by: the columns to sort by within a file. Rows that tie are sorted by their other columns, so that the same
            rows always give the same files.
        existing: see :func:`write_single_file`. With ``refuse`` all names are looked at before anything is written.
        run: see :func:`write_single_file`.
        staging: see :func:`write_single_file`.
        sha256: see :func:`write_single_file`.
        client: see :func:`write_single_file`.
        effect: see :func:`write_single_file`.

    Returns:
        What was written, in the order of the names. No rows are no files.

    Raises:
        InvalidNameError: a group has no name (NULL or an empty text), or the name of another one. Nothing was written.
        UnsupportedRowsError: before anything is computed.
        TargetExistsError: with ``refuse``. Nothing was written, unless another run did so meanwhile.
        SingleFileError: S3 said no; a note says how many files had appeared.

    Example:
        ``write_file_per_group(orders, "s3://reports/{customer}/orders.csv", by=["customer"], order_by=["at"])``
    """
    kind = format or format_of(template)
    _check_groups(rows, by, template)
    content = [column for column in rows.columns if not (without and column in by)]
    kind.check(rows.select([_column(rows, column) for column in content]).schema, template)
    run = run or uuid.uuid4().hex
    client = client or (_s3_client(template) if template.startswith("s3") else None)
    common = _open(_common_name(template), staging and f"{staging.rstrip('/')}/common", run, "overwrite", client, effect)
    with _explained(template), _kept(rows, wanted=True):
        common.prepare()
        try:
            groups = [
                _Group(_open(name, staging and f"{staging.rstrip('/')}/{key}", run, existing, client, effect), key, count)
                for name, key, count in _named_groups(rows, by, template, values or {}, kind)
            ]
            made = _write_groups(rows, by, content, kind, order_by, groups, common, with_digest=sha256) if groups else []
        except BaseException as error:
            _discard(common, error)
            raise
        common.discard()
        return made


def _write_groups(
    rows: DataFrame, by: Sequence[str], content: Sequence[str], kind: Format, order_by: Sequence[str | Column],
    groups: Sequence[_Group], common: _Place, *, with_digest: bool,
) -> list[SingleFile]:  # fmt: skip
    chosen = rows.select([_column(rows, column) for column in content])
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        _all(pool, [group.prepare for group in groups])
        if any(group.finished is None for group in groups):
            _write_parts_of_groups(rows, by, content, kind, order_by, common)
        prelude = _prelude(chosen, kind, common)
        work = [partial(group.write, common, prelude, kind, chosen.schema, with_digest=with_digest) for group in groups]
        try:
            return _all(pool, work)
        except BaseException as error:
            error.add_note(f"{sum(group.place.published for group in groups)} of {len(groups)} files have appeared")
            raise


Made = TypeVar("Made")


def _all(pool: ThreadPoolExecutor, work: Sequence[Callable[[], Made]]) -> list[Made]:
    """Do everything, a few at once; after a failure begin nothing more."""
    waiting = [pool.submit(each) for each in work]
    try:
        return [each.result() for each in waiting]
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


@dataclass
class _Group:
    """A group of rows and its file.

    Attributes:
        place: of the file.
        key: of the group, as its parts' folder is called.
        rows: how many.
        finished: what an attempt before has published.
    """

    place: _Place
    key: str
    rows: int
    finished: SingleFile | None = None

    def prepare(self) -> None:
        self.finished = self.place.prepare()

    def write(self, common: _Place, prelude: bytes, kind: Format, schema: StructType, *, with_digest: bool) -> SingleFile:
        if self.finished:
            return self.place.finish(self.finished)
        try:
            if prelude:
                self.place.put("prelude", prelude)
            parts = [*self.place.staged("prelude"), *common.staged(f"parts/{_GROUP}={self.key}/")]
            return self.place.finish(_joined(self.place, parts, kind, schema, self.rows, with_digest=with_digest))
        except BaseException as error:
            if not self.place.published or isinstance(error, TargetOvertakenError):
                _discard(self.place, error)
            raise


_GROUP = "_group"


def _check_groups(rows: DataFrame, by: Sequence[str], template: str) -> None:
    if not by:
        raise InvalidNameError(f"{template}: by names no column; for one file there is write_single_file")
    kinds = {column.name: column.dataType for column in rows.schema}
    for name in by:
        if name not in kinds:
            raise UnsupportedRowsError(f"{template}: there is no column {name} to group by; there are: {', '.join(kinds)}")
        if not isinstance(kinds[name], _IN_NAMES):
            raise UnsupportedRowsError(
                f"{template}: {name} is {kinds[name].simpleString()}, of which names have no safe form"
            )
    if _GROUP in rows.columns:
        raise UnsupportedRowsError(f"{template}: the column {_GROUP} has a name that is needed; rename it with alias(...)")


def _common_name(template: str) -> str:
    """Name a file that is never written: beside it the parts of all groups wait."""
    folder, brace, rest = template.partition("{")
    above, _, begun = folder.rpartition("/")
    return f"{above}/{re.sub(r'[^A-Za-z0-9._=-]+', '-', f'{begun}{brace}{rest}')}"


def _key(rows: DataFrame, by: Sequence[str]) -> Column:
    """Return a safe text for each group."""
    return F.sha2(F.to_json(F.array(*(_column(rows, name).cast("string") for name in by))), 256)


def _named_groups(
    rows: DataFrame, by: Sequence[str], template: str, values: Mapping[str, object], kind: Format
) -> list[tuple[str, str, int]]:
    """Return the file, key and number of rows of each group, in the order of the files."""
    counted = rows.withColumn(_GROUP, _key(rows, by)).groupBy(_GROUP, *(_column(rows, name) for name in by)).count()
    found = counted.limit(MOST_FILES + 1).collect()
    if len(found) > MOST_FILES:
        raise InvalidNameError(f"{template}: there are more than {MOST_FILES:,} groups; write a table with partitions")
    groups: dict[str, tuple[str, str, int]] = {}
    for group in found:
        told = dict(zip(by, group[1:-1], strict=True))
        if missing := [name for name, value in told.items() if value is None or value == ""]:
            raise InvalidNameError(
                f"{template}: {missing[0]} is NULL or empty in {group[-1]} rows, which gives no name; filter them, or fill "
                "them with coalesce(...)"
            )
        name = named(template, **{**values, **{name: _in_a_name(value) for name, value in told.items()}})
        if max(len(step.encode()) for step in name.split("/")) > _LONGEST_STEP:
            raise InvalidNameError(
                f"{template}: a group's value makes a name of more than {_LONGEST_STEP} bytes; shorten it"
            )
        if name in groups:
            raise InvalidNameError(f"{template}: two groups have one name; let it have all of: {', '.join(by)}")
        if isinstance(kind, Parquet):
            kind.check_count(group[-1], name)
        groups[name] = (name, group[0], group[-1])
    return [groups[name] for name in sorted(groups)]


def _in_a_name(value: object) -> object:
    r"""Write what has a meaning in paths, and in Hive's names of partitions, as ``%2F``."""
    if not isinstance(value, str):
        return value
    # A name of dots alone would lead out of its folder.
    unsafe = r"""[\x00-\x1f\x7f"#%'*/:=?\\{}\[\]^]""" if value.strip(". ") else "."
    return re.sub(unsafe, lambda found: f"%{ord(found[0]):02X}", value)


def _write_parts_of_groups(
    rows: DataFrame, by: Sequence[str], content: Sequence[str], kind: Format, order_by: Sequence[str | Column],
    common: _Place,
) -> None:  # fmt: skip
    """Write all groups' parts, each group in a folder of its own, in the order of their numbers."""
    with_key = rows.withColumn(_GROUP, _key(rows, by))
    columns = _order(with_key, [_GROUP, *order_by])
    if isinstance(kind, Parquet):
        # What cannot be joined is written by one task a group.
        ordered = with_key.repartition(F.col(_GROUP)).sortWithinPartitions(*columns)
    else:
        ordered = with_key.orderBy(*columns)
    chosen = ordered.select(_GROUP, *(_column(ordered, column) for column in content))
    with common.effect("spark.write", common.folder("parts")):
        _write(chosen, kind, common.folder("parts"), compressed=common.compressed, partition_by=[_GROUP])


# Names


def named(template: str, /, **values: object) -> str:
    """Fill a file's name.

    Args:
        template: with values in braces, formatted as Python does it: ``exports/{as_of:%Y-%m}/on_time.csv.gz``.
        values: by name. Text must not lead to another folder.

    Raises:
        InvalidNameError: a value is missing, or has no safe form.

    Example:
        >>> from datetime import date
        >>> named("exports/{as_of:%Y-%m}/{carrier}.csv", as_of=date(2013, 2, 1), carrier="UA")
        'exports/2013-02/UA.csv'
    """
    for _, name, _, _ in string.Formatter().parse(template):
        if name is None:
            continue
        if name not in values:
            raise InvalidNameError(f"{template!r}: {{{name}}} has no value; there are: {', '.join(values) or 'none'}")
        value = values[name]
        if isinstance(value, str) and (not value.strip(". ") or re.search(r"[/\\\x00-\x1f]", value)):
            raise InvalidNameError(f"{template!r}: the value of {{{name}}} is empty or would lead to another folder")
    try:
        return template.format(**values)
    except (ValueError, TypeError) as error:
        raise InvalidNameError(f"{template!r} cannot be filled: {error}") from error


# Formats

TIMESTAMPS = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"
"""Spark's default would cut a time after its milliseconds."""
TIMESTAMPS_WITHOUT_ZONE = TIMESTAMPS.removesuffix("XXX")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Csv:
    r"""Comma-separated values in UTF-8, a quote within quotes doubled (RFC 4180), lines ended by ``\n``.

    NULL and the empty string stay different: the one is written as ``null``, the other as ``""``, unless ``quote_all`` puts
    both in quotes. Spaces around a value stay.

    Attributes:
        separator: between values.
        header: whether the first line has the columns' names.
        quote_all: quote every value, not only where it is needed.
        null: what stands for NULL. Text that is the same as this cannot be told from it.
        bom: begin with a byte order mark, by which Excel knows UTF-8.
        timestamps: how they are written.
    """

    separator: str = ","
    header: bool = True
    quote_all: bool = False
    null: str = ""
    bom: bool = False
    timestamps: str = TIMESTAMPS
    name: ClassVar[str] = "csv"

    @property
    def options(self) -> dict[str, Any]:
        """The options of Spark's writer, without the header."""
        return {
            "sep": self.separator,
            "quoteAll": self.quote_all,
            "escape": '"',
            "nullValue": self.null,
            "ignoreLeadingWhiteSpace": False,
            "ignoreTrailingWhiteSpace": False,
            "timestampFormat": self.timestamps,
            "timestampNTZFormat": TIMESTAMPS_WITHOUT_ZONE,
        }

    def check(self, schema: StructType, target: str) -> None:
        """Refuse columns that CSV has no way to write."""
        _check_names(schema, target)
        nested = [column.name for column in schema if not _is_flat(column.dataType)]
        if nested:
            raise UnsupportedRowsError(
                f"{target}: CSV has no way to write {', '.join(nested)}; select their fields, or write to_json(...), for "
                "binary base64(...)"
            )

    def prelude(self, rows: DataFrame, place: _Place) -> bytes:
        """Have Spark write the header, so that it is quoted as the rows are."""
        mark = _BOM if self.bom else b""
        if not self.header:
            return mark
        none = rows.sparkSession.createDataFrame([], rows.schema)
        with place.effect("spark.write", place.folder("header")):
            _write(none, self, place.folder("header"), compressed=False, header=True)
        return mark + b"".join(place.read(part) for part in place.staged("header/"))


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line.

    Attributes:
        nulls: whether a NULL is written as ``null``, or left out.
        timestamps: how they are written.
    """

    nulls: bool = True
    timestamps: str = TIMESTAMPS
    name: ClassVar[str] = "json"

    @property
    def options(self) -> dict[str, Any]:
        """The options of Spark's writer."""
        return {
            "ignoreNullFields": not self.nulls,
            "timestampFormat": self.timestamps,
            "timestampNTZFormat": TIMESTAMPS_WITHOUT_ZONE,
        }

    def check(self, schema: StructType, target: str) -> None:
        """Refuse columns that share a name."""
        _check_names(schema, target)

    def prelude(self, rows: DataFrame, place: _Place) -> bytes:
        """Nothing stands in front."""
        return b""


@dataclass(frozen=True)
class Text:
    """The only column, of text, as it is: one line a row."""

    name: ClassVar[str] = "text"

    @property
    def options(self) -> dict[str, Any]:
        """The options of Spark's writer."""
        return {}

    def check(self, schema: StructType, target: str) -> None:
        """Refuse everything but one column of text."""
        if len(schema) != 1 or not isinstance(schema[0].dataType, StringType):
            raise UnsupportedRowsError(
                f"{target}: text takes one column of type string, there are: {', '.join(schema.names)}; make it with "
                "concat_ws(...) or format_string(...)"
            )

    def prelude(self, rows: DataFrame, place: _Place) -> bytes:
        """Nothing stands in front."""
        return b""


@dataclass(frozen=True)
class Parquet:
    """One Parquet file. Parts of it cannot be joined by their bytes, so one task encodes the rows of a file.

    What comes before is computed by all tasks, and kept on the executors' disks. The task holds one row group, not all rows.

    Attributes:
        compression: inside the file: ``snappy``, ``zstd``, ``gzip`` or ``none``.
        most_rows: of a file. More are refused before anything is written: readers of so much take a folder.
    """

    compression: str = "snappy"
    most_rows: int = 20_000_000
    name: ClassVar[str] = "parquet"

    @property
    def options(self) -> dict[str, Any]:
        """The options of Spark's writer."""
        return {"compression": self.compression}

    def check(self, schema: StructType, target: str) -> None:
        """Refuse columns that share a name or have no type, and a name that says the file is compressed as a whole."""
        _check_names(schema, target)
        if empty := [column.name for column in schema if isinstance(column.dataType, NullType)]:
            raise UnsupportedRowsError(f"{target}: Parquet has no type for {', '.join(empty)}; give one with cast(...)")
        if target.endswith(".gz"):
            raise InvalidNameError(
                f"{target}: Parquet is compressed inside; leave .gz out, and say Parquet(compression='gzip')"
            )

    def check_count(self, rows: int, target: str) -> None:
        """Refuse more rows than one task should encode."""
        if rows > self.most_rows:
            raise UnsupportedRowsError(
                f"{target}: {rows:,} rows are more than the {self.most_rows:,} of one Parquet file; write a folder, or "
                "raise most_rows"
            )

    def prelude(self, rows: DataFrame, place: _Place) -> bytes:
        """Nothing stands in front."""
        return b""


_ENDINGS: dict[str, Format] = {
    ".csv": Csv(),
    ".tsv": Csv(separator="\t"),
    ".jsonl": JsonLines(),
    ".ndjson": JsonLines(),
    ".json": JsonLines(),
    ".txt": Text(),
    ".parquet": Parquet(),
}
_REFUSED = {
    ".xlsx": "a workbook is one ZIP file that one process has to write, of at most 1,048,576 rows; Excel opens a .csv with "
    "Csv(bom=True)",
    ".zst": "Spark cannot write zstd without Hadoop's native library; take .gz",
}


def format_of(target: str) -> Format:
    """Tell a file's format by its name.

    Raises:
        InvalidNameError: the ending is none that is known.
    """
    ending = Path(target.removesuffix(".gz")).suffix
    if ending in _REFUSED:
        raise InvalidNameError(f"{target}: {ending} is not offered: {_REFUSED[ending]}")
    if ending not in _ENDINGS:
        raise InvalidNameError(
            f"{target}: {ending or 'no ending'} says no format; end with one of {', '.join(_ENDINGS)}, or give one"
        )
    return _ENDINGS[ending]


def _check_names(schema: StructType, target: str) -> None:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise UnsupportedRowsError(
            f"{target}: more than one column is called {', '.join(twice)}; rename them with alias(...)"
        )


def _is_flat(kind: DataType) -> bool:
    return not isinstance(kind, StructType | ArrayType | MapType | BinaryType | NullType) and kind.typeName() != "variant"


def _write(
    rows: DataFrame, kind: Format, folder: str, *, compressed: bool, header: bool = False, partition_by: Sequence[str] = ()
) -> None:
    compression = {} if isinstance(kind, Parquet) else {"compression": "gzip" if compressed else "none"}
    options = kind.options | compression | ({"header": True} if header else {})
    rows.write.format(kind.name).options(**options).mode("overwrite").partitionBy(*partition_by).save(folder)


# Order


def in_order(rows: DataFrame, order_by: Sequence[str | Column]) -> DataFrame:
    """Sort rows totally: ties by all other columns, so that only rows that are the same tie."""
    return rows.orderBy(*_order(rows, order_by))


def _order(rows: DataFrame, order_by: Sequence[str | Column]) -> list[Column]:
    given = {name for name in order_by if isinstance(name, str)}
    others = [_comparable(rows, column.name, column.dataType) for column in rows.schema if column.name not in given]
    return [*(_column(rows, name) if isinstance(name, str) else name for name in order_by), *others]


def _column(rows: DataFrame, name: str) -> Column:
    return rows["`" + name.replace("`", "``") + "`"]


def _comparable(rows: DataFrame, name: str, kind: DataType) -> Column:
    column = _column(rows, name)
    # Spark cannot compare a map, nor what holds one; the text of its JSON is what the file has.
    return F.to_json(column) if {"map", "variant"} & set(re.findall(r"\w+", kind.simpleString())) else column


# The arithmetic of joining (Amazon S3 User Guide, "Amazon S3 multipart upload limits")

MIB = 1 << 20
GIB = 1 << 30
SMALLEST_PART = 5 * MIB
LARGEST_PART = 5 * GIB
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes ``start`` (included) to ``end`` (excluded) of source number ``source``."""

    source: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start


Part = tuple[Piece, ...]
"""One piece is copied on the server, if it is large enough; several are read and uploaded, less than 10 MiB together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to join objects.

    Attributes:
        groups: neighbours that are joined to an object of their own first, because there are too many; else empty.
        parts: of the target. Their sources are the groups, if there are any.
    """

    groups: tuple[range, ...]
    parts: tuple[Part, ...]


def plan_join(sizes: Sequence[int]) -> Plan:
    """Plan a join within S3's limits: parts of 5 MiB to 5 GiB, the last may be smaller, at most 10,000.

    Objects that are too small to be a part are gathered until they make one; when a large one follows, it gives up its first
    bytes to fill the part, or all of them if too few would be left to be copied. Large ones are copied in ranges of 1 GiB,
    which run in parallel, or of 5 GiB if there would be too many.

    Args:
        sizes: of the objects in order, in bytes.

    Raises:
        SingleFileError: even in groups there are too many.

    Example:
        >>> [sum(piece.size for piece in part) // MIB for part in plan_join([1 * MIB, 2 * MIB, 10 * MIB]).parts]
        [5, 8]
        >>> [sum(piece.size for piece in part) // MIB for part in plan_join([1 * MIB, 6 * MIB, 6 * MIB]).parts]
        [7, 6]
    """
    for largest in (GIB, LARGEST_PART):
        parts = _cut(sizes, largest)
        if len(parts) <= MOST_PARTS:
            return Plan((), tuple(parts))
    groups = _grouped(sizes)
    parts = _cut([sum(sizes[group.start : group.stop]) for group in groups], LARGEST_PART)
    if len(parts) > MOST_PARTS:
        raise SingleFileError(
            f"{len(sizes):,} parts of {sum(sizes):,} bytes are more than one object can hold; write several"
        )
    return Plan(tuple(groups), tuple(parts))


def _cut(sizes: Sequence[int], largest: int) -> list[Part]:
    parts: list[Part] = []
    gathered: list[Piece] = []
    room = SMALLEST_PART
    for source, size in enumerate(sizes):
        start = 0
        while start < size:
            if gathered or size - start < SMALLEST_PART:
                end = min(size, start + room)
                if 0 < size - end < SMALLEST_PART <= size - start:
                    end = size  # else the rest could not be copied, and would take of the next object, and so on
                gathered.append(Piece(source, start, end))
                room -= end - start
                if room <= 0:
                    parts.append(tuple(gathered))
                    gathered, room = [], SMALLEST_PART
            else:
                end = min(size, start + largest)
                if 0 < size - end < SMALLEST_PART:
                    end -= SMALLEST_PART  # leaves a rest that is large enough to be copied
                parts.append((Piece(source, start, end),))
            start = end
    if gathered:
        parts.append(tuple(gathered))
    return parts


def _grouped(sizes: Sequence[int]) -> list[range]:
    """Group neighbours so that each group needs at most 10,000 parts: of each object its ranges, and one that it fills."""
    groups, first, needed = [], 0, 0
    for source, size in enumerate(sizes):
        parts = math.ceil(size / LARGEST_PART) + 1
        if needed + parts > MOST_PARTS:
            groups.append(range(first, source))
            first, needed = source, 0
        needed += parts
    return [*groups, range(first, len(sizes))]


# Places


@dataclass(frozen=True, slots=True)
class _Staged:
    """An object that waits to be joined.

    Attributes:
        name: its key or path.
        size: in bytes.
        etag: of an object in S3.
    """

    name: str
    size: int
    etag: str = ""


_PART = re.compile(r"part-(\d+)-.*?(?:-c(\d+))?(?:\..*)?")


def _position(name: str) -> tuple[int, int, int]:
    """Give the place of a staged object in the file: what is no part of Spark's comes first."""
    found = _PART.fullmatch(name.rpartition("/")[2])
    return (1, int(found[1]), int(found[2] or 0)) if found else (0, 0, 0)


@dataclass
class _Place(ABC):
    """Where a file appears, and where it waits until then: in a folder or prefix of its run, below one of the target."""

    target: str
    run: str
    existing: Existing
    effect: Effect
    published: bool = field(default=False, init=False)
    attempt: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)

    @property
    def compressed(self) -> bool:
        """Whether the file's name says so."""
        return self.target.endswith(".gz")

    @abstractmethod
    def folder(self, name: str) -> str:
        """Give the URI under which Spark writes."""

    @abstractmethod
    def prepare(self) -> SingleFile | None:
        """Take away what dead runs left; return what an attempt before has published and not come to finish."""

    @abstractmethod
    def put(self, name: str, body: bytes) -> None:
        """Stage a small object."""

    @abstractmethod
    def read(self, staged: _Staged) -> bytes:
        """Read a small staged object."""

    @abstractmethod
    def staged(self, *prefixes: str) -> list[_Staged]:
        """List staged objects that are not hidden, in the order of the file."""

    @abstractmethod
    def join(self, parts: Sequence[_Staged], *, with_digest: bool) -> str | None:
        """Join everything into what can appear by one step; return the digest."""

    @abstractmethod
    def publish(self, made: SingleFile) -> SingleFile:
        """Let the file appear, then its control file."""

    @abstractmethod
    def discard(self) -> None:
        """Take away what is staged."""

    def finish(self, made: SingleFile) -> SingleFile:
        """Stage the control file, publish, clean up."""
        if not self.published:
            # From here on an attempt again can tell what it has published.
            self.put(f"control/{self.attempt}.json", made.to_json().encode())
        made = self.publish(made)
        self.discard()
        return made

    def _exists(self) -> TargetExistsError:
        return TargetExistsError(
            f"{self.target} exists and is not to be replaced; choose another name, or existing='overwrite'"
        )


def _open(target: str, staging: str | None, run: str, existing: Existing, client: Any, effect: Effect) -> _Bucket | _Folder:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run):
        raise InvalidNameError(f"run {run!r} must have letters, digits, and . _ - after the first only: it names a folder")
    if found := re.fullmatch(r"(s3a?)://([^/]+)/(.*[^/])", target):
        return _Bucket(target, run, existing, effect, found[1], found[2], found[3], staging, client)
    path = target.removeprefix("file://")
    if "://" in path or path.endswith("/") or not path:
        raise InvalidNameError(f"{target!r} names no file; write s3://bucket/key or a path")
    return _Folder(target, run, existing, effect, Path(path).absolute(), staging)


# S3

_COPIES_AT_ONCE = 8
_CHUNK = MIB
_AT_ONCE = 1024 * MIB
_CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload", "412", "409"}


class _Bucket(_Place):
    """Staged objects below ``<staging>/<run>/``, an upload of the target, and ``upload/<id>`` that remembers it."""

    def __init__(
        self, target: str, run: str, existing: Existing, effect: Effect, scheme: str, bucket: str, key: str,
        staging: str | None, client: Any,
    ) -> None:  # fmt: skip
        super().__init__(target, run, existing, effect)
        at = (staging or f"{scheme}://{bucket}/_gluewright/single_file_output/{key}").rstrip("/")
        found = re.fullmatch(r"(s3a?)://([^/]+)/(.+)", at)
        if not found:
            raise InvalidNameError(f"staging {staging!r} of {target} must be a prefix of a bucket: s3://bucket/prefix")
        self._object = {"Bucket": bucket, "Key": key}
        self._scheme, self._staging, self._root = found[1], found[2], f"{found[3]}/"
        self._own = f"{self._root}{run}/"
        self._s3: Any = client or _s3_client(target)
        self._upload: dict[str, Any] | None = None
        self._done: list[dict[str, Any]] = []
        self._small: bytes | None = None

    def folder(self, name: str) -> str:
        return f"{self._scheme}://{self._staging}/{self._own}{name}"

    def prepare(self) -> SingleFile | None:
        self._check_versions()
        found, runs = self._head(self._object["Key"]), self._runs()
        if found and (finished := self._published_before(found, runs.get(self.run, []))):
            self.published, self.attempt = True, found["Metadata"]["attempt"]
            return finished
        self._sweep(runs)
        if found and self.existing == "refuse":
            raise self._exists()
        return None

    def _published_before(self, found: Mapping[str, Any], mine: Sequence[Mapping[str, Any]]) -> SingleFile | None:
        """Return what an attempt before has published: its control file still waits, or it died while cleaning up."""
        if found["Metadata"].get("run") != self.run:
            return None
        control = f"{self._own}control/{found['Metadata']['attempt']}.json"
        if control in [each["Key"] for each in mine]:
            return SingleFile.from_json(self._get(control).decode())
        beside = {**self._object, "Key": self._object["Key"] + CONTROL}
        if self.existing == "refuse" and self._head(beside["Key"]):
            told = SingleFile.from_json(self._s3.get_object(**beside)["Body"].read().decode())
            return told if told.etag == found["ETag"].strip('"') else None
        return None

    def put(self, name: str, body: bytes) -> None:
        with self.effect("storage.write", self.folder(name)):
            self._s3.put_object(Bucket=self._staging, Key=self._own + name, Body=body)

    def read(self, staged: _Staged) -> bytes:
        return self._get(staged.name)

    def staged(self, *prefixes: str) -> list[_Staged]:
        found = []
        for prefix in prefixes:
            for each in self._list(self._own + prefix):
                name = each["Key"].removeprefix(self._own)
                if not name.rpartition("/")[2].startswith(("_", ".")) and each["Size"]:
                    found.append(_Staged(each["Key"], each["Size"], each["ETag"]))
        return sorted(found, key=lambda each: _position(each.name))

    def join(self, parts: Sequence[_Staged], *, with_digest: bool) -> str | None:
        if sum(part.size for part in parts) < SMALLEST_PART:
            self._small = b"".join(self.read(part) for part in parts)
            return hashlib.sha256(self._small).hexdigest() if with_digest else None
        with ThreadPoolExecutor(1) as beside:
            digest = beside.submit(self._digest, parts) if with_digest else None
            plan = plan_join([part.size for part in parts])
            sources = [self._grouped(number, parts[of.start : of.stop]) for number, of in enumerate(plan.groups)] or parts
            self._upload = self._begin_target()
            self._done = self._put_parts(self._upload, sources, plan.parts)
            return digest.result() if digest else None

    def publish(self, made: SingleFile) -> SingleFile:
        if not self.published:
            self._switch()
            self.published = True
        found = self._head(self._object["Key"])
        made = replace(made, etag=found["ETag"].strip('"'), version=found.get("VersionId")) if found else made
        self._record(made)
        return made

    def discard(self) -> None:
        if self._upload:
            self._abort(self._upload)
            self._upload = None
        self._take_away({self.run}, self._list(self._own))

    def _switch(self) -> None:
        """Let the file appear. Who gets an error may have won: an answer can be lost, and the request be sent again."""
        condition = {"IfNoneMatch": "*"} if self.existing == "refuse" else {}
        try:
            with self.effect("storage.write", self.target):
                if self._upload:
                    parts = {"Parts": self._done}
                    self._s3.complete_multipart_upload(**self._upload, MultipartUpload=parts, **condition)
                else:
                    self._s3.put_object(**self._object, Body=self._small, Metadata=self._metadata, **condition)
        except (ClientError, BotoCoreError) as error:
            found = self._head(self._object["Key"])
            if found and not self._is_ours(found) and _code(error) in _CONFLICTS:
                raise (self._exists() if condition else self._overtaken()) from error
            if not found or not self._is_ours(found):
                raise
        else:
            self._upload = None

    def _record(self, made: SingleFile) -> None:
        """Write the control file of what is there: only while it is this run's, and over nothing newer.

        Read the control file's version first and look at the file then: a run that published later either is seen, or has
        not written its control file yet and writes over this one.
        """
        control = {"Bucket": self._object["Bucket"], "Key": self._object["Key"] + CONTROL}
        while True:
            there = self._head(control["Key"])
            found = self._head(self._object["Key"])
            if found is None or not self._is_ours(found):
                raise self._overtaken()
            condition = {"IfMatch": there["ETag"]} if there else {"IfNoneMatch": "*"}
            try:
                with self.effect("storage.write", self.target + CONTROL):
                    self._s3.put_object(**control, Body=made.to_json().encode(), **condition)
            except ClientError as error:
                if _code(error) not in _CONFLICTS | {"NoSuchKey", "404"}:
                    raise
            else:
                return

    def _overtaken(self) -> TargetOvertakenError:
        return TargetOvertakenError(
            f"{self.target} was replaced by another run at the same time; run again to write it anew"
        )

    @property
    def _metadata(self) -> dict[str, str]:
        return {"run": self.run, "attempt": self.attempt}

    def _is_ours(self, found: Mapping[str, Any]) -> bool:
        return bool(found["Metadata"].get("attempt") == self.attempt)

    def _begin_target(self) -> dict[str, Any]:
        with self.effect("storage.begin", self.target):
            begun = self._s3.create_multipart_upload(**self._object, Metadata=self._metadata)
        self._upload = {**self._object, "UploadId": begun["UploadId"]}
        self.put(f"upload/{begun['UploadId']}", b"")
        return self._upload

    def _grouped(self, number: int, sources: Sequence[_Staged]) -> _Staged:
        """Join a group in the staging prefix."""
        name = f"groups/{number:05d}"
        where = {"Bucket": self._staging, "Key": self._own + name}
        upload = {**where, "UploadId": self._s3.create_multipart_upload(**where)["UploadId"]}
        parts = _cut([source.size for source in sources], LARGEST_PART)
        with self.effect("storage.write", self.folder(name)):
            done = {"Parts": self._put_parts(upload, sources, parts)}
            etag = self._s3.complete_multipart_upload(**upload, MultipartUpload=done)["ETag"]
        return _Staged(where["Key"], sum(source.size for source in sources), etag)

    def _put_parts(self, upload: dict[str, Any], sources: Sequence[_Staged], parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Copy the parts, a few at once, each with a buffer of less than 10 MiB."""
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            waiting: list[Future[str]] = [
                pool.submit(self._put_part, {**upload, "PartNumber": number}, sources, part)
                for number, part in enumerate(parts, start=1)
            ]
            try:
                return [{"PartNumber": number, "ETag": each.result()} for number, each in enumerate(waiting, start=1)]
            except BaseException:
                # An upload is aborted for good only when nothing is on its way any more.
                pool.shutdown(cancel_futures=True)
                raise

    def _put_part(self, part_of: dict[str, Any], sources: Sequence[_Staged], part: Part) -> str:
        first = part[0]
        if len(part) == 1 and first.size >= SMALLEST_PART:
            source = sources[first.source]
            copied = self._s3.upload_part_copy(
                **part_of,
                CopySource={"Bucket": self._staging, "Key": source.name},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={first.start}-{first.end - 1}",
            )
            return str(copied["CopyPartResult"]["ETag"])
        body = b"".join(self._range(sources[piece.source], piece) for piece in part)
        return str(self._s3.upload_part(**part_of, Body=body)["ETag"])

    def _range(self, source: _Staged, piece: Piece) -> bytes:
        wanted = f"bytes={piece.start}-{piece.end - 1}"
        return self._get(source.name, Range=wanted, IfMatch=source.etag)

    def _digest(self, parts: Sequence[_Staged]) -> str:
        digest = hashlib.sha256()
        for part in parts:
            found = self._s3.get_object(Bucket=self._staging, Key=part.name, IfMatch=part.etag)
            for chunk in found["Body"].iter_chunks(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def _get(self, key: str, **more: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=self._staging, Key=key, **more)["Body"].read())

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            return dict(self._s3.head_object(Bucket=self._object["Bucket"], Key=key))
        except ClientError as error:
            if _code(error) in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise

    def _list(self, prefix: str) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._staging, Prefix=prefix)
        return [found for page in pages for found in page.get("Contents", [])]

    def _runs(self) -> dict[str, list[dict[str, Any]]]:
        """List what is staged for this target, by run."""
        runs: dict[str, list[dict[str, Any]]] = {}
        for found in self._list(self._root):
            runs.setdefault(found["Key"].removeprefix(self._root).partition("/")[0], []).append(found)
        return runs

    def _sweep(self, runs: Mapping[str, list[dict[str, Any]]]) -> None:
        """Take away what an attempt before and abandoned runs have left."""
        long_ago = datetime.now(UTC) - ABANDONED
        dead = {run for run, found in runs.items() if max(each["LastModified"] for each in found) < long_ago}
        dead |= {self.run} & runs.keys()
        noted = {_upload_id(each["Key"]): run for run, found in runs.items() for each in found}
        for upload in self._uploads(self._object["Bucket"], self._object["Key"]):
            run = noted.get(upload["UploadId"])
            # A run that died may not have come to note its upload.
            is_nobodys = run is None and (self.run in dead or upload["Initiated"] < long_ago)
            if upload["Key"] == self._object["Key"] and (run in dead or is_nobodys):
                self._abort({**self._object, "UploadId": upload["UploadId"]})
        # Last what is staged: by it the uploads are known.
        self._take_away(dead | {self.run}, [each for run in dead for each in runs[run]])

    def _take_away(self, runs: Collection[str], staged: Sequence[Mapping[str, Any]]) -> None:
        """Delete what is staged, and abort uploads into the staging prefix: Spark's own, and those of groups."""
        for upload in self._uploads(self._staging, self._root):
            if upload["Key"].removeprefix(self._root).partition("/")[0] in runs:
                self._abort({"Bucket": self._staging, "Key": upload["Key"], "UploadId": upload["UploadId"]})
        self._delete([each["Key"] for each in staged])

    def _uploads(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
        return [upload for page in pages for upload in page.get("Uploads", [])]

    def _abort(self, upload: dict[str, Any]) -> None:
        with self.effect("storage.abort", f"{self._scheme}://{upload['Bucket']}/{upload['Key']}"):
            try:
                self._s3.abort_multipart_upload(**upload)
            except ClientError as error:
                if _code(error) not in {"NoSuchUpload", "404"}:
                    raise

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 1000):
            batch = [{"Key": key} for key in keys[start : start + 1000]]
            with self.effect("storage.delete", self.folder("")):
                answer = self._s3.delete_objects(Bucket=self._staging, Delete={"Objects": batch, "Quiet": True})
            if errors := answer.get("Errors"):
                raise SingleFileError(
                    f"{self.target}: {len(errors)} staged objects were not deleted, the first {errors[0].get('Key')} "
                    f"({errors[0].get('Code')}); grant s3:DeleteObject on {self._scheme}://{self._staging}/{self._root}"
                )

    def _check_versions(self) -> None:
        if self.existing != "keep_version":
            return
        if self._s3.get_bucket_versioning(Bucket=self._object["Bucket"]).get("Status") != "Enabled":
            raise UnsupportedTargetError(f"{self.target}: the bucket keeps no versions; enable versioning, or overwrite")


def _upload_id(key: str) -> str:
    folder, _, name = key.rpartition("/")
    return name if folder.endswith("/upload") else ""


def _s3_client(target: str) -> Any:
    try:
        import boto3  # noqa: PLC0415 - files in a folder need no boto3
    except ModuleNotFoundError:
        raise UnsupportedTargetError(f"{target}: s3:// needs boto3: pip install boto3; Glue has it") from None
    return boto3.client("s3")


def _code(error: ClientError | BotoCoreError) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


# A local folder


def _append(name: str, joined: BinaryIO) -> None:
    """Copy a file behind what is there: by the kernel, where it does that, which saves carrying the bytes through here."""
    joined.flush()
    with Path(name).open("rb") as source:
        with suppress(AttributeError, OSError):
            while os.copy_file_range(source.fileno(), joined.fileno(), _AT_ONCE):
                pass
        # What is left: all where there is no such call, else nothing.
        shutil.copyfileobj(source, joined)


def _add_to(digest: hashlib._Hash, name: str) -> None:
    with Path(name).open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)


class _Folder(_Place):
    """Staged files in ``.<name>.staging/<run>/`` beside the target."""

    def __init__(self, target: str, run: str, existing: Existing, effect: Effect, path: Path, staging: str | None) -> None:
        super().__init__(target, run, existing, effect)
        self._path = path
        default = path.parent / f".{path.name}.staging"
        self._root = Path(staging.removeprefix("file://")).absolute() if staging else default
        self._own = self._root / run
        self._joined = self._own / "joined"
        self._control = path.with_name(path.name + CONTROL)

    def folder(self, name: str) -> str:
        return f"file://{self._own / name}"

    def prepare(self) -> SingleFile | None:
        if self.existing == "keep_version":
            raise UnsupportedTargetError(f"{self.target}: a folder keeps no versions; use a bucket that does, or overwrite")
        if finished := self._published_before():
            self.published = True
            return finished
        long_ago = (datetime.now(UTC) - ABANDONED).timestamp()
        for run in self._root.iterdir() if self._root.exists() else ():
            if run == self._own or max(each.stat().st_mtime for each in (run, *run.rglob("*"))) < long_ago:
                self._remove(run)
        if self._path.exists() and self.existing == "refuse":
            raise self._exists()
        return None

    def _published_before(self) -> SingleFile | None:
        """Return what an attempt before has published: its control file still waits, or it died while cleaning up."""
        if self.existing != "refuse" or not self._path.exists():
            return None
        waiting = list(self._own.glob("control/*.json"))
        if waiting and self._joined.exists() and self._joined.samefile(self._path):
            return SingleFile.from_json(waiting[0].read_text("utf-8"))
        told = SingleFile.from_json(self._control.read_text("utf-8")) if self._control.exists() else None
        return told if told and told.run == self.run else None

    def put(self, name: str, body: bytes) -> None:
        path = self._own / name
        with self.effect("storage.write", self.folder(name)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def read(self, staged: _Staged) -> bytes:
        return Path(staged.name).read_bytes()

    def staged(self, *prefixes: str) -> list[_Staged]:
        found = []
        for prefix in prefixes:
            at = self._own / prefix
            for path in at.iterdir() if at.is_dir() else [at] if at.exists() else []:
                if not path.name.startswith(("_", ".")):
                    found.append(_Staged(str(path), path.stat().st_size))
        return sorted(found, key=lambda each: _position(each.name))

    def join(self, parts: Sequence[_Staged], *, with_digest: bool) -> str | None:
        digest = hashlib.sha256()
        self._own.mkdir(parents=True, exist_ok=True)
        writing = self.effect("storage.write", self.folder("joined"))
        with ThreadPoolExecutor(1) as beside, writing, self._joined.open("wb") as joined:
            for part in parts:
                digested = beside.submit(_add_to, digest, part.name) if with_digest else None
                _append(part.name, joined)
                if digested:
                    digested.result()
                # Now, so that the disk needs room for one file and never writes what is thrown away.
                Path(part.name).unlink()
            joined.flush()
            os.fsync(joined.fileno())
        return digest.hexdigest() if with_digest else None

    def publish(self, made: SingleFile) -> SingleFile:
        """Hold a lock between the two steps, so that a file and its control file are of one run."""
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not self.published:
                self._switch()
                self.published = True
            self.put("record.json", made.to_json().encode())
            with self.effect("storage.write", self.target + CONTROL):
                (self._own / "record.json").replace(self._control)
        finally:
            os.close(folder)
        return made

    def discard(self) -> None:
        self._remove(self._own)

    def _switch(self) -> None:
        with self.effect("storage.write", self.target):
            if self.existing == "overwrite":
                self._joined.replace(self._path)
                return
            try:
                # Unlike a rename, a link does not replace; and by it an attempt again knows its own file.
                self._path.hardlink_to(self._joined)
            except FileExistsError:
                raise self._exists() from None

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            with self.effect("storage.delete", f"file://{folder}"):
                shutil.rmtree(folder)
        with suppress(OSError):
            self._root.rmdir()
