"""From arguments to the bytes of a request, and from the bytes of an answer to a model or an error.

Nothing here waits, sends or knows the time, so every rule about answers can be read and tested in
one place.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import define, field

from novu_async import _json
from novu_async._endpoints import MAX_BODY_BYTES, Endpoint
from novu_async._mappings import is_flag_set
from novu_async._secrets import redact, redact_start
from novu_async.errors import (
    APIError,
    AuthenticationError,
    CallError,
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
    RequestInfo,
    ServerError,
    SubscriberNotFoundError,
    UnreadableReplyError,
    ValidationErrorDto,
)
from novu_async.providers import nearest_provider

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_MESSAGE = 500
_MAX_KEPT_BODY = 10_000
_MAX_ERROR_BODY = 2 * MAX_BODY_BYTES
"""An error of the API echoes a request at most; what is longer was written by something else."""

_DECODES = "a proxy before the API decodes paths, which it must pass on as they are"
_find_title = re.compile(rb"<title>([^<]{1,100})</title>", re.IGNORECASE).search
"""Of a page that a proxy has made: often the only reason it gives."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_can_go_astray = re.compile("/subscribers/[^/]*%(2F|5C|3F|23|25)").search
"""A path that is another one where a proxy decodes it: `/`, `\\`, `?`, `#` or `%` in the id."""

_is_number = re.compile(r"[0-9]+(\.[0-9]*)?").fullmatch

_is_unreserved = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch


@define
class Request:
    """One HTTP request, ready to be sent; headers and body stay out of its repr."""

    endpoint: Endpoint
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def info(self) -> RequestInfo:
        """What an error says about the request."""
        return RequestInfo(self.endpoint.method, self.url)


@define
class Reply:
    """One complete HTTP answer; header names are looked up whatever their case.

    - `attempts`: how many requests it took.
    - `document`: what a read was answered, without its envelope.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    attempts: int = 1
    document: Any = field(default=None, repr=False)


def build_url(base: str, endpoint: Endpoint, **segments: str) -> str:
    """Return the URL of an endpoint, every reserved byte of its segments percent-encoded."""
    for name, value in segments.items():
        segments[name] = _encode(value)
    return base + endpoint.path.format(**segments)


def _encode(segment: str) -> str:
    return segment if _is_unreserved(segment) else quote(segment, safe="", errors="replace")


def build_body(document: Mapping[str, Any]) -> bytes:
    """Return the JSON of a body that the server will take."""
    body = _json.dumps(document)
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError(
            f"the request has {len(body):,} bytes and the API takes {MAX_BODY_BYTES:,}; "
            "device_tokens.add splits long lists of tokens"
        )
    return body


def read_error(request: Request, reply: Reply, now: float) -> CallError | None:
    """Return what an answer complains about, or None where it is a success.

    Of a write every 2xx is one, unless its body is clearly not the API's: the page of a proxy means
    that nobody knows what became of the write. A read succeeds where what was asked for is there.
    `now` is the wall clock's time, for a Retry-After that is a date in an answer that has none.

    Raises ConfigurationError where the answer shows that a proxy has led the request astray.
    """
    if _may_be_answer(request, reply):
        if "%" in request.url and _can_go_astray(request.url):
            _check_route(request, reply)
        if request.endpoint.answer is None:
            return _anothers_replay(request, reply)
        reply.document = _json.document_of(reply.body)
        if _is_answer(reply.document, request.endpoint):
            return None
        if not _json.is_json(reply.body):
            return UnreadableReplyError("the answer is cut off", request=request.info)
    return _make_error(request, reply, now)


def _make_error(request: Request, reply: Reply, now: float) -> APIError:
    status, secrets = reply.status, _secrets(request)
    data = _parse_error_body(reply.body)
    cls = _error_class(status, data)
    text, clean = _redact_body(reply.body, data, secrets)
    message = _as_one_line(_message(status, data, reply))
    error = cls(
        redact_start(message, secrets, _MAX_MESSAGE) + _hint(cls, request, message),
        status_code=status,
        headers=_redact_headers(reply.headers, secrets),
        body=text[:_MAX_KEPT_BODY],
        data=clean,
        retry_after=parse_retry_after(reply.headers, now),
        request=request.info,
        may_have_applied=request.endpoint.writes
        and (status >= 500 or status < 300 or status == HTTPStatus.REQUEST_TIMEOUT),
    )
    error.replayed = _is_replayed(request, reply, error)
    if error.replayed:
        error.add_note(
            "the API repeats this error for 24 hours under the same idempotency key; "
            "use a new key, or none"
        )
    return error


def _redact_body(
    body: bytes, data: dict[str, Any], secrets: list[str]
) -> tuple[str, dict[str, Any]]:
    """Return the text of an error and what it says, both without secrets.

    JSON can write one text in many ways; written anew, it has only those that are known.
    """
    text = redact_start(body.decode("utf-8-sig", "replace"), secrets, _MAX_ERROR_BODY)
    try:
        written = json.dumps(data, ensure_ascii=False)
    except RecursionError:  # orjson reads what is nested deeper
        return text, {}
    clean = redact(written, secrets)
    if clean == written:
        return text, data
    return clean, _json.parse_object(clean) or {}


def _redact_headers(headers: Mapping[str, str], secrets: list[str]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    together = "\n".join(joined.values())
    if redact(together, secrets) == together:  # nearly always, and dear to look for in each
        return joined
    return {name: redact(value, secrets) for name, value in joined.items()}


def _anothers_replay(request: Request, reply: Reply) -> APIError | None:
    """Refuse a stored answer about another subscriber: the API ignores the path of a key."""
    flag = reply.headers.get("idempotency-replay")
    if flag is None or not is_flag_set(flag) or not _has_key(request):
        return None
    if _find_stranger(request, reply) is None:
        return None
    error = IdempotencyKeyReusedError(
        "the idempotency key was used for another subscriber: nothing was written",
        status_code=reply.status,
        headers=_redact_headers(reply.headers, _secrets(request)),
        request=request.info,
    )
    error.replayed = True
    return error


def _check_route(request: Request, reply: Reply) -> None:
    """Raise where the id came to the API as that of another subscriber."""
    stranger = _find_stranger(request, reply)
    if stranger is not None and "idempotency-replay" not in reply.headers:
        where, writes = f"{request.info.method} {request.info.path}", request.endpoint.writes
        raise ConfigurationError(
            f"{where} was answered about another subscriber, {stranger[:100]!r}: {_DECODES}"
            + ("; what was sent may be stored there" if writes else "")
        )


def _find_stranger(request: Request, reply: Reply) -> str | None:
    """Return the id of the subscriber that was answered about, where it was not asked for."""
    data = _json.document_of(reply.body)
    found = data.get("subscriberId") if isinstance(data, dict) else None
    is_other = isinstance(found, str) and f"/subscribers/{_encode(found)}/" not in f"{request.url}/"
    return found if is_other else None


def _may_be_answer(request: Request, reply: Reply) -> bool:
    """Tell whether an answer claims success and has a body that could be the API's, or none."""
    if not 200 <= reply.status < 300:
        return False
    starts = (b"", b"{", b"[") if request.endpoint.answer == "list" else (b"", b"{")
    return reply.body.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in starts


def _is_answer(document: object, endpoint: Endpoint) -> bool:
    """Tell whether a read was answered what it asked for."""
    if endpoint.answer == "list":
        return isinstance(document, list) and all(isinstance(one, dict) for one in document)
    return (
        isinstance(document, dict)
        and isinstance(document.get("subscriberId"), str)
        and isinstance(document.get("channels"), list | None)
    )


def _parse_error_body(body: bytes | str) -> dict[str, Any]:
    data = (_json.parse_object(body) if len(body) <= _MAX_ERROR_BODY else None) or {}
    return data if "statusCode" in data or "message" in data else {}


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that `retry-after-ms` or `Retry-After` asks for, never negative.

    A date counts from the answer's own `Date`, for the clock here may be wrong; without one from
    `now`.
    """
    milliseconds = _parse_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _parse_number(text)
    if seconds is not None or text is None:
        return seconds
    until, sent = _parse_date(text), _parse_date(headers.get("date"))
    return None if until is None else max(0.0, until - (now if sent is None else sent))


def _parse_date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
        # a date of HTTP is in GMT, also where it does not say so
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _parse_number(text: str | None) -> float | None:
    if text is None or not _is_number(text.strip()):
        return None
    number = float(text)
    return number if number < float("inf") else None


_BY_STATUS: dict[int, type[APIError]] = {
    HTTPStatus.UNAUTHORIZED: AuthenticationError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PayloadTooLargeError,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimitError,
}
"""Whatever the body says, and whoever wrote it."""

_BY_STATUS_OF_THE_API: dict[int, type[APIError]] = {
    HTTPStatus.FORBIDDEN: PermissionDeniedError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.UNPROCESSABLE_ENTITY: ValidationErrorDto,
}

_BY_MESSAGE: tuple[tuple[int, str, str, type[APIError]], ...] = (
    # status, how the message starts, how it ends
    (400, "SubscriberId: ", " not found", SubscriberNotFoundError),
    (404, "Subscriber not found for id ", "", SubscriberNotFoundError),
    (404, "Subscriber", " was not found", SubscriberNotFoundError),
    (400, "Subscribers environment (", " integration.", IntegrationNotFoundError),
    (404, "Subscribers environment (", " integration.", IntegrationNotFoundError),
    (400, "Device tokens limit exceeded.", "", DeviceTokenLimitError),
    (422, "Request with key ", " is being reused for a different body", IdempotencyKeyReusedError),
)


def _error_class(status: int, data: Mapping[str, Any]) -> type[APIError]:
    if status >= 500:
        return ServerError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if not data:
        return APIError
    message = data.get("message")
    if isinstance(message, str):
        for wanted, start, end, cls in _BY_MESSAGE:
            if status == wanted and message.startswith(start) and message.endswith(end):
                return cls
    if status == HTTPStatus.BAD_REQUEST and isinstance(message, list):
        return LegacyValidationError
    return _BY_STATUS_OF_THE_API.get(status, ErrorDto)


def _message(status: int, data: Mapping[str, Any], reply: Reply) -> str:
    message = data.get("message")
    if isinstance(message, Mapping):
        # a 500 that is replayed under an idempotency key
        message = message.get("message")
    if texts := _texts(message):
        return ": ".join(filter(None, ["; ".join(texts), _validation_messages(data)]))
    kind = reply.headers.get("content-type", "").partition(";")[0] or "no content type"
    if status in _REDIRECTS:
        return "the server redirects, which would leak the key; set server_url to where the API is"
    title = _find_title(reply.body[:_MAX_KEPT_BODY])
    titled = f', titled "{title[1].decode(errors="replace").strip()}"' if title else ""
    what = f"an answer that is not the API's ({kind}, {len(reply.body)} bytes{titled})"
    try:
        return f"{HTTPStatus(status).phrase}: {what}"
    except ValueError:
        return f"Status {status}: {what}"


def _as_one_line(text: str) -> str:
    """Replace what would begin a line of a log, or tell a terminal what to do."""
    return _CONTROL.sub(" ", " ".join(text.splitlines()))


def _texts(message: object) -> list[str]:
    messages = message if isinstance(message, list) else [message]
    return [text for text in messages if isinstance(text, str) and text]


def _validation_messages(data: Mapping[str, Any]) -> str:
    errors = data.get("errors")
    fields = errors.values() if isinstance(errors, dict) else ()
    lists = [_texts(field.get("messages")) for field in fields if isinstance(field, dict)]
    return "; ".join(text for texts in lists for text in texts)


def _hint(cls: type[APIError], request: Request, message: str) -> str:
    """Return what the API's message leaves out."""
    if message.startswith("Cannot ") and _can_go_astray(request.url):
        return f" ({_DECODES})"
    if cls is AuthenticationError:
        scheme, server, *_ = urlsplit(request.url)
        return f" (by {scheme}://{server}: is the key of this server and region?)"
    if not issubclass(cls, IntegrationNotFoundError | ValidationErrorDto):
        return ""
    sent = _json.parse_object(request.body or b"") or {}
    near = nearest_provider(str(sent.get("providerId", "")))
    if near:
        return f" (did you mean {near!r}?)"
    identifier = str(sent.get("integrationIdentifier", ""))
    is_unknown = cls is IntegrationNotFoundError and identifier
    return f" (the identifier was {identifier[:100]!r})" if is_unknown else ""


def _has_key(request: Request) -> bool:
    return request.endpoint.takes_key and "Idempotency-Key" in request.headers


def _is_replayed(request: Request, reply: Reply, error: APIError) -> bool:
    if is_flag_set(reply.headers.get("idempotency-replay", "")):
        return True
    # from December 2024 to August 2026 the API replayed every stored error as this 503
    return (
        _has_key(request)
        and error.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        and error.data.get("message") == "Service Unavailable"
        and error.retry_after is None
    )


def _secrets(request: Request) -> list[str]:
    """Collect what an answer may echo of a request: the key, device tokens, webhook URLs."""
    secrets = [request.headers.get("Authorization", "").removeprefix("ApiKey ")]
    document = _json.parse_object(request.body or b"") or {}
    for channel in [document, *document.get("channels", [])]:
        credentials = channel.get("credentials") or {}
        secrets += credentials.get("deviceTokens") or []
        secrets.append(credentials.get("webhookUrl") or "")
    return secrets
