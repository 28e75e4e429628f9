"""Look at a ledger and change it by hand, such as ``python -m gluewright_incremental.job.admin show --state s3://lake``."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from gluewright_core.explaining import one_line
from gluewright_core.storage import open_storage
from gluewright_incremental.job import admin
from gluewright_incremental.job.admin import AdminRefusedError, Changed, Note
from gluewright_incremental.job.incremental import Incremental
from gluewright_incremental.job.manifests import Plan, Shelf
from gluewright_incremental.job.source_state import Ledger
from gluewright_incremental.job.watermark import Watermark


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print what it found or did, as JSON or a line for each batch.

    Args:
        argv: the command line without the program's name.

    Returns:
        0; 1 after an error, which is told in one line.
    """
    asked = _parser().parse_args(argv)
    try:
        told = COMMANDS[asked.command](asked)
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        sys.stderr.write(f"error: {line}\n")
        return 1
    sys.stdout.write(f"{told if isinstance(told, str) else json.dumps(told, indent=1, ensure_ascii=False)}\n")
    return 0


def _show(asked: argparse.Namespace) -> Any:
    ledger = _ledger(asked)
    if asked.name is None:
        return {"ledger": ledger.uri, "sources": ledger.sources()}
    section = ledger.read()
    if section is None:
        raise AdminRefusedError(
            f"{ledger.uri} says nothing of {ledger.source}; it has: {', '.join(ledger.sources()) or 'no source'}"
        )
    body = section.as_json()
    closed = body.pop("closed")
    prefixes = sum(each["prefixes"] for each in closed)
    return {"ledger": ledger.uri, "source": ledger.source, **body, "closed": {"ranges": len(closed), "prefixes": prefixes}}


def _list(asked: argparse.Namespace) -> str:
    ledger = _ledger(asked)
    lines = []
    for plan in admin.history(ledger, _shelf(asked)):
        size = f"{len(plan.changes):>8} objects  {sum(each.size for each in plan.changes):>14} bytes"
        note = f"  {plan.note['what']}, {plan.note['who']}: {plan.note['why']}" if plan.note else ""
        late = f"  {len(plan.late)} late prefixes" if plan.late else ""
        lines.append(f"{plan.number:>8}  {plan.at}  {plan.kind:<6}  {size}  {plan.id}{late}{note}")
    return "\n".join(lines)


def _late(asked: argparse.Namespace) -> Any:
    return _plan(asked).late


def _plan(asked: argparse.Namespace) -> Plan:
    for plan in admin.history(_ledger(asked), _shelf(asked)):
        if asked.batch in {None, plan.id, str(plan.number)}:
            return plan
    ledger = _ledger(asked)
    raise AdminRefusedError(f"{ledger.uri}: there is no batch {asked.batch or 'yet'} of {ledger.source}; see `list`")


def _diff(asked: argparse.Namespace) -> Any:
    found = admin.difference(_incremental(asked))
    source = open_storage(asked.source)
    if not any(found.values()) and next(iter(source.list_objects()), None) is None:
        raise AdminRefusedError(f"{source.uri}: there are no objects here, and the ledger knows none; look at --source")
    return found


def _rewind(asked: argparse.Namespace) -> Any:
    to = asked.to
    if not to.isdigit():
        numbers = [plan.number for plan in admin.history(_ledger(asked), _shelf(asked)) if plan.id == to]
        if not numbers:
            raise AdminRefusedError(f"{_ledger(asked).uri}: there is no batch {to}; see `list`")
        to = numbers[0]
    incremental = _incremental(asked)
    return _told(admin.rewind(incremental, int(to), _note(asked), accept_loss=asked.accept_loss, dry_run=asked.dry_run))


def _reset(asked: argparse.Namespace) -> Any:
    return _told(admin.reset(_incremental(asked), _note(asked), accept_loss=asked.accept_loss, dry_run=asked.dry_run))


def _set(asked: argparse.Namespace) -> Any:
    return _told(admin.set_to(_incremental(asked), asked.to, _note(asked), dry_run=asked.dry_run))


def _mark(asked: argparse.Namespace) -> Any:
    incremental, note = _incremental(asked), _note(asked)
    if asked.published or asked.dropped:
        return _told(admin.decide(incremental, note, published=asked.published, dry_run=asked.dry_run))
    known, prefix = asked.known is not None, asked.known if asked.known is not None else asked.new
    return _told(admin.mark(incremental, prefix, note, known=known, dry_run=asked.dry_run))


def _watermark(asked: argparse.Namespace) -> Any:
    watermark = Watermark.existing(open_storage(asked.state), asked.consumer, asked.name)
    if asked.to or asked.reset:
        was = watermark.tell()["high"]
        watermark.set_to(asked.to, who=asked.who, why=asked.why or "", dry_run=asked.dry_run)
        return {"watermark": watermark.uri, "was": was, "high": asked.to}
    return {"watermark": watermark.uri, **watermark.tell()}


COMMANDS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "show": _show,
    "list": _list,
    "late": _late,
    "diff": _diff,
    "set": _set,
    "rewind": _rewind,
    "reset": _reset,
    "mark": _mark,
    "watermark": _watermark,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gluewright_incremental.job.admin", description="Look at a ledger, or change it by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "show": "what the ledger says",
        "list": "the batches, the newest first",
        "late": "the late data of a batch, as the partitions to process again",
        "diff": "what the whole source has and the ledger has not, by prefix",
        "set": "go on behind a prefix: all up to it is known, all behind it is new",
        "rewind": "forget what the batches after one took",
        "reset": "forget everything",
        "mark": "call objects known or new, or decide what became of an open batch",
        "watermark": "where a consumer is in rows of a database or versions of a table; with --to or --reset, set it",
    }
    made = {name: commands.add_parser(name, help=text) for name, text in helps.items()}
    for name, command in made.items():
        command.add_argument("--state", required=True, help="the storage of the ledger, such as s3://lake")
        command.add_argument("--consumer", required=True, help="whose ledger")
        command.add_argument("--name", default=None if name == "show" else "source", help="of the source in the ledger")
        if name in {"diff", "set", "rewind", "reset", "mark"}:
            command.add_argument("--source", required=True, help="the folder of the objects")
            command.add_argument("--depth", type=int, default=1, help="of prefixes, as the job has it")
        if name in {"set", "rewind", "reset", "mark", "watermark"}:
            command.add_argument("--why", required=name != "watermark", help="the reason, for those who come later")
            command.add_argument("--who", default=getpass.getuser(), help="by default the user of this machine")
            command.add_argument("--dry-run", action="store_true", help="tell what would be done")
        if name in {"rewind", "reset"}:
            command.add_argument("--accept-loss", action="store_true", help="also when objects cannot be read again")
    made["late"].add_argument("batch", nargs="?", help="number or id; by default the last one")
    made["set"].add_argument("--to", required=True, help="the prefix, such as dt=2013-02-03")
    made["rewind"].add_argument("--to", required=True, help="number or id of the last batch that stays; 0 for none")
    where = made["watermark"].add_mutually_exclusive_group()
    where.add_argument("--to", nargs="+", metavar="VALUE", help="go on behind this: a value for each column of the cursor")
    where.add_argument("--reset", action="store_true", help="begin anew")
    which = made["mark"].add_mutually_exclusive_group(required=True)
    which.add_argument("--known", metavar="PREFIX", help="objects whose key begins so are known")
    which.add_argument("--new", metavar="PREFIX", help="objects whose key begins so are new")
    which.add_argument("--published", action="store_true", help="the sink has the rows of the open batch")
    which.add_argument("--dropped", action="store_true", help="the sink has not, and the batch is given up")
    return parser


def _ledger(asked: argparse.Namespace) -> Ledger:
    return Ledger(open_storage(asked.state), asked.consumer, asked.name or "source")


def _shelf(asked: argparse.Namespace) -> Shelf:
    return Shelf(open_storage(asked.state), asked.consumer, asked.name)


def _incremental(asked: argparse.Namespace) -> Incremental:
    return Incremental(
        asked.source, consumer=asked.consumer, state=asked.state, name=asked.name, depth=asked.depth, patience=0
    )


def _note(asked: argparse.Namespace) -> Note:
    return Note(asked.who, asked.why)


def _told(done: Changed) -> dict[str, Any]:
    return asdict(done)


if __name__ == "__main__":
    sys.exit(main())
