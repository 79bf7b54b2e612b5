"""What concurrent requests do to one subscriber: the same damage as at Novu."""

import asyncio
from typing import Any

import pytest
from raw_http import connect, make_request, put, send

from novu_async.testing import LocalNovu
from novu_async.testing._credentials import ChannelWrite, write_channel
from novu_async.testing._store import Store

pytestmark = pytest.mark.anyio

COUNT = 50
TOKENS = [f"token-{number}" for number in range(COUNT)]


async def write_all(local: LocalNovu, method: str) -> tuple[int, int]:
    """Send one token per request, all at once: (distinct tokens stored, channels)."""
    calls = (put(local, "u1", "fcm", {"deviceTokens": [one]}, method=method) for one in TOKENS)
    replies = await asyncio.gather(*calls)
    assert {reply.status for reply in replies} == {200}
    stored = set(local.device_tokens("u1", "fcm")) - {"first"}
    return len(stored), len(local.subscribers["u1"]["channels"])


async def test_first_appends_at_once_lose_tokens_and_double_channels() -> None:
    """50 PATCHes without a channel all answer 200; most tokens are lost, several channels made."""
    async with LocalNovu() as local:
        tokens, channels = await write_all(local, "PATCH")
    assert 1 < channels <= tokens < COUNT


async def test_first_appends_at_once_double_channels_at_any_latency() -> None:
    """Where the database takes real time, the same happens."""
    async with LocalNovu(latency=0.001) as local:
        tokens, channels = await write_all(local, "PATCH")
    assert 1 < channels <= tokens


async def test_first_updates_at_once_double_channels() -> None:
    """50 PUTs without a channel make several channels of one provider and integration."""
    async with LocalNovu() as local:
        _, channels = await write_all(local, "PUT")
    assert 1 < channels < COUNT


@pytest.mark.parametrize("latency", [0.0, 0.001])
async def test_appends_at_once_to_a_channel_lose_tokens(latency: float) -> None:
    """50 PATCHes of an existing channel all answer 200 and a handful of tokens survive."""
    async with LocalNovu(latency=latency) as local:
        await put(local, "u1", "fcm", {"deviceTokens": ["first"]})
        tokens, channels = await write_all(local, "PATCH")
    assert tokens < COUNT / 2
    assert channels == 1


@pytest.mark.parametrize("era", ["2024", "2026"])
async def test_one_after_another_all_survive(era: Any) -> None:
    """Without concurrency nothing is lost."""
    async with LocalNovu(era=era) as local:
        for token in TOKENS:
            await put(local, "u1", "fcm", {"deviceTokens": [token]}, method="PATCH")
        assert local.device_tokens("u1", "fcm") == TOKENS
        assert len(local.subscribers["u1"]["channels"]) == 1


async def test_atomic_turns_the_races_off() -> None:
    """With atomic=True the requests of a subscriber wait for each other."""
    async with LocalNovu(atomic=True) as local:
        assert await write_all(local, "PATCH") == (COUNT, 1)


async def test_a_doubled_channel_stays_stale() -> None:
    """Writes touch the first of two equal channels only; DELETE removes both."""
    double = [{"providerId": "fcm", "credentials": {"deviceTokens": [name]}} for name in "ab"]
    async with LocalNovu() as local:
        local.add_subscriber("u1", channels=double)
        await put(local, "u1", "fcm", {"deviceTokens": ["c"]}, method="PATCH")
        assert local.device_tokens("u1", "fcm") == ["a", "c", "b"]
        await put(local, "u1", "fcm", {"deviceTokens": ["d"]})
        assert local.device_tokens("u1", "fcm") == ["d", "b"]
        await send(local, "DELETE", "/v1/subscribers/u1/credentials/fcm")
        assert local.device_tokens("u1", "fcm") == []


async def test_other_providers_and_subscribers_do_not_disturb() -> None:
    """Concurrent writes to different providers or subscribers are safe."""
    async with LocalNovu() as local:
        await asyncio.gather(
            *(
                put(local, subscriber_id, provider_id, {"deviceTokens": ["a"]})
                for subscriber_id in ("u1", "u2")
                for provider_id in ("fcm", "apns", "expo")
            )
        )
        for subscriber_id in ("u1", "u2"):
            assert len(local.subscribers[subscriber_id]["channels"]) == 3


async def test_an_append_beside_a_delete_may_vanish() -> None:
    """A DELETE between read and write makes a PATCH answer 200 and store nothing."""
    vanished = 0
    async with LocalNovu() as local:
        for number in range(30):
            name = f"u{number}"
            await put(local, name, "fcm", {"deviceTokens": ["first"]})
            append, _ = await asyncio.gather(
                put(local, name, "fcm", {"deviceTokens": ["new"]}, method="PATCH"),
                send(local, "DELETE", f"/v1/subscribers/{name}/credentials/fcm"),
            )
            assert append.status == 200
            vanished += append.channels == []
    assert vanished > 0


async def read_beside_write(era: Any) -> int:
    """Run a GET beside a PATCH 30 times; count how often a GET afterwards misses the token."""
    stale = 0
    async with LocalNovu(era=era) as local:
        for number in range(30):
            name = f"u{number}"
            await put(local, name, "fcm", {"deviceTokens": ["first"]})
            await asyncio.gather(
                put(local, name, "fcm", {"deviceTokens": ["new"]}, method="PATCH"),
                send(local, "GET", f"/v1/subscribers/{name}"),
            )
            later = await send(local, "GET", f"/v1/subscribers/{name}")
            stale += later.channels != [
                {"providerId": "fcm", "credentials": {"deviceTokens": ["first", "new"]}}
            ]
    return stale


async def test_a_get_beside_a_write_can_stay_stale_in_2024() -> None:
    """In 2024 a reader between invalidation and write leaves the old state in the cache."""
    assert 0 < await read_beside_write("2024") < 30


async def test_a_get_is_never_stale_in_2026() -> None:
    """Since 2025 nothing is cached."""
    assert await read_beside_write("2026") == 0


async def test_the_cache_is_dropped_before_the_write() -> None:
    """A reader that fills the empty cache at any time leaves the old state in it."""
    store = Store(lambda: 0.0)
    store.add_common_integrations()
    before = store.create("u1", {})

    async def hop() -> None:
        store.cache.setdefault("u1", store.documents["u1"])

    write = ChannelWrite("u1", "fcm", {"deviceTokens": ["a"]}, None, append=True)
    after = await write_channel(store, "2024", hop, write)
    assert after == store.documents["u1"] != before
    assert store.cache["u1"] == before


async def test_an_abandoned_request_is_carried_out() -> None:
    """The API finishes what a client no longer waits for."""
    body = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}
    async with LocalNovu(latency=0.001) as local, connect(local) as (_, writer):
        writer.write(make_request(local, "PATCH", "/v1/subscribers/u1/credentials", body=body))
        await writer.drain()
        writer.transport.abort()
        while not local.device_tokens("u1", "fcm"):
            await put(local, "other", "fcm", {})
        assert local.device_tokens("u1", "fcm") == ["a"]
