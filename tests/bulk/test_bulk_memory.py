"""Memory does not grow with the input."""

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("measured_job.py")


def measure(rows: int, job: Path) -> float:
    """Return the peak memory of a job of so many rows, in MiB."""
    done = subprocess.run(
        [sys.executable, str(CHILD), str(rows), str(job)],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("few", "many"),
    [(30_000, 120_000), pytest.param(100_000, 1_000_000, marks=pytest.mark.long)],
)
def test_more_rows_take_no_more_memory(few: int, many: int, tmp_path: Path) -> None:
    """The peak stays within 1.3 times that of a smaller job, and under 200 MiB."""
    small = measure(few, tmp_path / "few")
    large = measure(many, tmp_path / "many")
    assert large < 200
    assert large <= 1.3 * small
