"""serve: LocalNovu on a port, to develop and test against."""

from contextlib import suppress

import click

from novu_async.cli._errors import EndedBySignalError
from novu_async.cli._options import example
from novu_async.cli._output import echo, say

_KEPT_REQUESTS = 10_000


@click.command(epilog=example("novu-credentials serve --port 3999 --rate-limit 20"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 takes any."
)
@click.option("--api-key", help="The key it accepts, made up by you.")
@click.option(
    "--seed",
    metavar="FILE",
    help='What there is to start with: JSON such as {"subscribers": ["user-42"], '
    '"integrations": ["fcm"], "subscriber_range": {"prefix": "sub-", "count": 9}}.',
)
@click.option(
    "--rate-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Requests a second that it admits [default: any].",
)
@click.option("--idempotency", is_flag=True, help="Honour Idempotency-Key.")
@click.option(
    "--era",
    type=click.Choice(["2024", "2026"]),
    default="2026",
    show_default=True,
    help="Which age of the API it behaves like.",
)
@click.option("--strict", is_flag=True, help="Start empty: no subscriber exists on first use.")
@click.option("--atomic", is_flag=True, help="Lose no concurrent writes, unlike the real API.")
def serve(
    host: str,
    port: int,
    api_key: str | None,
    seed: str | None,
    rate_limit: float | None,
    idempotency: bool,
    era: str,
    strict: bool,
    atomic: bool,
) -> None:
    """Serve the API's behaviour on this machine, state in memory.

    Prints `ready: http://HOST:PORT` when it listens; Ctrl-C stops it. Point NOVU_SERVER_URL there.
    GET /__local/subscribers/ID and /__local/requests show what is stored and what arrived.
    """
    from novu_async.cli._run import run
    from novu_async.cli._seed import read_seed
    from novu_async.testing import DEFAULT_API_KEY, LocalNovu

    local = LocalNovu(
        era=era,  # type: ignore[arg-type]
        strict=strict,
        api_keys=(api_key or DEFAULT_API_KEY,),
        atomic=atomic,
        rate_limit=rate_limit,
        idempotency=idempotency,
        host=host,
        port=port,
        max_requests=_KEPT_REQUESTS,
        **(read_seed(seed) if seed else {}),
    )

    async def listen() -> None:
        try:
            await local.start()
        except OSError as error:
            raise click.ClickException(
                f"cannot listen: {error.strerror or error}; choose another --host or --port"
            ) from error
        echo(f"ready: {local.url}")
        if api_key is None:
            say(f"its API key is {local.api_key}")
        await local.serve_forever()

    with suppress(EndedBySignalError):
        run(listen())
