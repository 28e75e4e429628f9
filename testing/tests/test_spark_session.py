"""The session of a test run: settings, table formats and S3, on whichever Spark line is installed."""

import sys
import time
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows


def test_session_is_small_in_utc_and_its_workers_run_this_python(spark):
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"
    worker = F.udf(lambda _: sys.executable)
    assert spark.range(1).select(worker("id")).collect()[0][0] == sys.executable


def test_database_is_current_and_takes_parquet_delta_and_iceberg_tables(spark, catalog):
    orders = rows(spark, "id bigint, day date", [(1, "2024-02-29"), (2, "2024-03-01")])
    orders.write.saveAsTable("plain", format="parquet", partitionBy="day")
    orders.write.saveAsTable(catalog.table("versioned"), format="delta")
    orders.writeTo(catalog.iceberg_table("snapshots")).create()
    for table in ("plain", catalog.table("versioned"), catalog.iceberg_table("snapshots")):
        assert_same_rows(spark.table(table), orders)
    assert {path.name for path in catalog.location.iterdir()} == {"plain", "versioned"}


@pytest.fixture(scope="module")
def earlier_databases():
    return []


@pytest.mark.parametrize("time_round", [1, 2])
def test_database_is_gone_with_its_files_when_the_test_is_over(spark, catalog, earlier_databases, time_round):
    for name, location in earlier_databases:
        assert not spark.catalog.databaseExists(name)
        assert not location.exists()
    spark.range(3).write.saveAsTable("left_behind")
    earlier_databases.append((catalog.name, catalog.location))


def test_spark_writes_to_the_server_and_boto3_reads_the_same_objects(spark, s3_server):
    import boto3

    bucket = s3_server.bucket()
    spark.range(3).coalesce(1).write.csv(f"s3://{bucket}/numbers")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="numbers/part-")["Contents"]
    assert [boto3.client("s3").get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed] == [
        b"0\n1\n2\n"
    ]
    assert_same_rows(spark.read.csv(f"s3a://{bucket}/numbers", schema="id bigint"), [(0,), (1,), (2,)])


def test_each_test_gets_a_server_without_the_objects_of_earlier_tests(s3_server):
    assert [bucket["Name"] for bucket in s3_server.client().list_buckets()["Buckets"]] == ["warehouse"]


def test_missing_bucket_fails_within_seconds(spark, s3_server):
    started = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)no-such-bucket"):
        spark.read.text("s3://no-such-bucket/file").count()
    assert time.monotonic() - started < 30


def test_iceberg_tables_live_in_the_glue_catalog_of_the_server(spark, s3_server):
    spark.sql("CREATE NAMESPACE glue.sales")
    spark.range(2).writeTo("glue.sales.orders").create()
    table = s3_server.client("glue").get_table(DatabaseName="sales", Name="orders")["Table"]
    assert table["Parameters"]["table_type"] == "ICEBERG"
    assert_same_rows(spark.table("glue.sales.orders"), [(0,), (1,)])


def test_local_rows_need_no_python_workers_and_stay_what_they_are(spark):
    rows = [(n, None if n % 2 else Decimal("1.50"), [n], {"a": 1.5}, (n, "é" * n), bytearray(b"z")) for n in range(2_000)]
    schema = "n int, d decimal(5,2), l array<int>, m map<string,double>, s struct<x:int,y:string>, b binary"
    frame = spark.createDataFrame(rows, schema)
    assert "PythonRDD[" not in frame._jdf.queryExecution().toRdd().toDebugString()
    # An RDD goes the way that PySpark has for all.
    assert frame.collect() == spark.createDataFrame(spark.sparkContext.parallelize(rows), schema).collect()
    assert spark.createDataFrame([], schema).collect() == []
