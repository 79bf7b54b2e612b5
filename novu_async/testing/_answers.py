"""What an answer holds, and the bodies of errors in both eras. No input or output here."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from attrs import frozen

from novu_async.testing import _json_text

Era = Literal["2024", "2026"]

INTERNAL_ERROR: Final = "Internal server error, contact support and provide them with the errorId"
VALIDATION_FAILED: Final = "Validation Error"
RATE_LIMITED: Final = "API rate limit exceeded"
# Newer Pythons know these under other names than the API's server does.
_REASONS: Final = {413: "Payload Too Large", 422: "Unprocessable Entity"}


def find_reason(status: int) -> str:
    """Give the text of a status."""
    return _REASONS.get(status) or HTTPStatus(status).phrase


@frozen
class Answer:
    """Hold one reply before it is framed: status, body and the headers of its own.

    `from_api` is false for what a proxy answers in its place.
    """

    status: int
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json; charset=utf-8"
    from_api: bool = True


class ApiError(Exception):
    """Stop a request with an error answer; rendered per era by `render_error`.

    `message` is a string, a list (2024 validation) or an object (a replayed 500). `context` is
    what the API's exception carried besides the message: by default the name of the status and
    its number. `errors` is the map of a 422 in 2026.
    """

    def __init__(
        self,
        status: int,
        message: Any,
        *,
        context: Mapping[str, Any] | None = None,
        errors: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if context is None:
            context = {"error": find_reason(status), "statusCode": status}
        self.status = status
        self.message = message
        self.context = context
        self.errors = errors
        self.headers = dict(headers or {})


def make_plain_error(status: int, message: str) -> ApiError:
    """Make an error whose exception was raised without a text of its own: no `error` field."""
    return ApiError(status, message, context={"statusCode": status})


def make_internal_error() -> ApiError:
    """Make the 500 of an exception that nothing in the API handles."""
    return ApiError(500, INTERNAL_ERROR, context={})


def make_unavailable_error() -> ApiError:
    """Make the bare 503 that the API answers when a guard of its own fails."""
    return make_plain_error(503, "Service Unavailable")


def make_rate_limit_error() -> ApiError:
    """Make the 429; its headers come from the limiter."""
    return ApiError(429, RATE_LIMITED, context={})


def make_validation_error(era: Era, messages: list[str]) -> ApiError:
    """Make the answer to a body that breaks the request schema: 400 with a list, since 2025 422."""
    if era == "2024":
        return ApiError(400, messages)
    general = {"messages": messages, "value": "No Value Recorded"}
    return ApiError(422, VALIDATION_FAILED, context={}, errors={"general": general})


def make_command_error(era: Era, command: str, name: str, message: str, value: Any) -> ApiError:
    """Make the answer to a value that the schema lets through and the use case refuses."""
    if era == "2024":
        return ApiError(400, [message])
    text = f"Validation failed for {command}: {name}: {message}"
    return ApiError(422, text, context={}, errors={name: {"messages": [message], "value": value}})


def render_error(era: Era, error: ApiError, *, path: str, timestamp: str) -> Answer:
    """Write an error body as the era's exception filter does."""
    base = {"statusCode": error.status, "timestamp": timestamp, "path": path}
    make = _make_body_2024 if era == "2024" else _make_body_2026
    body = make(base, error)
    if error.status == 500:
        body["errorId"] = str(uuid.uuid4())
    return Answer(error.status, _json_text.dump(body), tuple(error.headers.items()))


def _make_body_2024(base: dict[str, Any], error: ApiError) -> dict[str, Any]:
    return {**base, "message": error.message, **error.context}


def _make_body_2026(base: dict[str, Any], error: ApiError) -> dict[str, Any]:
    """Flatten `ctx` into the body as well, as the filter written after 2024 does."""
    body = {**error.context, **base, "message": error.message}
    if error.status != 500:
        body["ctx"] = error.context
    if error.errors is not None:
        body["errors"] = error.errors
    return body
