# gluewright-single-file-output 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Write a DataFrame as one file with an exact name, or one per group: atomically and in parallel.

Example:
    >>> from gluewright_single_file_output import write_single_file
    >>> written = write_single_file(rows, "s3://bucket/exports/orders.csv.gz", order_by=["id"])  # doctest: +SKIP
    >>> print(written.rows, written.sha256)  # doctest: +SKIP
"""

from .single_file import (
    Csv,
    InvalidNameError,
    JsonLines,
    Parquet,
    SingleFile,
    SingleFileError,
    TargetExistsError,
    TargetOvertakenError,
    Text,
    UnsupportedRowsError,
    UnsupportedTargetError,
    format_of,
    named,
    plan_join,
    write_file_per_group,
    write_single_file,
)

__version__ = "0.1.0"
__all__ = [
    "Csv",
    "InvalidNameError",
    "JsonLines",
    "Parquet",
    "SingleFile",
    "SingleFileError",
    "TargetExistsError",
    "TargetOvertakenError",
    "Text",
    "UnsupportedRowsError",
    "UnsupportedTargetError",
    "format_of",
    "named",
    "plan_join",
    "write_file_per_group",
    "write_single_file",
]
