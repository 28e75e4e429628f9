"""What is new in a table of a database, by columns that only grow: the same batches, with a range in place of a list.

A batch is the rows behind ``low`` and up to ``high``, which is fixed when the batch is planned: a run that dies is followed
by one that reads the same range under the same id. Values travel as text that the database wrote itself, so none is rounded
or moved to another time zone.

Rows may become visible late, with a value that was passed already: a transaction takes its time, or many rows share a value.
``lag`` says how far back to look again. Of the rows so far back the keys are remembered, so each is read once.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import reduce
from typing import TYPE_CHECKING, Literal

from pyspark.sql import functions as F

from gluewright_core.errors import GluewrightError
from gluewright_core.leases import utc_now
from gluewright_core.storage import ABSENT, Storage, open_storage
from gluewright_incremental.job.watermark import Planned, Range, RangeBatch, Watermark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_IN_LAG = 1_000_000
"""So many keys are remembered at most; a lag that has more rows is refused."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MARK = "_gw_row"
Query = Callable[[str], "DataFrame"]
Lag = timedelta | int | Decimal


class InvalidCursorError(GluewrightError):
    """The cursor columns do not fit the table. Nothing was changed."""


class IncrementalRows:
    """Reads what is new in a table, each row once.

    Args:
        query: runs a SELECT in the database, such as
            ``lambda sql: spark.read.format("jdbc").options(url=url, query=sql).load()``.
        table: its name, or a query in brackets with an alias.
        cursor: the columns that only grow, the most important first.
        consumer: who reads; every consumer has a watermark of its own.
        state: where watermarks are kept (below ``_gluewright/watermarks/``): a URI, or a storage.
        name: of the table in the state.
        lag: how far to look back, in the first cursor column: a time, or a number. Needs ``key``.
        key: the columns that identify a row.
        null_cursor: whether rows without a value in a cursor column ``fail`` the batch or are ``ignore`` d.
        lease_seconds: how long a run that died keeps others out; by default two minutes.
        patience: how long to wait for another run; by default a little longer than that.
        clock: tells the time, UTC.

    Raises:
        InvalidCursorError: a column's name is not a plain one, or a lag has no key.

    Example:
        >>> rows = IncrementalRows(query, "orders", cursor=["updated_at"], key=["id"],             # doctest: +SKIP
        ...     lag=timedelta(minutes=10), consumer="lake", state="s3://lake")
        >>> with rows.batch() as batch:                                                            # doctest: +SKIP
        ...     if batch:
        ...         table.publish(batch.read().withColumn("batch", F.lit(batch.id)), run=batch.id, ...)
    """

    def __init__(
        self,
        query: Query,
        table: str,
        *,
        cursor: Sequence[str],
        consumer: str,
        state: str | Storage,
        name: str = "rows",
        lag: Lag | None = None,
        key: Sequence[str] = (),
        null_cursor: Literal["fail", "ignore"] = "fail",
        lease_seconds: float | None = None,
        patience: float | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        odd = [each for each in (*cursor, *key) if not _NAME.fullmatch(each)]
        if odd or not cursor:
            raise InvalidCursorError(
                f"{table}: cursor and key are columns with plain names, given {odd or 'none'}; use a view"
            )
        if lag is not None and not key:
            raise InvalidCursorError(f"{table}: a lag reads rows twice; say by which key columns they are recognised")
        self._query = query
        self._table = table
        self._cursor = tuple(cursor)
        self._key = tuple(key)
        self._lag = lag
        self._null_cursor = null_cursor
        self._state = open_storage(state) if isinstance(state, str) else state
        self.watermark = Watermark(
            self._state, consumer, name, cursor, lease_seconds=lease_seconds, patience=patience, clock=clock
        )

    @contextmanager
    def batch(self) -> Iterator[RangeBatch]:
        """Plan a batch, or take up the one that an earlier run left open, and record it when the body ends.

        Yields:
            The batch; its ends are values of the cursor columns, as the database writes them. An empty one writes nothing.

        Raises:
            ConcurrentUpdateError: another run works on the same table for the same consumer.
            InvalidCursorError: a cursor or key column is not there, has NULLs, or does not fit the lag.
            InvalidWatermarkError: the watermark is of other cursor columns.
        """
        with self.watermark.batch(self._planned, self._rows) as found:
            yield found

    def _planned(self, low: list[str] | None, number: int, before: str) -> Planned | None:
        """Fix the end of the next batch, and of rows that may become visible late, which of them it reads."""
        self._require_columns()
        high = self._highest() if low is None or self._count(self._behind(low)) else low
        if high is None:
            return None
        deliver, plan = self._remember(low, high, before, number)
        if high == low and not deliver:
            if plan:
                self._state.delete([plan])
            return None
        return Planned(high, plan)

    def _require_columns(self) -> None:
        there = self._select("*", "1 = 0").columns
        known = {each.lower() for each in there}
        if missing := [each for each in (*self._cursor, *self._key) if each.lower() not in known]:
            raise InvalidCursorError(f"{self._table} has no column {', '.join(missing)}; it has {', '.join(there)}")
        nulls = self._count(" OR ".join(f"{column} IS NULL" for column in self._cursor))
        if nulls and self._null_cursor == "fail":
            raise InvalidCursorError(
                f"{self._table}: {nulls:,} rows have NULL in {' or '.join(self._cursor)} and would never be read; give them "
                "a value, or say null_cursor=ignore"
            )

    def _highest(self) -> list[str] | None:
        """Find the greatest values: of the first column, then among those rows of the second, and so on."""
        filled = [f"{column} IS NOT NULL" for column in self._cursor]
        found: list[str] = []
        for column in self._cursor:
            same = [f"{name} = {_text(value)}" for name, value in zip(self._cursor, found, strict=False)]
            row = self._select(f"CAST(MAX({column}) AS CHAR(64)) AS high", " AND ".join([*filled, *same])).collect()[0]
            if row[0] is None:
                return None
            found.append(str(row[0]).rstrip())
        return found

    def _remember(self, low: list[str] | None, high: list[str], seen: str, number: int) -> tuple[list[str], str]:
        """Write down which of the rows that may still change in number are read by the batch, and which were by then."""
        if self._lag is None:
            return [], ""
        before = set(self._read_plan(seen)["seen"]) if seen else set()
        marked = self._marked(self._uncertain(low, high)).select(_MARK).limit(MOST_IN_LAG + 1)
        now = {row[0] for row in marked.collect()}
        if len(now) > MOST_IN_LAG:
            raise InvalidCursorError(
                f"{self._table}: more than {MOST_IN_LAG:,} rows lie within lag={self._lag}; give a smaller one"
            )
        recent = self._marked(f"{self._from_back(high)} AND {self._up_to(high)}").select(_MARK)
        still = {row[0] for row in recent.collect()} & (now | before)
        deliver = sorted(now - before)
        key = self.watermark.side_key(number)
        body = json.dumps({"deliver": deliver, "seen": sorted(still)}).encode()
        self._state.write(key, gzip.compress(body, mtime=0), expect=ABSENT)
        return deliver, key

    def _read_plan(self, key: str) -> dict[str, list[str]]:
        plan: dict[str, list[str]] = json.loads(gzip.decompress(self._state.read(key)[0]))
        return plan

    def _rows(self, range_: Range) -> DataFrame:
        low, high = range_.low, range_.high
        inside = self._up_to(high) if low is None else f"{self._behind(low)} AND {self._up_to(high)}"
        if not range_.plan:
            return self._select("*", inside)
        certain = self._select("*", f"{inside} AND NOT ({self._from_back(high)})")
        deliver = self._read_plan(range_.plan)["deliver"]
        spark = certain.sparkSession
        chosen = F.broadcast(spark.createDataFrame([(each,) for each in deliver], f"{_MARK} string"))
        uncertain = self._marked(self._uncertain(low, high)).join(chosen, _MARK, "left_semi").drop(_MARK)
        return certain.unionByName(uncertain)

    def _marked(self, where: str) -> DataFrame:
        rows = self._select("*", where)
        return rows.withColumn(_MARK, F.md5(F.to_json(F.struct(*self._key, *self._cursor))))

    def _uncertain(self, low: list[str] | None, high: list[str]) -> str:
        """Where rows may still become visible: so far back from the last batch, and from this one."""
        recent = f"({self._from_back(high)} AND {self._up_to(high)})"
        return recent if low is None else f"({recent} OR ({self._from_back(low)} AND {self._up_to(low)}))"

    def _behind(self, values: Sequence[str]) -> str:
        """Compare several columns as one: greater in the first that differs."""
        return _row_compare(self._cursor, values, ">", "")

    def _up_to(self, values: Sequence[str]) -> str:
        return _row_compare(self._cursor, values, "<", "=")

    def _from_back(self, values: Sequence[str]) -> str:
        return f"{self._cursor[0]} >= {_text(self._back(values[0]))}"

    def _back(self, value: str) -> str:
        try:
            if isinstance(self._lag, timedelta):
                return (datetime.fromisoformat(value) - self._lag).isoformat(sep=" ")
            return str(Decimal(value) - Decimal(self._lag or 0))
        except (ValueError, InvalidOperation) as error:
            raise InvalidCursorError(
                f"{self._table}: lag={self._lag} does not fit {self._cursor[0]}, which has {value}"
            ) from error

    def _count(self, where: str) -> int:
        return int(self._select("COUNT(*) AS n", where).collect()[0][0])

    def _select(self, what: str, where: str) -> DataFrame:
        return self._query(f"SELECT {what} FROM {self._table} WHERE {where}")


def _row_compare(columns: Sequence[str], values: Sequence[str], sign: str, last: str) -> str:
    """Write a comparison of rows without row values, which not every database has."""
    pairs = list(zip(columns, values, strict=True))
    column, value = pairs[-1]
    innermost = f"{column} {sign}{last} {_text(value)}"
    return reduce(
        lambda inner, pair: f"({pair[0]} {sign} {_text(pair[1])} OR ({pair[0]} = {_text(pair[1])} AND {inner}))",
        reversed(pairs[:-1]),
        innermost,
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
