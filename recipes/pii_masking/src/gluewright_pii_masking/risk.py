# gluewright-pii-masking 0.1.0 risk.py
# SPDX-License-Identifier: Apache-2.0
"""Tell how easily people are found again in masked rows, by columns that anyone may know of them.

Rows that agree in the *quasi-identifiers* (year of birth, sex, the first digits of the postal code) are a group. The
smallest group is **k**: whoever knows these of a person has k rows to choose from (Samarati and Sweeney, "Protecting Privacy
when Disclosing Information: k-Anonymity and its Enforcement through Generalization and Suppression", 1998). In a group in
which all have one diagnosis nobody has to choose: the fewest different values of a sensitive column in a group is its **l**
(distinct l-diversity of Machanavajjhala, Kifer, Gehrke and Venkitasubramaniam, "l-Diversity: Privacy Beyond k-Anonymity",
2006).

Example:
    >>> reidentification(masked, ["born", "sex", "area"], sensitive=["diagnosis"]).show()        # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from .errors import MaskingError


class InvalidReportError(MaskingError):
    """The report is asked for columns that are not there, or for none."""


def reidentification(
    rows: DataFrame, quasi_identifiers: Sequence[str], *, sensitive: Sequence[str] = (), wanted_k: int = 5
) -> DataFrame:
    """Report how small groups are. NULL counts as a value, because it tells as much as one.

    Args:
        rows: masked rows, one for each person. Several rows of a person make groups look bigger than they are.
        quasi_identifiers: top-level columns that may be known from elsewhere.
        sensitive: top-level columns that should not be learnt.
        wanted_k: the size of a group that is enough.

    Returns:
        One row: ``rows``; ``groups``; ``k``, the rows of the smallest group; ``alone``, the rows that are a group by
        themselves; ``below``, the rows in groups smaller than ``wanted_k``; ``l``, a struct with the fewest different values
        in a group of each sensitive column, NULL if none is asked for. Without rows ``k`` and what is in ``l`` are NULL.

    Raises:
        InvalidReportError: a column is not there, no quasi-identifier is given, or ``wanted_k`` is below 2.
    """
    missing = [name for name in [*quasi_identifiers, *sensitive] if name not in rows.columns]
    if missing:
        raise InvalidReportError(f"there is no column {missing[0]}; there are {', '.join(rows.columns)}")
    if not quasi_identifiers or wanted_k < 2:
        raise InvalidReportError(f"give at least one quasi-identifier and a wanted_k from 2, not {wanted_k}")
    known = [_column(name).alias(f"q{place}") for place, name in enumerate(quasi_identifiers)]
    learnt = [_column(name).alias(f"s{place}") for place, name in enumerate(sensitive)]
    values = [_different(f"s{place}").alias(f"l{place}") for place in range(len(sensitive))]
    grouped = rows.select(*known, *learnt).groupBy(*(f"q{place}" for place in range(len(known))))
    groups = grouped.agg(F.count(F.lit(1)).alias("n"), *values)
    smallest = [F.min(f"l{place}").alias(name) for place, name in enumerate(sensitive)]
    return groups.agg(
        _total(F.col("n")).alias("rows"),
        F.count(F.lit(1)).alias("groups"),
        F.min("n").alias("k"),
        _total(F.when(F.col("n") == 1, 1)).alias("alone"),
        _total(F.when(F.col("n") < wanted_k, F.col("n"))).alias("below"),
        (F.struct(*smallest) if smallest else F.lit(None)).alias("l"),
    )


def _different(name: str) -> Column:
    return F.countDistinct(name) + F.max(F.col(name).isNull().cast("int"))


def _total(number: Column) -> Column:
    return F.coalesce(F.sum(number.cast("bigint")), F.lit(0).cast("bigint"))


def _column(name: str) -> Column:
    return F.col(f"`{name.replace('`', '``')}`")
