"""Schema contracts: what a dataset's rows promise, where that comes from, and how rows are held to it.

| module                                   | what it does                                                                  |
|------------------------------------------|-------------------------------------------------------------------------------|
| `contract`                               | a dataset's columns, key, partitions and modes                                |
| `conform`                                | holds rows to a contract, nothing lost                                        |
| `files`                                  | contracts in YAML and JSON                                                    |
| `sources`                                | Glue, CloudFormation, Avro, SQL, samples, Parquet files: read and written     |
| `drift`, `reading`                       | whether those still agree; also as a command                                  |
| `compatibility`                          | whether versions read each other                                              |
| `rows`                                   | test rows, valid and broken                                                   |
| `types`                                  | the types of Hive, Glue and Spark as text                                     |
"""

from gluewright_core.schema.compatibility import Compatibility, check_versions
from gluewright_core.schema.conform import Mode
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.files import load_contract, save_contract
from gluewright_core.schema.rows import broken_rows, row_struct, valid_rows
from gluewright_core.schema.types import parse_type, type_text

__all__ = [
    "Column",
    "Compatibility",
    "Contract",
    "Mode",
    "broken_rows",
    "check_versions",
    "load_contract",
    "parse_type",
    "row_struct",
    "save_contract",
    "type_text",
    "valid_rows",
]
