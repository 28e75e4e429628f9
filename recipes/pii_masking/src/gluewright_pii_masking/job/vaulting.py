"""Issue a job's tokens into its vault: consistent when a run is repeated, and when several run at once."""

from __future__ import annotations

import itertools
import random
import time
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.errors import ConcurrentUpdateError, GluewrightError
from gluewright_core.tables import ALL, Kind, Table, TableSpec, open_table
from gluewright_pii_masking import Key, rekeyed
from gluewright_pii_masking.vault import VAULT, issued

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ATTEMPTS = 20
PAUSE_SECONDS = 0.5


class VaultRefusedError(GluewrightError):
    """The vault cannot be used as it is. Nothing was published."""


def open_vault(spark: SparkSession, name: str, location: str, kind: Kind) -> Table:
    """Open the vault's table; it need not exist yet.

    Args:
        spark: the session.
        name: ``database.table``.
        location: of its files.
        kind: how it is kept.

    Raises:
        VaultRefusedError: a bare folder, of which readers may see a half.
    """
    if kind is Kind.FOLDER:
        raise VaultRefusedError(
            f"{name}: a vault is a table of a catalog, not a bare folder; choose parquet, iceberg or delta"
        )
    schema = StructType([StructField(column, StringType()) for column in (*VAULT, "run")])
    return open_table(spark, TableSpec(name, schema, ("run",), location, "Vault tokens and what they stand for."), kind)


def filled(vault: Table, entries: DataFrame, *, key: Key, old_key: Key | None, run: str) -> DataFrame:
    """Add the tokens that are missing, and return the vault with all of them.

    Each publish adds a partition of its own, on the condition that nothing was published since the vault was read: of two
    runs one begins again and finds the other's tokens. A run that died after its publish finds its own.

    Args:
        vault: of :func:`open_vault`.
        entries: of `vault_entries`.
        key: that they were made with.
        old_key: the key until now, if it is exchanged.
        run: the logical run's id.

    Raises:
        VaultRefusedError: the vault has entries of another key.
        ConcurrentUpdateError: other runs were faster every time.
    """
    kept = entries.persist()  # look-ups and ciphertexts
    try:
        for attempt in itertools.count(1):
            try:
                if _complete(vault, kept, key, old_key, run):
                    return vault.read()
            except ConcurrentUpdateError:
                if attempt >= ATTEMPTS:
                    raise
                time.sleep(random.uniform(1, 2) * PAUSE_SECONDS)  # noqa: S311 - no secret
    finally:
        kept.unpersist()
    raise AssertionError("attempts are counted for ever")


def _complete(vault: Table, entries: DataFrame, key: Key, old_key: Key | None, run: str) -> bool:
    """Tell whether nothing is missing; else add it, and let the caller look again."""
    since = vault.begin(run)
    known = vault.read()
    # A run that has published before, and now has other rows or another key, publishes under one more name.
    names = (run if number == 1 else f"{run}-{number}" for number in itertools.count(1))
    name = next(name for name in names if not vault.published(name))
    used = {row[0] for row in known.select(F.substring_index("lookup", ".", 1)).distinct().collect()}
    if others := used - {key.id}:
        if old_key is None or others != {old_key.id} or len(used) > 1:
            raise VaultRefusedError(
                f"{vault.spec.name}: it has entries of key {', '.join(sorted(others))}, and the key is {key.id}; give the "
                "vault's key, or that one as the old key to exchange it"
            )
        renewed = rekeyed(known, old=old_key, new=key)
        vault.publish(renewed, run=name, replace=ALL, since=since)
        return False
    new = issued(entries, known)
    if new.isEmpty():
        return True
    vault.publish(new.withColumn("run", F.lit(name)), run=name, replace=[{"run": name}], since=since)
    return False
