"""What an answer of the API, of any age, or of something in front of it turns into."""

import html
import json
import pickle
import time
from typing import Any
from urllib.parse import quote

import pytest
from core_doubles import KEY, TOKEN, WEBHOOK, reply
from hypothesis import given
from hypothesis import strategies as st

from novu_async import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DeviceTokenLimitError,
    ErrorDto,
    IdempotencyKeyReusedError,
    IntegrationNotFoundError,
    InvalidRequestError,
    LegacyValidationError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SubscriberNotFoundError,
    UnreadableReplyError,
    ValidationErrorDto,
)
from novu_async._converter import parse_subscriber
from novu_async._endpoints import (
    APPEND,
    DELETE,
    GET_SUBSCRIBER,
    GET_SUBSCRIBER_V1,
    LIST_INTEGRATIONS,
    MAX_BODY_BYTES,
    UPDATE,
)
from novu_async._wire import Request, build_body, build_url, parse_retry_after, read_error

NOW = 1_780_000_000.0


def request(provider: str = "fcm", *tokens: str, key: str | None = None, **other: Any) -> Request:
    """Make an append of these tokens, or of one whose text no error may hold."""
    credentials = {"deviceTokens": list(tokens or (TOKEN,)), "webhookUrl": WEBHOOK}
    body = json.dumps({"providerId": provider, "credentials": credentials}).encode()
    headers = {"Authorization": f"ApiKey {KEY}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    usual: dict[str, Any] = {"endpoint": APPEND, "url": "http://h/v1/subscribers/u1/credentials"}
    return Request(**{**usual, **other}, headers=headers, body=body)


def error_of(status: int, body: Any, *, sent: Request | None = None, **headers: str) -> APIError:
    """Read an answer that is an error; a body that is no bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = read_error(sent or request(), reply(status, raw, **headers), NOW)
    assert error is not None
    return error


def era_2024(status: int, message: Any, error: str = "Bad Request") -> dict[str, Any]:
    """Write an error as the API did until 2024."""
    return {"statusCode": status, "timestamp": "t", "path": "/p", "message": message,
            "error": error}  # fmt: skip


def era_2026(status: int, message: Any, **more: Any) -> dict[str, Any]:
    """Write an error as the API does since 2025."""
    return {"statusCode": status, "timestamp": "t", "path": "/p", "message": message,
            "ctx": {}, **more}  # fmt: skip


NO_INTEGRATION = "Subscribers environment (65f) do not have active foo integration."
TOO_MANY = (
    "Device tokens limit exceeded. Maximum allowed tokens per subscriber channel is 100, "
    "but got 101 tokens."
)
INVALID = ["providerId must be a valid provider ID", "credentials must be an object"]
GENERAL = {"general": {"messages": INVALID, "value": "No Value Recorded"}}
REUSED = 'Request with key "k" is being reused for a different body'
BUSY = 'Request with key "k" is currently being processed. Please retry after 1 second'

SAME_CAUSE_SAME_CLASS: list[tuple[str, int, Any, type[APIError], str]] = [
    # what, status, body, class, how the message begins
    ("put, unknown subscriber, 2024", 400, era_2024(400, "SubscriberId: u1 not found"),
     SubscriberNotFoundError, "SubscriberId: u1"),
    ("put, unknown subscriber", 400, era_2026(400, "SubscriberId: u1 not found"),
     SubscriberNotFoundError, "SubscriberId: u1"),
    ("delete, unknown subscriber", 404, era_2024(404, "Subscriber not found for id u1"),
     SubscriberNotFoundError, "Subscriber not found"),
    ("get v2, unknown subscriber", 404, era_2026(404, "Subscriber: u1 was not found"),
     SubscriberNotFoundError, "Subscriber: u1"),
    ("patch v2, unknown subscriber", 404, era_2026(404, "Subscriber u1 was not found"),
     SubscriberNotFoundError, "Subscriber u1"),
    ("a subscriber id that quotes another error", 400,
     era_2026(400, f"SubscriberId: {NO_INTEGRATION} not found"),
     SubscriberNotFoundError, "SubscriberId: "),
    ("no integration, 2024", 400, era_2024(400, NO_INTEGRATION), IntegrationNotFoundError, "Subs"),
    ("no integration", 400, era_2026(400, NO_INTEGRATION), IntegrationNotFoundError, "Subs"),
    ("too many tokens", 400, era_2026(400, TOO_MANY, currentCount=101, limit=100),
     DeviceTokenLimitError, "Device tokens limit"),
    ("validation, 2024", 400, era_2024(400, INVALID), LegacyValidationError, INVALID[0]),
    ("validation", 422, era_2026(422, "Validation Error", errors=GENERAL),
     ValidationErrorDto, "Validation Error: providerId"),
    ("validation without a map", 422, era_2026(422, "Unprocessable"), ValidationErrorDto, "Unp"),
    ("key reused", 422, era_2024(422, REUSED), IdempotencyKeyReusedError, "Request with key"),
    ("key in progress", 409, era_2024(409, BUSY), ConflictError, "Request with key"),
    ("wrong key, 2024", 401, era_2024(401, "API Key not found"), AuthenticationError, "API Key"),
    ("wrong key", 401, era_2026(401, "API Key not found"), AuthenticationError, "API Key"),
    ("401 of a proxy", 401, b"<html>denied</html>", AuthenticationError, "Unauthorized: an answer"),
    ("forbidden", 403, era_2026(403, "Forbidden resource"), PermissionDeniedError, "Forbidden"),
    ("too large", 413, era_2026(413, "Payload Too Large"), PayloadTooLargeError, "Payload"),
    ("unknown route", 404, era_2026(404, "Cannot PUT /x"), ErrorDto, "Cannot PUT"),
    ("limited, 2024", 429, {"statusCode": 429, "message": "API rate limit exceeded"},
     RateLimitError, "API rate"),
    ("429 of a proxy", 429, b"", RateLimitError, "Too Many Requests"),
    ("internal", 500, era_2026(500, "Internal server error", errorId="e-1"), ServerError, "Inter"),
    ("replayed 500, an object", 500, era_2024(500, {"message": "Boom", "statusCode": 500}),
     ServerError, "Boom"),
    ("bad gateway", 502, b"<html><h1>502</h1></html>", ServerError, "Bad Gateway: an answer"),
    ("unavailable", 503, era_2026(503, "Service Unavailable"), ServerError, "Service Unav"),
    ("an empty 504", 504, b"", ServerError, "Gateway Timeout"),
    ("404 of a proxy", 404, b"<html>nginx</html>", APIError, "Not Found: an answer"),
    ("431 without a body", 431, b"", APIError, "Request Header Fields Too Large"),
    ("a status nobody knows", 499, b"", APIError, "Status 499"),
    ("a status out of range", 999, b"", ServerError, "Status 999"),
    ("a redirect", 308, b"", APIError, "the server redirects"),
    ("not modified", 304, b"", APIError, "Not Modified: an answer"),
    ("HTML with 200", 200, b"<html>please log in</html>", APIError, "OK: an answer that is not"),
    ("text with 200", 200, b"OK", APIError, "OK: an answer that is not"),
    ("a list with 200", 200, b"[]", APIError, "OK: an answer that is not"),
    ("an error in a list", 400, [era_2026(400, "x")], APIError, "Bad Request"),
    ("a string for a body", 400, "no", APIError, "Bad Request"),
    ("other JSON", 400, {"code": 7}, APIError, "Bad Request"),
    ("no message", 400, {"statusCode": 400}, ErrorDto, "Bad Request"),
    ("a null message", 400, era_2026(400, None), ErrorDto, "Bad Request"),
    ("a number for a message", 400, era_2026(400, 7), ErrorDto, "Bad Request"),
    ("an object that says nothing", 400, era_2026(400, {"a": {"b": 1}}), ErrorDto, "Bad Request"),
    ("a mixed list", 400, era_2024(400, ["one", 2, None, "two"]), LegacyValidationError, "one; tw"),
    ("two lines", 400, era_2026(400, "one\r\ntwo"), ErrorDto, "one two"),
    ("a byte order mark", 400, b"\xef\xbb\xbf" + json.dumps(era_2026(400, "x")).encode(),
     ErrorDto, "x"),
    ("duplicate keys", 400, b'{"message":"one","message":"two"}', ErrorDto, "two"),
    ("bytes that are no UTF-8", 400, b'{"message":"\xff"}', APIError, "Bad Request"),
    ("half of a surrogate pair", 400, b'{"message":"\\ud83d!"}', ErrorDto, " !"),
    ("deep nesting", 400, b'{"message":' + b'{"a":' * 900 + b"1" + b"}" * 901, ErrorDto, "Bad R"),
    ("deeper nesting", 400, b"[" * 100_000, APIError, "Bad Request"),
    ("cut off", 400, b'{"statusCode":400,"mess', APIError, "Bad Request"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "cls", "begins"),
    [row[1:] for row in SAME_CAUSE_SAME_CLASS],
    ids=[row[0] for row in SAME_CAUSE_SAME_CLASS],
)
def test_each_cause_has_one_class_in_every_era(
    status: int, body: Any, cls: type[APIError], begins: str
) -> None:
    """An answer gives the class of its cause, a message in one line, and its status."""
    error = error_of(status, body)
    assert type(error) is cls
    assert error.message.startswith(begins)
    assert "\n" not in str(error)
    assert error.status_code == status
    assert f"PATCH /v1/subscribers/u1/credentials, status {status}" in str(error)
    if len(body) < 900 or not isinstance(body, bytes):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


@pytest.mark.parametrize(
    "body",
    [b"", b" \r\n", b'{"data":{}}', b'\xef\xbb\xbf{"data":{}}', b'{"data":', b'{"message":"hm"}',
     b'{"data":null}', b"{}", b' {"a":1}'],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 201, 204, 206])
def test_a_success_with_an_unfamiliar_body_is_a_success(status: int, body: bytes) -> None:
    """A write that the server accepted raises nothing because its answer looks odd."""
    assert read_error(request(), reply(status, body), NOW) is None
    assert parse_subscriber(body).channels == []


@pytest.mark.parametrize(
    ("body", "cls", "begins"),
    [
        (b"", UnreadableReplyError, "the answer is cut off"),
        (b'{"data":{"subscriberId":"u', UnreadableReplyError, "the answer is cut off"),
        (b"{}", APIError, "OK: an answer that is not the API's"),
        (b'{"data":null}', APIError, "OK: an answer that is not the API's"),
        (b'{"data":{"channels":[]}}', APIError, "OK: an answer that is not the API's"),
        (b'{"data":{"subscriberId":"u","channels":{}}}', APIError, "OK: an answer that is not"),
        (b"[]", APIError, "OK: an answer that is not the API's"),
        (b"<html>", APIError, "OK: an answer that is not the API's"),
        (json.dumps(era_2026(500, "broken")).encode(), ErrorDto, "broken"),
        (b'{"subscriberId":"u"}', None, ""),
        (b'{"data":{"subscriberId":"u","channels":[]}}', None, ""),
    ],
)
def test_a_read_succeeds_where_it_is_answered(body: bytes, cls: Any, begins: str) -> None:
    """What says nothing of the subscriber is no subscriber without channels."""
    for endpoint in (GET_SUBSCRIBER, GET_SUBSCRIBER_V1):
        error = read_error(request(endpoint=endpoint), reply(200, body), NOW)
        assert (type(error) if error else None) is cls
        assert error is None or error.message.startswith(begins)


@pytest.mark.parametrize(
    ("body", "cls"),
    [(b"[]", None), (b'{"data":[{}]}', None), (b'[{"_id":"i"}]', None), (b"{}", APIError),
     (b'{"data":[1]}', APIError), (b'[{"_id', UnreadableReplyError), (b"", UnreadableReplyError)],
)  # fmt: skip
def test_a_list_is_read_with_and_without_its_envelope(body: bytes, cls: Any) -> None:
    """Both are lists of integrations; nothing else is."""
    error = read_error(request(endpoint=LIST_INTEGRATIONS), reply(200, body), NOW)
    assert (type(error) if error else None) is cls


def test_the_fields_of_an_error_are_those_of_its_body() -> None:
    """Whatever the API says beside the message can be read by name."""
    body = {**era_2026(500, "Internal"), "errorId": "e-1", "ctx": {"a": 1}}
    error = error_of(500, body, Retry_After="3", X_Custom="v")
    assert (error.error_id, error.timestamp, error.path, error.ctx) == ("e-1", "t", "/p", {"a": 1})
    assert (error.retry_after, error.headers["x-custom"]) == (3.0, "v")
    assert error.data == body
    assert str(error).endswith("status 500, errorId e-1]")


def test_every_value_of_a_header_is_in_an_error() -> None:
    """Those of one name are joined as HTTP joins them."""
    answer = reply(404, json.dumps(era_2026(404, "x")).encode(), Vary="Accept-Encoding")
    answer.headers.add("vary", "Origin")  # type: ignore[attr-defined]
    error = read_error(request(), answer, NOW)
    assert error is not None
    assert error.headers["Vary"] == "Accept-Encoding, Origin"


def test_the_fields_behind_a_byte_order_mark_are_read() -> None:
    """A proxy that adds a byte order mark hides nothing of the error."""
    body = era_2026(500, "Internal", errorId="e-1")
    assert error_of(500, b"\xef\xbb\xbf" + json.dumps(body).encode()).data == body


def test_the_token_limit_says_how_many_it_would_have_been() -> None:
    """The numbers of the limit are read flat or from `ctx`."""
    flat = error_of(400, era_2026(400, TOO_MANY, currentCount=101, limit=100))
    nested = error_of(400, era_2026(400, TOO_MANY) | {"ctx": {"currentCount": 7, "limit": 5}})
    wrong = error_of(400, era_2026(400, TOO_MANY, limit="100", currentCount=True))
    both = error_of(400, {**wrong.data, "ctx": {"currentCount": 101, "limit": 100}})
    assert isinstance(both, DeviceTokenLimitError)
    assert (both.current_count, both.limit) == (101, 100)
    assert isinstance(flat, DeviceTokenLimitError)
    assert isinstance(nested, DeviceTokenLimitError)
    assert isinstance(wrong, DeviceTokenLimitError)
    assert (flat.current_count, flat.limit) == (101, 100)
    assert (nested.current_count, nested.limit) == (7, 5)
    assert (wrong.current_count, wrong.limit) == (None, None)


def test_both_eras_of_a_validation_error_are_one_thing_to_a_caller() -> None:
    """`except ValidationErrorDto` and `.errors` work for the 400 of 2024 as for the 422 since."""
    old, new = (
        error_of(400, era_2024(400, INVALID)),
        error_of(422, era_2026(422, "V", errors=GENERAL)),
    )
    for error in (old, new):
        assert isinstance(error, ValidationErrorDto)
        assert error.errors["general"]["messages"] == INVALID
    assert isinstance(old, ErrorDto)
    assert error_of(422, era_2026(422, "V", errors=["x"])).errors == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("provider", "hint"),
    [("apn", "apns"), ("One_Signal", "one-signal"), ("fcm", None), ("zzzzzz", None)],
)
def test_a_provider_that_is_unknown_gets_the_nearest_name(provider: str, hint: str | None) -> None:
    """The API's refusal of a provider is completed by what was probably meant."""
    for status, body in ((400, era_2024(400, NO_INTEGRATION)), (422, era_2026(422, "V"))):
        message = error_of(status, body, sent=request(provider)).message
        assert message.endswith(f"(did you mean {hint!r}?)") is (hint is not None)


def test_an_identifier_that_no_integration_has_is_named() -> None:
    """The API's refusal names the provider only, which may have other integrations."""
    body = {"providerId": "fcm", "integrationIdentifier": "fcm-\nx", "credentials": {}}
    sent = Request(APPEND, "http://h/v1/subscribers/u1/credentials", {}, json.dumps(body).encode())
    message = error_of(400, era_2024(400, NO_INTEGRATION), sent=sent).message
    assert message.endswith(" (the identifier was 'fcm-\\nx')")


def test_a_key_that_is_refused_is_told_by_which_server() -> None:
    """It is known in one region, or at one server, only."""
    message = error_of(401, era_2026(401, "API Key not found")).message
    assert message == "API Key not found (by http://h: is the key of this server and region?)"


@pytest.mark.parametrize(
    ("status", "applied"),
    [(200, True), (301, False), (400, False), (401, False), (404, False), (408, True),
     (422, False), (429, False), (500, True), (502, True), (503, True), (504, True)],
)  # fmt: skip
def test_an_error_says_whether_the_write_may_have_been_made(status: int, applied: bool) -> None:
    """After a refusal nothing was written; after a failure on the way nobody knows."""
    assert error_of(status, b"<html>").may_have_applied is applied


@pytest.mark.parametrize(
    ("key", "header", "endpoint", "message", "replayed"),
    [
        ("k", "true", APPEND, "anything", True),
        ("k", None, APPEND, "Service Unavailable", True),
        (None, None, APPEND, "Service Unavailable", False),
        ("k", None, UPDATE, "Service Unavailable", False),
        ("k", None, APPEND, "Failed to evaluate rate limit", False),
        ("k", "True", APPEND, "anything", True),
        ("k", "1", APPEND, "anything", True),
        ("k", "false", APPEND, "anything", False),
    ],
)
def test_an_error_that_is_only_repeated_is_recognised(
    key: str | None, header: str | None, endpoint: Any, message: str, replayed: bool
) -> None:
    """A stored error is told from a fresh one, by its header or as the 503 of two years."""
    headers = {} if header is None else {"Idempotency_Replay": header}
    sent = request(key=key, endpoint=endpoint)
    error = error_of(503, era_2026(503, message), sent=sent, **headers)
    assert error.replayed is replayed
    notes = " ".join(getattr(error, "__notes__", []))
    assert ("use a new key" in notes) is replayed


@pytest.mark.parametrize("flag", ["true", "True", "1"])
@pytest.mark.parametrize("other", ["v1", "subscribers", "credentials", "u", "h", "U1"])
def test_a_stored_answer_about_another_subscriber_is_an_error(other: str, flag: str) -> None:
    """Whatever that one is called: its name may be another part of the path."""
    body = json.dumps({"data": {"subscriberId": other}}).encode()
    answer = reply(200, body, Idempotency_Replay=flag)
    error = read_error(request(key="k"), answer, NOW)
    assert isinstance(error, IdempotencyKeyReusedError)
    bare = reply(200, json.dumps(json.loads(body)["data"]).encode(), Idempotency_Replay=flag)
    assert isinstance(read_error(request(key="k"), bare, NOW), IdempotencyKeyReusedError)
    own = reply(200, body.replace(f'"{other}"'.encode(), b'"u1"'), Idempotency_Replay=flag)
    assert read_error(request(key="k"), own, NOW) is None


@pytest.mark.parametrize("other", ["b", "a/b", "a%2Fb"])
@pytest.mark.parametrize("asked", ["a/../b", "b/", "b?x", "b#x", "a%252Fb", "x\\b"])
@pytest.mark.parametrize("endpoint", [APPEND, UPDATE, GET_SUBSCRIBER])
def test_a_proxy_that_leads_to_another_subscriber_is_told(
    endpoint: Any, asked: str, other: str
) -> None:
    """It decodes and cleans the path: what was to be stored is stored there, or read from there."""
    sent = request(endpoint=endpoint, url=build_url("http://h", endpoint, subscriber_id=asked))
    body = json.dumps({"data": {"subscriberId": other, "channels": []}}).encode()
    with pytest.raises(ConfigurationError, match=r"another subscriber.*a proxy") as caught:
        read_error(sent, reply(200, body), NOW)
    assert repr(other) in str(caught.value)
    assert ("may be stored there" in str(caught.value)) is endpoint.writes
    own = body.replace(json.dumps(other).encode(), json.dumps(asked).encode())
    assert read_error(sent, reply(200, own), NOW) is None


def test_the_title_of_a_page_is_told() -> None:
    """A proxy says there what is wrong; not where a secret may be cut in half."""
    page = b"<html>\r\n<head><Title>400 No required\nSSL certificate was sent </title></head>"
    assert 'bytes, titled "400 No required SSL certificate was sent")' in str(error_of(400, page))
    assert "titled" not in str(error_of(400, b"<title>" + b"x" * 101 + b"</title>"))
    assert TOKEN not in str(error_of(400, f"<title>{TOKEN}</title>".encode()))


def test_a_proxy_that_leads_nowhere_is_guessed() -> None:
    """The API knows no route for the path that it makes of the id."""
    url = build_url("http://h", APPEND, subscriber_id="a/b")
    body = era_2026(404, "Cannot PATCH /v1/subscribers/a/b/credentials")
    assert "a proxy before the API decodes paths" in str(error_of(404, body, sent=request(url=url)))
    assert "proxy" not in str(error_of(404, body))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "86400"}, 86_400.0),
        ({"Retry_After": " 7 "}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "1e999"}, None),
        ({"Retry_After_Ms": "250"}, 0.25),
        ({"Retry_After_Ms": "250", "Retry_After": "9"}, 0.25),
        ({"Retry_After_Ms": "x", "Retry_After": "9"}, 9.0),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry_After": "Thu, 28 May 2026 20:27:40 GMT"}, 60.0),
        ({"Retry_After": "Thu, 28 May 2026 20:27:40 -0000"}, 60.0),
        ({"Retry_After": "Thu, 28 May 2026 20:27:40"}, 60.0),
        ({"Retry_After": "Thu, 99 May 2026 20:27:40 GMT"}, None),
        ({"Retry_After": "1_000"}, None),
        ({"Retry_After": "1e3"}, None),
        ({"Retry_After": "+5"}, None),
        ({"Retry_After": "\u0663"}, None),
        ({"Retry_After": "9" * 400}, None),
        (
            {
                "Retry_After": "Thu, 28 May 2026 21:27:05 GMT",
                "Date": "Thu, 28 May 2026 21:27:00 GMT",
            },
            5.0,
        ),
        ({"Retry_After": "Thu, 28 May 2026 20:27:40 GMT", "Date": "today"}, 60.0),
        ({"Retry_After": "7", "Date": "Thu, 28 May 2026 21:27:00 GMT"}, 7.0),
    ],
)
def test_every_form_of_retry_after(
    headers: dict[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds, milliseconds and dates are understood in any time zone; nonsense is nothing.

    A date is measured by the clock of the server that sent it.
    """
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    monkeypatch.undo()
    try:
        assert parse_retry_after(reply(**headers).headers, NOW) == seconds
    finally:
        time.tzset()


def everything_of(error: APIError) -> str:
    """Collect every text of an error, and its pickle."""
    parts = [str(error), repr(error), error.body, repr(error.data), repr(error.headers)]
    return " ".join([*parts, str(pickle.dumps(error)), *getattr(error, "__notes__", [])])


@pytest.mark.parametrize("secret", [KEY, TOKEN, WEBHOOK])
@pytest.mark.parametrize(
    "echo",
    [
        lambda secret: era_2024(401, f'Invalid authentication scheme: "{secret}"'),
        lambda secret: era_2024(400, ["x", f"{secret} is bad"]),
        lambda secret: era_2026(422, "V", errors={"a": {"messages": [secret], "value": [secret]}}),
        lambda secret: era_2026(500, {"message": f"boom {secret}"}, **{secret: secret}),
        lambda secret: f"<html>{secret}</html>".encode(),
        lambda secret: ("x" * 9_990 + secret).encode(),
        lambda secret: era_2026(400, "x" * 490 + secret + "y" * 600),
        lambda secret: era_2026(400, secret * 60),
        lambda secret: ("x" * 204_790 + secret + "y" * 1_000).encode(),
    ],
    ids=[
        "401",
        "list",
        "422",
        "object",
        "html",
        "cut body",
        "cut message",
        "many",
        "cut long body",
    ],
)
def test_a_secret_that_an_answer_echoes_is_nowhere_in_the_error(secret: str, echo: Any) -> None:
    """The key, tokens and webhook URLs of the request are replaced, whole or cut in half."""
    for status in (400, 401, 422, 500):
        text = everything_of(error_of(status, echo(secret)))
        assert secret not in text
        assert secret[:12] not in text.replace("https://hoo", "")


def test_a_secret_is_found_however_json_or_html_writes_it() -> None:
    """Escaped slashes, letters, entities, percent signs; in values kept as data; in headers."""
    hook = "https://hooks.example.com/secret/a?b=1&c=2"
    body = json.dumps({"providerId": "slack", "credentials": {"webhookUrl": hook}}).encode()
    sent = Request(APPEND, "http://h/v1/subscribers/u/credentials", request().headers, body)
    escaped = "".join(f"\\u{ord(character):04x}" for character in hook)
    for form in (hook.replace("/", "\\/"), hook.replace("&", "\\u0026"), escaped):
        body = b'{"statusCode":422,"message":"x","errors":{"a":{"messages":["%s"],"value":"%s"}}}'
        echo = form.encode()
        text = everything_of(error_of(422, body % (echo, echo), sent=sent))
        assert hook not in text
        assert form not in text
    for page in (
        html.escape(hook),
        html.escape(hook).replace("/", "&#x2F;"),
        quote(hook, safe=""),
    ):
        assert page not in everything_of(error_of(502, f"<p>{page}".encode(), sent=sent))
    error = error_of(401, {"statusCode": 401, "message": "x"}, sent=sent, X_Echo=f"see {hook}")
    assert hook not in everything_of(error)
    assert error.headers["x-echo"].startswith("see #")


@given(st.lists(st.text(min_size=8, max_size=30), min_size=1, max_size=4), st.booleans())
def test_no_token_of_any_characters_survives_in_an_error(tokens: list[str], ascii_: bool) -> None:
    """However JSON writes a token, the answer's copy of it is replaced."""
    if any(token in "statusCode message timestamp path error Bad Request" for token in tokens):
        return
    sent = request("fcm", *tokens)
    body = json.dumps(era_2024(400, [f"<{t}>" for t in tokens]), ensure_ascii=ascii_).encode()
    error = error_of(400, body, sent=sent)
    for token in tokens:
        assert f"<{token}>" not in error.message
        assert f"<{token}>" not in error.body
        assert json.dumps(f"<{token}>") not in error.body


def test_a_huge_answer_to_a_huge_request_is_read_quickly() -> None:
    """The work on an error is bounded by what is kept of it, not by what came."""
    sent = request("fcm", *(f"{i:040d}" for i in range(2_000)))
    for body in (b"<html>" + b"x" * (4 << 20), b'{"message":"' + b"x" * (4 << 20) + b'"}'):
        error = error_of(502, body, sent=sent)
        assert (len(error.body), error.data) == (10_000, {})
        assert f"{len(body)} bytes" in error.message


@given(
    status=st.integers(0, 999),
    body=st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(
                st.sampled_from(["message", "errors", "ctx", "statusCode", "data", "messages",
                                 "channels", "credentials", "deviceTokens", "providerId",
                                 "errorId", "limit", "general", "_id"]) | st.text(), inner
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    retry_after=st.text(st.characters(min_codepoint=32, max_codepoint=255)),
)  # fmt: skip
def test_no_answer_whatsoever_breaks_the_reader(status: int, body: bytes, retry_after: str) -> None:
    """Any status, body and Retry-After gives an error that prints and pickles, or a subscriber."""
    error = read_error(request(), reply(status, body, Retry_After=retry_after), NOW)
    if error is not None:
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301
        assert error.retry_after is None or error.retry_after >= 0
        _ = error.ctx, error.error_id, getattr(error, "errors", None), getattr(error, "limit", None)
    assert repr(parse_subscriber(body))


@pytest.mark.parametrize(
    ("subscriber_id", "segment"),
    [("a/b", "a%2Fb"), ("?x=1", "%3Fx%3D1"), ("#", "%23"), ("100%", "100%25"), ("%2F", "%252F"),
     ("...", "..."), ("a b", "a%20b"), ("a+b@c", "a%2Bb%40c"), ("é", "%C3%A9"), ("a-_.~", "a-_.~"),
     ("{provider_id}", "%7Bprovider_id%7D"), ("\\", "%5C"), (";:,&=", "%3B%3A%2C%26%3D")],
)  # fmt: skip
def test_an_id_is_one_segment_whatever_is_in_it(subscriber_id: str, segment: str) -> None:
    """Every reserved byte of an id is percent-encoded, once; a prefix of the server stays."""
    url = build_url("http://h/pre", DELETE, subscriber_id=subscriber_id, provider_id="f/m")
    assert url == f"http://h/pre/v1/subscribers/{segment}/credentials/f%2Fm"


def test_a_body_may_be_as_large_as_the_server_takes_and_no_larger() -> None:
    """102,400 bytes are built; one more is refused, with the size and the way out."""
    room = MAX_BODY_BYTES - len(build_body({"a": ""}))
    assert len(build_body({"a": "x" * room})) == MAX_BODY_BYTES
    with pytest.raises(InvalidRequestError, match=r"102,401 bytes.*device_tokens\.add splits"):
        build_body({"a": "x" * (room + 1)})
