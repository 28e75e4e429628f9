"""What leaves the house: flights and planes with tokens in place of tail numbers, and the figures of a month as one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gluewright_core.effects import effect
from gluewright_core.errors import GluewrightError
from gluewright_core.schema import Column, Contract, Mode
from gluewright_core.secret import Secret
from gluewright_flights.on_time import month_of
from gluewright_pii_masking import Keep, Key, MaskingError, Policy, Token, mask

if TYPE_CHECKING:
    from gluewright_single_file_output import SingleFile

_TOKEN = Token(length=16)
_KEPT = (
    "dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight origin dest air_time distance hour"
    " minute time_hour dt"
)
FLIGHTS_POLICY = Policy({**dict.fromkeys(_KEPT.split(), Keep()), "tailnum": _TOKEN})
"""A tail number leads to the plane's owner in a public register. A column that is not named here stops the job."""
_PLANE = "year type manufacturer model engines seats speed engine"
PLANES_POLICY = Policy({**dict.fromkeys(_PLANE.split(), Keep()), "tailnum": _TOKEN})
"""The same token in both tables, so that they join as the tail numbers do."""

PLANES = Contract("planes", tuple(Column(name, "string") for name in ("tailnum", *_PLANE.split())), values=Mode.FREEZE)
"""A row of the reference table, as it is sent. One that cannot be read fails the job."""


class SharingRefusedError(GluewrightError):
    """The key is none to make tokens with. Nothing was read or published."""


def sharing_key(secret: Secret) -> Key:
    """Read the key that makes the tokens.

    Args:
        secret: where it lies, in base64.

    Raises:
        SharingRefusedError: it is too short, or not base64.
    """
    try:
        return Key.from_base64("flights1", secret.reveal())
    except MaskingError as error:
        raise SharingRefusedError(f"share_key: {error}") from error


def shared_flights(flights: DataFrame, key: Key) -> DataFrame:
    """Return flights to be shared, with their month.

    Args:
        flights: with the contract's columns.
        key: makes the tokens.
    """
    return mask(flights, FLIGHTS_POLICY, key=key).withColumn("month", F.expr(month_of("dt")))


def shared_planes(planes: DataFrame, key: Key) -> DataFrame:
    """Return planes to be shared.

    Args:
        planes: of the schema `PLANES`.
        key: makes the tokens.
    """
    return mask(planes, PLANES_POLICY, key=key)


def handed_over(on_time: DataFrame, month: str, folder: str, run: str) -> SingleFile:
    """Write the figures of a month as ``on_time_<month>.csv``, with a control file.

    Args:
        on_time: rows of the month.
        month: such as ``2013-02``.
        folder: where; a path or an S3 URI.
        run: the run's id.
    """
    # Needs boto3, which comes with Glue, and not with every Spark.
    from gluewright_single_file_output import write_single_file  # noqa: PLC0415

    target = f"{folder.rstrip('/')}/on_time_{month}.csv"
    return write_single_file(on_time, target, order_by=["carrier", "origin"], run=run, effect=effect)
