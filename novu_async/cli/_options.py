"""Options that several commands share."""

import functools
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from novu_async import Novu

Command = TypeVar("Command", bound=Callable[..., Any])

_KEY_VARIABLES = ("NOVU_API_KEY", "NOVU_SECRET_KEY")
_MAX_KEY_BYTES = 4096
_STDIN = "-"


class Connection(NamedTuple):
    """Where the API is and how to be let in, as the options say."""

    api_key_file: str | None
    server: str | None
    server_url: str | None
    timeout: float

    def make_client(self, **more: Any) -> "Novu":
        """Return a client; raise click.UsageError where there is no key."""
        from novu_async import Novu

        return Novu(
            api_key=self._find_key(),
            server=self.server,
            server_url=self.server_url,
            timeout=self.timeout,
            trust_env=not _is_loopback(self.server_url or os.environ.get("NOVU_SERVER_URL") or ""),
            **more,
        )

    def _find_key(self) -> str | None:
        if self.api_key_file is not None:
            return _read_key(self.api_key_file)
        if not any(os.environ.get(name) for name in _KEY_VARIABLES):
            raise click.UsageError("no API key: set NOVU_API_KEY, or give --api-key-file FILE")
        return None


def _read_key(path: str) -> str:
    with click.open_file(path, "rb") as file:
        content: bytes = file.read(_MAX_KEY_BYTES)
    key = content.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    if not key:
        raise click.UsageError(f"the API key file {path} is empty")
    return key


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.startswith("127.")


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


def names_channel(command: Command) -> Command:
    """Add the arguments that name a channel."""
    decorators: list[Callable[[Any], Any]] = [
        click.argument("subscriber_id"),
        click.argument("provider_id"),
        click.option(
            "--integration-identifier",
            metavar="ID",
            help="The integration, where the provider has several [default: the newest].",
        ),
    ]
    return functools.reduce(lambda made, add: add(made), reversed(decorators), command)


def takes_tokens(command: Command) -> Command:
    """Add the arguments that give device tokens; `gather_tokens` collects them."""
    from_file = click.option(
        "--tokens-file", metavar="FILE", help="Read device tokens from FILE, one a line."
    )
    return click.argument("tokens", nargs=-1, metavar="[TOKEN]...")(from_file(command))


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
