"""A lease that is kept for as long as the work takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gluewright_core.errors import ConcurrentUpdate
from gluewright_core.state import Lease


@contextmanager
def kept(lease: Lease, seconds: float) -> Iterator[None]:
    """Hold a lease while the body runs, and renew it in time.

    Args:
        lease: not taken yet.
        seconds: its length.

    Raises:
        ConcurrentUpdate: another run holds it.
    """
    with lease:
        done = threading.Event()
        keeper = threading.Thread(target=_renew, args=(lease, seconds / 3, done), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()


def _renew(lease: Lease, every: float, done: threading.Event) -> None:
    while not done.wait(every):
        try:
            lease.renew()
        except ConcurrentUpdate:
            return
        except Exception:  # noqa: BLE001, S112 - a request that failed is repeated; what is exact does not need the lease
            continue
