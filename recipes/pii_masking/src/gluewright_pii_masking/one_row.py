# gluewright-pii-masking 0.1.0 one_row.py
# SPDX-License-Identifier: Apache-2.0
"""A frame of one row whose values are in no plan, no file and no command that Py4J logs."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession


def one_row(spark: SparkSession, values: Mapping[str, bytes]) -> DataFrame:
    """Make a frame of one row of binary columns whose values are in no plan, file or log.

    `createDataFrame` from Python hands its rows to the JVM through a temporary file. A row made in the JVM needs none, and
    a plan names only the columns of a local relation. Py4J logs what it sends at level DEBUG, so the values do not go
    through it: the JVM reads them from a pipe.
    """
    java = spark.sparkContext._jvm
    assert java is not None
    rows = java.java.util.ArrayList()
    rows.add(java.org.apache.spark.sql.RowFactory.create(_in_jvm(java, [*values.values()])))
    columns = java.org.apache.spark.sql.types.DataType.fromDDL(", ".join(f"`{name}` BINARY" for name in values))
    return DataFrame(spark._jsparkSession.createDataFrame(rows, columns), spark)


def _in_jvm(java: Any, values: Sequence[bytes]) -> Any:
    """Return a reference to an ``Object[]`` of byte arrays in the JVM. The pipe has a name, and no content on any disk."""
    with tempfile.TemporaryDirectory(prefix="gluewright-") as folder:
        path = os.path.join(folder, "pipe")  # noqa: PTH118 - pathlib makes no pipes
        os.mkfifo(path, 0o600)
        # Open for both, because a writer alone would wait for its reader.
        pipe = os.open(path, os.O_RDWR)
        try:
            # A pipe takes 64 KiB before somebody reads it, and Unicode's tables are larger.
            threading.Thread(target=_write, args=(os.dup(pipe), _serialised(values)), daemon=True).start()
            stream = java.java.io.ObjectInputStream(java.java.io.FileInputStream(path))
            try:
                return stream.readObject()
            finally:
                stream.close()
        finally:
            os.close(pipe)


def _write(pipe: int, content: bytes) -> None:
    with os.fdopen(pipe, "wb", buffering=0) as file:
        while content:
            content = content[file.write(content) :]


def _serialised(values: Sequence[bytes]) -> bytes:
    """Write byte arrays as Java does (Java Object Serialization Specification, "6 Object Serialization Stream Protocol")."""

    def array(name: bytes, version: str) -> bytes:
        described = len(name).to_bytes(2, "big") + name + bytes.fromhex(version)
        # An array of a class that is described here: serializable, without fields and a parent.
        return b"\x75\x72" + described + b"\x02\0\0\x78\x70"

    of_bytes = array(b"[B", "acf317f8060854e0")
    written = b"\xac\xed\0\5" + array(b"[Ljava.lang.Object;", "90ce589f1073296c") + len(values).to_bytes(4, "big")
    return written + b"".join(of_bytes + len(value).to_bytes(4, "big") + value for value in values)
