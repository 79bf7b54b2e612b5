"""Progress as lines and as a bar, and what a terminal sees."""

import io
import os
import pty
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.cells import cell_len
from rich.console import Console

from novu_async import RateLimit
from novu_async.bulk import Progress
from novu_async.cli._bar import Bar
from novu_async.cli._output import format_seconds
from novu_async.cli._progress import Lines, format_line
from novu_async.testing import LocalNovu

LIMIT = RateLimit(limit=1500, window=5, burst=1650, remaining=10, available=9.0, stopped_for=0.0)
SENDING = Progress(
    "sending",
    rows=2_100_000,
    invalid=50_000,
    duplicates=50_000,
    done=1_234_000,
    failed=56,
    waiting=765_944,
    rate=287.4,
    seconds_left=2_664.0,
    rate_limit=LIMIT,
)


def test_line_says_everything() -> None:
    """A line has the part that is done, failures, rate, limit and time left."""
    assert format_line(SENDING) == (
        "sending: 1,234,056 of 2,000,000 rows (61 %), 56 failed, 287 requests/s, limit 300/s, "
        "44:24 left"
    )


@pytest.mark.parametrize("limit", [LIMIT, None])
def test_line_while_the_server_asks_to_wait(limit: RateLimit | None) -> None:
    """Why nothing moves is said, also where the server has announced no limit."""
    waiting = evolve(SENDING, rate=0.0, seconds_left=None, rate_limit=limit, stopped_for=59.6)
    assert format_line(waiting).endswith("56 failed, server asks to wait 60 s")


def test_line_while_reading() -> None:
    """Before the first request a line counts the rows that were read."""
    assert format_line(Progress("reading", rows=5000)) == "reading: 5,000 rows"


def test_one_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """However often progress is reported, a line is written every ten seconds."""
    now = [0.0]
    lines = Lines(clock=lambda: now[0])
    for _ in range(250):
        now[0] += 0.1
        lines.show(SENDING)
    captured = capsys.readouterr()
    assert captured.err.count("sending: ") == 2
    assert captured.out == ""


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 30, 20])
@pytest.mark.parametrize("progress", [None, Progress("reading", rows=12_345), SENDING])
def test_bar_fits_the_terminal(width: int, progress: Progress | None) -> None:
    """The bar is one line that fits, and keeps the percentage to the last."""
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    bar = Bar(console)
    if progress is not None:
        bar.show(progress)
    console.print(bar)
    (line,) = text.getvalue().rstrip("\n").split("\n")
    assert cell_len(line.rstrip()) <= width
    if progress is SENDING:
        assert "61 %" in line
    if progress is SENDING and width >= 100:
        assert all(one in line for one in ("1,234,056", "44:24 left", "56 failed", "limit 300/s"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1:00"), (3_725, "1:02:05"), (360_000, "4 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    """Durations are written as people write them."""
    assert format_seconds(seconds) == text


def _read_all(descriptor: int) -> str:
    pieces = []
    with suppress(OSError):  # how Linux tells that the other side of a terminal is gone
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_terminal_shows_a_bar(
    start: Callable[..., Any],
    write_tokens: Callable[..., Path],
    variables: dict[str, str],
    coloured: bool,
) -> None:
    """A terminal gets a bar, which leaves no trace; NO_COLOR takes the colours away."""
    write_tokens(30)
    terminal, theirs = pty.openpty()
    with LocalNovu.in_thread(latency=0.02) as slow:
        environment = variables | {"TERM": "xterm-256color", "NOVU_SERVER_URL": slow.url}
        process = start(
            "register",
            "tokens.csv",
            "--concurrency",
            "2",
            env=environment,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = _read_all(terminal)
    os.close(terminal)
    assert process.wait(timeout=20) == 0
    assert "sending" in shown
    assert "tokens stored" in shown
    assert bool(re.search(r"\x1b\[[\d;]*[34]\d[\d;]*m", shown)) == coloured
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor is left hidden"


def test_pipe_shows_no_bar(start: Callable[..., Any], write_tokens: Callable[..., Path]) -> None:
    """A pipe gets no escape sequence, also where colours are forced elsewhere."""
    write_tokens(5)
    process = start("register", "tokens.csv", env={"TERM": "xterm", "FORCE_COLOR": "1"})
    out, err = process.communicate(timeout=20)
    assert "\x1b" not in out + err
    assert err == ""
