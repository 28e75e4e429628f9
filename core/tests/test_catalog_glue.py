"""The Glue Data Catalog through its API: batches, partial failures, paging, and readers that follow its locations."""

from __future__ import annotations

from contextlib import nullcontext

import boto3
import duckdb
import pytest
from botocore.stub import ANY, Stubber
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType, TimestampNTZType

from gluewright_core.effects import watching
from gluewright_core.errors import ConcurrentUpdateError, TableError, UnsupportedTableError
from gluewright_core.tables import ALL, TableSpec
from gluewright_core.tables.catalog import SWITCHED, PartitionChange
from gluewright_core.tables.catalog_glue import GlueDataCatalog, glue_column
from gluewright_core.tables.parquet import ParquetTable
from gluewright_testing.rows import rows
from gluewright_testing.sharing import once

SPEC = TableSpec(
    "shop.orders",
    StructType([StructField("id", LongType(), True, {"comment": "order"}), StructField("dt", StringType())]),
    ("dt",),
    "s3://lake/wh/orders",
    "Orders",
)
DETAIL = {"ErrorMessage": "later"}


@pytest.fixture
def glue(aws):
    client = boto3.client("glue")
    client.create_database(DatabaseInput={"Name": "shop"})
    return client


def moves(partitions, before, after):
    return [PartitionChange((name,), before and f"{before}/{name}", after and f"{after}/{name}") for name in partitions]


class Calls:
    """Counts the entries of each batch call of a client."""

    def __init__(self, client):
        self.sizes: dict[str, list[int]] = {}
        client.meta.events.register("provide-client-params.glue.*", self._note)

    def _note(self, params, model, **_):
        for value in params.values():
            if isinstance(value, list):
                self.sizes.setdefault(model.name, []).append(len(value))


def test_partitions_are_created_switched_and_dropped_in_batches_that_glue_takes(glue):
    catalog, calls = GlueDataCatalog(glue), Calls(glue)
    catalog.create(SPEC, {SWITCHED: SPEC.location})
    catalog.create(SPEC, {SWITCHED: SPEC.location})
    names = [f"d{number:03d}" for number in range(230)]
    catalog.move(SPEC.name, moves(names, None, "s3://lake/a"))
    catalog.move(SPEC.name, moves(names, "s3://lake/a", "s3://lake/b"))
    catalog.move(SPEC.name, moves(names[:60], "s3://lake/b", None))
    assert calls.sizes["BatchCreatePartition"] == [100, 100, 30]
    assert calls.sizes["BatchUpdatePartition"] == [100, 100, 30]
    assert calls.sizes["BatchDeletePartition"] == [25, 25, 10]
    assert catalog.locations(SPEC.name) == {(name,): f"s3://lake/b/{name}" for name in names[60:]}
    assert catalog.locations(SPEC.name, [("d229",), ("d000",)]) == {("d229",): "s3://lake/b/d229"}
    table = catalog.table(SPEC.name)
    assert table.columns == {"id": "bigint", "dt": "string"}
    assert (table.partition_by, table.location, table.properties[SWITCHED]) == (("dt",), SPEC.location, SPEC.location)


def test_null_and_odd_values_are_kept_as_glue_has_them(glue):
    catalog = GlueDataCatalog(glue)
    catalog.create(SPEC, {})
    odd = [None, "a b", "a/b", "50%", "k=v", "ü", "it's"]
    catalog.move(SPEC.name, [PartitionChange((value,), None, f"s3://lake/{number}") for number, value in enumerate(odd)])
    assert set(catalog.locations(SPEC.name)) == {(value,) for value in odd}
    raw = glue.get_partitions(DatabaseName="shop", TableName="orders")["Partitions"]
    assert ["__HIVE_DEFAULT_PARTITION__"] in [part["Values"] for part in raw]


def test_a_partition_that_another_writer_added_first_is_switched(glue):
    catalog = GlueDataCatalog(glue)
    catalog.create(SPEC, {})
    catalog.move(SPEC.name, moves(["x"], None, "s3://lake/theirs"))
    catalog.move(SPEC.name, moves(["w", "x"], None, "s3://lake/ours"))
    assert catalog.locations(SPEC.name) == {("w",): "s3://lake/ours/w", ("x",): "s3://lake/ours/x"}
    catalog.move(SPEC.name, moves(["never there"], "s3://lake/ours", None))


def stubbed(responses):
    client = boto3.client("glue", region_name="us-east-1")
    stub = Stubber(client)
    table = {"Name": "orders", "PartitionKeys": [{"Name": "dt"}], "StorageDescriptor": {"Location": "s3://lake/wh/orders"}}
    stub.add_response("get_table", {"Table": table}, {"DatabaseName": "shop", "Name": "orders"})
    for method, answer, expected in responses:
        stub.add_response(method, answer, expected)
    stub.activate()
    waits = []
    return GlueDataCatalog(client, sleep=waits.append), stub, waits


def error(name, code):
    return {"PartitionValues": [name], "ErrorDetail": {"ErrorCode": code, **DETAIL}}


def test_throttled_entries_of_a_successful_answer_are_sent_again(aws):
    where = {"DatabaseName": "shop", "TableName": "orders"}
    first = {**where, "PartitionInputList": ANY}
    catalog, stub, waits = stubbed(
        [
            ("batch_create_partition", {"Errors": [error("b", "ThrottlingException")]}, first),
            ("batch_create_partition", {}, {**where, "PartitionInputList": [
                {"Values": ["b"], "StorageDescriptor": {"Location": "s3://lake/a/b"}}
            ]}),
        ]
    )  # fmt: skip
    catalog.move(SPEC.name, moves(["a", "b", "c"], None, "s3://lake/a"))
    stub.assert_no_pending_responses()
    assert len(waits) == 1


def test_refused_entries_of_a_successful_answer_are_an_error_that_names_them(aws):
    answer = {"Errors": [error("b", "InvalidInputException")]}
    catalog, _, _ = stubbed([("batch_create_partition", answer, ANY_CALL)])
    with pytest.raises(TableError, match=r"1 of 3 partitions were refused.*dt=b: InvalidInputException"):
        catalog.move(SPEC.name, moves(["a", "b", "c"], None, "s3://lake/a"))


def test_entries_that_stay_throttled_are_an_error_in_the_end(aws):
    answer = {"Errors": [error("a", "ThrottlingException")]}
    catalog, _, waits = stubbed([("batch_create_partition", answer, ANY_CALL)] * 6)
    with pytest.raises(TableError, match="still refuses or does not answer for 1 partitions after 6 tries"):
        catalog.move(SPEC.name, moves(["a"], None, "s3://lake/a"))
    assert waits == sorted(waits)


def test_unprocessed_keys_and_pages_are_followed(aws):
    part = lambda name: {"Values": [name], "StorageDescriptor": {"Location": f"s3://lake/{name}"}}  # noqa: E731
    catalog, stub, _ = stubbed(
        [
            ("batch_get_partition", {"Partitions": [part("a")], "UnprocessedKeys": [{"Values": ["b"]}]}, ANY_GET),
            ("batch_get_partition", {"Partitions": [part("b")]}, ANY_GET),
        ]
    )
    assert set(catalog.locations(SPEC.name, [("a",), ("b",)])) == {("a",), ("b",)}
    catalog, stub, _ = stubbed(
        [
            ("get_partitions", {"Partitions": [part("a")], "NextToken": "t"}, {**WHERE, "ExcludeColumnSchema": True}),
            ("get_partitions", {"Partitions": [part("b")]}, {**WHERE, "ExcludeColumnSchema": True, "NextToken": "t"}),
        ]
    )
    assert catalog.locations(SPEC.name) == {("a",): "s3://lake/a", ("b",): "s3://lake/b"}
    stub.assert_no_pending_responses()


WHERE = {"DatabaseName": "shop", "TableName": "orders"}
ANY_CALL = {**WHERE, "PartitionInputList": ANY}
ANY_GET = {**WHERE, "PartitionsToGet": ANY}


def test_an_unpartitioned_table_is_switched_without_archiving_a_version(glue):
    spec = TableSpec("shop.totals", SPEC.schema, (), "s3://lake/wh/totals")
    catalog = GlueDataCatalog(glue)
    catalog.create(spec, {"owner": "sales"})
    seen = []
    glue.meta.events.register("provide-client-params.glue.UpdateTable", lambda params, **_: seen.append(params))
    catalog.move(spec.name, [PartitionChange((), spec.location, "s3://lake/runs/1")])
    assert catalog.locations(spec.name) == {(): "s3://lake/runs/1"}
    assert (seen[0]["SkipArchive"], seen[0]["VersionId"]) == (True, "1")
    assert catalog.table(spec.name).properties["owner"] == "sales"
    catalog.mark(spec.name, {"a": "b"})
    assert catalog.table(spec.name).properties.items() >= {"owner": "sales", "a": "b"}.items()


def _totals(version: str, location: str = "s3://lake/wh/totals") -> dict:
    return {"Table": {"Name": "totals", "StorageDescriptor": {"Location": location}, "VersionId": version}}


@pytest.mark.parametrize(
    ("answers", "requires", "ends"),
    [
        pytest.param(["7", "7", "refused", "8", "8", "refused"], 2, ConcurrentUpdateError, id="changed again and again"),
        pytest.param(["7", "7", "refused", "8:s3://lake/x"], 2, None, id="an earlier attempt was performed"),
        pytest.param(["9", "9", "refused", "9", "9", "done"], 2, None, id="columns were added since the plan"),
        pytest.param(["9", "9", "refused", "lost"], 2, ConcurrentUpdateError, id="the lease is lost"),
    ],
)
def test_an_unpartitioned_table_is_switched_only_from_the_version_that_was_planned(aws, answers, requires, ends):
    client, asked = boto3.client("glue", region_name="us-east-1"), []
    stub = Stubber(client)
    for answer in answers:
        version, _, location = answer.partition(":")
        if answer == "refused":
            stub.add_client_error("update_table", "ConcurrentModificationException")
        elif answer == "done":
            stub.add_response("update_table", {})
        elif answer != "lost":
            stub.add_response("get_table", _totals(version, location or "s3://lake/wh/totals"))
    stub.activate()

    def require() -> None:
        asked.append(1)
        if len(asked) == requires and answers[-1] == "lost":
            raise ConcurrentUpdateError("the lease is lost")

    catalog, move = GlueDataCatalog(client), [PartitionChange((), "s3://lake/wh/totals", "s3://lake/x")]
    with pytest.raises(ends) if ends else nullcontext():
        catalog.move("shop.totals", move, require=require, version="7")
    assert len(asked) == requires
    stub.assert_no_pending_responses()


def test_declared_columns_are_added_with_the_comments_of_the_others_kept(glue):
    catalog = GlueDataCatalog(glue)
    catalog.create(SPEC, {})
    wider = StructType([*SPEC.schema, StructField("size", IntegerType(), True, {"comment": "in cm"})])
    catalog.evolve(TableSpec(SPEC.name, wider, ("dt",), SPEC.location))
    columns = glue.get_table(DatabaseName="shop", Name="orders")["Table"]["StorageDescriptor"]["Columns"]
    assert [(c["Name"], c["Type"], c["Comment"]) for c in columns] == [("id", "bigint", "order"), ("size", "int", "in cm")]
    catalog.mark(SPEC.name, {"spark.sql.sources.schema": "{}"})
    with pytest.raises(UnsupportedTableError, match="ADD COLUMNS"):
        catalog.evolve(TableSpec(SPEC.name, wider, ("dt",), SPEC.location))


def test_a_type_that_glue_does_not_have_is_refused_by_column(glue):
    with pytest.raises(UnsupportedTableError, match="shop.orders.at: the Glue Data Catalog has no type timestamp_ntz"):
        glue_column("shop.orders", StructField("at", TimestampNTZType()))
    with pytest.raises(TableError, match="shop.nothing is not in the Glue Data Catalog"):
        GlueDataCatalog(glue).locations("shop.nothing")


@once(0)
def test_readers_that_follow_the_catalog_see_old_or_new_and_readers_by_path_nothing(spark, s3_server):
    """DuckDB and awswrangler on the locations that Glue names, looked at before and after every effect of a publish."""
    import awswrangler as wr

    glue = s3_server.client("glue")
    glue.create_database(DatabaseInput={"Name": "shop"})
    s3_server.bucket("lake")
    schema = StructType(
        [StructField("id", LongType()), StructField("amount", IntegerType()), StructField("dt", StringType())]
    )
    spec = TableSpec("shop.orders", schema, ("dt",), "s3://lake/wh/orders")
    catalog = GlueDataCatalog(glue)
    table = ParquetTable(spark, spec, catalog)
    old = [(1, 1, "d1"), (2, 2, "d1"), (3, 3, "d2")]
    new = [(1, 10, "d1"), (4, 40, "d3")]
    table.publish(rows(spark, schema, old), run="run-1", replace=ALL)

    def by_duckdb():
        found = {}
        for (dt,), location in catalog.locations(spec.name).items():
            keys = [
                entry["Key"]
                for entry in s3_server.client().list_objects_v2(Bucket="lake", Prefix=location.removeprefix("s3://lake/"))[
                    "Contents"
                ]
            ]
            bodies = [s3_server.client().get_object(Bucket="lake", Key=key)["Body"].read() for key in keys]
            found[dt] = sorted(row for body in bodies for row in _parquet_rows(body))
        return found

    def by_wrangler():
        found = {}
        for (dt,), location in catalog.locations(spec.name).items():
            frame = wr.s3.read_parquet(path=location + "/", boto3_session=boto3.Session(region_name="us-east-1"))
            found[dt] = sorted(zip(frame["id"].tolist(), frame["amount"].tolist(), strict=True))
        return found

    allowed = {"d1": [[(1, 1), (2, 2)], [(1, 10)]], "d2": [[(3, 3)], None], "d3": [None, [(4, 40)]]}
    looks = 0

    class Look:
        def before(self, happening):
            nonlocal looks
            if not happening.kind.startswith(("catalog", "spark")):
                return
            looks += 1
            for found in (by_duckdb(), by_wrangler()):
                for dt, states in allowed.items():
                    assert found.get(dt) in states

        after = before

    with watching(Look()):
        table.publish(rows(spark, schema, new), run="run-2", replace=ALL)
    assert looks >= 6
    assert by_duckdb() == by_wrangler() == {"d1": [(1, 10)], "d3": [(4, 40)]}

    with pytest.raises(wr.exceptions.NoFilesFound):
        wr.s3.read_parquet_table(database="shop", table="orders", boto3_session=boto3.Session(region_name="us-east-1"))
    with pytest.raises(duckdb.IOException, match="No files found"):
        connection = duckdb.connect()
        connection.execute(f"SELECT * FROM read_parquet('{_local_copy(s3_server, 'wh/orders/')}/**/*.parquet')")
    with pytest.raises(UnsupportedTableError, match="projection"):
        catalog.mark(spec.name, {"projection.enabled": "true"})
        table.publish(rows(spark, schema, new), run="run-3", replace=ALL)


def _parquet_rows(body):
    import io

    import pyarrow.parquet as pq

    frame = pq.read_table(io.BytesIO(body)).to_pydict()
    return list(zip(frame["id"], frame["amount"], strict=True))


def _local_copy(server, prefix):
    import tempfile

    folder = tempfile.mkdtemp()
    for found in server.client().list_objects_v2(Bucket="lake", Prefix=prefix).get("Contents", []):
        server.client().download_file("lake", found["Key"], f"{folder}/{found['Key'].replace('/', '_')}")
    return folder
