"""What the logger `novu_async` says of a call: attempts and waits at DEBUG, its end in an error.

INFO is for what the API refuses, which is for the caller to handle and may be no surprise; WARNING
for what will hardly end by itself: a call that gave up, a wrong key, or no API at the other end.
"""

import logging
from typing import Any

from novu_async._wire import Request
from novu_async.errors import (
    AuthenticationError,
    CallError,
    ErrorDto,
    PermissionDeniedError,
    RateLimitError,
    ReplyTooLargeError,
    ServerError,
    ValidationErrorDto,
)

logger = logging.getLogger("novu_async")
logger.addHandler(logging.NullHandler())

_NO_REFUSAL = (RateLimitError, ServerError, AuthenticationError, PermissionDeniedError)
"""Answers that say nothing about the call: others would get the same."""

_LONG_SECONDS = 60.0


def log_attempt(
    request: Request, attempts: int, status: int | None, failure: BaseException | None = None
) -> None:
    if not logger.isEnabledFor(logging.DEBUG):
        return
    is_large = isinstance(failure, ReplyTooLargeError)
    came = status or ("an answer that is too large" if is_large else "no answer")
    extra = _extra(request, status, novu_attempt=attempts)
    logger.debug("%s %s: %s", request.info.method, request.info.path, came, extra=extra)


def log_retry(request: Request, error: CallError, wait: float) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        extra = _extra(request, error.status_code, novu_wait=wait)
        logger.debug("%s; next attempt in %.2f s", error, wait, extra=extra)


def log_stop(request: Request, seconds: float, stopped_for: float) -> None:
    """Tell of a long wait that a 429 asks for, unless most of it is asked for already."""
    if seconds - stopped_for > _LONG_SECONDS:
        text = "%s %s: the server asks to wait, all calls, for %.0f s"
        extra = _extra(request, 429, novu_wait=seconds)
        logger.warning(text, request.info.method, request.info.path, seconds, extra=extra)


def log_end(request: Request, error: CallError, *, retried: bool) -> None:
    refused = isinstance(error, ErrorDto | ValidationErrorDto)
    gave_up = retried or not refused or isinstance(error, _NO_REFUSAL)
    extra = _extra(request, error.status_code, novu_attempts=error.attempts)
    logger.log(logging.WARNING if gave_up else logging.INFO, "gave up: %s", error, extra=extra)


def _extra(request: Request, status: int | None, **more: float) -> dict[str, Any]:
    """Return what a record of the log has beside its text: nothing that names a subscriber."""
    endpoint = request.endpoint
    return {
        "novu_operation": endpoint.name,
        "novu_method": endpoint.method,
        "novu_url_template": endpoint.path,
        "novu_status_code": status or None,  # 0 is that of an error without an answer
        **more,
    }
