"""What a single call does differently from its client, checked once, where it is collected."""

from collections.abc import Mapping
from types import EllipsisType

from attrs import field, frozen

from novu_async._checks import check_idempotency_key
from novu_async._retry import RetryConfig
from novu_async._settings import (
    Headers,
    check_headers,
    check_retries,
    check_server_url,
    is_positive,
)
from novu_async.errors import InvalidRequestError

_NOTHING = (None, None, None, None, None)


@frozen(kw_only=True)
class Options:
    """What a single call does differently; `...` and None mean "as the client".

    `headers` are further ones, the idempotency key among them; `timeout` is in seconds.
    """

    retries: RetryConfig | EllipsisType | None = ...
    timeout: float | None = None
    server_url: str | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)


AS_CLIENT = Options()


def make_options(
    retries: RetryConfig | EllipsisType | None = ...,
    timeout: float | None = None,
    server_url: str | None = None,
    http_headers: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    timeout_ms: float | None = None,
) -> Options:
    """Check and collect the keywords that every call takes; of two timeouts the second counts."""
    given = (timeout, server_url, http_headers, idempotency_key, timeout_ms)
    if retries is ... and given == _NOTHING:
        return AS_CLIENT
    return Options(
        retries=... if retries is ... else check_retries(retries),
        timeout=_find_timeout(timeout, timeout_ms),
        server_url=None if server_url is None else check_server_url(server_url),
        headers=_collect_headers(http_headers, idempotency_key),
    )


def _find_timeout(seconds: float | None, milliseconds: float | None) -> float | None:
    if milliseconds is not None:
        return _check_above_zero(milliseconds, "timeout_ms", "milliseconds") / 1000
    return None if seconds is None else _check_above_zero(seconds, "timeout", "seconds")


def _check_above_zero(value: object, name: str, unit: str) -> float:
    if not is_positive(value):
        raise InvalidRequestError(f"{name} must be a number of {unit} above zero", name)
    return value


def _collect_headers(
    http_headers: Mapping[str, str] | None, idempotency_key: str | None
) -> Headers | None:
    if http_headers is None and idempotency_key is None:
        return None
    headers = Headers(check_headers(http_headers))
    if idempotency_key is not None:
        headers["Idempotency-Key"] = check_idempotency_key(idempotency_key)
    return headers
