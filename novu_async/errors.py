"""Every exception of the package.

    NovuError
    ├── ConfigurationError            no key, a bad server_url, a client used where it cannot work
    │   ├── ClientClosedError             the client was closed, before the call or during it
    │   └── InvalidRetryConfigError       a RetryConfig that cannot work     (also a ValueError)
    ├── InvalidRequestError           refused before anything was sent   (also a ValueError)
    ├── CallError                     a call that was sent and failed
    │   ├── APIConnectionError            no answer, or half of one
    │   │   ├── APITimeoutError               no answer in time          (also a TimeoutError)
    │   │   ├── ReplyTooLargeError            the answer was over max_reply_bytes
    │   │   └── UnreadableReplyError          the answer to a read was cut off
    │   └── APIError                      any other answer than success
    │       ├── ErrorDto                      the API's own error body: 400, 404, 409 and others
    │       │   ├── AuthenticationError           401
    │       │   ├── PermissionDeniedError         403
    │       │   ├── SubscriberNotFoundError       400 or 404, by the API's message
    │       │   ├── IntegrationNotFoundError      400: no active integration of this provider
    │       │   ├── DeviceTokenLimitError         400: too many tokens in one channel
    │       │   ├── ConflictError                 409
    │       │   ├── PayloadTooLargeError          413
    │       │   └── ServerError                   5xx
    │       ├── ValidationErrorDto            422
    │       │   ├── LegacyValidationError         the 400 that servers before 2025 answer instead
    │       │   └── IdempotencyKeyReusedError     the key was used with another body
    │       └── RateLimitError                429
    ├── DeviceTokensNotStoredError    the API acknowledged a write, yet tokens are missing from it
    └── BulkError                     a bulk registration could not go on

All of them can be pickled and copied. None of them holds the API key, and no text or pickle of
them holds a device token or a webhook URL: those are replaced by fingerprints.
"""

import copy
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from attrs import frozen

from novu_async._mappings import ErrorDtoData, HeaderDict, ValidationErrorDtoData
from novu_async._secrets import describe_tokens, fingerprint

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AuthenticationError",
    "BulkError",
    "CallError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "DeviceTokenLimitError",
    "DeviceTokensNotStoredError",
    "ErrorDto",
    "ErrorDtoData",
    "IdempotencyKeyReusedError",
    "IntegrationNotFoundError",
    "InvalidRequestError",
    "InvalidRetryConfigError",
    "LegacyValidationError",
    "NoResponseError",
    "NovuError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "ReplyTooLargeError",
    "RequestInfo",
    "ServerError",
    "SubscriberNotFoundError",
    "UnreadableReplyError",
    "ValidationErrorDto",
    "ValidationErrorDtoData",
]

E = TypeVar("E", bound=BaseException)


@frozen
class RequestInfo:
    """The request that an error is about: method and URL, without headers or body."""

    method: str
    url: str

    @property
    def path(self) -> str:
        """The path of the URL, as it was sent."""
        return urlsplit(self.url).path


class NovuError(Exception):
    """Root of every error that this package raises on purpose.

    `status_code`, `body` and `headers` are those of the API's answer: empty where there was none.
    """

    status_code: int = 0
    body: str = ""
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(NovuError):
    """The client cannot work as it is set up, or where it is used; the message says what to do."""


class ClientClosedError(ConfigurationError):
    """The client, or the session it was given, is closed: before the call, or while that waited for
    its turn, a connection, a retry or the rest of an answer."""


class InvalidRetryConfigError(ConfigurationError, ValueError):
    """The arguments of a RetryConfig or a BackoffStrategy were refused."""


class InvalidRequestError(NovuError, ValueError):
    """The arguments of a call were refused; nothing was sent.

    `argument` is the path of the argument, such as `credentials.device_tokens[2]`.
    """

    def __init__(self, message: str = "", argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class CallError(NovuError):
    """A call that was sent and failed.

    - `request`: the method and URL, or None where the error was made by hand.
    - `attempts`: how many requests were sent; of a verb of several requests, all of them.
    - `may_have_applied`: False where the server certainly changed nothing.
    """

    def __init__(
        self,
        message: str = "",
        *,
        request: RequestInfo | None = None,
        may_have_applied: bool = False,
    ) -> None:
        super().__init__(message)
        self.request = request
        self.attempts = 1
        self.may_have_applied = may_have_applied

    def _facts(self) -> list[str]:
        facts = [] if self.request is None else [f"{self.request.method} {self.request.path}"]
        if self.attempts != 1:
            facts.append(f"{self.attempts} attempts")
        return facts

    def __str__(self) -> str:
        facts = ", ".join(self._facts())
        return f"{self.message} [{facts}]" if facts else self.message


class APIConnectionError(CallError):
    """No complete answer arrived: refused, reset, not resolved, cut off, or not HTTP."""


NoResponseError = APIConnectionError
"""The official SDK's name for an answer that did not come."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """No complete answer arrived within the timeout."""


class ReplyTooLargeError(APIConnectionError):
    """The answer was larger than `max_reply_bytes`; the call was carried out all the same."""


class UnreadableReplyError(APIConnectionError):
    """A read was answered with a success whose body is cut off: nobody knows what is stored."""


class APIError(CallError):
    """The API, or something in front of it, answered with another status than success.

    - `status_code`, `headers` (by a name in any case), `body` (text, secrets replaced).
    - `message`: the API's message as one line, or a description where there was none.
    - `data`: the parsed body where it is the API's, else empty; `data.error_id` is
      `data["errorId"]`.
    - `retry_after`: how long the server asks to wait, in seconds, or None.
    - `error_id`: what Novu's support asks for (500 only).
    - `replayed`: True where the API repeated an error stored under the idempotency key.
    """

    _data_class: ClassVar[type[ErrorDtoData]] = ErrorDtoData

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int = 0,
        headers: Mapping[str, str] | None = None,
        body: str = "",
        data: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        request: RequestInfo | None = None,
        may_have_applied: bool = False,
    ) -> None:
        super().__init__(message, request=request, may_have_applied=may_have_applied)
        self.status_code = status_code
        self.headers = HeaderDict({name.lower(): value for name, value in (headers or {}).items()})
        self.body = body
        self.data = self._data_class.of(data or {})
        self.retry_after = retry_after
        self.replayed = False

    @property
    def error_id(self) -> str | None:
        """The `errorId` of a 500, or None."""
        found = self.data.get("errorId")
        return found if isinstance(found, str) and found.isprintable() else None

    @property
    def timestamp(self) -> str | None:
        """When the API made the error, ISO 8601, or None."""
        return self.data.get("timestamp")

    @property
    def path(self) -> str | None:
        """The path as the API saw it, or None."""
        return self.data.get("path")

    @property
    def ctx(self) -> Mapping[str, Any]:
        """What the API (2025 and later) adds to the error; empty where it adds nothing."""
        ctx = self.data.get("ctx")
        return ctx if isinstance(ctx, dict) else {}

    def _facts(self) -> list[str]:
        facts = super()._facts()
        if self.status_code:
            facts.insert(min(1, len(facts)), f"status {self.status_code}")
        if self.error_id:
            facts.append(f"errorId {self.error_id}")
        return facts


class ErrorDto(APIError):  # noqa: N818, the name in the API's contract
    """The API's own error body."""


class AuthenticationError(ErrorDto):
    """401: the key is missing, unknown, or of another region."""


class PermissionDeniedError(ErrorDto):
    """403: the key may not do this."""


class SubscriberNotFoundError(ErrorDto):
    """The subscriber does not exist: 400 on update and append, 404 on delete and reads."""


class IntegrationNotFoundError(ErrorDto):
    """400: the environment has no active integration of this provider and identifier."""


class DeviceTokenLimitError(ErrorDto):
    """400: the channel would hold more device tokens than the server allows (100 by default)."""

    @property
    def current_count(self) -> int | None:
        """How many tokens the channel would have held."""
        return self._number("currentCount")

    @property
    def limit(self) -> int | None:
        """How many tokens one channel may hold."""
        return self._number("limit")

    def _number(self, name: str) -> int | None:
        found = _as_int(self.data.get(name))
        return _as_int(self.ctx.get(name)) if found is None else found


class ConflictError(ErrorDto):
    """409: a request with the same idempotency key is still under way, or the id already exists."""


class PayloadTooLargeError(ErrorDto):
    """413: the body was too large, for the API or for something in front of it."""


class ServerError(ErrorDto):
    """5xx: the API or a proxy in front of it failed."""


class ValidationErrorDto(APIError):  # noqa: N818, the name in the API's contract
    """422: the API refused the body.

    `errors` maps a field (or `general`) to `{"messages": [...], "value": ...}`; it is empty where
    the API sent neither such a map nor a list of messages.
    """

    _data_class = ValidationErrorDtoData
    data: ValidationErrorDtoData

    @property
    def errors(self) -> Mapping[str, Any]:
        """What is wrong, by field: `data.errors`."""
        return self.data.errors


class LegacyValidationError(ValidationErrorDto, ErrorDto):
    """400 with a list of messages: what servers before 2025 answer where newer ones answer 422.

    `errors` has them under the one key `general`.
    """


class IdempotencyKeyReusedError(ValidationErrorDto):
    """422: the idempotency key was used before, with another body."""


class RateLimitError(APIError):
    """429: the environment's rate limit is used up; `retry_after` says for how long."""


class DeviceTokensNotStoredError(NovuError):
    """Some of the tokens are not stored, although the API acknowledged a write: another writer was
    faster, or a later part of a long list failed, with an error that is the `__cause__`.

    - `device_tokens`: the tokens that are not stored, in the order given. Not part of the text,
      and left out of pickles and copies (`fingerprints` stays).
    - `requests`: how many requests were spent.
    """

    def __init__(
        self, message: str = "", device_tokens: Iterable[str] = (), *, requests: int = 0
    ) -> None:
        super().__init__(message)
        self.device_tokens = tuple(device_tokens)
        self.fingerprints = tuple(fingerprint(token) for token in self.device_tokens)
        self.requests = requests

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,), {**self.__dict__, "device_tokens": ()}

    def __str__(self) -> str:
        if not self.device_tokens:
            return self.message
        return f"{self.message}: {describe_tokens(self.device_tokens)}"


class BulkError(NovuError):
    """A bulk registration could not go on; `report` says how far it came."""

    def __init__(self, message: str = "", report: Any = None) -> None:
        super().__init__(message)
        self.report = report


def own_copy(error: E) -> E:
    """Return an error for one of many: one instance would collect the tracebacks of all.

    Others than ours are returned as they are: they may not be made for copying.
    """
    if not isinstance(error, NovuError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    if hasattr(error, "__notes__"):
        own.__notes__ = list(error.__notes__)
    return own


def _as_int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
