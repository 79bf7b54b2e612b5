"""The client: what a program makes one of, and everything it gives access to."""

import ssl as ssl_module
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from novu_async._checks import check_new_subscriber_id, check_subscriber_id
from novu_async._clock import Clock
from novu_async._converter import parse_subscriber
from novu_async._endpoints import CREATE_SUBSCRIBER
from novu_async._loop import running_loop
from novu_async._options import AS_CLIENT
from novu_async._pacing import RateLimit
from novu_async._pipeline import Pipeline
from novu_async._reading import Reader
from novu_async._retry import RetryConfig
from novu_async._secrets import digest, refuse_copy
from novu_async._settings import make_settings
from novu_async._transport import ClientSession, Transport
from novu_async.credentials import Credentials
from novu_async.device_tokens import DeviceTokens
from novu_async.errors import ConfigurationError
from novu_async.models import SubscriberResponseDto
from novu_async.observing import Observer

if TYPE_CHECKING:
    from novu_async.bulk import Bulk

__all__ = ["Novu", "RateLimit", "Subscribers"]

_PACKAGES = ("novu_async", "novu_sync")


class Subscribers:
    """`novu.subscribers`: what is kept for one subscriber."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._reader = Reader(pipeline)
        self.credentials = Credentials(pipeline)
        """The API's three calls: update, append, delete."""
        self.device_tokens = DeviceTokens(pipeline, self._reader)
        """Verbs for device tokens that merge, check the answer and never erase by accident."""

    async def retrieve(self, subscriber_id: str) -> SubscriberResponseDto:
        """Read a subscriber with its channels.

        Raises SubscriberNotFoundError where there is none. Servers before 2025 answer from a cache
        that may be hours old.
        """
        reply = await self._reader.subscriber(check_subscriber_id(subscriber_id))
        return parse_subscriber(reply.body)

    async def create(self, subscriber_id: str) -> SubscriberResponseDto:
        """Create a subscriber; one that exists already is left as it is.

        The API answers the same in both cases; where its answer cannot be read the result's fields
        are empty. Raises InvalidRequestError for an id with white space around it, which the API
        would leave out.
        """
        subscriber_id = check_new_subscriber_id(subscriber_id)
        document = {"subscriberId": subscriber_id}
        request = self._pipeline.build(CREATE_SUBSCRIBER, AS_CLIENT, document)
        async with self._pipeline.turn(subscriber_id) as turn:
            reply = await self._pipeline.send(request, AS_CLIENT, turn)
        return parse_subscriber(reply.body)


class Novu:
    """A client of the Novu API for one environment; make one and share it.

    Its calls are those of `subscribers.device_tokens`, `subscribers.credentials`, `subscribers`
    (`retrieve`, `create`) and `bulk`: `help(novu.subscribers.device_tokens)` tells them.

    Its connections are opened with the first call, on the event loop of that call, and closed by
    `async with` or `aclose()`. All tasks of that loop may use it at the same time.

    - `api_key`: the environment's secret key, or a function that returns it, called once; else
      NOVU_API_KEY or NOVU_SECRET_KEY. `secret_key`, as the official SDK names it.
    - `server`: "us" (default) or "eu"; or `server_url`, else NOVU_SERVER_URL, for a server of your
      own (a path prefix is kept).
    - `timeout`: seconds for each attempt, from connecting to the last byte of the answer.
    - `max_connections`: open at once, to all servers; further calls wait for one.
    - `max_reply_bytes`: a longer answer raises ReplyTooLargeError.
    - `proxy`: URL of an HTTP proxy; with `trust_env` it is taken from the environment.
    - `ssl`: an SSLContext, or False to accept any certificate.
    - `session`: an aiohttp.ClientSession to send with; it is never closed here.
    - `headers`: sent with every request.
    - `retries`: see RetryConfig; None sends once.
    - `share`: the part of the server's rate limit that this client may use, above 0 to 1; below
      1 the burst is left to others as well.
    - `confirm_after`: seconds after which the verbs of `device_tokens` read back what they wrote;
      for services of which several processes write to one subscriber at the same moment.
    - `observer`: hooks around calls and attempts, see `novu_async.observing`.
    - `server_idx`: `server` as the official SDK names it: 0 is "us", 1 is "eu".
    - `timeout_ms`: `timeout` as the official SDK names it, in milliseconds.
    - `retry_config`: `retries` as the official SDK names it.

    Raises ConfigurationError where one of them cannot work.
    """

    def __init__(
        self,
        api_key: str | Callable[[], str | None] | None = None,
        *,
        secret_key: str | Callable[[], str | None] | None = None,
        server: str | None = None,
        server_url: str | None = None,
        timeout: float = 30.0,
        max_connections: int = 100,
        max_reply_bytes: int = 8 * 1024 * 1024,
        proxy: str | None = None,
        ssl: ssl_module.SSLContext | bool = True,
        trust_env: bool = False,
        session: ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
        retries: RetryConfig | EllipsisType | None = ...,
        share: float = 1.0,
        confirm_after: float | None = None,
        observer: Observer | None = None,
        server_idx: int | None = None,
        timeout_ms: float | None = None,
        retry_config: RetryConfig | EllipsisType | None = ...,
    ) -> None:
        try:
            settings = make_settings(
                api_key=api_key,
                secret_key=secret_key,
                server=server,
                server_url=server_url,
                timeout=timeout,
                max_connections=max_connections,
                max_reply_bytes=max_reply_bytes,
                proxy=proxy,
                ssl=ssl,
                trust_env=trust_env,
                session=session,
                headers=headers,
                retries=retries,
                share=share,
                confirm_after=confirm_after,
                observer=observer,
                server_idx=server_idx,
                timeout_ms=timeout_ms,
                retry_config=retry_config,
            )
        except Exception as error:
            # tools that show the variables of a traceback are to find neither the key nor the
            # environment, and no client that is half made and cannot be shown
            del api_key, secret_key, proxy, headers, self
            if isinstance(error, ConfigurationError):  # else it is of the function for the key
                error.__traceback__ = None
            raise
        self._pipeline = Pipeline(settings, Transport(settings, _caller()), Clock())
        self.subscribers = Subscribers(self._pipeline)

    @cached_property
    def bulk(self) -> "Bulk":
        """Many rows as few requests, merged and paced; they do not hold up single calls."""
        from novu_async.bulk import Bulk  # not before it is needed: it brings sqlite3 and csv

        return Bulk(
            self._make_background,
            server_url=self._pipeline.settings.server_url,
            rate_limit=lambda: self.rate_limit,
            stopped_for=lambda: self._pipeline.gate.stopped_for,
            digest_key=lambda salt: digest(self._pipeline.settings.api_key, salt),
        )

    def _make_background(self, patience: float) -> tuple[Subscribers, Callable[[], int]]:
        pipeline = self._pipeline.in_background(patience)
        return Subscribers(pipeline), lambda: pipeline.requests

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the server has said about its rate limit; None where it has announced none."""
        return self._pipeline.gate.known

    async def aclose(self) -> None:
        """Close the connections; calls under way end with an error. May be called twice."""
        await self._pipeline.aclose()

    async def __aenter__(self) -> Self:
        running_loop()  # under trio the program is told at once
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    if not TYPE_CHECKING:  # checkers refuse a `with` that is not there

        def __enter__(self):
            raise ConfigurationError(
                "novu_async.Novu needs `async with`; in blocking code use novu_sync.Novu"
            )

        def __exit__(self, *_):
            """Be there, so that `with` comes to `__enter__`."""

    __reduce__ = refuse_copy

    def __repr__(self) -> str:
        return f"<Novu {self._pipeline.settings.server_url}>"


def _caller() -> str:
    """Return file and line of the code that makes a client."""
    frame: Any = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
