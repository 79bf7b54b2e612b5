"""How far a job is: a bar on a terminal, a line every ten seconds elsewhere."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from novu_async.cli._output import count, format_seconds, say

if TYPE_CHECKING:
    from novu_async.bulk import Progress

SECONDS_BETWEEN_LINES = 10.0


class Display(Protocol):
    """Shows the latest Progress, and messages beside it."""

    def show(self, progress: "Progress") -> None:
        """Take in how far the job is."""

    def note(self, text: str) -> None:
        """Write a message for a person."""


class Lines:
    """Writes a line from time to time."""

    def __init__(
        self,
        seconds_between: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds_between = seconds_between
        self._clock = clock
        self._last = clock()

    def show(self, progress: "Progress") -> None:
        """Write a line if it is time."""
        now = self._clock()
        if now - self._last >= self._seconds_between:
            self._last = now
            say(format_line(progress))

    def note(self, text: str) -> None:
        """Write a message."""
        say(text)


@contextmanager
def open_display(
    *, quiet: bool = False, seconds_between_lines: float = SECONDS_BETWEEN_LINES
) -> Iterator[Display]:
    """Choose how to show progress, for as long as a job runs."""
    if quiet:
        yield Lines(math.inf)
    elif _is_terminal():
        from novu_async.cli._bar import Bar

        bar = Bar()
        with suppress(OSError):
            bar.start()
        try:
            yield bar
        finally:
            with suppress(OSError):
                bar.stop()
    else:
        yield Lines(seconds_between_lines)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    except (AttributeError, ValueError):  # closed
        return False


def count_settled(progress: "Progress") -> tuple[int, int]:
    """Return how many rows are dealt with, and how many there are to deal with."""
    settled = progress.done + progress.failed
    return settled, settled + progress.waiting


def describe_rate(progress: "Progress") -> str:
    """Say how fast requests go; empty while nothing is known."""
    return f"{progress.rate:,.0f} requests/s" if progress.rate else ""


def describe_limit(progress: "Progress") -> str:
    """Say what the server admits; empty where it has announced nothing."""
    if progress.stopped_for:
        return f"server asks to wait {progress.stopped_for:.0f} s"
    limit = progress.rate_limit
    return "" if limit is None else f"limit {limit.per_second:,.0f}/s"


def format_line(progress: "Progress") -> str:
    """Say everything in one line."""
    if progress.phase in ("reading", "merging"):
        return f"{progress.phase}: {count(progress.rows, 'row')}"
    settled, total = count_settled(progress)
    percent = 100 * settled // total if total else 100
    parts = [
        f"{progress.phase}: {settled:,} of {count(total, 'row')} ({percent} %)",
        f"{progress.failed:,} failed",
        describe_rate(progress),
        describe_limit(progress),
    ]
    if progress.seconds_left is not None:
        parts.append(f"{format_seconds(progress.seconds_left)} left")
    return ", ".join(part for part in parts if part)
