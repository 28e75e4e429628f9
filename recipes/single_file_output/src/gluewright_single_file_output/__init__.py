"""A DataFrame as one file with an exact name: at once or not at all, and in parallel."""

from gluewright_single_file_output.single_file import (
    Csv,
    JsonLines,
    NameInvalid,
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
    write_single_file,
)

__version__ = "0.1.0"
__all__ = [
    "Csv",
    "JsonLines",
    "NameInvalid",
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
    "write_single_file",
]
