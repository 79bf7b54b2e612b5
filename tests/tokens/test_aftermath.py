"""Writes that the server goes on with though nobody waits for them: none overwrites a later one."""

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any, Literal

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from novu_async import APIConnectionError, APITimeoutError, BackoffStrategy, Novu, RetryConfig
from novu_async._clock import Clock

pytestmark = pytest.mark.anyio

Sign = Literal["timeout", "504", "drop"]
SIGNS: tuple[Sign, ...] = ("timeout", "504", "drop")
AT_ONCE = RetryConfig("backoff", BackoffStrategy(0, 0, 1, 60_000))
LONG = [f"{i:02}" + "x" * 5_000 for i in range(40)]


class SlowServer:
    """One fcm channel for each subscriber; some writes land only when `land` is set.

    It reads, merges and overwrites as the API does, and goes on without its client. `slow` has the
    numbers of those writes, from 1, and `sign` is what the client gets of them.
    """

    def __init__(self) -> None:
        self.slow: set[int] = set()
        self.sign: Sign = "timeout"
        self.channels: dict[str, list[list[str]]] = {}
        self.land = asyncio.Event()
        self.writes = 0
        self.under_way: set[asyncio.Task[None]] = set()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request."""
        if request.path.endswith("/active"):
            return web.json_response({"data": [{"_id": "i", "providerId": "fcm"}]})
        subscriber_id = request.path.split("/")[3]
        if request.method != "GET":
            self.writes += 1
            body = await request.read()
            tokens = (await request.json())["credentials"]["deviceTokens"] if body else []
            writing = self._write(request.method, subscriber_id, tokens, self.writes in self.slow)
            task = asyncio.create_task(writing)
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
            if self.writes in self.slow and self.sign != "timeout":
                if self.sign == "drop" and request.transport is not None:
                    request.transport.abort()
                return web.Response(status=504)
            await asyncio.shield(task)
        channels = [
            {"providerId": "fcm", "_integrationId": "i", "credentials": {"deviceTokens": tokens}}
            for tokens in self.channels.get(subscriber_id, [])
        ]
        return web.json_response({"data": {"subscriberId": subscriber_id, "channels": channels}})

    async def _write(self, method: str, subscriber_id: str, tokens: list[str], slow: bool) -> None:
        channels = copy.deepcopy(self.channels.get(subscriber_id) or [[]])
        if slow:
            await self.land.wait()
        if method == "DELETE":
            channels = []
        else:
            kept = channels[0] if method == "PATCH" else []
            channels[0] = list(dict.fromkeys([*kept, *tokens]))
        self.channels[subscriber_id] = channels

    async def let_land(self) -> None:
        """Wait until nothing is under way any more."""
        self.land.set()
        while self.under_way:
            await asyncio.wait(self.under_way)


class LandingClock(Clock):
    """In the seconds that are waited for a slow write it lands; other waits take no time."""

    def __init__(self, server: SlowServer) -> None:
        self._server = server

    async def sleep(self, seconds: float) -> None:
        if seconds >= 1:
            await self._server.let_land()
        await asyncio.sleep(0)


@pytest.fixture
async def slow(anyio_backend: str) -> SlowServer:
    """Make the server's side."""
    return SlowServer()


@pytest.fixture
async def novu(slow: SlowServer) -> AsyncIterator[Novu]:
    """A client of the slow server that waits for little."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", slow.answer)
    async with TestServer(app, shutdown_timeout=0) as server:
        url = str(server.make_url(""))
        async with Novu("key", server_url=url, timeout=0.1, retries=AT_ONCE) as novu:
            novu._pipeline.clock = LandingClock(slow)
            yield novu
            await slow.let_land()


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("is_seldom_cancelled", [False, True])
async def test_the_next_write_waits_for_one_that_may_still_land(
    novu: Novu, slow: SlowServer, sign: Sign, is_seldom_cancelled: bool
) -> None:
    """Whatever the first one met: what is acknowledged after it is stored in the end.

    In blocking code too, whose calls send in their own tasks.
    """
    novu._pipeline.is_seldom_cancelled = is_seldom_cancelled
    slow.slow, slow.sign = {1}, sign
    add = novu.subscribers.device_tokens.add
    await asyncio.gather(add("u", "fcm", "first"), add("u", "fcm", "second"))
    await slow.let_land()
    assert slow.channels == {"u": [["first", "second"]]}


@pytest.mark.parametrize("sign", SIGNS)
async def test_the_next_part_of_a_list_waits_too(novu: Novu, slow: SlowServer, sign: Sign) -> None:
    """A first part that was sent twice does not land on the second part."""
    slow.slow, slow.sign = {1}, sign
    result = await novu.subscribers.device_tokens.add("u", "fcm", LONG)
    await slow.let_land()
    assert slow.channels == {"u": [LONG]}
    assert result.device_tokens == tuple(LONG)


@pytest.mark.parametrize("sign", SIGNS)
async def test_a_repair_waits_for_its_delete(novu: Novu, slow: SlowServer, sign: Sign) -> None:
    """A delete that lands late would erase what was written anew, and "repaired" be false."""
    slow.channels["u"] = [["a"], ["b"]]
    slow.slow, slow.sign = {2}, sign
    result = await novu.subscribers.device_tokens.repair("u", "fcm")
    await slow.let_land()
    assert slow.channels == {"u": [["a", "b"]]}
    assert result.device_tokens == ("a", "b")


async def test_a_call_cancelled_just_as_it_times_out_keeps_its_turn(
    novu: Novu, slow: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a group of tasks, where the first time-out cancels the others, whose own have come."""
    slow.slow = {1}
    add = novu.subscribers.device_tokens.add
    transport = novu._pipeline._transport
    send = transport.send

    async def send_and_cancel(*arguments: Any) -> Any:
        try:
            return await send(*arguments)
        except APITimeoutError:
            asyncio.get_running_loop().call_soon(first.cancel)
            raise

    with monkeypatch.context() as patch:
        patch.setattr(transport, "send", send_and_cancel)
        first = asyncio.create_task(add("u", "fcm", "first"))
        await asyncio.wait({first})
    assert first.cancelled()
    await add("u", "fcm", "second")
    await slow.let_land()
    assert slow.channels == {"u": [["first", "second"]]}


async def test_closing_waits_for_a_repair_also_where_it_is_cancelled(slow: SlowServer) -> None:
    """Neither a cancelled scope nor a cancelled task cuts it off after its delete."""
    slow.channels["u"] = [["a"], ["b", "c"]]
    slow.slow = {1, 2, 3}
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", slow.answer)
    async with TestServer(app) as server:

        async def repair() -> None:
            with anyio.CancelScope() as scope:
                async with Novu("key", server_url=str(server.make_url("")), retries=None) as novu:
                    loop.call_soon(cancel_soon, scope)
                    await novu.subscribers.device_tokens.repair("u", "fcm")

        def cancel_soon(scope: anyio.CancelScope) -> None:
            if slow.writes < 1:
                loop.call_soon(cancel_soon, scope)
                return
            scope.cancel()
            loop.call_later(0, task.cancel)
            loop.call_later(0, slow.land.set)

        loop = asyncio.get_running_loop()
        task = asyncio.create_task(repair())
        await asyncio.wait({task})
    assert slow.channels == {"u": [["a", "b", "c"]]}


async def test_a_dropped_retry_does_not_shorten_the_wait(novu: Novu) -> None:
    """The write that timed out before it has its seconds all the same."""
    pipeline, waits = novu._pipeline, []

    class NotedClock(Clock):
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)

    pipeline.clock = NotedClock()
    async with pipeline.turn("u") as turn:
        for error in (APITimeoutError, APIConnectionError):
            pipeline._keep_turn(turn, error("lost", may_have_applied=True))
            assert turn.aftermath is not None
            await asyncio.wait({turn.aftermath})
    assert min(waits) > 4
