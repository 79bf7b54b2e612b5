"""What type checkers make of the blocking package."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USES = Path(__file__).with_name("typing_uses.py")
WRONG = {
    number
    for number, line in enumerate(USES.read_text().splitlines(), 1)
    if line.endswith("# wrong")
}


def run(*command: str) -> str:
    """Run a checker from the root of the repository and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr or done.stdout
    return done.stdout


@pytest.mark.once
@pytest.mark.timeout(300)
def test_mypy_refuses_the_wrong_uses_alone() -> None:
    """mypy --strict sees names, keywords, defaults and results through the descriptors."""
    pytest.importorskip("mypy")
    output = run("mypy", "--strict", "--no-error-summary", os.fspath(USES))
    lines = {int(n) for n in re.findall(r"typing_uses\.py:(\d+): error", output)}
    assert lines == WRONG, output


@pytest.mark.once
@pytest.mark.timeout(300)
def test_pyright_refuses_the_wrong_uses_alone() -> None:
    """pyright sees the same."""
    pytest.importorskip("pyright")
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, os.fspath(USES))
    errors = [d for d in json.loads(output)["generalDiagnostics"] if d["severity"] == "error"]
    lines = {error["range"]["start"]["line"] + 1 for error in errors}
    assert lines == WRONG, output
