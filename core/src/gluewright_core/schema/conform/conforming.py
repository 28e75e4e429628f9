"""Bring rows to a contract without losing anything: plan it from the types alone, then write it as a few projections.

A plan pairs the incoming columns with the contract's. For each value, at any depth, it has two pieces of SQL: the cast, and
the proof that the cast lost nothing. From the proofs follows what becomes of a row: it is written, it is written without
some of its values, it goes to quarantine, or the job fails. Quarantine is written from the same pieces.

=================  =====================================================================================================
module             what it does
=================  =====================================================================================================
``conformed``      what is returned: rows, quarantine, counts, and the limits on them
``terms``          the words shared with callers: modes, problems, counts, rules
``plan``           the plan for all columns, and the projections that carry it out
``planner``        pairs columns and fields by name, and plans each by its types
``nodes``          what is planned for one value and for one column
``nested``         structs, arrays and maps
``values``         simple values: finds which reading takes one type to another
``reading``        what a reading is: a cast, its proof, and the reasons where it fails
``numbers``        readings of numbers, and of text as numbers
``times``          readings of dates and timestamps, and of text as those
``text``           readings as text, and how values stand in quarantine
``checks``         rules: SQL over a row, and columns whose values no two rows share
``quarantine``     what quarantine holds of a row
``problems``       problems as SQL
``tags``           tags in metadata, and withholding what is ``pii``
``sql``            literals, names, types and structs as SQL
=================  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from .conformed import Conformed
from .plan import PROBLEMS_COLUMN, Plan
from .quarantine import Landing
from .sql import quote
from .terms import LANDED, Check, ContractViolationError, Mode


def conform(
    rows: DataFrame,
    schema: T.StructType,
    *,
    dataset: str = "",
    values: Mode = Mode.DISCARD_ROW,
    columns: Mode = Mode.DISCARD_VALUE,
    key: Sequence[str] = (),
    unique_key: bool = False,
    problems: str = "",
    show_unknown: bool | None = None,
    checks: Sequence[Check] = (),
) -> Conformed:
    """Bring rows to a contract: what does not fit goes to quarantine, with a reason.

    Args:
        rows: from any source, text or typed.
        schema: the contract. Metadata of a field, at any depth: ``tags`` (``pii``, in any case, keeps values out of
            quarantine and messages; tags of the incoming fields count too), ``on_surprise`` (a `Mode` in place of
            ``values``; ``evolve`` for whole columns only), ``format`` (how dates and timestamps stand in text).
        dataset: its name, for messages.
        values: what happens to a value that does not fit.
        columns: what happens to an unknown column or struct field; with `Mode.DISCARD_ROW` a row where it is NULL passes.
        key: columns that must not be NULL.
        unique_key: send every row whose key another row has too to quarantine: all of them, since none is better than
            the others. Only rows that fit otherwise are compared. This shuffles the rows.
        problems: an incoming column of type ``array<struct>`` of `PROBLEM`, with what the caller found wrong with a row; a
            row with any goes to quarantine. The column itself is no part of the data, and neither is `LANDED`.
        show_unknown: whether quarantine has the values of columns and fields that the contract does not have. By default
            not if anything is tagged ``pii``: what is unknown may be personal data too.
        checks: rules over the contract's columns.

    Returns:
        Rows and quarantine, lazily.

    Raises:
        ContractViolationError: a required column is missing, an unknown one is frozen, names differ only by case or
            begin with ``_gw_``, or the contract contradicts itself.
    """
    landing = Landing(next((field for field in rows.schema if field.name == LANDED), None))
    try:
        plan = Plan(
            rows.drop(LANDED, *([problems] if problems else [])).schema,
            schema,
            values,
            columns,
            tuple(key),
            unique_key=unique_key,
            found_before=bool(problems) or landing.has_problems,
            landing=landing,
            zone=rows.sparkSession.conf.get("spark.sql.session.timeZone"),
            show_unknown=show_unknown,
            checks=tuple(checks),
        )
        judged, quarantined = plan.apply_to(_with_problems_last(rows, problems, landing))
    except ContractViolationError as broken:
        raise ContractViolationError(f"{dataset}: {broken}") if dataset else broken from None
    return Conformed(
        judged,
        tuple(plan.differences),
        dataset,
        plan.certain,
        tuple(plan.outputs),
        quarantined,
        plan.may_freeze,
        tuple(checks),
    )


def _with_problems_last(rows: DataFrame, problems: str, landing: Landing) -> DataFrame:
    """Put what was found before, by the caller and by the reader of files, behind the incoming columns."""
    found = [F.col(quote(problems))] if problems else []
    found += [F.col(f"{LANDED}.problems")] if landing.has_problems else []
    if not found and not landing.field:
        return rows
    every = found[0] if len(found) == 1 else F.flatten(F.array_compact(F.array(*found)))
    carried = [every.alias(PROBLEMS_COLUMN)] if found else []
    carried += [F.col(LANDED)] if landing.field else []
    incoming = rows.drop(LANDED, *([problems] if problems else []))
    return rows.select(*map(quote, incoming.columns), *carried)
