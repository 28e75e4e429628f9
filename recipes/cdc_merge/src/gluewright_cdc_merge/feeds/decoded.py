# gluewright-cdc-merge 0.1.0 feeds/decoded.py
# SPDX-License-Identifier: Apache-2.0
"""What decoding a feed returns, and the names of the columns about where a record came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyspark.sql import DataFrame

PLACEHOLDER = "__debezium_unavailable_value"
"""What Debezium writes for a large value that an update left as it was (``unavailable.value.placeholder``)."""


MALFORMED = "_gw_malformed"
"""The column, if the records have it, with the text of a line whose fields are not those of its file; see :func:`dms`."""


UNREADABLE = "_gw_unreadable"
"""The column, if the records have it, with the reason why a line cannot be read at all; see :func:`dms`."""


LINE = "_gw_message"
"""The column, if the records have it, with the line that a message was read from: quarantine shows it."""


POSITION = "_gw_position"
"""The column, if the records have it, with the place of a record in its file; see :func:`debezium_flattened`."""


TOMBSTONE = "tombstone"
"""The kind of a message with a key and a NULL value."""


ARRIVAL = frozenset({"_gw_arrival", "_gw_path", POSITION})
"""Columns about where a record came from. They are no part of it and go with its changes."""


RESERVED = "_gw_"


Unit = Literal["seconds", "millis", "micros", "nanos"]


Decimals = Literal["string", "precise", "double"]


class UnsupportedFeedError(Exception):
    """A feed cannot be decoded as asked: by the columns it has, or the types they should become. No record was read."""


@dataclass(frozen=True)
class Decoded:
    """A decoded feed, lazily: three filters of ``records``; persist that to use more than one of them in one pass.

    The records read are those of ``changes``, ``quarantine`` and ``ignored`` together, each counted by its sum of ``record``
    (quarantine: by its rows).

    Attributes:
        records: every change, quarantined and ignored record; ``what`` tells which it is.
    """

    records: DataFrame

    @property
    def changes(self) -> DataFrame:
        """The changes.

        ``op`` (``upsert``, ``delete``, ``truncate``), ``key``, ``sequence``, ``row`` (NULL but for upserts), ``unset`` (the
        names of columns that the change says nothing about, NULL for none; only of feeds that have partial changes),
        ``moved`` (only of Debezium's: the upsert takes what it leaves out from the row that its sequence deletes),
        ``old_key`` (of the upsert that gave a row another key), ``kind`` (the feed's own operation), ``record``; and
        ``_gw_arrival`` if the records have a column of that name.

        An update that changes the key is two rows: a delete of the old key with ``record`` 1, an upsert of the new with 0.
        """
        named = ["op", "key", "sequence", "row", "unset", "moved", "old_key", "kind", "record", *ARRIVAL]
        return self.records.where("what = 'change'").select([name for name in named if name in self.records.columns])

    @property
    def quarantine(self) -> DataFrame:
        """Records that are no valid change: ``original`` (as JSON), ``problems``, ``kept`` (always false)."""
        return self.records.where("what = 'quarantined'").selectExpr("original", "problems", "false AS kept")

    @property
    def ignored(self) -> DataFrame:
        """Records that are no change: the ``kind`` of each, the ``reason``, and ``record`` (always 1)."""
        return self.records.where("what = 'ignored'").select("kind", "reason", "record")
