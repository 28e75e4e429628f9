# gluewright-incremental 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Only what is new: each object of a source once, by a ledger that anyone can read."""

from .ledger import (
    Change,
    Difference,
    Digest,
    IncrementalError,
    InvalidLimitsError,
    Limits,
    ObjectsDeletedError,
    ObjectsRewrittenError,
    Range,
    SourceObject,
    UnreadablePartitionError,
    compare,
    digest,
    late,
    partition_of,
    prefix_of,
    spans,
    take,
)

__version__ = "0.1.0"
__all__ = [
    "Change",
    "Difference",
    "Digest",
    "IncrementalError",
    "InvalidLimitsError",
    "Limits",
    "ObjectsDeletedError",
    "ObjectsRewrittenError",
    "Range",
    "SourceObject",
    "UnreadablePartitionError",
    "compare",
    "digest",
    "late",
    "partition_of",
    "prefix_of",
    "spans",
    "take",
]
