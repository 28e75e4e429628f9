"""One file: the bytes that one task would have written, there at once or not at all."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import itertools
import json
import os
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import pyarrow.parquet
import pytest
from pyspark.sql import functions as F

from gluewright_core.effects import effect
from gluewright_single_file_output import (
    Csv,
    InvalidNameError,
    JsonLines,
    Parquet,
    SingleFileError,
    TargetExistsError,
    TargetOvertakenError,
    Text,
    UnsupportedRowsError,
    UnsupportedTargetError,
    named,
    plan_join,
    single_file,
    write_file_per_group,
    write_single_file,
)
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows

MIB, GIB = 1 << 20, 1 << 30
HARD = [
    None,
    "",
    " ",
    " both ends ",
    "a,b;c\td",
    'a "quoted" word',
    '"',
    "two\nlines",
    "carriage\r\nreturn",
    "back\\slash",
    '\\"',
    "#no comment",
    "żółw 🐢 \u2028",
    "NULL",
    "=1+1",
]


class Bucket:
    """A target on moto's server, or the like."""

    def __init__(self, server):
        self.s3 = server.client()
        self.bucket = server.bucket("reports")
        self.number = itertools.count()

    def uri(self, name):
        return f"s3://{self.bucket}/out{next(self.number)}/{name}"

    def put(self, uri, body):
        self.s3.put_object(Bucket=self.bucket, Key=self.key(uri), Body=body)

    def files(self):
        """All objects by name, wherever they are."""
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {each["Key"]: self.s3.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read() for each in found}

    def uploads(self):
        return self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])

    def key(self, uri):
        return uri.removeprefix(f"s3://{self.bucket}/")


class Folder:
    """A target in a local folder."""

    def __init__(self, root):
        self.root = root
        self.number = itertools.count()

    def uri(self, name):
        return str(self.root / f"out{next(self.number)}" / name)

    def put(self, uri, body):
        Path(uri).parent.mkdir(parents=True)
        Path(uri).write_bytes(body)

    def files(self):
        return {str(path): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}

    def uploads(self):
        return []

    def key(self, uri):
        return uri


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    return Folder(tmp_path) if request.param == "folder" else Bucket(request.getfixturevalue("s3_server"))


@pytest.fixture
def bucket(s3_server):
    return Bucket(s3_server)


def content(place, uri):
    """What there is of this target: the file alone, with a control file that tells its size and digest."""
    found = {name: body for name, body in place.files().items() if place.key(uri) in name}
    body, control = found.pop(place.key(uri)), json.loads(found.pop(place.key(uri) + ".control.json"))
    assert found == {}
    assert place.uploads() == []
    assert control["bytes"] == len(body)
    assert control["sha256"] in (None, hashlib.sha256(body).hexdigest())
    return body


def hard_rows(spark):
    numbered = [(number, text, HARD[-number]) for number, text in enumerate(HARD)]
    return rows(spark, 'id int, `a, "b"` string, c string', numbered).repartition(4, "id").sortWithinPartitions("id")


@pytest.mark.parametrize(
    "dialect", [Csv(), Csv(separator=";", quote_all=True, null="\\N"), Csv(separator="\t", header=False, null="-")]
)
def test_a_csv_has_the_bytes_that_one_task_would_write(spark, tmp_path, dialect):
    hard = hard_rows(spark)
    one = tmp_path / "one"
    hard.coalesce(1).write.options(**dialect.options, header=dialect.header).csv(f"file://{one}")
    (expected,) = (path.read_bytes() for path in one.glob("part-*"))
    target = str(tmp_path / "hard.csv")
    written = write_single_file(hard, target, format=dialect)
    assert Path(target).read_bytes() == expected
    assert (written.rows, written.bytes, written.sha256) == (len(HARD), len(expected), hashlib.sha256(expected).hexdigest())


def test_another_reader_finds_every_value_where_it_was(spark, tmp_path):
    target = tmp_path / "hard.csv"
    write_single_file(hard_rows(spark), str(target), format=Csv(null="\\N"), order_by=["id"])
    header, *lines = csv.reader(io.StringIO(target.read_bytes().decode(), newline=""))
    assert header == ["id", 'a, "b"', "c"]
    told = lambda text: "\\N" if text is None else text  # noqa: E731
    assert lines == [[str(number), told(text), told(HARD[-number])] for number, text in enumerate(HARD)]


def test_times_are_whole_in_csv_and_in_json(spark, tmp_path):
    time = "'2024-01-01 10:00:00.123456'"
    times = spark.sql(f"SELECT TIMESTAMP{time} AS t, TIMESTAMP_NTZ{time} AS n, CAST(NULL AS INT) AS x")
    for name in ("t.tsv", "t.jsonl"):
        write_single_file(times, str(tmp_path / name))
    assert (tmp_path / "t.tsv").read_text() == "t\tn\tx\n2024-01-01T10:00:00.123456Z\t2024-01-01T10:00:00.123456\t\n"
    assert json.loads((tmp_path / "t.jsonl").read_text()) == {
        "t": "2024-01-01T10:00:00.123456Z",
        "n": "2024-01-01T10:00:00.123456",
        "x": None,
    }


@pytest.mark.parametrize("name", ["none.csv", "none.csv.gz", "none.jsonl", "none.txt.gz"])
def test_no_rows_are_a_file_too_with_its_header_once(spark, tmp_path, name):
    place = Folder(tmp_path)
    target = place.uri(name)
    columns = ["id"] if ".txt" in name else ["id", "day"]
    none = spark.range(100).where("id < 0").select(*(F.col("id").cast("string").alias(name) for name in columns))
    for order_by in ([], ["id"]):
        assert write_single_file(none, target, format=Csv(bom=True) if ".csv" in name else None, order_by=order_by).rows == 0
        body = content(place, target)
        text = gzip.decompress(body) if name.endswith(".gz") else body
        assert text == (b"\xef\xbb\xbfid,day\n" if ".csv" in name else b"")


def test_the_same_rows_in_any_partitions_are_the_same_file(spark, tmp_path):
    def written(frame, name):
        write_single_file(frame, str(tmp_path / name), order_by=[F.col("k").desc(), "s"])
        return (tmp_path / name).read_bytes()

    frame = spark.range(2000).selectExpr(
        "id % 7 AS k", "concat('s', id % 3) AS s", "id", "map('x', id) AS `m``m`", "named_struct('a', array(id)) AS n"
    )
    one = written(frame.repartition(5, "id"), "one.jsonl")
    assert one == written(frame.orderBy(F.rand(1)).repartition(2), "two.jsonl")
    found = [json.loads(line) for line in one.splitlines()]
    assert [(-each["k"], each["s"], each["id"]) for each in found] == sorted(
        (-each["k"], each["s"], each["id"]) for each in found
    )


def large_rows(spark, parts=3, each=700):
    """Lines of 10 kB that do not compress, in parts of 7 MB and one of less."""
    text = F.concat(*(F.sha2(F.concat("id", F.lit(f"-{number}")), 512) for number in range(80)))
    frame = spark.range(0, parts * each, 1, parts).select("id", text.alias("text"))
    return frame.union(spark.range(1, 5, 1, 2).select("id", text.alias("text")))


def test_a_folder_is_joined_without_the_kernels_help_and_when_that_breaks_off(spark, tmp_path, monkeypatch):
    place = Folder(tmp_path)
    by_kernel, copied = place.uri("rows.csv"), []

    def breaks_off(source, target, _):
        if copied:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        copied.append(os.write(target, os.read(source, 3)))
        return copied[0]

    write_single_file(hard_rows(spark), by_kernel)
    monkeypatch.setattr(os, "copy_file_range", breaks_off, raising=False)
    broken_off = place.uri("rows.csv")
    write_single_file(hard_rows(spark), broken_off)
    monkeypatch.delattr(os, "copy_file_range")
    without = place.uri("rows.csv")
    write_single_file(hard_rows(spark), without)
    assert copied == [3]
    assert content(place, by_kernel) == content(place, broken_off) == content(place, without)


@pytest.mark.independent_s3
def test_large_parts_are_copied_on_the_server(spark, bucket):
    target, large = bucket.uri("large.csv"), large_rows(spark)
    calls = []
    client = boto3.client("s3")
    for call in ("UploadPart", "UploadPartCopy", "CompleteMultipartUpload"):
        client.meta.events.register(f"before-call.s3.{call}", lambda model, **_: calls.append(model.name))
    written = write_single_file(large, target, client=client)
    body = content(bucket, target)
    expected = ["id,text", *(f"{row.id},{row.text}" for row in large.collect())]
    assert body.decode().splitlines() == expected
    assert (written.rows, written.bytes) == (len(expected) - 1, len(body))
    assert calls.count("CompleteMultipartUpload") == 1
    assert calls.count("UploadPartCopy") == 2
    assert calls.count("UploadPart") == 2  # the header with the first part, and the short ones at the end


@pytest.fixture
def tiny_parts(monkeypatch):
    """A part may be of 100 bytes: a join of many needs few rows then."""
    import moto.s3.models

    monkeypatch.setattr(single_file, "SMALLEST_PART", 100)
    monkeypatch.setattr(moto.s3.models, "S3_UPLOAD_PART_MIN_SIZE", 100)


def test_too_many_parts_are_joined_in_groups_first(spark, bucket, monkeypatch, tiny_parts):
    monkeypatch.setattr(single_file, "MOST_PARTS", 6)
    target = bucket.uri("many.csv.gz")
    many = spark.range(0, 900, 1, 9).select("id", F.sha2(F.col("id").cast("string"), 256).alias("text"))
    groups = []
    write_single_file(many, target, effect=lambda _, where: groups.append("/groups/" in where) or nothing())
    assert sum(groups) >= 3
    lines = gzip.decompress(content(bucket, target)).decode().splitlines()
    assert lines == ["id,text", *(f"{row.id},{row.text}" for row in many.collect())]


def covered(plan, sizes):
    """Check S3's rules, and that the parts are all bytes in order."""
    for number, part in enumerate(plan.parts, start=1):
        size = sum(piece.size for piece in part)
        assert size <= 5 * GIB
        assert size >= 5 * MIB or number == len(plan.parts)
        assert len(part) == 1 or size < 10 * MIB
    assert len(plan.parts) <= 10_000
    at = [(piece.source, piece.start, piece.end) for part in plan.parts for piece in part]
    ends = dict.fromkeys(range(len(sizes)), 0)
    for source, start, end in at:
        assert ends[source] == start
        ends[source] = end
    assert list(ends.values()) == list(sizes)
    assert [source for source, _, _ in at] == sorted(source for source, _, _ in at)


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0, 1, 0],
        [1, 20 * GIB, 1],
        [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 12 * GIB + 1],
        [GIB + 1, 3 * GIB - 1],
        [100] * 60_000,
        [7 * MIB] * 9_000,
        [40_000 * GIB],
    ],
)
def test_a_plan_keeps_within_the_limits_of_s3(sizes):
    plan = plan_join(sizes)
    assert plan.groups == ()
    covered(plan, sizes)


@pytest.mark.parametrize("sizes", [[6 * MIB] * 12_000, [6 * MIB, 3] * 30_000, [11 * GIB] * 3_400])
def test_more_than_ten_thousand_parts_are_planned_in_groups(sizes):
    plan = plan_join(sizes)
    assert [number for group in plan.groups for number in group] == list(range(len(sizes)))
    joined = [sum(sizes[group.start : group.stop]) for group in plan.groups]
    for group in plan.groups:
        covered(
            single_file.Plan((), tuple(single_file._cut(sizes[group.start : group.stop], 5 * GIB))),
            sizes[group.start : group.stop],
        )
    covered(plan, joined)


def test_what_no_object_can_hold_is_refused():
    with pytest.raises(SingleFileError, match="more than one object can hold"):
        plan_join([60_000 * GIB])


@pytest.mark.parametrize("existing", ["overwrite", "refuse"])
def test_killed_anywhere_the_next_attempt_finishes(spark, place, existing, tiny_parts):
    """In a folder with a header; on S3, where each more file of Spark's takes its time, without, by a multipart upload."""
    frame = spark.range(0, 200, 1, 2)
    first, line = ("id\n", "{}\n") if isinstance(place, Folder) else ("", '{{"id":{}}}\n')
    new = (first + (line * 200).format(*range(200))).encode()

    def world():
        target = place.uri("k.csv" if isinstance(place, Folder) else "k.jsonl")
        if existing == "overwrite":
            place.put(target, b"old")
        return target

    def job(target):
        write_single_file(frame, target, run="run-1", existing=existing, effect=effect)

    def look(target):
        assert place.files().get(place.key(target)) in (b"old" if existing == "overwrite" else None, new)

    def check(target):
        assert content(place, target) == new

    every_kill_point(world, job, check, look=look)


def test_parts_stand_in_the_order_of_their_numbers():
    numbers = [(part, file) for part in ("00000", "00002", "99999", "100000") for file in ("c000", "c999", "c1000")]
    names = ["prelude", *(f"parts/part-{part}-0-c1-x-{file}.csv.gz" for part, file in numbers)]
    mixed = [*names[5:], *names[:5]]
    assert sorted(mixed, key=single_file._position) == names


def test_a_failure_leaves_nothing(spark, place):
    target = place.uri("f.csv")
    failing = spark.range(0, 1000, 1, 4).select(
        F.when(F.col("id") < 999, F.col("id")).otherwise(F.raise_error(F.lit("no"))).alias("x")
    )
    with pytest.raises(Exception, match="no"):
        write_single_file(failing, target)
    assert [name for name in place.files() if place.key(target) in name] == []


def test_an_existing_file_is_refused_before_anything_is_computed(spark, place):
    target = place.uri("r.csv")
    write_single_file(spark.range(3), target, existing="refuse")
    before = place.files()
    never = spark.range(1).select(F.raise_error(F.lit("computed")).cast("int").alias("id"))
    with pytest.raises(TargetExistsError, match="r.csv exists"):
        write_single_file(never, target, existing="refuse")
    assert place.files() == before


@contextmanager
def nothing():
    yield


def just_before(kind, target, act):
    """Let something happen just before an effect, once."""
    waiting = [act]

    def around(happening, where):
        if happening == kind and where == target and waiting:
            waiting.pop()()
        return nothing()

    return around


@pytest.mark.independent_s3
@pytest.mark.parametrize("large", [False, True])
def test_of_two_that_refuse_at_once_one_wins(spark, place, large):
    target = place.uri("r.csv")
    many = large_rows(spark, parts=1) if large and isinstance(place, Bucket) else spark.range(0, 10, 1, 2)

    def rival():
        write_single_file(spark.range(3), target, existing="refuse", run="rival")

    # In a folder the last moment is before the lock.
    last = target if isinstance(place, Bucket) else f"file://{Path(target).parent}/.r.csv.staging/slow/joined"
    with pytest.raises(TargetExistsError):
        write_single_file(many, target, existing="refuse", run="slow", effect=just_before("storage.write", last, rival))
    assert content(place, target) == b"id\n0\n1\n2\n"


@pytest.mark.independent_s3
def test_of_two_that_overwrite_at_once_the_last_stands_with_its_own_control_file(spark, bucket):
    """Wherever the other one comes in between."""

    def rival():
        write_single_file(spark.range(3), target, run="rival")

    target = bucket.uri("o.csv")
    with pytest.raises(TargetOvertakenError):
        around = just_before("storage.write", f"{target}.control.json", rival)
        write_single_file(spark.range(10), target, run="slow", effect=around)
    assert content(bucket, target) == b"id\n0\n1\n2\n"

    large = large_rows(spark, parts=1)
    for begun in ("storage.begin", "storage.write"):
        target = bucket.uri("o.csv")
        written = write_single_file(large, target, run="slow", effect=just_before(begun, target, rival))
        assert len(content(bucket, target)) == written.bytes


def test_what_an_abandoned_run_left_is_taken_away_and_what_runs_is_not(spark, bucket, monkeypatch):
    target = bucket.uri("a.csv")
    key, staged = bucket.key(target), f"_gluewright/single_file_output/{bucket.key(target)}"
    upload = bucket.s3.create_multipart_upload(Bucket=bucket.bucket, Key=key)["UploadId"]
    for name in (f"dead/upload/{upload}", "dead/parts/part-00000-x-c000.csv"):
        bucket.s3.put_object(Bucket=bucket.bucket, Key=f"{staged}/{name}", Body=b"")
    bucket.s3.create_multipart_upload(Bucket=bucket.bucket, Key=f"{staged}/dead/parts/part-00001-x-c000.csv")
    write_single_file(spark.range(3), target, run="other")
    assert [each for each in bucket.files() if "/dead/" in each]
    assert len(bucket.uploads()) == 2
    monkeypatch.setattr(single_file, "ABANDONED", timedelta(0))
    write_single_file(spark.range(3), target, run="other")
    assert content(bucket, target) == b"id\n0\n1\n2\n"


def test_a_versioned_bucket_keeps_what_was_there(spark, bucket, tmp_path):
    target = bucket.uri("v.csv")
    with pytest.raises(UnsupportedTargetError, match="enable versioning"):
        write_single_file(spark.range(3), target, existing="keep_version")
    with pytest.raises(UnsupportedTargetError, match="a folder keeps no versions"):
        write_single_file(spark.range(3), str(tmp_path / "v.csv"), existing="keep_version")
    bucket.s3.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (write_single_file(spark.range(n), target, existing="keep_version") for n in (1, 2))
    old = bucket.s3.get_object(Bucket=bucket.bucket, Key=bucket.key(target), VersionId=first.version)["Body"].read()
    assert old == b"id\n0\n"
    assert first.version != second.version


def test_the_control_file_holds_what_is_returned(spark, bucket):
    target = bucket.uri("c.csv.gz")
    written = write_single_file(spark.sql("SELECT 1 AS a, CAST(2 AS DECIMAL(5,2)) AS b"), target, run="r1", sha256=False)
    assert json.loads(bucket.files()[bucket.key(target) + ".control.json"]) == asdict(written)
    assert (written.rows, written.compression, written.sha256, written.schema) == (
        1,
        "gzip",
        None,
        {"a": "int", "b": "decimal(5,2)"},
    )
    assert datetime.fromisoformat(written.written) <= datetime.now(UTC)


def test_what_a_format_cannot_write_is_named_before_anything_is_computed(spark, tmp_path):
    nested = spark.sql("SELECT 1 AS id, array(1) AS tags, CAST('x' AS BINARY) AS raw")
    with pytest.raises(UnsupportedRowsError, match="n.csv: CSV has no way to write tags, raw"):
        write_single_file(nested, str(tmp_path / "n.csv"))
    with pytest.raises(UnsupportedRowsError, match="one column of type string"):
        write_single_file(nested, str(tmp_path / "n.txt"))
    with pytest.raises(UnsupportedRowsError, match="more than one column is called a"):
        write_single_file(spark.sql("SELECT 1 AS a, 2 AS a"), str(tmp_path / "n.jsonl"))
    with pytest.raises(InvalidNameError, match=r"\.xlsx is not offered: a workbook is one ZIP file"):
        write_single_file(nested, str(tmp_path / "n.xlsx"))
    with pytest.raises(InvalidNameError, match="names no file"):
        write_single_file(nested, "s3://bucket/", format=JsonLines())
    with pytest.raises(InvalidNameError, match="names a folder"):
        write_single_file(nested, str(tmp_path / "n.jsonl"), run="../x")
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there_is_said_by_name(spark, s3_server):
    with pytest.raises(SingleFileError, match=r"s3://nowhere/x.csv: S3 refuses .*NoSuchBucket"):
        write_single_file(spark.range(1), "s3://nowhere/x.csv")


def test_text_is_written_as_it_is(spark, tmp_path):
    target = tmp_path / "lines.log"
    write_single_file(
        rows(spark, "line string", [("b",), (' "a" ',), (None,)]), str(target), format=Text(), order_by=["line"]
    )
    assert target.read_bytes() == b'\n "a" \nb\n'


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{as_of:%Y-%m}/on_time_{carrier}.csv", {"as_of": date(2013, 2, 1), "carrier": "UA"}, "2013-02/on_time_UA.csv"),
        ("{n:04d}.csv", {"n": 7}, "0007.csv"),
        ("{missing}.csv", {"n": 7}, "{missing} has no value; there are: n"),
        ("{n.__class__}.csv", {"n": 7}, "has no value"),
        ("{c}.csv", {"c": "../x"}, "another folder"),
        ("{c}/x.csv", {"c": ".."}, "another folder"),
        ("{c}.csv", {"c": ""}, "another folder"),
        ("{n:%Y}.csv", {"n": "x"}, "cannot be filled"),
    ],
)
def test_names_are_filled_or_refused(template, values, expected):
    if expected.endswith(".csv"):
        assert named(template, **values) == expected
    else:
        with pytest.raises(InvalidNameError) as refused:
            named(template, **values)
        assert expected in str(refused.value)


CUSTOMERS = ["ACME", "a/b", "..", " ", "x=1%", "\u017c\u00f3\u0142w 'n\\co'", "ACME "]
SAFE = ["ACME", "a%2Fb", "%2E%2E", "%20", "x%3D1%25", "\u017c\u00f3\u0142w %27n%5Cco%27", "ACME "]


def orders(spark, customers=CUSTOMERS):
    found = [(n, customers[n * n % len(customers)], n % 3, HARD[n % len(HARD)]) for n in range(60)]
    return rows(spark, "id int, customer string, year int, note string", found).repartition(4, "id")


def test_each_group_has_a_file_of_its_rows_in_order(spark, place):
    target = place.uri("year={year}/{customer}.csv")

    def written(frame):
        by, order = ["customer", "year"], [F.col("id").desc()]
        return write_file_per_group(frame, target, by=by, order_by=order, format=Csv(null="\\N"))

    made = written(orders(spark))
    expected = {}
    for n in reversed(range(60)):
        number, note = n * n % len(CUSTOMERS), HARD[n % len(HARD)]
        name = target.replace("{customer}", SAFE[number]).replace("{year}", str(n % 3))
        line = [str(n), CUSTOMERS[number], str(n % 3), "\\N" if note is None else note]
        expected.setdefault(name, [["id", "customer", "year", "note"]]).append(line)
    assert [(each.uri, each.rows) for each in made] == [(name, len(expected[name]) - 1) for name in sorted(expected)]
    for name, lines in expected.items():
        assert list(csv.reader(io.StringIO(content(place, name).decode(), newline=""))) == lines
    assert [file for file in place.files() if "staging" in file or "_gluewright" in file] == []
    assert [each.sha256 for each in written(orders(spark).repartition(3))] == [each.sha256 for each in made]


def test_a_group_without_a_name_is_refused_before_anything_is_written(spark, tmp_path, monkeypatch):
    given = orders(spark, ["a", "b"])
    target = f"{tmp_path}/{{customer}}/orders.jsonl"
    float_ = given.selectExpr("CAST(id AS DOUBLE) AS customer")
    for frame, changed, kind, said in (
        (orders(spark, ["a", None]), {}, InvalidNameError, "customer is NULL or empty in 30 rows"),
        (orders(spark, ["a", ""]), {}, InvalidNameError, "customer is NULL or empty in 30 rows"),
        (orders(spark, ["a", "b" * 201]), {}, InvalidNameError, "a name of more than 200 bytes"),
        (given, {"by": ["customer", "year"]}, InvalidNameError, "two groups have one name"),
        (given, {"by": []}, InvalidNameError, "names no column"),
        (given, {"by": ["client"]}, UnsupportedRowsError, "no column client to group by"),
        (float_, {}, UnsupportedRowsError, "customer is double"),
        (given.withColumn("_group", F.lit(1)), {}, UnsupportedRowsError, "_group has a name that is needed"),
    ):
        with pytest.raises(kind, match=said):
            write_file_per_group(frame, target, **{"by": ["customer"], **changed})
    monkeypatch.setattr(single_file, "MOST_FILES", 1)
    with pytest.raises(InvalidNameError, match="more than 1 groups"):
        write_file_per_group(given, target, by=["customer"])
    assert write_file_per_group(given.where("id < 0"), target, by=["customer"]) == []
    assert list(tmp_path.rglob("*.jsonl")) == [] and list(tmp_path.rglob("*staging*")) == []


def test_where_one_file_exists_none_is_written(spark, place):
    target, given = place.uri("{customer}.jsonl"), orders(spark, ["a", "b"])
    place.put(target.replace("{customer}", "b"), b"old")
    with pytest.raises(TargetExistsError, match="b.jsonl exists"):
        write_file_per_group(given, target, by=["customer"], existing="refuse")
    assert [file for file in place.files() if place.key(target).partition("{")[0] in file] == [
        place.key(target.replace("{customer}", "b"))
    ]
    (made, _) = write_file_per_group(given, target, by=["customer"], without=True, values={"customer": "not this"})
    assert made.schema == {"id": "int", "year": "int", "note": "string"}


@pytest.mark.parametrize("existing", ["overwrite", "refuse"])
def test_killed_between_the_files_of_groups_the_next_attempt_finishes(spark, tmp_path, monkeypatch, existing):
    monkeypatch.setattr(single_file, "_FILES_AT_ONCE", 1)
    place = Folder(tmp_path)
    given = spark.range(0, 40, 1, 2).selectExpr("id", "id % 2 AS half").cache()
    expected = {half: "".join(f'{{"id":{n},"half":{half}}}\n' for n in range(half, 40, 2)).encode() for half in (0, 1)}

    def job(target):
        write_file_per_group(given, target, by=["half"], run="run-1", existing=existing, effect=effect)

    def look(target):
        for half, body in expected.items():
            assert place.files().get(place.key(target.replace("{half}", str(half)))) in (None, body)

    def check(target):
        for half, body in expected.items():
            assert content(place, target.replace("{half}", str(half))) == body
        assert [file for file in place.files() if "staging" in file] == []

    every_kill_point(lambda: place.uri("{half}.jsonl"), job, check, look=look)


def test_one_parquet_file_has_all_rows_in_order(spark, place, tmp_path):
    target = place.uri("orders.parquet")
    given = orders(spark)
    made = write_single_file(given, target, order_by=["id"], format=Parquet("zstd"))
    (tmp_path / "copy").write_bytes(content(place, target))
    found = pyarrow.parquet.read_table(tmp_path / "copy").to_pylist()
    assert found == [row.asDict() for row in given.orderBy("id").collect()]
    assert (made.rows, made.format, made.compression) == (60, "parquet", "zstd")
    written = pyarrow.parquet.ParquetFile(tmp_path / "copy").metadata.row_group(0).column(0)
    assert written.compression == "ZSTD"


def test_parquet_without_rows_and_by_groups_and_what_is_refused(spark, tmp_path):
    given = orders(spark, ["a", "b"])
    none = tmp_path / "none.parquet"
    assert write_single_file(given.where("id < 0"), str(none)).rows == 0
    assert pyarrow.parquet.read_table(none).schema.names == ["id", "customer", "year", "note"]
    made = write_file_per_group(given, f"{tmp_path}/{{customer}}.parquet", by=["customer"], order_by=["id"])
    for each, first in zip(made, (0, 1), strict=True):
        assert pyarrow.parquet.read_table(each.uri).column("id").to_pylist() == list(range(first, 60, 2))
    for target, frame, kind, said in (
        ("x.parquet.gz", given, InvalidNameError, "compressed inside; leave .gz out"),
        ("x.parquet", given.select(F.lit(None).alias("n")), UnsupportedRowsError, "no type for n"),
        ("x.csv.zst", given, InvalidNameError, "zst is not offered"),
    ):
        with pytest.raises(kind, match=said):
            write_single_file(frame, str(tmp_path / target))
    with pytest.raises(UnsupportedRowsError, match="60 rows are more than the 59 of one Parquet file"):
        write_single_file(given, str(tmp_path / "x.parquet"), format=Parquet(most_rows=59))
    with pytest.raises(UnsupportedRowsError, match="30 rows are more than the 29"):
        write_file_per_group(given, f"{tmp_path}/{{customer}}.parquet", by=["customer"], format=Parquet(most_rows=29))
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == ["a.parquet", "b.parquet", "none.parquet"]
