"""Contracts from the data itself: what a sample proves, and what the footers of Parquet files say."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import StructType

from core.tests.schema_strategies import structs, types
from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema.sources.data import _seen, propose, sample
from gluewright_core.schema.sources.ddl import to_ddl
from gluewright_core.schema.sources.parquet import file_schemas, from_parquet

COLUMNS = {
    "id": ["1", "-2", ""],
    "big": ["1", "3000000000", "7"],
    "zip": ["01234", "99999", "20095"],
    "price": ["1.50", "-12.345", "7"],
    "factor": ["1e3", "2.5", "-1"],
    "paid": ["true", "false", "TRUE"],
    "day": ["2024-01-05", "2024-02-29", "2024-12-31"],
    "german": ["31.12.2024", "01.01.2025", "15.06.2024"],
    "slash": ["01/02/2024", "03/04/2024", "05/06/2024"],
    "us": ["01/31/2024", "12/01/2024", "02/28/2024"],
    "at": ["2024-01-05 10:00:00", "2024-01-05 11:00:00.5", "2024-01-05T10:00:00"],
    "zoned": ["2024-01-05T10:00:00Z", "2024-01-05T10:00:00+01:00", "2024-01-05T10:00:00Z"],
    "email": ["a@b.c", "d@e.f", ""],
    "note": ["x", "7", "7.5"],
    "nothing": ["", "", ""],
}
CSV = "\n".join(",".join(line) for line in [COLUMNS, *zip(*COLUMNS.values(), strict=True)])


def test_a_sample_of_csv_proposes_the_narrowest_types_and_says_why(spark, tmp_path):
    (tmp_path / "orders.csv").write_text(CSV)
    rows = sample(spark, str(tmp_path / "orders.csv"))
    proposal = propose(rows, name="shop.orders", pii=["email"])
    found = {item.column.name: (item.column.type.simpleString(), item.column.format) for item in proposal.evidence}
    assert found == {
        "id": ("int", ""),
        "big": ("bigint", ""),
        "zip": ("string", ""),
        "price": ("decimal(5,3)", ""),
        "factor": ("double", ""),
        "paid": ("boolean", ""),
        "day": ("date", ""),
        "german": ("date", "dd.MM.yyyy"),
        "slash": ("string", ""),
        "us": ("date", "MM/dd/yyyy"),
        "at": ("timestamp_ntz", ""),
        "zoned": ("timestamp", ""),
        "email": ("string", ""),
        "note": ("string", ""),
        "nothing": ("string", ""),
    }
    evidence = {item.column.name: item for item in proposal.evidence}
    assert (evidence["id"].rows, evidence["id"].nulls, evidence["id"].examples) == (3, 1, ("-2", "1"))
    assert [(str(item), item.fits, item.misfit) for item in evidence["big"].candidates][:2] == [
        ("int", 2, "3000000000"),
        ("bigint", 3, None),
    ]
    assert evidence["slash"].why == "dd/MM/yyyy and MM/dd/yyyy read every value alike: say which by the column's format"
    assert evidence["note"].why == "decimal(2,1) reads 2 of 3 values, not 'x'"
    assert evidence["email"].column.tags == ("pii",)
    assert "a@b.c" not in str(proposal)
    # What was proposed is kept by the very same rows.
    kept = proposal.contract.conform(rows)
    assert (kept.rows.count(), kept.quarantine.count()) == (3, 0)


def test_types_that_the_data_has_are_kept(spark):
    rows = spark.sql(
        "SELECT 1 AS a, array('1') AS b, named_struct('x', CAST(NULL AS date)) AS c, CAST(NULL AS decimal(5,2)) AS d"
    )
    proposal = propose(rows, name="t")
    assert to_ddl(proposal.contract).result == "a int, b array<string>, c struct<x:date>, d decimal(5,2)"
    assert [(item.nulls, item.candidates) for item in proposal.evidence] == [(0, ()), (0, ()), (0, ()), (1, ())]


def test_pii_that_is_no_column_and_an_unknown_file_are_refused(spark):
    with pytest.raises(InvalidSourceError, match="pii names mail, the columns are a"):
        propose(spark.sql("SELECT 1 AS a"), name="t", pii=["mail"])
    with pytest.raises(InvalidSourceError, match="ends in"):
        sample(spark, "orders.xlsx")


in_files = types(
    metadata=st.just({}), wanted_names=st.from_regex(r"[a-z]{1,6}", fullmatch=True), contains_null=st.booleans()
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(struct=structs(in_files, metadata=st.just({}), wanted_names=st.from_regex(r"[a-z]{1,6}", fullmatch=True)))
def test_footers_of_spark_say_what_spark_wrote(spark, tmp_path_factory, struct):
    folder = str(tmp_path_factory.mktemp("files") / "t")
    plain = StructType.fromJson(without_lengths(struct.jsonValue()))
    spark.createDataFrame([], plain).coalesce(1).write.parquet(folder)
    (found,) = file_schemas(folder).values()
    assert found == plain


def without_lengths(given):
    """Spark's DataFrames have no char or varchar."""
    if isinstance(given, dict):
        return {key: value if key in {"name", "metadata"} else without_lengths(value) for key, value in given.items()}
    if isinstance(given, list):
        return [without_lengths(item) for item in given]
    return "string" if isinstance(given, str) and given.startswith(("char(", "varchar(")) else given


def test_footers_of_others_read_as_spark_reads_them(spark, tmp_path):
    at = dt.datetime(2024, 1, 5)
    table = pa.table(
        {
            "u8": pa.array([1], pa.uint8()),
            "u32": pa.array([1], pa.uint32()),
            "u64": pa.array([1], pa.uint64()),
            "dec": pa.array([Decimal("1.5")], pa.decimal128(9, 2)),
            "fix": pa.array([b"ab"], pa.binary(2)),
            "utc": pa.array([at], pa.timestamp("us", "UTC")),
            "local": pa.array([at], pa.timestamp("ms")),
            "dict": pa.array(["a"]).dictionary_encode(),
            "large": pa.array([["a"]], pa.large_list(pa.large_string())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    old = pa.table({"old": pa.array([at], pa.timestamp("ns"))})
    pq.write_table(old, tmp_path / "b.parquet", use_deprecated_int96_timestamps=True)
    for file in ("a.parquet", "b.parquet"):
        ours = file_schemas(str(tmp_path / file))[str(tmp_path / file)]
        theirs = spark.read.parquet(str(tmp_path / file)).schema
        assert ours == theirs


def test_files_that_differ_are_told(tmp_path):
    for name, table in {
        "day=1/a.parquet": {"id": pa.array([1], pa.int64())},
        "day=2/b.parquet": {"id": pa.array([1], pa.int32()), "new": pa.array(["x"])},
        "day=3/c.parquet": {"id": pa.array([1], pa.int64())},
        "_temporary/d.parquet": {"other": pa.array([1])},
    }.items():
        (tmp_path / name).parent.mkdir()
        pq.write_table(pa.table(table), tmp_path / name)
    read = from_parquet(str(tmp_path), name="t")
    assert to_ddl(read.result).result == "id bigint"
    usual, other = tmp_path / "day=1/a.parquet", tmp_path / "day=2/b.parquet"
    assert [str(loss) for loss in read.losses] == [
        f"id: type: {other} differs from {usual}: id: type bigint -> int",
        f"new: column: {other} differs from {usual}: new: column added (string)",
    ]


def test_a_folder_without_parquet_and_a_file_that_is_none_are_refused(tmp_path):
    with pytest.raises(InvalidSourceError, match="no Parquet file"):
        file_schemas(str(tmp_path))
    (tmp_path / "a.parquet").write_text("id\n1\n")
    with pytest.raises(InvalidSourceError, match=r"a.parquet: not a Parquet file that Spark reads"):
        file_schemas(str(tmp_path))


@pytest.mark.parametrize("escaped", ["true", "false"])
def test_digits_are_counted_whatever_spark_makes_of_escapes(spark, escaped):
    rows = spark.createDataFrame([("1.25",), ("-100.5",), ("7",), ("x",), ("",)], "price string")
    spark.conf.set("spark.sql.parser.escapedStringLiterals", escaped)
    try:
        seen = _seen(rows, [0])
    finally:
        spark.conf.unset("spark.sql.parser.escapedStringLiterals")
    assert (seen["before_0"], seen["after_0"], seen["empty_0"]) == (3, 2, 1)
