"""Print what the chaos tests did, at the end of a run that had any."""

from collections.abc import Iterator

import pytest
from chaos_harness import FIGURES


@pytest.fixture(autouse=True)
def _count_hostile(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count the cases of hostile input."""
    yield
    FIGURES.hostile += "hostile" in request.node.nodeid


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    if not FIGURES.calls:
        return
    terminalreporter.section("reliability")
    for what, number in (
        ("kinds of faults", len(FIGURES.faults)),
        ("faults injected", FIGURES.faults.total()),
        ("calls made", FIGURES.calls),
        ("calls cancelled, one at each suspension", FIGURES.cancelled),
        ("tokens acknowledged", FIGURES.acknowledged),
        ("tokens named in an error", FIGURES.named),
        ("tokens lost", FIGURES.lost),
        ("hostile inputs", FIGURES.hostile),
        ("texts searched for secrets", FIGURES.texts),
        ("secrets found", FIGURES.secrets),
    ):
        terminalreporter.write_line(f"{what:<40} {number:>9,}")
