"""The text of ``--help``: how to call the program, an example, and every argument with how its value is written."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from gluewright_core.locations import is_location
from gluewright_core.parameters import Parameter, choices, fields_of, holds_secret, inner_kind, is_dict, is_list
from gluewright_core.secret import FORMS, Secret

_NARROWEST, _WIDEST = 80, 140
_LONGEST_CHOICES = 30
_WRITTEN = {
    str: "text",
    int: "number",
    float: "number",
    Decimal: "number",
    bool: "true|false",
    date: "2024-01-31",
    datetime: "2024-01-31T12:00:00Z",
    Secret: "secret",
    Any: "json",
}
_VALUES = _WRITTEN | {int: "1", float: "0.5", Decimal: "0.5", bool: "true", Secret: "env:VARIABLE", Any: "{}"}
_SHOWN = re.compile(r"(?:\bsuch as|:) '([^']+)'|\bsuch as ([^\s,;]+)|\b(database\.table)\b")
_PLACE = re.compile(r"\bfolder\b|^where\b", re.IGNORECASE)


def help_text(arguments: type, own: Mapping[str, Parameter], every: Mapping[str, Parameter]) -> str:
    """Return what ``--help`` prints.

    Args:
        arguments: the job's dataclass. A text in its class variable ``EXAMPLE`` is the example's arguments; without it
            the example has the required ones.
        own: the job's arguments by name.
        every: the arguments of every job by name.
    """
    required = {name: parameter for name, parameter in own.items() if parameter.required}
    optional = {name: parameter for name, parameter in own.items() if not parameter.required}
    groups = {
        "required": [_row(name, parameter) for name, parameter in required.items()],
        "optional": [_row(name, parameter) for name, parameter in optional.items()],
        "of every job": [*(_row(name, parameter) for name, parameter in every.items()), ("--help", "", "", "This text.")],
    }
    named = [f"--{plain(name)} {written(parameter)}" for name, parameter in required.items()]
    usage = " ".join([program(), *named, *(["[--name value ...]"] if optional or every else [])])
    about = (arguments.__doc__ or "").strip()
    parts = [
        _wrapped(f"usage: {usage}", indent=4),
        # A dataclass without a docstring of its own has its signature there.
        "" if about.startswith(f"{arguments.__name__}(") else "\n".join(_wrapped(line, 0) for line in about.splitlines()),
        f"example:\n  {program()} {example(arguments, own)}".rstrip(),
        *_tables({title: rows for title, rows in groups.items() if rows}),
        _notes([*own.values(), *every.values()]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def program() -> str:
    """Return how this program is called: ``python -m package.job``, or ``python job.py`` for a script."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return f"python {Path(sys.argv[0]).name or 'job.py'}"


def example(arguments: type, own: Mapping[str, Parameter]) -> str:
    """Return arguments that the program accepts, as a shell takes them.

    Args:
        arguments: the job's dataclass.
        own: its arguments by name.
    """
    if declared := getattr(arguments, "EXAMPLE", ""):
        return str(declared)
    chosen = {name: parameter for name, parameter in own.items() if parameter.required}
    if not chosen:
        chosen = dict(list(own.items())[:1])
    return " ".join(f"--{plain(name)} {shlex.quote(_value(name, parameter))}" for name, parameter in chosen.items())


def written(parameter: Parameter) -> str:
    """Return how the value of an argument is written.

    Args:
        parameter: the argument's declaration.
    """
    if is_location(parameter) and inner_kind(parameter.kind) is str:
        return "location"
    return _written(parameter.kind, _WRITTEN)


def plain(name: str) -> str:
    """Return a field's name as the command line has it.

    Args:
        name: of the field; ``from_`` is given as ``--from``.
    """
    return name.removesuffix("_")


def _written(kind: Any, words: Mapping[Any, str]) -> str:
    kind = inner_kind(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        listed = "|".join(choices(kind))
        return listed if words is _WRITTEN and len(listed) <= _LONGEST_CHOICES else "choice"
    if is_list(kind):
        item = _item(kind, words)
        return f"{item},{item},..."
    if is_dict(kind):
        return f"""'{{"name": {_quoted(_item(kind, words))}}}'"""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        fields = (f'"{name}": {_quoted(_written(field.kind, words))}' for name, field in fields_of(kind).items())
        return f"'{{{', '.join(fields)}}}'"
    return words.get(kind, "json")


def _item(kind: Any, words: Mapping[Any, str]) -> str:
    inner = getattr(kind, "__args__", ())
    return _written(inner[-1], words) if inner else "json"


def _quoted(word: str) -> str:
    """Return a word as JSON has it: everything but numbers and JSON itself is text."""
    return word if word in {"number", "json", "true|false"} or word.startswith("'") else f'"{word}"'


def _value(name: str, parameter: Parameter) -> str:
    """Return a value for the example: one that the argument's text shows, else one that fits its type."""
    kind = inner_kind(parameter.kind)
    if is_list(kind):
        return _value(name, dataclasses.replace(parameter, kind=kind.__args__[-1] if getattr(kind, "__args__", ()) else str))
    if kind is str:
        if found := _SHOWN.search(parameter.help):
            return (found[1] or found[2] or found[3]).rstrip(".:)'\"")
        return f"s3://bucket/{plain(name)}" if is_location(parameter) or _PLACE.search(parameter.help) else plain(name)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return choices(kind)[0]
    if is_dict(kind) or dataclasses.is_dataclass(kind):
        return "{}"
    return _VALUES[kind]


def _row(name: str, parameter: Parameter) -> tuple[str, str, str, str]:
    kind, text = inner_kind(parameter.kind), parameter.help
    if isinstance(kind, type) and issubclass(kind, Enum) and written(parameter) == "choice":
        text = f"{text} One of {', '.join(choices(kind))}.".strip()
    return f"--{plain(name)}", written(parameter), _default(parameter), text


def _default(parameter: Parameter) -> str:
    if parameter.required or holds_secret(parameter.kind):
        return ""
    default = parameter.default()
    if default is None or default in ("", [], {}):
        return "none"
    if isinstance(default, Enum):
        return choices(type(default))[list(type(default)).index(default)]
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(map(str, default)) if isinstance(default, list) else str(default)


def _tables(groups: Mapping[str, Sequence[tuple[str, str, str, str]]]) -> list[str]:
    """Return a table per group; all have the same columns."""
    rows = [row for group in groups.values() for row in group]
    widths = [max([len(row[column]) for row in rows if len(row[column]) <= 40] or [0]) for column in range(3)]
    indent = 2 + sum(widths) + 2 * len(widths)
    tables = []
    for title, group in groups.items():
        lines = [f"{title}, with the default behind the value:" if title == "optional" else f"{title}:"]
        for row in group:
            cells = "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True))
            lines.append(_wrapped(f"  {cells}  {row[3]}".rstrip(), indent))
        tables.append("\n".join(lines))
    return tables


def _wrapped(line: str, indent: int) -> str:
    width = min(max(shutil.get_terminal_size((120, 24)).columns, _NARROWEST), _WIDEST)
    if len(line) <= width or indent > width - 30:
        return line
    # The columns before the text keep their spaces.
    head, tail = line[:indent], line[indent:]
    wrapped = textwrap.wrap(tail, width - indent, break_long_words=False, break_on_hyphens=False)
    return head + f"\n{' ' * indent}".join(wrapped)


def _notes(parameters: Sequence[Parameter]) -> str:
    kinds = [inner_kind(parameter.kind) for parameter in parameters]
    notes = ["--name value or --name=value; a value that begins with -- needs the =; the last of a repeated name counts."]
    if bool in kinds:
        notes.append("true|false: --name alone is true.")
    if any(is_list(kind) for kind in kinds):
        notes.append("""A list is a,b,c or, where an item holds a comma, JSON: '["a,b", "c"]'.""")
    if any(is_dict(kind) or dataclasses.is_dataclass(kind) for kind in kinds):
        notes.append("""A mapping is JSON in quotes of the shell: '{"name": "text"}'.""")
    if any(holds_secret(kind) for kind in kinds):
        notes.append(f"A secret is a reference, never the value: {FORMS}.")
    if any(is_location(parameter) for parameter in parameters):
        notes.append("A location is s3://bucket/folder or a folder's path.")
    return "\n".join(_wrapped(note, 0) for note in notes)
