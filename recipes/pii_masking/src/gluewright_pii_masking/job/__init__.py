"""Mask a folder or table by a policy's file and publish it as a table, as a job: no code needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from pyspark.sql import functions as F

from gluewright_core.errors import GluewrightError
from gluewright_core.job import Job
from gluewright_core.locations import LOCATION
from gluewright_core.schema.files import form_of, load_contract, read_text, yaml_document
from gluewright_core.secret import Secret
from gluewright_core.tables import ALL, Kind, Replace, TableSpec, open_table
from gluewright_pii_masking import (
    Change,
    InvalidPolicyError,
    Key,
    MaskingError,
    Policy,
    hidden_columns,
    mask,
    rotation,
    vault_columns,
    vault_entries,
)
from gluewright_pii_masking.detect import DETECTORS, UnknownDetectorError, found, hidden
from gluewright_pii_masking.job.vaulting import filled, open_vault
from gluewright_pii_masking.leaks import InvalidLeakCheckError, leaks
from gluewright_pii_masking.vault import exchanged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType


class MaskingRefusedError(GluewrightError):
    """The policy or the key does not fit. Nothing was read or published."""


class PlainValuesFoundError(GluewrightError):
    """Values that should be gone are in the masked rows. Nothing was published."""


class LeakCheck(Enum):
    """How much of the masked rows is searched for the plain values before they are published."""

    none = "none"
    sampled = "sampled"
    full = "full"


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
    vault: Annotated[str, "The table that keeps vault tokens: database.table."] = ""
    vault_location: Annotated[str, LOCATION, "Folder of the vault's files; iceberg may leave it to its catalog."] = ""
    leak_check: Annotated[LeakCheck, "Search the masked rows for plain values first; the policy may ask for more."] = (
        LeakCheck.none
    )
    leak_columns: Annotated[list[str], "The plain columns to search for; by default what is dropped, redacted or keyed."] = (
        field(default_factory=list)
    )
    leak_shortest: Annotated[int, "Shorter values are not searched for: they occur by chance."] = 5
    leak_fraction: Annotated[float, "With sampled: how much of the masked rows is searched."] = 0.01
    contract: Annotated[str, "Path of the source's contract, if the policy goes by tags that the data does not carry."] = ""
    partition_by: Annotated[list[str], "The columns that partition the table."] = field(default_factory=list)
    location: Annotated[str, LOCATION, "Folder of the table's files; iceberg may leave it to its catalog."] = ""
    catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET
    replace: Annotated[Replace, "The whole table, or the partitions that have rows now."] = ALL


def main(job: Job[Arguments]) -> None:
    """Read, mask, publish."""
    with job.step("mask") as step:
        if job.arguments.old_key:
            save_rotation(rotated(load_rows(job), job.arguments), job)
        rows = step.counting(load_rows(job), "read")
        step.add(written=save_masked(with_vault_tokens(masked(rows, job.arguments), job), job))


def load_rows(job: Job[Arguments]) -> DataFrame:
    """Read the source."""
    source = job.arguments.source
    return job.spark.read.parquet(source) if "/" in source else job.spark.table(source)


def masked(rows: DataFrame, asked: Arguments) -> DataFrame:
    """Apply the policy."""
    with refusals(asked.policy):
        return mask(rows, policy_of(asked), key=key_of(asked.key_id, asked.key), declared=declared_by(asked))


def with_vault_tokens(rows: DataFrame, job: Job[Arguments]) -> DataFrame:
    """Issue the tokens that the vault lacks, and put them in their places."""
    asked, plain = job.arguments, load_rows(job)
    with refusals(asked.policy):
        policy, declared = policy_of(asked), declared_by(asked)
        columns = vault_columns(plain, policy, declared=declared)
        if bool(columns) != bool(asked.vault):
            told = f"{columns[0]} has one" if columns else "no column has one"
            raise MaskingRefusedError(f"{asked.policy}: --vault names the table of vault tokens, and {told}")
        key = key_of(asked.key_id, asked.key)
        if not columns or key is None:
            return rows
        entries = vault_entries(plain, policy, key=key, declared=declared)
        vault = open_vault(job.spark, asked.vault, asked.vault_location, asked.catalog)
        known = filled(vault, entries, key=key, old_key=key_of(asked.old_key_id, asked.old_key), run=job.run.id)
    return exchanged(rows, columns, known)


def rotated(rows: DataFrame, asked: Arguments) -> DataFrame:
    """Pair the tokens of the key until now with those of the new one."""
    with refusals(asked.policy):
        old, new = key_of(asked.old_key_id, asked.old_key), key_of(asked.key_id, asked.key)
        if not (old and new):
            raise MaskingRefusedError("--old_key needs --key: the tokens of the one are paired with those of the other")
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
    except UnknownDetectorError as error:
        raise InvalidPolicyError(f"hide_found: {error}") from None
    return Change(lambda text: hidden(text, kinds))


@contextmanager
def refusals(where: str) -> Iterator[None]:
    """Have an error of the policy end the job with one line that names its file."""
    try:
        yield
    except MaskingError as error:
        raise MaskingRefusedError(f"{where}: {error}") from None


def policy_document(path: str) -> Mapping[str, Any]:
    """Read the policy's file."""
    text = read_text(path)
    try:
        document = yaml_document(text, path)[0] if form_of(path) == "yaml" else json.loads(text)
    except json.JSONDecodeError as error:
        raise MaskingRefusedError(f"{path}: it is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise MaskingRefusedError(f"{path}: a policy is a mapping with columns, tags, unlisted, name and leak_check")
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
    spec = TableSpec(asked.target, rows.schema, tuple(asked.partition_by), asked.location, f"Masked from {asked.source}.")
    table = open_table(job.spark, spec, asked.catalog)
    if leak_check_of(asked) is LeakCheck.none:
        return table.publish(rows, run=job.run.id, replace=asked.replace).rows
    if done := table.published(job.run.id):
        return done.rows
    # What is searched is what will be published, and is not computed twice.
    staging = table.stage(rows, run=job.run.id, replace=asked.replace)
    try:
        refuse_leaks(staging.rows, job)
    except Exception:
        staging.discard()
        raise
    return staging.publish().rows


def leak_check_of(asked: Arguments) -> LeakCheck:
    """Return the stricter of what the argument and the policy ask for."""
    with refusals(asked.policy):
        wanted = LeakCheck(policy_of(asked).leak_check)
    strictness = list(LeakCheck)
    return max(asked.leak_check, wanted, key=strictness.index)


def refuse_leaks(rows: DataFrame, job: Job[Arguments]) -> None:
    """Stop when a plain value is in the masked rows."""
    asked, plain = job.arguments, load_rows(job)
    with refusals(asked.policy):
        columns = asked.leak_columns or hidden_columns(plain, policy_of(asked), declared=declared_by(asked))
    if not columns:
        raise MaskingRefusedError(f"{asked.policy}: it hides no column whole; name with --leak_columns what to search for")
    fraction = asked.leak_fraction if leak_check_of(asked) is LeakCheck.sampled else None
    try:
        found = leaks(plain, rows, columns, shortest=asked.leak_shortest, fraction=fraction).collect()
    except InvalidLeakCheckError as error:
        raise MaskingRefusedError(f"--leak_check: {error}") from None
    if found:
        told = "; ".join(f"{row.found_in} has {row['values']} values of {row.value_of}" for row in found)
        raise PlainValuesFoundError(f"{asked.target}: plain values came through: {told}; mask these columns, then run again")
