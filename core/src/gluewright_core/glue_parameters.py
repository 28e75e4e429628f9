"""The parameters that Glue itself passes to a job, beside the job's own arguments.

Three groups: the documented names; names that begin like documented ones, so that a switch that Glue adds next year does
not fail a job that runs today; and, only on Glue, every other name of Glue's form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

READ_ON = date(2026, 11, 30)
"""When the lists below were last compared with their sources."""

# AWS Glue Developer Guide, "Using job parameters in AWS Glue jobs", "Using Python virtual environments with AWS Glue" and
# "Logging for AWS Glue jobs".
_OF_THE_GUIDE = """
    additional-python-modules auto-scale-within-microbatch class conf continuous-log-conversionPattern
    continuous-log-logGroup continuous-log-logStreamPrefix custom-logGroup-prefix custom-logStream-prefix
    customer-driver-env-vars customer-executor-env-vars datalake-formats debug disable-proxy-v2
    enable-auto-scaling enable-continuous-cloudwatch-log enable-continuous-log-filter enable-glue-datacatalog
    enable-job-insights enable-lakeformation-fine-grained-access enable-metrics enable-observability-metrics
    enable-rename-algorithm-v2 enable-s3-parquet-optimized-committer enable-spark-ui encryption-type endpoint
    executor-cores extra-files extra-jars extra-py-files job-bookmark-from job-bookmark-option job-bookmark-to
    job-language mode python-modules-installer-option python-virtual-env
    python-virtual-env-storage-prefix python-virtual-env-version scriptLocation spark-event-logs-path TempDir
    use-postgres-driver user-jars-first JOB_NAME
"""
# In none of these lists: the public `awsglue` package, "Getting and setting workflow run properties", Python shell jobs,
# the shuffle manager, and what the console writes into a job.
_FROM_ELSEWHERE = """
    JOB_ID JOB_RUN_ID SECURITY_CONFIGURATION WORKFLOW_NAME WORKFLOW_RUN_ID RedshiftTempDir continuation-option
    disable-proxy enable-data-lineage job-insights-byo-rules library-set write-shuffle-files-to-s3
    write-shuffle-spills-to-s3
"""
NAMES = frozenset(_OF_THE_GUIDE.split()) | frozenset(_FROM_ELSEWHERE.split())

# Only names with dashes, which are Glue's style, so that a misspelt argument of the job's own is not taken for one.
_FAMILIES = re.compile(
    r"(additional|auto-scale|continuous-log|custom-log\w+|customer|datalake|disable|enable|extra|glue|job|python|spark"
    r"|user-jars|write-shuffle)(-\w+)+|GLUE_\w+"
)
_FORM = re.compile(r"[a-z0-9]+(-\w+)+")


@dataclass(frozen=True)
class GlueParameters:
    """What Glue says about this run. Outside Glue nearly everything is None.

    Attributes:
        job_name: ``--JOB_NAME``.
        job_id: ``--JOB_ID``.
        job_run_id: ``--JOB_RUN_ID``; a retry has the suffix ``_attempt_<n>``.
        security_configuration: ``--SECURITY_CONFIGURATION``.
        workflow_name: ``--WORKFLOW_NAME``, in a workflow.
        workflow_run_id: ``--WORKFLOW_RUN_ID``, in a workflow.
        temp_dir: ``--TempDir``, or its older name ``--RedshiftTempDir``.
        bookmark_option: ``--job-bookmark-option``, also under its older name ``--continuation-option``.
        bookmark_from: ``--job-bookmark-from``, with a paused bookmark.
        bookmark_to: ``--job-bookmark-to``, with a paused bookmark.
        every: all of Glue's parameters that were given and are documented or begin like a documented one, by name without
            the dashes.
    """

    job_name: str | None = None
    job_id: str | None = None
    job_run_id: str | None = None
    security_configuration: str | None = None
    workflow_name: str | None = None
    workflow_run_id: str | None = None
    temp_dir: str | None = None
    bookmark_option: str = "job-bookmark-disable"
    bookmark_from: str | None = None
    bookmark_to: str | None = None
    every: Mapping[str, str | None] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_given(cls, given: Mapping[str, str | None]) -> GlueParameters:
        """Pick Glue's parameters out of what was given, by name without the leading dashes."""
        older = {"enabled": "job-bookmark-enable", "readonly": "job-bookmark-pause", "ignore": "job-bookmark-disable"}
        continuation = (given.get("continuation-option") or "").removeprefix("continuation-")
        return cls(
            job_name=given.get("JOB_NAME"),
            job_id=given.get("JOB_ID"),
            job_run_id=given.get("JOB_RUN_ID"),
            security_configuration=given.get("SECURITY_CONFIGURATION"),
            workflow_name=given.get("WORKFLOW_NAME"),
            workflow_run_id=given.get("WORKFLOW_RUN_ID"),
            temp_dir=given.get("TempDir") or given.get("RedshiftTempDir"),
            bookmark_option=given.get("job-bookmark-option") or older.get(continuation, "job-bookmark-disable"),
            bookmark_from=given.get("job-bookmark-from"),
            bookmark_to=given.get("job-bookmark-to"),
            every={name: value for name, value in given.items() if is_glues(name)},
        )


def is_glues(name: str) -> bool:
    """Return whether Glue documents this parameter or ones that begin like it; ``name`` without the leading dashes."""
    return name in NAMES or _FAMILIES.fullmatch(name) is not None


def has_glues_form(name: str) -> bool:
    """Return whether the name is written as Glue writes its own: words joined by dashes, such as ``job-language``."""
    return _FORM.fullmatch(name) is not None
