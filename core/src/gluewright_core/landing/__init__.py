"""Read landed files (CSV, JSON lines, Parquet) so that no record is lost, split or shifted without a word.

Spark's own readers take a record that is too short, a quote that is never closed or a byte that is not UTF-8 and make a row
of it. Here such a record becomes a row without values and with a problem, which
:func:`gluewright_core.schema.conform.conform` and :meth:`gluewright_core.dataset.Dataset.save` send to quarantine:

=================  ====================================================================================================
rule               the record
=================  ====================================================================================================
``fields``         has more or fewer values than the header of its file
``quote``          has a quoted value that is not closed before the file ends; the record holds every line from there on
``quoting``        has text behind a closing quote, or a carriage return outside quotes
``encoding``       has bytes that are not UTF-8; the record is shown as base64
``json``           is not one JSON object, or has another structure than the contract: a list where a struct is expected
``duplicate_key``  is a JSON object with the same key twice
=================  ====================================================================================================

Values are text, as they stand in the file; the contract gives them types.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from gluewright_core.errors import LandingError
from gluewright_core.schema.conform import LANDED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gluewright_core.schema.contract import Contract

__all__ = ["LANDED", "Format", "LandingError", "read_landing"]


class Format(StrEnum):
    """How landed files are written."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def read_landing(
    spark: SparkSession,
    location: str | Sequence[str],
    contract: Contract | None = None,
    format: Format | str = Format.CSV,  # noqa: A002 - Spark's name for it
    *,
    base: str = "",
    separator: str = ",",
    null: str = "",
    quoted_null: bool = False,
    multiline: bool = True,
) -> DataFrame:
    r"""Read landed files as rows for :meth:`gluewright_core.dataset.Dataset.save`, those that cannot be parsed included.

    Every CSV file is read by its own header, in UTF-8 and as RFC 4180 says: a quote in a quoted value is doubled, and a
    quoted value may hold line breaks. A JSON file has one object per line; its files are read once more, first, to find the
    keys. Files whose names begin with ``_`` or ``.``, and files of 0 bytes, are passed over. ``.gz`` files of CSV and JSON
    are decompressed. The files are listed once, so a file that arrives later is not read by half.

    Limits: keys that occur twice inside a nested object are not found. Where a JSON key holds a list in some lines and an
    object in others, nested fields that the contract does not have are left out without a report. A column that only some
    Parquet files lack is NULL in their rows without one. CSV takes several times as long as with Spark's own reader.

    Args:
        spark: the session.
        location: a folder, a file, or several of them. Folders within a folder are read too.
        contract: what the rows are to become; it decides which parts of a JSON object stay structs, arrays and maps. Only
            Parquet files need none.
        format: how the files are written.
        base: the folder below which ``name=value`` folders are columns, as ``dt=2026-01-05``; by default the location, if
            it is one.
        separator: between the values of a CSV record; one character.
        null: the text of an unquoted CSV value that stands for NULL, such as ``NA``; nothing between two separators is NULL
            too.
        quoted_null: whether a quoted value can stand for NULL too, for writers that quote everything.
        multiline: whether quoted CSV values may hold line breaks. Without them large files are read by several tasks, and a
            quote that is not closed is a problem of its own line only.

    Returns:
        The columns of the files as text (those of Parquet files as they are), then those of the folders, then
        ``_gw_landing``: the file and, for a record that cannot be parsed, the record itself and its problem. Such a row has
        NULL in every other column, so keep ``_gw_landing`` until the rows are saved or conformed, or filter by
        ``_gw_landing.problems IS NULL``.

    Raises:
        LandingError: there are no files, or a file cannot be read at all: UTF-16, a damaged gzip, a header that names a
            column twice or none of the contract, Parquet files whose types contradict each other.

    Example:
        >>> landed = read_landing(spark, "s3://landing/orders", ORDERS, "csv", null="NA")             # doctest: +SKIP
        >>> saved = orders.save(landed, run=job.run.id, replace=ALL)                                  # doctest: +SKIP
        >>> (saved.read, saved.published.rows, saved.quarantined)                                     # doctest: +SKIP
        (1000, 998, 2)
    """
    from gluewright_core.landing.files import find_files  # noqa: PLC0415 - only where files are read

    try:
        kind = Format(format)
    except ValueError:
        raise LandingError(f"unknown format {format!r}; use one of {', '.join(Format)}") from None
    found = find_files([location] if isinstance(location, str) else list(location), base, text=kind is not Format.PARQUET)
    if kind is Format.PARQUET:
        from gluewright_core.landing.parquet_files import read_parquet  # noqa: PLC0415

        return read_parquet(spark, found, contract)
    if contract is None:
        raise LandingError(f"{found.location}: {kind} files need a contract: it says which columns they have")
    if kind is Format.CSV:
        from gluewright_core.landing.csv_records import read_csv  # noqa: PLC0415

        return read_csv(spark, found, contract, separator=separator, null=null, quoted_null=quoted_null, multiline=multiline)
    from gluewright_core.landing.json_lines import read_json  # noqa: PLC0415

    return read_json(spark, found, contract)
