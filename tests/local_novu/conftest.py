"""A clock for the tests of LocalNovu."""

import pytest
from attrs import define


@define
class FakeClock:
    """Tell a time that only moves when told to."""

    now: float = 1_730_000_000.0

    def __call__(self) -> float:
        """Give the time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time."""
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that stands still."""
    return FakeClock()
