"""One line for an error that ends a job, instead of a stack: what happened, and where it was noticed.

Errors of gluewright's own say it themselves. The common errors of Spark, Java, boto3 and the operating system are
recognised: a missing database, table or path, a schema that cannot be inferred, a full disk, missing permission, expired or
missing credentials, no connection. Their line is that of the innermost cause. Everything else keeps its traceback, without
the stack of the JVM.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from gluewright_core.errors import GluewrightError, InvalidArgumentsError
from gluewright_core.secret import masked

# The first that fits counts: an expired token is reported as a denied access too.
_KNOWN = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        ("the credentials have expired", r"Expired_?Token|RequestExpired|token\b.{0,40}\bexpired"),
        ("there are no credentials", r"Unable to (locate|load)( AWS)? credentials|NoAuthWithAWSException"),
        ("the disk is full", r"No space left on device|Disk quota exceeded"),
        (
            "permission is missing",
            r"Access ?Denied|Permission denied|AccessControlException|Operation not permitted|Read-only file system"
            r"|not authorized|Unauthorized|Forbidden|Insufficient Lake Formation|Mkdirs failed to create",
        ),
        ("the database does not exist", r"\[SCHEMA_NOT_FOUND\]|NoSuch(Namespace|Database)Exception|Database \S+ not found"),
        ("the table does not exist", r"\[TABLE_OR_VIEW_NOT_FOUND\]|NoSuchTableException"),
        (
            "the path does not exist",
            r"\[PATH_NOT_FOUND\]|FILE_NOT_EXIST|FileNotFound|Input path does not exist|No such file or directory"
            r"|NoSuchBucket|NoSuchKey|bucket does not exist",
        ),
        ("the schema cannot be inferred", r"\[UNABLE_TO_INFER_SCHEMA\]"),
        ("there is no connection", r"UnknownHost|Connection refused|Could not connect to the endpoint|Connect timeout"),
    )
)
# Packages that come with Glue, and so are in no package's dependencies.
_MISSING = {
    "boto3": "boto3 is not installed, which s3:// and other parts of AWS need: pip install boto3; Glue has it",
    "botocore": "boto3 is not installed, which s3:// and other parts of AWS need: pip install boto3; Glue has it",
    "pyspark": "pyspark is not installed: pip install pyspark, in the version of your Glue; Glue has it",
}
_FOREIGN = {"pyspark", "py4j", "botocore", "boto3"}
# Spark's own name of what went wrong, perhaps behind the classes of exceptions. Its text holds values of rows.
_CONDITION = re.compile(r".*?((\[[A-Z0-9_]{4,}(?:\.[A-Z0-9_]+)*\]) .*)")
_QUOTED = re.compile(r'"[^"]*"')
_INNERMOST = re.compile(r".*?\b((?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error): .*)")
_JVM_FRAME = re.compile(r"\s+at [\w.$/<>@-]+\(.*\)|\s*\.\.\. \d+ (more|common frames omitted)")


def one_line(error: BaseException) -> str | None:
    """Return the line that stands for an error, or None if only its traceback can explain it.

    Args:
        error: what ended the job.
    """
    if is_own(error):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _MISSING:
        return _MISSING[(error.name or "").partition(".")[0]]
    if not isinstance(error, OSError) and not _packages(error) & _FOREIGN:
        return None
    for line in _causes(error):
        condition = _CONDITION.match(line)
        subject = condition[2] if condition else _QUOTED.sub("", line)
        for what, pattern in _KNOWN:
            if pattern.search(subject):
                return f"{what}: {line}"
    return None


def is_own(error: BaseException) -> bool:
    """Return whether gluewright raised the error itself: core, a recipe's job, or one of its pure modules.

    Args:
        error: any exception.
    """
    if isinstance(error, GluewrightError):
        return True
    return any(package.startswith("gluewright") for package in _packages(error))


def described(error: BaseException) -> str:
    """Return an error's type and message for a log, without any stack.

    Args:
        error: any exception.
    """
    text = one_line(error) or _without_jvm_stack(_text(error))
    return f"{type(error).__name__}: {text}"


def frames(error: BaseException) -> str:
    """Return where an error and its causes were raised: frames of Python only, and no message, which stands elsewhere.

    Args:
        error: any exception.
    """
    found: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        found.append("".join([f"{type(current).__name__}, raised in\n", *traceback.format_tb(current.__traceback__)]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "caused by ".join(found)


def explain_errors_in_one_line(*, verbose: bool = False) -> None:
    """Have this process end with one line instead of a traceback where one line explains the error that ends it.

    `gluewright_core.job.run` does so for a script; a launcher that does something before it calls this first.

    Args:
        verbose: end with the whole traceback instead, the JVM's stack included.
    """
    _shown.verbose = verbose
    if sys.excepthook is not _explain:
        _shown.usual = sys.excepthook
        sys.excepthook = _explain


class _Shown:
    """How this process shows the error that ends it; there is one hook per process."""

    verbose = False
    usual = staticmethod(sys.excepthook)


_shown = _Shown()


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    line = one_line(error)
    if line is None or _shown.verbose:
        whole = "".join(traceback.format_exception(kind, error, trace))
        shown = masked(whole if _shown.verbose else _without_jvm_stack(whole))
        if shown == whole:
            _shown.usual(kind, error, trace)
        else:
            sys.stderr.write(shown)
    else:
        hint = "" if is_own(error) or isinstance(error, ImportError) else " (--verbose shows the stack)"
        sys.stderr.write(f"error: {masked(line)}{hint}\n")
    if isinstance(error, InvalidArgumentsError):
        raise SystemExit(2)


def _causes(error: BaseException) -> Iterator[str]:
    """Yield what each cause says, the innermost first, then the error itself: the first line of each, without stacks."""
    stack = getattr(error, "_stackTrace", None) or ""
    for text in (str(stack), _text(error)):
        lines = [line.strip() for line in text.splitlines() if line.strip() and not _JVM_FRAME.match(line)]
        caused = [line.partition("Caused by: ")[2] for line in lines if line.startswith("Caused by: ")]
        # What follows the first line is a query or a plan, with values.
        first = [line.removeprefix(": ") for line in lines if not line.startswith("An error occurred while calling")][:1]
        for line in [*reversed(caused), *first]:
            condition, innermost = _CONDITION.match(line), _INNERMOST.match(line)
            yield condition[1] if condition else innermost[1] if innermost else line


def _packages(error: BaseException) -> set[str]:
    return {kind.__module__.partition(".")[0] for kind in type(error).__mro__}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - py4j asks the JVM for the text, and the JVM may be gone
        return "the JVM has ended and took the error's text with it"


def _without_jvm_stack(text: str) -> str:
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not _JVM_FRAME.match(line)]
    if len(kept) == len(lines):
        return text
    return "".join(kept).rstrip("\n") + "\n(without the stack of the JVM, which --verbose shows)\n"
