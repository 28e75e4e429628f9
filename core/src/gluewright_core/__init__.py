"""The shared core of gluewright: job structure, storage, tables and state."""

__version__ = "0.1.0"
