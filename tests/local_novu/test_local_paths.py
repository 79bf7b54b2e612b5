"""How a raw path reaches its subscriber, or does not."""

from typing import Any

import pytest
from raw_http import connect, read_reply, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

BODY = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}

REACHED = [
    ("a%2Fb", "a/b"),
    ("%2E%2E", ".."),
    ("..", ".."),
    (".", "."),
    ("%C3%A9", "é"),
    ("é", "é"),
    ("a+b", "a+b"),
    ("a@b.c", "a@b.c"),
    ("q%3Fx%3D1", "q?x=1"),
    ("h%23h", "h#h"),
    ("100%25", "100%"),
    ("%252F", "%2F"),
    ("%2F", "/"),
    ("%20u1%20", " u1 "),
    ("a%00b", "a\0b"),
    ("a%0Ab", "a\nb"),
    ("a;b", "a;b"),
    ("a\\b", "a\\b"),
    ('<"b">', '<"b">'),
    ("bulk", "bulk"),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("segment", "subscriber_id"), REACHED)
async def test_a_segment_is_decoded_once(method: str, segment: str, subscriber_id: str) -> None:
    """Any non-empty segment is a subscriber id, percent-decoded once and never normalised."""
    path = f"/v1/subscribers/{segment}/credentials"
    async with LocalNovu() as local:
        assert (await send(local, method, path, body=BODY)).status == 200
        assert list(local.subscribers) == [subscriber_id]
        assert local.requests[0].path == path
        assert local.requests[0].subscriber_id == subscriber_id


@pytest.mark.parametrize("segment", ["%", "%zz", "%FF", "%E0%A4%A", "a%", "%C3", "%ED%A0%80"])
async def test_a_bad_escape_is_400(segment: str) -> None:
    """What is not percent-encoded UTF-8 is refused before authentication."""
    path = f"/v1/subscribers/{segment}/credentials"
    async with LocalNovu(era="2024") as local:
        reply = await send(local, "PUT", path, body=BODY, key=None)
    assert (reply.status, reply.message) == (400, f"Failed to decode param '{segment}'")


SAME_ROUTE = [
    "/v1/subscribers/u1/credentials/",
    "/V1/Subscribers/u1/CREDENTIALS",
    "/v1/subscribers/u1/credentials?x=1",
    "/v1/subscribers/u1/credentials#f",
    "http://elsewhere/v1/subscribers/u1/credentials",
]


@pytest.mark.parametrize("path", SAME_ROUTE)
async def test_other_spellings_of_the_same_route(path: str) -> None:
    """Case and one trailing slash do not matter, nor do query and origin."""
    async with LocalNovu() as local:
        assert (await send(local, "PUT", path, body=BODY)).status == 200
        assert list(local.subscribers) == ["u1"]


UNKNOWN = [
    ("PUT", "/v1/subscribers/a/b/credentials"),
    ("PUT", "/v1/subscribers//credentials"),
    ("PUT", "/v1//subscribers/u1/credentials"),
    ("PUT", "//v1/subscribers/u1/credentials"),
    ("PUT", "/v1/subscribers/u1/credentials//"),
    ("PUT", "/v1/subscribers/u1/credentials/fcm"),
    ("GET", "/v1/subscribers/u1/credentials"),
    ("POST", "/v1/subscribers/u1/credentials"),
    ("DELETE", "/v1/subscribers/u1/credentials"),
    ("PATCH", "/v1/subscribers/u1"),
    ("PUT", "/v1/subscribers"),
    ("TRACE", "/v1/subscribers/u1"),
    ("GET", "/"),
    ("GET", "/%zz"),
    ("GET", "/v1/topics"),
]


@pytest.mark.parametrize("era", ["2024", "2026"])
@pytest.mark.parametrize(("method", "path"), UNKNOWN)
async def test_an_unknown_route_is_404(era: Any, method: str, path: str) -> None:
    """The API answers 404 for an unknown path or method, before authentication."""
    async with LocalNovu(era=era) as local:
        reply = await send(local, method, path, key=None)
    assert (reply.status, reply.message) == (404, f"Cannot {method} {path}")
    assert reply.json["error"] == "Not Found"
    assert reply.json["path"] == path


async def test_v2_does_not_exist_in_2024() -> None:
    """The v2 routes came after 2024."""
    async with LocalNovu(era="2024") as local:
        assert (await send(local, "GET", "/v2/subscribers/u1")).status == 404


@pytest.mark.parametrize("request_line", ["path", "header"])
async def test_a_long_head_is_431_without_a_body(request_line: str) -> None:
    """A request line or headers above 16 KB are refused by the server itself."""
    long = "a" * 20_000
    path = f"/v1/subscribers/{long if request_line == 'path' else 'u1'}/credentials"
    headers = {"X-Long": long} if request_line == "header" else {}
    async with LocalNovu() as local:
        reply = await send(local, "PUT", path, body=BODY, headers=headers)
        assert (reply.status, reply.body, dict(reply.headers)) == (
            431,
            b"",
            {"connection": "close"},
        )
        assert local.requests == []


async def test_16000_characters_are_not_too_long() -> None:
    """An id just below the limit of the head reaches its subscriber."""
    async with LocalNovu() as local:
        path = f"/v1/subscribers/{'a' * 16_000}/credentials"
        assert (await send(local, "PUT", path, body=BODY)).status == 200


CHUNKED = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = [
    b"hello\r\n\r\n",
    b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nc\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"-5\r\n{}\r\n",
    CHUNKED + b"2;" + b"x" * 20_000 + b"\r\n",
    CHUNKED + b"0\r\n" + b"x" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
]


@pytest.mark.parametrize("raw", NOT_HTTP, ids=lambda raw: repr(raw)[:80])
async def test_what_is_not_http_is_400_without_a_body(raw: bytes) -> None:
    """Bytes that are not a request are answered 400 and the connection is closed."""
    async with LocalNovu() as local, connect(local) as (reader, writer):
        writer.write(raw)
        writer.write_eof()
        reply = await read_reply(reader)
        assert (reply.status, reply.body, await reader.read()) == (400, b"", b"")


async def test_a_path_prefix_comes_before_the_version() -> None:
    """A self-hosted API may live under a prefix; `path` in errors shows it."""
    async with LocalNovu(path_prefix="/novu/api") as local:
        assert local.url.endswith("/novu/api")
        under = await send(local, "PUT", "/novu/api/v1/subscribers/u1/credentials", body=BODY)
        beside = await send(local, "PUT", "/v1/subscribers/u1/credentials", body=BODY)
        assert (under.status, beside.status) == (200, 404)
        assert local.requests[0].subscriber_id == "u1"
