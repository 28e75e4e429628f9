"""The example job of gluewright."""

__version__ = "0.1.0"
