# gluewright-single-file-output 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""A DataFrame as one file with an exact name, or one for each group: at once or not at all, and in parallel."""

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
