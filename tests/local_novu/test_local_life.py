"""Starting, stopping, seeding and looking into a LocalNovu."""

import asyncio
import gc
import http.client
import inspect
import json
import socket
import threading
from typing import Any

import pytest
from raw_http import connect, make_request, put, read_reply, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
BODY = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}


def call(local: LocalNovu, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request without an event loop."""
    connection = http.client.HTTPConnection(local.url.removeprefix("http://"), timeout=10)
    headers = {"Authorization": f"ApiKey {local.api_key}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body and json.dumps(body), headers)
        reply = connection.getresponse()
        content = reply.read()
    finally:
        connection.close()
    return reply.status, json.loads(content) if content else None


async def test_it_listens_on_the_loopback_interface_only() -> None:
    """By default the address is 127.0.0.1 and the port is free."""
    async with LocalNovu() as one, LocalNovu() as other:
        assert one.url.startswith("http://127.0.0.1:")
        assert one.url != other.url
        assert (await send(one, "PUT", PATH, body=BODY)).status == 200
        assert other.requests == []


async def test_it_starts_again_on_the_same_port() -> None:
    """Closed and started again, it keeps its address and its state."""
    local = LocalNovu()
    for _ in range(2):
        async with local:
            url = local.url
            assert (await send(local, "PATCH", PATH, body=BODY)).status == 200
        with pytest.raises(OSError, match=r"\d"):
            await send(local, "PUT", PATH, body=BODY)
    assert local.url == url
    assert len(local.requests) == 2
    assert local.device_tokens("u1", "fcm") == ["a"]


async def test_serve_forever_ends_when_cancelled() -> None:
    """Cancelling it closes the server."""
    local = LocalNovu()
    await local.start()
    task = asyncio.create_task(local.serve_forever())
    assert (await send(local, "PUT", PATH, body=BODY)).status == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match=r"\d"):
        await send(local, "PUT", PATH, body=BODY)


async def test_closing_breaks_idle_connections() -> None:
    """A client with a kept connection does not hold the server up."""
    local = LocalNovu()
    await local.start()
    async with connect(local) as (reader, writer):
        writer.write(make_request(local, "GET", "/v1/subscribers/u1"))
        await read_reply(reader)
        await local.aclose()
        assert await reader.read() == b""


async def test_closing_does_not_wait_for_a_client_that_does_not_read() -> None:
    """A reply that nobody takes does not hold the server up."""
    local = LocalNovu()
    await local.start()
    local.faults.next("oversized_reply", size_bytes=12 << 20)
    async with connect(local) as (reader, writer):
        writer.transport.pause_reading()
        writer.write(make_request(local, "PUT", PATH, body=BODY))
        await writer.drain()
        while not local.requests or local.requests[0].status is None:
            async with connect(local):
                pass
        await local.aclose()
        assert not reader.at_eof()
        writer.transport.abort()


def test_connections_of_the_last_moment_leave_nothing_behind() -> None:
    """A client that connects while the server closes leaks no socket."""
    for _ in range(30):
        with LocalNovu.in_thread() as local:
            address = local.url.removeprefix("http://").split(":")
            clients = [socket.create_connection((address[0], int(address[1]))) for _ in range(3)]
            clients[0].close()
        for client in clients:
            client.close()
    gc.collect()


def test_it_runs_in_a_thread_for_plain_code() -> None:
    """Code without an event loop uses it as a context manager; the thread ends with it."""
    before = threading.active_count()
    with LocalNovu.in_thread(era="2024") as local:
        assert call(local, "PATCH", PATH, BODY)[0] == 200
        assert call(local, "PATCH", PATH, {})[0] == 400
        assert local.device_tokens("u1", "fcm") == ["a"]
        assert [one.status for one in local.requests] == [200, 400]
        local.reset()
        assert local.subscribers == {}
    assert threading.active_count() == before


def test_in_thread_shows_the_options_of_the_server() -> None:
    """Completion and `help()` have every parameter with its default."""
    shown = inspect.signature(LocalNovu.in_thread).parameters
    assert shown == inspect.signature(LocalNovu).parameters
    assert "in a thread of its own" in (LocalNovu.in_thread.__doc__ or "")


def test_a_taken_port_is_an_error_in_a_thread_too() -> None:
    """What starting raises comes out of in_thread."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="address already in use"),
        LocalNovu.in_thread(port=taken.getsockname()[1]),
    ):
        pass


def test_an_error_in_the_block_is_not_swallowed() -> None:
    """An exception passes through in_thread and the server stops."""
    with pytest.raises(KeyError, match="mine"), LocalNovu.in_thread():
        raise KeyError("mine")


async def test_the_log_holds_what_arrived() -> None:
    """Requests are logged in order of arrival, raw, with their headers in any case."""
    async with LocalNovu() as local:
        await send(local, "PUT", PATH, body=BODY, headers={"X-Mine": "1"})
        await send(local, "DELETE", f"{PATH}/fcm")
        await send(local, "POST", "/v1/subscribers", body=b"{")
        first, second, third = local.requests
        assert local.requests[0] is first
    assert (first.method, first.path, first.subscriber_id) == ("PUT", PATH, "u1")
    assert (first.json, first.body) == (BODY, json.dumps(BODY).encode())
    assert first.headers["X-MINE"] == first.headers.get("x-mine") == "1"
    assert "X-Other" not in first.headers
    assert first.finished is not None
    assert first.finished >= first.started
    assert (second.status, second.json) == (204, None)
    assert (third.status, third.json, third.subscriber_id) == (400, None, None)
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert local.api_key not in repr(first)


async def test_the_log_can_be_bounded() -> None:
    """With max_requests only the newest requests are kept."""
    async with LocalNovu(max_requests=2) as local:
        for name in ("u1", "u2", "u3"):
            await send(local, "GET", f"/v1/subscribers/{name}")
        assert [one.subscriber_id for one in local.requests] == ["u2", "u3"]


async def test_reset_goes_back_to_the_seed() -> None:
    """reset() restores state, log, faults, limits and keys."""
    async with LocalNovu(subscribers=["u1"], integrations=["fcm"], rate_limit=20) as local:
        await put(local, "u1", "fcm", {"deviceTokens": ["a"]})
        local.add_subscriber("u2")
        local.add_integration("apns")
        local.faults.next("error_500")
        local.reset()
        assert list(local.subscribers) == ["u1"]
        assert [one["providerId"] for one in local.integrations] == ["fcm"]
        assert (local.device_tokens("u1", "fcm"), local.requests) == ([], [])
        reply = await put(local, "u1", "fcm", {})
        assert (reply.status, reply.headers["ratelimit-remaining"]) == (200, "109")


async def test_without_a_seed_everything_exists() -> None:
    """Any subscriber exists on first use, and every push and chat provider has an integration."""
    async with LocalNovu() as local:
        for provider_id in ("fcm", "apns", "expo", "slack", "zulip", "pushpad", "telegram"):
            assert (await put(local, "anyone", provider_id, {})).status == 200
        assert len(local.integrations) == 25


async def test_strict_starts_empty() -> None:
    """With strict=True nothing exists that was not added."""
    async with LocalNovu(strict=True) as local:
        assert (local.integrations, local.subscribers) == ([], {})
        assert (await put(local, "u1", "fcm", {})).status == 400
        local.add_subscriber("u1", firstName="Ada")
        local.add_integration("fcm", identifier="fcm-main")
        assert (await put(local, "u1", "fcm", {}, identifier="fcm-main")).status == 200


async def test_seeded_subscribers_are_the_only_ones() -> None:
    """Given subscribers, by id or as objects with channels, others are unknown."""
    channel = {
        "providerId": "fcm",
        "integrationIdentifier": "x",
        "credentials": {"deviceTokens": ["a"]},
    }
    subscribers: list[Any] = [
        "u1",
        {"subscriberId": "u2", "firstName": "Ada", "channels": [channel]},
    ]
    integrations = [{"providerId": "fcm", "identifier": "x"}]
    async with LocalNovu(subscribers=subscribers, integrations=integrations) as local:
        assert (await put(local, "ghost", "fcm", {})).status == 400
        assert local.subscribers["u2"]["firstName"] == "Ada"
        assert local.device_tokens("u2", "fcm", "x") == ["a"]
        assert local.device_tokens("u2", "fcm", "y") == local.device_tokens("ghost", "fcm") == []


async def test_debug_routes() -> None:
    """/__local/ shows documents and requests, and resets; it is not logged and needs no key."""
    async with LocalNovu() as local:
        await send(local, "PUT", "/v1/subscribers/a%2Fb/credentials", body=BODY)
        shown = await send(local, "GET", "/__local/subscribers/a%2Fb", key=None)
        assert shown.json == local.subscribers["a/b"]
        log = (await send(local, "GET", "/__local/requests", key=None)).json
        assert [(one["subscriberId"], one["status"], one["json"]) for one in log] == [
            ("a/b", 200, BODY)
        ]
        assert local.api_key not in json.dumps(log)
        assert (await send(local, "GET", "/__local/subscribers/ghost")).status == 404
        assert (await send(local, "GET", "/__local/nothing")).status == 404
        assert (await send(local, "POST", "/__local/reset", key=None)).status == 204
        assert (local.subscribers, local.requests) == ({}, [])


def test_an_unknown_era_is_refused() -> None:
    """There are two eras."""
    with pytest.raises(ValueError, match="era must be '2024' or '2026', not '2025'"):
        LocalNovu(era="2025")  # type: ignore[arg-type]
