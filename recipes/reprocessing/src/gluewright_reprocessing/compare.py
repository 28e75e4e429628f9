# gluewright-reprocessing 0.1.0 compare.py
# SPDX-License-Identifier: Apache-2.0
"""New rows of a partition beside its old ones, and whether they may take their place.

:func:`diff` pairs rows by key and says of each what became of it; :func:`counted` makes figures of that that add up.
:func:`check` looks for what must not be published: too few rows, a key that is NULL or not unique, a condition that does
not hold. Each is one pass, and neither puts a value of a row into what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

ADDED, REMOVED, CHANGED, SAME, AMBIGUOUS = "added", "removed", "changed", "same", "ambiguous"


class InvalidCompareError(ValueError):
    """Rows cannot be compared or checked as asked; the message names the column and says what to do."""


@dataclass(frozen=True)
class Changes:
    """Figures of a comparison, which add up.

    - old rows = removed + changed + same + ambiguous_before
    - new rows = added + changed + same + ambiguous_after

    Attributes:
        added: new rows whose key is not among the old ones.
        removed: old rows whose key is not among the new ones.
        changed: rows with the same key and other values.
        same: rows with the same key and the same values.
        ambiguous_before: old rows whose key is on both sides, and on one of them more than once.
        ambiguous_after: new rows of these keys.
        columns: how often each column changed, those that never did left out.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    same: int = 0
    ambiguous_before: int = 0
    ambiguous_after: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)

    @property
    def before(self) -> int:
        """The number of old rows."""
        return self.removed + self.changed + self.same + self.ambiguous_before

    @property
    def after(self) -> int:
        """The number of new rows."""
        return self.added + self.changed + self.same + self.ambiguous_after

    def as_json(self) -> dict[str, Any]:
        """Return the figures as a ledger keeps them."""
        return asdict(self)

    def __str__(self) -> str:
        """Say it in a line."""
        figures = f"{self.added:,} added, {self.removed:,} removed, {self.changed:,} changed, {self.same:,} same"
        if ambiguous := self.ambiguous_before + self.ambiguous_after:
            figures += f", {ambiguous:,} not compared (key not unique)"
        columns = ", ".join(f"{name} {count:,}" for name, count in sorted(self.columns.items(), key=lambda each: -each[1]))
        return f"{figures} ({columns})" if columns else figures


@dataclass(frozen=True)
class Checks:
    """What new rows must fulfil.

    Attributes:
        key: columns that together tell one row from another: never NULL, and unique.
        at_least: the least number of rows, as a share of the old ones: 0.9.
        at_most: the greatest, likewise: 1.5.
        conditions: what must hold for every row, as SQL by name; as in SQL, what is NULL does not break a condition.
    """

    key: Sequence[str] = ()
    at_least: float | None = None
    at_most: float | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def need_old_rows(self) -> bool:
        """Tell whether the number of old rows has to be known."""
        return self.at_least is not None or self.at_most is not None

    @property
    def need_new_rows(self) -> bool:
        """Tell whether new rows have to be read."""
        return bool(self.key or self.conditions)


def diff(old: DataFrame, new: DataFrame, key: Sequence[str], *, ignore: Sequence[str] = ()) -> DataFrame:
    """Pair old rows with new ones by key, and say what became of each.

    Rows are brought together by one shuffle. NULL is a value like any other, in keys too, and NaN is the same as NaN.

    Args:
        old: rows with the columns of ``new``, in any order.
        new: rows.
        key: the columns that identify a row.
        ignore: columns that may differ, such as the time of loading.

    Returns:
        A row for each key: ``change`` (added, removed, changed, same, or ambiguous where a key is not unique), ``key``,
        ``columns`` (the names of those that changed), ``old`` and ``new`` (the other columns), and how many rows each side
        has, ``n_old`` and ``n_new``.

    Raises:
        InvalidCompareError: the columns differ, or one is of a type that cannot be compared.

    Example:
        ``diff(spark.table("flights").where("dt = '2013-02-03'"), staged.rows, ["flight"]).where("change = 'changed'")``
    """
    compared = [name for name in new.columns if name not in {*key, *ignore}]
    _require_comparable(old, new, key, compared)

    def side(rows: DataFrame, *, is_new: bool) -> DataFrame:
        # Spark 3.5 has no structs without columns.
        row = _struct(rows, compared) if compared else F.struct(F.lit(True).alias("exists"))
        return rows.select(_struct(rows, key).alias("key"), row.alias("row"), F.lit(is_new).alias("is_new"))

    both = side(old, is_new=False).unionByName(side(new, is_new=True))
    paired = both.groupBy("key").agg(
        F.count_if(~F.col("is_new")).alias("n_old"),
        F.count_if("is_new").alias("n_new"),
        F.first(F.when(~F.col("is_new"), F.col("row")), ignorenulls=True).alias("old"),
        F.first(F.when(F.col("is_new"), F.col("row")), ignorenulls=True).alias("new"),
    )
    unique = (F.col("n_old") == 1) & (F.col("n_new") == 1)
    differing = [F.when(~_of("old", name).eqNullSafe(_of("new", name)), F.lit(name)) for name in compared]
    named = F.array_compact(F.array(*differing)) if differing else F.array().cast("array<string>")
    columns = F.when(unique, named).otherwise(F.array().cast("array<string>"))
    change = (
        F.when(F.col("n_old") == 0, ADDED)
        .when(F.col("n_new") == 0, REMOVED)
        .when(~unique, AMBIGUOUS)
        .when(F.size("columns") > 0, CHANGED)
        .otherwise(SAME)
    )
    found = paired.withColumn("columns", columns).withColumn("change", change)
    return found.select("change", "key", "columns", "old", "new", "n_old", "n_new")


def counted(differences: DataFrame) -> Changes:
    """Count what :func:`diff` has found, in one aggregation.

    Args:
        differences: as ``diff`` returns them.
    """
    kind = differences.schema["new"].dataType
    assert isinstance(kind, StructType)
    names = kind.names

    def rows_of(change: str, side: str) -> Column:
        return F.coalesce(F.sum(F.when(F.col("change") == change, F.col(side))), F.lit(0))

    figures = [
        rows_of(ADDED, "n_new").alias("added"),
        rows_of(REMOVED, "n_old").alias("removed"),
        rows_of(CHANGED, "n_new").alias("changed"),
        rows_of(SAME, "n_new").alias("same"),
        rows_of(AMBIGUOUS, "n_old").alias("ambiguous_before"),
        rows_of(AMBIGUOUS, "n_new").alias("ambiguous_after"),
    ]
    each = [F.count_if(F.array_contains("columns", name)).alias(f"column {name}") for name in names]
    found = differences.agg(*figures, *each).collect()[0].asDict()
    columns = {name: count for name in names if (count := found.pop(f"column {name}"))}
    return Changes(**found, columns=columns)


def check(rows: DataFrame, before: int | None, checks: Checks, *, after: int | None = None) -> list[str]:
    """Look for what must not be published, in one aggregation.

    Args:
        rows: the new rows.
        before: how many old rows there are, where that has to be known.
        checks: what new rows must fulfil.
        after: how many new rows there are, if that is known already.

    Returns:
        What is wrong, each in a sentence; nothing when all is well.

    Raises:
        InvalidCompareError: a column of the key is not there.
    """
    if missing := [name for name in checks.key if name not in rows.columns]:
        raise InvalidCompareError(f"key columns {missing} are not among the columns {rows.columns}")
    found: dict[str, int] = {} if after is None else {"rows": after}
    if checks.need_new_rows or after is None:
        found |= rows.agg(*_figures(rows, checks)).collect()[0].asDict()
    problems = []
    for name in checks.key:
        if found[f"null {name}"]:
            problems.append(f"key column {name} is NULL in {found[f'null {name}']:,} rows")
    if checks.key and (doubled := found["rows"] - found["keys"]):
        problems.append(f"the key ({', '.join(checks.key)}) is not unique: {doubled:,} rows too many")
    for place, name in enumerate(checks.conditions):
        if broken := found[f"condition {place}"]:
            problems.append(f"{name} does not hold for {broken:,} rows")
    return [*problems, *_wrong_size(found["rows"], before, checks)]


def _figures(rows: DataFrame, checks: Checks) -> list[Column]:
    figures = [F.count(F.lit(1)).alias("rows")]
    if checks.key:
        figures.append(F.count_distinct(_struct(rows, checks.key)).alias("keys"))
    figures += [F.count_if(rows[_quoted(name)].isNull()).alias(f"null {name}") for name in checks.key]
    for place, condition in enumerate(checks.conditions.values()):
        figures.append(F.count_if(~F.expr(condition)).alias(f"condition {place}"))
    return figures


def _wrong_size(after: int, before: int | None, checks: Checks) -> list[str]:
    if not checks.need_old_rows:
        return []
    if before is None:
        raise InvalidCompareError("at_least and at_most are shares of the old rows: give their number")
    problems = []
    if checks.at_least is not None and after < checks.at_least * before:
        problems.append(f"{after:,} rows instead of {before:,}: fewer than {checks.at_least:.0%} of them")
    if checks.at_most is not None and after > checks.at_most * before > 0:
        problems.append(f"{after:,} rows instead of {before:,}: more than {checks.at_most:.0%} of them")
    return problems


def _require_comparable(old: DataFrame, new: DataFrame, key: Sequence[str], compared: Sequence[str]) -> None:
    if not key:
        raise InvalidCompareError("rows are paired by key: name at least one column")
    for name in (*key, *compared):
        for side, rows in (("old", old), ("new", new)):
            if name not in rows.columns:
                raise InvalidCompareError(f"column {name} is not among the {side} rows' columns {rows.columns}")
        if _has_map(new.schema[name].dataType):
            raise InvalidCompareError(
                f"column {name} holds a map, which Spark cannot compare; ignore it, or compare map_entries"
            )


def _has_map(kind: DataType) -> bool:
    if isinstance(kind, StructType):
        return any(_has_map(column.dataType) for column in kind)
    return isinstance(kind, MapType) or (isinstance(kind, ArrayType) and _has_map(kind.elementType))


def _struct(rows: DataFrame, names: Sequence[str]) -> Column:
    return F.struct(*(rows[_quoted(name)].alias(name) for name in names))


def _of(side: str, name: str) -> Column:
    return F.col(f"{side}.{_quoted(name)}")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
