"""A DataFrame as one file with an exact name, or one for each group: at once or not at all, and in parallel."""

from gluewright_single_file_output.single_file import (
    Csv,
    JsonLines,
    NameInvalid,
    Parquet,
    RowsUnsupported,
    SingleFile,
    SingleFileError,
    TargetExists,
    TargetOvertaken,
    TargetUnsupported,
    Text,
    format_of,
    named,
    plan_join,
    write_file_per_group,
    write_single_file,
)

__version__ = "0.1.0"
__all__ = [
    "Csv",
    "JsonLines",
    "NameInvalid",
    "Parquet",
    "RowsUnsupported",
    "SingleFile",
    "SingleFileError",
    "TargetExists",
    "TargetOvertaken",
    "TargetUnsupported",
    "Text",
    "format_of",
    "named",
    "plan_join",
    "write_file_per_group",
    "write_single_file",
]
