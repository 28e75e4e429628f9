"""Locations among a job's arguments: what cannot be one is refused by name, before anything is read.

    source: Annotated[str, LOCATION, "The folder to read."]

Any text argument that can only be a misspelt location is refused: ``s3:/bucket``, ``~/folder``. One that is marked with
`LOCATION` may also not be empty, unless that is its default, nor ``~`` alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gluewright_core.conversion import ConversionError
from gluewright_core.parameters import Parameter

LOCATION = object()
"""Marks a text argument that is a location: a folder's or file's path, or an ``s3://`` URI."""

_EXAMPLES = "s3://bucket/folder or /folder"
_FEW_SLASHES = re.compile(r"(s3[an]?):/?(?!/)(.*)", re.IGNORECASE)
_MANY_SLASHES = re.compile(r"(s3[an]?):///+(.*)", re.IGNORECASE)
_NO_BUCKET = re.compile(r"s3[an]?:/*", re.IGNORECASE)


def is_location(parameter: Parameter) -> bool:
    """Return whether an argument is marked as a location.

    Args:
        parameter: its declaration.
    """
    return any(note is LOCATION for note in parameter.notes)


def check_location(value: Any, parameter: Parameter) -> None:
    """Refuse a text, or one in a list, that cannot be the location that it seems to be.

    Args:
        value: of the argument.
        parameter: its declaration.

    Raises:
        ConversionError: says what was probably meant.
    """
    marked = is_location(parameter)
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check(item, f"[{number}]", marked=marked)
    elif not (marked and not value and not parameter.required and not parameter.default()):
        _check(value, "", marked=marked)


def _check(value: Any, where: str, *, marked: bool) -> None:
    if not isinstance(value, str):
        return
    text = value.strip() if marked else value
    if text.startswith("~/") or (marked and text == "~"):
        expected = f"a location without ~, which only a shell replaces: {Path.home()}{text[1:]}"
        raise ConversionError(expected, repr(value), where)
    if marked and (not text or _NO_BUCKET.fullmatch(text)):
        raise ConversionError(f"a location such as {_EXAMPLES}", repr(value), where)
    found = _FEW_SLASHES.fullmatch(text) or _MANY_SLASHES.fullmatch(text)
    if found and found[2] and " " not in found[2]:
        raise ConversionError(f"a location; did you mean {found[1].lower()}://{found[2]}?", repr(value), where)
