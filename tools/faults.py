"""Publish through a network that loses, delays and doubles requests, and check that nothing is lost: ``hatch run faults``.

Two worker processes increment the same counter tables, or read the same source, at the same time. Their requests to S3 and
Glue pass proxies that inject faults into a share of them; now and then a worker is stopped for longer than its lease, or
killed and replaced. The last line of stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from gluewright_core.tables.catalog_glue import GlueDataCatalog
from gluewright_testing.aws import AwsServer, running_server
from gluewright_testing.fault_proxy import FaultProxy
from tools.fault_audit import Audit
from tools.fault_pairs import Lane, Settings
from tools.fault_worker import DATABASE, SHORT_TIMEOUTS, Place, Worker
from tools.s3check import running_versitygw, server_program

SERVERS = ("moto", "versitygw")
_BUCKET = "lake"


@dataclass
class Report:
    """What happened on one server.

    Attributes:
        pairs: how many pairs ended with both of their tasks done.
        faults: how many faults were injected, by kind.
        lost: increments and objects that are not there exactly once.
        dead: locations that the catalog named and that had no file.
        outcomes: how many attempts ended in which way.
        problems: what else went wrong.
    """

    pairs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Add another server's report."""
        self.pairs += other.pairs
        self.faults += other.faults
        self.lost += other.lost
        self.dead += other.dead
        self.outcomes += other.outcomes
        self.problems += other.problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pairs, print the result and return the exit code."""
    options = _options(arguments)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request
    servers = SERVERS if options.server == "both" else (options.server,)
    if options.server == "both" and shutil.which("go") is None:
        progress("go is not on PATH, so there is no versitygw: moto's server only")
        servers = ("moto",)
    logs = Path(tempfile.mkdtemp(prefix="gluewright-faults-"))
    until = time.monotonic() + 60 * options.minutes
    total = Report()
    for number, server in enumerate(servers):
        pairs = options.pairs // len(servers) + (number < options.pairs % len(servers))
        left = (until - time.monotonic()) / (len(servers) - number)
        try:
            total.add(run_pairs(server, pairs, options.seed, time.monotonic() + left, logs, options.lanes))
        except Exception:  # noqa: BLE001 - whatever it is, the last line says that the goal was not met
            total.problems.append(f"{server}: {traceback.format_exc()}")
    for problem in [*total.lost, *total.dead, *total.problems]:
        progress(problem)
    progress(f"attempts: {dict(total.outcomes.most_common())}")
    progress(f"faults: {dict(total.faults)}")
    met = total.pairs == options.pairs and not total.lost and not total.dead and not total.problems
    if met:
        shutil.rmtree(logs)
    else:
        progress(f"the workers' logs are in {logs}")
    counts = {"pairs": total.pairs, "faults": total.faults.total()}
    print(json.dumps({**counts, "lost_updates": len(total.lost), "dead_files": len(total.dead), "met": met}))
    return 0 if met else 1


def progress(text: str) -> None:
    """Print a line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def run_pairs(server: str, pairs: int, seed: int, until: float, logs: Path, lanes: int) -> Report:
    """Run pairs against one S3 server, and check its tables and sinks.

    Args:
        server: ``moto`` or ``versitygw``.
        pairs: how many.
        seed: of faults, pauses and kills.
        until: the monotonic time at which no further pair begins.
        logs: the folder for the workers' logs.
        lanes: how many pairs run at the same time.
    """
    report = Report()
    with running_servers(server) as (s3, glue):
        s3.bucket(_BUCKET)
        glue.client("glue").create_database(DatabaseInput={"Name": DATABASE})
        with _proxy(s3, seed) as s3_proxy, _proxy(glue, seed) as glue_proxy:
            root = f"s3://{_BUCKET}/{server}"
            direct = Worker(root, s3.client(config=SHORT_TIMEOUTS), GlueDataCatalog(glue.client("glue")))
            audit = Audit(direct, glue.client("glue"))
            place = Place(s3_proxy.url, glue_proxy.url, root)

            def run_lane(number: int) -> Lane:
                share = pairs // lanes + (number < pairs % lanes)
                settings = Settings(f"{server}{number}", seed, share, until, logs)
                lane = Lane(place, audit, settings, progress)
                lane.run()
                return lane

            with ThreadPoolExecutor(lanes) as pool:
                done = list(pool.map(run_lane, range(lanes)))
            progress(f"{server}: {s3_proxy.drain() + glue_proxy.drain()} late requests delivered")
            for lane in done:
                report.pairs += lane.pairs_done
                report.outcomes += lane.outcomes
                report.dead += lane.dead
                report.problems += lane.problems
            report.faults.update(s3_proxy.counts)
            report.faults.update(glue_proxy.counts)
        lost, dead = audit.check()
        report.lost += lost
        report.dead += dead
    return report


def _proxy(server: AwsServer, seed: int) -> FaultProxy:
    """Return a proxy whose lost answers outlast the clients' time-outs, and whose late requests outlast a publish."""
    return FaultProxy(server.url, share=0.1, seed=seed, hold_seconds=1.5, late_seconds=4.0, late_requests=40)


@contextmanager
def running_servers(server: str) -> Iterator[tuple[AwsServer, AwsServer]]:
    """Start the S3 server and the Glue server: moto's for Glue, and for S3 the one that is named."""
    with running_server() as moto:
        moto.reset()  # its servers of one process share what they keep
        versitygw = running_versitygw(server_program()) if server == "versitygw" else nullcontext(moto.url)
        with versitygw as url:
            yield AwsServer(url), moto


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hatch run faults", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=200, help="how many pairs of runs, on all servers together (200)")
    parser.add_argument("--server", choices=[*SERVERS, "both"], default="both", help="which S3 server (both)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other faults, pauses and kills (0)")
    parser.add_argument("--minutes", type=float, default=15, help="no pair begins after this time (15)")
    parser.add_argument("--lanes", type=int, default=2, help="how many pairs run at the same time per server (2)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
