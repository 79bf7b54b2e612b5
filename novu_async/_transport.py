"""One HTTP exchange: the only importer of aiohttp on the client's side.

aiohttp                                       here
ClientConnectorError, ConnectionTimeoutError  APIConnectionError / APITimeoutError, not applied
ClientSSLError, a certificate they want       APIConnectionError, not applied, not retried
ClientHttpProxyError                          ConfigurationError (4xx) / APIConnectionError
ServerTimeoutError, TimeoutError              APITimeoutError, may have been applied
ServerDisconnectedError, reset, cut-off body  APIConnectionError, may have been applied
a body over max_reply_bytes                   ReplyTooLargeError, may have been applied
an answer before the request                  another connection
a session that is closed                      ClientClosedError
an answer that is not HTTP                    APIConnectionError, may have been applied
InvalidURL and its like                       InvalidRequestError
"""

import asyncio
import inspect
import math
import ssl
import sys
import time
import warnings
from collections.abc import Coroutine
from contextlib import nullcontext, suppress
from functools import lru_cache
from typing import Any

import aiohttp
from aiohttp import ClientSession as ClientSession
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from novu_async._loop import explain_no_loop, keep_large_blocks
from novu_async._retry import RetryConfig
from novu_async._settings import Settings
from novu_async._shielding import is_callers_own
from novu_async._wire import Reply, Request
from novu_async.errors import (
    APIConnectionError,
    APITimeoutError,
    CallError,
    ClientClosedError,
    ConfigurationError,
    InvalidRequestError,
    NovuError,
    ReplyTooLargeError,
)

_IDLE_SECONDS = 30.0
"""Half of what servers and load balancers allow: a connection is not used while they close it."""

_RESENT_BY_AIOHTTP = frozenset({"GET", "PUT", "DELETE"})
"""When their connection is dropped; our own session is told not to."""

_LEAST_SECONDS = 0.001
"""What an exchange may take, where next to nothing is left: zero would mean no limit."""

_MAX_SPOILT = 100
"""How many kept connections are replaced for one request: as many as there are by default."""

_LONGEST_HEADER = 65_536
"""In bytes: a write that succeeded is no error because a proxy adds much to its answer."""

_MOST_HEADERS = 1_000
"""Lines, where aiohttp counts them: its own limit of 128 is new."""

_JSON = "application/json"
_TYPED = {"Content-Type": _JSON}
"""A session of the caller may have another type by default, or leave it out."""

_CLOSED_SESSION = "the aiohttp session that was passed in is closed"

_RESETS = (aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)
_DROPS = (aiohttp.ServerDisconnectedError, *_RESETS)
_FAILURES = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, ValueError)


class _TooLargeError(aiohttp.ClientPayloadError):
    """A body that was given up at the limit."""


class _SpoiltError(aiohttp.ClientConnectionError):
    """A kept connection on which an answer came that nobody had asked for."""


class _ApiRequest(aiohttp.ClientRequest):
    """A request that is not sent where an earlier answer would be taken for its own.

    Some servers tell an idle connection why they will close it (408), and then may not.
    """

    def send(self, conn: Any) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        if conn.protocol is None or conn.protocol.should_close:
            raise _SpoiltError("an answer came before the request")
        return super().send(conn)


class _Connector(aiohttp.TCPConnector):
    """Makes connections in tasks of their own, so that closing a client can end them.

    aiohttp has no public way to do so, and goes on connecting for a session that is closed.
    """

    def __init__(self, connecting: set[asyncio.Task[Any]], **options: Any) -> None:
        super().__init__(**options)
        self._connecting = connecting

    async def _create_connection(self, *args: Any) -> Any:
        task = asyncio.ensure_future(super()._create_connection(*args))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().close()  # it was made just as its caller was cancelled
            raise


class Transport:
    """Sends requests over one aiohttp session, which it makes on the loop of the first request."""

    def __init__(self, settings: Settings, made_at: str) -> None:
        self._settings = settings
        self._made_at = made_at
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = f"{settings.server_url}/"
        self._server_url = URL(settings.server_url, encoded=True)
        self._path_begins = self._server.index("/", self._server.index("//") + 2)
        self._session_headers: Any = None
        self._foreign: dict[str, Any] = {}
        self._reading: set[aiohttp.ClientResponse] = set()
        self._connecting: set[asyncio.Task[Any]] = set()
        self._sending: set[asyncio.Timeout] = set()
        self.closed = False

    async def send(self, request: Request, timeout: float, retries: RetryConfig | None) -> Reply:
        """Send and read the whole answer, within `timeout` seconds.

        Where `retries` allow it, a connection that is closed before the answer begins, as a kept
        one may be just as it is used, is replaced at once by another one: the requests of this
        package may be sent twice. The answer or error counts both as `attempts`.
        """
        failure: Exception
        send = self._send_once if self._settings.session is None else self._send_until_closed
        began, left, attempts, spoilt = time.monotonic(), timeout, 1, 0
        while True:
            try:
                reply = await send(request, left)
            except _FAILURES as error:
                failure = error
            else:
                reply.attempts = attempts
                return reply
            if _is_dropped(failure) or isinstance(failure, TimeoutError):
                self._close_kept()
            if isinstance(failure, _SpoiltError) and spoilt < _MAX_SPOILT:
                spoilt += 1  # nothing was sent
            elif attempts == 1 and self._resends(request, failure, retries):
                attempts = 2
            else:
                break
            left = timeout - (time.monotonic() - began)
        translated = _translate(failure, request, timeout)
        if isinstance(translated, CallError):
            translated.attempts = attempts
        try:
            # outside of `except`, so that no __context__ keeps what _cause_of drops
            raise translated from _cause_of(failure)
        finally:
            del failure, translated  # their tracebacks refer to this frame

    def _close_kept(self) -> None:
        """Close the idle connections where one was dead: others may be, and would cost a retry."""
        connector = None if self._session is None else self._session.connector
        if isinstance(connector, _Connector):
            for kept in getattr(connector, "_conns", {}).values():  # there is no public way
                for transport in filter(None, [protocol.transport for protocol, _ in kept]):
                    transport.abort()  # TLS would wait for an answer of the dead

    async def _send_once(self, request: Request, timeout: float) -> Reply:
        session = self._session if self._session is not None else self._open_session()
        try:
            response = await session.request(
                request.endpoint.method,
                self._parse(request.url),
                data=request.body and aiohttp.BytesPayload(request.body, content_type=_JSON),
                timeout=_client_timeout(timeout),
                allow_redirects=False,
                # our own session has these already; they are no variable of this frame, which
                # error trackers would look into
                headers=None
                if request.headers is self._session_headers
                else {**request.headers, **(_TYPED if request.body else {})},
                **self._foreign,
            )
            self._reading.add(response)
            try:
                body = await _read(response, self._settings.max_reply_bytes)
            finally:
                self._reading.discard(response)
                response.release()
            return Reply(response.status, response.headers, body)
        except RuntimeError:
            if session.closed:
                raise ClientClosedError(_CLOSED_SESSION) from None
            raise
        except asyncio.CancelledError:
            # who waits for a connection of a session is cancelled when that is closed
            if session.closed and not is_callers_own():
                self.check_usable()
                raise ClientClosedError(_CLOSED_SESSION) from None
            raise

    async def _send_until_closed(self, request: Request, timeout: float) -> Reply:
        """Send over a session of the caller's, which stays open where the client is closed."""
        scope = asyncio.timeout(None)
        self._sending.add(scope)
        try:
            async with scope:
                return await self._send_once(request, timeout)
        except TimeoutError:
            self.check_usable()
            raise
        finally:
            self._sending.discard(scope)

    def _resends(self, request: Request, failure: Exception, retries: RetryConfig | None) -> bool:
        """Tell whether to send again at once; the session of a caller may have done so."""
        if self._settings.session is not None and request.endpoint.method in _RESENT_BY_AIOHTTP:
            return False
        return retries is not None and retries.resends and _is_dropped(failure)

    def check_usable(self) -> None:
        """Raise where the client is closed, or not on the loop that it belongs to."""
        if self.closed:
            raise ClientClosedError("this client is closed; make a new Novu")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(explain_no_loop()) from None
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "this client belongs to another event loop; make one Novu for each asyncio.run(), "
                "or use novu_sync, which has a loop of its own"
            )

    async def aclose(self) -> None:
        """Close the session, unless the caller brought it; may be called twice."""
        self.closed = True
        for response in self._reading:  # closing its connection would not wake who reads it
            response.content.set_exception(aiohttp.ClientConnectionError("the client was closed"))
        for task in self._connecting:
            task.cancel()
        while self._sending:
            self._sending.pop().reschedule(0)
        session, self._session = self._session, None
        if session is not None and session is not self._settings.session:
            await session.close()

    def _parse(self, url: str) -> URL:
        """Parse a URL; with the client's server known that costs a fourth, 1 % of a call."""
        if url.startswith(self._server):
            return self._server_url.with_path(url[self._path_begins :], encoded=True)
        return URL(url, encoded=True)

    def _open_session(self) -> aiohttp.ClientSession:
        self.check_usable()
        keep_large_blocks()
        settings = self._settings
        if settings.session is not None:
            if settings.session.closed:
                raise ClientClosedError(_CLOSED_SESSION)
            self._session = settings.session
            self._foreign = {
                "proxy": settings.proxy,
                "ssl": settings.ssl,
                "raise_for_status": False,
                "auto_decompress": True,
            }
            return self._session
        # a session's headers go to its proxy too, where they are none of the API's business
        self._session_headers = settings.headers if settings.proxy is None else None
        counts = "max_headers" in inspect.signature(aiohttp.ClientSession).parameters
        limits: dict[str, Any] = {"max_headers": _MOST_HEADERS} if counts else {}
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                self._connecting,
                limit=settings.max_connections,
                keepalive_timeout=_IDLE_SECONDS,
                ssl=settings.ssl,
            ),
            request_class=_ApiRequest,
            headers=self._session_headers,
            proxy=settings.proxy,
            # answers set no cookies that a client would want to send back
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            **limits,
        )
        # aiohttp has no public way to say so; it would send twice and tell nobody
        self._session._retry_connection = False
        return self._session

    def __del__(self) -> None:
        session = self._session
        if session is None or session is self._settings.session or session.closed:
            return
        # at interpreter exit the module may be gone that would keep these
        quiet = nullcontext() if sys.is_finalizing() else warnings.catch_warnings()
        with quiet:
            # one warning is enough: aiohttp would add one for the session and one a connection
            warnings.simplefilter("ignore")
            connector = session.connector
            session.detach()
            if connector is not None:
                self._close_connections(connector)
            del connector
        warnings.warn(  # at the very end: where warnings are errors nothing follows it
            f"a Novu made at {self._made_at} was never closed; use `async with` or await aclose()",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    def _close_connections(self, connector: aiohttp.BaseConnector) -> None:
        def close() -> None:
            # the first step closes the connections, the others would only wait for it
            next(connector.close().__await__(), None)

        loop = self._loop
        if loop is None or not loop.is_running() or asyncio._get_running_loop() is loop:
            close()
            return
        with suppress(RuntimeError):  # it has just been closed
            loop.call_soon_threadsafe(close)  # its connections are not to be used in this thread


@lru_cache(16)
def _client_timeout(seconds: float) -> aiohttp.ClientTimeout:
    seconds = max(seconds, _LEAST_SECONDS)
    # waiting for a connection ends a little earlier, so that it can be told from waiting for an
    # answer; aiohttp would round both up to the same second
    return aiohttp.ClientTimeout(seconds, connect=0.9 * seconds, ceil_threshold=math.inf)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body of at most `limit` bytes, counted after decompression."""
    chunks, size = [], 0
    while True:
        chunk = await response.content.readany()
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise _TooLargeError(f"the answer is larger than {limit:,} bytes")
        if response.content.at_eof():
            return b"".join(chunks)


def _is_dropped(error: Exception) -> bool:
    """Tell whether a connection that was open ended before the answer began."""
    if isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
        return False
    return isinstance(error, _DROPS) and not (_has_begun(error) or _wants_certificate(error))


def _has_begun(error: Exception) -> bool:
    """Tell whether an answer ended among its headers: the error quotes them."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _translate(error: Exception, request: Request, timeout: float) -> NovuError:
    where, writes = f"{request.info.method} {request.info.path}", request.endpoint.writes
    if isinstance(error, aiohttp.InvalidURL):
        return InvalidRequestError(f"{where} is not a URL that can be sent")
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return InvalidRequestError(f"{where} cannot be sent: {error}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        said = f"the proxy answered {error.status} and did not connect"
        if error.status < 500:
            return ConfigurationError(f"{said}: check proxy, its user, password and rules")
        return APIConnectionError(said, request=request.info)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return APITimeoutError(f"no connection within {_show(timeout)} s", request=request.info)
    if isinstance(error, TimeoutError):
        said = f"no complete answer within {_show(timeout)} s"
        return APITimeoutError(said, request=request.info, may_have_applied=writes)
    if isinstance(error, aiohttp.ClientConnectorError) or _wants_certificate(error):
        return APIConnectionError(_describe_unconnected(error, request.url), request=request.info)
    if isinstance(error, _SpoiltError):
        return APIConnectionError(f"not sent: {error}", request=request.info)
    if isinstance(error, _TooLargeError):
        return ReplyTooLargeError(str(error), request=request.info, may_have_applied=writes)
    return APIConnectionError(
        f"the connection broke: {_describe(error)}", request=request.info, may_have_applied=writes
    )


def _show(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _describe_unconnected(error: Any, url: str) -> str:
    why = _one_line(str(error.__cause__))
    if _wants_certificate(error):
        return f"cannot set up TLS, check the client's certificate, which ssl may hold: {why}"
    is_server = (error.host, error.port) == (URL(url).raw_host, URL(url).port)
    check = "server_url" if is_server else "proxy"
    if isinstance(error, aiohttp.ClientSSLError):
        check += " and the server's certificate, whose authority may be given by ssl"
        return f"cannot set up TLS, check {check}: {why}"
    # a port that is open and speaks plain HTTP may reset the connection
    is_reset = isinstance(error.os_error, ConnectionResetError) and url.startswith("https:")
    return (
        f"cannot {'set up TLS' if is_reset else 'connect'}, check {check} and the network: {error}"
    )


def _describe(error: Exception) -> str:
    if _has_begun(error):
        return "the answer ended among its headers"
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        # what follows quotes the answer, which may echo the key
        return f"the answer is not HTTP ({_one_line(error.message.partition(':')[0])})"
    if isinstance(error.__cause__, HttpProcessingError):
        # the text of the error itself gives the answer a status of 400
        return _one_line(error.__cause__.message.partition(":")[0])
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _cause_of(error: Exception) -> BaseException | None:
    """Return what may be shown: others hold headers, and so the key, or the proxy's password."""
    if isinstance(error, aiohttp.ClientResponseError) or _has_begun(error):
        return None
    is_outer = isinstance(error, aiohttp.ClientConnectorError) or _wants_certificate(error)
    return error.__cause__ if is_outer else error


def _wants_certificate(error: Exception) -> bool:
    """Tell whether a server refused us for our certificate, as TLS 1.3 does after the handshake."""
    said = str(error.__cause__) if isinstance(error.__cause__, ssl.SSLError) else ""
    return " alert " in said and ("certificate" in said or "unknown ca" in said)
