"""The tags in the metadata of fields, and how values tagged ``pii`` are withheld."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import types as T


def tags_of(metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the tags in a field's metadata as they are written there: a list, or a text with one or more of them.

    Example:
        >>> tags_of({"tags": "pii, gdpr"})
        ('pii', 'gdpr')
    """
    tags = (metadata or {}).get("tags") or ()
    given = re.split(r"[\s,;]+", tags) if isinstance(tags, str) else map(str, tags) if isinstance(tags, Iterable) else ()
    return tuple(tag for tag in given if tag.strip())


def is_pii(metadata: Mapping[str, Any] | None) -> bool:
    """Return whether a field is tagged ``pii``."""
    return "pii" in (tag.strip().lower() for tag in tags_of(metadata))


def has_pii(data_type: T.DataType) -> bool:
    """Return whether a field inside a type is tagged ``pii``."""
    if isinstance(data_type, T.StructType):
        return any(is_pii(field.metadata) or has_pii(field.dataType) for field in data_type)
    if isinstance(data_type, T.ArrayType):
        return has_pii(data_type.elementType)
    return isinstance(data_type, T.MapType) and (has_pii(data_type.keyType) or has_pii(data_type.valueType))


def with_tags(metadata: dict[str, Any], incoming: dict[str, Any] | None) -> dict[str, Any]:
    """Add the tags of the incoming rows to a field's metadata: a contract that does not know of a tag does not remove it."""
    tags = tags_of(metadata)
    more = [tag for tag in tags_of(incoming) if tag.lower() not in {known.lower() for known in tags}]
    return {**metadata, "tags": [*tags, *more]} if more else metadata


def withhold(x: str) -> str:
    """Write a mark in place of a value, and NULL for NULL."""
    return f"CASE WHEN {x} IS NOT NULL THEN '(withheld)' END"
