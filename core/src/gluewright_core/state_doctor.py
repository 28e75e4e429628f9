"""Find out what is wrong with the state documents below a root: leases, lost documents, a store without conditions."""

from __future__ import annotations

from collections.abc import Iterator

from gluewright_core.errors import InvalidStateError
from gluewright_core.leases import holder_of, utc_now
from gluewright_core.state import Documents
from gluewright_core.storage import Storage
from gluewright_core.storage.conditions import probe_conditional_writes, read_note, write_note


def examine_state(storage: Storage) -> Iterator[str]:
    """Look at the documents below a root; nothing is left behind.

    Args:
        storage: the root, above ``_gluewright/``.

    Returns:
        What is not as it should be, a sentence each.
    """
    yield from _store_findings(storage)
    keys = [found.key for found in storage.list_objects("_gluewright/")]
    documents = {key for key in keys if key.endswith(".json")}
    for key in sorted(documents):
        kind, _, name = key.removeprefix("_gluewright/").removesuffix(".json").partition("/")
        if not name or kind == "tables":
            continue
        try:
            found = Documents(storage, kind).read(name)
        except InvalidStateError as error:
            yield str(error)
            continue
        if found and kind == "leases" and (holder := holder_of(found, utc_now())):
            yield f"{storage.uri_of(key)} is held by {holder} until {found.body['until']}"
    below = [key.split("/")[2:] for key in keys if key.startswith("_gluewright/ledgers/")]
    for consumer in sorted({parts[0] for parts in below if len(parts) > 1}):
        if f"_gluewright/ledgers/{consumer}.json" not in documents:
            uri = storage.uri_of(f"_gluewright/ledgers/{consumer}.json")
            yield f"{uri} is gone, although batches were read; restore it from a version before"


def state_one_writer(storage: Storage, *, who: str, why: str) -> None:
    """Note that one writer at a time is guaranteed, so that a store without conditional writes may keep state.

    Args:
        storage: the root.
        who: states it.
        why: it is guaranteed.
    """
    write_note(storage, {"conditional_writes": "one writer", "who": who, "why": why, "when": utc_now().isoformat()})


def _store_findings(storage: Storage) -> Iterator[str]:
    if storage.conditions_known or probe_conditional_writes(storage):
        return
    note = read_note(storage) or {}
    stated = f"; one writer is guaranteed, says {note['who']}: {note['why']}" if note.get("who") else ""
    yield f"{storage.uri}: the store performs conditional writes although their condition does not hold{stated}"
