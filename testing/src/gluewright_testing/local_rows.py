"""DataFrames of local rows without Python workers, which cost a quarter of the time of a test run of small ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def handed_over_as_pickled() -> Iterator[None]:
    """Let ``createDataFrame`` of a list do without Python workers while the body runs.

    PySpark pickles the rows in batches of a fixed size. Whenever the frame is used Python workers then read them and pickle
    them again, in batches whose size adapts to the rows. The JVM reads the one as it reads the other, so here the rows are
    said to be in such batches from the beginning. A PySpark whose parts have other names is left as it is.

    Example:
        >>> with handed_over_as_pickled():                                     # doctest: +SKIP
        ...     spark.createDataFrame([(1, "a")], "id int, name string").show()
    """
    from pyspark.sql import SparkSession  # noqa: PLC0415 - slow, and pytest loads this package at every start

    session: Any = SparkSession
    original = getattr(session, "_createFromLocal", None)
    if original is None:
        yield
        return

    def create(self: Any, data: Any, schema: Any) -> Any:
        rows, struct = original(self, data, schema)
        rows._jrdd_deserializer = rows.ctx.serializer
        return rows, struct

    session._createFromLocal = create
    try:
        yield
    finally:
        session._createFromLocal = original
