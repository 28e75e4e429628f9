# gluewright-cdc-merge 0.1.0 feeds/__init__.py
# SPDX-License-Identifier: Apache-2.0
"""Decode the records of change feeds into change rows, whatever the feed; what cannot be decoded goes to quarantine.

Everything is native Spark SQL, one narrow pass without a shuffle, with the same answer on Spark 3.5 and 4.1, with ANSI on
and off, in every time zone.

=============================  =====================================  ============  ===============================
feed                           upsert; delete; truncate               sequence      key of a delete
=============================  =====================================  ============  ===============================
:func:`debezium` (enveloped)   c, r, u; d; t                          PostgreSQL's  message key, else ``before``
:func:`debezium_flattened`     c, r, u; d or ``__deleted``; none      PostgreSQL's  message key, else the row
:func:`dms` (AWS DMS on S3)    I, U or nothing (full load); D; none   as told       the row
:func:`plain`                  as told                                as told       the row
=============================  =====================================  ============  ===============================

PostgreSQL's sequence is the pair of numbers in ``source.sequence``, last commit and own position, of which the first may be
null; without it ``source.lsn``. It is emission order, and places incremental-snapshot rows too. ``source.ts_ms`` ties within
a transaction, and ``lsn`` alone runs backwards where transactions interleave.

**Values** become the types of the table's columns, without loss, or the record goes to quarantine:

======================  =====================================================================================================
to                      from
======================  =====================================================================================================
decimal                 text, a number, the base64 of unscaled bytes (``precise``), ``{"scale": ..., "value": base64}``
float, double           a number, ``NAN``, ``POSITIVE_INFINITY``, ``NEGATIVE_INFINITY``, and what a decimal is read from
date                    days since 1970-01-01; ``2024-01-05``, also with ``Z`` or midnight behind it
timestamp, with and     seconds, millis, micros or nanos since 1970-01-01 in UTC; ``2024-01-05T10:00:00.5Z``; without a
without zone            zone it is UTC
whole number, boolean   its text; ``0`` and ``1`` are booleans too; ``TIME`` comes as a number and stays one
binary                  base64
text                    anything, as it comes: JSON, UUID, enums, ``TIME`` as text
array of these          a JSON array
======================  =====================================================================================================

Where records carry Kafka Connect's schema, it defines how decimals and timestamps are written; else the caller does. A
number whose unit neither of them defines is read as microseconds, and quarantined if that is a time within three years of
1970: it is almost certainly in another unit. Decimals that are ``precise`` are base64 and nothing else, also ``"0000"``.
Connect's JSON converter must write decimals as base64, its default (``decimal.format``): Spark 3.5 reads a JSON number as a
double, so of more than 15 digits it keeps what a double keeps, and ``1.10`` becomes ``1.1`` in a column of text.

Sources: "Debezium connector for PostgreSQL", "New Record State Extraction" (Debezium's documentation), "Using Amazon S3 as a
target for AWS Database Migration Service" (its user guide).

Example:
    >>> decoded = debezium(kafka, orders, ["id"], key="key")                     # doctest: +SKIP
    >>> merge(table, tombstones, decoded.changes, now=started)                   # doctest: +SKIP
    >>> decoded.quarantine.write.parquet(...)                                    # doctest: +SKIP
"""

from .changes import has_pii
from .debezium import debezium, debezium_flattened
from .decoded import LINE, MALFORMED, POSITION, TOMBSTONE, UNREADABLE, Decoded, UnsupportedFeedError
from .tabular import dms, plain

__all__ = [
    "LINE",
    "MALFORMED",
    "POSITION",
    "TOMBSTONE",
    "UNREADABLE",
    "Decoded",
    "UnsupportedFeedError",
    "debezium",
    "debezium_flattened",
    "dms",
    "has_pii",
    "plain",
]
