"""Changes of a ledger by hand: each says who and why, and is kept beside the batches, so that it can be taken back too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gluewright_core.errors import GluewrightError
from gluewright_incremental.job.compaction import opened, superseded
from gluewright_incremental.job.incremental import Found, Incremental, by_key
from gluewright_incremental.job.manifests import Plan, Shelf
from gluewright_incremental.job.source_state import Ledger, Section
from gluewright_incremental.ledger import Change, Difference, Limits, SourceObject, change, prefix_of


class AdminRefusedError(GluewrightError):
    """A change by hand does not fit the ledger as it is. Nothing was changed."""


@dataclass(frozen=True)
class Note:
    """Who changes a ledger by hand, and why."""

    who: str
    why: str

    def __post_init__(self) -> None:
        if not self.why.strip() or not self.who.strip():
            raise AdminRefusedError("say who changes the ledger, and why: it is kept with the change")


@dataclass(frozen=True)
class Changed:
    """What a change by hand did, or would do.

    Attributes:
        what: in words.
        objects: how many objects become known, unknown, or known by another version.
        bytes: of them.
        batches: that are taken back.
    """

    what: str
    objects: int
    bytes: int
    batches: Sequence[str] = ()


def history(ledger: Ledger, shelf: Shelf) -> Iterator[Plan]:
    """Read the batches of a ledger, changes by hand among them, the newest first.

    Args:
        ledger: whose.
        shelf: with its side objects.
    """
    section = ledger.read()
    name = section.last.plan if section and section.last else ""
    while name:
        plan = shelf.read_plan(name)
        yield plan
        name = plan.previous


def rewind(incremental: Incremental, to: int, note: Note, *, accept_loss: bool = False, dry_run: bool = False) -> Changed:
    """Forget what the batches after one took: the next batch reads it again, and takes their place in the sink.

    Args:
        incremental: the source.
        to: the number of the last batch that stays; 0 for none.
        note: who and why.
        accept_loss: also when objects are not in the source any more, so that their rows cannot be read again.
        dry_run: change nothing.

    Raises:
        AdminRefusedError: there is no such batch, a batch is open, or rows would be lost.
    """
    undone: dict[str, tuple[SourceObject | None, SourceObject | None]] = {}
    batches: list[str] = []
    base = _ready(incremental)
    for plan in _standing(incremental, to):
        batches += [plan.id] if plan.kind == "read" else []
        for each in reversed(plan.changes):
            newest = undone[each.key][0] if each.key in undone else each.now
            undone[each.key] = (newest, each.was)
    changes = sorted(change(newest, oldest) for newest, oldest in undone.values() if newest != oldest)
    gone = {each.key for each in _difference(incremental, base.section).gone}
    _require_there([each.was for each in changes if each.was and each.key in gone], accept_loss)
    done = Changed(f"rewind to batch {to}", *_size(changes), batches)
    replaced = (*base.section.replaces, *(each for each in batches if each not in base.section.replaces))
    return _applied(incremental, base, "rewind", done, changes, note, to=to, dry_run=dry_run, replaces=replaced)


def _standing(incremental: Incremental, to: int) -> Iterator[Plan]:
    """Give the batches after one, the newest first, without those that were taken back before: they are undone already."""
    back_to = None
    for plan in history(incremental.ledger, incremental.shelf):
        if plan.number <= to:
            if plan.number < to:
                break
            return
        if back_to is not None and plan.number > back_to:
            continue
        if plan.kind == "rewind":
            back_to = int(plan.note["to"])
        else:
            yield plan
    if to != 0:
        raise AdminRefusedError(
            f"{incremental.ledger.uri}: there is no batch {to} of {incremental.ledger.source}; see `list`"
        )


def mark(incremental: Incremental, prefix: str, note: Note, *, known: bool = True, dry_run: bool = False) -> Changed:
    """Say of all objects whose key begins with a text that they are known, or that they are not, without reading them.

    What is marked as new is read again, and nothing takes its old rows from the sink: to do both, rewind.

    Args:
        incremental: the source.
        prefix: with which their keys begin.
        note: who and why.
        known: or new.
        dry_run: change nothing.
    """
    base = _ready(incremental)
    if known:
        there = _difference(incremental, base.section)
        steps = [change(None, each) for each in there.new] + [change(was, now) for was, now in there.rewritten]
    else:
        steps = [change(each, None) for each in _all_known(incremental, base.section)]
    changes = sorted(each for each in steps if each.key.startswith(prefix))
    done = Changed(f"mark {prefix or 'everything'} as {'known' if known else 'new'}", *_size(changes))
    return _applied(incremental, base, "mark", done, changes, note, dry_run=dry_run)


def set_to(incremental: Incremental, last: str, note: Note, *, dry_run: bool = False) -> Changed:
    """Say where to go on: all objects up to a prefix are known, and all behind it are new.

    Args:
        incremental: the source.
        last: the prefix, such as ``dt=2013-02-03``; what begins with it is known too.
        note: who and why.
        dry_run: change nothing.
    """
    base, limits = _ready(incremental), Limits(last=last)
    there = _difference(incremental, base.section)
    steps = [change(None, each) for each in there.new] + [change(was, now) for was, now in there.rewritten]
    changes = [each for each in steps if limits.within(each.key)]
    changes += [change(each, None) for each in _all_known(incremental, base.section) if not limits.within(each.key)]
    done = Changed(f"set to {last}", *_size(changes))
    return _applied(incremental, base, "mark", done, sorted(changes), note, dry_run=dry_run)


def reset(incremental: Incremental, note: Note, *, accept_loss: bool = False, dry_run: bool = False) -> Changed:
    """Forget everything: the next batch reads the source from its beginning, and takes the place of all rows in the sink.

    Args:
        incremental: the source.
        note: who and why.
        accept_loss: also when objects are not in the source any more, so that their rows cannot be read again.
        dry_run: change nothing.
    """
    base = _ready(incremental)
    section = base.section
    _require_there(_difference(incremental, section).gone, accept_loss)
    done = Changed("reset", section.known.objects, section.known.bytes)
    if not dry_run:
        empty = Section(section.uri, section.depth, section.number + 1, replaces_all=True)
        with incremental.held():
            _noted(incremental, base.read, empty, "reset", done, note)
    return done


def decide(incremental: Incremental, note: Note, *, published: bool, dry_run: bool = False) -> Changed:
    """Say of an open batch whose objects are gone that the sink has it, or that it has not and the batch is dropped.

    Args:
        incremental: the source.
        note: who and why.
        published: whether the sink has the rows of the batch, under its id.
        dry_run: change nothing.

    Raises:
        AdminRefusedError: no batch is open.
    """
    section = incremental.section()
    entry = section.open_batch
    if entry is None:
        raise AdminRefusedError(
            f"{incremental.ledger.uri}: no batch of {incremental.ledger.source} is open; nothing to decide"
        )
    done = Changed(f"batch {entry.id} is {'published' if published else 'dropped'}", entry.objects, entry.bytes)
    if dry_run:
        return done
    with incremental.held():
        now = replace(section, open_batch=None, number=entry.number)
        if published:
            plan = incremental.shelf.read_plan(entry.plan)
            incremental.record(section, section, entry, plan, replaces=(), replaces_all=False)
            section = now = incremental.section()
        _noted(incremental, section, now, "published" if published else "dropped", done, note)
    return done


def difference(incremental: Incremental) -> dict[str, list[dict[str, Any]]]:
    """Compare the whole source with the ledger: what is ``new``, ``rewritten`` and ``gone``, by prefix.

    Args:
        incremental: the source.
    """
    found = _difference(incremental, incremental.section())
    rewritten = [now for _, now in found.rewritten]
    told = {"new": found.new, "rewritten": rewritten, "gone": found.gone}
    return {what: _by_prefix(objects, incremental.depth) for what, objects in told.items()}


def _by_prefix(objects: Iterable[SourceObject], depth: int) -> list[dict[str, Any]]:
    found: dict[str, list[int]] = {}
    for each in objects:
        found.setdefault(prefix_of(each.key, depth), []).append(each.size)
    return [{"prefix": name, "objects": len(sizes), "bytes": sum(sizes)} for name, sizes in sorted(found.items())]


def _difference(incremental: Incremental, section: Section) -> Difference:
    return incremental.look(section, opened(section, incremental.shelf), full=True).difference


def _all_known(incremental: Incremental, section: Section) -> Iterator[SourceObject]:
    yield from by_key(opened(section, incremental.shelf).known).values()
    for each in section.closed:
        yield from by_key(incremental.shelf.read_detail(each.detail)).values()


@dataclass(frozen=True)
class _Base:
    """What a change is computed on: the section as it was read, and what stands for none."""

    read: Section | None
    section: Section


def _ready(incremental: Incremental) -> _Base:
    read = incremental.ledger.read()
    section = incremental.require_own(read)
    if section.open_batch:
        raise AdminRefusedError(
            f"{incremental.ledger.uri}: batch {section.open_batch.id} is open; let a run finish it, or decide it with `mark "
            "--published` or `mark --dropped`, first"
        )
    return _Base(read, section)


def _require_there(gone: Sequence[SourceObject], accept_loss: bool) -> None:
    if gone and not accept_loss:
        raise AdminRefusedError(
            f"{len(gone):,} objects are not in the source any more, the first: {min(gone).key}; their rows would be taken "
            "from the sink and could not be read again: restore them, or say --accept-loss"
        )


def _size(changes: Sequence[Change]) -> tuple[int, int]:
    return len(changes), sum(each.size or each.was_size for each in changes)


def _applied(
    incremental: Incremental,
    base: _Base,
    kind: str,
    done: Changed,
    changes: Sequence[Change],
    note: Note,
    *,
    dry_run: bool,
    to: int | None = None,
    **more: Any,
) -> Changed:
    """Record the change as a batch of its own, which can be taken back as any other."""
    if dry_run or not changes:
        return done
    with incremental.held():
        incremental.begin_section(base.read, base.section)
        told = {"what": done.what, "who": note.who, "why": note.why, **({} if to is None else {"to": str(to)})}
        entry, plan = incremental.planned(base.section, kind, changes, Found(Difference()), told)
        by_hand = {**told, "when": entry.at, "plan": entry.plan}
        incremental.record(base.section, base.section, entry, plan, by_hand=by_hand, **more)
    return done


def _noted(incremental: Incremental, before: Section | None, after: Section, kind: str, done: Changed, note: Note) -> None:
    """Write a section together with a note that is kept beside the batches."""
    told = {"what": done.what, "who": note.who, "why": note.why}
    if before is None:
        before = replace(after, number=0, replaces_all=False)
        incremental.begin_section(None, before)
    entry, _ = incremental.planned(after, kind, (), Found(Difference()), told)
    incremental.ledger.replace(before, replace(after, by_hand={**told, "when": entry.at, "plan": entry.plan}))
    incremental.shelf.discard(superseded(before, after) if before else [])
