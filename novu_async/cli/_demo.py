"""demo: the main job on a local server in this process, and a look at what it stored."""

import shlex
from collections import Counter
from typing import TYPE_CHECKING

import click

from novu_async.cli._errors import FAILED
from novu_async.cli._options import example
from novu_async.cli._output import bad, count, echo, good, say

if TYPE_CHECKING:
    from novu_async.bulk import Report
    from novu_async.cli._progress import Display
    from novu_async.testing import LocalNovu

    Stored = tuple[str, str, str]

_REQUESTS_A_SECOND = 150
_SECONDS_BETWEEN_LINES = 1.0

_NEXT = """
Next, with your environment's secret key (in the eu region add --server eu):

  export NOVU_API_KEY=...
  {program} register YOUR_FILE.csv --dry-run
  {program} register YOUR_FILE.csv
"""


@click.command(epilog=example("novu-credentials demo examples/device_tokens.csv"))
@click.argument("file")
def demo(file: str) -> int:
    """Try it out: register FILE with a local server in this process.

    Then compare what that server holds with FILE: every valid token has to be there exactly once.
    Needs no key and no network.
    """
    from novu_async.cli._jobs import called_as
    from novu_async.cli._progress import open_display
    from novu_async.cli._reports import format_report
    from novu_async.cli._run import run
    from novu_async.testing import LocalNovu

    local = LocalNovu(rate_limit=_REQUESTS_A_SECOND)
    with open_display(seconds_between_lines=_SECONDS_BETWEEN_LINES) as display:
        report = run(_register(file, local, display))
    echo(format_report(report))
    correct = _check(file, local)
    echo(_NEXT.rstrip().format(program=shlex.join(called_as())))
    return 0 if correct and report.failed == report.waiting == 0 else FAILED


async def _register(file: str, local: "LocalNovu", display: "Display") -> "Report":
    from novu_async import Novu
    from novu_async.bulk import read_file

    async with local, Novu(api_key=local.api_key, server_url=local.url) as novu:
        display.note(
            f"a local server at {local.url} admits {_REQUESTS_A_SECOND} requests/s after a burst"
        )
        return await novu.bulk.register(read_file(file), progress=display.show)


def _check(file: str, local: "LocalNovu") -> bool:
    """Compare the server's state with the file, and say what was found."""
    expected, stored = _read_expected(file), _count_stored(local)
    missing = sum(stored[token] == 0 for token in expected)
    repeated = sum(number > 1 for number in stored.values())
    foreign = len(stored.keys() - expected)
    once = sum(stored[token] == 1 for token in expected)
    correct = not (missing or repeated or foreign)
    echo("")
    echo(
        (good if correct else bad)(
            f"{once:,} of {count(len(expected), 'valid token')} of "
            f"{count(len({token[0] for token in expected}), 'subscriber')} "
            "are stored exactly once"
        )
    )
    if not correct:
        say(f"{missing:,} are missing, {repeated:,} are there twice, {foreign:,} are not of FILE")
    return correct


def _read_expected(file: str) -> "set[Stored]":
    from novu_async.bulk import read_file
    from novu_async.bulk.records import Row

    return {
        (row.subscriber_id, row.provider_id, row.token)
        for row in read_file(file).rows("append")
        if isinstance(row, Row) and row.token is not None
    }


def _count_stored(local: "LocalNovu") -> "Counter[Stored]":
    return Counter(
        (subscriber_id, channel["providerId"], token)
        for subscriber_id, document in local.subscribers.items()
        for channel in document["channels"]
        for token in channel["credentials"].get("deviceTokens") or ()
    )
