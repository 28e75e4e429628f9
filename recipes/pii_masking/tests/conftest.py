import pytest

from gluewright_pii_masking import Key


@pytest.fixture(autouse=True)
def quick_plans(interpreted):
    """Most of the time of these tests would be the compiler's."""


@pytest.fixture
def key():
    return Key("k1", bytes(range(100, 140)))
