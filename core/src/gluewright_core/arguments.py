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

A value that begins with ``--`` is given as ``--name=--value``, in both. A `bool` may be given without a value: ``--full``.

Glue's own parameters never stop a job: documented ones and names that begin like them are accepted everywhere, and on Glue
every name of Glue's form (``--some-new-switch``), unless it resembles an argument of the job. A job that is started with
leftovers of another one ignores what it does not know with ``unknown="ignore"``.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NoReturn, TypeVar

from gluewright_core.conversion import ConversionError, expected, from_text
from gluewright_core.errors import ArgumentsDeclarationError, InvalidArgumentsError
from gluewright_core.glue_parameters import NAMES, GlueParameters, has_glues_form, is_glues
from gluewright_core.locations import LOCATION, check_location
from gluewright_core.parameters import fields_of
from gluewright_core.usage import help_text, plain

A = TypeVar("A")
Unknown = Literal["refuse", "ignore"]

# Options of pip follow it, which look like parameters of the job.
_TAKES_OPTIONS = "--python-modules-installer-option"
# So similar that an unknown name is more likely a misspelt argument of the job than a parameter of Glue's.
_ALIKE = 0.8


@dataclass(frozen=True)
class RunOptions:
    """The arguments that every job understands beside its own. A job that declares one of these names has it for itself."""

    run_id: Annotated[str | None, "The logical run; without it Glue's, or a new one."] = None
    summary: Annotated[str | None, LOCATION, "Where to write the run's counts as JSON: a file or an s3:// URI."] = None
    verbose: Annotated[bool, "Show the whole stack of an error, the JVM's too."] = False


@dataclass(frozen=True)
class CommandLine(Generic[A]):
    """A command line, read: the job's arguments, Glue's parameters and what every job understands.

    Attributes:
        arguments: the job's own.
        glue: Glue's.
        options: what every job understands.
        ignored: names that nobody knows and that were ignored, with their dashes: with ``unknown="ignore"``, and on Glue
            those of Glue's form.
    """

    arguments: A
    glue: GlueParameters
    options: RunOptions
    ignored: tuple[str, ...] = ()


def parse(argv: Sequence[str], arguments: type[A], *, unknown: Unknown = "refuse") -> A:
    """Return an instance of a frozen dataclass filled from a command line.

    Args:
        argv: the command line without the script's name, as ``sys.argv[1:]``.
        arguments: the dataclass. The types its fields may have are in `gluewright_core.conversion`.
        unknown: whether a name that is neither the job's nor Glue's is an error.

    Raises:
        InvalidArgumentsError: names every wrong argument at once, with what was given and what was expected.
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
    return read_command_line(argv, arguments, unknown=unknown).arguments


def read_command_line(argv: Sequence[str], arguments: type[A], *, unknown: Unknown = "refuse") -> CommandLine[A]:
    """Read a whole command line; `parse` returns only the job's own arguments from it.

    Args:
        argv: the command line without the script's name.
        arguments: the job's dataclass.
        unknown: as in `parse`.

    Raises:
        InvalidArgumentsError: as `parse`.
        ArgumentsDeclarationError: as `parse`; also when the dataclass declares ``help``.
        SystemExit: as `parse`.
    """
    own = fields_of(arguments)
    if taken := [name for name in own if plain(name) == "help"]:
        raise ArgumentsDeclarationError(f"{arguments.__name__}.{taken[0]}: every job has --help; choose another name")
    every = {name: option for name, option in fields_of(RunOptions).items() if name not in map(plain, own)}
    declared = {**own, **every}
    given, ignored, rest = _split(argv, declared)
    if "help" in given or "-h" in rest:
        sys.stdout.write(help_text(arguments, own, every))
        raise SystemExit(0)

    if unknown == "ignore":
        ignored += [item.partition("=")[0] for item in rest if item.startswith("--") and item != "--"]
    problems = [] if unknown == "ignore" else list(_unknown(rest, declared))
    values: dict[str, Any] = {}
    for name, parameter in declared.items():
        try:
            if name in given:
                values[name] = _value(given[name], parameter.kind)
                check_location(values[name], parameter)
            elif parameter.required:
                problems.append((f"--{plain(name)}", f"not given, expected {expected(parameter.kind)}"))
        except ConversionError as mismatch:
            problems.append((f"--{plain(name)}{mismatch.where}", _complaint(mismatch)))
    if problems:
        _refuse(problems)
    return CommandLine(
        arguments(**{name: value for name, value in values.items() if name in own}),
        GlueParameters.from_given(given),
        RunOptions(**{name: value for name, value in values.items() if name in every}),
        tuple(ignored),
    )


def _split(argv: Sequence[str], declared: Mapping[str, Any]) -> tuple[dict[str, str | None], list[str], list[str]]:
    """Return the known names with their texts (None for a name without a value), names to ignore, and what is left over.

    argparse does it, because getResolvedOptions leaves it to argparse too.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    flags = {"--help": "help"}
    for name in declared:
        flags |= {f"--{plain(name)}": name, f"--{plain(name).replace('_', '-')}": name}
    mentioned = {item[2:].partition("=")[0] for item in argv if item.startswith("--")} - {flag[2:] for flag in flags}
    on_glue = bool(mentioned & {"JOB_NAME", "JOB_RUN_ID"}) or "JOB_NAME" in declared
    ignored = [name for name in sorted(mentioned) if on_glue and has_glues_form(name) and not is_glues(name)]
    ignored = [name for name in ignored if not _resembles(name, declared)]
    glues = [name for name in mentioned if is_glues(name) and (name in NAMES or not _resembles(name, declared))]
    for name in [*NAMES, *glues, *ignored]:
        flags.setdefault(f"--{name}", name)
    for flag, name in flags.items():
        parser.add_argument(flag, dest=name, nargs="?", const=None)
    known, rest = parser.parse_known_args(_with_pips_options(argv, flags))
    given = vars(known)
    # A job may declare one of Glue's parameters as its own; Glue's side still sees it.
    given = {**{flag[2:]: given[name] for flag, name in flags.items() if name in given}, **given}
    return given, [f"--{name}" for name in ignored], rest


def _resembles(name: str, declared: Mapping[str, Any]) -> bool:
    names = [plain(own) for own in declared]
    return bool(difflib.get_close_matches(name.replace("-", "_"), names, n=1, cutoff=_ALIKE))


def _with_pips_options(argv: Sequence[str], flags: Mapping[str, str]) -> list[str]:
    """Join the parameter that passes options to pip with its value, which begins with dashes too."""
    joined: list[str] = []
    for item in argv:
        if joined and joined[-1] == _TAKES_OPTIONS and item.startswith("-") and item.partition("=")[0] not in flags:
            joined[-1] += f"={item}"
        else:
            joined.append(item)
    return joined


def _value(text: str | None, kind: Any) -> Any:
    if text is None and kind is bool:
        return True
    if text is None:
        raise ConversionError(f"{expected(kind)}; a value that begins with - is given as --name=value", "no value")
    return from_text(text, kind)


def _unknown(rest: Sequence[str], declared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name what is left over. No value is repeated: it may belong to a misspelt secret."""
    names = [plain(name) for name in declared]
    after_a_name = False
    for item in rest:
        if item.startswith("--") and item != "--":
            flag, equals, _ = item.partition("=")
            misspelt = flag[2:].replace("-", "_")
            close = difflib.get_close_matches(misspelt, names, n=1) or [name for name in names if name.startswith(misspelt)]
            yield flag, "unknown" + (f"; did you mean --{close[0]}?" if close else ", and no parameter of Glue's")
            after_a_name = not equals
        elif after_a_name:
            after_a_name = False
        else:
            yield "(a value)", "belongs to no name; give every argument as --name value, and quote values with spaces"


def _complaint(mismatch: ConversionError) -> str:
    given = "something (not shown: it may be a secret)" if mismatch.given is None else mismatch.given
    return f"given {given}, expected {mismatch.expected}"


def _refuse(problems: Sequence[tuple[str, str]]) -> NoReturn:
    width = max(len(name) for name, _ in problems)
    count = "1 argument is wrong" if len(problems) == 1 else f"{len(problems)} arguments are wrong"
    lines = [f"  {name:<{width}}  {complaint}" for name, complaint in problems]
    raise InvalidArgumentsError("\n".join([f"{count} (--help shows them all):", *lines]))
