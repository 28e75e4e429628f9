"""Count and report what became of the records of a feed; refuse feeds that cannot be merged as asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_cdc_merge.audit import audit
from gluewright_cdc_merge.feeds import TOMBSTONE, Decoded
from gluewright_cdc_merge.ties import RULE
from gluewright_core.errors import GluewrightError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_cdc_merge.job import Arguments
    from gluewright_core.job import Job

MOST_FIELDS = 20
"""How many unknown fields are named."""


class TooManyQuarantinedError(GluewrightError):
    """More records cannot be decoded than the job accepts. Nothing was published."""


class SeveralTablesError(GluewrightError):
    """The files have changes of several tables. Nothing was published."""


def count_records(decoded: Decoded, asked: Arguments, *, placed: bool) -> dict[str, int]:
    """Count changes, quarantined and ignored records; refuse changes of several tables if they were not asked for.

    ``unnamed`` are records with fields that are no columns, ``unplaced`` deletes whose place in the order is not known yet.
    """
    records = decoded.records
    table = "table" if "table" in records.columns else "CAST(NULL AS STRING) AS table"
    fields = "size(fields) > 0" if "fields" in records.columns else "false"
    unplaced = f"kind = '{TOMBSTONE}' AND sequence.commit IS NULL AND what = 'change'" if placed else "false"
    sizes = records.selectExpr("what", table, "record", f"{fields} AS unnamed", f"{unplaced} AS unplaced")
    grouped = sizes.groupBy("what", "table")
    found = grouped.agg(
        F.sum("record").alias("count"),
        F.count_if(F.col("unnamed")).alias("unnamed"),
        F.count_if(F.col("unplaced")).alias("unplaced"),
    ).collect()
    tables = sorted({row["table"] for row in found if row["what"] == "change" and row["table"]})
    if len(tables) > 1 and not asked.source_tables:
        raise SeveralTablesError(
            f"{asked.source} has changes of several tables: {', '.join(tables)}; name in --source_tables those that belong "
            f"in {asked.target}"
        )
    counted: Counter[str] = Counter(unnamed=0, unplaced=0)
    for row in found:
        counted.update({row["what"]: row["count"], "unplaced": row["unplaced"], "unnamed": row["unnamed"]})
    return counted


def fields_of(decoded: Decoded) -> list[str]:
    """Return the fields of records that no column is named after, in the order of their names."""
    each = decoded.records.select(F.explode("fields").alias("field")).distinct()
    return sorted(row["field"] for row in each.collect())


def with_fields(columns: StructType, fields: Sequence[str], feed: StructType) -> StructType:
    """Add nullable columns for fields that have none yet.

    Args:
        columns: of the table.
        fields: their names; of two that differ by case only the first counts.
        feed: the schema of the records as they were read: a field that is a column there has its type, others are text.
    """
    kinds = {field.name: field.dataType for field in feed}
    seen = {name.lower() for name in columns.names}
    added = []
    for name in fields:
        if name.lower() not in seen:
            seen.add(name.lower())
            added.append(StructField(name, kinds.get(name, StringType())))
    return StructType([*columns, *added])


def log_unnamed(decoded: Decoded, records: int, job: Job[Arguments]) -> dict[str, int]:
    """Log the fields of records that ``--columns`` does not name, and return in how many records each is."""
    each = decoded.records.select(F.explode("fields").alias("field")).groupBy("field").count()
    found = {row["field"]: row["count"] for row in each.orderBy(F.desc("count"), "field").limit(MOST_FIELDS).collect()}
    shown = ", ".join(f"{name} ({count})" for name, count in found.items())
    job.log.warning("%d records have fields that --columns does not name, which are left out: %s", records, shown)
    return found


def refuse_too_many(records: dict[str, int], decoded: Decoded, asked: Arguments) -> None:
    """Stop before anything is published if too many records cannot be merged."""
    quarantined, read = records.get("quarantined", 0), sum(records.values())
    if quarantined <= asked.max_quarantine_share * read:
        return
    reasons = decoded.quarantine.selectExpr("problems[0].column AS column", "problems[0].reason AS reason")
    often = reasons.groupBy("column", "reason").count().orderBy(F.desc("count"), "column", "reason").limit(3).collect()
    why = "; ".join(f"{row['count']:,} times {': '.join(filter(None, (row['column'], row['reason'])))}" for row in often)
    raise TooManyQuarantinedError(
        f"{asked.source}: {quarantined:,} of {read:,} records cannot be merged; --max_quarantine_share allows "
        f"{asked.max_quarantine_share:.2%}: {why}"
    )


def log_audit(changes: DataFrame, decoded: Decoded, job: Job[Arguments]) -> None:
    """Log what is odd in the order of the changes. Regressions are merged correctly; ties are in quarantine."""
    for row in audit(changes).groupBy("finding").count().collect():
        job.log.warning("%d times a %s in the order of the changes", row["count"], row["finding"])
    tied = decoded.quarantine.where(F.exists("problems", lambda problem: problem["rule"] == RULE)).count()
    if tied:
        job.log.warning("%d changes are quarantined: they tie with another of their key, and their order is not known", tied)
