import pytest

from gluewright_core import state


@pytest.fixture
def short_leases(monkeypatch):
    """A run that died is waited for half a second instead of two minutes."""
    monkeypatch.setattr(state, "LEASE_SECONDS", 0.5)
