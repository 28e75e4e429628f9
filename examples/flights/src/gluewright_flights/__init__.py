"""The example job of gluewright: a year of flights from a landing zone into published tables."""

__version__ = "0.1.0"
