"""Look after tables and their state: ``python -m gluewright_core.tables doctor --location s3://lake/orders``."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence

from gluewright_core.errors import GluewrightError, TableError, TableMismatchError
from gluewright_core.leases import break_lease
from gluewright_core.state_doctor import examine_state, state_one_writer
from gluewright_core.storage import Storage, open_storage, parent_uri
from gluewright_core.tables.catalog import Catalog
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.commit_state import CommitState
from gluewright_core.tables.doctor import Patient

_EXAMPLES = """
examples:
  python -m gluewright_core.tables doctor --location s3://lake/orders                    look, change nothing
  python -m gluewright_core.tables doctor --location s3://lake/orders --apply            finish a publish whose run died
  python -m gluewright_core.tables doctor --location s3://lake/orders --apply --break-lease 'the node is gone'
  python -m gluewright_core.tables doctor --state s3://lake                              leases and ledgers
"""


def main(argv: Sequence[str] | None = None, *, catalog: Catalog | None = None) -> int:
    """Run one command.

    Args:
        argv: the command line without the program's name.
        catalog: where the table's partitions are; by default what ``--catalog`` says.

    Returns:
        0 when everything is as it should be; 1 when it is not, or after an error.
    """
    asked = _parser().parse_args(argv)
    if not (asked.location or asked.state):
        _parser().error("give --location or --state")
    try:
        left = [*_doctor_table(asked, catalog)] if asked.location else []
        left += [*_doctor_state(asked)] if asked.state else []
    except GluewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in left) or "nothing is wrong\n")
    if not asked.apply and any("[" in line for line in left):
        sys.stdout.write("nothing was changed; --apply does what is in brackets\n")
    return 1 if left else 0


def _doctor_table(asked: argparse.Namespace, catalog: Catalog | None) -> list[str]:
    patient = _patient(asked.location, asked.table, catalog or _CATALOGS[asked.catalog or _usual(asked.location)]())
    if asked.apply:
        if asked.break_lease:
            break_lease(patient.protocol.state.documents, "lease", who=getpass.getuser(), why=asked.break_lease)
        patient.repair(keep=asked.keep)
    return [str(finding) for finding in patient.examine()]


def _doctor_state(asked: argparse.Namespace) -> list[str]:
    storage = open_storage(asked.state)
    if asked.apply and asked.one_writer:
        state_one_writer(storage, who=getpass.getuser(), why=asked.one_writer)
    return list(examine_state(storage))


def _patient(location: str, table: str, catalog: Catalog) -> Patient:
    parent, folder = parent_uri(location)
    storage = open_storage(parent)
    name = table or _table_name(storage, folder)
    found = catalog.table(name) if name else None
    if found is None:
        raise TableMismatchError(
            f"{location}: {f'{name} is not in this catalog' if name else 'nothing was published here'}; give --table and "
            "--catalog"
        )
    protocol = CommitProtocol(catalog, name, found.partition_by, storage, folder)
    return Patient(catalog, name, storage, folder, protocol, found.partition_by)


def _table_name(storage: Storage, folder: str) -> str:
    head = CommitState(storage, folder, "").documents.read("head")
    return str(head.body.get("table", "")) if head else ""


def _usual(location: str) -> str:
    return "glue" if location.startswith(("s3:", "s3a:")) else "spark"


def _glue() -> Catalog:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - only what is used is loaded

    from gluewright_core.tables.catalog_glue import GlueDataCatalog  # noqa: PLC0415

    try:
        return GlueDataCatalog()
    except BotoCoreError as error:
        raise TableError(f"the Glue Data Catalog cannot be asked: {error} Set AWS_REGION, or give --catalog") from error


def _spark() -> Catalog:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - starts a session

    from gluewright_core.tables.catalog_spark import SparkCatalog  # noqa: PLC0415

    return SparkCatalog(SparkSession.builder.appName("doctor").enableHiveSupport().getOrCreate())


_CATALOGS: dict[str, Callable[[], Catalog]] = {"glue": _glue, "spark": _spark}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gluewright_core.tables",
        description="Look after tables and their state.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor = parser.add_subparsers(dest="command", required=True).add_parser(
        "doctor",
        help="find what is wrong with a table's publishing or with state documents, and repair it",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--location", default="", help="folder of a Parquet table, such as s3://lake/orders")
    doctor.add_argument("--table", default="", help="its name, database.table; by default the one that was published")
    doctor.add_argument("--catalog", choices=sorted(_CATALOGS), help="where its partitions are; by default glue for s3://")
    doctor.add_argument("--state", default="", help="folder above _gluewright/, such as s3://lake")
    doctor.add_argument("--apply", action="store_true", help="repair; without it nothing is changed (--dry-run)")
    doctor.add_argument("--dry-run", action="store_false", dest="apply", help="change nothing, the default")
    doctor.add_argument("--break-lease", default="", metavar="WHY", help="end the table's lease; its holder must be dead")
    doctor.add_argument(
        "--keep",
        choices=["catalog", "publishes"],
        default="",
        help="which location stays where no publish explains the catalog's",
    )
    doctor.add_argument(
        "--one-writer", default="", metavar="WHY", help="state that one writer is guaranteed, for stores without conditions"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
