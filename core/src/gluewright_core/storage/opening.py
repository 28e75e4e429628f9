"""From a URI to the storage behind it."""

from __future__ import annotations

import os
from typing import Any

from gluewright_core.errors import StorageError
from gluewright_core.storage.interface import Storage


def open_storage(uri: str | os.PathLike[str], *, client: Any = None) -> Storage:
    """Open the storage behind a URI.

    Args:
        uri: ``s3://bucket/prefix`` (``s3a://`` too), ``file:///folder`` or a folder's path. It need not exist yet.
        client: a boto3 S3 client, for an endpoint or credentials of its own; by default boto3's usual chain.

    Returns:
        The storage, rooted there.

    Raises:
        StorageError: the URI has a scheme that is not known, or no bucket.
    """
    text = os.fspath(uri)
    scheme, separator, rest = text.partition("://")
    if separator and scheme in {"s3", "s3a"}:
        from gluewright_core.storage.s3 import S3Storage  # noqa: PLC0415 - boto3 takes longer to import than core

        bucket, _, prefix = rest.partition("/")
        if not bucket:
            raise StorageError(f"{text!r} names no bucket; write s3://bucket/prefix")
        return S3Storage(bucket, prefix.strip("/"), scheme=scheme, client=client)
    if separator and scheme != "file":
        raise StorageError(f"{text!r}: scheme {scheme!r} is not known; use s3://, file:// or a folder's path")
    from gluewright_core.storage.local import LocalStorage  # noqa: PLC0415

    path = rest if separator else text.removeprefix("file:")
    return LocalStorage(path)


def parent_uri(uri: str) -> tuple[str, str]:
    """Split a URI into its parent and its last name.

    Args:
        uri: of a folder, with or without a trailing ``/``.

    Returns:
        The parent's URI and the name.

    Raises:
        StorageError: the URI has no parent: it is a bucket or the root folder.

    Example:
        >>> parent_uri("s3://lake/warehouse/flights/")
        ('s3://lake/warehouse', 'flights')
    """
    parent, _, name = uri.rstrip("/").rpartition("/")
    if not name or not parent or parent.endswith(("/", ":")):
        raise StorageError(
            f"{uri!r} has no parent folder: a table needs a folder of its own, such as s3://bucket/warehouse/table"
        )
    return parent, name
