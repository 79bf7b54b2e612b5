"""Faults on demand: what the client sees, and whether the write was applied."""

import asyncio
import json
from typing import Any

import pytest
from raw_http import connect, make_request, put, read_reply, send

from novu_async.testing import FAULT_KINDS, LocalNovu

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
BODY = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}
GONE = (ConnectionError, asyncio.IncompleteReadError)


async def append(local: LocalNovu) -> Any:
    """Send one PATCH."""
    return await send(local, "PATCH", PATH, body=BODY)


@pytest.mark.parametrize(
    ("kind", "applied"),
    [("reset_before", False), ("drop_before_reply", True), ("reset_during_reply", True)],
)
async def test_the_answer_is_lost(kind: Any, applied: bool) -> None:
    """The connection breaks before the answer is complete; the write may have been applied."""
    async with LocalNovu() as local:
        local.faults.next(kind)
        with pytest.raises(GONE):
            await append(local)
        assert local.device_tokens("u1", "fcm") == (["a"] if applied else [])
        assert local.requests[0].fault == kind
        assert local.faults.injected == {kind: 1}
        assert (await append(local)).status == 200


@pytest.mark.parametrize("kind", ["reset_after_reply", "close_idle"])
async def test_the_connection_ends_after_the_answer(kind: Any) -> None:
    """The answer promises to keep the connection, and then it is gone."""
    async with LocalNovu() as local, connect(local) as (reader, writer):
        local.faults.next(kind)
        writer.write(make_request(local, "PATCH", PATH, body=BODY))
        reply = await read_reply(reader)
        assert (reply.status, reply.headers["connection"]) == (200, "keep-alive")
        if kind == "close_idle":
            assert await reader.read() == b""
        else:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        assert local.device_tokens("u1", "fcm") == ["a"]


async def test_a_connection_is_refused() -> None:
    """Connections are closed at once, as often as asked, and no request arrives."""
    async with LocalNovu() as local:
        local.faults.next("refuse", times=2)
        for _ in range(2):
            with pytest.raises(GONE):
                await append(local)
        assert local.requests == []
        assert (await append(local)).status == 200


@pytest.mark.parametrize(("kind", "applied"), [("stall", False), ("stall_after_write", True)])
async def test_a_stall_lasts_until_the_client_leaves(kind: Any, applied: bool) -> None:
    """Nothing is answered; other connections are served meanwhile."""
    async with LocalNovu() as local:
        local.faults.next(kind, method="PATCH")
        async with connect(local) as (_, writer):
            writer.write(make_request(local, "PATCH", PATH, body=BODY))
            await writer.drain()
            while local.faults.total == 0 or (applied and not local.device_tokens("u1", "fcm")):
                await send(local, "GET", "/v1/subscribers/u2")
            stalled = next(one for one in local.requests if one.method == "PATCH")
            assert stalled.finished is None
            assert local.device_tokens("u1", "fcm") == (["a"] if applied else [])
        while next(one for one in local.requests if one.method == "PATCH").finished is None:
            await send(local, "GET", "/v1/subscribers/u2")


async def test_a_stall_ends_when_the_server_closes() -> None:
    """Closing LocalNovu does not wait for stalled clients."""
    local = LocalNovu()
    await local.start()
    local.faults.next("stall", method="PATCH")
    async with connect(local) as (reader, writer):
        writer.write(make_request(local, "PATCH", PATH, body=BODY))
        await writer.drain()
        while not local.faults.total:
            await send(local, "GET", "/v1/subscribers/u2")
        await local.aclose()
        with pytest.raises(GONE):
            await reader.readexactly(1)


async def test_a_slow_reply_is_complete() -> None:
    """The answer comes in pieces of a few bytes."""
    async with LocalNovu() as local:
        local.faults.next("slow_reply")
        assert (await append(local)).json["data"]["channels"]


async def test_truncated_json() -> None:
    """The HTTP reply is complete, its JSON is not."""
    async with LocalNovu() as local:
        local.faults.next("truncated_json")
        reply = await append(local)
        assert reply.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(reply.body)
        assert local.device_tokens("u1", "fcm") == ["a"]


async def test_a_wrong_content_type() -> None:
    """The JSON is right, but announced as HTML."""
    async with LocalNovu() as local:
        local.faults.next("wrong_content_type")
        reply = await append(local)
        assert reply.headers["content-type"].startswith("text/html")
        assert reply.json["data"]


async def test_an_oversized_reply() -> None:
    """The JSON is padded to the size asked for, and never compressed."""
    async with LocalNovu() as local:
        local.faults.next("oversized_reply", size_bytes=1_000_000)
        reply = await send(local, "PATCH", PATH, body=BODY, headers={"Accept-Encoding": "gzip"})
        assert len(reply.raw) == 1_000_000
        assert reply.json["data"]["channels"]


async def test_a_write_is_overwritten() -> None:
    """The answer is 200 and shows the tokens of another process; other providers are not hurt."""
    async with LocalNovu() as local:
        await put(local, "u1", "apns", {"deviceTokens": ["x"]})
        local.faults.next("overwritten", times=2)
        for _ in range(2):
            reply = await append(local)
            assert reply.status == 200
            assert [one["providerId"] for one in reply.channels] == ["apns"]
        await append(local)
        local.faults.next("overwritten")
        assert (await send(local, "DELETE", f"{PATH}/fcm")).status == 204
        assert local.device_tokens("u1", "fcm") == ["a"]
        assert local.device_tokens("u1", "apns") == ["x"]


async def test_a_refused_write_is_not_overwritten() -> None:
    """An error stays what it is."""
    async with LocalNovu(strict=True) as local:
        local.faults.next("overwritten")
        assert (await append(local)).status == 400


REPLACED = [
    ("html_error", 502, "text/html"),
    ("error_502", 502, "text/plain"),
    ("error_504", 504, "text/plain"),
    ("redirect", 307, "text/plain"),
    ("error_500", 500, "application/json; charset=utf-8"),
    ("error_503", 503, "application/json; charset=utf-8"),
    ("too_many_requests", 429, "application/json; charset=utf-8"),
]


@pytest.mark.parametrize("applied", [None, True])
@pytest.mark.parametrize(("kind", "status", "content_type"), REPLACED)
async def test_another_answer(
    kind: Any, status: int, content_type: str, applied: bool | None
) -> None:
    """The answer is replaced; the write is applied only when asked for."""
    async with LocalNovu() as local:
        local.faults.next(kind, applied=applied, retry_after=7, location="http://other.invalid/x")
        reply = await append(local)
        assert (reply.status, reply.headers["content-type"]) == (status, content_type)
        assert local.device_tokens("u1", "fcm") == (["a"] if applied else [])
    if status in (429, 503):
        assert reply.headers["retry-after"] == "7"
    assert reply.headers.get("location") == ("http://other.invalid/x" if status == 307 else None)
    assert ("etag" in reply.headers) == content_type.startswith("application/json")


async def test_a_script_chooses_its_requests() -> None:
    """Faults apply by method and subscriber, after some requests, and as often as asked."""
    async with LocalNovu() as local:
        local.faults.next("error_500", method="PATCH", subscriber_id="u1", after=1, times=2)
        statuses = [(await append(local)).status for _ in range(4)]
        other = await send(local, "PUT", PATH, body=BODY)
    assert statuses == [200, 500, 500, 200]
    assert other.status == 200


async def test_scripts_queue_up() -> None:
    """Faults come in the order in which they were scripted, and stop() drops them."""
    async with LocalNovu() as local:
        local.faults.next("error_502")
        local.faults.next("error_503")
        local.faults.next("error_504", times=9)
        statuses = [(await append(local)).status for _ in range(3)]
        local.faults.stop()
        assert (await append(local)).status == 200
        assert local.faults.total == 3
    assert statuses == [502, 503, 504]


async def run_lottery(seed: int) -> list[str | None]:
    """Draw faults for 200 requests."""
    async with LocalNovu() as local:
        local.faults.random(0.2, seed=seed, kinds=["error_500", "error_503"])
        for _ in range(200):
            await append(local)
        drawn = [one.fault for one in local.requests]
        assert local.faults.total == sum(one is not None for one in drawn)
        return drawn


async def test_random_faults_follow_their_seed() -> None:
    """The rate is kept about, and the same seed gives the same schedule."""
    first = await run_lottery(1)
    assert first == await run_lottery(1) != await run_lottery(2)
    assert 20 < sum(one is not None for one in first) < 60
    assert set(first) == {None, "error_500", "error_503"}


async def test_random_faults_of_all_kinds_leave_the_server_alive() -> None:
    """After a storm of every kind that random faults have, requests are answered again."""
    async with LocalNovu() as local:
        local.faults.random(0.5, seed=3)
        for _ in range(300):
            try:
                await append(local)
            except GONE:
                continue
        seen = set(local.faults.injected)
        assert seen == {k for k in FAULT_KINDS if not k.startswith(("stall", "over"))}
        local.faults.stop()
        assert (await append(local)).status == 200


async def test_misuse_is_refused() -> None:
    """An unknown kind and a rate that is no share are errors at once."""
    local = LocalNovu()
    with pytest.raises(ValueError, match="unknown fault 'nonsense'"):
        local.faults.next("nonsense")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown fault 'nonsense'"):
        local.faults.random(0.1, kinds=["nonsense"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="rate must be between 0 and 1"):
        local.faults.random(2)
