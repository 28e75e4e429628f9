"""Mask a folder or table by a policy's file and publish it as a table, as a job: no code needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job, run
from gluewright_core.schema.files import form_of, load_contract, read_text, yaml_document
from gluewright_core.secret import Secret
from gluewright_core.tables import ALL, Kind, Replace, TableSpec, open_table
from gluewright_pii_masking.masking import Key, MaskingError, Policy, mask

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class MaskingRefused(GluewrightError):  # noqa: N818
    """The policy or the key does not fit. Nothing was read or published."""


@dataclass(frozen=True)
class Arguments:
    """Masks a folder or table by a policy that names every column, and publishes it as another table."""

    source: Annotated[str, "Folder of Parquet files, or database.table."]
    target: Annotated[str, "The table: database.table, for iceberg catalog.database.table."]
    policy: Annotated[str, "Path of the policy (.yaml or .json)."]
    key: Annotated[Secret | None, "Where the key lies, in base64; needed for tokens and encryption."] = None
    key_id: Annotated[str, "The name by which tokens and ciphertexts tell the key; another for each key."] = "k1"
    contract: Annotated[str, "Path of the source's contract, if the policy goes by tags that the data does not carry."] = ""
    partition_by: Annotated[list[str], "The columns that partition the table."] = field(default_factory=list)
    location: Annotated[str, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    replace: Annotated[Replace, "The whole table, or the partitions that have rows now."] = ALL


def main(job: Job[Arguments]) -> None:
    """Read, mask, publish."""
    with job.step("mask") as step:
        rows = step.counting(load_rows(job), "read")
        step.add(written=save_masked(masked(rows, job.arguments), job))


def load_rows(job: Job[Arguments]) -> DataFrame:
    """Read the source."""
    source = job.arguments.source
    return job.spark.read.parquet(source) if "/" in source else job.spark.table(source)


def masked(rows: DataFrame, asked: Arguments) -> DataFrame:
    """Apply the policy."""
    declared = load_contract(asked.contract).struct if asked.contract else None
    with refusals(asked.policy):
        policy = Policy.from_document({"name": asked.source, **policy_document(asked.policy)})
        return mask(rows, policy, key=key_of(asked), declared=declared)


@contextmanager
def refusals(where: str) -> Iterator[None]:
    """Have an error of the policy end the job with one line that names its file."""
    try:
        yield
    except MaskingError as error:
        raise MaskingRefused(f"{where}: {error}") from None


def policy_document(path: str) -> Mapping[str, Any]:
    """Read the policy's file."""
    text = read_text(path)
    try:
        document = yaml_document(text, path)[0] if form_of(path) == "yaml" else json.loads(text)
    except json.JSONDecodeError as error:
        raise MaskingRefused(f"{path}: it is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise MaskingRefused(f"{path}: a policy is a mapping with columns, tags, unlisted and name")
    return document


def key_of(asked: Arguments) -> Key | None:
    """Read the key out of its secret."""
    return Key.from_base64(asked.key_id, asked.key.reveal()) if asked.key else None


def save_masked(rows: DataFrame, job: Job[Arguments]) -> int:
    """Publish the masked rows and return how many they are."""
    asked = job.arguments
    table = TableSpec(asked.target, rows.schema, tuple(asked.partition_by), asked.location, f"Masked from {asked.source}.")
    return open_table(job.spark, table, asked.catalog).publish(rows, run=job.run.id, replace=asked.replace).rows


if __name__ == "__main__":
    run(main, Arguments)
