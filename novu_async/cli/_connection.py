"""Where the API is, the key to it, and a client that is known to reach it."""

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

import click

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from novu_async import Novu

_KEY_VARIABLES = ("NOVU_API_KEY", "NOVU_SECRET_KEY")
_MAX_KEY_BYTES = 4096
_PAUSES = (0.5, 1.0, None)
_CONNECT_SECONDS = 10.0
_NEXT_ADDRESS_SECONDS = 0.25
"""After so long the next address of a name is tried as well."""

_CHECK_SERVER = "check --server-url (or NOVU_SERVER_URL), and the network"
_CHECK_PROXY = "check the proxy of the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY)"


class Connection(NamedTuple):
    """Where the API is and how to be let in, as the options say."""

    api_key_file: str | None
    server: str | None
    server_url: str | None
    timeout: float

    @asynccontextmanager
    async def open(self, **more: Any) -> "AsyncIterator[Novu]":
        """Yield a client whose server takes connections.

        Calls are repeated for minutes, as befits an outage in the middle of a job; a server that is
        not there at all is better known at once. Raises click.UsageError where there is no key,
        APIConnectionError where there is no server.
        """
        async with self._make_client(**more) as novu:
            settings = novu._pipeline.settings
            if settings.proxy is None:
                await _check_reachable(urlsplit(settings.server_url), _CHECK_SERVER)
            else:
                await _check_reachable(urlsplit(settings.proxy), _CHECK_PROXY)
            yield novu

    def _make_client(self, **more: Any) -> "Novu":
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


async def _check_reachable(url: SplitResult, advice: str) -> None:
    import asyncio
    import ssl

    from novu_async.errors import APIConnectionError

    where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    for pause in _PAUSES:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await _connect(url)
        except OSError as error:
            if pause is None or isinstance(error, TimeoutError | ssl.SSLError):
                why = f"cannot connect to {where}: {_explain(error)}; {advice}"
                if isinstance(error, ssl.SSLError):
                    why += "; SSL_CERT_FILE may name further authorities"
                raise APIConnectionError(why) from error
            await asyncio.sleep(pause)
        else:
            return


async def _connect(url: SplitResult) -> None:
    """Connect to an address of the host, as aiohttp does: those that are dead hold up no other."""
    import asyncio
    import ssl
    from socket import SOCK_STREAM

    from aiohappyeyeballs import start_connection  # aiohttp's own

    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.hostname, port, type=SOCK_STREAM)
    tls: dict[str, Any] = {}
    if url.scheme == "https":
        tls = {"ssl": ssl.create_default_context(), "server_hostname": url.hostname}
    reached = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
    _, writer = await asyncio.open_connection(sock=reached, **tls)
    writer.transport.abort()


def _explain(error: OSError) -> str:
    import ssl

    if isinstance(error, TimeoutError):
        return f"no answer within {_CONNECT_SECONDS:.0f} s"
    has_numbers_of_its_own = isinstance(error, ssl.SSLError)
    if error.errno is not None and error.errno > 0 and not has_numbers_of_its_own:
        return os.strerror(error.errno)
    return error.strerror or str(error)
