"""One line for the errors that people meet: of the pure modules, of Spark, Java, boto3 and the system. Never twice."""

import errno
import subprocess
import sys
import traceback

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from py4j.protocol import Py4JJavaError

from gluewright_cdc_merge.audit import UnsupportedAuditError
from gluewright_cdc_merge.feeds import UnsupportedFeedError
from gluewright_core.errors import StorageFullError
from gluewright_core.explaining import described, frames, one_line
from gluewright_core.schema.conform import ContractViolationError
from gluewright_incremental.ledger import ObjectsDeletedError
from gluewright_pii_masking.risk import InvalidReportError
from gluewright_reprocessing.plan import InvalidPlanError
from gluewright_single_file_output.single_file import InvalidNameError
from gluewright_testing.sharing import once


def raised(act):
    with pytest.raises(Exception) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    "kind",
    [
        ContractViolationError,
        UnsupportedFeedError,
        UnsupportedAuditError,
        ObjectsDeletedError,
        InvalidReportError,
        InvalidPlanError,
        InvalidNameError,
        StorageFullError,
    ],
)
def test_an_error_of_a_pure_module_is_its_own_line(kind):
    assert one_line(kind("what is wrong, and what to do")) == "what is wrong, and what to do"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyError("Access Denied"), RuntimeError("No space left on device")])
def test_an_error_of_the_jobs_own_code_has_no_line(error):
    assert one_line(error) is None
    assert described(error) == f"{type(error).__name__}: {error}"


def test_the_common_errors_of_spark_and_java_are_one_line_each(spark, tmp_path):
    (tmp_path / "empty").mkdir()
    full = spark._jvm.java.io.FileOutputStream("/dev/full") if sys.platform == "linux" else None
    cases = {
        "the database does not exist: [SCHEMA_NOT_FOUND] The schema": lambda: spark.range(1).write.saveAsTable("nope.t"),
        "the table does not exist: [TABLE_OR_VIEW_NOT_FOUND] The table": lambda: spark.table("nope"),
        "the path does not exist: [PATH_NOT_FOUND] Path does not": lambda: spark.read.parquet(str(tmp_path / "nope")),
        "the schema cannot be inferred: [UNABLE_TO_INFER_SCHEMA]": lambda: spark.read.parquet(str(tmp_path / "empty")),
        "permission is missing: java.io.IOException: Mkdirs failed": lambda: spark.range(1).write.csv("/proc/nope/x"),
        "the disk is full: java.io.IOException: No space left": full and (lambda: full.write(1)),
    }
    for line, act in cases.items():
        if act:
            error = raised(act)
            assert one_line(error).startswith(line), one_line(error)
            assert "\n" not in one_line(error)
            assert described(error) == f"{type(error).__name__}: {one_line(error)}"


def test_a_file_that_is_gone_while_it_is_read_is_reported_by_the_innermost_cause(spark, tmp_path):
    spark.range(3).write.parquet(str(tmp_path / "t"))
    rows = spark.read.parquet(str(tmp_path / "t"))
    for file in (tmp_path / "t").iterdir():
        file.unlink()
    line = one_line(raised(rows.collect))
    assert line.startswith("the path does not exist: ")
    assert "Job aborted" not in line


@pytest.fixture
def ansi(spark):
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", "true")
    yield
    spark.conf.set("spark.sql.ansi.enabled", before)


def test_a_value_of_a_row_never_decides_what_is_said(spark, ansi):
    rows = spark.createDataFrame([("Access Denied",)], "text string").selectExpr("CAST(text AS INT)")
    assert one_line(raised(rows.collect)) is None


def test_neither_do_quoted_values_nor_a_condition_behind_other_text():
    lost = "Lost task 0.0 in stage 1.0: org.apache.spark.SparkNumberFormatException: [CAST_INVALID_INPUT] The value"
    number = 'java.lang.NumberFormatException: For input string: "Access Denied"'
    for text in (f"{lost} 'Access Denied' of the type", number):
        assert one_line(JavaError(f"An error occurred while calling o1.collect.\n: {text}\n")) is None


class JavaError(Py4JJavaError):
    """An error of Java with the text that py4j makes of it."""

    def __init__(self, text):
        Exception.__init__(self)
        self.text = text

    def __str__(self):
        return self.text


S3A = """An error occurred while calling o97.parquet.
: org.apache.spark.SparkException: Job aborted.
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.jobAbortedError(QueryExecutionErrors.scala:638)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.nio.file.AccessDeniedException: s3a://lake/t: getFileStatus on s3a://lake/t: {} (Status Code: 403)
\tat org.apache.hadoop.fs.s3a.S3AUtils.translateException(S3AUtils.java:255)
\t... 41 more
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (JavaError(S3A.format("Forbidden")), "permission is missing: java.nio.file.AccessDeniedException: s3a://lake"),
        (
            JavaError(S3A.format("The provided token has expired. (Error Code: ExpiredToken)")),
            "the credentials have expired: java.nio.file.AccessDeniedException: s3a://lake/t: getFileStatus",
        ),
        (ClientError({"Error": {"Code": "ExpiredToken", "Message": "x"}}, "PutObject"), "the credentials have expired: An"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "x"}}, "PutObject"), "permission is missing: An error"),
        (ClientError({"Error": {"Code": "NoSuchBucket", "Message": "x"}}, "PutObject"), "the path does not exist: An error"),
        (NoCredentialsError(), "there are no credentials: Unable to locate credentials"),
        (EndpointConnectionError(endpoint_url="http://x"), "there is no connection: Could not connect to the endpoint"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: [Errno 28] No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "permission is missing: [Errno 13] Permission denied: "),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "the path does not exist: [Errno 2] No such"),
    ],
)
def test_the_common_errors_of_java_boto3_and_the_system_are_one_line_each(error, line):
    assert one_line(error).startswith(line)
    assert "\n" not in one_line(error)


def test_where_an_error_was_raised_is_told_without_its_message():
    def inner():
        raise ValueError("a secret of a row")

    def outer():
        try:
            inner()
        except ValueError as error:
            raise KeyError("another") from error

    told = frames(raised(outer))
    assert "secret of a row" not in told.replace('raise ValueError("a secret of a row")', "")
    assert told.index("KeyError, raised in") < told.index("caused by ValueError, raised in")
    assert "in outer" in told
    assert "in inner" in told


SCRIPT = """
import sys
from dataclasses import dataclass
from gluewright_core.job import run
from gluewright_core.storage import open_storage

@dataclass(frozen=True)
class Arguments:
    mode: str

def main(job):
    match job.arguments.mode:
        case "contract":
            from gluewright_core.schema.conform import ContractViolationError
            raise ContractViolationError("12 rows break the contract; see the quarantine")
        case "feed":
            from gluewright_cdc_merge.feeds import UnsupportedFeedError
            raise UnsupportedFeedError("the records have no column payload")
        case "database":
            job.spark.range(1).write.saveAsTable("nope.t")
        case "unknown":
            from py4j.protocol import Py4JError
            stack = ["o1.collect failed", "\\tat org.apache.Spark.run(Spark.java:1)", "Caused by: a.b.OddException: odd"]
            raise Py4JError("\\n".join(stack))

if __name__ == "__main__":
    run(main, Arguments)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "failing_job.py"
    path.write_text(SCRIPT)
    return lambda *argv: subprocess.run([sys.executable, path, *argv], capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("contract", "12 rows break the contract; see the quarantine"),
        ("feed", "the records have no column payload"),
    ],
)
def test_an_error_of_a_pure_module_ends_a_job_with_one_line(script, mode, line):
    done = script("--mode", mode)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {line}"
    assert "Traceback" not in done.stderr
    plain = [each for each in done.stderr.splitlines() if not each.startswith("{")]
    assert sum(line in each for each in plain) == 1
    shown = script("--mode", mode, "--verbose")
    assert shown.stderr.splitlines()[-1].endswith(f": {line}")
    assert "Traceback" in shown.stderr


def test_a_location_in_s3_without_boto3_says_what_to_install(tmp_path):
    blocked = "import sys\nsys.modules['boto3'] = sys.modules['botocore'] = None\n"
    (tmp_path / "job.py").write_text(blocked + SCRIPT.replace("match job", "open_storage('s3://lake')\n    match job"))
    argv = [sys.executable, tmp_path / "job.py", "--mode", "none"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: boto3 is not installed, which s3:// and other parts of AWS need: pip install boto3; Glue has it"
    )
    assert "Traceback" not in done.stderr


def test_an_error_that_nobody_knows_keeps_its_traceback_without_the_stack_of_the_jvm(script):
    done = script("--mode", "unknown")
    assert (done.returncode, done.stderr.count("Traceback"), done.stderr.count("\tat ")) == (1, 1, 0)
    assert "Caused by: a.b.OddException: odd" in done.stderr
    assert done.stderr.splitlines()[-1] == "(without the stack of the JVM, which --verbose shows)"
    assert "\tat org.apache.Spark.run" in script("--mode", "unknown", "--verbose").stderr


@once(1)
def test_a_missing_database_ends_a_job_with_one_line(script, monkeypatch):
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    done = script("--mode", "database")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the database does not exist: [SCHEMA_NOT_FOUND] The schema")
    assert "Traceback" not in done.stderr
    assert "\tat " not in done.stderr


def test_the_text_of_an_error_is_there_even_when_the_jvm_is_gone():
    class GoneError(Py4JJavaError):
        def __init__(self):
            Exception.__init__(self)

        def __str__(self):
            raise ConnectionRefusedError("no gateway")

    assert described(GoneError()) == "GoneError: the JVM has ended and took the error's text with it"
    assert traceback.format_exception_only(GoneError())
