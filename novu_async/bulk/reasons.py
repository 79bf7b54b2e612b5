"""Why a row failed, in words that group well, and whether sending it again can help."""

from typing import NoReturn

from attrs import frozen

from novu_async import errors
from novu_async.errors import NovuError

_MAX_DETAIL = 300
_MAX_IDENTIFIER = 60

_REASONS: tuple[tuple[type[NovuError], str, bool], ...] = (
    (errors.InvalidRequestError, "refused before sending", False),
    (errors.SubscriberNotFoundError, "no such subscriber", False),
    (errors.IntegrationNotFoundError, "no active integration of this provider", False),
    (errors.DeviceTokenLimitError, "too many device tokens in the channel", False),
    (errors.DeviceTokensNotStoredError, "acknowledged but not stored", True),
    (errors.ValidationErrorDto, "refused by the API", False),
    (errors.PayloadTooLargeError, "too large for the API", False),
    (errors.AuthenticationError, "API key refused", False),
    (errors.PermissionDeniedError, "API key may not do this", False),
    (errors.ConflictError, "conflict", True),
    (errors.RateLimitError, "rate limit", True),
    (errors.ReplyTooLargeError, "the answer is over max_reply_bytes of the client", False),
    (errors.APITimeoutError, "no answer in time", True),
    (errors.UnreadableReplyError, "the answer was cut off", True),
    (errors.APIConnectionError, "no connection", True),
)

_SILENT = (errors.APIConnectionError, errors.ServerError, errors.RateLimitError)

NOT_READ_BACK = "not stored when read back"
STILL_READ_BACK = "still stored when read back"
UNNAMED = "other rows name the integration of this provider, so this one must too"


@frozen
class Failure:
    """Why a row failed: `reason` is one of few phrases, `detail` what was said this time."""

    reason: str
    detail: str = ""
    retryable: bool = False


def explain(error: NovuError, identifier: str | None = None) -> Failure:
    """Say why a write failed, by the class of its error.

    - `identifier`: of the integration that the write named; the API names the provider only.
    """
    detail = " ".join(error.message.split())[:_MAX_DETAIL]
    if identifier and isinstance(error, errors.IntegrationNotFoundError):
        named = repr(identifier[:_MAX_IDENTIFIER])
        return Failure(f"no active integration {named} of this provider", detail)
    for cls, reason, retryable in _REASONS:
        if isinstance(error, cls):
            return Failure(reason, detail, retryable)
    if isinstance(error, errors.APIError):
        return Failure(f"status {error.status_code}", detail, is_silence(error))
    return Failure(type(error).__name__, detail)


def is_silence(error: NovuError) -> bool:
    """Tell whether an error says nothing about its row: no answer, or none that is one."""
    if type(error) is errors.APIError:  # a proxy's, or of whatever else stands there
        return True
    return isinstance(error, _SILENT) and not isinstance(error, errors.ReplyTooLargeError)


def raise_first(group: ExceptionGroup[Exception]) -> NoReturn:
    """Raise the first error of a task group alone, as the task raised it."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    raise error from error.__cause__
