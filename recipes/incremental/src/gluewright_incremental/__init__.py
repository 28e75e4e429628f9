# gluewright-incremental 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Find what is new: each object of a source once, by a ledger that anyone can read.

Example:
    >>> from gluewright_incremental import Limits, compare, take
    >>> difference = compare(listed, known)  # doctest: +SKIP
    >>> batch = take(difference, Limits(max_files=1000))  # doctest: +SKIP
"""

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
