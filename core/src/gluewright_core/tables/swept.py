"""Whether the files that a partition had are all still there, before an undo makes readers see them again."""

from __future__ import annotations

from gluewright_core.storage import Storage
from gluewright_core.tables.catalog import relative_to, same_location
from gluewright_core.tables.commit_state import RUNS, CommitState, Head
from gluewright_core.tables.partitions import Values


def count_files(state: CommitState, head: Head, partition: Values, location: str) -> tuple[int, int] | None:
    """Look up how many files and bytes were published at a location of a partition; None where no plan says.

    Args:
        state: of the table.
        head: of the table.
        partition: whose location it is.
        location: as the catalog had it.
    """
    plans = [commit.plan for commit in reversed(head.recent)]
    # Files of a run lie in gluewright-runs/<table>/<run>-<random>/.
    _, separator, below = location.partition(f"/{RUNS}/")
    if separator and (record := state.record(below.split("/")[1].rpartition("-")[0])):
        plans.insert(0, record.plan)
    for plan in dict.fromkeys(plans):
        for change in state.plan(plan).changes:
            if change.partition == partition and same_location(change.after, location) and change.files:
                return change.files
    return None


def is_complete(storage: Storage, location: str, files: tuple[int, int] | None) -> bool:
    """Return whether all files that readers saw at a location are there; of other storages it is not known.

    Args:
        storage: the folder beside the table.
        location: of a partition.
        files: how many files and bytes there should be; None if only some are known to have been there.
    """
    below = relative_to(location, storage.uri_of(""))
    if not below:
        return True
    sizes = [found.size for found in storage.list_objects(f"{below}/") if is_visible(found.key)]
    return bool(sizes) if files is None else len(sizes) >= files[0] and sum(sizes) >= files[1]


def is_visible(key: str) -> bool:
    """Return whether readers see a file: no folder's marker, and no name that begins with ``_`` or ``.``."""
    name = key.rpartition("/")[2]
    return bool(name) and not name.startswith(("_", "."))
