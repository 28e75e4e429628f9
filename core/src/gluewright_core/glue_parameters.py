"""The parameters that Glue itself passes to a job, beside the job's own arguments.

Names from the AWS Glue Developer Guide, "Using job parameters in AWS Glue jobs" and "Getting and setting workflow run
properties", and from the public `awsglue` package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Families, so that a switch that Glue adds next year does not fail a job that runs today.
# Only names with dashes, which are Glue's style, so that a misspelt argument of the job's own is not taken for one.
_FAMILIES = re.compile(r"(enable|continuous-log|custom-log\w+|job-bookmark|datalake|write-shuffle)(-\w+)+|GLUE_\w+")

NAMES = frozenset(
    {
        "JOB_NAME",
        "JOB_ID",
        "JOB_RUN_ID",
        "SECURITY_CONFIGURATION",
        "WORKFLOW_NAME",
        "WORKFLOW_RUN_ID",
        "TempDir",
        "RedshiftTempDir",
        "additional-python-modules",
        "auto-scale-within-microbatch",
        "class",
        "conf",
        "continuation-option",
        "customer-driver-env-vars",
        "customer-executor-env-vars",
        "datalake-formats",
        "debug",
        "disable-proxy",
        "disable-proxy-v2",
        "encryption-type",
        "executor-cores",
        "extra-files",
        "extra-jars",
        "extra-py-files",
        "job-bookmark-from",
        "job-bookmark-option",
        "job-bookmark-to",
        "job-language",
        "mode",
        "python-modules-installer-option",
        "scriptLocation",
        "spark-event-logs-path",
        "use-postgres-driver",
        "user-jars-first",
    }
)


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
        every: all of Glue's parameters that were given, by name without the dashes.
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
    """Say whether Glue gives this parameter a meaning of its own; ``name`` without the leading dashes."""
    return name in NAMES or _FAMILIES.fullmatch(name) is not None
