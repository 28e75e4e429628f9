import pytest

from gluewright_core import leases


@pytest.fixture
def short_leases(monkeypatch):
    """A run that died is waited for half a second instead of two minutes."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.5)
