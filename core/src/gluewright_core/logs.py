"""Structured log lines with the run's identity, on standard error.

On a terminal a line is short and for people; elsewhere (Glue, CI, a pipe) it is one JSON object, so that CloudWatch Logs
Insights can filter by run and by the fields that a message was given:

    job.log.info("published %s", table, extra={"rows": 12})
    {"time": "...", "level": "INFO", "job": "nightly", "run": "jr_1", "attempt": 0, "message": "published t", "rows": 12}

Values of secrets that this process revealed are masked in every line.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from gluewright_core.secret import masked

ROOT = logging.getLogger("gluewright")
# What every record has; the rest is what the caller gave as extra.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True)
class RunIdentity:
    """Which run this is.

    Attributes:
        job: the job's name.
        id: the logical run. A retry of it has the same.
        attempt: 0 for the first attempt, n for the n-th retry.
    """

    job: str
    id: str
    attempt: int = 0


@contextmanager
def logging_for(run: RunIdentity) -> Iterator[logging.Logger]:
    """Send the lines of the logger ``gluewright`` to standard error, with the run's identity, while the body runs.

    Args:
        run: the identity that each line carries.

    Yields:
        The logger for the job's own lines.
    """
    handler = _Stderr()
    handler.setFormatter(_Human() if sys.stderr.isatty() else _Json(run))
    level, propagate = ROOT.level, ROOT.propagate
    ROOT.addHandler(handler)
    ROOT.setLevel(logging.INFO)
    # A root handler, of Glue's or a library's, would repeat each line in another form.
    ROOT.propagate = False
    try:
        yield ROOT.getChild("job")
    finally:
        ROOT.removeHandler(handler)
        ROOT.setLevel(level)
        ROOT.propagate = propagate


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at that moment: a progress bar replaces it while it is shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _Human(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _Json(logging.Formatter):
    def __init__(self, run: RunIdentity) -> None:
        super().__init__()
        self._identity = {"job": run.job, "run": run.id, "attempt": run.attempt}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **self._identity,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return masked(json.dumps(line, default=str, ensure_ascii=False))
