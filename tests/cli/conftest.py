"""What tests of the program share: a server in a thread, and ways to run the program."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import pytest
from cli_program import BIN, PROGRAM, Done, Run
from click.testing import CliRunner

from novu_async.cli._program import program
from novu_async.testing import LocalNovu

Process = Popen[str]


@pytest.fixture
def server() -> Iterator[LocalNovu]:
    """Serve a LocalNovu in a thread of its own."""
    with LocalNovu.in_thread() as local:
        yield local


@pytest.fixture
def environment(server: LocalNovu, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the program finds itself and the server."""
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NOVU_API_KEY": server.api_key,
        "NOVU_SERVER_URL": server.url,
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str | bytes = "", **variables: str) -> Done:
        runner = CliRunner(env=environment | variables)
        result = runner.invoke(program, arguments, input=stdin, catch_exceptions=False)
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Return a function that starts the program in a process of its own."""
    started: list[Process] = []

    def start(*arguments: str, **options: Any) -> Process:
        variables = environment | options.pop("env", {})
        command = options.pop("command", PROGRAM)
        streams = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE} | options
        process = Popen([command, *arguments], cwd=tmp_path, env=variables, text=True, **streams)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def write_tokens(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a CSV of device tokens, one for each subscriber."""

    def write(rows: int, name: str = "tokens.csv") -> Path:
        path = tmp_path / name
        lines = (f"user-{i},fcm,token-{i}-{'x' * 20}\n" for i in range(rows))
        path.write_text("subscriber_id,provider_id,token\n" + "".join(lines))
        return path

    return write
