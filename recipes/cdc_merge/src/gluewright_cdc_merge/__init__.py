"""Change records into current state, right in any order."""

from gluewright_cdc_merge.audit import audit
from gluewright_cdc_merge.decode import Decoded, FeedUnsupported, debezium, debezium_flattened, dms, plain
from gluewright_cdc_merge.merge import Merged, counts, merge, table_schema, tombstone_schema

__version__ = "0.1.0"
__all__ = [
    "Decoded",
    "FeedUnsupported",
    "Merged",
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
