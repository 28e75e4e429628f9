"""Schema contracts: what a dataset's rows promise, where that comes from, and how rows are held to it."""

from gluewright_core.schema.conform import Mode
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.types import parse_type, type_text

__all__ = ["Column", "Contract", "Mode", "parse_type", "type_text"]
