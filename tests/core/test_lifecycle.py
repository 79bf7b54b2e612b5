"""Where and how long a client works: loops, closing, and being forgotten."""

import asyncio
import contextlib
import copy
import gc
import inspect
import pickle
import socket
import warnings
from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import Any

import aiohttp
import pytest
import trio
from core_doubles import KEY, PUSH, http, serve

import novu_sync
from novu_async import (
    APIConnectionError,
    BackoffStrategy,
    ClientClosedError,
    ConfigurationError,
    Novu,
    NovuError,
    RetryConfig,
)
from novu_async.testing import LocalNovu


async def append(novu: Novu, subscriber_id: str = "u1") -> Any:
    """Send one append."""
    return await novu.subscribers.credentials.append(subscriber_id, PUSH)


@pytest.mark.anyio
async def test_a_client_that_is_closed(local: LocalNovu) -> None:
    """After `aclose()` every call says so and nothing is sent; closing twice is fine."""
    async with Novu(local.api_key, server_url=local.url) as novu:
        await append(novu)
    await novu.aclose()
    subscribers = novu.subscribers
    for call in (
        append(novu),
        subscribers.credentials.delete("u1", "fcm"),
        subscribers.retrieve("u1"),
        subscribers.device_tokens.add("u1", "fcm", ["t"]),
        subscribers.device_tokens.list("u1", "fcm"),
    ):
        with pytest.raises(ClientClosedError, match="make a new Novu"):
            await call
    assert len(local.requests) == 1


@pytest.mark.parametrize("make", [Novu, novu_sync.Novu], ids=["novu_async", "novu_sync"])
@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy, copy.copy])
def test_a_client_is_not_copied(make: Any, copied: Any) -> None:
    """A pickle would hold the key, a copy would write beside the original; parts are no way round.

    A shallow copy of a part is the part: it leads to the same client.
    """
    novu = make(KEY, server_url="http://novu.invalid")
    with pytest.raises(TypeError, match="make one Novu in each process"):
        copied(novu)
    parts = ["subscribers", "subscribers.credentials", "subscribers.device_tokens", "bulk"]
    for part in map(attrgetter, parts if copied is not copy.copy else []):
        with pytest.raises(TypeError, match="make one Novu in each process"):
            copied(part(novu))


@pytest.mark.anyio
async def test_a_client_that_was_never_used_closes_quietly() -> None:
    """Making and closing a client opens nothing."""
    async with Novu(KEY, server_url="http://novu.invalid"):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("whose", ["ours", "the caller's"])
async def test_closing_ends_the_calls_under_way(local: LocalNovu, whose: str) -> None:
    """A call that waits for its answer, or for its turn, ends with an error of ours.

    Closing again meanwhile does no harm.
    """
    local.faults.next("stall", times=5)
    async with aiohttp.ClientSession() as session:
        own = None if whose == "ours" else session
        novu = Novu(local.api_key, server_url=local.url, retries=None, session=own)
        calls = [asyncio.create_task(append(novu)) for _ in range(3)]
        calls += [asyncio.create_task(append(novu, "u2")), asyncio.create_task(read(novu))]
        while len(local.requests) < 3:
            await asyncio.sleep(0)
        closings = []
        for _ in range(3):
            closings.append(asyncio.create_task(novu.aclose()))
            await asyncio.sleep(0)
        await asyncio.gather(*closings)
        async with asyncio.timeout(5):
            ended = await asyncio.gather(*calls, return_exceptions=True)
        assert not session.closed
    for error in ended:
        assert isinstance(error, ClientClosedError | APIConnectionError)


def test_a_client_belongs_to_one_event_loop() -> None:
    """Use from a second loop is refused with the way out, and the first one can go on."""
    with LocalNovu.in_thread() as local, asyncio.Runner() as first, asyncio.Runner() as second:
        novu = Novu(local.api_key, server_url=local.url)
        first.run(append(novu))
        with pytest.raises(ConfigurationError, match=r"another event loop.*or use novu_sync"):
            second.run(append(novu))
        assert len(local.requests) == 1
        first.run(append(novu))
        first.run(novu.aclose())


def test_without_an_event_loop() -> None:
    """A call that no event loop runs says to use novu_sync."""
    call = append(Novu(KEY))
    with pytest.raises(ConfigurationError, match="in plain code use novu_sync"):
        call.send(None)


async def read(novu: Novu) -> Any:
    """Read a subscriber."""
    return await novu.subscribers.retrieve("u1")


async def use(novu: Novu) -> None:
    """Send one append as a program does."""
    async with novu:
        await append(novu)


@pytest.mark.parametrize("call", [append, use, Novu.aclose])
def test_under_trio(call: Callable[[Novu], Awaitable[Any]]) -> None:
    """Under trio the error names the way out."""
    with pytest.raises(ConfigurationError, match=r"novu_sync through trio\.to_thread\.run_sync"):
        trio.run(call, Novu(KEY))


@pytest.mark.anyio
async def test_a_client_that_is_forgotten_warns_once(local: LocalNovu) -> None:
    """Dropping an open client gives one ResourceWarning, which names the line that made it."""
    novu = Novu(local.api_key, server_url=local.url)
    made_at = f"{__file__}:{inspect.currentframe().f_lineno - 1}"  # type: ignore[union-attr]
    await append(novu)
    reports: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del novu
        gc.collect()
        await asyncio.sleep(0)
    assert reports == []
    texts = [str(one.message) for one in caught if one.category is ResourceWarning]
    assert len(texts) == 1
    assert made_at in texts[0]
    assert "aclose()" in texts[0]


@pytest.mark.anyio
async def test_a_client_that_is_closed_or_unused_does_not_warn(local: LocalNovu) -> None:
    """There is nothing to warn of where nothing is open."""
    unused = Novu(local.api_key, server_url=local.url)
    async with Novu(local.api_key, server_url=local.url) as closed:
        await append(closed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del unused, closed
        gc.collect()
    assert [one for one in caught if one.category is ResourceWarning] == []


@pytest.mark.anyio
async def test_a_client_shows_its_server_and_no_key() -> None:
    """The repr of a client, and of its settings, does not hold the key."""
    novu = Novu(KEY, server="eu", headers={"X-Secret": KEY})
    assert repr(novu) == "<Novu https://eu.api.novu.co>"
    assert KEY not in repr(novu._pipeline.settings)


@pytest.mark.anyio
async def test_every_error_of_use_is_a_novu_error() -> None:
    """`except NovuError` covers wrong use as well."""
    assert issubclass(ClientClosedError, ConfigurationError)
    assert issubclass(ConfigurationError, NovuError)


def test_a_client_that_outlives_its_loop_is_named_once() -> None:
    """The usual mistake, no `aclose()` before `asyncio.run` ends, is not reported twice."""
    reports: list[Any] = []
    with LocalNovu.in_thread() as local, asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reports.append(context))
        novu = Novu(local.api_key, server_url=local.url)
        runner.run(append(novu))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del novu
        gc.collect()
    assert sum("was never closed" in str(one.message) for one in caught) == 1
    assert reports == []


@pytest.mark.anyio
async def test_closing_ends_calls_that_sleep_or_wait_for_the_rate(local: LocalNovu) -> None:
    """Nobody waits out a Retry-After for a client that is closed."""
    patient = RetryConfig("backoff", BackoffStrategy(60_000, 60_000, 1, 600_000))
    local.faults.next("error_503", retry_after=60)
    local.faults.next("too_many_requests", retry_after=60)
    novu = Novu(local.api_key, server_url=local.url, retries=patient)
    calls = [asyncio.create_task(append(novu, subscriber_id)) for subscriber_id in ("u1", "u2")]
    while any(request.status is None for request in local.requests) or len(local.requests) < 2:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    calls.append(asyncio.create_task(append(novu, "u3")))
    await asyncio.sleep(0)
    await novu.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ClientClosedError] * 3


@pytest.mark.anyio
async def test_closing_ends_a_call_whose_answer_comes_slowly() -> None:
    """Also where the head of the answer has come, and its body never ends."""
    begun = asyncio.Event()

    async def begin(writer: asyncio.StreamWriter) -> None:
        writer.write(http()[:-5])
        begun.set()
        await asyncio.Event().wait()

    async with serve([begin]) as server:
        novu = Novu(KEY, server_url=server.url)
        call = asyncio.ensure_future(append(novu))
        await begun.wait()
        while not novu._pipeline._transport._reading:
            await asyncio.sleep(0)
        await novu.aclose()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(call, 5)


@pytest.mark.anyio
@pytest.mark.parametrize("call", [append, read], ids=["write", "read"])
async def test_closing_ends_a_call_that_still_connects(call: Callable[[Novu], Any]) -> None:
    """A server that does not take connections holds up nobody; nothing was sent to it."""
    with socket.socket() as server, contextlib.ExitStack() as others:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        for _ in range(4):  # which fill its queue
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(address)
        novu = Novu(KEY, server_url=f"http://127.0.0.1:{address[1]}", timeout=600)
        calls = [asyncio.create_task(call(novu)) for _ in range(2)]
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.wait_for(novu.aclose(), 5)
        async with asyncio.timeout(5):
            ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in ended] == [ClientClosedError] * 2


@pytest.mark.anyio
async def test_a_session_that_is_closed_after_the_first_call(local: LocalNovu) -> None:
    """Who brought it closed it too early; the error says so."""
    session = aiohttp.ClientSession()
    async with Novu(local.api_key, server_url=local.url, session=session) as novu:
        await append(novu)
        await session.close()
        with pytest.raises(ClientClosedError, match="session that was passed in"):
            await append(novu)


@pytest.mark.anyio
async def test_a_session_that_is_closed_cancels_nobody(local: LocalNovu) -> None:
    """Calls that wait for one of its connections end with an error, not as if cancelled."""
    local.faults.next("stall", times=9)
    connector = aiohttp.TCPConnector(limit=1)
    session = aiohttp.ClientSession(connector=connector)
    async with Novu(local.api_key, server_url=local.url, session=session, retries=None) as novu:
        calls = [asyncio.create_task(append(novu, f"u{n}")) for n in range(3)]
        while len(connector._waiters) == 0:
            await asyncio.sleep(0)
        await session.close()
        done = await asyncio.gather(*calls[1:], return_exceptions=True)
        calls[0].cancel()
    assert [type(error) for error in done] == [ClientClosedError] * 2


def test_a_second_loop_is_refused_while_the_first_one_writes() -> None:
    """It would wait for a turn that only the first loop could give."""
    local = LocalNovu(latency=0.05)

    async def use_both() -> None:
        async with local, Novu(local.api_key, server_url=local.url) as novu:
            writing = asyncio.ensure_future(append(novu))
            while not local.requests:
                await asyncio.sleep(0)

            def elsewhere() -> None:
                with pytest.raises(ConfigurationError, match="another event loop"):
                    asyncio.run(asyncio.wait_for(append(novu), 5))

            await asyncio.to_thread(elsewhere)
            await writing

    asyncio.run(use_both())


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        http(b'{"data":{"subscriberId":"\\ud83d"}}', "200 OK", "Idempotency-Replay: true"),
        http(b'{"message":"x","ctx":' + b"[" * 1000 + b"]" * 1000 + b"}", "400 Bad Request"),
    ],
)
async def test_an_answer_that_makes_no_sense_takes_no_place_for_good(answer: bytes) -> None:
    """However many of them come, the next call is sent."""
    async with serve([answer]) as server, Novu(KEY, server_url=server.url) as novu:
        for _ in range(40):
            call = novu.subscribers.credentials.append("u1", PUSH, idempotency_key="k")
            with pytest.raises(NovuError):
                await asyncio.wait_for(call, 5)
        assert len(server.requests) == 40
