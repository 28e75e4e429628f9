"""Write what quarantine holds of a row: the row as it came, its problems, and whether it is written too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import types as T

from .nodes import ColumnPlan
from .problems import join_problems
from .sql import ddl, struct_sql
from .tags import withhold
from .terms import LANDED, PROBLEM, QUARANTINE, State
from .text import as_json


@dataclass(frozen=True)
class Landing:
    """What a reader of files passes on in the column `LANDED`.

    Attributes:
        field: that column; None if the rows have none.
    """

    field: T.StructField | None

    @property
    def has_problems(self) -> bool:
        """Whether rows may be unparsed."""
        kind = self.field.dataType if self.field else None
        return isinstance(kind, T.StructType) and "problems" in kind.names

    @property
    def unparsed(self) -> str:
        """The condition for a row that could not be parsed; empty if every row was."""
        return f"coalesce(size({LANDED}.problems), 0) > 0" if self.has_problems else ""


def quarantine_sql(problems: Sequence[str], columns: Sequence[ColumnPlan], landing: Landing, *, shown: bool) -> str:
    """Write a row of `QUARANTINE`, or NULL for a row that fits.

    Args:
        problems: arrays of problems, some of them NULL.
        columns: every planned column.
        landing: what the reader passes on.
        shown: whether what is unknown may be shown.
    """
    if not problems:
        return f"CAST(NULL AS {ddl(QUARANTINE)})"
    public = struct_sql((name, f"p.{name}") for name in PROBLEM.names)
    found = f"transform({join_problems(problems)}, p -> {public})"
    if landing.unparsed:
        found = f"if({landing.unparsed}, transform({LANDED}.problems, p -> {public}), {found})"
    incoming = sorted((column for column in columns if column.original), key=lambda column: column.place)
    parts = [(column.original, column.shown) for column in incoming]
    if landing.field:
        parts.append(("_gw_file", f"{LANDED}.file"))
    if landing.unparsed:
        record = f"{LANDED}.record"
        parts.append(("_gw_record", record if shown else withhold(record)))
    original = as_json(struct_sql(parts)) if parts else "'{}'"
    row = struct_sql([("original", original), ("problems", found), ("kept", f"state = {State.KEPT}")])
    return f"CASE WHEN state > {State.FITS} THEN {row} END"
