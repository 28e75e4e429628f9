# gluewright-cdc-merge 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Merge change records into current state, in whatever order they come.

Example:
    >>> from gluewright_cdc_merge import debezium, merge
    >>> decoded = debezium(records, columns, keys=["id"])  # doctest: +SKIP
    >>> merged = merge(table, tombstones, decoded.changes, now=now)  # doctest: +SKIP
"""

from .audit import audit
from .feeds import Decoded, UnsupportedFeedError, debezium, debezium_flattened, dms, plain
from .merge import Merged, counts, merge
from .schemas import table_schema, tombstone_schema

__version__ = "0.1.0"
__all__ = [
    "Decoded",
    "Merged",
    "UnsupportedFeedError",
    "audit",
    "counts",
    "debezium",
    "debezium_flattened",
    "dms",
    "merge",
    "plain",
    "table_schema",
    "tombstone_schema",
]
