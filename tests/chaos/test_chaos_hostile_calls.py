"""Hostile arguments: a clear error or the right result, and never another URL than one's own."""

import asyncio
import itertools
import json
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import FIGURES, make_client
from click.testing import CliRunner

from novu_async import APIError, InvalidRequestError, NovuError
from novu_async.bulk import DeviceToken
from novu_async.cli._program import program
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

ODD_IDS = [
    "%252F", "..%2f..", "..;", "../..", "u/../v", "u/credentials", "u/credentials?x=1", "//evil",
    "http://evil.example/", "u1%00", "%0d%0aX-A:%20b", "\u2025", "\uff0e\uff0e", "\u3002\u3002",
    "\uff0f", "u\u200d", "e\u0301", "é", "\u202egnp.exe", "\u2066x\u2069", "\uff55\uff11",
    "\u017f", "[object Object]", "__proto__", "constructor", "toString", "{{7*7}}",
    "${jndi:ldap://x}", "%n%n%s", "' OR 1=1--", "0", "1e3", "true", "undefined", "NaN", "CON",
    "~root", "-", "--help", "-rf", "@file", "=cmd|'/C calc'!A0", "[red]x[/red]", "[/]", "[bold",
    "a,b", '"', "a;b", "a|b", "\ud7ff", "\ue000", "\uffff", "😀" * 500,
]  # fmt: skip

PUSH = {"provider_id": "fcm", "credentials": {"device_tokens": ["t"]}}


def assert_only(local: LocalNovu, subscriber_id: str) -> None:
    """Every request was for this subscriber, in one segment of a path of ours."""
    assert local.requests
    for request in local.requests:
        if request.path == "/v1/integrations/active":
            continue
        assert request.subscriber_id == subscriber_id
        version, subscribers, segment, *rest = request.path.split("/")[1:]
        assert (version in ("v1", "v2"), subscribers) == (True, "subscribers")
        assert rest in ([], ["credentials"], ["credentials", "fcm"])
        assert not set(segment) & set("?#;&=+:@[]\\ ")
    assert list(local.subscribers) == [subscriber_id]


@pytest.mark.parametrize("subscriber_id", ODD_IDS, ids=ascii)
async def test_hostile_ids_reach_their_own_endpoint(subscriber_id: str, tmp_path: Path) -> None:
    """Through every verb, the three calls, a read, a job of dicts and a stream."""
    async with LocalNovu() as local, make_client(local) as novu:
        tokens, credentials = novu.subscribers.device_tokens, novu.subscribers.credentials
        await tokens.add(subscriber_id, "fcm", ["a", "b"])
        await tokens.remove(subscriber_id, "fcm", "b")
        await tokens.rotate(subscriber_id, "fcm", "a", "c")
        await credentials.append(subscriber_id, PUSH)
        read = await novu.subscribers.retrieve(subscriber_id)
        assert read.subscriber_id == subscriber_id
        rows = [{"subscriber_id": subscriber_id, "provider_id": "fcm", "token": "row"}]
        report = await novu.bulk.register(rows, job=tmp_path / "job", verify=True)
        assert (report.ok, report.verified) == (True, 1)
        async for outcome in novu.bulk.stream([DeviceToken(subscriber_id, "fcm", "streamed")]):
            assert outcome.ok
        assert local.device_tokens(subscriber_id, "fcm") == ["c", "t", "row", "streamed"]
        await credentials.delete(subscriber_id, "fcm")
        assert_only(local, subscriber_id)


@pytest.mark.parametrize("subscriber_id", ODD_IDS, ids=ascii)
def test_hostile_ids_through_the_program(
    subscriber_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an argument and in a file; what is printed of them is no markup."""
    monkeypatch.chdir(tmp_path)
    row = {"subscriber_id": subscriber_id, "provider_id": "fcm", "token": "row"}
    Path("input.jsonl").write_text(json.dumps(row))
    with LocalNovu.in_thread() as local:
        environment = {"NOVU_API_KEY": local.api_key, "NOVU_SERVER_URL": local.url}
        for arguments in (
            ["append", "--", subscriber_id, "fcm", "-"],
            ["show", "--", subscriber_id],
            ["tokens", "list", "--", subscriber_id, "fcm"],
            ["register", "input.jsonl"],
        ):
            done = CliRunner(env=environment).invoke(program, arguments, input="t")
            assert (done.exit_code, done.exception) == (0, None), done.output
        assert local.device_tokens(subscriber_id, "fcm") == ["t", "row"]
        assert_only(local, subscriber_id)


async def test_hostile_ids_that_look_alike_stay_apart() -> None:
    """Composed, decomposed, full-width, upper case and invisible: each is a subscriber."""
    alike = ["é", "e\u0301", "E\u0301", "\uff45\u0301", "é\u200b", "\ufeffé", "é "]
    assert len({unicodedata.normalize("NFKC", one) for one in alike}) < len(alike)
    async with LocalNovu() as local, make_client(local) as novu:
        calls = (novu.subscribers.device_tokens.add(one, "fcm", one) for one in alike)
        await asyncio.gather(*calls)
        assert {one: local.device_tokens(one, "fcm") for one in alike} == {
            one: [one] for one in alike
        }


@pytest.mark.parametrize("length", [20_000, 100_000, 5_000_000])
async def test_hostile_ids_of_any_length_are_answered(length: int) -> None:
    """What the server finds too long is an error with its status, and the client goes on."""
    async with LocalNovu() as local, make_client(local) as novu:
        with pytest.raises(NovuError) as caught:
            await novu.subscribers.device_tokens.add("u" * length, "fcm", "t")
        assert len(str(caught.value)) < length + 500
        await novu.subscribers.device_tokens.add("u", "fcm", "t")
        assert local.device_tokens("u", "fcm") == ["t"]


class Lying(dict[str, Any]):
    """A dict that says one thing and holds another."""

    def __len__(self) -> int:
        return 0

    def __contains__(self, key: object) -> bool:
        return True


class Falling(Mapping[str, Any]):
    """A mapping that can be read no further than its first key."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Any:
        return iter(["provider_id"])

    def __len__(self) -> int:
        return 1


class Text(str):
    """A text that formats as another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "../../v1/environments"

    __format__ = __str__  # type: ignore[assignment]


def looped() -> list[Any]:
    """Make a list that holds itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


HOSTILE_TOKENS: list[tuple[str, Any, list[str] | None]] = [
    # what, tokens, what is stored (None: refused)
    ("itself", looped(), None),
    ("a memoryview", memoryview(b"ab"), None),
    ("a Decimal", [Decimal(1)], None),
    ("nan", [float("nan")], None),
    ("a class", [str], None),
    ("a coroutine's name", [asyncio.sleep], None),
    ("a generator of numbers", (i for i in range(3)), None),
    ("nested tuples", [("a",)], None),
    ("only blanks", ["\u2003\u00a0"], None),
    ("the half of a pair in the middle", ["a\ud800b"], None),
    ("90 KB", ["x" * 90_000], ["x" * 90_000]),
    ("110 KB", ["x" * 110_000], None),
    ("a hundred thousand times the same", ["same"] * 100_000, ["same"]),
    ("line breaks and NUL", ["a\r\nX-A: b", "c\0d"], ["a\r\nX-A: b", "c\0d"]),
    ("JSON", ['"],"x":["', "{}", "\\u0000", "\\"], ['"],"x":["', "{}", "\\u0000", "\\"]),
    ("marks of direction", ["\u202e1", "\u2067"], ["\u202e1", "\u2067"]),
    ("looking alike", ["é", "e\u0301"], ["é", "e\u0301"]),
    ("a text that formats otherwise", [Text("t")], ["t"]),
    ("one letter from a set", frozenset("a"), ["a"]),
    ("names of JavaScript", ["__proto__", "null", "[]"], ["__proto__", "null", "[]"]),
    ("zeros from a chain", itertools.chain(["0"], ["00"]), ["0", "00"]),
]


@pytest.mark.parametrize(
    ("tokens", "stored"),
    [row[1:] for row in HOSTILE_TOKENS],
    ids=[row[0] for row in HOSTILE_TOKENS],
)
async def test_hostile_tokens_are_stored_as_they_are_or_refused(
    tokens: Any, stored: list[str] | None
) -> None:
    """A token is one text, whatever is in it; what is none is refused and nothing is sent."""
    async with LocalNovu() as local, make_client(local) as novu:
        add = novu.subscribers.device_tokens.add("u", "fcm", tokens)
        if stored is None:
            with pytest.raises(InvalidRequestError):
                await add
            assert local.requests == []
        else:
            await add
            assert local.device_tokens("u", "fcm") == stored


HOSTILE_REQUESTS: list[tuple[str, Any]] = [
    ("a dict that lies", Lying()),
    ("a mapping that breaks", Falling()),
    ("a dict of a dict", {"provider_id": {"provider_id": "fcm"}, "credentials": {}}),
    ("a provider with a line break", {**PUSH, "provider_id": "fcm\r\nX-A: b"}),
    ("a provider that is a folder", {**PUSH, "provider_id": ".."}),
    ("a channel with half a pair", {"provider_id": "slack", "credentials": {"channel": "\udc00"}}),
    ("a key that is an attribute", {**PUSH, "__class__": "x"}),
    ("a key that is None", {**PUSH, None: "x"}),
    ("credentials in JSON", {"provider_id": "fcm", "credentials": '{"deviceTokens":["t"]}'}),
    (
        "a webhook of 200 KB",
        {"provider_id": "slack", "credentials": {"webhook_url": "h" * 200_000}},
    ),
]


@pytest.mark.parametrize(
    "request_", [row[1] for row in HOSTILE_REQUESTS], ids=[row[0] for row in HOSTILE_REQUESTS]
)
async def test_hostile_requests_are_refused(request_: Any) -> None:
    """With an InvalidRequestError, or the error of the caller's own object; nothing is sent."""
    async with LocalNovu() as local, make_client(local) as novu:
        with pytest.raises((InvalidRequestError, KeyError)):
            await novu.subscribers.credentials.append("u", request_)
        assert local.requests == []


HOSTILE_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("a line break in a name", {"http_headers": {"X-A\r\nX-B": "b"}}),
    ("a colon in a name", {"http_headers": {"X-A: b\r\nX": "b"}}),
    ("a name that is no ASCII", {"http_headers": {"X-Ä": "b"}}),
    ("an empty name", {"http_headers": {"": "b"}}),
    ("a name that is bytes", {"http_headers": {b"X-A": "b"}}),
    ("a carriage return alone", {"http_headers": {"X-A": "a\rX-B: b"}}),
    ("a line feed at the end", {"http_headers": {"X-A": "a\n"}}),
    ("a folded value", {"http_headers": {"X-A": "a\r\n b"}}),
    ("NUL", {"http_headers": {"X-A": "a\0b"}}),
    ("a next-line mark", {"http_headers": {"X-A": "a\x85b"}}),
    ("a line separator", {"http_headers": {"X-A": "a\u2028b"}}),
    ("a look-alike of CR LF", {"http_headers": {"X-A": "a\u560d\u560ab"}}),
    ("another length", {"http_headers": {"Content-Length": "0"}}),
    ("chunks", {"http_headers": {"transfer-ENCODING": "chunked"}}),
    ("another host", {"http_headers": {"Host": "evil.example"}}),
    ("another key", {"http_headers": {"AUTHORIZATION": "ApiKey x"}}),
    ("a list of values", {"http_headers": {"X-A": ["a", "b"]}}),
    ("a key with a line", {"idempotency_key": "a\r\nX-A: b"}),
    ("a key with NUL", {"idempotency_key": "a\0"}),
    ("a key that is no Latin-1", {"idempotency_key": "ключ"}),
    ("a key of blanks", {"idempotency_key": " \t "}),
    ("a server in the user's name", {"server_url": "http://127.0.0.1@evil.example"}),
    ("a backslash", {"server_url": "http://127.0.0.1\\@evil.example"}),
    ("a fragment", {"server_url": "http://evil.example#@127.0.0.1"}),
    ("a query", {"server_url": "http://evil.example/?"}),
    ("a file", {"server_url": "file:///etc/passwd"}),
    ("no scheme", {"server_url": "//evil.example"}),
    ("a line break in a URL", {"server_url": "http://evil.example\r\nX-A: b"}),
    ("a port too high", {"server_url": "http://127.0.0.1:99999"}),
    ("half of an address", {"server_url": "http://[::1"}),
    ("a URL that is bytes", {"server_url": b"http://127.0.0.1"}),
]


@pytest.mark.parametrize(
    "options", [row[1] for row in HOSTILE_OPTIONS], ids=[row[0] for row in HOSTILE_OPTIONS]
)
async def test_hostile_options_are_refused(options: dict[str, Any]) -> None:
    """No header can begin another one, and no URL lead to another host: it is not even sent."""
    async with LocalNovu() as local, make_client(local) as novu:
        with pytest.raises(NovuError) as caught:
            await novu.subscribers.credentials.append("u", PUSH, **options)
        assert not isinstance(caught.value, APIError)
        assert local.requests == []


async def test_hostile_headers_that_are_legal_arrive_as_they_are() -> None:
    """A tab, quotes and a colon inside a value are that value, and no header is added."""
    values = {"X-Tab": "a\tb", "X-Quote": '"; x="', "X-Colon": "a: b", "X-Low": "~!", "X": ""}
    async with LocalNovu() as local, make_client(local) as novu:
        await novu.subscribers.credentials.append("u", PUSH)
        await novu.subscribers.credentials.append("u", PUSH, http_headers=values)
    plain, extended = local.requests
    assert {name.lower() for name in values} == set(extended.headers) - set(plain.headers)
    assert {name: extended.headers[name] for name in values} == values
    FIGURES.calls += 2
