# gluewright-reprocessing 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Reprocess partitions of a table: plan them, compare old and new rows, publish one by one.

Example:
    >>> from gluewright_reprocessing import counted, days, diff
    >>> partitions = days(first, last, {"dt": "%Y-%m-%d"})  # doctest: +SKIP
    >>> changes = counted(diff(old, new, ["id"]))  # doctest: +SKIP
"""

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
