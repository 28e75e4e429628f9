"""A dataset: its contract, the table with its rows, and beside it the table with what did not fit.

``save`` holds rows to the contract before they reach the table: what does not fit goes to ``<table>_quarantine`` with a
reason, in the partitions of the data, so that a day that is saved again replaces its quarantined rows too. ``load`` holds
the table to the contract before a job relies on it. Both are what :func:`gluewright_core.schema.conform.conform` does,
with the table kinds and runs of core around it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.counting import Counted
from gluewright_core.errors import RunRepeatedError
from gluewright_core.schema.conform import FROZEN, QUARANTINE, ContractViolationError, Mode
from gluewright_core.tables import ALL, Kind, Partition, Replace, TableSpec, open_table
from gluewright_core.tables.evolving import filled
from gluewright_core.tables.partitions import matching, values_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gluewright_core.schema.conform import Conformed, Difference
    from gluewright_core.schema.contract import Contract
    from gluewright_core.summary import Step
    from gluewright_core.tables import Catalog, Published, Table

RUN = "quarantined_by"
"""The last partition column of a quarantine table: the run that set the row aside."""


_RULE = "rule "
_log = logging.getLogger("gluewright.dataset")


class OnDifference(StrEnum):
    """What :meth:`Dataset.save` does about a difference between the incoming columns and the contract's.

    Whatever the mode, :attr:`Saved.differences` and the run's summary have the difference.

    Attributes:
        FAIL: raises `ContractViolationError` before anything is published.
        WARN: logs a warning.
        LOG: logs it at level INFO.
    """

    FAIL = "fail"
    WARN = "warn"
    LOG = "log"


ON_DIFFERENCE: Mapping[str, OnDifference] = {
    "missing": OnDifference.FAIL,
    "extra": OnDifference.WARN,
    "renamed": OnDifference.WARN,
    "reordered": OnDifference.LOG,
    "retyped": OnDifference.LOG,
    "variant": OnDifference.LOG,
}
"""The modes by default, by the kind of :class:`gluewright_core.schema.conform.Difference`."""


@dataclass(frozen=True)
class Saved:
    """What became of the rows of one :meth:`Dataset.save`.

    Attributes:
        published: what was published to the table.
        read: rows that came.
        quarantined: rows that are in quarantine only.
        kept: rows that were written without some of their values, which quarantine tells.
        differences: between the incoming columns and the contract's, such as a column that is missing.
        broken: how many rows broke each of the contract's rules, whatever its severity; a row may break several.
    """

    published: Published
    read: int
    quarantined: int
    kept: int
    differences: tuple[Difference, ...] = ()
    broken: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def told(self, step: Step) -> Saved:
        """Add the figures, which add up, and the differences to a step of the run's summary."""
        step.add(read=self.read, written=self.published.rows, quarantined=self.quarantined)
        if self.broken:
            step.add_broken_rules(self.published.table, self.broken)
        if self.differences:
            step.add_differences(self.published.table, _by_kind(self.differences))
        return self


@dataclass(frozen=True)
class Dataset:
    """A table held to a contract. :func:`open_dataset` makes it.

    Attributes:
        contract: what its rows promise.
        table: with the rows.
        quarantine: with what did not fit; None if the contract freezes every value and has no rules, because then nothing
            is set aside.
    """

    contract: Contract
    table: Table
    quarantine: Table | None

    def load(self) -> DataFrame:
        """Read the table's rows, held to the contract.

        Returns:
            The contract's columns, then those that the table got because the contract lets unknown ones in. Where the
            contract allows no NULL and there is one, whatever uses the rows fails. Rules are checked when rows are saved,
            not here.

        Raises:
            ContractViolationError: the table's columns are not the contract's.
        """
        columns = [dataclasses.replace(column, on_surprise=None, rules=()) for column in self.contract.columns]
        new = Mode.EVOLVE if self._evolves else self.contract.new_columns
        frozen = dataclasses.replace(self.contract, values=Mode.FREEZE, columns=columns, new_columns=new, rules=())
        table = self._with_own_columns()
        conformed = frozen.conform(table.read())
        there = {name.lower() for name in (self.table.columns() or self.contract.struct).names}
        broken = [f"column {name} is missing" for name in self.contract.names if name.lower() not in there]
        broken += [str(difference) for difference in conformed.differences if difference.kind == "retyped"]
        if broken:
            raise ContractViolationError(
                f"{self.contract.name}: the table is not what its contract says: {'; '.join(broken)}"
            )
        return conformed.rows

    def save(
        self,
        rows: DataFrame,
        *,
        run: str,
        replace: Replace | Sequence[Partition],
        layout: Callable[[DataFrame], DataFrame] | None = None,
        problems: str = "",
        unique_key: bool = False,
        max_rows: int | None = None,
        max_share: float | None = None,
        on_difference: Mapping[str, OnDifference | str] | None = None,
    ) -> Saved:
        """Publish the rows that fit, and quarantine those that do not.

        The rows are computed twice: first those that do not fit, to count them before anything is published, then those
        that do. Quarantine is published first, so a run that dies in between has lost nothing; run again, it goes on.

        Args:
            rows: as they come; columns are matched by name.
            run: the logical run's id.
            replace: which partitions become these rows, as in :meth:`gluewright_core.tables.Table.publish`. Quarantine
                keeps what earlier runs set aside of partitions that are only :data:`~gluewright_core.tables.TOUCHED`.
            layout: arranges the rows that fit before they are written, such as by ``repartition``.
            problems: see :func:`gluewright_core.schema.conform.conform`.
            unique_key: whether rows that share a key do not fit.
            max_rows: how many rows may be quarantined.
            max_share: which share of the rows may be quarantined, between 0 and 1.
            on_difference: modes by kind of difference, in place of those of :data:`ON_DIFFERENCE`: a missing column fails,
                an extra or renamed one is a warning. ``{"missing": "warn"}`` lets a missing column become NULL.

        Returns:
            What became of them.

        Raises:
            ContractViolationError: too many rows do not fit, or one that must, or the columns differ in a way that fails.
                Nothing was published.
            ValueError: there is no such mode or kind of difference.
            RunRepeatedError: the run has saved before, other rows: its source has changed between its attempts.
            ConcurrentUpdateError: another run published some of the same partitions meanwhile.
        """
        conformed = self.contract.conform(rows, unique_key=unique_key, problems=problems)
        self._report_differences(conformed.differences, on_difference or {})
        read, aside, kept, broken = None, 0, 0, {}
        if self.quarantine is not None:
            unfit, figures = self._set_aside(conformed, run)
            broken = self._report_broken(conformed, figures)
            if figures["frozen"] or _too_many(figures, max_rows, max_share):
                conformed.require(max_rows=max_rows, max_share=max_share)
            quarantined = self.quarantine.publish(unfit, run=run, replace=self._replaced(unfit, replace, run))
            _require_same(quarantined, figures["quarantined"])
            if not conformed.certain:
                read, kept, aside = figures["read"], figures["kept"], figures["quarantined"] - figures["kept"]
        published = self._publish(conformed, run, replace, layout)
        if read is None:
            return Saved(published, published.rows, 0, 0, conformed.differences)
        _require_same(published, figures["written"])
        return Saved(published, read, aside, kept, conformed.differences, broken)

    def _report_broken(self, conformed: Conformed, figures: Mapping[str, int]) -> dict[str, int]:
        broken = {label: figures[_RULE + label] for label in conformed.broken}
        for label, rows in broken.items():
            if rows:
                fields = {"table": self.contract.name, "rule": label, "rows": rows}
                _log.warning("%s: the rule %s is broken by %s rows", self.contract.name, label, f"{rows:,}", extra=fields)
        return broken

    def _report_differences(self, found: Sequence[Difference], given: Mapping[str, OnDifference | str]) -> None:
        if unknown := sorted({*given} - {*ON_DIFFERENCE}):
            raise ValueError(f"on_difference has {unknown[0]!r}; the kinds are {', '.join(ON_DIFFERENCE)}")
        modes = {**ON_DIFFERENCE, **{kind: OnDifference(mode) for kind, mode in given.items()}}
        failing = [difference for difference in found if modes[difference.kind] is OnDifference.FAIL]
        for kind, texts in _by_kind(found).items():
            if modes[kind] is not OnDifference.FAIL:
                level = logging.WARNING if modes[kind] is OnDifference.WARN else logging.INFO
                fields = {"table": self.contract.name, "kind": kind, "differences": len(texts)}
                _log.log(level, "%s: %s: %s", self.contract.name, kind, "; ".join(texts), extra=fields)
        if failing:
            kinds = ", ".join(f"{kind!r}: 'warn'" for kind in sorted({difference.kind for difference in failing}))
            raise ContractViolationError(
                f"{self.contract.name}: the incoming columns are not the contract's: {'; '.join(map(str, failing))}. "
                f"Correct the source or the contract, or allow it with on_difference={{{kinds}}}; nothing was published"
            )

    def _publish(
        self,
        conformed: Conformed,
        run: str,
        replaced: Replace | Sequence[Partition],
        layout: Callable[[DataFrame], DataFrame] | None,
    ) -> Published:
        table = self._with_own_columns(conformed.rows.schema)
        rows = filled(conformed.rows, table.spec.row_schema)
        try:
            return table.publish(layout(rows) if layout else rows, run=run, replace=replaced)
        except Exception as error:
            if FROZEN in str(error):
                conformed.require()
            raise

    @property
    def _evolves(self) -> bool:
        every = (self.contract.values, self.contract.new_columns, *(column.on_surprise for column in self.contract.columns))
        return Mode.EVOLVE in every

    def _with_own_columns(self, come: Iterable[StructField] = ()) -> Table:
        """Declare also the columns that the contract lets in without naming them: the table's, and those that come."""
        if not self._evolves:
            return self.table
        known = {name.lower() for name in self.contract.names}
        more = {field.name.lower(): field for field in [*come, *(self.table.columns() or ())]}
        return self.table.with_columns([field for name, field in more.items() if name not in known])

    def _set_aside(self, conformed: Conformed, run: str) -> tuple[DataFrame, dict[str, int]]:
        """Compute the rows that do not fit, and count all rows on the way."""
        rules = {_RULE + label: broken for label, broken in conformed.broken.items()}
        figures = {"read": None, **conformed.outcomes, **rules}
        if conformed.certain:
            return self._marked(conformed, run), dict.fromkeys(figures, 0)
        counted = Counted(conformed.checked, figures)
        # Few rows; and what is planned from here on has not all the checks in its plan.
        aside = self._marked(conformed.from_checked(counted.rows), run).localCheckpoint()
        found = counted.figures()
        if found is None:
            by_rule = {_RULE + label: rows for label, rows in conformed.count_broken().items()}
            found = {**dataclasses.asdict(conformed.counts()), **by_rule}
        return aside, found

    def _marked(self, conformed: Conformed, run: str) -> DataFrame:
        return conformed.quarantine_with(*self.contract.partition_by).withColumn(RUN, F.lit(run))

    def _replaced(
        self, aside: DataFrame, replaced: Replace | Sequence[Partition], run: str
    ) -> Replace | Sequence[Partition]:
        """Say which partitions of quarantine are replaced: this run's, and all runs' of the data's partitions."""
        if replaced is ALL:
            return ALL
        columns = self.contract.partition_by
        found = [row.asDict() | {RUN: run} for row in aside.select(*columns).distinct().collect()]
        if not isinstance(replaced, Replace) and self.quarantine and self.quarantine.exists():
            within = matching(self.contract.struct, columns, [values_of(columns, partition) for partition in replaced])
            earlier = self.quarantine.read().where(within).select(*columns, RUN).distinct().collect()
            found += [partition for row in earlier if (partition := row.asDict()) not in found]
        return found


def open_dataset(
    spark: SparkSession,
    contract: Contract,
    kind: Kind | str = Kind.PARQUET,
    *,
    location: str = "",
    catalog: Catalog | None = None,
) -> Dataset:
    """Open a contract's table and its quarantine; saving creates them where they do not exist.

    Args:
        spark: the session.
        contract: named as the table: ``database.table``, for Iceberg ``catalog.database.table``.
        kind: how both tables are kept.
        location: the table's folder; quarantine is kept in ``<location>_quarantine``. Iceberg may leave it to its catalog.
        catalog: see :func:`gluewright_core.tables.open_table`.

    Returns:
        The dataset.

    Example:
        >>> orders = open_dataset(spark, ORDERS, location="s3://lake/orders")                   # doctest: +SKIP
        >>> saved = orders.save(rows, run=job.run.id, replace=[{"dt": day}], max_share=0.01)    # doctest: +SKIP
        >>> saved.told(step)                                                                    # doctest: +SKIP
    """
    partitions = [StructField(name, contract[name].data_type) for name in contract.partition_by]
    table = TableSpec(contract.name, contract.struct, tuple(contract.partition_by), location, contract.comment)
    quarantine = quarantine_spec(contract.name, location, partitions)
    frozen = {contract.values, *(column.on_surprise or contract.values for column in contract.columns)} == {Mode.FREEZE}
    frozen = frozen and not contract.has_rules
    return Dataset(
        contract,
        open_table(spark, table, kind, catalog=catalog),
        None if frozen else open_table(spark, quarantine, kind, catalog=catalog),
    )


def quarantine_spec(table: str, location: str, partitions: Sequence[StructField] = ()) -> TableSpec:
    """Declare the quarantine of a table: beside it, partitioned as it is, and by the run that set a row aside.

    Args:
        table: its name.
        location: its folder; empty where the catalog decides.
        partitions: its partition columns.
    """
    set_aside_by = StructField(RUN, StringType(), True, {"comment": "The run that set the row aside."})
    return TableSpec(
        f"{table}_quarantine",
        StructType([*QUARANTINE, *partitions, set_aside_by]),
        (*(column.name for column in partitions), RUN),
        f"{location.rstrip('/')}_quarantine" if location else "",
        f"What does not fit {table}, and why.",
    )


def _by_kind(found: Iterable[Difference]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for difference in found:
        texts.setdefault(difference.kind, []).append(str(difference))
    return texts


def _require_same(published: Published, rows: int) -> None:
    """Refuse to mix two attempts of a run: a table takes a run once, and what it took then has to be what there is now."""
    if published.repeated and published.rows != rows:
        raise RunRepeatedError(
            f"{published.table}: run {published.run} has published {published.rows:,} rows before and has {rows:,} now, so "
            "its source has changed; run it again as a new run"
        )


def _too_many(figures: dict[str, int], max_rows: int | None, max_share: float | None) -> bool:
    aside = figures["quarantined"]
    return (max_rows is not None and aside > max_rows) or (max_share is not None and aside > max_share * figures["read"])
