"""The lower bounds of the dependencies are true: with them the same tests pass."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITES = ["tests/core", "tests/tokens", "tests/sync", "tests/pacing"]
NEEDED = ["pytest", "pytest-timeout", "hypothesis", "trio", "opentelemetry-sdk"]
"""What the tests themselves need; they skip what else is missing."""

OF_TODAY = "tests/core/test_cost.py::test_a_call_enters_few_more_functions_than_a_bare_one"
"""Its bound is that of today's aiohttp, whose own calls enter a few functions more."""


def find_lower_bounds() -> list[str]:
    """Return the dependencies of pyproject.toml, each at its lowest version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.sub(r">=", "==", requirement) for requirement in project["dependencies"]]


def test_every_dependency_has_a_lower_bound() -> None:
    """So that the oldest set can be installed, and is the one that is tested."""
    assert sorted(one.partition("==")[0] for one in find_lower_bounds()) == [
        "aiohttp", "anyio", "attrs", "cattrs", "tenacity",
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_oldest_dependencies_do(tmp_path: Path) -> None:
    """A venv with the lowest versions and nothing else passes the tests of the core."""
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, *find_lower_bounds(), *NEEDED], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", ROOT], check=True)
    options = ["-q", "-p", "no:cacheprovider", f"--deselect={OF_TODAY}"]
    tests = [python, "-m", "pytest", *options, *SUITES]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
