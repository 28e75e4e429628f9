"""Tables, whatever their kind: read, publish in one switch, undo.

See :class:`Table` for what can be done, :func:`open_table` for how to get one.
"""

from gluewright_core.tables.catalog import Catalog
from gluewright_core.tables.interface import ALL, TOUCHED, Partition, Published, Replace, Staging, Table, TableSpec
from gluewright_core.tables.opening import Kind, open_table

__all__ = [
    "ALL",
    "TOUCHED",
    "Catalog",
    "Kind",
    "Partition",
    "Published",
    "Replace",
    "Staging",
    "Table",
    "TableSpec",
    "open_table",
]
