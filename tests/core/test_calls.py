"""What a single call can do differently, and what the calls of one client share."""

import asyncio
from typing import Any

import pytest
from attrs import evolve
from core_doubles import KEY, PUSH, http, reply, script, serve

from novu_async import (
    BackoffStrategy,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    Novu,
    RetryConfig,
    SubscriberNotFoundError,
)
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

ONCE_MORE = RetryConfig("backoff", BackoffStrategy(1, 1, 1.0, 60_000), max_attempts=2)


def request(*tokens: str) -> dict[str, Any]:
    """Make a request with these tokens."""
    return {"provider_id": "fcm", "credentials": {"device_tokens": list(tokens)}}


async def test_headers_of_the_client_and_of_the_call_are_sent_once() -> None:
    """A header replaces ours, and the call's that of the client, whatever the case of its name."""
    async with serve() as server:
        headers = {"user-agent": "mine/1", "X-Tenant": "a"}
        async with Novu(KEY, server_url=server.url, headers=headers) as novu:
            append = novu.subscribers.credentials.append
            await append("u1", PUSH)
            await append("u1", PUSH, http_headers={"x-tenant": "b", "ACCEPT": "text/json"})
        first, second = server.requests
        assert first.header("user-agent") == ["mine/1"]
        assert first.header("x-tenant") == ["a"]
        assert first.header("accept") == ["application/json"]
        assert first.header("content-type") == ["application/json"]
        assert second.header("x-tenant") == ["b"]
        assert second.header("accept") == ["text/json"]
        assert second.header("authorization") == [f"ApiKey {KEY}"]


async def test_a_call_can_go_to_another_server(local: LocalNovu) -> None:
    """`server_url` of a call wins, a wrong one is refused before sending."""
    async with Novu(local.api_key, server_url="http://novu.invalid") as novu:
        append = novu.subscribers.credentials.append
        await append("u1", PUSH, server_url=local.url + "/")
        with pytest.raises(InvalidRequestError, match="server_url"):
            await append("u1", PUSH, server_url="http://user@h")
    assert len(local.requests) == 1


@pytest.mark.parametrize("slash", ["", "/"])
async def test_no_token_is_lost_among_concurrent_appends(slash: str) -> None:
    """The server overwrites what it merges; through one client all fifty tokens survive."""
    async with LocalNovu() as local, Novu(local.api_key, server_url=local.url) as novu:
        append = novu.subscribers.credentials.append
        ways: list[dict[str, Any]] = [{}, {"server_url": local.url + slash}]
        await asyncio.gather(*(append("u1", request(f"t{n}"), **ways[n % 2]) for n in range(50)))
        assert sorted(local.device_tokens("u1", "fcm")) == sorted(f"t{n}" for n in range(50))
        assert len(local.subscribers["u1"]["channels"]) == 1


async def test_writes_for_different_subscribers_do_not_wait(local: LocalNovu, novu: Novu) -> None:
    """A write that hangs holds up its own subscriber and no other."""
    local.faults.next("stall", subscriber_id="slow")
    append = novu.subscribers.credentials.append
    slow = asyncio.create_task(append("slow", PUSH, timeout=30))
    waiting = asyncio.create_task(append("slow", PUSH))
    for number in range(5):
        await append(f"u{number}", PUSH)
    assert not slow.done()
    assert not waiting.done()
    assert sum(one.subscriber_id == "slow" for one in local.requests) == 1
    slow.cancel()
    waiting.cancel()
    await asyncio.gather(slow, waiting, return_exceptions=True)


async def test_writes_happen_in_the_order_of_their_calls(local: LocalNovu, novu: Novu) -> None:
    """Of several updates to one subscriber the one called last is what is stored."""
    update = novu.subscribers.credentials.update
    await asyncio.gather(*(update("u1", request(f"t{n}")) for n in range(20)))
    assert local.device_tokens("u1", "fcm") == ["t19"]


async def test_a_write_goes_on_when_its_caller_is_cancelled() -> None:
    """The server would go on with it too: the next write waits for it, so nothing is lost."""
    async with (
        LocalNovu(latency=0.005) as local,
        Novu(local.api_key, server_url=local.url, retries=None) as novu,
    ):
        append = novu.subscribers.credentials.append
        for number in range(5):
            first = asyncio.create_task(append(f"u{number}", request("a")))
            while len(local.requests) <= 2 * number:
                await asyncio.sleep(0)
            first.cancel()
            await append(f"u{number}", request("b"))
            assert first.cancelled()
            assert local.device_tokens(f"u{number}", "fcm") == ["a", "b"]
            assert len(local.subscribers[f"u{number}"]["channels"]) == 1


async def test_a_failed_write_leaves_the_line(local: LocalNovu, novu: Novu) -> None:
    """After an error or a cancelled wait, the next write of the subscriber has its turn."""
    append = novu.subscribers.credentials.append
    local.faults.next("error_500", subscriber_id="u1")
    calls = [asyncio.create_task(append("u1", request(f"t{n}"))) for n in range(4)]
    await asyncio.sleep(0)
    calls[2].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await append("u1", request("t4"))
    assert local.device_tokens("u1", "fcm") == ["t1", "t3", "t4"]
    assert len(novu._pipeline.ordering) == 0


async def test_success_earns_retries_back() -> None:
    """Ten calls that succeed make up for one retry."""
    twice_more = evolve(ONCE_MORE, max_attempts=3)
    steps = [*[reply(503)] * 304, *[reply()] * 12, *[reply(503)] * 2, reply()]
    call = script(*steps, retries=twice_more)
    for _ in range(102):
        with pytest.raises(Exception, match="503"):
            await call()
    assert len(call.transport.sent) == 304
    for _ in range(12):
        await call()
    assert (await call()).status == 200
    assert len(call.transport.sent) == 304 + 12 + 3


async def test_a_replayed_success_says_so() -> None:
    """Under a key that was used before the API answers without writing: `replayed` is True."""
    async with (
        LocalNovu(idempotency=True) as local,
        Novu(local.api_key, server_url=local.url, retries=None) as novu,
    ):
        append = novu.subscribers.credentials.append
        first = await append("u/1", PUSH, idempotency_key="k")
        again = await append("u/1", PUSH, idempotency_key="k")
        assert (first.replayed, again.replayed) == (False, True)
        assert again.result.subscriber_id == "u/1"


async def test_a_replay_of_another_subscribers_answer_is_an_error() -> None:
    """The API ignores the path of a key and writes nothing: that must not look like a success."""
    async with (
        LocalNovu(idempotency=True) as local,
        Novu(local.api_key, server_url=local.url, retries=None) as novu,
    ):
        append = novu.subscribers.credentials.append
        await append("u1", PUSH, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReusedError, match="nothing was written"):
            await append("u2", PUSH, idempotency_key="k")
        assert "u2" not in local.subscribers


@pytest.mark.parametrize("replayed_errors", ["original", "503"])
async def test_a_replayed_error_says_so(replayed_errors: Any) -> None:
    """Either way in which the API repeats errors is recognised, and not retried."""
    async with (
        LocalNovu(subscribers=["u1"], idempotency=True, replayed_errors=replayed_errors) as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        append = novu.subscribers.credentials.append
        with pytest.raises(SubscriberNotFoundError) as fresh:
            await append("ghost", PUSH, idempotency_key="k")
        local.add_subscriber("ghost")
        with pytest.raises(Exception, match="PATCH") as stored:
            await append("ghost", PUSH, idempotency_key="k")
        assert fresh.value.replayed is False
        assert stored.value.replayed is True  # type: ignore[attr-defined]
        assert len(local.requests) == 2
        await append("ghost", PUSH)


async def test_an_answer_may_have_headers_in_any_case() -> None:
    """Headers are found whatever their case: a proxy or HTTP/2 writes them small."""
    lines = ("RATELIMIT-LIMIT: 100", "ratelimit-remaining: 50", "X-Many: 1", "x-many: 2")
    async with (
        serve([http(b'{"data":{}}', "200 OK", *lines)]) as server,
        Novu(KEY, server_url=server.url) as novu,
    ):
        answer = await novu.subscribers.credentials.append("u1", PUSH)
        assert answer.headers["x-many"] == ["1", "2"]
        assert novu.rate_limit is not None
        assert novu.rate_limit.limit == 100
