"""What a job does that has this recipe's folder as a package of its own, and nothing else of the project."""

from datetime import UTC, datetime

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def main(spark, folder, recipe):
    given = [("insert", 1, "a", 1), ("delete", 2, None, 2), ("insert", 3, "b", 3), ("insert", 3, "c", 3)]
    records = spark.createDataFrame(given, "op string, id int, name string, at int")
    changes = recipe.plain(records, ["id"], op="op", sequence_by=["at"]).changes
    assert [(row["key"]["id"], row["finding"]) for row in recipe.audit(changes).collect()] == [(3, "tie")]
    changes = changes.where("key.id < 3")
    table = spark.createDataFrame([], recipe.table_schema(changes.schema))
    tombstones = spark.createDataFrame([], recipe.tombstone_schema(changes.schema))
    merged = recipe.merge(table, tombstones, changes, now=NOW)
    assert [(row["id"], row["name"]) for row in merged.rows.collect()] == [(1, "a")]
    assert [row["key"]["id"] for row in merged.tombstones.collect()] == [2]
