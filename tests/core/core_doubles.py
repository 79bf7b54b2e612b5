"""What the tests of the core put in place of the network and of time."""

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import pytest
from attrs import Factory, define, frozen
from multidict import CIMultiDict

from novu_async import Novu
from novu_async._clock import Clock
from novu_async._endpoints import APPEND, Endpoint
from novu_async._options import make_options
from novu_async._pipeline import Pipeline
from novu_async._settings import Settings, make_settings
from novu_async._wire import Reply, Request

KEY = "key-that-no-text-may-hold"
TOKEN = "token-that-no-text-may-hold"
WEBHOOK = "https://hooks.example.com/path-that-no-text-may-hold"

PUSH = {"provider_id": "fcm", "credentials": {"device_tokens": [TOKEN]}}
"""A request that any push provider takes."""

STORED = b'{"data":{"subscriberId":"u1","channels":[]}}'


class FakeClock(Clock):
    """A clock that jumps to the end of every wait; `slept` lists the waits of calls."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:  # type: ignore[override]
        """Tell the fake time."""
        return self.now

    def wall(self) -> float:  # type: ignore[override]
        """Tell the fake time as a date of 2026."""
        return 1_780_000_000.0 + self.now

    async def sleep(self, seconds: float) -> None:
        """Jump ahead, and give the other tasks one turn."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Jump ahead and call back on the next turn of the loop."""
        due = self.now + seconds

        def ring() -> None:
            self.now = max(self.now, due)
            callback()

        return asyncio.get_running_loop().call_soon(ring)


def reply(status: int = 200, body: bytes = STORED, **headers: str) -> Reply:
    """Make an answer; `retry_after="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, CIMultiDict(named), body)


@define
class ScriptedTransport:
    """Answers with what it was given, in order; the last one again and again."""

    script: list[Reply | Exception | Callable[[Request], Awaitable[Reply]]]
    clock: FakeClock = Factory(FakeClock)
    seconds: float = 0.0
    sent: list[Request] = Factory(list)
    timeouts: list[float] = Factory(list)
    closed: bool = False

    async def send(self, request: Request, timeout: float, retries: object) -> Reply:
        """Take `seconds` of fake time, then answer or raise."""
        self.sent.append(request)
        self.timeouts.append(timeout)
        self.clock.now += self.seconds
        step = self.script[min(len(self.sent), len(self.script)) - 1]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Reply) else await step(request)

    def check_usable(self) -> None:
        """Allow every use."""

    async def aclose(self) -> None:
        """Note that the client was closed."""
        self.closed = True


def settings(environ: Mapping[str, Any] | None = None, **changes: Any) -> Settings:
    """Make settings as a client does, with nothing else from the environment."""
    usual = {
        name: argument.default
        for name, argument in inspect.signature(Novu).parameters.items()
        if name in inspect.signature(make_settings).parameters
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("NOVU_")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**others, **(environ or {})})
        return make_settings(**{**usual, "api_key": KEY, **changes})


@define
class Call:
    """One pipeline over a scripted transport; `await call()` sends one append through it."""

    transport: ScriptedTransport
    pipeline: Pipeline

    @property
    def clock(self) -> FakeClock:
        """Give the clock that both use."""
        return self.transport.clock

    async def __call__(self, endpoint: Endpoint = APPEND, **options: Any) -> Reply:
        """Send one request; the options are those of a single call."""
        chosen = make_options(**options)
        document = {"providerId": "fcm", "credentials": {"deviceTokens": [TOKEN]}}
        segments = {"subscriber_id": "u1", "provider_id": "fcm"}
        request = self.pipeline.build(endpoint, chosen, document, **segments)
        return await self.pipeline.send(request, chosen)


def script(*steps: Any, retries: Any = ..., seconds: float = 0.0) -> Call:
    """Make a call that meets these answers and errors, each taking `seconds`."""
    transport = ScriptedTransport(list(steps), seconds=seconds)
    pipeline = Pipeline(settings(retries=retries), cast("Any", transport), transport.clock)
    return Call(transport, pipeline)


@frozen
class RawExchange:
    """A request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        """Give all values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@define
class RawServer:
    """A server that sends bytes and nothing else; see `serve`."""

    url: str = ""
    requests: list[RawExchange] = Factory(list)
    connections: int = 0


Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes = STORED, status: str = "200 OK", *lines: str) -> bytes:
    """Write an answer as it goes over the wire, kept alive."""
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", *lines]
    if not any(line.lower().startswith(("content-length", "transfer")) for line in lines):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


@contextlib.asynccontextmanager
async def serve(answers: Iterable[Answer] = ()) -> AsyncIterator[RawServer]:
    """Serve raw answers in order, the last one again and again.

    An answer is bytes, or a coroutine function that is given the connection.
    """
    given, state, tasks = list(answers) or [http()], RawServer(), set[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        try:
            while not writer.is_closing():
                state.requests.append(await _read_request(reader))
                answer = given[min(len(state.requests), len(given)) - 1]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> RawExchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = [(name, value) for name, _, value in (one.partition(": ") for one in rest)]
    length = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
    return RawExchange(line, headers, await reader.readexactly(length))
