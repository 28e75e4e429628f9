"""Mask a folder or table by a policy's file and publish it as a table, as a job: no code needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pyspark.sql import functions as F

from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job, run
from gluewright_core.schema.files import form_of, load_contract, read_text, yaml_document
from gluewright_core.secret import Secret
from gluewright_core.tables import ALL, Kind, Replace, TableSpec, open_table
from gluewright_pii_masking.detect import DETECTORS, DetectorUnknown, found, hidden
from gluewright_pii_masking.masking import Change, Key, MaskingError, Policy, PolicyInvalid, mask, rotation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType


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
    old_key: Annotated[Secret | None, "The key until now; the pairs of old and new tokens become <target>_rotation."] = None
    old_key_id: Annotated[str, "The name of the key until now."] = "k0"
    contract: Annotated[str, "Path of the source's contract, if the policy goes by tags that the data does not carry."] = ""
    partition_by: Annotated[list[str], "The columns that partition the table."] = field(default_factory=list)
    location: Annotated[str, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    replace: Annotated[Replace, "The whole table, or the partitions that have rows now."] = ALL


def main(job: Job[Arguments]) -> None:
    """Read, mask, publish."""
    with job.step("mask") as step:
        if job.arguments.old_key:
            save_rotation(rotated(load_rows(job), job.arguments), job)
        rows = step.counting(load_rows(job), "read")
        step.add(written=save_masked(masked(rows, job.arguments), job))


def load_rows(job: Job[Arguments]) -> DataFrame:
    """Read the source."""
    source = job.arguments.source
    return job.spark.read.parquet(source) if "/" in source else job.spark.table(source)


def masked(rows: DataFrame, asked: Arguments) -> DataFrame:
    """Apply the policy."""
    with refusals(asked.policy):
        return mask(rows, policy_of(asked), key=key_of(asked.key_id, asked.key), declared=declared_by(asked))


def rotated(rows: DataFrame, asked: Arguments) -> DataFrame:
    """Pair the tokens of the key until now with those of the new one."""
    with refusals(asked.policy):
        old, new = key_of(asked.old_key_id, asked.old_key), key_of(asked.key_id, asked.key)
        if not (old and new):
            raise MaskingRefused("--old_key needs --key: the tokens of the one are paired with those of the other")
        return rotation(rows, policy_of(asked), old=old, new=new, declared=declared_by(asked))


def declared_by(asked: Arguments) -> StructType | None:
    """Read the schema whose tags count, if there is one beside the data's own."""
    return load_contract(asked.contract).struct if asked.contract else None


def policy_of(asked: Arguments) -> Policy:
    """Read the policy out of its file."""
    document = {"name": asked.source, **policy_document(asked.policy)}
    return Policy.from_document(document, more={"hide_found": hide_found})


def hide_found(kinds: Sequence[str] = tuple(DETECTORS)) -> Change:
    """Hide what detectors find inside free text."""
    try:
        found(F.lit(""), kinds)
    except DetectorUnknown as error:
        raise PolicyInvalid(f"hide_found: {error}") from None
    return Change(lambda text: hidden(text, kinds))


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


def key_of(name: str, secret: Secret | None) -> Key | None:
    """Read a key out of its secret."""
    return Key.from_base64(name, secret.reveal()) if secret else None


def save_rotation(pairs: DataFrame, job: Job[Arguments]) -> None:
    """Publish the pairs of tokens beside the target, before the rows with the new ones."""
    asked = job.arguments
    location = f"{asked.location.rstrip('/')}_rotation" if asked.location else ""
    table = TableSpec(f"{asked.target}_rotation", pairs.schema, (), location, f"Tokens of {asked.target}: old and new.")
    open_table(job.spark, table, asked.catalog).publish(pairs, run=job.run.id, replace=ALL)


def save_masked(rows: DataFrame, job: Job[Arguments]) -> int:
    """Publish the masked rows and return how many they are."""
    asked = job.arguments
    table = TableSpec(asked.target, rows.schema, tuple(asked.partition_by), asked.location, f"Masked from {asked.source}.")
    return open_table(job.spark, table, asked.catalog).publish(rows, run=job.run.id, replace=asked.replace).rows


if __name__ == "__main__":
    run(main, Arguments)
