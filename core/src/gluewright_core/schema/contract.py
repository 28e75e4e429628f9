"""A dataset's contract: its columns, keys and partitions, and what happens to what it does not foresee.

Example:
    >>> from gluewright_core.schema import Column, Contract
    >>> orders = Contract(
    ...     "shop.orders",
    ...     (
    ...         Column("order_id", "bigint", nullable=False),
    ...         Column("email", "string", tags=("pii",)),
    ...         Column("items", "array<struct<sku:string,price:decimal(10,2)>>"),
    ...     ),
    ...     key=("order_id",),
    ... )
    >>> orders.struct["email"].metadata
    {'tags': ['pii']}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession
from pyspark.sql import types as T

from gluewright_core.errors import InvalidContractError
from gluewright_core.schema.column import Column, Place, mode_of
from gluewright_core.schema.conform import Mode
from gluewright_core.schema.contradictions import find_contradictions
from gluewright_core.schema.rules import Rule

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gluewright_core.schema.conform import Conformed
    from gluewright_core.schema.differences import Difference

__all__ = ["Column", "Contract", "Place"]


@dataclass(frozen=True)
class Contract:
    """What a dataset's rows promise.

    Attributes:
        name: of the dataset, such as ``shop.orders``.
        columns: in their order, partition columns included.
        key: the columns that identify a row: its grain.
        partition_by: the columns that partition the table.
        comment: for people.
        values: what happens to a value that does not fit its column, and to a row with it.
        new_columns: what happens to a column that the contract does not have.
        rules: what holds of whole rows, such as ``Rule(name="paid", sql="price >= 0")`` or ``Rule(unique=("id",))``.

    Raises:
        InvalidContractError: it contradicts itself; every contradiction is named. Patterns and SQL are checked by Spark, so
            only if a session is active; else they are when rows are first conformed.
    """

    name: str
    columns: Sequence[Column]
    key: Sequence[str] = ()
    partition_by: Sequence[str] = ()
    comment: str = ""
    values: Mode | str = Mode.DISCARD_ROW
    new_columns: Mode | str = Mode.DISCARD_VALUE
    rules: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        for name in ("columns", "key", "partition_by", "rules"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str | Rule) else tuple(given))
        for name in ("values", "new_columns"):
            object.__setattr__(self, name, mode_of(getattr(self, name), self.name, name))
        self._require(find_contradictions(self))
        if self.has_rules and SparkSession.getActiveSession():
            self._check_rules()

    def _require(self, found: Iterable[tuple[Place, str]]) -> None:
        if wrong := list(found):
            raise InvalidContractError(f"contract {self.name}: {'; '.join(reason for _, reason in wrong)}", wrong)

    def _check_rules(self) -> None:
        from gluewright_core.schema.rule_checks import broken_rules  # noqa: PLC0415 - needs a session's modules

        self._require(broken_rules(self))

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def has_rules(self) -> bool:
        """Whether it or a column has a rule."""
        return bool(self.rules or any(column.rules for column in self.columns))

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def struct(self) -> T.StructType:
        """The Spark schema. What Spark's types do not say lies in the fields' metadata."""
        return T.StructType([column.field for column in self.columns])

    @classmethod
    def from_struct(
        cls,
        name: str,
        struct: T.StructType,
        *,
        key: Sequence[str] = (),
        partition_by: Sequence[str] = (),
        comment: str = "",
        values: Mode | str = Mode.DISCARD_ROW,
        new_columns: Mode | str = Mode.DISCARD_VALUE,
    ) -> Contract:
        """Make a contract of a Spark schema, as a DataFrame has it: the other way of :attr:`struct`.

        Args:
            name: of the dataset.
            struct: its columns. Metadata that is not a contract's is left out.
            key: see the class, as everything that follows.
            partition_by: see the class.
            comment: see the class.
            values: see the class.
            new_columns: see the class.
        """
        columns = tuple(Column.from_field(field) for field in struct)
        return cls(name, columns, key, partition_by, comment, values, new_columns)

    def with_columns(self, columns: Iterable[Column]) -> Contract:
        """Return the same contract with other columns.

        Keys and partitions that are gone with them are left out, and so are rules of rows where any column is gone or new
        in type, because they may be about it.
        """
        columns = tuple(columns)
        names = {column.name for column in columns}
        kept = {(column.name, column.data_type) for column in self.columns} <= {
            (column.name, column.data_type) for column in columns
        }
        return replace(
            self,
            columns=columns,
            rules=tuple(rule for rule in self.rules if (names >= {*rule.unique} if rule.unique else kept)),
            key=tuple(name for name in self.key if name in names),
            partition_by=tuple(name for name in self.partition_by if name in names),
        )

    def conform(
        self, rows: DataFrame, *, unique_key: bool = False, problems: str = "", show_unknown: bool | None = None
    ) -> Conformed:
        """Bring rows to the contract; see :func:`gluewright_core.schema.conform.conform`.

        Args:
            rows: as they come.
            unique_key: whether rows that share a key do not fit either.
            problems: the column with what the caller found wrong with a row.
            show_unknown: whether quarantine has the values of unknown columns and fields; by default not if anything is
                tagged ``pii``.
        """
        from gluewright_core.schema.conform import conform  # noqa: PLC0415 - needs a session's modules

        if self.has_rules:
            self._check_rules()
        checks = [rule.check(column.name, column.data_type) for column in self.columns for rule in column.rules]
        return conform(
            rows,
            self.struct,
            dataset=self.name,
            values=Mode(self.values),
            columns=Mode(self.new_columns),
            key=self.key,
            unique_key=unique_key,
            problems=problems,
            show_unknown=show_unknown,
            checks=[*checks, *(rule.check() for rule in self.rules)],
        )

    def diff(self, other: Contract) -> tuple[Difference, ...]:
        """List what is different in another contract, such as its next version; nothing when they are equal.

        Example:
            >>> before = Contract("t", (Column("a", "int"), Column("b", "string")))
            >>> for difference in before.diff(Contract("t", (Column("a", "bigint"), Column("c", "string")))):
            ...     print(difference)
            a: type int -> bigint
            b: column removed
            c: column added (string)
        """
        from gluewright_core.schema.differences import differences  # noqa: PLC0415 - needs this module

        return differences(self, other)
