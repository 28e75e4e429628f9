"""Whether a storage keeps the promise of conditional writes: without it two writers can both win.

Amazon S3 does. A store that merely speaks its protocol may ignore ``If-None-Match`` and ``If-Match`` and perform every
write. The first state document below a root therefore tries it out, once, and notes the result beside the documents.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from gluewright_core.errors import (
    ConcurrentUpdateError,
    ConditionalWritesIgnoredError,
    LeaseTimeoutError,
    ObjectNotFoundError,
)
from gluewright_core.storage.interface import ABSENT

if TYPE_CHECKING:
    from gluewright_core.storage.interface import Storage

NOTE = "_gluewright/store.json"
MOST_SECONDS = 60.0
"""How long one request for a state document may take, all attempts together: half of a lease."""


def require_conditional_writes(storage: Storage) -> None:
    """Refuse to keep state in a storage that ignores conditional writes, or whose client may wait longer than a lease.

    A storage object is looked at once. Storages that are correct by construction are not.

    Args:
        storage: about to keep a state document.

    Raises:
        ConditionalWritesIgnoredError: it performs writes whose condition does not hold, and nobody has stated that there is
            one writer only.
        LeaseTimeoutError: its client's time-outs are too long.
    """
    if storage.conditions_known:
        return
    if storage.request_seconds > MOST_SECONDS:
        raise LeaseTimeoutError(
            f"{storage.uri}: with its time-outs and attempts the S3 client may wait {storage.request_seconds:.0f} s for one "
            f"request, a lease allows {MOST_SECONDS:.0f} s; give it botocore.config.Config(connect_timeout=3, "
            "read_timeout=12, retries={'mode': 'standard', 'total_max_attempts': 3})"
        )
    if read_note(storage) is None:
        if not probe_conditional_writes(storage):
            raise ConditionalWritesIgnoredError(
                f"{storage.uri}: the store performs conditional writes although their condition does not hold "
                "(If-None-Match or If-Match is ignored), so two runs could overwrite each other. Use a store that honours "
                "them, or, if one writer at a time is guaranteed, state it: `python -m gluewright_core.tables doctor "
                f"--state {storage.uri} --one-writer '<why>' --apply`"
            )
        write_note(storage, {"conditional_writes": "honoured"})
    storage.conditions_known = True


def probe_conditional_writes(storage: Storage) -> bool:
    """Try out whether a storage refuses writes whose condition does not hold. Leaves nothing behind."""
    key = f"_gluewright/probe-{secrets.token_hex(8)}"
    storage.write(key, b"1", expect=ABSENT)
    try:
        return all(_refuses(storage, key, expect) for expect in (ABSENT, "0" * 32))
    finally:
        storage.delete([key])


def read_note(storage: Storage) -> dict[str, Any] | None:
    """Read what is noted about the store; None when nothing is."""
    try:
        found = json.loads(storage.read(NOTE)[0])
    except (ObjectNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_note(storage: Storage, note: dict[str, Any]) -> None:
    """Note about the store whether it honours conditional writes, or who guarantees that there is one writer."""
    storage.write(NOTE, json.dumps(note, indent=1, ensure_ascii=False).encode())


def _refuses(storage: Storage, key: str, expect: Any) -> bool:
    try:
        storage.write(key, b"2", expect=expect)
    except ConcurrentUpdateError:
        return True
    return False
