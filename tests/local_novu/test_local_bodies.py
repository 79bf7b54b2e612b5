"""How the API reads request bodies, before it looks at anything else."""

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_http import connect, make_request, read_reply, send

from novu_async.testing import LocalNovu
from novu_async.testing._json_text import MalformedJSONError, dump, explain, parse

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
GOOD = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}

# Each pair was produced by JSON.parse of Node 20 behind the API's body parser.
MALFORMED = [
    ("{", "Expected property name or '}' in JSON at position 1"),
    ('{"a":}', 'Unexpected token \'}\', "{"a":}" is not valid JSON'),
    ('{"a":1,}', "Expected double-quoted property name in JSON at position 7"),
    ("[1,2", "Expected ',' or ']' after array element in JSON at position 4"),
    ('{"a" 1}', "Expected ':' after property name in JSON at position 5"),
    ("{'a':1}", "Expected property name or '}' in JSON at position 1"),
    ('{"a":"x\ny"}', "Bad control character in string literal in JSON at position 7"),
    ('{"a":tru}', 'Unexpected token \'}\', "{"a":tru}" is not valid JSON'),
    ('{"a":nul', "Unexpected end of JSON input"),
    ('{"a":01}', "Unexpected number in JSON at position 6"),
    ('{"a":1.}', "Unterminated fractional number in JSON at position 7"),
    ('{"a":1e}', "Exponent part is missing a number in JSON at position 7"),
    ('{"a":-}', "No number after minus sign in JSON at position 6"),
    ('{"a":"\\x"}', "Bad escaped character in JSON at position 7"),
    ('{"a":"\\u12"}', "Bad Unicode escape in JSON at position 10"),
    ('{"a":"unterminated', "Unterminated string in JSON at position 18"),
    ("{} {}", "Unexpected non-whitespace character after JSON at position 3"),
    ('{"a":"😀",}', "Expected double-quoted property name in JSON at position 10"),
    ('{"a":[1,2,3,4,5,6,7,8,]}', "Unexpected token ']', ...\"4,5,6,7,8,]}\" is not valid JSON"),
    (
        '{"a":undefined, "bbbbbbbbbbbbbb":1}',
        'Unexpected token \'u\', "{"a":undefined,"... is not valid JSON',
    ),
    ("[object Object]", '"[object Object]" is not valid JSON'),
    ('"abc"', 'Unexpected token \'"\', ""abc"" is not valid JSON'),
    ("null", "Unexpected token 'n', \"null\" is not valid JSON"),
    ("5", "Unexpected token '5', \"5\" is not valid JSON"),
    (" ", "Unexpected end of JSON input"),
    ("not json", "Unexpected token 'n', \"not json\" is not valid JSON"),
    ("[NaN]", "Unexpected token 'N', \"[NaN]\" is not valid JSON"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED)
async def test_malformed_json_is_400_in_the_parsers_words(text: str, message: str) -> None:
    """Malformed JSON is refused with Node's own message, even without an API key."""
    async with LocalNovu(era="2024") as local:
        reply = await send(local, "PUT", PATH, body=text.encode(), key=None)
    assert (reply.status, reply.message) == (400, message)
    assert reply.json["error"] == "Bad Request"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_what_is_json_is_read_as_json(value: Any) -> None:
    """Any JSON text is found valid, and an object or array is read back unchanged."""
    assert explain(json.dumps(value)) is None
    wrapped = parse(json.dumps([str(value)]))
    assert wrapped == [str(value)]


@given(st.text(alphabet='{}[]",:\\eE+-.01trufalsn \n', max_size=20))
def test_explain_agrees_with_python_about_what_is_json(text: str) -> None:
    """A text is explained exactly when it is not JSON."""
    try:
        json.loads(text, parse_constant=lambda name: pytest.fail(name))
        is_json = True
    except ValueError:
        is_json = False
    assert (explain(text) is None) == is_json


def test_numbers_are_written_as_javascript_writes_them() -> None:
    """A zero fraction disappears, and a huge integer loses digits as a double does."""
    assert dump(parse('{"a":1.0,"b":1e3,"c":0.5,"d":12345678901234567890}')) == (
        b'{"a":1,"b":1000,"c":0.5,"d":12345678901234567000}'
    )


def test_a_lone_surrogate_is_escaped() -> None:
    """Half a character pair cannot be UTF-8 and is written as an escape."""
    assert dump({"a": "\ud800é"}) == b'{"a":"\\ud800\xc3\xa9"}'


def test_an_unfinished_text_is_malformed() -> None:
    """The end of the text in the middle of a value is an error of its own."""
    with pytest.raises(MalformedJSONError, match="Unexpected end of JSON input"):
        parse('{"a":')


READ_AS_EMPTY = [
    "text/plain",
    "application/vnd.api+json",
    "multipart/form-data; boundary=x",
    "json",
    "application/json;",
    "application/json; boundary",
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
    {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"},
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
    ("providerId=fcm&credentials[deviceTokens][0]=a&credentials[deviceTokens]=b", ["a", "b"]),
    ("credentials[deviceTokens][1]=z&credentials[deviceTokens][0]=y&providerId=fcm", ["y", "z"]),
    ("credentials[deviceTokens][25]=z&providerId=fcm", ["z"]),
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


async def test_a_form_is_limited_to_1000_fields() -> None:
    """More than 1,000 form fields count as too large."""
    async with LocalNovu(era="2024") as local:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await send(local, "PUT", PATH, body=b"&".join([b"a=1"] * 1001), headers=headers)
    assert reply.status == 500
