"""A job is a function and a frozen dataclass of typed arguments; the same file runs on Glue, with spark-submit and python.

    @dataclass(frozen=True)
    class Arguments:
        source: Annotated[str, "The folder to read."]
        limit: Annotated[int, "At most so many rows."] = 1000

    def main(job: Job[Arguments]) -> None:
        with job.step("load") as step:
            rows = step.counting(job.spark.read.csv(job.arguments.source), "read")
            ...

    if __name__ == "__main__":
        run(main, Arguments)

A run that fails raises what failed it, unchanged, so that Glue, spark-submit and a shell all see a failed run.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gluewright_core import session as sessions
from gluewright_core.arguments import CommandLine, Unknown, read_command_line
from gluewright_core.errors import InvalidArgumentsError
from gluewright_core.explaining import described, explain_errors_in_one_line, frames
from gluewright_core.logs import RunIdentity, logging_for
from gluewright_core.progress import Meter, metering, watching_spark
from gluewright_core.secret import masked
from gluewright_core.summary import RunSummary, Step, write_summary

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

A = TypeVar("A")
# A main for some arguments serves a job whose arguments class extends theirs.
A_co = TypeVar("A_co", covariant=True)
_ATTEMPT = re.compile(r"(?P<run>.+?)(?:_attempt_(?P<attempt>\d+))?")
# A run's id becomes part of paths and of catalog properties.
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Job(Generic[A_co]):
    """What a job's main function is given. `run` makes it.

    Attributes:
        arguments: the job's own arguments.
        glue: Glue's parameters.
        run: the run's identity: job, logical run, attempt.
        log: for the job's own log lines; each carries the identity.
        summary: the steps so far and their counts.
    """

    def __init__(
        self, line: CommandLine[A_co], run: RunIdentity, log: logging.Logger, conf: Mapping[str, str] | None
    ) -> None:
        self.arguments = line.arguments
        self.glue = line.glue
        self.run = run
        self.log = log
        self.summary = RunSummary(run)
        self._conf = conf
        self._session: sessions.Session | None = None

    @property
    def spark(self) -> SparkSession:
        """The Spark session, started when first used."""
        return self._started().spark

    @property
    def glue_context(self) -> Any:
        """Glue's ``GlueContext``, or None outside Glue."""
        return self._started().glue_context

    @contextmanager
    def step(self, name: str, *, changes_grain: bool = False) -> Iterator[Step]:
        """Do one step of the job: it is timed, shows Spark's progress, and its counts end up in the summary.

        Args:
            name: what the step does.
            changes_grain: rows read and rows written are different things (an aggregation, an explode), so their
                numbers are not compared.

        Yields:
            The step, to count rows with.

        Raises:
            CountMismatchError: the step is over and its counts disagree.
        """
        step = Step(name, changes_grain=changes_grain)
        self.summary.steps.append(step)
        self.log.info("%s ...", name, extra={"step": name})
        began = time.monotonic()
        try:
            with watching_spark(self._context, name):
                yield step
        finally:
            step.seconds = round(time.monotonic() - began, 3)
        step.resolve()
        self.log.info("%s: done in %.1f s", name, step.seconds, extra={"step": name, **step.counts()})
        step.check()

    def progress(self, total: int | None, what: str) -> AbstractContextManager[Meter]:
        """Show progress of something that is not Spark's; the body calls `Meter.advance`.

        Args:
            total: how much there is to do; None if nobody knows.
            what: what advances, for people: ``files copied``.
        """
        return metering(total, what)

    def _started(self) -> sessions.Session:
        if self._session is None:
            self._session = sessions.start(self.run.job, self.glue, self._conf)
        return self._session

    def _context(self) -> SparkContext | None:
        return None if self._session is None else self._session.spark.sparkContext


Main = Callable[[Job[A]], object]
Hook = Callable[[Job[A], BaseException], object]


def run(
    main: Main[A],
    arguments: type[A],
    *,
    argv: Sequence[str] | None = None,
    on_failure: Sequence[Hook[A]] = (),
    conf: Mapping[str, str] | None = None,
    unknown: Unknown = "refuse",
) -> RunSummary:
    """Run a job: read its arguments, call ``main``, check the counts, commit on Glue, and tell how it went.

    Beside the job's own arguments a run understands ``--run_id`` (the logical run; without it Glue's, or a new one that
    sorts by time), ``--summary`` (where to write the counts as JSON), ``--verbose`` and ``--help``. A job that declares
    one of the first three has it for itself.

    Run as a script (``argv`` is None), an error of gluewright's own, or a common one of Spark, Java or boto3, ends the
    process with one line instead of a traceback: with status 2 for wrong arguments, else 1. Other errors show their
    traceback without the stack of the JVM, and status 1. With ``--verbose`` everything is shown.

    Args:
        main: the job.
        arguments: the frozen dataclass of its arguments.
        argv: the command line without the script's name; by default the process's own.
        on_failure: called with the job and the error when the run fails, also when it is interrupted. A hook that fails
            is logged and hides neither the error nor the other hooks.
        conf: Spark settings for a session that is started outside Glue.
        unknown: ``refuse`` fails a run with arguments that are neither the job's nor Glue's; ``ignore`` logs their names and
            goes on, for a job that is started with the leftovers of another one.

    Returns:
        The summary of a run that succeeded.

    Raises:
        InvalidArgumentsError: before anything else happened.
        CountMismatchError: a step lost or doubled rows.
        BaseException: whatever ``main`` raised, unchanged. Leaving it by ``sys.exit(0)`` is success.
    """
    if argv is None:
        explain_errors_in_one_line()
    line = read_command_line(sys.argv[1:] if argv is None else argv, arguments, unknown=unknown)
    if argv is None and line.options.verbose:
        explain_errors_in_one_line(verbose=True)
    identity = _identity(line, main)
    with logging_for(identity) as log:
        job = Job(line, identity, log, conf)
        if line.ignored:
            log.warning("ignored %s: no argument of this job", ", ".join(line.ignored), extra={"ignored": line.ignored})
        try:
            _succeed(job, main, line.options.summary)
        except BaseException as error:
            _fail(job, error, on_failure, line.options.summary)
            raise
        finally:
            if job._session is not None:
                job._session.stop()
    return job.summary


def _succeed(job: Job[A], main: Main[A], summary_path: str | None) -> None:
    if sessions.expects_glue(job.glue):
        # Glue's bookmarks have to know of the job before it reads anything.
        job._started()
    try:
        main(job)
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            raise
    summary = job.summary
    summary.resolve()
    summary.check()
    _finish(summary, None)
    if summary_path:
        write_summary(summary, summary_path)
    if job._session is not None:
        job._session.commit()
    _tell(job, None)


def _fail(job: Job[A], error: BaseException, hooks: Sequence[Hook[A]], summary_path: str | None) -> None:
    """Do what a failure asks for. Nothing in here may hide the error."""
    summary = job.summary
    _finish(summary, error)
    _attempt(job, "the counts", summary.resolve)
    for hook in hooks:
        name = getattr(hook, "__name__", repr(hook))
        _attempt(job, f"the failure hook {name}", lambda hook=hook: hook(job, error))  # type: ignore[misc]
    if summary_path:
        _attempt(job, f"the summary {summary_path}", lambda: write_summary(summary, summary_path))
    _attempt(job, "the summary", lambda: _tell(job, error))


def _attempt(job: Job[A], what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except BaseException:
        job.log.exception("%s failed too", what)


def _finish(summary: RunSummary, error: BaseException | None) -> None:
    summary.status = "succeeded" if error is None else "failed"
    summary.error = None if error is None else masked(described(error))
    summary.finished = datetime.now(UTC)


def _tell(job: Job[A], error: BaseException | None) -> None:
    summary = job.summary
    if summary.steps:
        sys.stderr.write(f"{summary.as_table()}\n")
    seconds = ((summary.finished or summary.started) - summary.started).total_seconds()
    details = {key: value for key, value in summary.as_dict().items() if key in {"status", "error", "steps"}}
    if error is None:
        job.log.info("succeeded after %.1f s", seconds, extra=details)
    else:
        # As a field: the traceback, or the line that stands for it, is printed when the process ends.
        details["exception"] = frames(error)
        job.log.error("failed after %.1f s (%s)", seconds, type(error).__name__, extra=details)


def _identity(line: CommandLine[A], main: Main[A]) -> RunIdentity:
    name = line.glue.job_name or _script_name(main)
    glues = _ATTEMPT.fullmatch(line.glue.job_run_id or "")
    attempt = int(glues["attempt"] or 0) if glues else 0
    run_id = line.options.run_id or (glues["run"] if glues else _new_id())
    if not _SAFE_ID.fullmatch(run_id):
        raise InvalidArgumentsError(f"--run_id: given {run_id!r}, expected letters, digits, and . _ - after the first")
    return RunIdentity(name, run_id, attempt)


def _new_id() -> str:
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{os.urandom(4).hex()}"


def _script_name(main: Main[A]) -> str:
    module = getattr(main, "__module__", "__main__")
    if module != "__main__":
        return module
    # With `python -m package.job` the module's own name says more than its file's.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).stem or "job"
