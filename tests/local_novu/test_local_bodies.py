"""How the API reads request bodies, before it looks at anything else."""

import gzip
import json
import zlib
from typing import Any

import pytest
from raw_http import connect, make_request, read_reply, send

from novu_async.testing import LocalNovu
from novu_async.testing._json_text import dump

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
GOOD = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}

MALFORMED = [
    ("{", "Unexpected end of JSON input"),
    (" ", "Unexpected end of JSON input"),
    ('{"a":}', "Unexpected token } in JSON at position 5"),
    ('{"a":"x\ny"}', "Unexpected token \n in JSON at position 7"),
    ("{} {}", "Unexpected token { in JSON at position 3"),
    ("[NaN]", "Unexpected token [ in JSON at position 0"),
    ('"abc"', 'Unexpected token " in JSON at position 0'),
    (" null", "Unexpected token n in JSON at position 1"),
    ("not json", "Unexpected token n in JSON at position 0"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED)
async def test_malformed_json_is_400(text: str, message: str) -> None:
    """Malformed JSON, or JSON that is no object or list, is refused, even without an API key."""
    async with LocalNovu(era="2024") as local:
        reply = await send(local, "PUT", PATH, body=text.encode(), key=None)
    assert (reply.status, reply.message) == (400, message)
    assert reply.json["error"] == "Bad Request"


def test_a_lone_surrogate_is_escaped() -> None:
    """Half a character pair cannot be UTF-8 and is written as an escape."""
    assert json.loads(dump({"a": "\ud800é"})) == {"a": "\ud800é"}


READ_AS_EMPTY = [
    "text/plain",
    "application/vnd.api+json",
    "multipart/form-data; boundary=x",
    "json",
]


@pytest.mark.parametrize("content_type", READ_AS_EMPTY)
async def test_another_content_type_reads_as_an_empty_body(content_type: str) -> None:
    """A body that is neither JSON nor a form is not read: validation then misses everything."""
    async with LocalNovu(era="2024") as local:
        headers = {"Content-Type": content_type}
        reply = await send(local, "PUT", PATH, body=GOOD, headers=headers)
    assert reply.status == 400
    assert len(reply.message) == 4


ACCEPTED = [
    {"Content-Type": "APPLICATION/JSON"},
    {"Content-Type": "application/json;charset=UTF-8"},
    {"Content-Type": 'application/json; charset="utf-8"'},
    {"Content-Type": "application/json; charset=utf-7"},
    {"Content-Encoding": "identity"},
]


@pytest.mark.parametrize("headers", ACCEPTED)
async def test_json_under_other_headers(headers: dict[str, str]) -> None:
    """The content type is matched in any case, and any UTF charset is decoded."""
    async with LocalNovu() as local:
        assert (await send(local, "PUT", PATH, body=GOOD, headers=headers)).status == 200


UNREADABLE = [
    {"Content-Type": "application/json; charset=latin-1"},
    {"Content-Type": "application/json; charset=utf8"},
    {"Content-Type": "application/json; charset=utf-nonsense"},
    {"Content-Encoding": "br"},
    {"Content-Encoding": "gzip"},
]


@pytest.mark.parametrize("era", ["2024", "2026"])
@pytest.mark.parametrize("headers", UNREADABLE)
async def test_an_unknown_charset_or_encoding_is_500(era: Any, headers: dict[str, str]) -> None:
    """What the body parser gives up on is a 500 with an errorId, before authentication."""
    async with LocalNovu(era=era) as local:
        reply = await send(local, "PUT", PATH, body=GOOD, headers=headers, key=None)
    assert reply.status == 500
    assert reply.message.startswith("Internal server error, contact support")
    assert len(reply.json["errorId"]) == 36
    assert "error" not in reply.json
    assert "ctx" not in reply.json


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_read(coding: str, pack: Any) -> None:
    """gzip and deflate request bodies are decompressed."""
    body = pack(json.dumps(GOOD).encode())
    async with LocalNovu() as local:
        headers = {"Content-Encoding": coding}
        assert (await send(local, "PUT", PATH, body=body, headers=headers)).status == 200
        assert local.requests[0].body == body
        assert local.device_tokens("u1", "fcm") == ["a"]


async def test_byte_order_mark_and_duplicate_keys() -> None:
    """A UTF-8 byte order mark is skipped; of duplicate keys the last one counts."""
    body = (
        b'\xef\xbb\xbf{"providerId":"apns","providerId":"fcm","credentials":{"deviceTokens":["a"]}}'
    )
    async with LocalNovu() as local:
        assert (await send(local, "PUT", PATH, body=body)).status == 200
        assert local.device_tokens("u1", "fcm") == ["a"]


def make_body(size: int) -> bytes:
    """Make a valid body of exactly this many bytes."""
    frame = json.dumps({"providerId": "fcm", "credentials": {"deviceTokens": [""]}})
    return frame.replace('""', '"' + "a" * (size - len(frame)) + '"').encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("era", "refusal"), [("2024", 500), ("2026", 413)])
async def test_a_body_may_have_102400_bytes(era: Any, refusal: int, pack: Any) -> None:
    """102,400 bytes pass; one more, even compressed or without a key, is 500 or 413."""
    headers = {"Content-Encoding": "gzip"} if pack is gzip.compress else {}
    async with LocalNovu(era=era) as local:
        fits = await send(local, "PUT", PATH, body=pack(make_body(102_400)), headers=headers)
        body = pack(make_body(102_401))
        too_large = await send(local, "PUT", PATH, body=body, headers=headers, key=None)
    assert (fits.status, too_large.status) == (200, refusal)
    if era == "2026":
        assert too_large.message == "Payload Too Large"
        assert too_large.json["ctx"] == {"statusCode": 413}


async def test_a_huge_body_is_read_to_its_end_and_refused() -> None:
    """The connection survives a body of megabytes; the log keeps its first megabyte."""
    async with LocalNovu() as local:
        reply = await send(local, "PUT", PATH, body=b" " * 3_000_000)
        assert reply.status == 413
        assert len(local.requests[0].body) == 1 << 20


async def test_a_chunked_body_is_read() -> None:
    """A body without a length is put together from its chunks."""
    body = json.dumps(GOOD).encode()
    async with LocalNovu() as local, connect(local) as (reader, writer):
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        writer.write(make_request(local, "PUT", PATH, headers=headers))
        writer.write(
            b"5;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (body[:5], len(body) - 5, body[5:])
        )
        assert (await read_reply(reader)).status == 200
        assert local.requests[0].json == GOOD


async def test_nesting_beyond_the_stack_is_500() -> None:
    """JSON nested too deeply breaks the API's own code."""
    body = b'{"providerId":"fcm","credentials":{"x":' + b"[" * 40_000 + b"]" * 40_000 + b"}}"
    async with LocalNovu() as local:
        assert (await send(local, "PUT", PATH, body=body)).status == 500


FORMS: list[tuple[str, Any]] = [
    ("providerId=fcm&credentials[deviceTokens][]=a&credentials[deviceTokens][]=b", ["a", "b"]),
    ("providerId=fcm&credentials[deviceTokens]=ab", ["a", "b"]),
    ("providerId=f%63m&credentials%5BdeviceTokens%5D[]=a+b%2Bc", ["a b+c"]),
]


@pytest.mark.parametrize(("form", "tokens"), FORMS)
async def test_a_form_is_read(form: str, tokens: list[str]) -> None:
    """Form fields with brackets make objects and lists; every value is text."""
    async with LocalNovu(era="2024") as local:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await send(local, "PUT", PATH, body=form.encode(), headers=headers)
        assert reply.status == 200
        assert local.device_tokens("u1", "fcm") == tokens
