"""A pytest plugin for Glue and Spark jobs."""

__version__ = "0.1.0"
