"""What a job does that has these hearts as files, and nothing else of ours."""

from datetime import UTC, datetime

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def main(spark, folder, merge, decode, audit):
    given = [("insert", 1, "a", 1), ("delete", 2, None, 2), ("insert", 3, "b", 3), ("insert", 3, "c", 3)]
    records = spark.createDataFrame(given, "op string, id int, name string, at int")
    changes = decode.plain(records, ["id"], op="op", sequence_by=["at"]).changes
    assert [(row["key"]["id"], row["finding"]) for row in audit.audit(changes).collect()] == [(3, "tie")]
    changes = changes.where("key.id < 3")
    table = spark.createDataFrame([], merge.table_schema(changes.schema))
    tombstones = spark.createDataFrame([], merge.tombstone_schema(changes.schema))
    merged = merge.merge(table, tombstones, changes, now=NOW)
    assert [(row["id"], row["name"]) for row in merged.rows.collect()] == [(1, "a")]
    assert [row["key"]["id"] for row in merged.tombstones.collect()] == [2]
