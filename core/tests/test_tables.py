"""One suite for every kind of table, on a local folder and on S3: what a publish promises, it promises everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import pytest
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, DoubleType, MapType, StringType, StructField, StructType

from gluewright_core.errors import (
    ConcurrentUpdateError,
    RowsOutsidePartitionsError,
    TableMismatchError,
    UnsupportedTableError,
)
from gluewright_core.storage import open_storage
from gluewright_core.tables import ALL, TOUCHED, TableSpec, open_table
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows
from gluewright_testing.sharing import in_turn, shared

pytestmark = pytest.mark.usefixtures("interpreted")

SCHEMA = StructType(
    [
        StructField("id", StringType(), True, {"comment": "the order's own id, 'quoted'"}),
        StructField("amount", DoubleType()),
        StructField("dt", DateType(), True, {"comment": "day of the order"}),
        StructField("shop", StringType()),
    ]
)
BUYER = "named_struct('name', 'Ada')"
WITH_BUYER = StructType([*SCHEMA, StructField("buyer", StructType([StructField("name", StringType())]))])
BUYER_WITH_CITY = StructField("buyer", StructType([StructField("name", StringType()), StructField("city", StringType())]))
DAY, NEXT_DAY = {"dt": date(2026, 1, 1), "shop": "a"}, {"dt": date(2026, 1, 2), "shop": "a"}
FIRST = [("1", 1.0, "2026-01-01", "a"), ("2", 2.0, "2026-01-01", "a"), ("3", 3.0, "2026-01-02", "a")]
AGAIN = [("1", 10.0, "2026-01-01", "a")]
KINDS = in_turn(["parquet-local", "parquet-s3", "folder-local", "delta", "iceberg", "folder-s3", "iceberg-glue"])


@dataclass
class Place:
    """Where and how the tables of a test are kept."""

    spark: object
    kind: str
    database: str
    root: str

    def spec(self, name="orders", partition_by=("dt", "shop"), schema=SCHEMA):
        location = "" if self.kind == "iceberg" else f"{self.root}/{name}"
        return TableSpec(f"{self.database}.{name}", schema, tuple(partition_by), location, "Orders of a day")

    def table(self, name="orders", **changes):
        return open_table(self.spark, self.spec(name, **changes), self.kind)

    def orders(self, values):
        return rows(self.spark, SCHEMA, values)

    def files(self):
        return [] if self.kind == "iceberg" else [found.key for found in open_storage(self.root).list_objects()]


@pytest.fixture(params=KINDS)
def place(request, spark, catalog, tmp_path):
    kind, _, where = request.param.partition("-")
    if where in {"s3", "glue"}:
        server = request.getfixturevalue("s3_server")
        if where == "glue":
            spark.sql(f"CREATE NAMESPACE IF NOT EXISTS glue.{catalog.name}")
            return Place(spark, "iceberg", f"glue.{catalog.name}", "")
        return Place(spark, kind, catalog.name, f"s3://{server.bucket('lake')}/wh")
    return Place(spark, kind, f"ice.{catalog.name}" if kind == "iceberg" else catalog.name, f"file://{tmp_path}/wh")


def test_a_publish_replaces_its_partitions_and_leaves_the_others(place):
    table = place.table()
    assert_same_rows(table.read(), [])
    published = table.publish(place.orders(FIRST), run="run-1", replace=[DAY, NEXT_DAY])
    assert (published.rows, published.repeated) == (3, False)
    assert_same_rows(table.read(), place.orders(FIRST))
    table.publish(place.orders(AGAIN), run="run-2", replace=[DAY])
    assert_same_rows(table.read(), place.orders([*AGAIN, FIRST[2]]))
    table.publish(place.orders([]), run="run-3", replace=[DAY])
    assert_same_rows(table.read(), place.orders([FIRST[2]]))
    table.publish(place.orders([("9", 9.0, "2026-01-05", "b")]), run="run-4", replace=TOUCHED)
    assert_same_rows(table.read(), place.orders([FIRST[2], ("9", 9.0, "2026-01-05", "b")]))
    table.publish(place.orders(AGAIN), run="run-5", replace=ALL)
    assert_same_rows(table.read(), place.orders(AGAIN))
    table.publish(place.orders([]), run="run-6", replace=ALL)
    assert_same_rows(table.read(), [])


def test_the_same_run_publishes_once_and_another_publishes_over_it(place):
    table = place.table()
    table.publish(place.orders(FIRST), run="run-1", replace=ALL)
    table.publish(place.orders(AGAIN), run="run-2", replace=[DAY])
    repeated = table.publish(place.orders([]), run="run-1", replace=ALL)
    assert (repeated.repeated, repeated.rows) == (True, 3)
    assert_same_rows(table.read(), place.orders([*AGAIN, FIRST[2]]))


def test_rows_made_from_an_older_version_of_the_table_are_refused(place):
    table = place.table()
    started = table.begin("run-1")
    table.publish(place.orders(FIRST), run="run-1", replace=ALL, since=started)
    read = table.begin("run-2")
    table.publish(place.orders(AGAIN), run="run-2", replace=[DAY], since=read)
    before = table.read().collect()
    for stale in (started, read):
        with pytest.raises(ConcurrentUpdateError):
            table.publish(place.orders([]), run="run-3", replace=[NEXT_DAY], since=stale)
    assert sorted(table.read().collect()) == sorted(before)
    table.publish(place.orders([]), run="run-3", replace=[NEXT_DAY], since=table.begin("run-3"))


def test_rows_outside_the_partitions_to_replace_stop_the_publish(place):
    table = place.table()
    table.publish(place.orders(FIRST), run="run-1", replace=ALL)
    before = place.files()
    with pytest.raises(RowsOutsidePartitionsError, match="orders"):
        table.publish(place.orders([*AGAIN, FIRST[2]]), run="run-2", replace=[DAY])
    assert_same_rows(table.read(), place.orders(FIRST))
    data = [key for key in place.files() if "_delta_log" not in key and "_gluewright" not in key and ".parquet" in key]
    assert place.kind == "delta" or data == [key for key in before if key in data]


def test_rows_with_other_columns_stop_the_publish_and_are_named(place):
    table = place.table()
    wrong = place.orders(FIRST).withColumnRenamed("amount", "price").selectExpr("price", "dt", "shop", "1 AS id")
    with pytest.raises(TableMismatchError) as refusal:
        table.publish(wrong, run="run-1", replace=ALL)
    assert "amount is missing" in str(refusal.value)
    assert "price is not declared" in str(refusal.value)
    assert "id is int, declared string" in str(refusal.value)


def test_undo_gives_back_the_rows_before_and_the_run_can_publish_again(place):
    table = place.table()
    table.publish(place.orders(FIRST), run="run-1", replace=ALL)
    if place.kind == "folder":
        with pytest.raises(UnsupportedTableError, match="bare folder"):
            table.undo("run-1")
        return
    table.publish(place.orders(AGAIN), run="run-2", replace=[DAY, {"dt": date(2026, 1, 9), "shop": "z"}])
    with pytest.raises(UnsupportedTableError, match="nobody"):
        table.undo("nobody")
    table.undo("run-2")
    assert_same_rows(table.read(), place.orders(FIRST))
    with pytest.raises(UnsupportedTableError, match="run-2"):
        table.undo("run-2")
    assert not table.publish(place.orders(AGAIN), run="run-2", replace=[DAY]).repeated
    assert_same_rows(table.read(), place.orders([*AGAIN, FIRST[2]]))
    table.undo("run-2")
    table.undo("run-1")
    assert_same_rows(table.read(), [])
    table.publish(place.orders(AGAIN), run="run-1", replace=ALL)
    assert_same_rows(table.read(), place.orders(AGAIN))


def test_an_undo_does_not_go_back_to_files_that_are_gone(place):
    if place.kind != "parquet":
        pytest.skip("the format knows which versions it still has")
    table = place.table()
    table.publish(place.orders(FIRST), run="run-1", replace=ALL)
    old = [file for file in place.files() if file.endswith(".parquet")]
    table.publish(place.orders(AGAIN), run="run-2", replace=ALL)
    open_storage(place.root).delete(old)
    with pytest.raises(UnsupportedTableError, match="from before run run-2 are not there any more"):
        table.undo("run-2")
    assert_same_rows(table.read(), place.orders(AGAIN))


def test_an_unpartitioned_table_is_replaced_whole_and_undone(place):
    table = place.table("totals", partition_by=())
    table.publish(place.orders(FIRST), run="run-1", replace=ALL)
    table.publish(place.orders(AGAIN), run="run-2", replace=ALL)
    assert_same_rows(place.table("totals", partition_by=()).read(), place.orders(AGAIN))
    table.publish(place.orders([]), run="run-3", replace=TOUCHED)
    assert_same_rows(table.read(), [])
    if place.kind != "folder":
        table.publish(place.orders(FIRST), run="run-4", replace=ALL)
        table.undo("run-4")
        assert_same_rows(table.read(), [])
        table.undo("run-3")
        assert_same_rows(table.read(), place.orders(AGAIN))


ODD = [
    "plain",
    "two words",
    "a/b",
    "50%",
    "k=v",
    "ünï-漢字",
    "it's",
    'say "x"',
    "c:d",
    "a\\b",
    "[x]{y}^#*?",
    "%2F",
    "ab",
    None,
]


def test_odd_partition_values_round_trip(place):
    table = place.table()
    written = [(str(number), 1.0, "2026-01-01" if number % 2 else None, value) for number, value in enumerate(ODD)]
    table.publish(place.orders(written), run="run-1", replace=ALL)
    assert_same_rows(table.read(), place.orders(written))
    changed = [(number, 2.0, dt, shop) for number, _, dt, shop in written]
    partitions = [{"dt": dt and date.fromisoformat(dt), "shop": shop} for _, _, dt, shop in written]
    table.publish(place.orders(changed), run="run-2", replace=partitions)
    assert_same_rows(table.read(), place.orders(changed))
    table.publish(place.orders([]), run="run-3", replace=partitions[1:])
    assert_same_rows(table.read(), place.orders(changed[:1]))


def test_odd_partition_values_are_never_stored_under_other_names_when_spark_keeps_escapes(place):
    table = place.table()
    written = [(str(number), 1.0, "2026-01-01", value) for number, value in enumerate(ODD)]
    table.publish(place.orders(written), run="run-1", replace=ALL)
    partitions = [{"dt": date(2026, 1, 1), "shop": value} for value in ODD]
    changed = [(number, 2.0, dt, shop) for number, _, dt, shop in written]
    place.spark.conf.set("spark.sql.parser.escapedStringLiterals", "true")
    try:
        if place.kind == "parquet":
            new = place.orders([("1", 1.0, "2026-01-02", "it's")])
            with pytest.raises(UnsupportedTableError, match="shop=it.*escapedStringLiterals is true; set it to false"):
                table.publish(new, run="run-2", replace=[{"dt": date(2026, 1, 2), "shop": "it's"}])
        else:
            table.publish(place.orders(changed), run="run-2", replace=partitions)
    finally:
        place.spark.conf.unset("spark.sql.parser.escapedStringLiterals")
    if place.kind != "parquet":
        assert_same_rows(table.read(), place.orders(changed))
    else:
        assert_same_rows(table.read(), place.orders(written))


def test_the_table_is_created_with_its_types_and_comments(place):
    if place.kind == "folder":
        pytest.skip("a bare folder has no catalog entry")
    table = place.table()
    assert not table.exists()
    table.publish(place.orders(FIRST), run="run-1", replace=ALL)
    assert table.exists()
    described = {
        row["col_name"]: (row["data_type"], row["comment"])
        for row in place.spark.sql(f"DESCRIBE {table.spec.name}").collect()
    }
    assert described["id"] == ("string", "the order's own id, 'quoted'")
    assert described["amount"][0] == "double"
    assert described["dt"] == ("date", "day of the order")


def test_fields_that_are_required_inside_arrays_and_maps_are_stored(place):
    item = StructType([StructField("sku", StringType(), False)])
    schema = StructType([*SCHEMA, StructField("items", ArrayType(item))])
    sold = place.orders(AGAIN).withColumn("items", F.expr("array(named_struct('sku', 'x'))"))
    place.table(schema=schema).publish(sold, run="run-1", replace=ALL)
    wider = place.table(schema=StructType([*schema, StructField("parcels", MapType(StringType(), item))]))
    wider.publish(sold.withColumn("parcels", F.expr("map('p', named_struct('sku', 'x'))")), run="run-2", replace=ALL)
    assert [(row["items"][0]["sku"], row["parcels"]["p"]["sku"]) for row in wider.read().collect()] == [("x", "x")]


def test_a_declared_column_that_the_table_lacks_is_added_and_old_rows_have_null(place):
    bought = place.orders(FIRST).withColumn("buyer", F.expr(BUYER))
    place.table(schema=WITH_BUYER).publish(bought, run="run-1", replace=ALL)
    wider = StructType([*SCHEMA, BUYER_WITH_CITY, StructField("note", StringType(), True, {"comment": "free text"})])
    table = place.table(schema=wider)
    assert [row["note"] for row in table.read().collect()] == [None, None, None]
    buyer = BUYER.replace(")", ", 'city', 'Rome')")
    noted = place.orders(AGAIN).withColumn("buyer", F.expr(buyer)).selectExpr("*", "'x' AS note")
    for _ in range(2):
        table.publish(noted, run="run-2", replace=[DAY])
    found = place.table(schema=wider).read().selectExpr("id", "buyer.name", "buyer.city", "note").collect()
    got = {row["id"]: tuple(row[1:]) for row in found}
    assert got == {"1": ("Ada", "Rome", "x"), "3": ("Ada", None, None)}
    if place.kind != "folder":
        with pytest.raises(TableMismatchError, match="note"):
            place.table().publish(place.orders(FIRST), run="run-3", replace=ALL)


def test_a_declaration_that_differs_from_the_catalog_is_refused(place):
    if place.kind == "folder":
        pytest.skip("a bare folder has no catalog entry")
    place.table().publish(place.orders(FIRST), run="run-1", replace=ALL)
    renamed = StructType([StructField("ident", StringType()), *SCHEMA.fields[1:]])
    with pytest.raises(TableMismatchError, match=r"ident.* \(\w+: missing\).*id \(declared: missing\)"):
        place.table(schema=renamed).publish(place.orders(FIRST).withColumnRenamed("id", "ident"), run="r", replace=ALL)
    if place.kind != "parquet":
        return  # the formats check this themselves
    with pytest.raises(TableMismatchError, match="partition columns"):
        place.table(partition_by=("shop",)).publish(place.orders(FIRST), run="r", replace=ALL)


@pytest.mark.usefixtures("short_leases", "interpreted")
def test_killed_anywhere_and_run_again_the_same_rows_result(place):
    if place.kind == "iceberg" and place.database.startswith("glue"):
        pytest.skip("the same commits as in the local catalog")
    count = iter(range(1000))

    def make_world():
        table = place.table(f"orders_{next(count)}")
        table.publish(place.orders(FIRST), run="run-1", replace=ALL)
        return table

    expected_before, expected_after = sorted(FIRST), sorted([*AGAIN, ("7", 7.0, "2026-01-07", "a")])

    def job(table):
        changed = place.orders([*AGAIN, ("7", 7.0, "2026-01-07", "a")])
        table.publish(changed, run="run-2", replace=[DAY, NEXT_DAY, {"dt": "2026-01-07", "shop": "a"}])

    def seen(table):
        return sorted((row["id"], row["amount"], str(row["dt"]), row["shop"]) for row in table.read().collect())

    def look(table):
        by_day = {dt: [row for row in seen(table) if row[2] == dt] for dt in ("2026-01-01", "2026-01-02", "2026-01-07")}
        for dt, found in by_day.items():
            old = [row for row in expected_before if row[2] == dt]
            new = [row for row in expected_after if row[2] == dt]
            assert found in ([old, new, []] if place.kind == "folder" else [old, new])

    def check(table):
        assert seen(table) == expected_after

    # On S3 the documents' writes are the same as locally: only what differs is killed there.
    on_s3 = place.root.startswith("s3")
    points = every_kill_point(
        make_world, job, check, look=look, at=lambda happening: not on_s3 or "_gluewright/" not in happening.target
    )
    print(f"publish to {place.kind} below {place.root[:4]}: {points} kill points")
    assert points >= len(shared(range(2 if place.kind in {"iceberg", "delta"} else 6)))


def test_a_published_table_is_not_begun_anew_elsewhere_or_in_another_catalog(spark, catalog, tmp_path):
    spec = TableSpec(catalog.table("orders"), SCHEMA, ("dt",), f"file://{tmp_path}/wh/orders")
    open_table(spark, spec).publish(rows(spark, SCHEMA, FIRST), run="run-1", replace=ALL)
    elsewhere = replace(spec, location=f"file://{tmp_path}/other/orders")
    with pytest.raises(TableMismatchError, match=r"is published beside .*/wh/orders, and is declared at .*/other/orders"):
        open_table(spark, elsewhere).publish(rows(spark, SCHEMA, FIRST), run="run-2", replace=ALL)
    assert not (tmp_path / "other").exists()
    spark.sql(f"DROP TABLE {spec.name}")  # as a session sees it that has not this catalog
    with pytest.raises(TableMismatchError, match=r"not in this session's catalog, and .* was published 1 time.*enable-glue"):
        open_table(spark, spec).publish(rows(spark, SCHEMA, FIRST), run="run-2", replace=ALL)
    with pytest.raises(TableMismatchError, match="not in this session's catalog"):
        open_table(spark, spec).begin("run-3")
    with pytest.raises(TableMismatchError, match=r"where .*orders was published; a location belongs to one table"):
        open_table(spark, replace(spec, name=catalog.table("other"))).begin("run-1")
