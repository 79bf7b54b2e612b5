"""What a single call does differently from its client."""

from collections.abc import Mapping
from types import EllipsisType

from attrs import frozen

from novu_async._retry import RetryConfig

_NOTHING = (None, None, None, None)


@frozen(kw_only=True)
class Options:
    """What a single call does differently from its client; `...` means "as the client"."""

    retries: RetryConfig | EllipsisType | None = ...
    timeout: float | None = None
    server_url: str | None = None
    http_headers: Mapping[str, str] | None = None
    idempotency_key: str | None = None


AS_CLIENT = Options()


def make_options(
    retries: RetryConfig | EllipsisType | None,
    timeout: float | None,
    server_url: str | None,
    http_headers: Mapping[str, str] | None,
    idempotency_key: str | None,
) -> Options:
    """Collect the keywords that every call takes."""
    if retries is ... and (timeout, server_url, http_headers, idempotency_key) == _NOTHING:
        return AS_CLIENT
    return Options(
        retries=retries,
        timeout=timeout,
        server_url=server_url,
        http_headers=http_headers,
        idempotency_key=idempotency_key,
    )
