"""Concurrent adds: none is lost, and those that wait travel together."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from novu_async import (
    ClientClosedError,
    DeviceTokenLimitError,
    DeviceTokensNotStoredError,
    InvalidRequestError,
    Novu,
    ServerError,
    SubscriberNotFoundError,
)
from novu_async.observing import CallInfo, Observer
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio


def make_tokens(count: int) -> list[str]:
    return [f"token-{i:03}" for i in range(count)]


async def test_the_server_alone_loses_tokens(local: LocalNovu) -> None:
    """What this package is for: 50 clients that do not wait for each other lose most tokens."""
    clients = [Novu(api_key=local.api_key, server_url=local.url) for _ in range(50)]
    await asyncio.gather(
        *(
            client.subscribers.credentials.append(
                "u", {"provider_id": "fcm", "credentials": {"device_tokens": [token]}}
            )
            for client, token in zip(clients, make_tokens(50), strict=True)
        )
    )
    await asyncio.gather(*(client.aclose() for client in clients))
    channels = local.subscribers["u"]["channels"]
    assert len(channels) > 1 or len(local.device_tokens("u", "fcm")) < 50


async def test_fifty_adds_to_one_subscriber_take_three_requests_at_most(
    novu: Novu, local: LocalNovu
) -> None:
    """All 50 tokens are stored, in one channel, and every caller learns so."""
    tokens = make_tokens(50)
    results = await asyncio.gather(
        *(novu.subscribers.device_tokens.add("u", "fcm", token) for token in tokens)
    )
    assert sorted(local.device_tokens("u", "fcm")) == tokens
    assert len(local.subscribers["u"]["channels"]) == 1
    assert len(local.requests) <= 3
    assert all(token in result.device_tokens for token, result in zip(tokens, results, strict=True))


async def test_fifty_faithful_appends_are_all_stored(novu: Novu, local: LocalNovu) -> None:
    """credentials.append sends each by itself, one after the other."""
    tokens = make_tokens(50)
    await asyncio.gather(
        *(
            novu.subscribers.credentials.append(
                "u", {"provider_id": "fcm", "credentials": {"device_tokens": [token]}}
            )
            for token in tokens
        )
    )
    assert local.device_tokens("u", "fcm") == tokens
    assert len(local.requests) == 50


async def test_adds_for_two_providers_merge_side_by_side(novu: Novu, local: LocalNovu) -> None:
    """Adds that alternate between channels still need few requests."""
    await asyncio.gather(
        *(
            novu.subscribers.device_tokens.add("u", provider, token)
            for token in make_tokens(20)
            for provider in ("fcm", "apns")
        )
    )
    assert sorted(local.device_tokens("u", "fcm")) == make_tokens(20)
    assert sorted(local.device_tokens("u", "apns")) == make_tokens(20)
    assert len(local.requests) <= 4


async def test_an_add_does_not_overtake_another_verb(novu: Novu, local: LocalNovu) -> None:
    """add, remove, add of one token, all at once: the last one counts."""
    tokens = novu.subscribers.device_tokens
    await asyncio.gather(
        tokens.add("u", "fcm", "first"),
        tokens.add("u", "fcm", "token"),
        tokens.remove("u", "fcm", "token"),
        tokens.add("u", "fcm", "token"),
        tokens.add("u", "fcm", "other"),
        novu.subscribers.credentials.delete("u", "fcm"),
        tokens.add("u", "fcm", "last"),
    )
    assert local.device_tokens("u", "fcm") == ["last"]


async def test_one_add_that_is_refused_does_not_fail_the_others(
    novu: Novu, local: LocalNovu
) -> None:
    """Of three adds that travel together one has too many tokens; the other two are stored."""
    add = novu.subscribers.device_tokens.add
    results = await asyncio.gather(
        add("u", "fcm", "first"),
        add("u", "fcm", "second"),
        add("u", "fcm", make_tokens(101)),
        add("u", "fcm", "third"),
        return_exceptions=True,
    )
    assert isinstance(results[2], DeviceTokenLimitError)
    assert local.device_tokens("u", "fcm") == ["first", "second", "third"]


async def test_an_add_that_waited_alone_is_refused_once(novu: Novu, local: LocalNovu) -> None:
    """Nobody else's tokens can have failed it, so it is not sent again by itself."""
    add = novu.subscribers.device_tokens.add
    first, second = await asyncio.gather(
        add("u", "fcm", "first"), add("u", "fcm", make_tokens(101)), return_exceptions=True
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, DeviceTokenLimitError)
    assert len(local.requests) == 2


async def test_a_failure_half_way_names_to_each_member_its_own_tokens(local: LocalNovu) -> None:
    """Those whose tokens are stored hear of success; the others' errors name theirs, and why."""
    long = [f"{i:02}" + "x" * 5_000 for i in range(40)]
    local.faults.next("error_500", method="PATCH", after=2)
    async with Novu(local.api_key, server_url=local.url, retries=None) as novu:
        add = novu.subscribers.device_tokens.add
        _, early, split, late = await asyncio.gather(
            *(add("u", "fcm", tokens) for tokens in ("first", "early", long, "late")),
            return_exceptions=True,
        )
    stored = local.device_tokens("u", "fcm")
    assert not isinstance(early, BaseException)
    assert "early" in early.device_tokens
    assert isinstance(split, DeviceTokensNotStoredError)
    assert list(split.device_tokens) == [token for token in long if token not in stored]
    assert 0 < len(split.device_tokens) < len(long)
    assert isinstance(split.__cause__, ServerError)
    assert isinstance(late, ServerError)
    assert (late.attempts, late.may_have_applied) == (2, True)


async def test_an_error_reaches_every_member_as_its_own(local: LocalNovu) -> None:
    """Adds that failed together do not share one exception object."""
    async with (
        LocalNovu(subscribers=[]) as empty,
        Novu(api_key=empty.api_key, server_url=empty.url) as novu,
    ):
        errors = await asyncio.gather(
            *(novu.subscribers.device_tokens.add("u", "fcm", t) for t in make_tokens(10)),
            return_exceptions=True,
        )
    assert all(isinstance(error, SubscriberNotFoundError) for error in errors)
    assert len({id(error) for error in errors}) == 10


async def test_concurrent_adds_create_a_subscriber_once() -> None:
    """One POST, whatever the number of callers and providers."""
    async with (
        LocalNovu(subscribers=[]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        await asyncio.gather(
            *(
                novu.subscribers.device_tokens.add(
                    "u", provider, token, on_missing_subscriber="create"
                )
                for token in make_tokens(10)
                for provider in ("fcm", "apns")
            )
        )
        assert [request.method for request in local.requests].count("POST") == 1
        assert sorted(local.device_tokens("u", "fcm")) == make_tokens(10)
        assert sorted(local.device_tokens("u", "apns")) == make_tokens(10)


async def test_cancelled_adds_leave_the_others_alone(novu: Novu, local: LocalNovu) -> None:
    """Whoever is not cancelled is stored, and nothing is left waiting."""
    tasks = [
        asyncio.create_task(novu.subscribers.device_tokens.add("u", "fcm", token))
        for token in make_tokens(30)
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert set(make_tokens(30)[1::2]) <= set(local.device_tokens("u", "fcm"))
    await novu.subscribers.device_tokens.list("u", "fcm")
    assert len(novu._pipeline.ordering) == 0


async def test_a_batch_that_everybody_left_is_not_sent(novu: Novu, local: LocalNovu) -> None:
    """Adds that were cancelled before their turn cost no request."""
    first = asyncio.create_task(novu.subscribers.device_tokens.add("u", "fcm", "first"))
    await asyncio.sleep(0)
    rest = [
        asyncio.create_task(novu.subscribers.device_tokens.add("u", "fcm", token))
        for token in make_tokens(5)
    ]
    await asyncio.sleep(0)
    for task in rest:
        task.cancel()
    await asyncio.gather(first, *rest, return_exceptions=True)
    assert local.device_tokens("u", "fcm") == ["first"]
    assert len(local.requests) == 1
    assert len(novu._pipeline.ordering) == 0


async def test_closing_the_client_answers_those_who_wait(novu: Novu, local: LocalNovu) -> None:
    """No caller hangs."""
    local.faults.next("stall", method="PATCH")
    tasks = [
        asyncio.create_task(novu.subscribers.device_tokens.add("u", "fcm", token))
        for token in make_tokens(5)
    ]
    while not local.requests:
        await asyncio.sleep(0)
    await novu.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert any(isinstance(result, ClientClosedError) for result in results)


async def test_a_bad_argument_beside_good_ones_fails_alone(novu: Novu, local: LocalNovu) -> None:
    """It is refused before it joins anything."""
    add = novu.subscribers.device_tokens.add
    results = await asyncio.gather(
        add("u", "fcm", "a"), add("u", "fcm", ""), add("u", "fcm", "b"), return_exceptions=True
    )
    assert isinstance(results[1], InvalidRequestError)
    assert local.device_tokens("u", "fcm") == ["a", "b"]


async def test_a_write_waits_for_the_cancelled_one_that_the_server_still_carries_out() -> None:
    """The server finishes what a client has abandoned; beside it an acknowledged token was lost."""
    async with (
        LocalNovu(latency=0.01) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        add = novu.subscribers.device_tokens.add
        await add("u", "fcm", "first")
        abandoned = asyncio.create_task(add("u", "fcm", "abandoned"))
        while len(local.requests) < 2:
            await asyncio.sleep(0)
        abandoned.cancel()
        await add("u", "fcm", "acknowledged")
        assert abandoned.cancelled()
        assert local.device_tokens("u", "fcm") == ["first", "abandoned", "acknowledged"]


async def outcome(call: Coroutine[Any, Any, object]) -> object:
    """Return what a call returns or raises; a task would not let every exception out."""
    try:
        return await call
    except BaseException as error:
        return error


class OddError(Exception):
    """One that cannot be copied, as its constructor takes more than a text."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} {other}")


@pytest.mark.parametrize("error", [OddError(1, 2), SystemExit(3)])
async def test_an_observer_that_raises_reaches_every_add_of_a_batch(
    local: LocalNovu, error: BaseException
) -> None:
    """Whatever it is, and nothing else ends for it."""

    class Odd(Observer):
        calls = 0

        @contextmanager
        def call(self, info: CallInfo) -> Iterator[None]:
            self.calls += 1
            if self.calls > 1:
                raise error
            yield

    async with Novu(local.api_key, server_url=local.url, observer=Odd()) as novu:
        add = novu.subscribers.device_tokens.add
        first, *others = (asyncio.create_task(outcome(add("u", "fcm", t))) for t in "abc")
        assert not isinstance(await first, BaseException)
        assert [type(await other) for other in others] == [type(error)] * 2
