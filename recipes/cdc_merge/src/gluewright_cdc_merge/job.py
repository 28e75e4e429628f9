"""Merge the files of a change feed into a table, as a job: no code needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from pyspark.sql import functions as F

from gluewright_cdc_merge.audit import audit
from gluewright_cdc_merge.decode import Decoded, debezium, debezium_flattened, dms, plain
from gluewright_cdc_merge.files import came, has_files, read_csv, read_parquet, read_text
from gluewright_cdc_merge.merge import kept
from gluewright_cdc_merge.publish import open_target
from gluewright_core.dataset import RUN, quarantine_spec
from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job, run
from gluewright_core.schema.files import load_contract
from gluewright_core.schema.types import parse_fields
from gluewright_core.tables import Kind, open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

IGNORED = ("stale", "repeated", "superseded")
"""What becomes of records that change nothing; the others count as written."""


class Format(Enum):
    """What the files hold."""

    debezium_json = "debezium-json"
    debezium_flattened_json = "debezium-flattened-json"
    dms_csv = "dms-csv"
    dms_parquet = "dms-parquet"
    plain_parquet = "plain-parquet"


JSON = (Format.debezium_json, Format.debezium_flattened_json)


class TooManyQuarantined(GluewrightError):  # noqa: N818
    """More records cannot be decoded than the job accepts. Nothing was published."""


class SeveralTables(GluewrightError):  # noqa: N818
    """The files have changes of several tables. Nothing was published."""


@dataclass(frozen=True)
class Arguments:
    """Merges the files of a change feed into a table; run again, or with files seen before, it changes nothing."""

    source: Annotated[str, "Folder or files with the changes."]
    format: Annotated[Format, "What they hold."]
    target: Annotated[str, "The table: database.table, for iceberg catalog.database.table."]
    columns: Annotated[str, "Its columns, such as 'id bigint, name string', or the path of a contract (.yaml or .json)."]
    keys: Annotated[list[str], "The columns that identify a row."]
    sequence_by: Annotated[list[str], "What orders a row's changes; may be left out for Debezium on PostgreSQL."] = field(
        default_factory=list
    )
    partition_by: Annotated[list[str], "The columns that partition the table."] = field(default_factory=list)
    location: Annotated[str, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    op: Annotated[str, "dms and plain: the column with the operation."] = "Op"
    file_columns: Annotated[list[str], "dms-csv: the files' columns in order, if they have no header."] = field(
        default_factory=list
    )
    null: Annotated[str, "dms-csv: the word for NULL (CsvNullValue)."] = "NULL"
    source_tables: Annotated[list[str], "Debezium: the source tables that are meant, as schema.table."] = field(
        default_factory=list
    )
    keep_days: Annotated[int, "How many days a delete is remembered, to outlive changes that come late."] = 30
    audit: Annotated[bool, "Log how many changes tie or come after newer ones of their key, by the files' times."] = False
    max_quarantine_share: Annotated[float | None, "Fail if more than this share of the records is quarantined."] = None


def main(job: Job[Arguments]) -> None:
    """Decode, set aside what cannot be decoded, merge, publish."""
    with job.step("merge") as step:
        # Lines of text can be read where there are none; other files tell what their columns are.
        if job.arguments.format not in JSON and not has_files(job.spark, job.arguments.source):
            step.add(read=0, written=0, quarantined=0)
            job.log.info("there are no files in %s", job.arguments.source)
            return
        decoded = Decoded(kept(decode(load_records(job), job.arguments).records))
        records = count_records(decoded, job.arguments)
        step.add(read=sum(records.values()), quarantined=records.get("quarantined", 0))
        refuse_too_many(records, job.arguments)
        save_quarantine(decoded.quarantine, records.get("quarantined", 0), job)
        if job.arguments.audit:
            log_audit(decoded.changes, job)
        merged = save_changes(decoded.changes, job)
        ignored = {kind: merged[kind] for kind in IGNORED if kind in merged} | {"no change": records.get("ignored", 0)}
        step.add(
            written=sum(rows for kind, rows in merged.items() if kind not in IGNORED),
            ignored={reason: rows for reason, rows in ignored.items() if rows},
        )
        job.log.info("merged: %s", ", ".join(f"{rows} {kind}" for kind, rows in sorted(merged.items())) or "nothing")


def load_records(job: Job[Arguments]) -> DataFrame:
    """Read the files; for an audit also in which order their records came."""
    asked, spark = job.arguments, job.spark
    if asked.format is Format.dms_csv:
        null, names = asked.null, asked.file_columns
        return read_csv(spark, asked.source, asked.keys, op=asked.op, null=null, names=names, audited=asked.audit)
    if asked.format in JSON:
        records = read_text(spark, asked.source)
    else:
        records = read_parquet(spark, asked.source, partitioned=asked.format is Format.plain_parquet)
    return came(records) if asked.audit else records


def decode(records: DataFrame, asked: Arguments) -> Decoded:
    """Decode the records of this format."""
    columns = columns_of(asked)
    if asked.format is Format.debezium_json:
        return debezium(records, columns, asked.keys, sequence_by=asked.sequence_by, tables=asked.source_tables)
    if asked.format is Format.debezium_flattened_json:
        return debezium_flattened(
            records, columns, asked.keys, value="value", sequence_by=asked.sequence_by, tables=asked.source_tables
        )
    if asked.format in {Format.dms_csv, Format.dms_parquet}:
        return dms(records, columns, asked.keys, op=asked.op, sequence_by=asked.sequence_by)
    return plain(records, asked.keys, op=asked.op, sequence_by=asked.sequence_by)


def columns_of(asked: Arguments) -> StructType:
    """Read the table's columns: of a contract file, or as they stand in the argument."""
    if asked.columns.endswith((".yaml", ".json")):
        return load_contract(asked.columns).struct
    return parse_fields(asked.columns)


def count_records(decoded: Decoded, asked: Arguments) -> dict[str, int]:
    """Count changes, quarantined and ignored records; refuse changes of several tables if they were not asked for."""
    table = "table" if "table" in decoded.records.columns else "CAST(NULL AS STRING) AS table"
    found = decoded.records.selectExpr("what", table).groupBy("what", "table").count().collect()
    tables = sorted({row["table"] for row in found if row["what"] == "change" and row["table"]})
    if len(tables) > 1 and not asked.source_tables:
        raise SeveralTables(
            f"{asked.source} has changes of several tables: {', '.join(tables)}; name in --source_tables those that belong "
            f"in {asked.target}"
        )
    counted: Counter[str] = Counter()
    for row in found:
        counted[row["what"]] += row["count"]
    return counted


def refuse_too_many(records: dict[str, int], asked: Arguments) -> None:
    """Stop before anything is published if too many records cannot be decoded."""
    quarantined, read = records.get("quarantined", 0), sum(records.values())
    if asked.max_quarantine_share is not None and quarantined > asked.max_quarantine_share * read:
        raise TooManyQuarantined(
            f"{asked.source}: {quarantined:,} of {read:,} records cannot be decoded, {asked.max_quarantine_share:.2%} are "
            "allowed; look at --format, --columns, --keys and --sequence_by, or allow more"
        )


def save_quarantine(rows: DataFrame, quarantined: int, job: Job[Arguments]) -> None:
    """Set aside what cannot be decoded, in a partition of this run."""
    asked = job.arguments
    table = open_table(job.spark, quarantine_spec(asked.target, asked.location), asked.catalog)
    if not quarantined and table.exists() and table.read().where(F.col(RUN) == job.run.id).isEmpty():
        return
    # As in the merge, an attempt again may have read more.
    attempt = f"{job.run.id}-{table.begin(job.run.id)}"
    table.publish(rows.withColumn(RUN, F.lit(job.run.id)), run=attempt, replace=[{RUN: job.run.id}])


def log_audit(changes: DataFrame, job: Job[Arguments]) -> None:
    """Say what is odd in the order of the changes. The merge is right all the same."""
    for row in audit(changes).groupBy("finding").count().collect():
        job.log.warning("%d times a %s in the order of the changes", row["count"], row["finding"])


def save_changes(changes: DataFrame, job: Job[Arguments]) -> dict[str, int]:
    """Merge the changes into the table."""
    asked = job.arguments
    target = open_target(
        job.spark, asked.target, changes.schema, kind=asked.catalog, location=asked.location, partition_by=asked.partition_by
    )
    return target.merge(changes, run=job.run.id, now=datetime.now(UTC), keep=timedelta(days=asked.keep_days))


if __name__ == "__main__":
    run(main, Arguments)
