"""Again when it must be: partitions of a table redone, looked at, and published one by one."""

from gluewright_reprocessing.compare import Changes, Checks, CompareInvalid, check, counted, diff
from gluewright_reprocessing.plan import (
    Entry,
    LedgerInvalid,
    PlanInvalid,
    chosen,
    days,
    failed,
    fingerprint,
    gaps,
    left,
    listed,
    unchanged,
)

__version__ = "0.1.0"
__all__ = [
    "Changes",
    "Checks",
    "CompareInvalid",
    "Entry",
    "LedgerInvalid",
    "PlanInvalid",
    "check",
    "chosen",
    "counted",
    "days",
    "diff",
    "failed",
    "fingerprint",
    "gaps",
    "left",
    "listed",
    "unchanged",
]
