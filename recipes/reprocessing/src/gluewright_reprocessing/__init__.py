# gluewright-reprocessing 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Again when it must be: partitions of a table redone, looked at, and published one by one."""

from .compare import Changes, Checks, InvalidCompareError, check, counted, diff
from .plan import (
    Entry,
    InvalidLedgerError,
    InvalidPlanError,
    chosen,
    days,
    digest,
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
    "Entry",
    "InvalidCompareError",
    "InvalidLedgerError",
    "InvalidPlanError",
    "check",
    "chosen",
    "counted",
    "days",
    "diff",
    "digest",
    "failed",
    "fingerprint",
    "gaps",
    "left",
    "listed",
    "unchanged",
]
