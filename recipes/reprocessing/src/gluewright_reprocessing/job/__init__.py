"""Redo partitions of a table, as a job: a query or a function makes their rows, no other code is needed."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from gluewright_core.job import Job
from gluewright_core.locations import LOCATION
from gluewright_core.storage import open_storage, parent_uri
from gluewright_core.tables.partitions import value_text
from gluewright_core.tables.sql import sql_text
from gluewright_reprocessing.compare import Checks
from gluewright_reprocessing.job.existing import open_existing
from gluewright_reprocessing.job.reprocessing import Compute, InvalidReprocessingError, Reprocessing, open_reprocessing
from gluewright_reprocessing.plan import InvalidPlanError, days, listed, name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gluewright_core.tables import Table
    from gluewright_reprocessing.job.reprocessing import Report
    from gluewright_reprocessing.plan import Partition


@dataclass(frozen=True)
class Arguments:
    """Redoes partitions of a table; with the same --run_id, goes on with what a run that died has left."""

    table: Annotated[str, "The table: database.table, for iceberg catalog.database.table."]
    source_sql: Annotated[str, "A query for a partition's rows, with its values by column: ... WHERE dt = {dt}"] = ""
    source: Annotated[str, "Instead of it, module:function, called with the partition and its old rows."] = ""
    from_: Annotated[date | None, "The first day to redo."] = None
    to: Annotated[date | None, "The last day to redo; without it the first one is all."] = None
    days: Annotated[dict[str, str], 'How a day is written in the partition columns, such as {"month": "%Y-%m"}.'] = field(
        default_factory=dict
    )
    partitions: Annotated[str, 'Which to redo, as JSON [{"dt": "2013-02-03"}], or @file with that.'] = ""
    late: Annotated[str, 'The same, from a job that found them late: [{"partition": {...}}, ...], or @file.'] = ""
    where: Annotated[str, "Which of the table's partitions to redo, as SQL over the partition columns."] = ""
    only_gaps: Annotated[bool, "Of these, only partitions that have no rows and were not published as empty."] = False
    dry_run: Annotated[bool, "Tell what would be done, and do nothing."] = False
    require_approval: Annotated[bool, "Stop before publishing, until --approve."] = False
    retry: Annotated[str, "Redo what failed in this run."] = ""
    approve: Annotated[str, "Publish what this run has staged."] = ""
    undo: Annotated[str, "Take back what this run has published."] = ""
    show: Annotated[str, "Tell how far this run has come."] = ""
    concurrency: Annotated[int, "How many partitions at once."] = 1
    key: Annotated[list[str], "Columns that identify a row: checked, and used to count what changes."] = field(
        default_factory=list
    )
    ignore: Annotated[list[str], "Columns that may differ between old and new rows."] = field(default_factory=list)
    at_least: Annotated[float | None, "The least number of new rows, as a share of the old ones."] = None
    at_most: Annotated[float | None, "The greatest number of new rows, likewise."] = None
    conditions: Annotated[dict[str, str], 'What must hold for each row: {"amount": "amount >= 0"}.'] = field(
        default_factory=dict
    )
    inputs: Annotated[list[str], "Files or folders a partition is made from, such as s3://raw/orders/dt={dt}/."] = field(
        default_factory=list
    )
    code: Annotated[str, "The code's version; by default of the query's text."] = ""
    redo_unchanged: Annotated[bool, "Redo also what was published from the same inputs by the same code."] = False
    state: Annotated[str, LOCATION, "The folder of the ledger; by default the one beside the table's."] = ""


def main(job: Job[Arguments]) -> None:
    """Do the one thing that was asked for."""
    asked = job.arguments
    _refuse_contradictions(asked)
    redo = reprocessing(job)
    with job.step("reprocess", changes_grain=True) as step:
        if asked.show:
            report = redo.show(asked.show)
        elif asked.undo:
            report = redo.undo(asked.undo)
        elif asked.approve:
            report = redo.approve(asked.approve)
        elif asked.retry:
            report = redo.retry(asked.retry, concurrency=asked.concurrency, require_approval=asked.require_approval)
        elif asked.dry_run:
            preview(redo, partitions(job, redo) or [])
            return
        else:
            report = redo.run(
                partitions(job, redo),
                run=job.run.id,
                concurrency=asked.concurrency,
                require_approval=asked.require_approval,
                skip_unchanged=not asked.redo_unchanged,
            )
        step.add(written=sum(entry.rows or 0 for entry in report.entries if entry.state == "published"))
    told(report)
    if not asked.show:
        report.require()


def reprocessing(job: Job[Arguments]) -> Reprocessing:
    """Say how the table's partitions are redone."""
    asked = job.arguments
    table = open_existing(job.spark, asked.table)
    return open_reprocessing(
        table,
        compute(job.spark, asked, table.spec.partition_by),
        state=asked.state,
        checks=Checks(asked.key, asked.at_least, asked.at_most, asked.conditions),
        compare_by=asked.key,
        ignore=asked.ignore,
        inputs=(lambda partition: [uri.format(**partition) for uri in asked.inputs]) if asked.inputs else None,
        code=asked.code or hashlib.sha256(f"{asked.source_sql}{asked.source}".encode()).hexdigest()[:12],
    )


def compute(spark: SparkSession, asked: Arguments, columns: Sequence[str]) -> Compute:
    """Give the function that makes a partition's rows: by the query, or the one that is named."""
    if asked.source:
        return _imported(asked.source)

    filled(asked.source_sql, dict.fromkeys(columns))

    def queried(partition: dict[str, Any], _: DataFrame) -> DataFrame:
        return spark.sql(filled(asked.source_sql, partition))

    return queried


def filled(query: str, partition: Mapping[str, Any]) -> str:
    """Put a partition's values into a query, as texts of SQL.

    Not by Spark's own named parameters: with the extensions of Iceberg and Delta, Spark 4.1.1 did not find them.

    Example:
        >>> filled("SELECT * FROM flown WHERE dt = {dt}", {"dt": "2013-02-03"})
        "SELECT * FROM flown WHERE dt = '2013-02-03'"
    """
    literals = {column: "NULL" if value is None else sql_text(str(value_text(value))) for column, value in partition.items()}
    try:
        return query.format(**literals)
    except (KeyError, IndexError, ValueError) as error:
        raise InvalidReprocessingError(
            f"--source_sql: {error} is not one of the partition columns {list(partition)}; write them as {{column}}, and "
            "other braces doubled"
        ) from error


def partitions(job: Job[Arguments], redo: Reprocessing) -> list[Partition] | None:
    """List what to redo; None when nothing says it and the run goes on with what is left."""
    asked, columns = job.arguments, list(redo.table.spec.partition_by)
    try:
        if asked.from_:
            found = days(asked.from_, asked.to or asked.from_, asked.days or _one_day_column(redo.table))
        elif asked.partitions or asked.late:
            found = listed(_json(asked.partitions or asked.late), columns)
        elif asked.where:
            there = redo.table.read().where(asked.where).select(columns).distinct().collect()
            found = listed([{column: value_text(row[column]) for column in columns} for row in there], columns)
        else:
            return None
    except InvalidPlanError as error:
        raise InvalidReprocessingError(f"{asked.table}: {error}") from error
    return redo.gaps(found) if asked.only_gaps else found


def preview(redo: Reprocessing, wanted: list[Partition]) -> None:
    """Tell what would be done with each partition."""
    for each in redo.preview(wanted):
        made_from = "" if each.bytes is None else f"  from {each.objects:,} objects, {each.bytes:,} bytes"
        rows = "" if each.rows is None else f"  {each.rows:,} rows when it was last published"
        what = "skip: unchanged" if each.skipped else "redo"
        sys.stdout.write(f"{name(each.partition)}  {what}{made_from}{rows}\n")


def told(report: Report) -> None:
    """Show how far each partition has come."""
    states = ", ".join(f"{count} {state}" for state, count in report.states().items()) or "no partitions"
    sys.stdout.write(f"{report}\n{report.table}, run {report.run}: {states}\n")


def _refuse_contradictions(asked: Arguments) -> None:
    actions = [f"--{each}" for each in ("retry", "approve", "undo", "show", "dry_run") if getattr(asked, each)]
    which = {"--from": asked.from_, "--partitions": asked.partitions, "--late": asked.late, "--where": asked.where}
    given = [flag for flag, value in which.items() if value]
    if len(actions) > 1 or len(given) > 1:
        raise InvalidReprocessingError(f"{' and '.join(actions if len(actions) > 1 else given)} cannot be asked for at once")
    if asked.to and not asked.from_:
        raise InvalidReprocessingError("--to says where a range ends; say with --from where it begins")
    makes_rows = not (asked.approve or asked.undo or asked.show or asked.dry_run)
    if makes_rows and bool(asked.source) == bool(asked.source_sql):
        raise InvalidReprocessingError("say with --source_sql or with --source, not both, what makes a partition's rows")


def _one_day_column(table: Table) -> dict[str, str]:
    columns = table.spec.partition_by
    if len(columns) != 1:
        raise InvalidReprocessingError(
            f"{table.spec.name} is partitioned by {list(columns)}: say with --days how a day is written in them, or use "
            "--partitions or --where"
        )
    return {columns[0]: "%Y-%m-%d"}


def _imported(path: str) -> Compute:
    module, _, function = path.partition(":")
    try:
        found: Compute = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidReprocessingError(
            f"--source {path}: {error}; give module:function, importable by this process"
        ) from error
    return found


def _json(text: str) -> Any:
    """Decode JSON, from a file or S3 object where the text is ``@`` and its place."""
    if text.startswith("@"):
        folder, file = parent_uri(text[1:] if "/" in text else f"./{text[1:]}")
        text = open_storage(folder).read(file)[0].decode()
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidReprocessingError(f"the list of partitions is not JSON: {error}") from error
