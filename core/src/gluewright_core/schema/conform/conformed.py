"""What conform returns: the rows that fit, quarantine, and the counts of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from .sql import quote, text_literal
from .terms import FROZEN, Check, ContractViolationError, Counts, Difference, ProblemCount, State

_STATE, _QUARANTINE, _BROKEN = "_gw_conform_state", "_gw_conform_quarantine", "_gw_conform_broken"


@dataclass(frozen=True)
class Output:
    """A column of the conformed rows, made from the judged ones."""

    name: str
    sql: str
    metadata: dict[str, Any]

    @property
    def column(self) -> Column:
        """The column."""
        return F.expr(self.sql).alias(self.name, metadata=self.metadata)


@dataclass(frozen=True)
class Conformed:
    """Rows held to a contract. Nothing is computed before one of its DataFrames is used.

    Actions on both ``rows`` and ``quarantine`` compute them twice, unless :meth:`from_checked` gives them something kept.

    Attributes:
        judged: every incoming row with the state it is in, from which the others are made.
        differences: between the incoming columns and the contract's.
        dataset: the name used in messages.
        certain: every row fits by its types alone, so there is nothing to check or count.
    """

    judged: DataFrame
    differences: tuple[Difference, ...]
    dataset: str
    certain: bool
    _outputs: tuple[Output, ...]
    _quarantined: str
    _may_freeze: bool
    _checks: tuple[Check, ...] = ()
    _checked: DataFrame | None = None

    @property
    def checked(self) -> DataFrame:
        """Every incoming row: its conformed values, what became of it, and its row of quarantine."""
        if self._checked is not None:
            return self._checked
        broken = [F.col("broken").alias(_BROKEN)] if self._checks else []
        found = F.col("state").alias(_STATE), F.expr(self._quarantined).alias(_QUARANTINE)
        return self.judged.select(*(output.column for output in self._outputs), *broken, *found)

    def from_checked(self, checked: DataFrame) -> Conformed:
        """Make ``rows`` and ``quarantine`` from :attr:`checked` as it was kept, counted or watched.

        Example:
            >>> conformed = conformed.from_checked(conformed.checked.persist())        # doctest: +SKIP
        """
        return replace(self, _checked=checked)

    @property
    def rows(self) -> DataFrame:
        """The rows that conform: exactly the contract's columns in its order, then evolved ones.

        With a value in a column of `Mode.FREEZE` that does not fit, every use of these rows fails.
        """
        # What quarantine holds takes long to plan; the rows do not need it.
        state = "state" if self._checked is None else self._state
        made = [output.column if self._checked is None else F.col(quote(output.name)) for output in self._outputs]
        message = text_literal(f"{self._named}{FROZEN}")
        # The state is a literal where nothing had to be checked: Spark then drops the filter.
        passing = f"{state} < {State.OUT}"
        if self._may_freeze:
            passing = f"if({state} = {State.FROZEN}, CAST(raise_error({message}) AS BOOLEAN), {passing})"
        return (self.judged if self._checked is None else self._checked).filter(passing).select(*made)

    @property
    def quarantine(self) -> DataFrame:
        """What does not fit, with the columns of `QUARANTINE`."""
        return self.quarantine_with()

    def quarantine_with(self, *columns: str) -> DataFrame:
        """Return quarantine with some of the conformed columns behind it, such as those that partition the table.

        Args:
            columns: of the contract; NULL where their own value does not fit.
        """
        unfit = self.checked.filter(f"{self._state} > {State.FITS}")
        return unfit.select(f"{quote(self.checked.columns[-1])}.*", *map(quote, columns))

    @property
    def outcomes(self) -> dict[str, Column]:
        """Conditions over ``checked``: whether a row is ``written``, ``quarantined``, ``kept`` (in both) or ``frozen``."""
        return {
            "written": F.expr(f"{self._state} < {State.OUT}"),
            "quarantined": F.expr(f"{self._state} > {State.FITS}"),
            "kept": F.expr(f"{self._state} = {State.KEPT}"),
            "frozen": F.expr(f"{self._state} = {State.FROZEN}"),
        }

    @property
    def broken(self) -> dict[str, Column]:
        """Conditions over ``checked``: whether a row breaks a rule, by the rule's name behind its column's."""
        if not self._checks:
            return {}
        column = quote(self.checked.columns[-3])
        return {check.label: F.expr(f"get({column}, {number})") for number, check in enumerate(self._checks)}

    def count_broken(self) -> dict[str, int]:
        """Count how many rows break each rule, in one pass over them."""
        counted = [F.count(F.when(broken, True)).alias(label) for label, broken in self.broken.items()]
        return self.checked.agg(*counted).first().asDict() if counted else {}  # type: ignore[union-attr]

    def counts(self) -> Counts:
        """Count what became of the rows, in one pass over them.

        Returns:
            The counts; they add up.
        """
        told = quote(self.checked.columns[-1])
        exploded = self.checked.selectExpr(
            f"{self._state} AS state", f"posexplode_outer({told}.problems) AS (place, problem)"
        )
        found = exploded.groupBy("problem.column", "problem.rule").agg(
            *(F.expr(f"count_if(coalesce(place, 0) = 0 AND state = {state})").alias(f"s{state}") for state in range(4)),
            F.count("problem").alias("values"),
            # Bounded and the same on every run, unlike collect_set and first.
            F.expr(
                "array_sort(array_compact(array_distinct(array(min(problem.value), max(problem.value),"
                " min_by(problem.value, xxhash64(problem.value))))))"
            ).alias("examples"),
        )
        groups = found.collect()
        fits, kept, out, frozen = (sum(group[f"s{state}"] for group in groups) for state in range(4))
        problems = sorted(
            (
                ProblemCount(group["column"], group["rule"], group["values"], tuple(group["examples"]))
                for group in groups
                if group["rule"]
            ),
            key=lambda problem: (problem.column, problem.rule),
        )
        return Counts(fits + kept + out + frozen, fits + kept, kept + out + frozen, kept, frozen, tuple(problems))

    def require(self, *, max_rows: int | None = None, max_share: float | None = None) -> Counts:
        """Fail before anything is published if too many rows do not fit, or any value does not fit a frozen column.

        Args:
            max_rows: how many rows may be in quarantine; None for any number.
            max_share: which share of all rows may be in quarantine, between 0 and 1; None for any.

        Returns:
            The counts, from one pass over the rows.

        Raises:
            ContractViolationError: with the counts, examples, and what to do.
        """
        counts = self.counts()
        limits = []
        if counts.frozen:
            rules = (
                " or against rules of severity fail" if any(check.state == State.FROZEN for check in self._checks) else ""
            )
            where = f"in frozen columns{rules}, where no value may be other than the contract says"
            limits.append(f"{counts.frozen:,} of them {where}")
        if max_rows is not None and counts.quarantined > max_rows:
            limits.append(f"{max_rows:,} rows are allowed")
        if max_share is not None and counts.quarantined > max_share * counts.read:
            limits.append(f"{max_share:.2%} of the rows are allowed")
        if not limits:
            return counts
        lines = [
            f"{self._named}{counts.quarantined:,} of {counts.read:,} rows do not fit the contract: {'; '.join(limits)}."
        ]
        lines += [f"  {problem}" for problem in counts.problems]
        lines.append(
            "Mend the source, or change the contract (type, nullable, on_surprise) or the limit; the rows are in quarantine."
        )
        raise ContractViolationError("\n".join(lines))

    def observed(self, observation: Observation) -> Conformed:
        """Count while the rows are used, without a pass of its own: ``read``, each of :attr:`outcomes` and :attr:`broken`.

        Args:
            observation: is filled by the first action on the result's ``rows`` or ``quarantine``.

        Returns:
            The same rows, observed.

        Example:
            >>> seen = Observation()                                              # doctest: +SKIP
            >>> conform(raw, contract).observed(seen).rows.write.parquet(...)     # doctest: +SKIP
            >>> seen.get["quarantined"]                                           # doctest: +SKIP
        """
        numbers = {"read": F.lit(True), **self.outcomes, **self.broken}
        counted = (F.count(F.when(condition, True)).alias(name) for name, condition in numbers.items())
        return self.from_checked(self.checked.observe(observation, *counted))

    @property
    def _state(self) -> str:
        return quote(self.checked.columns[-2])

    @property
    def _named(self) -> str:
        return f"{self.dataset}: " if self.dataset else ""
