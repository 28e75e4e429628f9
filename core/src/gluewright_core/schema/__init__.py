"""Schema contracts: what a dataset's rows promise, where that comes from, and how rows are held to it."""

from gluewright_core.schema.conform import Mode

__all__ = ["Mode"]
