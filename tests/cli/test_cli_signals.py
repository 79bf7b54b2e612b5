"""Ctrl-C, SIGTERM and closed streams, with the program in a process of its own."""

import asyncio
import fcntl
import json
import os
import pty
import shlex
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_program import PROGRAM, Run, list_names

from novu_async.bulk.engine import Engine
from novu_async.testing import LocalNovu

ROWS = 160
SLOWLY = ("--concurrency", "8", "--quiet")

Start = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[LocalNovu]:
    """Serve a LocalNovu that takes its time, so that there is a middle to stop in."""
    with LocalNovu.in_thread(latency=0.01) as local:
        yield local


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the program does nothing"
        time.sleep(0.005)


def _wait_for_requests(server: LocalNovu, number: int) -> None:
    _wait_for(lambda: len(server.requests) >= number)


def _is_read(descriptor: int) -> bool:
    """Tell whether nothing is left to be read of a pipe or a terminal."""
    return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4)) == (0,)


def _resume_command(err: str) -> list[str]:
    (line,) = (line for line in err.splitlines() if "to go on: " in line)
    words = shlex.split(line.partition("to go on: ")[2])
    assert words[0] == "novu-credentials"
    return words[1:]


def _assert_all_stored_once(server: LocalNovu) -> None:
    stored = {i: server.device_tokens(f"user-{i}", "fcm") for i in range(ROWS)}
    assert stored == {i: [f"token-{i}-{'x' * 20}"] for i in range(ROWS)}


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_and_the_printed_command_goes_on(
    server: LocalNovu,
    start: Start,
    write_tokens: Callable[..., Path],
    tmp_path: Path,
    signum: int,
    status: int,
) -> None:
    """The first signal ends the job in good order; the command that it prints finishes it."""
    write_tokens(ROWS)
    process = start("register", "tokens.csv", *SLOWLY)
    _wait_for_requests(server, 24)
    process.send_signal(signum)
    out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert "waiting" in out
    assert "Traceback" not in err
    sent = len(server.requests)
    assert sent < ROWS
    process = start(*_resume_command(err))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert len(server.requests) == ROWS, "what was acknowledged is not sent again"
    _assert_all_stored_once(server)
    assert list_names(tmp_path) == {"tokens.csv"}


def test_signal_before_any_row_is_done_saves_nothing(
    run: Run,
    write_tokens: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is said to be saved then, and the command that is printed begins again."""
    write_tokens(ROWS)

    async def interrupt(self: Engine) -> None:
        signal.raise_signal(signal.SIGINT)
        while not self.stopped:
            await asyncio.sleep(0)

    monkeypatch.setattr(Engine, "run", interrupt)
    monkeypatch.setattr("sys.argv", ["novu-credentials", "register", "tokens.csv"])
    done = run("register", "tokens.csv")
    assert done.status == 130
    assert "saved" not in done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("interrupted before any row was done; to begin again: ")
    assert last.endswith(" register tokens.csv")
    assert list_names(tmp_path) == {"tokens.csv"}


def test_standard_input_is_not_needed_again(
    server: LocalNovu, start: Start, write_tokens: Callable[..., Path]
) -> None:
    """What was read from a pipe is in the job file: the printed command goes on without it."""
    with open(write_tokens(ROWS)) as tokens:
        process = start("register", "-", *SLOWLY, stdin=tokens)
        _wait_for_requests(server, 24)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    command = _resume_command(err)
    assert command[-2:] == ["--job", "stdin.job"]
    process = start(*command)
    process.communicate(timeout=30)
    assert process.returncode == 0
    _assert_all_stored_once(server)


@pytest.mark.parametrize("connect", [os.pipe, pty.openpty])
def test_signal_while_standard_input_gives_nothing_more(
    start: Start, tmp_path: Path, connect: Callable[[], tuple[int, int]]
) -> None:
    """A read that still waits, for a pipe or a terminal, does not disturb the end."""
    one, other = connect()
    reading, writing = (one, other) if connect is os.pipe else (other, one)
    process = start("register", "-", "--quiet", stdin=reading)
    _wait_for((tmp_path / "stdin.job.lock").exists)
    os.write(writing, b"subscriber_id,provider_id,token\n")
    _wait_for(lambda: _is_read(reading))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    os.close(one)
    os.close(other)
    assert (process.returncode, out) == (130, ""), err
    last = (
        "interrupted before anything was sent; to begin again: novu-credentials register - --quiet"
    )
    assert err.splitlines()[1:] == [last]
    assert not list(tmp_path.iterdir())


def test_report_of_an_interrupted_run(
    server: LocalNovu, start: Start, write_tokens: Callable[..., Path]
) -> None:
    """--json says whether an earlier run had begun the job, and where the failures are."""
    with open(write_tokens(ROWS), "a") as tokens:
        tokens.write("nobody,fcm,\n")
    for resumed in (False, True):
        process = start("register", "tokens.csv", *SLOWLY, "--json")
        _wait_for_requests(server, len(server.requests) + 24)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        report = json.loads(out)
        assert (report["resumed"], report["interrupted"]) == (resumed, True)
        assert report["failures_path"] == "tokens.failed.csv"
        assert "1 row to put right: see tokens.failed.csv" in err


def test_signal_sent_twice_at_once_counts_once(
    server: LocalNovu, start: Start, write_tokens: Callable[..., Path]
) -> None:
    """Programs such as `timeout` send each signal twice; that does not end the job at once."""
    write_tokens(ROWS)
    process = start("register", "tokens.csv", *SLOWLY)
    _wait_for_requests(server, 24)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "to go on: " in err


def test_second_signal_ends_at_once(
    server: LocalNovu, start: Start, write_tokens: Callable[..., Path]
) -> None:
    """A second Ctrl-C does not wait for requests that hang; the job file survives it."""
    write_tokens(ROWS)
    server.faults.next("stall", after=24, times=1000)
    process = start("register", "tokens.csv", *SLOWLY)
    _wait_for_requests(server, 32)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("stopping: ")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130
    server.faults.reset()
    process = start("register", "tokens.csv", *SLOWLY)
    process.communicate(timeout=30)
    assert process.returncode == 0
    _assert_all_stored_once(server)


def test_interrupted_call_ends_with_130(server: LocalNovu, start: Start) -> None:
    """Ctrl-C during a single call ends it without a traceback."""
    server.faults.next("stall")
    process = start("append", "u1", "fcm", "one")
    _wait_for_requests(server, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, "", "")


def test_reader_that_goes_away(
    server: LocalNovu, start: Start, write_tokens: Callable[..., Path]
) -> None:
    """A closed pipe behind standard output, as with `| head`, is no error and loses no work."""
    write_tokens(20)
    reading, writing = os.pipe()
    process = start("register", "tokens.csv", stdout=writing)
    os.close(writing)
    os.close(reading)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert len(server.subscribers) == 20


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams(
    server: LocalNovu, start: Start, write_tokens: Callable[..., Path], closed: str
) -> None:
    """A stream that was closed before the start disturbs nothing."""
    write_tokens(5)
    command = f"exec {shlex.quote(PROGRAM)} register tokens.csv {closed}"
    process = start("-c", command, command="sh")
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert len(server.subscribers) == 5
