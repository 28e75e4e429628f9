# gluewright-cdc-merge 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Change records into current state, right in any order."""

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
