"""What every reply of the API carries, and how connections are kept."""

import gzip
from typing import Any

import pytest
from raw_http import connect, make_request, put, read_reply, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
LARGE = {"deviceTokens": ["t" * 1500]}
SMALL = {"deviceTokens": ["t"]}


async def test_headers_of_every_answer() -> None:
    """Success and error carry the security headers, Vary, ETag and the keep-alive of 61 s."""
    async with LocalNovu() as local:
        for reply in (
            await put(local, "u1", "fcm", SMALL),
            await send(local, "PUT", PATH, body={}),
            await send(local, "GET", "/nothing"),
        ):
            headers = reply.headers
            assert headers["content-type"] == "application/json; charset=utf-8"
            assert headers["vary"] == "Origin, Accept-Encoding"
            assert headers["keep-alive"] == "timeout=61"
            assert headers["connection"] == "keep-alive"
            assert headers["etag"].startswith('W/"')
            assert headers["strict-transport-security"] == "max-age=15552000; includeSubDomains"
            assert headers["x-content-type-options"] == "nosniff"
            assert int(headers["content-length"]) == len(reply.body)


async def test_a_204_has_no_content() -> None:
    """DELETE answers without type, length and ETag."""
    async with LocalNovu() as local:
        reply = await send(local, "DELETE", f"{PATH}/fcm")
    assert reply.status == 204
    assert not {"content-type", "content-length", "etag"} & set(reply.headers)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("br", None),
        ("identity", None),
        (None, None),
    ],
)
async def test_a_reply_above_1_kb_is_compressed(accepted: str | None, coding: str | None) -> None:
    """From 1 KB on a reply is compressed and chunked, if the client accepts it."""
    headers = {"Accept-Encoding": accepted} if accepted else {}
    async with LocalNovu() as local:
        large = await put(local, "u1", "fcm", LARGE, headers=headers)
        small = await put(local, "u2", "fcm", SMALL, headers=headers)
    assert large.headers.get("content-encoding") == coding
    assert ("transfer-encoding" in large.headers) == (coding is not None)
    assert ("content-length" in large.headers) == (coding is None)
    assert large.channels[0]["credentials"] == LARGE
    assert "content-encoding" not in small.headers
    if coding == "gzip":
        assert gzip.decompress(large.raw) == large.body


async def test_head_answers_like_get_without_a_body() -> None:
    """HEAD has the length and ETag of the GET."""
    async with LocalNovu() as local:
        get = await send(local, "GET", "/v1/subscribers/u1")
        head = await send(local, "HEAD", "/v1/subscribers/u1")
        missing = await send(local, "HEAD", PATH)
    assert (head.status, missing.status) == (200, 404)
    assert head.headers["content-length"] == str(len(get.body))
    assert head.headers["etag"] == get.headers["etag"]


async def test_a_connection_serves_many_requests() -> None:
    """Requests on one connection are answered in order, also when sent ahead."""
    async with LocalNovu() as local, connect(local) as (reader, writer):
        for name in ("u1", "u2", "u3"):
            writer.write(make_request(local, "GET", f"/v1/subscribers/{name}"))
        names = [(await read_reply(reader)).json["data"]["subscriberId"] for _ in range(3)]
        assert names == ["u1", "u2", "u3"]
        assert {one.connection for one in local.requests} == {1}


@pytest.mark.parametrize(
    ("version", "header"), [(b"HTTP/1.1", b"Connection: close\r\n"), (b"HTTP/1.0", b"")]
)
async def test_a_connection_is_closed_on_request(version: bytes, header: bytes) -> None:
    """A client that does not want the connection kept gets it closed."""
    async with LocalNovu() as local, connect(local) as (reader, writer):
        request = make_request(local, "GET", "/v1/subscribers/u1").replace(b"HTTP/1.1", version)
        writer.write(request.replace(b"Host", header + b"Host"))
        reply = await read_reply(reader)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await reader.read() == b""


async def test_a_client_may_ask_before_it_sends_the_body() -> None:
    """Expect: 100-continue is answered before the body is read."""
    body = b'{"providerId":"fcm","credentials":{}}'
    async with LocalNovu() as local, connect(local) as (reader, writer):
        request = make_request(local, "PUT", PATH, body=body, headers={"Expect": "100-continue"})
        writer.write(request[: -len(body)])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await read_reply(reader)).status == 200


async def test_404_and_500_in_2026_carry_ctx() -> None:
    """Since 2025 `ctx` repeats what is flattened into the body; a 500 has none."""
    async with LocalNovu(strict=True) as local:
        missing = await send(local, "GET", "/v1/subscribers/ghost")
        local.add_subscriber("u1")
        local.add_integration("fcm")
        broken = await put(local, "u1", "fcm", {"deviceTokens": 7})
    assert missing.json["ctx"] == {"error": "Not Found", "statusCode": 404}
    assert set(broken.json) == {"statusCode", "timestamp", "path", "message", "errorId"}


async def test_times_follow_the_clock(clock: Any) -> None:
    """Timestamps of documents and errors are the clock's, to the millisecond."""
    clock.now = 1_730_000_000.1234
    async with LocalNovu(clock=clock) as local:
        data = (await put(local, "u1", "fcm", {})).json["data"]
        error = await send(local, "GET", "/nothing")
    assert data["createdAt"] == "2024-10-27T03:33:20.123Z"
    assert error.json["timestamp"] == "2024-10-27T03:33:20.123Z"
