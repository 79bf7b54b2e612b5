"""The README's code runs as it stands, and its settings are the real ones."""

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from novu_async import Novu
from novu_async.testing import LocalNovu

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("novu-credentials")
]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A LocalNovu in the environment variables, and an input file in the folder."""
    rows = (ROOT / "examples/device_tokens.csv").read_text().splitlines()[:200]
    (tmp_path / "device_tokens.csv").write_text("\n".join(rows) + "\n")
    with LocalNovu.in_thread() as local:
        yield {
            **os.environ,
            "NOVU_API_KEY": local.api_key,
            "NOVU_SERVER_URL": local.url,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Each block is a whole program."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shell_commands_run(environment: dict[str, str], tmp_path: Path) -> None:
    """One after the other, as a reader would type them."""
    assert COMMANDS
    for command in COMMANDS:
        arguments = shlex.split(command, comments=True)
        done = subprocess.run(
            arguments, env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr


def test_every_setting_is_in_the_table() -> None:
    """The arguments of Novu and the rows of the table are the same."""
    rows = README.partition("## Settings")[2].partition("\n\nThe logger")[0]
    cells = [row.split("|")[1] for row in rows.splitlines() if row.startswith("|")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    arguments = set(inspect.signature(Novu).parameters)
    assert arguments <= named


def test_links_lead_somewhere() -> None:
    """Every relative link names a file of the repository."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
