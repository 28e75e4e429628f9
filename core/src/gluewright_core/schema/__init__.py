"""Schema contracts: what a dataset's rows promise, where that comes from, and how rows are held to it.

| module                                   | what it does                                                                  |
|------------------------------------------|-------------------------------------------------------------------------------|
| `contract`                               | a dataset's columns, key, partitions and modes                                |
| `conform`                                | holds rows to a contract, nothing lost                                        |
| `rules`                                  | allowed values, bounds, lengths, patterns, unique columns, SQL                |
| `files`                                  | contracts in YAML and JSON                                                    |
| `sources`                                | Glue, CloudFormation, Avro, SQL, samples, Parquet files: read and written     |
| `drift`, `reading`                       | whether those still agree; also as a command                                  |
| `compatibility`                          | whether versions read each other                                              |
| `rows`                                   | test rows, valid and broken                                                   |
| `types`                                  | the types of Hive, Glue and Spark as text                                     |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gluewright_core.schema.compatibility import Compatibility, check_versions
    from gluewright_core.schema.conform import Mode
    from gluewright_core.schema.contract import Column, Contract
    from gluewright_core.schema.files import load_contract, save_contract
    from gluewright_core.schema.rows import broken_rows, row_struct, valid_rows
    from gluewright_core.schema.rules import Rule, Severity
    from gluewright_core.schema.types import parse_type, type_text

__all__ = [
    "Column",
    "Compatibility",
    "Contract",
    "Mode",
    "Rule",
    "Severity",
    "broken_rows",
    "check_versions",
    "load_contract",
    "parse_type",
    "row_struct",
    "save_contract",
    "type_text",
    "valid_rows",
]

_HOMES = {
    "Column": "contract",
    "Compatibility": "compatibility",
    "Contract": "contract",
    "Mode": "conform",
    "Rule": "rules",
    "Severity": "rules",
    "broken_rows": "rows",
    "check_versions": "compatibility",
    "load_contract": "files",
    "parse_type": "types",
    "row_struct": "rows",
    "save_contract": "files",
    "type_text": "types",
    "valid_rows": "rows",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only: most jobs need a part of this package."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
