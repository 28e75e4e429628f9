import pytest


@pytest.fixture(autouse=True)
def quick_plans(interpreted):
    """Most of the time of these tests would be the compiler's."""
