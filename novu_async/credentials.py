"""The API's three calls on a subscriber's credentials, as the API has them.

They write what they are given. `novu.subscribers.device_tokens` has verbs for device tokens that
merge, check the answer and never erase by accident; prefer those for push.
"""

from collections.abc import Mapping
from types import EllipsisType
from typing import Any

from novu_async import _checks, _endpoints
from novu_async._checks import RequestLike
from novu_async._converter import parse_subscriber, to_json_name, unstructure_request
from novu_async._endpoints import Endpoint
from novu_async._log import logger
from novu_async._options import Options, make_options
from novu_async._pipeline import Pipeline
from novu_async._retry import RetryConfig
from novu_async._wire import Reply
from novu_async.models import (
    SubscribersControllerDeleteSubscriberCredentialsResponse,
    SubscribersControllerModifySubscriberChannelResponse,
    SubscribersControllerUpdateSubscriberChannelResponse,
)

__all__ = ["Credentials"]

_NEVER_STORED = frozenset(
    map(to_json_name, ("alert_uid", "title", "image_url", "state", "external_url"))
)


class Credentials:
    """`novu.subscribers.credentials`.

    Every call takes these keywords: `retries` (None sends once), `timeout` (seconds for each
    attempt), `timeout_ms` (the same as the official SDK names it), `server_url`, `http_headers`
    (added to the client's), `idempotency_key` (at most 255 characters; the API reads it on append
    only, and only where it is switched on).

    Raises: InvalidRequestError before anything is sent; APIError by the API's answer;
    APIConnectionError where no answer came. See `novu_async.errors` for the whole tree.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._warned = False

    async def update(
        self,
        subscriber_id: str,
        update_subscriber_channel_request_dto: RequestLike,
        *,
        retries: RetryConfig | EllipsisType | None = ...,
        timeout: float | None = None,
        server_url: str | None = None,
        http_headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_ms: float | None = None,
    ) -> SubscribersControllerUpdateSubscriberChannelResponse:
        """Set the credentials of one channel (PUT): its device tokens are replaced by these.

        The subscriber must exist, and the provider must have an active integration; without an
        `integration_identifier` the API takes the newest one. A `webhook_url` or `channel` that is
        not given stays as it is. A push provider needs at least one device token here; to erase
        them use `device_tokens.clear` or `delete`. The request may be the model or a dict, in
        snake_case or in the API's camelCase.
        """
        options = make_options(
            retries, timeout, server_url, http_headers, idempotency_key, timeout_ms
        )
        request = update_subscriber_channel_request_dto
        reply = await self._write(_endpoints.UPDATE, subscriber_id, request, options)
        return SubscribersControllerUpdateSubscriberChannelResponse(
            reply.body, reply.headers, decode=parse_subscriber
        )

    async def append(
        self,
        subscriber_id: str,
        update_subscriber_channel_request_dto: RequestLike,
        *,
        retries: RetryConfig | EllipsisType | None = ...,
        timeout: float | None = None,
        server_url: str | None = None,
        http_headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_ms: float | None = None,
    ) -> SubscribersControllerModifySubscriberChannelResponse:
        """Add device tokens to one channel (PATCH); those it has stay, in their order.

        A `webhook_url` or `channel` that is given overwrites the old one. An append without tokens
        is refused for push providers, and an empty one for all: the API would erase the tokens.
        Otherwise like `update`.
        """
        options = make_options(
            retries, timeout, server_url, http_headers, idempotency_key, timeout_ms
        )
        request = update_subscriber_channel_request_dto
        reply = await self._write(_endpoints.APPEND, subscriber_id, request, options)
        return SubscribersControllerModifySubscriberChannelResponse(
            reply.body, reply.headers, decode=parse_subscriber
        )

    async def delete(
        self,
        subscriber_id: str,
        provider_id: str,
        *,
        retries: RetryConfig | EllipsisType | None = ...,
        timeout: float | None = None,
        server_url: str | None = None,
        http_headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_ms: float | None = None,
    ) -> SubscribersControllerDeleteSubscriberCredentialsResponse:
        """Remove all channels of a provider from a subscriber (DELETE).

        All of them: where the provider has several integrations there is no way to name one; to
        empty just one use `device_tokens.clear`. Removing what is not there succeeds, also for a
        provider that does not exist.
        """
        options = make_options(
            retries, timeout, server_url, http_headers, idempotency_key, timeout_ms
        )
        subscriber_id = _checks.check_subscriber_id(subscriber_id)
        request = self._pipeline.build(
            _endpoints.DELETE,
            options,
            subscriber_id=subscriber_id,
            provider_id=_checks.check_provider_id(provider_id),
        )
        async with self._pipeline.turn(subscriber_id, options) as turn:
            reply = await self._pipeline.send(request, options, turn)
        return SubscribersControllerDeleteSubscriberCredentialsResponse(reply.headers)

    # As the official SDK names them, whose own `update` and so on block.
    update_async = update
    append_async = append
    delete_async = delete

    async def _write(
        self, endpoint: Endpoint, subscriber_id: str, given: RequestLike, options: Options
    ) -> Reply:
        subscriber_id = _checks.check_subscriber_id(subscriber_id)
        checked = _checks.check_request(given)
        _checks.check_writes_something(checked, endpoint.name)
        document = unstructure_request(checked)
        self._warn_of_dropped_fields(document["credentials"])
        request = self._pipeline.build(endpoint, options, document, subscriber_id=subscriber_id)
        async with self._pipeline.turn(subscriber_id, options) as turn:
            return await self._pipeline.send(request, options, turn)

    def _warn_of_dropped_fields(self, credentials: Mapping[str, Any]) -> None:
        if self._warned or _NEVER_STORED.isdisjoint(credentials):
            return
        self._warned = True
        dropped = sorted(_NEVER_STORED.intersection(credentials))
        logger.warning("the API accepts but does not store %s", ", ".join(dropped))
