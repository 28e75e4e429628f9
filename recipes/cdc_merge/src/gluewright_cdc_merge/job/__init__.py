"""Merge the files of a change feed into a table, as a job: no code needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from pyspark.errors import AnalysisException
from pyspark.sql.types import StructType

from gluewright_cdc_merge.dms_order import PATH, Files, list_files, number_lines, order_by, position_of_ties, with_place
from gluewright_cdc_merge.expressions import checkpointed
from gluewright_cdc_merge.feeds import POSITION, Decoded, debezium, debezium_flattened, dms, has_pii, plain
from gluewright_cdc_merge.files import came, read_csv, read_parquet, read_text
from gluewright_cdc_merge.job.preflight import check_arguments, check_database, names_of, parse_columns
from gluewright_cdc_merge.job.publish import open_target
from gluewright_cdc_merge.job.quarantine import save_quarantine
from gluewright_cdc_merge.job.report import (
    count_records,
    fields_of,
    log_audit,
    log_unnamed,
    refuse_too_many,
    with_fields,
)
from gluewright_cdc_merge.messages import place_deletes, read_messages
from gluewright_cdc_merge.ties import quarantine_ties
from gluewright_core.dataset import quarantine_spec
from gluewright_core.errors import InvalidArgumentsError, StorageError
from gluewright_core.job import Job
from gluewright_core.locations import LOCATION
from gluewright_core.schema.conform import Mode
from gluewright_core.schema.files import load_contract
from gluewright_core.tables import Kind, open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.schema.contract import Contract

IGNORED = ("stale", "repeated", "superseded")
"""What becomes of records that change nothing; the others count as written."""


class Format(Enum):
    """What the files hold."""

    debezium_json = "debezium-json"
    debezium_flattened_json = "debezium-flattened-json"
    dms_csv = "dms-csv"
    dms_parquet = "dms-parquet"
    plain_parquet = "plain-parquet"


class DecimalMode(Enum):
    """How a connector writes decimals."""

    string = "string"
    precise = "precise"
    double = "double"


class TimeUnit(Enum):
    """What a timestamp that is a number counts."""

    seconds = "seconds"
    millis = "millis"
    micros = "micros"
    nanos = "nanos"


class Ties(Enum):
    """What to do where a change and the table's row have one sequence and contradict each other."""

    refuse = "refuse"
    rule = "rule"


JSON = (Format.debezium_json, Format.debezium_flattened_json)
DMS = (Format.dms_csv, Format.dms_parquet)


@dataclass(frozen=True)
class Arguments:
    """Merges the files of a change feed into a table; run again, or with files seen before, it changes nothing."""

    source: Annotated[str, LOCATION, "Folder or files with the changes."]
    format: Annotated[Format, "What they hold."]
    target: Annotated[str, "The table: database.table, for iceberg catalog.database.table."]
    columns: Annotated[str, "Its columns, such as 'id bigint, name string', or the path of a contract (.yaml or .json)."]
    keys: Annotated[list[str], "The columns that identify a row."]
    sequence_by: Annotated[
        list[str],
        "What orders a row's changes; may be left out for Debezium on PostgreSQL and for the files of one DMS task. "
        "DMS: the timestamp column; AR_H_CHANGE_SEQ, file names and lines are used without naming them.",
    ] = field(default_factory=list)
    partition_by: Annotated[list[str], "The columns that partition the table."] = field(default_factory=list)
    location: Annotated[str, LOCATION, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    op: Annotated[str, "dms and plain: the column with the operation."] = "Op"
    file_columns: Annotated[list[str], "dms-csv: the files' columns in order, if they have no header."] = field(
        default_factory=list
    )
    null: Annotated[str, "dms-csv: the word for NULL (CsvNullValue)."] = "NULL"
    source_tables: Annotated[list[str], "Debezium: the source tables that are meant, as schema.table."] = field(
        default_factory=list
    )
    decimals: Annotated[DecimalMode, "Debezium without schemas: the connector's decimal.handling.mode."] = DecimalMode.string
    timestamps: Annotated[
        TimeUnit | None, "Debezium without schemas: what numbers in timestamp columns count; else micros, if plausible."
    ] = None
    keep_days: Annotated[int, "How many days a delete is remembered, to outlive changes that come late."] = 30
    audit: Annotated[bool, "Log how many changes tie or come after newer ones of their key, by the files' times."] = False
    ties: Annotated[
        Ties, "If a change and the table's row have one sequence and differ: fail, or take the one with the greater hash."
    ] = Ties.refuse
    max_quarantine_share: Annotated[float, "Fail, and publish nothing, if more than this share is quarantined."] = 0.05


def main(job: Job[Arguments]) -> None:
    """Check the arguments, decode, quarantine what cannot be decoded, merge, publish."""
    asked = job.arguments
    columns = checked_columns(asked)
    check_database(job.spark, asked.target)
    with job.step("merge") as step:
        # Lines of text can be read where there are none; other files define their columns.
        files = list_files(job.spark, asked.source) if asked.format not in JSON else Files(some=True, ordered=True)
        if not files.some:
            step.add(read=0, written=0, quarantined=0)
            job.log.info("there are no files in %s", asked.source)
            return
        feed = load_records(job)
        decoded, records = decode_and_count(feed, files, asked, columns)
        if records["unnamed"] and adds_columns(asked):
            columns = with_fields(columns, fields_of(decoded), feed.schema)
            decoded, records = decode_and_count(feed, files, asked, columns)
        unnamed = records.pop("unnamed")
        step.add(read=sum(records.values()), quarantined=records.get("quarantined", 0))
        if unnamed:
            step.report(fields_not_in_columns=log_unnamed(decoded, unnamed, job))
        refuse_too_many(records, decoded, asked)
        quarantine = open_table(job.spark, quarantine_spec(asked.target, asked.location), asked.catalog)
        save_quarantine(decoded.quarantine, records.get("quarantined", 0), quarantine, job.run.id)
        changes = number_lines(decoded.changes, decoded.records) if asked.format is Format.dms_csv else decoded.changes
        changes = changes.drop(PATH, POSITION)
        if asked.audit:
            log_audit(changes, decoded, job)
        merged = save_changes(changes, job, files)
        ignored = {kind: merged[kind] for kind in IGNORED if kind in merged} | {"no change": records.get("ignored", 0)}
        step.add(
            written=sum(rows for kind, rows in merged.items() if kind not in IGNORED),
            ignored={reason: rows for reason, rows in ignored.items() if rows},
        )
        job.log.info("merged: %s", ", ".join(f"{rows} {kind}" for kind, rows in sorted(merged.items())) or "nothing")


def checked_columns(asked: Arguments) -> StructType:
    """Check the arguments and return the table's columns; nothing is read but the file of a contract."""
    columns = columns_of(asked)
    missing = []
    if asked.format is Format.plain_parquet and not asked.sequence_by:
        missing.append("--sequence_by: not given, plain-parquet needs what orders the changes")
    files = {name.lower() for name in names_of(asked.file_columns)}
    if files and (unknown := [key for key in asked.keys if key.lower() not in files]):
        missing.append(f"--file_columns: lacks the key {', '.join(unknown)}")
    if not asked.keys:
        missing.append("--keys: names no column")
    if not 0 <= asked.max_quarantine_share <= 1:
        missing.append(f"--max_quarantine_share: given {asked.max_quarantine_share}, expected a share from 0 to 1")
    named = {"keys": asked.keys, "partition_by": asked.partition_by}
    check_arguments(asked.target, asked.catalog, asked.location, columns, named, missing=missing)
    return columns


def decode_and_count(feed: DataFrame, files: Files, asked: Arguments, columns: StructType) -> tuple[Decoded, dict[str, int]]:
    """Decode the records, quarantine those whose order is not known, and count them by what they are."""
    try:
        lazy = decode(feed, asked, columns)
    except AnalysisException as error:
        reason = str(error).partition("\n")[0]
        raise InvalidArgumentsError(f"the records have not what --sequence_by or --op name: {reason}") from None
    decoded = Decoded(checkpointed(without_ties(lazy.records, files, asked, columns)))
    records = count_records(decoded, asked, placed=is_placed(asked))
    if records["unplaced"]:
        decoded = Decoded(checkpointed(place_deletes(decoded.records, pii=pii_of(columns))))
        records = count_records(decoded, asked, placed=is_placed(asked))
    del records["unplaced"]
    return decoded, records


def load_records(job: Job[Arguments]) -> DataFrame:
    """Read the files; for an audit also in which order their records came."""
    asked, spark = job.arguments, job.spark
    if asked.format is Format.dms_csv:
        null, names = asked.null, names_of(asked.file_columns)
        return read_csv(spark, asked.source, asked.keys, op=asked.op, null=null, names=names, audited=asked.audit)
    if asked.format in JSON:
        lines = read_text(spark, asked.source)
        return read_messages(came(lines) if asked.audit else lines, placed=is_placed(asked))
    records = read_parquet(spark, asked.source, partitioned=asked.format is Format.plain_parquet)
    records = came(records) if asked.audit else records
    return with_place(records, numbered=True) if asked.format is Format.dms_parquet else records


def decode(records: DataFrame, asked: Arguments, columns: StructType) -> Decoded:
    """Decode the records of this format."""
    if asked.format in JSON:
        decoder = debezium if asked.format is Format.debezium_json else debezium_flattened
        return decoder(
            records,
            columns,
            asked.keys,
            value="value",
            key="key",
            sequence_by=asked.sequence_by,
            tables=asked.source_tables,
            decimals=asked.decimals.value,
            timestamps=asked.timestamps.value if asked.timestamps else None,
        )
    if asked.format in DMS:
        return dms(records, columns, asked.keys, op=asked.op, sequence_by=order_by(records, asked.sequence_by, asked.op))
    return plain(records, asked.keys, op=asked.op, sequence_by=asked.sequence_by)


def without_ties(records: DataFrame, files: Files, asked: Arguments, columns: StructType) -> DataFrame:
    """Quarantine changes of a key whose order is not known, unless the feed's own order excludes them."""
    if not can_tie(files, asked):
        return records
    pii = pii_of(columns)
    if asked.format not in DMS:
        return quarantine_ties(records, pii=pii)
    sequence = records.schema["sequence"].dataType
    assert isinstance(sequence, StructType)
    return quarantine_ties(records, by=position_of_ties(sequence), pii=pii, apart=PATH)


def can_tie(files: Files, asked: Arguments) -> bool:
    """Return whether two changes of a key can have one place in the order: the feed has no order of its own."""
    return not files.ordered if asked.format in DMS else bool(asked.sequence_by)


def pii_of(columns: StructType) -> list[str]:
    """Return the columns that are tagged ``pii``."""
    return [column.name for column in columns if has_pii(column)]


def columns_of(asked: Arguments) -> StructType:
    """Read the table's columns: of a contract file, or from the argument."""
    contract = contract_of(asked)
    return contract.struct if contract else parse_columns(asked.columns)


def adds_columns(asked: Arguments) -> bool:
    """Return whether fields that no column is named after become columns: the contract's mode for new ones is ``evolve``."""
    contract = contract_of(asked)
    return contract is not None and contract.new_columns is Mode.EVOLVE


def contract_of(asked: Arguments) -> Contract | None:
    """Read the contract, if ``--columns`` is the path of one."""
    if not asked.columns.endswith((".yaml", ".json")):
        return None
    try:
        return load_contract(asked.columns)
    except StorageError as error:
        raise InvalidArgumentsError(f"--columns: {asked.columns} cannot be read: {error}") from None


def is_placed(asked: Arguments) -> bool:
    """Return whether deletes get their place in the order from the records around them."""
    return asked.format is Format.debezium_flattened_json and not asked.sequence_by


def save_changes(changes: DataFrame, job: Job[Arguments], files: Files) -> dict[str, int]:
    """Merge the changes into the table."""
    asked = job.arguments
    target = open_target(
        job.spark, asked.target, changes.schema, kind=asked.catalog, location=asked.location, partition_by=asked.partition_by
    )
    keep, refuse_ties = timedelta(days=asked.keep_days), asked.ties is Ties.refuse and can_tie(files, asked)
    sequence = changes.schema["sequence"].dataType
    assert isinstance(sequence, StructType)
    by = position_of_ties(sequence) if refuse_ties and asked.format in DMS else ()
    return target.merge(changes, run=job.run.id, now=datetime.now(UTC), keep=keep, refuse_ties=refuse_ties, tie_by=by)
