"""The help of every command: complete, and with examples that run."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from cli_program import ROOT

from novu_async.cli._program import program


def _commands(group: Any = program, path: str = "novu-credentials") -> Iterator[tuple[str, Any]]:
    yield path, group
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from _commands(command, f"{path} {name}")


def _example(command: Any) -> list[str]:
    lines = (command.epilog or "").partition("Example:\n")[2].splitlines()
    return [line.strip() for line in lines]


COMMANDS = dict(_commands())
ENDLESS = ("novu-credentials", "novu-credentials serve")


@pytest.mark.parametrize("path", COMMANDS)
def test_help_says_what_and_how(path: str) -> None:
    """Every command has a help text, a whole line in its group's list, and help for each option."""
    command = COMMANDS[path]
    context = click.Context(command, info_name=path, terminal_width=80)
    assert command.help
    assert command.get_short_help_str(limit=200)
    assert "..." not in command.get_help(context).partition("Commands:")[2]
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    assert all(one.help for one in options)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_ends_in_an_example(path: str) -> None:
    """The last lines of the help are commands to copy."""
    command = COMMANDS[path]
    text = command.get_help(click.Context(command, info_name=path))
    example = _example(command)
    assert example
    assert text.rstrip().endswith(example[-1])
    assert all("novu-credentials" in line for line in example)


EXAMPLES = {tuple(_example(COMMANDS[path])): path for path in COMMANDS if path not in ENDLESS}


@pytest.mark.parametrize("example", EXAMPLES, ids=EXAMPLES.values())
def test_examples_run(example: tuple[str], environment: dict[str, str], tmp_path: Path) -> None:
    """The example of every command runs as it is, in a checkout; rows that fail are no mistake."""
    rows = (ROOT / "examples/device_tokens.csv").read_text().splitlines(keepends=True)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/device_tokens.csv").write_text("".join(rows[:200]))
    for line in example:
        done = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=50
        )
        assert done.returncode in (0, 1), done.stderr.decode()
        assert b"error:" not in done.stderr
        assert done.stdout or "|| true" in line


@pytest.mark.parametrize("path", ENDLESS)
def test_examples_of_servers_run(path: str, environment: dict[str, str]) -> None:
    """The examples that serve until they are stopped say that they are ready."""
    (line,) = _example(COMMANDS[path])
    line = line.replace("--port 3999", "--port 0")
    with subprocess.Popen(
        ["sh", "-c", f"exec {line}"], env=environment, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: http://127.0.0.1:")
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
