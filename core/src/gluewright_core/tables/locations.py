"""The locations that a catalog has for partitions, compared with those that the plans say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gluewright_core.errors import TableChangedError
from gluewright_core.tables.catalog import Catalog, PartitionChange, same_location
from gluewright_core.tables.commit_state import CommitPlan, CommitState, Head, last_changes
from gluewright_core.tables.partitions import Values, name_of


class Locations:
    """Compares a catalog with the plans of a table.

    Args:
        catalog: that has the table.
        table: its name.
        columns: its partition columns, for messages.
        state: with the plans.
    """

    def __init__(self, catalog: Catalog, table: str, columns: Sequence[str], state: CommitState) -> None:
        self._catalog = catalog
        self._table = table
        self._columns = columns
        self._state = state

    def differences(self, head: Head) -> tuple[list[PartitionChange], list[PartitionChange]]:
        """Compare the catalog with the recent plans.

        Args:
            head: as it was read.

        Returns:
            The changes that would put back what late requests of earlier plans have changed, and those that would put back
            what no plan explains.
        """
        plans = self.recent_plans(head)
        expected = last_changes(plans)
        if not expected:
            return [], []
        return self.compare(plans, self._catalog.locations(self._table, list(expected)))

    def recent_plans(self, head: Head) -> list[CommitPlan]:
        """Read the plans whose requests may still arrive."""
        if not self._catalog.keeps_locations:
            return []
        return [self._state.plan(commit.plan) for commit in head.after(head.confirmed)]

    def compare(
        self, plans: Sequence[CommitPlan], actual: Mapping[Values, str]
    ) -> tuple[list[PartitionChange], list[PartitionChange]]:
        """Compare locations with plans; see :meth:`differences`.

        Args:
            plans: oldest first.
            actual: the locations of all their partitions.
        """
        expected = last_changes(plans)
        known: dict[Values, list[str | None]] = {}
        for change in (change for plan in plans for change in plan.changes):
            known.setdefault(change.partition, []).append(change.after)  # what a request of the plan may set
        late: list[PartitionChange] = []
        unexplained: list[PartitionChange] = []
        for partition, change in expected.items():
            at = actual.get(partition)
            if not same_location(at, change.after):
                explained = any(same_location(at, location) for location in known[partition])
                (late if explained else unexplained).append(PartitionChange(partition, at, change.after, change.files))
        return late, unexplained

    def changed_error(self, changes: Sequence[PartitionChange]) -> TableChangedError:
        """Return the error for changes that no plan explains."""
        first = changes[0]
        return TableChangedError(
            f"{self._table}: {self.names(c.partition for c in changes)} was changed by something else: the catalog has "
            f"{first.before or 'no such partition'}, the last publish was {first.after or 'to drop it'}. `python -m "
            "gluewright_core.tables doctor` shows both, and keeps one of them"
        )

    def not_applied(self, changes: Sequence[PartitionChange]) -> list[PartitionChange]:
        """List the changes that the catalog does not have, each from the location that it has instead."""
        if not changes:
            return []
        actual = self._catalog.locations(self._table, [change.partition for change in changes])
        return [
            replace(change, before=actual.get(change.partition))
            for change in changes
            if not same_location(actual.get(change.partition), change.after)
        ]

    def names(self, partitions: Iterable[Values]) -> str:
        """Name some partitions for a message."""
        names = [name_of(self._columns, partition) for partition in partitions]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
