"""job show: how far a job is, also while it runs in another process."""

from typing import TYPE_CHECKING

import click

from novu_async.cli._options import example, json_option
from novu_async.cli._output import count, echo, echo_json, format_seconds

if TYPE_CHECKING:
    from novu_async.bulk import Report

_EXAMPLE = (
    "novu-credentials register examples/device_tokens.csv --job tokens.job || true",
    "novu-credentials job show tokens.job",
)


@click.group(epilog=example(*_EXAMPLE))
def job() -> None:
    """Look at job files."""


@job.command(epilog=example(*_EXAMPLE))
@click.argument("file")
@json_option
def show(file: str, as_json: bool) -> None:
    """Show what a job has done so far, also while it runs.

    Counts, failures by reason, and rate.
    """
    from novu_async.bulk import read_job
    from novu_async.cli._reports import as_json as make_json
    from novu_async.cli._reports import format_report

    report = read_job(file)
    left = _seconds_left(report)
    if as_json:
        echo_json(make_json(report, seconds_left=left))
        return
    echo(f"{report.operation} of {report.source} at {report.server_url}")
    echo(format_report(report))
    if report.waiting == 0 and 0 < report.verified < report.done:
        echo(f"read back: {report.verified:,} of {count(report.done, 'row')}")
    elif not report.waiting:
        echo("nothing waits")
    elif left is None:
        echo(f"{count(report.waiting, 'row')} waiting")
    else:
        echo(f"{count(report.waiting, 'row')} waiting: {format_seconds(left)} at this rate")


def _seconds_left(report: "Report") -> float | None:
    """Return how long the waiting rows take at the rate so far; None while there is none."""
    settled = report.done + report.failed
    return report.waiting * report.seconds / settled if settled and report.seconds else None
