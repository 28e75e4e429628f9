"""A job's arguments: a frozen dataclass, filled from the command line that Glue, spark-submit and `python` all give.

    python job.py --day 2024-01-31 --source_path=s3://bucket/landing

A field ``source_path`` is given as ``--source_path`` or ``--source-path``; of a repeated name the last counts, as in
`awsglue.utils.getResolvedOptions`, which gives the same values wherever both accept a command line. A name that Python
keeps for itself is declared with a trailing underscore: a field ``from_`` is given as ``--from``. Three traps of
getResolvedOptions are not here:

- it requires every listed name; here a default makes an argument optional;
- asking it for ``JOB_RUN_ID`` ends in an ``argparse.ArgumentError``; here Glue's own parameters may be declared like
  any other, and are in `GlueParameters` without asking;
- up to Glue 5.1 it takes an unambiguous prefix for the whole name, so a misspelt name may be read as another one, and a
  name it does not know passes unnoticed; here only full names count and an unknown one is an error.

A value that begins with ``--`` is given as ``--name=--value``, in both.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NoReturn, TypeVar

from gluewright_core.conversion import Mismatch, Parameter, expected, fields_of, from_text, holds_secret, type_name
from gluewright_core.errors import ArgumentsDeclarationError, ArgumentsInvalid
from gluewright_core.glue_parameters import NAMES, GlueParameters, is_glues

A = TypeVar("A")


@dataclass(frozen=True)
class RunOptions:
    """The arguments that every job understands beside its own."""

    run_id: Annotated[str | None, "The logical run; without it Glue's, or a new one."] = None
    summary: Annotated[str | None, "Where to write the run's counts as JSON: a file or an s3:// URI."] = None


@dataclass(frozen=True)
class CommandLine(Generic[A]):
    """A command line, read: the job's arguments, Glue's parameters and what every job understands."""

    arguments: A
    glue: GlueParameters
    options: RunOptions


def parse(argv: Sequence[str], arguments: type[A]) -> A:
    """Return an instance of a frozen dataclass filled from a command line.

    Args:
        argv: the command line without the script's name, as ``sys.argv[1:]``.
        arguments: the dataclass. The types its fields may have are in `gluewright_core.conversion`.

    Raises:
        ArgumentsInvalid: names every wrong argument at once, with what was given and what was expected.
        ArgumentsDeclarationError: the dataclass itself cannot be filled from a command line.
        SystemExit: with status 0 after printing the arguments, for ``--help``.

    Example:
        >>> from datetime import date
        >>> @dataclass(frozen=True)
        ... class Arguments:
        ...     day: Annotated[date, "The day to load."]
        ...     tables: Annotated[list[str], "What to load."]
        ...     limit: Annotated[int, "At most so many rows."] = 1000
        >>> parse(["--day=2024-01-31", "--tables", "flights,planes", "--JOB_NAME", "nightly"], Arguments)
        Arguments(day=datetime.date(2024, 1, 31), tables=['flights', 'planes'], limit=1000)
    """
    return read_command_line(argv, arguments).arguments


def read_command_line(argv: Sequence[str], arguments: type[A]) -> CommandLine[A]:
    """Read a whole command line; `parse` returns only the job's own arguments from it.

    Args:
        argv: the command line without the script's name.
        arguments: the job's dataclass.

    Raises:
        ArgumentsInvalid: as `parse`.
        ArgumentsDeclarationError: as `parse`; also when the dataclass declares a name that every job has.
        SystemExit: as `parse`.
    """
    own, every = fields_of(arguments), fields_of(RunOptions)
    if taken := [name for name in own if _plain(name) in {*every, "help"}]:
        raise ArgumentsDeclarationError(
            f"{arguments.__name__}.{taken[0]}: every job has --{_plain(taken[0])} already; choose another name"
        )
    declared = {**own, **every}
    given, rest = _split(argv, declared)
    if "help" in given or "-h" in rest:
        sys.stdout.write(_help(arguments, declared))
        raise SystemExit(0)

    problems = list(_unknown(rest, declared))
    values: dict[str, Any] = {}
    for name, parameter in declared.items():
        try:
            if name in given:
                values[name] = _value(given[name], parameter.kind)
            elif parameter.required:
                problems.append((f"--{_plain(name)}", f"not given, expected {expected(parameter.kind)}"))
        except Mismatch as mismatch:
            problems.append((f"--{_plain(name)}{mismatch.where}", _complaint(mismatch)))
    if problems:
        _refuse(problems)
    return CommandLine(
        arguments(**{name: value for name, value in values.items() if name in own}),
        GlueParameters.from_given(given),
        RunOptions(**{name: value for name, value in values.items() if name in every}),
    )


def _split(argv: Sequence[str], declared: Mapping[str, Any]) -> tuple[dict[str, str | None], list[str]]:
    """Return the known names with their texts (None for a name without a value), and what is left over.

    argparse does it, because getResolvedOptions leaves it to argparse too.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    flags = {"--help": "help"}
    for name in declared:
        flags |= {f"--{_plain(name)}": name, f"--{_plain(name).replace('_', '-')}": name}
    mentioned = [item[2:].partition("=")[0] for item in argv if item.startswith("--")]
    for name in [*NAMES, *filter(is_glues, mentioned)]:
        flags.setdefault(f"--{name}", name)
    for flag, name in flags.items():
        parser.add_argument(flag, dest=name, nargs="?", const=None)
    known, rest = parser.parse_known_args(list(argv))
    given = vars(known)
    # A job may declare one of Glue's parameters as its own; Glue's side still sees it.
    return {**{flag[2:]: given[name] for flag, name in flags.items() if name in given}, **given}, rest


def _plain(name: str) -> str:
    """Return a field's name as the command line has it."""
    return name.removesuffix("_")


def _value(text: str | None, kind: Any) -> Any:
    if text is None:
        raise Mismatch(f"{expected(kind)}; a value that begins with - is given as --name=value", "no value")
    return from_text(text, kind)


def _unknown(rest: Sequence[str], declared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name what is left over. No value is repeated: it may belong to a misspelt secret."""
    names = [_plain(name) for name in declared]
    after_a_name = False
    for item in rest:
        if item.startswith("--") and item != "--":
            flag, equals, _ = item.partition("=")
            plain = flag[2:].replace("-", "_")
            close = difflib.get_close_matches(plain, names, n=1) or [name for name in names if name.startswith(plain)]
            yield flag, "unknown" + (f"; did you mean --{close[0]}?" if close else ", and no parameter of Glue's")
            after_a_name = not equals
        elif after_a_name:
            after_a_name = False
        else:
            yield "(a value)", "belongs to no name; give every argument as --name value, and quote values with spaces"


def _complaint(mismatch: Mismatch) -> str:
    given = "something (not shown: it may be a secret)" if mismatch.given is None else mismatch.given
    return f"given {given}, expected {mismatch.expected}"


def _refuse(problems: Sequence[tuple[str, str]]) -> NoReturn:
    width = max(len(name) for name, _ in problems)
    count = "1 argument is wrong" if len(problems) == 1 else f"{len(problems)} arguments are wrong"
    lines = [f"  {name:<{width}}  {complaint}" for name, complaint in problems]
    raise ArgumentsInvalid("\n".join([f"{count} (--help shows them all):", *lines]))


def _help(arguments: type, declared: Mapping[str, Parameter]) -> str:
    rows = [("argument", "type", "default", "")]
    rows += [(f"--{_plain(name)}", type_name(field.kind), _default(field), field.help) for name, field in declared.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    # A dataclass without a docstring of its own has its signature there.
    about = (arguments.__doc__ or "").strip()
    about = "" if about.startswith(f"{arguments.__name__}(") else f"{about}\n\n"
    return f"usage: --name value, or --name=value\n\n{about}" + "\n".join(table) + "\n"


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    if holds_secret(parameter.kind):
        return "optional"
    default = parameter.default()
    return "none" if default is None else str(getattr(default, "name", default))
