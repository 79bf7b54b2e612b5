"""Options that several commands share."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import click

from novu_async.cli._connection import Connection

Decorator = Callable[[Any], Any]

_STDIN = "-"


def combine(*options: Decorator) -> Decorator:
    """Make one decorator of several, in the order in which they would be stacked."""
    return lambda command: functools.reduce(lambda made, add: add(made), reversed(options), command)


def connects(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the connection; the command gets them as `connection`."""

    @click.option(
        "--api-key-file", metavar="FILE", help="Read the API key from FILE, not from NOVU_API_KEY."
    )
    @click.option(
        "--server", type=click.Choice(["us", "eu"]), help="Region of Novu Cloud [default: us]."
    )
    @click.option("--server-url", metavar="URL", help="Another server; else NOVU_SERVER_URL.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="For each attempt of a request.",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        api_key_file: str | None,
        server: str | None,
        server_url: str | None,
        timeout: float,
        **options: Any,
    ) -> Any:
        if server and server_url:
            raise click.UsageError("give --server or --server-url, not both")
        connection = Connection(api_key_file, server, server_url, timeout)
        return command(*args, connection=connection, **options)

    return wrapper


names_channel = combine(
    click.argument("subscriber_id"),
    click.argument("provider_id"),
    click.option(
        "--integration-identifier",
        metavar="ID",
        help="The integration, where the provider has several [default: the newest].",
    ),
)
takes_tokens = combine(
    click.argument("tokens", nargs=-1, metavar="[TOKEN]..."),
    click.option("--tokens-file", metavar="FILE", help="Read device tokens from FILE, one a line."),
)
"""What `gather_tokens` collects."""

TOKENS_HELP = """
Tokens on the command line can be seen by every user of this machine (ps): give `-` to read them
from standard input, one a line, or use --tokens-file.
"""


def gather_tokens(tokens: Iterable[str], tokens_file: str | None) -> list[str]:
    """Return the device tokens given as arguments, in a file, and on standard input for `-`."""
    gathered: list[str] = []
    for token in tokens:
        gathered += _read_lines(_STDIN) if token == _STDIN else [token]
    return gathered + (_read_lines(tokens_file) if tokens_file else [])


def _read_lines(path: str) -> list[str]:
    try:
        with click.open_file(path, encoding="utf-8-sig") as file:
            return [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError:
        name = "standard input" if path == _STDIN else path
        raise click.UsageError(f"{name} is not UTF-8: it must be text, one token a line") from None


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
reveal_option = click.option(
    "--reveal", is_flag=True, help="Print device tokens and URLs themselves, not fingerprints."
)


def example(*lines: str) -> str:
    """Return an epilog that ends a command's help with lines that can be run."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
