"""register and verify: a whole file at once."""

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from novu_async.cli._connection import Connection
from novu_async.cli._errors import FAILED
from novu_async.cli._options import combine, connects, example, json_option
from novu_async.cli._output import echo, echo_json

if TYPE_CHECKING:
    from novu_async.bulk import DryRun

_source_options = combine(
    click.argument("file", required=False),
    click.option(
        "--select",
        metavar="SQL",
        help="Rows of a query over files in place of FILE (needs the extra parquet).",
    ),
    click.option(
        "--map",
        "mapping",
        multiple=True,
        metavar="FIELD=COLUMN",
        help="What a field is called in FILE, such as subscriber_id=user_id; repeatable.",
    ),
    click.option(
        "--provider", metavar="ID", help="Provider of all rows, such as fcm, whatever FILE says."
    ),
    click.option("--integration-identifier", metavar="ID", help="Integration of all rows."),
    click.option(
        "--only-retryable",
        is_flag=True,
        help="Of a failures file, only the rows that can succeed as they are.",
    ),
)
_run_options = combine(
    click.option(
        "--job",
        metavar="PATH",
        help="Job file that remembers what is done [default: FILE.job here, removed at the end].",
    ),
    click.option(
        "--failures",
        metavar="PATH",
        help="Where to write rows that failed [default: like tokens.failed.csv, here].",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1, 10_000),
        default=64,
        show_default=True,
        metavar="N",
        help="Requests at the same time.",
    ),
    click.option(
        "--share",
        type=click.FloatRange(0, 1, min_open=True),
        default=1.0,
        show_default=True,
        metavar="PART",
        help="Part of the server's rate limit to use, such as 0.5.",
    ),
    click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
    json_option,
    connects,
)


@click.command(
    epilog=example(
        "novu-credentials register examples/device_tokens.csv --dry-run",
        "novu-credentials register examples/device_tokens.csv",
    )
)
@_source_options
@click.option(
    "--operation",
    type=click.Choice(["append", "replace", "remove", "delete"]),
    default="append",
    show_default=True,
    help="What to do with each row; replace makes the rows of a channel its only tokens.",
)
@click.option(
    "--on-missing",
    type=click.Choice(["raise", "create"]),
    default="raise",
    show_default=True,
    help="Unknown subscribers: fail their rows, or create them.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, send nothing.")
@click.option("--verify", "verifies", is_flag=True, help="Read back afterwards what was written.")
@_run_options
def register(operation: str, on_missing: str, dry_run: bool, verifies: bool, **options: Any) -> int:
    """Register the device tokens of FILE; `-` is standard input.

    CSV with a header, JSON Lines, gzip of both, or Parquet, with the fields subscriber_id,
    provider_id and token (or webhook_url), and integration_identifier where it is needed. Rows are
    merged, so that each channel takes one request, sent as fast as the server admits, and checked.

    Ctrl-C finishes what is in flight and saves; the same command goes on. Without FILE, --job goes
    on with a job alone. Job and failures files hold tokens; only you can read them.
    """
    if dry_run:
        return _plan(operation, on_missing, **options)

    chosen = {"operation": operation, "on_missing_subscriber": on_missing, "verify": verifies}
    return _run("", lambda bulk, **more: bulk.register(**chosen, **more), **options)


@click.command(epilog=example("novu-credentials verify examples/device_tokens.csv"))
@_source_options
@_run_options
def verify(**options: Any) -> int:
    """Say which tokens of FILE are not stored; writes nothing.

    FILE is what `register` takes. Every channel is read back, as fast as the server admits.
    """
    return _run("verify", lambda bulk, **more: bulk.verify(**more), **options)


def _run(
    verb: str,
    begin: Callable[..., Any],
    *,
    job: str | None,
    failures: str | None,
    concurrency: int,
    share: float,
    quiet: bool,
    as_json: bool,
    connection: Connection,
    **source: Any,
) -> int:
    from novu_async.cli._files import STDIN, choose_files, choose_files_of_job
    from novu_async.cli._jobs import Job, run_job
    from novu_async.cli._limits import make_room

    make_room(concurrency)
    origin: str | None = source["file"]
    records = None
    if origin is None and source["select"] is None and job is not None:
        if not os.path.exists(job):
            raise click.UsageError(f"the job file {job} does not exist: give FILE to begin it")
        files = choose_files_of_job(job, failures, verb=verb)
    else:
        files = choose_files(origin, job, failures, verb=verb)
        records = make_source(**source)
    begin = partial(
        begin, job=files.job, failures=files.failures, concurrency=concurrency, records=records
    )
    can_begin_again = records is not None and origin != STDIN
    return run_job(
        Job(begin, files, origin, can_begin_again, connection, concurrency, share, quiet, as_json)
    )


def make_source(
    *,
    file: str | None,
    select: str | None,
    mapping: tuple[str, ...],
    provider: str | None,
    integration_identifier: str | None,
    only_retryable: bool,
) -> Any:
    """Return the source that the options name; raise click.UsageError where they do not fit."""
    from novu_async.bulk import read_file, read_select

    constants = {"provider_id": provider, "integration_identifier": integration_identifier}
    given = {name: value for name, value in constants.items() if value is not None}
    columns = dict(_split_mapping(one) for one in mapping)
    if (file is None) == (select is None):
        raise click.UsageError("give FILE, or - for standard input, or --select SQL")
    if select is not None:
        return read_select(select, only_retryable=only_retryable, columns=columns, constants=given)
    return read_file(str(file), only_retryable=only_retryable, columns=columns, constants=given)


def _split_mapping(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise click.UsageError(f"--map takes FIELD=COLUMN, not {text!r}")
    return name, column


def _plan(operation: Any, on_missing: Any, *, quiet: bool, as_json: bool, **options: Any) -> int:
    from novu_async.bulk import plan
    from novu_async.cli._progress import open_display
    from novu_async.cli._reports import as_json as make_json
    from novu_async.cli._reports import format_dry_run
    from novu_async.cli._run import run

    names = ("file", "select", "mapping", "provider", "integration_identifier", "only_retryable")
    source = make_source(**{name: options[name] for name in names})
    with open_display(quiet=quiet) as display:

        async def call() -> "DryRun":
            return await plan(
                source,
                operation=operation,
                on_missing_subscriber=on_missing,
                progress=display.show,
            )

        result = run(call())
    if as_json:
        echo_json(make_json(result))
    else:
        echo(format_dry_run(result))
    return 0 if result.ok else FAILED
