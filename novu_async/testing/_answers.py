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


@frozen
class Answer:
    """Hold one reply before it is framed: status, JSON bytes and the headers of its own.

    `compressible` is false for what the API answers before its compression starts: bodies that
    cannot be parsed, and preflight requests. Those carry no `Vary: Accept-Encoding` either.
    """

    status: int
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    compressible: bool = True
    content_type: str = "application/json; charset=utf-8"


class ApiError(Exception):
    """Stop a request with an error answer; rendered per era by `render_error`.

    `message` is a string, a list (2024 validation) or an object (a replayed 500). `details` are
    further keys of the body. `errors` is the map of a 422 in 2026.
    """

    def __init__(
        self,
        status: int,
        message: Any,
        *,
        named: bool = True,
        details: Mapping[str, Any] | None = None,
        errors: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        compressible: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.named = named
        self.details = dict(details or {})
        self.errors = errors
        self.headers = dict(headers or {})
        self.compressible = compressible


def make_internal_error(*, compressible: bool = True) -> ApiError:
    """Make the 500 of an exception that nothing in the API handles."""
    return ApiError(500, INTERNAL_ERROR, named=False, compressible=compressible)


def make_unavailable_error() -> ApiError:
    """Make the bare 503 that the API answers when a guard of its own fails."""
    return ApiError(503, "Service Unavailable", named=False)


def make_validation_error(era: Era, messages: list[str]) -> ApiError:
    """Make the answer to a body that breaks the request schema: 400 with a list, since 2025 422."""
    if era == "2024":
        return ApiError(400, messages)
    general = {"messages": messages, "value": "No Value Recorded"}
    return ApiError(422, VALIDATION_FAILED, named=False, errors={"general": general})


def make_command_error(era: Era, command: str, name: str, message: str, value: Any) -> ApiError:
    """Make the answer to a value that the schema lets through and the use case refuses."""
    if era == "2024":
        return ApiError(400, [message])
    text = f"Validation failed for {command}: {name}: {message}"
    return ApiError(422, text, named=False, errors={name: {"messages": [message], "value": value}})


def render_error(era: Era, error: ApiError, *, path: str, timestamp: str) -> Answer:
    """Write an error body as the era's exception filter does."""
    base = {"statusCode": error.status, "timestamp": timestamp, "path": path}
    make = _body_2024 if era == "2024" else _body_2026
    return Answer(
        error.status,
        _json_text.dump(make(base, error)),
        tuple(error.headers.items()),
        error.compressible,
    )


def _error_name(error: ApiError) -> dict[str, Any]:
    return {"error": HTTPStatus(error.status).phrase} if error.named else {}


def _error_id(error: ApiError) -> dict[str, Any]:
    return {"errorId": str(uuid.uuid4())} if error.status == 500 else {}


def _body_2024(base: dict[str, Any], error: ApiError) -> dict[str, Any]:
    named = _error_name(error)
    return {**base, "message": error.message, **named, **error.details, **_error_id(error)}


def _body_2026(base: dict[str, Any], error: ApiError) -> dict[str, Any]:
    """Flatten `ctx` into the body as well, as the filter written after 2024 does."""
    body = {**base, "message": error.message}
    if error.status != 500:
        ctx = _make_ctx(error)
        body = {**ctx, **body, "ctx": ctx}
    if error.errors is not None:
        body["errors"] = error.errors
    return {**body, **_error_id(error)}


def _make_ctx(error: ApiError) -> dict[str, Any]:
    """List what the exception held besides its message; a text-only exception held nothing."""
    if error.details:
        return error.details
    if error.named:
        return {**_error_name(error), "statusCode": error.status}
    if error.status in (401, 413, 503) and error.message != "":
        return {"statusCode": error.status}
    return {}
