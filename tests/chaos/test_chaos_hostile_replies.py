"""Hostile answers: a clear error or the right result, in time, and the next call works."""

import asyncio
import gzip
import json
import pickle
import tracemalloc
import unicodedata
import zlib
from typing import Any

import pytest
from chaos_harness import BRIEF, MAX_REPLY_BYTES, FastClock, nothing_left
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_server import http, serve

from novu_async import Novu, NovuError
from novu_async._channels import parse_channels
from novu_async._clock import Clock
from novu_async._pacing import Gate
from novu_async._secrets import redact, redact_start

pytestmark = pytest.mark.anyio

CHANNEL = {
    "providerId": "fcm", "_integrationId": "i", "credentials": {"deviceTokens": ["t"]},
}  # fmt: skip
GOOD: dict[str, Any] = {"data": {"subscriberId": "u", "channels": [CHANNEL]}}


def document(**changes: Any) -> bytes:
    """Make the JSON of a subscriber with some fields of other types."""
    return json.dumps({"data": {**GOOD["data"], **changes}}).encode()


def credentials(value: Any) -> bytes:
    """Make the JSON of a subscriber whose channel has odd credentials."""
    return document(channels=[{**CHANNEL, "credentials": value}])


DEEP = b'{"data":' + b'{"a":' * 12_000 + b"1" + b"}" * 12_000 + b"}"
BOMB = gzip.compress(b"[" * 20_000_000)
RAW_BOMB = zlib.compress(b" " * 20_000_000)

DOUBLED = document(channels=[CHANNEL] * 300)

ODD_BODIES: list[tuple[str, bytes]] = [
    ("good", json.dumps(GOOD).encode()),
    ("a provider nobody knows", document(channels=[CHANNEL, {**CHANNEL, "providerId": "neu"}])),
    ("a provider that is a number", document(channels=[CHANNEL, {**CHANNEL, "providerId": 7}])),
    ("a channel that is null", document(channels=[CHANNEL, None])),
    ("a channel that is a text", document(channels=[CHANNEL, "fcm"])),
    ("a channel without an id", document(channels=[{**CHANNEL, "_integrationId": None}])),
    ("a channel with a dict as id", document(channels=[{**CHANNEL, "_integrationId": {}}])),
    ("tokens of many types", credentials({"deviceTokens": ["t", 1, None, {}, [], True]})),
    ("keys twice", b'{"data":{"channels":[]},"data":' + json.dumps(GOOD["data"]).encode() + b"}"),
    ("keys of JavaScript", document(__proto__={}, constructor=1, toString="x")),
    ("a number of 300 digits", document(n=1).replace(b'"n": 1', b'"n": ' + b"9" * 300)),
    ("a number beyond most", document(n=1).replace(b'"n": 1', b'"n": 1e99')),
    ("half of a pair", document(firstName="x").replace(b'"x"', b'"\\ud83d"')),
    ("a byte order mark", b"\xef\xbb\xbf" + json.dumps(GOOD).encode()),
    ("spaces around it", b" \r\n\t" * 1000 + json.dumps(GOOD).encode() + b" " * 1000),
    ("a channel 300 times", DOUBLED),
    ("an error inside a success", json.dumps({**GOOD, "message": "x", "statusCode": 500}).encode()),
]  # fmt: skip

UNREADABLE_BODIES: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("an empty object", b"{}"),
    ("null data", b'{"data":null}'),
    ("data that is a list", b'{"data":[]}'),
    ("data that is a text", b'{"data":"subscriber"}'),
    ("channels that are a dict", document(channels={"0": CHANNEL})),
    ("channels that are a text", document(channels="fcm")),
    ("deeply nested", DEEP),
    ("a list that never ends", b'{"data":{"channels":' + b"[" * 50_000),
    ("cut off", json.dumps(GOOD).encode()[:-3]),
    ("UTF-16", json.dumps(GOOD).encode("utf-16")),
    ("two documents", json.dumps(GOOD).encode() * 2),
    ("wrong UTF-8", b'{"data":{"channels":"\xff\xfe\xc0"}}'),
    ("HTML", b"<html><body>Log in</body></html>"),
    ("NUL bytes", b"\0" * 1000),
    ("a script", b"alert(1)"),
]

BROKEN_ANSWERS: list[tuple[str, bytes]] = [
    ("more than the limit", http(b"{" + b" " * MAX_REPLY_BYTES + b"}")),
    ("a bomb of gzip", http(BOMB, "Content-Encoding: gzip")),
    ("a bomb of deflate", http(RAW_BOMB, "Content-Encoding: deflate")),
    ("a bomb in an error", http(BOMB, "Content-Encoding: gzip", status="400 Bad Request")),
    ("gzip that is none", http(b"{}", "Content-Encoding: gzip")),
    ("a length too long", http(b"{}").replace(b"Length: 2", b"Length: 9")),
    ("a length below zero", http(b"{}").replace(b"Length: 2", b"Length: -2")),
    ("a length that is none", http(b"{}").replace(b"Length: 2", b"Length: 2e0")),
    ("two lengths", http(b"{}", "Content-Length: 5")),
    ("chunks that are none", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    ("a chunk too long", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n{"),
    ("a head without end", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000),
    ("a header of 100 KB", http(b"{}", "X: " + "x" * 100_000)),
    ("NUL in a header", http(b"{}", "X: a\0b")),
    ("a header without a colon", http(b"{}", "what is this")),
    ("a status of four digits", http(b"{}", status="2000 OK")),
    ("a status that is a word", http(b"{}", status="fine")),
    ("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1" * 20),
    ("nothing", b""),
    ("100 Continue for ever", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    ("an upgrade", b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ("not modified", http(b"", status="304 Not Modified")),
    ("a redirect to a file", http(b"", "Location: file:///etc/passwd", status="302 Found")),
    ("a redirect to a line", http(b"", "Location: http://evil\x0b.example/", status="308 x")),
    ("a redirect to itself", http(b"", "Location: ", status="301 Moved Permanently")),
    ("an error that is deep", http(DEEP, status="400 Bad Request")),
    ("an error with odd types", http(b'{"statusCode":{},"message":[[],{}],"errors":[1],"ctx":2}',
                                     status="422 x")),
    ("an odd error id", http(b'{"statusCode":500,"message":"x","errorId":"\\n\\u001b"}',
                             status="500 x")),
    ("an error of ESC", http(b'{"statusCode":400,"message":"\\u001b]0;x\\u0007\\u001b[2J"}',
                             status="400 x")),
]  # fmt: skip


def make_novu(url: str) -> Novu:
    """Make a client on a fast clock that gives up soon."""
    novu = Novu("key", server_url=url, retries=BRIEF, timeout=5, max_reply_bytes=MAX_REPLY_BYTES)
    novu._pipeline.clock = novu._pipeline.gate._clock = FastClock()
    return novu


async def call_each(novu: Novu) -> dict[str, object]:
    """Make each kind of call; return its result or its error by name."""
    request = {"provider_id": "fcm", "credentials": {"device_tokens": ["t"]}}
    subscribers = novu.subscribers
    calls = {
        "append": subscribers.credentials.append("u", request),
        "delete": subscribers.credentials.delete("u", "fcm"),
        "retrieve": subscribers.retrieve("u"),
        "add": subscribers.device_tokens.add("v", "fcm", "t"),
        "list": subscribers.device_tokens.list("v", "fcm"),
        "remove": subscribers.device_tokens.remove("w", "fcm", "x"),
    }
    async with asyncio.timeout(15):
        results = await asyncio.gather(*calls.values(), return_exceptions=True)
    named = dict(zip(calls, results, strict=True))
    for name, result in named.items():
        if isinstance(result, BaseException):
            assert isinstance(result, NovuError), (name, repr(result))
            pickle.dumps(result)
            assert len(str(result)) < 1000
            assert not [c for c in str(result) if unicodedata.category(c) == "Cc"]
    return named


async def check_recovers(novu: Novu, server: Any) -> None:
    """With good answers again the same client works."""
    server.answer = http(json.dumps(GOOD).encode(), "Connection: close")
    assert (await novu.subscribers.retrieve("u")).subscriber_id == "u"


@pytest.mark.parametrize("body", [row[1] for row in ODD_BODIES], ids=[row[0] for row in ODD_BODIES])
async def test_hostile_bodies_that_can_be_read(body: bytes) -> None:
    """Every call succeeds, and the known token is found among what is odd."""
    async with nothing_left(), serve(http(body)) as server, make_novu(server.url) as novu:
        results = await call_each(novu)
        assert [name for name, one in results.items() if isinstance(one, NovuError)] == []
        assert results["add"].device_tokens == ("t",)  # type: ignore[attr-defined]
        await check_recovers(novu, server)


@pytest.mark.parametrize(
    "body", [row[1] for row in UNREADABLE_BODIES], ids=[row[0] for row in UNREADABLE_BODIES]
)
async def test_hostile_bodies_that_cannot_be_read(body: bytes) -> None:
    """The API's own calls were answered with success; whatever needs the answer says it has none.

    Nothing is written by a verb that could not read what is stored.
    """
    async with nothing_left(), serve(http(body)) as server, make_novu(server.url) as novu:
        results = await call_each(novu)
        for name in ("add", "remove"):
            assert isinstance(results[name], NovuError), name
        assert not any(
            head.startswith((b"PUT", b"PATCH /v1/subscribers/w")) for head in server.heads
        )
        if body.lstrip()[:1] in (b"", b"{"):
            _ = results["append"].result  # type: ignore[attr-defined]
        await check_recovers(novu, server)


@pytest.mark.parametrize(
    "answer", [row[1] for row in BROKEN_ANSWERS], ids=[row[0] for row in BROKEN_ANSWERS]
)
async def test_hostile_answers_are_clear_errors(answer: bytes) -> None:
    """One error of ours, in time; no second host, no other URL, and the client goes on."""
    async with nothing_left(), serve(answer) as server, make_novu(server.url) as novu:
        results = await call_each(novu)
        assert all(isinstance(result, NovuError) for result in results.values()), results
        assert all(b" /v1/subscribers/" in one or b" /v2/" in one for one in server.heads)
        await check_recovers(novu, server)


async def test_hostile_bombs_take_no_memory() -> None:
    """Twenty megabytes in a few kilobytes: the peak stays near the limit of an answer."""
    async with serve(http(BOMB, "Content-Encoding: gzip")) as server, make_novu(server.url) as novu:
        tracemalloc.start()
        with pytest.raises(NovuError):
            await novu.subscribers.retrieve("u")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 6_000_000


PACES = [
    "RateLimit-Limit: -5", "RateLimit-Limit: 0", "RateLimit-Limit: 99999999999999999999",
    "RateLimit-Limit: NaN", "RateLimit-Limit: ٣", "RateLimit-Limit: 1e9", "RateLimit-Limit: ",
    "RateLimit-Limit: 10\r\nRateLimit-Remaining: -1",
    "RateLimit-Limit: 10\r\nRateLimit-Remaining: x\r\nRateLimit-Policy: 10;w=0",
    "RateLimit-Limit: 10\r\nRateLimit-Remaining: 9\r\nRateLimit-Policy: 10;w=0.000001;burst=0",
    "RateLimit-Limit: 999999999\r\nRateLimit-Remaining: 0\r\nRateLimit-Policy: ;;;w=;burst=",
    "RateLimit-Reset: 1e308\r\nRetry-After: 86400",
    "Retry-After: -1\r\nRateLimit-Limit: 5\r\nRateLimit-Remaining: 99",
]  # fmt: skip


@pytest.mark.parametrize("headers", PACES, ids=range(len(PACES)))
async def test_hostile_rate_limits_do_not_stop_a_client(headers: str) -> None:
    """Twenty calls after nonsense about the limit are all answered, in seconds."""
    answer = http(
        json.dumps(GOOD).encode(), *headers.encode("latin-1", "replace").decode().split("\r\n")
    )
    async with serve(answer) as server, make_novu(server.url) as novu, asyncio.timeout(10):
        calls = (novu.subscribers.retrieve(f"u{i}") for i in range(20))
        assert len(await asyncio.gather(*calls)) == 20


@pytest.mark.parametrize("after", ["-1", "nan", "inf", "1e308", "9" * 400, "Fri, 99 Foo 2026", "٣"])
async def test_hostile_waits_end(after: str) -> None:
    """A Retry-After that is none, or is for ever, ends the call with the error of its status."""
    wait = after.encode("latin-1", "replace").decode("latin-1")
    answer = http(b'{"statusCode":503,"message":"x"}', f"Retry-After: {wait}", status="503 x")
    async with serve(answer) as server, make_novu(server.url) as novu, asyncio.timeout(10):
        with pytest.raises(NovuError, match="503"):
            await novu.subscribers.retrieve("u")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["data", "channels", "providerId", "_integrationId", "credentials", "deviceTokens"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(json_values)
def test_hostile_json_of_any_shape_is_channels_or_none(value: Any) -> None:
    """Any JSON inside an answer is a list of channels with texts as tokens, or cannot be read."""
    channel_like = {"providerId": "fcm", "credentials": value}
    for data in (value, {"channels": value}, {"channels": [channel_like]}):
        body = json.dumps({"data": data})
        for channel in parse_channels(body.encode("utf-8", "surrogatepass"), "fcm") or ():
            assert all(isinstance(token, str) for token in channel.device_tokens)
            repr(channel)


numbers = r"-?[0-9]{1,12}(\.[0-9]{1,8})?(;w=[0-9.]{1,9})?(;burst=\"?[0-9.]{1,9})?"
header_texts = st.text(
    st.characters(min_codepoint=32, max_codepoint=255), max_size=20
) | st.from_regex(numbers, fullmatch=True)


class Still(Clock):
    """A clock whose time the test sets; its timers never ring by themselves."""

    now = 1000.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.now

    def call_later(self, seconds: float, callback: Any) -> object:
        assert 0 < seconds < 1e10
        return callback


answers = st.tuples(header_texts, header_texts, header_texts, st.none() | st.floats(0, 1e6))


@settings(deadline=None, max_examples=60)
@given(st.lists(answers, max_size=4))
def test_hostile_headers_of_any_text_leave_the_gate_whole(said: Any) -> None:
    """Whatever a server says of its limit, the gate lets the next request pass, or will."""
    clock = Still()
    gate = Gate(1.0, clock)
    for limit, remaining, policy, rejected in said:
        clock.now += 100.0
        if gate.enter():
            headers = {
                "ratelimit-limit": limit, "ratelimit-remaining": remaining,
                "ratelimit-policy": policy,
            }  # fmt: skip
            gate.observe(headers, rejected)
        known = gate.known
        assert known is None or (known.limit > 0 and known.window > 0 and known.per_second > 0)
    clock.now += 1e12
    assert gate.enter()


@settings(deadline=None, max_examples=200)
@given(st.text(), st.lists(st.text(min_size=6), min_size=1, max_size=5), st.integers(0, 60))
def test_hostile_texts_keep_no_secret(text: str, secrets: list[str], length: int) -> None:
    """Wherever a text is cut and whatever a secret is made of, none of it is left."""
    echoed = text + secrets[0] + text + secrets[-1]
    if not any(secret in redact("", secrets) for secret in secrets):
        shown = redact_start(echoed, secrets, length)
        assert len(shown) <= length
        for secret in secrets:
            assert secret not in shown or secret in "#0123456789abcdef" or _is_digest(secret)


def _is_digest(secret: str) -> bool:
    """Tell a secret that looks like a piece of a fingerprint."""
    return set(secret) <= set("#0123456789abcdef")
