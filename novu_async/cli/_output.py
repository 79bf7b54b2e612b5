"""What people and programs read: results on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click


def echo(text: str) -> None:
    """Write a result to standard output; a reader that has gone away is no error."""
    try:
        click.echo(text, color=_colour())
    except BrokenPipeError:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), sys.stdout.fileno())


def echo_json(value: Any) -> None:
    """Write a result as one line of JSON."""
    echo(json.dumps(value))


def say(text: str) -> None:
    """Write a message to standard error, if there still is one."""
    with suppress(OSError, ValueError):
        click.echo(text, err=True, color=_colour())


def _colour() -> bool | None:
    """Return False where the user wants none, and None where it depends on the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def format_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Lay out label, number and remark, one row a line."""
    labels = max(len(label) for label, _, _ in rows)
    numbers = max(len(number) for _, number, _ in rows)
    return "\n".join(
        f"{label:<{labels}}  {number:>{numbers}}{f'  {remark}' if remark else ''}"
        for label, number, remark in rows
    )


def format_seconds(seconds: float) -> str:
    """Write a duration as people do: 4.2 s, 3:07, 2:15:00, 3 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: int, noun: str) -> str:
    """Write a number with its noun: 1 row, 2,000 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def good(text: str) -> str:
    """Colour what went well."""
    return click.style(text, fg="green")


def bad(text: str) -> str:
    """Colour what went wrong."""
    return click.style(text, fg="red")
