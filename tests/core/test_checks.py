"""What is refused before anything is sent, and that all else reaches exactly its own endpoint."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import attrs
import pytest
from core_doubles import TOKEN, WEBHOOK
from hypothesis import given
from hypothesis import strategies as st

from novu_async import (
    ChannelCredentials,
    InvalidRequestError,
    Novu,
    NovuError,
    RetryConfig,
    UpdateSubscriberChannelRequestDto,
    UpdateSubscriberChannelRequestDtoProviderID,
)
from novu_async._checks import (
    check_device_tokens,
    check_header_value,
    check_idempotency_key,
    check_integration_identifier,
    check_provider_id,
    check_request,
    check_subscriber_id,
)
from novu_async.testing import LocalNovu

GOOD = {"provider_id": "fcm", "credentials": {"device_tokens": [TOKEN]}}


def credentials(**fields: Any) -> dict[str, Any]:
    """Make a request for a chat provider with these credentials."""
    return {"provider_id": "slack", "credentials": fields}


def letters() -> Iterator[str]:
    """Give tokens one by one."""
    yield from ("a", "b", "a")


HOSTILE_IDS = [
    "", " ", "\t", " \n ", "\ufeff", ".", "..", "a\x00b", "a\rb", "a\nb", "a\r\nX-Header: 1",
    "\x1b[31m", "\x7f", "a\x85b", "\x9f", "\ud83d", "a\udc00b", None, 7, 7.5, True, b"u1", ["u1"],
    {"a": 1}, ("u1",), object(),
]  # fmt: skip

LEGAL_IDS = [
    "a/b", "/", "?", "?x=1", "#", "#frag", "%", "%2F", "%2e%2e", "%00", "...", "..a", "a/../b",
    "../../v1/environments", "a b", " a", "a ", "+", "@", "user@example.com", "é", "日本", "👩‍👩‍👧",
    "\u202eabc", "\u200f", "\ufeffa", "\u00ad", ";", ":", "&a=b", "=", "\\", '"', "'", "<script>",
    "{subscriber_id}", "%s%d", "~", "credentials", "a" * 5_000, "a\u2028", "$(id)", "null", "-1",
]  # fmt: skip


class Liar(str):
    """A text that says the best of itself."""

    __slots__ = ()

    def strip(self, chars: str | None = None) -> str:
        """Claim that there is something in it."""
        return "fine"

    def isascii(self) -> bool:
        """Claim that it can be encoded."""
        return True

    def __iter__(self) -> Iterator[str]:
        """Claim to be one line."""
        return iter("fine")


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: check_subscriber_id(Liar(" ")),
        lambda: check_device_tokens([Liar("\ud83d")]),
        lambda: check_request(credentials(title=Liar("\ud83d"))),
        lambda: check_header_value(Liar("a\r\nX: b"), "name", "argument"),
    ],
)
def test_a_text_is_judged_by_what_would_be_sent(refuse: Any) -> None:
    """Whatever the methods of its class claim."""
    with pytest.raises(InvalidRequestError):
        refuse()


@pytest.mark.parametrize("value", HOSTILE_IDS, ids=repr)
@pytest.mark.parametrize("check", [check_subscriber_id, check_provider_id])
def test_an_id_that_cannot_be_one_is_refused(check: Any, value: object) -> None:
    """Nothing but a text without control characters, that is no folder, is an id."""
    with pytest.raises(InvalidRequestError) as caught:
        check(value)
    assert caught.value.argument in ("subscriber_id", "provider_id")
    assert caught.value.argument in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.anyio
async def test_an_id_reaches_exactly_its_own_endpoint(local: LocalNovu, novu: Novu) -> None:
    """The server sees every legal id as it was given, and writes to that subscriber alone."""
    for subscriber_id in LEGAL_IDS:
        await novu.subscribers.credentials.append(subscriber_id, GOOD)
    assert list(local.subscribers) == LEGAL_IDS
    for subscriber_id, seen in zip(LEGAL_IDS, local.requests, strict=True):
        assert seen.subscriber_id == subscriber_id
        assert seen.path.count("/") == 4
        assert "?" not in seen.path
        assert "#" not in seen.path
        assert (seen.method, seen.status) == ("PATCH", 200)


@pytest.mark.anyio
async def test_a_provider_id_reaches_exactly_its_own_endpoint(local: LocalNovu, novu: Novu) -> None:
    """A provider with reserved characters stays one segment of the path of a delete."""
    for provider_id in LEGAL_IDS:
        await novu.subscribers.credentials.delete("u1", provider_id)
    for seen in local.requests:
        assert seen.path.startswith("/v1/subscribers/u1/credentials/")
        assert seen.path.count("/") == 5
        assert seen.status == 204


@given(st.text())
def test_an_id_is_kept_or_refused_but_never_changed(subscriber_id: str) -> None:
    """What passes the check is what was given."""
    try:
        assert check_subscriber_id(subscriber_id) == subscriber_id
    except InvalidRequestError as error:
        assert error.argument == "subscriber_id"  # noqa: PT017, one of two good outcomes


@pytest.mark.anyio
@pytest.mark.parametrize("space", [" ", "\t", "\u3000", "\ufeff", "\u2029 "])
async def test_no_other_subscriber_is_created_than_the_one_named(space: str, novu: Novu) -> None:
    """An id that the API would trim is refused."""
    for subscriber_id in (f"{space}u1", f"u1{space}"):
        with pytest.raises(InvalidRequestError, match="subscriber_id must not have"):
            await novu.subscribers.create(subscriber_id)


class Name(str, Enum):  # noqa: UP042, how the official SDK's enums are made
    """Texts as members of an enum whose own text is `Name.FCM`."""

    FCM = "fcm"
    USER = "user/1"
    TOKEN = "token-1"
    SLACK = "slack"
    HOOK = "https://example.com/hook"


@pytest.mark.anyio
async def test_a_member_of_an_enum_is_sent_as_its_value(local: LocalNovu, novu: Novu) -> None:
    """Ids and tokens may be members of a `(str, Enum)`: URL and body have the values."""
    calls, tokens = novu.subscribers.credentials, novu.subscribers.device_tokens
    await tokens.add(Name.USER, Name.FCM, Name.TOKEN)
    assert local.device_tokens("user/1", "fcm") == ["token-1"]
    request = {"provider_id": Name.FCM, "credentials": {"device_tokens": ["b", Name.TOKEN]}}
    await calls.update(Name.USER, request)
    assert local.device_tokens("user/1", "fcm") == ["b", "token-1"]
    hook = UpdateSubscriberChannelRequestDto(
        provider_id=Name.SLACK, credentials=ChannelCredentials(webhook_url=Name.HOOK)
    )
    assert (await calls.append(Name.USER, hook)).result.channels[1].provider_id == "slack"
    assert (await novu.bulk.register([(Name.USER, Name.FCM, Name.TOKEN)])).ok
    await calls.delete(Name.USER, Name.FCM)
    assert [seen.path for seen in local.requests if seen.method == "DELETE"] == [
        "/v1/subscribers/user%2F1/credentials/fcm"
    ]
    assert local.device_tokens("user/1", "fcm") == []
    assert list(local.subscribers) == ["user/1"]


def test_what_passes_a_check_is_a_plain_text() -> None:
    """No member is kept, so that nothing behind the checks can take its name for its value."""
    request = check_request(
        {"provider_id": Name.FCM, "credentials": {"device_tokens": [Name.TOKEN, "token-1"],
                                                  "webhook_url": Name.HOOK},
         "integration_identifier": Name.SLACK}
    )  # fmt: skip
    texts = [request.provider_id, request.integration_identifier, request.credentials.webhook_url]
    texts += [check_subscriber_id(Name.USER), check_header_value(Name.FCM, "h", "h")]
    texts += request.credentials.device_tokens or []
    assert [type(text) for text in texts] == [str] * 6
    assert [*texts] == ["fcm", "slack", Name.HOOK.value, "user/1", "fcm", "token-1"]


REFUSED_TOKENS: list[tuple[str, object, str]] = [
    ("a text", TOKEN, "device_tokens"),
    ("bytes", TOKEN.encode(), "device_tokens"),
    ("a number", 7, "device_tokens"),
    ("true", True, "device_tokens"),
    ("a dict", {TOKEN: TOKEN}, "device_tokens"),
    ("an object", object(), "device_tokens"),
    ("None in a list", [TOKEN, None], "device_tokens[1]"),
    ("a number in a list", [TOKEN, 7], "device_tokens[1]"),
    ("bytes in a list", [TOKEN, TOKEN.encode()], "device_tokens[1]"),
    ("a list in a list", [[TOKEN]], "device_tokens[0]"),
    ("a dict in a list", [{"token": TOKEN}], "device_tokens[0]"),
    ("an empty token", [TOKEN, ""], "device_tokens[1]"),
    ("a blank token", [TOKEN, " \t"], "device_tokens[1]"),
    ("a byte order mark", [TOKEN, "\ufeff \ufeff"], "device_tokens[1]"),
    ("half a pair", [TOKEN, TOKEN + "\ud83d"], "device_tokens[1]"),
    ("a bytearray", bytearray(b"abc"), "device_tokens[0]"),
    ("a range", range(3), "device_tokens[0]"),
]


@pytest.mark.parametrize(
    ("value", "argument"),
    [row[1:] for row in REFUSED_TOKENS],
    ids=[row[0] for row in REFUSED_TOKENS],
)
def test_tokens_that_cannot_be_any_are_refused(value: object, argument: str) -> None:
    """A refusal names the place of the wrong token and its type, and never shows one."""
    with pytest.raises(InvalidRequestError) as caught:
        check_request(credentials(device_tokens=value))
    assert caught.value.argument == f"credentials.{argument}"
    assert caught.value.message.startswith(f"credentials.{argument} ")
    assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (["b", "a", "b"], ["b", "a"]),
        (("a",), ["a"]),
        (letters(), ["a", "b"]),
        ({"a": 1}.keys(), ["a"]),
        ({"a"}, ["a"]),
        (frozenset({"a"}), ["a"]),
        (["x" * 5_120], ["x" * 5_120]),
        ([" a", "a", "a "], [" a", "a", "a "]),
        (["\u202e", "\x00", "a\nb", "😀"], ["\u202e", "\x00", "a\nb", "😀"]),
        ([], []),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_tokens_keep_their_order_and_lose_repetitions(value: Any, tokens: list[str]) -> None:
    """Any iterable of texts is taken; a token is never trimmed or changed."""
    assert check_device_tokens(value) == tokens


REFUSED_REQUESTS: list[tuple[str, Any, str, str]] = [
    # what, request, argument, part of the message
    ("None", None, "request", "must be a dict or a UpdateSubscriberChannelRequestDto, not None"),
    ("a text", "fcm", "request", "not str"),
    ("a list", [GOOD], "request", "not list"),
    ("credentials alone", ChannelCredentials(), "request", "not ChannelCredentials"),
    ("nothing", {}, "provider_id", "provider_id is missing"),
    ("no provider", {"credentials": {}}, "provider_id", "provider_id is missing"),
    ("a null provider", {**GOOD, "provider_id": None}, "provider_id", "is missing"),
    ("an empty provider", {**GOOD, "provider_id": ""}, "provider_id", "must not be empty"),
    ("a number as provider", {**GOOD, "provider_id": 5}, "provider_id", "not int"),
    ("no credentials", {"provider_id": "fcm"}, "credentials", "credentials is missing"),
    ("null credentials", {**GOOD, "credentials": None}, "credentials", "is missing"),
    ("a text as credentials", {**GOOD, "credentials": TOKEN}, "credentials", "not str"),
    ("a list as credentials", {**GOOD, "credentials": [TOKEN]}, "credentials", "not list"),
    ("both spellings", {**GOOD, "providerId": "fcm"}, "request", "provider_id under two names"),
    ("both spellings inside", credentials(webhook_url="a", webhookUrl="b"), "credentials",
     "webhook_url under two names"),
    ("a misspelt key", {**GOOD, "provder_id": 1}, "request", "did you mean 'provider_id'?"),
    ("a misspelt camelCase key", {**GOOD, "integrationIdentifer": 1}, "request",
     "did you mean 'integrationIdentifier'?"),
    ("a misspelt key inside", credentials(device_token=["t"]), "credentials",
     "did you mean 'device_tokens'?"),
    ("another case", credentials(webhookurl="u"), "credentials", "did you mean 'webhook_url'?"),
    ("a key like no other", credentials(zzz=1), "credentials", "it takes webhook_url, channel"),
    ("a number as key", {**GOOD, 7: 1}, "request", "has no field '7'"),
    ("a key of 5,000 characters", {**GOOD, "k" * 5_000: 1}, "request", "kkk'"),
    ("tokens beside credentials", {"provider_id": "fcm", "credentials": {}, "deviceTokens": ["t"]},
     "request", "has no field 'deviceTokens'"),
    ("subscriber_id inside", {**GOOD, "subscriber_id": "u1"}, "request", "has no field"),
    ("a number as identifier", {**GOOD, "integration_identifier": 5}, "integration_identifier",
     "must be a text, not int"),
    ("an empty identifier", {**GOOD, "integration_identifier": ""}, "integration_identifier",
     "must not be empty"),
    ("a number as webhook", credentials(webhook_url=5), "credentials.webhook_url", "not int"),
    ("bytes as webhook", credentials(webhookUrl=WEBHOOK.encode()), "credentials.webhook_url",
     "not bytes"),
    ("half a pair in a webhook", credentials(webhook_url=WEBHOOK + "\udc00"),
     "credentials.webhook_url", "half of a surrogate pair"),
    ("a blank webhook", credentials(webhook_url=" \t"), "credentials.webhook_url", "not be blank"),
    ("a list as channel", credentials(channel=["a"]), "credentials.channel", "not list"),
    ("a dict as title", credentials(title={}), "credentials.title", "not dict"),
    ("a model with a text for tokens",
     UpdateSubscriberChannelRequestDto(
         provider_id="fcm", credentials=ChannelCredentials(device_tokens=TOKEN)),  # type: ignore[arg-type]
     "credentials.device_tokens", "must be a list of texts, not str"),
    ("a model with a text for credentials",
     UpdateSubscriberChannelRequestDto(provider_id="fcm", credentials=TOKEN),  # type: ignore[arg-type]
     "credentials", "not str"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "argument", "part"),
    [row[1:] for row in REFUSED_REQUESTS],
    ids=[row[0] for row in REFUSED_REQUESTS],
)
def test_a_request_that_makes_no_sense_is_refused(request_: Any, argument: str, part: str) -> None:
    """A refusal names the field and what would be right, and holds no token and no URL."""
    with pytest.raises(InvalidRequestError) as caught:
        check_request(request_)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.argument == argument
    assert part in str(error)
    assert len(str(error)) < 300
    assert TOKEN not in repr(error)
    assert WEBHOOK not in repr(error)


@pytest.mark.parametrize(
    "given_",
    [
        {"provider_id": "zulip", "credentials": {"webhook_url": "u", "device_tokens": ["t"]}},
        {"providerId": "zulip", "credentials": {"webhookUrl": "u", "deviceTokens": ["t"]}},
        {"providerId": "zulip", "credentials": {"webhook_url": "u", "deviceTokens": ("t",)}},
        {"provider_id": UpdateSubscriberChannelRequestDtoProviderID.ZULIP,
         "credentials": ChannelCredentials(webhook_url="u", device_tokens=["t"])},
        UpdateSubscriberChannelRequestDto(
            provider_id="zulip",
            credentials=ChannelCredentials(webhook_url="u", device_tokens=["t", "t"])),
        attrs.asdict(UpdateSubscriberChannelRequestDto(
            provider_id="zulip",
            credentials=ChannelCredentials(
                webhook_url="u", device_tokens=["t"], additional_properties={"x": 1}))),
        {"providerId": "zulip", "integrationIdentifier": None,
         "credentials": {"webhookUrl": "u", "deviceTokens": ["t"], "channel": None}},
    ],
)  # fmt: skip
def test_every_way_to_write_a_request_is_the_same_request(given_: Any) -> None:
    """Snake case, camelCase, models, what these are as dicts, and mixtures are one request."""
    assert check_request(given_) == UpdateSubscriberChannelRequestDto(
        provider_id="zulip", credentials=ChannelCredentials(webhook_url="u", device_tokens=["t"])
    )


def test_an_empty_webhook_is_taken() -> None:
    """The API stores it, which is the only way to unset one without deleting its channel."""
    request = {"provider_id": "slack", "credentials": {"webhook_url": ""}}
    assert check_request(request).credentials.webhook_url == ""


ERASES = [
    ("append", {"provider_id": "fcm", "credentials": {"device_tokens": []}}),
    ("append", {"provider_id": "fcm", "credentials": {}}),
    ("append", {"provider_id": "fcm", "credentials": {"device_tokens": None}}),
    ("append", {"provider_id": "apns", "credentials": {"webhook_url": WEBHOOK}}),
    ("append", {"provider_id": "slack", "credentials": {"device_tokens": []}}),
    ("append", {"provider_id": "slack", "credentials": {}}),
    ("update", {"provider_id": "expo", "credentials": {"device_tokens": []}}),
    ("update", {"provider_id": "one-signal", "credentials": {"webhook_url": WEBHOOK}}),
    ("update", {"provider_id": "pusher-beams", "credentials": {}}),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("verb", "request_"), ERASES)
async def test_a_write_that_would_erase_tokens_is_refused(
    verb: str, request_: Any, local: LocalNovu, novu: Novu
) -> None:
    """The server would clear the channel without a word; the call is not even sent."""
    with pytest.raises(InvalidRequestError, match="must not be empty") as caught:
        await getattr(novu.subscribers.credentials, verb)("u1", request_)
    assert WEBHOOK not in str(caught.value)
    assert local.requests == []


@pytest.mark.anyio
async def test_nothing_is_sent_for_a_call_that_is_refused(local: LocalNovu, novu: Novu) -> None:
    """Wrong options are refused like wrong arguments, each by its name in `argument`."""
    append = novu.subscribers.credentials.append
    options: list[tuple[dict[str, Any], str]] = [
        ({"timeout_ms": 0}, "timeout_ms must be a number"),
        ({"timeout_ms": "5000"}, "timeout_ms must be a number"),
        ({"server_url": "ftp://h"}, "server_url must look like"),
        ({"server_url": "http://h?x=1"}, "server_url must look like"),
        ({"server_url": 7}, "server_url must look like"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, "at most 255 characters, not 256"),
        ({"idempotency_key": "a\nb"}, "idempotency_key"),
        ({"idempotency_key": 7}, "idempotency_key"),
        ({"http_headers": {"X-A": "a\r\nX-B: b"}}, "header X-A"),
        ({"http_headers": {"X A": "a"}}, "header name"),
        ({"http_headers": {"Authorization": "ApiKey other"}}, "made by the client itself"),
        (
            {"http_headers": {"idempotency-key": "k"}},
            "made by the client itself; use idempotency_key=",
        ),
        ({"http_headers": [("X-A", "a")]}, "http_headers must be a dict"),
        ({"retries": "none"}, "retries must be a RetryConfig"),
    ]
    for option, error in options:
        with pytest.raises(InvalidRequestError, match=error) as caught:
            await append("u1", GOOD, **option)
        assert caught.value.argument == next(iter(option))
    with pytest.raises(InvalidRequestError, match="API takes 102,400"):
        await append("u1", credentials(device_tokens=[f"{i:0100}" for i in range(1_100)]))
    assert local.requests == []


@pytest.mark.parametrize("value", ["", "a" * 255, "a\tb", "~!"])
def test_header_values_that_pass(value: str) -> None:
    """One line of Latin-1 is a header value."""
    assert check_header_value(value, "h", "h") == value
    if value:
        assert check_idempotency_key(value) == value


@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "\x00", "\x7f", "\x80", "€", "😀", None, 5, b"a"]
)
def test_header_values_that_do_not(value: object) -> None:
    """Nothing that could end a header, or that no header can hold, gets into one."""
    with pytest.raises(InvalidRequestError, match="h must be"):
        check_header_value(value, "h", "h")


class Official:
    """A class of the official SDK: not ours, whatever its name."""

    def model_dump(self) -> dict[str, Any]:
        """Give its fields, as pydantic does."""
        return {}


def official(name: str) -> Any:
    """Make an object of a class that only has the name of one of ours."""
    return type(name, (Official,), {"__module__": "novu_py.models"})()


@pytest.mark.parametrize(
    ("refuse", "name"),
    [
        (check_request, "UpdateSubscriberChannelRequestDto"),
        (lambda o: check_request({**GOOD, "credentials": o}), "ChannelCredentials"),
        (lambda o: Novu("key", retries=o), "RetryConfig"),
        (lambda o: RetryConfig("backoff", o), "BackoffStrategy"),
    ],
)
def test_an_object_of_another_sdk_is_told_from_ours_of_that_name(refuse: Any, name: str) -> None:
    """The message says where it is from and what to give instead of it."""
    with pytest.raises(
        NovuError,
        match=rf"be an? .*{name}.*, not novu_py\.models\.{name}: "
        r"import it from novu_async, or pass \.model_dump\(\)",
    ):
        refuse(official(name))


def test_an_identifier_may_be_left_out() -> None:
    """None means the newest active integration."""
    assert check_integration_identifier(None) is None


def test_the_fields_that_there_are_are_named_once() -> None:
    """An unknown field that resembles none gets the whole list."""
    with pytest.raises(InvalidRequestError) as caught:
        check_request(credentials(zzz=1))
    names = str(caught.value).partition("it takes ")[2].split(", ")
    assert len(names) == len(set(names)) == 8
