"""LocalNovu: the credentials part of the Novu API in one process, with a state to look at."""

import asyncio
import contextlib
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, cast

from novu_async.testing import _json_text
from novu_async.testing._answers import Answer, Era
from novu_async.testing._api import Api
from novu_async.testing._delivery import (
    Exchange,
    deliver,
    deliver_with_fault,
    make_faulty_answer,
    reset_connection,
)
from novu_async.testing._http1 import (
    HEAD_LIMIT,
    KEEP_ALIVE_SECONDS,
    BadRequestError,
    RawRequest,
    make_refusal,
    read_request,
)
from novu_async.testing._idempotency import IdempotencyStore, ReplayedErrors
from novu_async.testing._rate_limit import RateLimiter
from novu_async.testing._routes import find_subscriber_id, split_target
from novu_async.testing._store import Document, Store, list_tokens
from novu_async.testing.faults import Fault, Faults
from novu_async.testing.requests import RecordedRequest, RequestLog

DEFAULT_API_KEY: Final = "local-novu-api-key"
_DEBUG: Final = "/__local/"


P = ParamSpec("P")
R = TypeVar("R")


def _with_parameters_of(
    init: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Give a method the parameters of another one, for type checkers and for completion."""

    def decorate(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        returned = inspect.signature(method).return_annotation
        shown = inspect.signature(init).replace(return_annotation=returned)
        cast("Any", method).__signature__ = shown
        return method

    return decorate


class LocalNovu:
    """Serve the Novu API's behaviour on a local port.

    async with LocalNovu() as local:
        novu = Novu(api_key=local.api_key, server_url=local.url)

    `era` is "2026" (422 with a map, unknown providers refused, 100 tokens a channel, v2 routes) or
    "2024". `v2_channels=False` leaves the channels out of the answers of v2 routes, as servers of
    early 2025 did. Without `subscribers` any subscriber exists on first use, and without
    `integrations` one integration of every push and chat provider is active, named like the
    provider; `strict=True` starts empty instead. Integrations are given oldest first.

    Writes race as they do at Novu; `atomic=True` serialises those of one subscriber. `latency` is
    the mean time of one database step in seconds; 0 still lets concurrent requests meet, and a
    millisecond makes them meet whatever the client. `rate_limit` is in requests per second, at
    least one in 5 seconds; bulk calls cost 100. `idempotency` honours Idempotency-Key on POST and
    PATCH. `clock` gives seconds and drives timestamps, rate limit and idempotency. `max_requests`
    bounds the request log.

    All state may be read, and `reset`, `add_*` and `faults` used, from any thread.
    """

    def __init__(
        self,
        *,
        era: Era = "2026",
        strict: bool = False,
        subscribers: Iterable[str | Mapping[str, Any]] | None = None,
        integrations: Iterable[str | Mapping[str, Any]] | None = None,
        api_keys: Iterable[str] = (DEFAULT_API_KEY,),
        atomic: bool = False,
        latency: float = 0.0,
        rate_limit: float | None = None,
        idempotency: bool = False,
        replayed_errors: ReplayedErrors = "original",
        clock: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        path_prefix: str = "",
        max_requests: int | None = None,
        v2_channels: bool = True,
    ) -> None:
        if era not in ("2024", "2026"):
            raise ValueError(f"era must be '2024' or '2026', not {era!r}")
        if rate_limit is not None and not 0 < rate_limit < math.inf:
            raise ValueError(f"rate_limit must be a number above 0 or None, not {rate_limit!r}")
        keys = tuple(api_keys)
        self.api_key = keys[0] if keys else DEFAULT_API_KEY
        self.faults = Faults()
        self._log = RequestLog(max_requests)
        self._store = Store(clock, open=subscribers is None and not strict)
        self._api = Api(
            era,
            self._store,
            frozenset(keys),
            clock,
            RateLimiter(rate_limit) if rate_limit is not None else None,
            IdempotencyStore(era, replayed_errors) if idempotency else None,
            atomic,
            latency,
            path_prefix.rstrip("/"),
            v2_channels,
        )
        self._seed_subscribers = list(subscribers or ())
        self._seed_integrations = (
            list(integrations) if integrations is not None else [] if strict else None
        )
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._numbers = itertools.count(1)
        self._fill()

    # Life

    async def start(self) -> None:
        """Listen; does nothing when it already does. Raises OSError when the port is taken."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, self._host, self._port, limit=HEAD_LIMIT, backlog=2048
            )
            self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and break all connections; the state stays readable."""
        server, self._server = self._server, None
        if server is None:
            return
        await _finish_accepting(server)
        server.close()
        for task, writer in tuple(self._connections.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def serve_forever(self) -> None:
        """Listen until cancelled, then close."""
        try:
            await self.start()
            await asyncio.get_running_loop().create_future()
        finally:
            await self.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @classmethod
    @_with_parameters_of(__init__)
    def in_thread(cls, **options: Any) -> AbstractContextManager["LocalNovu"]:
        """Run one in a thread of its own, for tests that are not async.

        with LocalNovu.in_thread() as local:
            novu = novu_sync.Novu(api_key=local.api_key, server_url=local.url)

        The options are those of LocalNovu.
        """
        from novu_async.testing._threaded import run_in_thread

        return run_in_thread(cls(**options))

    # What a test looks at

    @property
    def url(self) -> str:
        """Give the base URL, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._api.prefix}"

    @property
    def requests(self) -> list[RecordedRequest]:
        """List the requests in order of arrival, without those of the debug routes."""
        return self._log.list()

    @property
    def subscribers(self) -> Mapping[str, Document]:
        """Map each subscriber id to the stored document, `channels` included; read only."""
        return MappingProxyType(dict(self._store.documents))

    @property
    def integrations(self) -> list[dict[str, Any]]:
        """List the integrations, oldest first: _id, providerId, identifier, active."""
        return [
            {
                "_id": one.id,
                "providerId": one.provider_id,
                "identifier": one.identifier,
                "active": one.active,
            }
            for one in tuple(self._store.integrations)
        ]

    @property
    def environment_id(self) -> str:
        """Give the id of the environment, which error messages quote."""
        return self._store.environment_id

    def device_tokens(
        self, subscriber_id: str, provider_id: str, integration_identifier: str | None = None
    ) -> list[Any]:
        """List the stored device tokens in order, of all the provider's channels together.

        A token that is in two channels is listed twice. An unknown subscriber has none.
        """
        wanted = None
        if integration_identifier is not None:
            wanted = {
                one.id
                for one in tuple(self._store.integrations)
                if one.identifier == integration_identifier
            }
        return list_tokens(self._store.documents.get(subscriber_id), provider_id, wanted)

    # What a test prepares

    def add_subscriber(self, subscriber_id: str, **fields: Any) -> None:
        """Add a subscriber, or change one. Fields have the API's names: firstName, channels ...

        A channel without `_integrationId` gets that of the integration the API would choose; one
        where it is None has none, as those that `POST /v1/subscribers/bulk` writes.
        """
        channels = [self._complete_channel(one) for one in fields.pop("channels", ())]
        self._store.upsert(subscriber_id, {**fields, "channels": channels} if channels else fields)

    def _complete_channel(self, channel: Mapping[str, Any]) -> Document:
        full = {"credentials": {}, **channel}
        identifier = full.pop("integrationIdentifier", None)
        if full.get("_integrationId", "") is None:
            del full["_integrationId"]
        elif "_integrationId" not in full:
            found = self._store.choose_integration(full["providerId"], identifier)
            if found is None:
                raise ValueError(f"no active {full['providerId']} integration for the channel")
            full["_integrationId"] = found.id
        return full

    def add_integration(
        self, provider_id: str, identifier: str | None = None, *, active: bool = True
    ) -> str:
        """Add an integration, newer than all others, and return its `_id`.

        The API writes to the newest active one unless the request names an identifier.
        """
        return self._store.add_integration(provider_id, identifier, active=active).id

    def reset(self) -> None:
        """Go back to how it started: state, request log, faults, rate limit and keys."""
        self._store.clear()
        self._api.reset()
        self._log.clear()
        self.faults.reset()
        self._fill()

    def _fill(self) -> None:
        if self._seed_integrations is None:
            self._store.add_common_integrations()
        for integration in self._seed_integrations or ():
            self._add_seed_integration(integration)
        for subscriber in self._seed_subscribers:
            given = {"subscriberId": subscriber} if isinstance(subscriber, str) else {**subscriber}
            self.add_subscriber(given.pop("subscriberId"), **given)

    def _add_seed_integration(self, integration: str | Mapping[str, Any]) -> None:
        if isinstance(integration, str):
            self._store.add_integration(integration, None, active=True)
            return
        self._store.add_integration(
            integration["providerId"],
            integration.get("identifier"),
            active=integration.get("active", True),
            name=integration.get("name"),
        )

    # Connections

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted while closing
            writer.transport.abort()
            return
        if self.faults.active and self.faults.pick_for_connection():
            reset_connection(writer)
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        """Drop a connection; one cancelled before it began has not closed anything itself."""
        writer = self._connections.pop(task)
        if not writer.transport.is_closing():
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = next(self._numbers)
        try:
            while True:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    request = await read_request(reader, writer)
                if request is None:
                    break
                if not await self._exchange(connection, Exchange(request, reader, writer)):
                    break
        except BadRequestError as error:
            writer.write(make_refusal(error.status))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, connection: int, exchange: Exchange) -> bool:
        """Answer one request; True when the connection goes on.

        What is sent is logged before it is sent: whoever has the answer finds it in the log.
        """
        request, clock = exchange.request, self._api.clock
        if request.target.startswith(_DEBUG):
            return await deliver(exchange, self._answer_debug(request))
        number = self._log.begin(connection, request, clock())
        fault = self._pick_fault(request)
        try:
            if fault is None:
                answer = await self._api.answer(request)
                self._log.finish(number, answer.status, None, clock())
                return await deliver(exchange, answer)
            overwritten = fault.kind == "overwritten"
            work = self._api.answer_overwritten if overwritten else self._api.answer
            refuse = partial(self._api.render_error, request)
            damaged = await make_faulty_answer(fault, partial(work, request), refuse)
            if damaged is not None:
                self._log.finish(number, damaged.status, fault.kind, clock())
            return await deliver_with_fault(exchange, fault, damaged)
        finally:
            self._log.finish(number, None, fault.kind if fault else None, clock())

    def _pick_fault(self, request: RawRequest) -> Fault | None:
        if not self.faults.active:
            return None
        return self.faults.pick_for_request(request.method, find_subscriber_id(request.target))

    # Debug routes

    def _answer_debug(self, request: RawRequest) -> Answer:
        path = split_target(request.target)[0].removeprefix(_DEBUG)
        if (request.method, path) == ("POST", "reset"):
            self.reset()
            return Answer(204)
        if (request.method, path) == ("GET", "requests"):
            return _make_debug_answer([_show_request(one) for one in self.requests])
        if request.method == "GET" and path.startswith("subscribers/"):
            subscriber_id = find_subscriber_id(f"/v1/{path}")
            found = self._store.documents.get(subscriber_id or "")
            return _make_debug_answer(found, 404 if found is None else 200)
        return _make_debug_answer(None, 404)


async def _finish_accepting(server: asyncio.Server) -> None:
    """Accept no more, and wait for what was accepted: four turns of the loop until it is closed.

    asyncio loses a socket that is accepted while its server closes.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        with contextlib.suppress(NotImplementedError):  # the loop of Windows accepts otherwise
            loop.remove_reader(sock.fileno())
    for _ in range(4):
        await asyncio.sleep(0)


def _make_debug_answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, _json_text.dump(value))


def _show_request(record: RecordedRequest) -> dict[str, Any]:
    headers = {k: v for k, v in record.headers.items() if k != "authorization"}
    return {
        "number": record.number,
        "method": record.method,
        "path": record.path,
        "subscriberId": record.subscriber_id,
        "headers": headers,
        "json": record.json,
        "status": record.status,
        "fault": record.fault,
    }
