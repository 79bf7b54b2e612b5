"""The settings of one client, from arguments and the environment, in one function."""

import ipaddress
import os
import re
import ssl as ssl_module
from collections.abc import Callable, Mapping
from math import inf
from types import EllipsisType
from typing import Any, ParamSpec, TypeGuard, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import field, frozen
from yarl import URL

from novu_async._checks import check_header_value
from novu_async._retry import DEFAULT_RETRIES, RetryConfig, is_duration
from novu_async._secrets import name_type, refuse_copy, show_number
from novu_async._version import __version__
from novu_async.errors import ConfigurationError, InvalidRequestError
from novu_async.observing import Observer

SERVERS = {"us": "https://api.novu.co", "eu": "https://eu.api.novu.co"}
"""Novu's own regions; a key of one is unknown (401) in the other."""

_PORTS = {"http": 80, "https": 443}

_KEY_VARIABLES = ("NOVU_API_KEY", "NOVU_SECRET_KEY")
_URL_VARIABLE = "NOVU_SERVER_URL"
_RESERVED_HEADERS = frozenset(
    {"authorization", "content-length", "content-type", "host", "idempotency-key"}
    | {"transfer-encoding", "connection"}
)

_is_token = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+").fullmatch

Key = str | Callable[[], str | None] | None
"""The API key as callers may give it: a text, or a function that returns it."""

P = ParamSpec("P")
T = TypeVar("T")


@frozen(kw_only=True)
class Settings:
    """What one client works with; made by `make_settings`, checked, and never changed.

    `headers` are all those of a request without a body, the key included.
    """

    api_key: str = field(repr=False)
    server_url: str
    timeout: float
    max_connections: int
    max_reply_bytes: int
    proxy: str | None = field(repr=False)
    ssl: ssl_module.SSLContext | bool
    session: Any
    headers: Mapping[str, str] = field(repr=False)
    retries: RetryConfig | None
    share: float
    confirm_after: float | None
    observer: Observer | None

    __reduce__ = refuse_copy  # they are in every part of a client


def make_settings(
    *,
    api_key: Key,
    secret_key: Key,
    server: str | None,
    server_idx: int | None,
    server_url: str | None,
    timeout: float,
    timeout_ms: float | None,
    max_connections: int,
    max_reply_bytes: int,
    proxy: str | None,
    ssl: ssl_module.SSLContext | bool,
    trust_env: bool,
    session: Any,
    headers: Mapping[str, str] | None,
    retries: RetryConfig | EllipsisType | None,
    retry_config: RetryConfig | EllipsisType | None,
    share: float,
    confirm_after: float | None,
    observer: Observer | None,
) -> Settings:
    """Check the arguments of a client and fill in what the environment gives.

    An argument wins over the environment; an empty text counts as not given. Of `timeout` and
    `timeout_ms`, and of `retries` and `retry_config`, the second counts; `server_idx` takes no
    `server` beside it. The environment is no variable here, which error trackers would look into.
    Raises ConfigurationError with the way out.
    """
    url = _find_server_url(server_url, _find_region(server, server_idx))
    key = _find_key(api_key, secret_key)
    if timeout_ms is not None:
        timeout = _check_positive(timeout_ms, "timeout_ms") / 1000
    if retry_config is not ...:
        retries = retry_config
    return Settings(
        api_key=key,
        server_url=url,
        timeout=_check_positive(timeout, "timeout"),
        max_connections=_check_count(max_connections, "max_connections"),
        max_reply_bytes=_check_count(max_reply_bytes, "max_reply_bytes"),
        proxy=_find_proxy(url) if trust_env and not proxy else _check_proxy(proxy or None),
        ssl=_check_ssl(ssl),
        session=_check_has(session, "session", "an aiohttp.ClientSession", "request", "closed"),
        headers=merge_headers(_make_headers(key), _of_client(check_headers, headers, "headers")),
        retries=DEFAULT_RETRIES if retries is ... else _of_client(check_retries, retries),
        share=_check_share(share),
        confirm_after=(
            None if confirm_after is None else _check_positive(confirm_after, "confirm_after")
        ),
        observer=_check_has(observer, "observer", "an Observer", "call", "attempt"),
    )


def _check_has(value: T, name: str, what: str, *attributes: str) -> T:
    if value is not None and not all(hasattr(value, attribute) for attribute in attributes):
        raise ConfigurationError(f"{name} must be {what}, not a {type(value).__name__}")
    return value


def _check_share(share: float) -> float:
    if _check_positive(share, "share") > 1:
        raise ConfigurationError("share must be a part of the rate limit, above 0 to 1")
    return share


def _check_ssl(ssl: ssl_module.SSLContext | bool) -> ssl_module.SSLContext | bool:
    if not isinstance(ssl, ssl_module.SSLContext | bool):
        raise ConfigurationError(f"ssl cannot be a {type(ssl).__name__}")
    return ssl


def _find_region(server: str | None, server_idx: int | None) -> str | None:
    if server_idx is None:
        return server
    if server or type(server_idx) is not int or server_idx not in (0, 1):
        raise ConfigurationError("server_idx must be 0 (us) or 1 (eu), and takes no server beside")
    return list(SERVERS)[server_idx]


def _find_server_url(server_url: str | None, server: str | None) -> str:
    if server_url and server:
        raise ConfigurationError("give only one of server_url, server and server_idx")
    if server:
        if not isinstance(server, str) or server not in SERVERS:
            raise ConfigurationError(f"server must be 'us' or 'eu', not {server!r}")
        return SERVERS[server]
    url = server_url or os.environ.get(_URL_VARIABLE) or SERVERS["us"]
    return _of_client(check_server_url, url)


def _of_client(check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Check an argument of the client by the rules of a call."""
    try:
        return check(*args, **kwargs)
    except InvalidRequestError as error:
        raise ConfigurationError(error.message) from None


def check_server_url(url: str) -> str:
    """Return a base URL in the form that paths are appended to: without a slash at its end.

    One server has one form, whatever the case of its name, and however its port is written. With a
    dot at its end a name stays another one: a resolver may find another server for it.
    """
    try:
        parts = urlsplit(url)
        server, port = _encode_host(parts.hostname or ""), parts.port
        usable = parts.scheme in _PORTS and "@" not in parts.netloc
    except (ValueError, TypeError, AttributeError):
        usable = False
    # the marks alone count too: after `http://host/?` every path would be a query
    if not usable or re.search(r"[\s\0-\x1f\x7f?#\\]", url) or not parts.path.isascii():
        raise InvalidRequestError(
            "server_url must look like https://api.novu.co or http://localhost:3000/prefix, with a "
            "full name or address, without credentials, query or fragment",
            "server_url",
        )
    if port not in (None, _PORTS[parts.scheme]):
        server += f":{port}"
    return f"{parts.scheme}://{server}{parts.path}".rstrip("/")


def _encode_host(host: str) -> str:
    """Return a host as it stands in a URL; raise ValueError for one that aiohttp could not find."""
    if ":" in host:
        ipaddress.IPv6Address(host)
        return f"[{host}]"
    if re.fullmatch(r"[0-9.]+", host):
        return str(ipaddress.IPv4Address(host))  # `127.1` is for some what `127.0.0.1` is
    name = URL.build(scheme="http", host=host).raw_host or ""
    if not all(re.fullmatch(r"[\w-]{1,63}", label) for label in name.removesuffix(".").split(".")):
        raise ValueError("no name of a host")
    return name


def check_headers(
    headers: Mapping[str, str] | None, argument: str = "http_headers"
) -> dict[str, str]:
    """Return extra headers; those that the client makes itself are refused."""
    checked = {}
    if not isinstance(headers, Mapping | None):
        raise InvalidRequestError(
            f"{argument} must be a dict, not {type(headers).__name__}", argument
        )
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _is_token(name):
            raise InvalidRequestError(
                "a header name has characters that HTTP does not allow", argument
            )
        if name.lower() in _RESERVED_HEADERS:
            way = "; use idempotency_key=" if name.lower() == "idempotency-key" else ""
            raise InvalidRequestError(
                f"the header {name} is made by the client itself{way}", argument
            )
        checked[name] = check_header_value(value, f"header {name}", argument)
    return checked


def check_retries(retries: RetryConfig | None) -> RetryConfig | None:
    """Return None where nothing is sent again.

    What is no RetryConfig is refused before it is needed, which is when a call has failed.
    """
    if not isinstance(retries, RetryConfig | None):
        raise InvalidRequestError(
            f"retries must be a RetryConfig or None, not {name_type(retries, RetryConfig)}",
            "retries",
        )
    return None if retries is None or retries.strategy == "none" else retries


class Headers(dict[str, str]):
    """Headers that show their names only: some tools print the variables of a traceback."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


def merge_headers(headers: Mapping[str, str], extra: Mapping[str, str]) -> Headers:
    """Return headers with others in their place, whatever the case of the names."""
    replaced = {name.lower() for name in extra}
    kept = {name: value for name, value in headers.items() if name.lower() not in replaced}
    return Headers({**kept, **extra})


def _make_headers(key: str) -> dict[str, str]:
    return {
        "Authorization": f"ApiKey {key}",
        "Accept": "application/json",
        "User-Agent": f"novu-async/{__version__}",
    }


def is_plain_http(url: str) -> bool:
    """Tell whether the key would cross a network in clear text; this machine is no network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_here = host == "localhost" or host.endswith(".localhost") or host == "::1"
    return parts.scheme == "http" and not (is_here or host.startswith("127."))


def _find_key(api_key: Key, secret_key: Key) -> str:
    if api_key and secret_key and api_key != secret_key:
        raise ConfigurationError("give api_key or secret_key, not two different keys")
    given = api_key or secret_key
    given = given() if callable(given) else given
    found = given or next(filter(None, map(os.environ.get, _KEY_VARIABLES)), None)
    if not found:
        raise ConfigurationError(
            "no API key: pass api_key=... or set NOVU_API_KEY (or NOVU_SECRET_KEY)"
        )
    if not isinstance(found, str):
        raise ConfigurationError(
            "the API key must be a text, or a function that returns one, not "
            f"{type(found).__name__}"
        )
    key = found.removeprefix("ApiKey ")
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigurationError(
            "the API key has a space, a line break or another character that no key has; was it "
            "read from a file without stripping?"
        )
    return key


def _check_proxy(proxy: str | None, name: str = "proxy") -> str | None:
    if proxy is None:
        return None
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and parts.hostname
        _ = parts.port
        user = unquote(parts.username or "")
        f"{user}{unquote(parts.password or '')}".encode("latin-1")  # as HTTP has it
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable or ":" in user or re.search(r"\s", proxy):
        raise ConfigurationError(f"{name} must look like http://user:password@proxy.example:8080")
    return proxy


def _find_proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    found = proxies.get(kind)
    if not found:
        return None
    url = found if "://" in found else f"http://{found}"
    return _check_proxy(url, f"proxy, from {kind.upper()}_PROXY in the environment,")


def is_positive(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number above zero that a float can hold."""
    return is_duration(value) and 0 < value < inf


def _check_positive(value: object, name: str) -> float:
    if not is_positive(value):
        raise ConfigurationError(f"{name} must be a number above zero, not {show_number(value)}")
    return value


def _check_count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"{name} must be a whole number above zero, not {show_number(value)}"
        )
    return value
