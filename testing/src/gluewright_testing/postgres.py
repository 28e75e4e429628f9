"""A PostgreSQL server of a test's own, and the changes that it records in its log.

A test that needs to know what a database really does asks the database. `running_postgres` starts the server that is
installed on this machine, on a socket in a temporary folder, and deletes it afterwards. It runs as ``postgres`` when the
tests run as root, which PostgreSQL refuses.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

_NULL = "\\N"
_COLUMN = re.compile(r"(\w+)\[[^\]]+\]:('(?:[^']|'')*'|[^ ]+)")


class PostgresUnavailableError(Exception):
    """There is no PostgreSQL server on this machine, or it does not start."""


@dataclass(frozen=True)
class RowChange:
    """A change of a row, as the server decodes it from its log.

    Attributes:
        op: ``insert``, ``update`` or ``delete``.
        row: the values by column, as text or None; of a delete the key only.
        old_key: the key before an update that changed it, else None.
        lsn: its position in the log.
        previous_commit: the position of the last commit before its transaction.
        at: when its transaction was committed.
        transaction: the transaction's number.
    """

    op: str
    row: dict[str, str | None]
    old_key: dict[str, str | None] | None
    lsn: int
    previous_commit: int
    at: datetime
    transaction: int


@dataclass(frozen=True)
class Postgres:
    """A server. :func:`running_postgres` starts it.

    Attributes:
        socket: the folder of its socket.
    """

    socket: Path
    _commits: list[int] = field(default_factory=lambda: [0])

    def run(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run statements and return the rows of the last one, as text.

        Raises:
            CalledProcessError: a statement failed.
        """
        command = [_program("psql"), "-X", "-q", "-h", str(self.socket), "-U", "gw", "-d", "postgres", "--csv", "-t"]
        options = ["-P", f"null={_NULL}", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        done = subprocess.run([*command, *options], input=sql, text=True, capture_output=True, check=True)
        rows = csv.reader(io.StringIO(done.stdout, newline=""))
        return [tuple(None if value == _NULL else value for value in row) for row in rows]

    def record(self, slot: str) -> None:
        """Begin to record changes; :meth:`changes` returns them."""
        self.run(f"SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")

    def changes(self, slot: str) -> list[RowChange]:
        """Return the changes since they were recorded or last returned, in the order of their transactions."""
        read = f"pg_logical_slot_get_changes('{slot}', NULL, NULL, 'include-timestamp', '1')"
        log = self.run(f"SELECT lsn, xid, data FROM {read}")
        found: list[RowChange] = []
        open_changes: list[tuple[int, int, str]] = []
        for lsn, xid, data in log:
            assert lsn and xid and data
            if data.startswith("BEGIN"):
                open_changes = []
            elif data.startswith("COMMIT"):
                at = datetime.fromisoformat(data.partition("(at ")[2].removesuffix(")"))
                found += [_row_change(*change, self._commits[-1], at) for change in open_changes]
                self._commits.append(_position(lsn))
            else:
                open_changes.append((_position(lsn), int(xid), data))
        return found


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server, and stop and delete it when the body ends.

    Raises:
        PostgresUnavailableError: there is none on this machine, or it does not start.
    """
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="gw-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data, log = folder / "data", folder / "log"
        _as_postgres([initdb, "-D", str(data), "-U", "gw", "--auth=trust", "-E", "UTF8", "--no-sync"])
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c wal_level=logical -c fsync=off"
        _as_postgres([pg_ctl, "-D", str(data), "-o", f"'{settings}'", "-l", str(log), "-w", "start"])
        try:
            yield Postgres(folder)
        finally:
            _as_postgres([pg_ctl, "-D", str(data), "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    """Return the path of one of the server's programs; Debian keeps them off the path."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(installed[-1]) if installed else shutil.which(name)
    if not found:
        raise PostgresUnavailableError(f"there is no {name} on this machine; install PostgreSQL's server")
    return found


def _as_postgres(command: Sequence[str]) -> None:
    line = " ".join(command)
    shell = ["su", "postgres", "-c", line] if os.geteuid() == 0 else ["sh", "-c", line]
    # The server keeps what it inherits open: its output goes to its log.
    done = subprocess.run(shell, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", check=False, timeout=60)
    if done.returncode:
        raise PostgresUnavailableError(f"{line}: {done.stderr.decode(errors='replace').strip()}")


def _position(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _row_change(lsn: int, transaction: int, data: str, previous_commit: int, at: datetime) -> RowChange:
    _, _, what = data.partition(": ")
    op, _, values = what.partition(": ")
    old, _, new = values.partition(" new-tuple: ") if values.startswith("old-key: ") else ("", "", values)
    return RowChange(op.lower(), _values(new), _values(old) if old else None, lsn, previous_commit, at, transaction)


def _values(text: str) -> dict[str, str | None]:
    found = {}
    for name, value in _COLUMN.findall(text):
        quoted = value.startswith("'")
        found[name] = value[1:-1].replace("''", "'") if quoted else None if value == "null" else value
    return found
