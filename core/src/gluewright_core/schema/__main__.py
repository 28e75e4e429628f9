"""Schemas on the command line: ``python -m gluewright_core.schema drift | show | convert | compatible``.

The exit code is 0 when schemas agree, 1 when they do not, and 2 when one cannot be read. Where schemas are found is said as
in :mod:`gluewright_core.schema.reading`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gluewright_core.errors import GluewrightError, InvalidSourceError
from gluewright_core.schema.avro_compatibility import check_avro_versions
from gluewright_core.schema.compatibility import Compatibility, Incompatibility, check_versions
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.drift import drift
from gluewright_core.schema.files import contract_to_text, read_text, yaml_module
from gluewright_core.schema.losses import Converted, Loss
from gluewright_core.schema.reading import kind_and_place, read_source
from gluewright_core.schema.sources.avro import to_avro
from gluewright_core.schema.sources.avro_parsing import parse_avro
from gluewright_core.schema.sources.cloudformation import to_cloudformation
from gluewright_core.schema.sources.ddl import create_sql, to_ddl
from gluewright_core.schema.sources.glue import to_glue

_SAME, _DIFFERENT, _UNREADABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as on the command line; by default those of the process.

    Returns:
        The exit code.
    """
    given = _parser().parse_args(arguments)
    try:
        code: int = given.run(given)
    except GluewrightError as error:
        _say(_in_one_line(str(error)), sys.stderr)
        return _UNREADABLE
    return code


def _in_one_line(message: str) -> str:
    """Write an error in one line, without the caret under the place in a text."""
    lines = [line.strip() for line in message.splitlines() if line.strip(" \t^")]
    return "".join(line + (" " if line.endswith(":") else "; ") for line in lines[:-1]) + "".join(lines[-1:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gluewright_core.schema", description="Schemas on the command line.")
    commands = parser.add_subparsers(required=True, metavar="command")
    where = "orders.yaml, glue:db.table, cfn:template.yaml#LogicalId, avro:x.avsc, ddl:x.sql or parquet:folder"

    comparing = commands.add_parser("drift", help="compare two or more schemas; exits with 1 when they differ")
    comparing.add_argument("source", nargs="+", help=where)
    comparing.add_argument("--json", action="store_true", help="write JSON instead of a table")
    comparing.set_defaults(run=_drift)

    showing = commands.add_parser("show", help="show a schema as a contract's file")
    showing.add_argument("source", help=where)
    showing.set_defaults(run=_convert, to="yaml", location="")

    converting = commands.add_parser("convert", help="write a schema in another form; what is lost goes to stderr")
    converting.add_argument("source", help=where)
    converting.add_argument("--to", required=True, choices=list(_FORMS))
    converting.add_argument("--location", default="", help="the table's folder, for glue, cfn and sql")
    converting.set_defaults(run=_convert)

    checking = commands.add_parser(
        "compatible",
        help="check versions of a schema, oldest first; exits with 1 when they are not compatible",
        description="Check versions of a schema, oldest first. If all are Avro files, Avro's own rules decide.",
    )
    checking.add_argument("source", nargs="+", help=where)
    checking.add_argument("--mode", default=Compatibility.BACKWARD, type=Compatibility, choices=list(Compatibility))
    checking.set_defaults(run=_compatible)
    return parser


def _drift(given: argparse.Namespace) -> int:
    if len(given.source) < 2:
        raise GluewrightError("drift needs two schemas or more; name another one")
    report = drift([read_source(spec) for spec in given.source])
    _say(json.dumps(report.as_json(), indent=2, ensure_ascii=False) if given.json else str(report))
    return _DIFFERENT if report.found else _SAME


def _convert(given: argparse.Namespace) -> int:
    source = read_source(given.source)
    text, losses = _FORMS[given.to](source.contract, given.location)
    _say(text.rstrip("\n"))
    _say_lost((*source.losses, *losses))
    return _SAME


def _compatible(given: argparse.Namespace) -> int:
    """Avro files are compared with each other by Avro's own rules; everything else as contracts."""
    places = [kind_and_place(spec) for spec in given.source]
    notes: tuple[Incompatibility, ...] = ()
    if all(kind == "avro" for kind, _ in places):
        schemas = [parse_avro(read_text(path), where=path) for _, path in places]
        found, notes = check_avro_versions(schemas, given.mode)
        for spec in given.source:
            _say_lost_by_avro(spec)
    else:
        sources = [read_source(spec) for spec in given.source]
        found = check_versions([source.contract for source in sources], given.mode)
        for source in sources:
            _say_lost(source.losses, f"{source.spec}: ")
    for note in notes:
        _say(f"note: {note.as_note()}", sys.stderr)
    for problem in found:
        _say(str(problem))
    if not found:
        _say(f"{given.mode}: compatible")
    return _DIFFERENT if found else _SAME


def _say_lost_by_avro(spec: str) -> None:
    """Say what a contract made of an Avro schema does not have; the comparison itself loses nothing."""
    try:
        _say_lost(read_source(spec).losses, f"{spec}: as a contract: ")
    except InvalidSourceError as error:
        _say(f"lost: {spec}: as a contract: everything: {error}", sys.stderr)


def _say_lost(losses: Iterable[Loss], whose: str = "") -> None:
    for loss in losses:
        _say(f"lost: {whose}{loss}", sys.stderr)


def _as_json(converted: Converted[Any]) -> Converted[str]:
    return Converted(json.dumps(converted.result, indent=2, ensure_ascii=False), converted.losses)


def _as_yaml(converted: Converted[Any]) -> Converted[str]:
    return Converted(yaml_module().safe_dump(converted.result, sort_keys=False, allow_unicode=True), converted.losses)


_FORMS: dict[str, Callable[[Contract, str], tuple[str, tuple[Loss, ...]]]] = {
    "yaml": lambda contract, _: (contract_to_text(contract, "yaml"), ()),
    "json": lambda contract, _: (contract_to_text(contract, "json"), ()),
    "glue": lambda contract, location: _as_json(to_glue(contract, location=location)),
    "cfn": lambda contract, location: _as_yaml(to_cloudformation(contract, location=location)),
    "avro": lambda contract, _: _as_json(to_avro(contract)),
    "ddl": lambda contract, _: to_ddl(contract),
    "sql": lambda contract, location: create_sql(contract, location=location),
}


def _say(text: str, stream: Any = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
