"""Only what is new: each object of a source once, by a ledger that anyone can read."""

from gluewright_incremental.ledger import (
    Change,
    Difference,
    Digest,
    IncrementalError,
    Limits,
    LimitsInvalid,
    ObjectsGone,
    ObjectsRewritten,
    PartitionUnreadable,
    Range,
    SourceObject,
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
    "Limits",
    "LimitsInvalid",
    "ObjectsGone",
    "ObjectsRewritten",
    "PartitionUnreadable",
    "Range",
    "SourceObject",
    "compare",
    "digest",
    "late",
    "partition_of",
    "prefix_of",
    "spans",
    "take",
]
