"""Reads of subscribers and integrations, from servers of any age."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from novu_async import _endpoints, _json
from novu_async._pipeline import AS_CLIENT, Pipeline
from novu_async._wire import Reply, Request
from novu_async.errors import (
    APIConnectionError,
    ErrorDto,
    PermissionDeniedError,
    SubscriberNotFoundError,
)

T = TypeVar("T")

_REMEMBERED_SECONDS = 60.0
_NOT_FOUND = 404
_MAX_UNREADABLE = 5
_PAUSE_SECONDS = 0.02


class Reader:
    """What one client reads, and what it has learnt about its server meanwhile."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._integrations: list[dict[str, Any]] = []
        self._read_at = float("-inf")
        self.has_v2: bool | None = None
        """Whether the server has the uncached read; None before the first one."""

    async def subscriber(self, subscriber_id: str) -> Reply:
        """Read a subscriber, uncached where the server can."""
        if self.has_v2 is not False:
            try:
                reply = await self._get(_endpoints.GET_SUBSCRIBER, subscriber_id)
            except ErrorDto as error:
                # a server before 2025: `Cannot GET /v2/...`, which says nothing of the subscriber
                if error.status_code != _NOT_FOUND or isinstance(error, SubscriberNotFoundError):
                    raise
                self.has_v2 = False
            else:
                self.has_v2 = True
                return reply
        return await self._get(_endpoints.GET_SUBSCRIBER_V1, subscriber_id)

    async def integrations(self) -> list[dict[str, Any]]:
        """Return the active integrations as the API lists them; remembered for a minute.

        Empty where the key may not list them.
        """
        now = self._pipeline.clock.monotonic()
        if now - self._read_at > _REMEMBERED_SECONDS:
            request = self._pipeline.build(_endpoints.LIST_INTEGRATIONS, AS_CLIENT)
            try:
                reply = await self._ask(request, list)
            except PermissionDeniedError:
                return []
            found = (_json.parse_object(reply.body) or {})["data"]
            self._integrations = [i for i in found if isinstance(i, dict)]
            self._read_at = now
        return self._integrations

    async def integration_id(self, provider_id: str, identifier: str | None) -> str | None:
        """Return the id of the integration that the API takes for a write, or None.

        It takes the newest active one of the provider, and with that identifier if one is given.
        """
        candidates = [
            integration
            for integration in await self.integrations()
            if integration.get("providerId") == provider_id
            and identifier in (None, integration.get("identifier"))
            and integration.get("active", True)
        ]
        newest = max(candidates, key=_age_of, default=None)
        return None if newest is None else str(newest.get("_id"))

    async def _get(self, endpoint: _endpoints.Endpoint, subscriber_id: str) -> Reply:
        request = self._pipeline.build(endpoint, AS_CLIENT, subscriber_id=subscriber_id)
        return await self._ask(request, dict)

    async def _ask(self, request: Request, kind: type) -> Reply:
        def read(reply: Reply) -> Reply | None:
            data = (_json.parse_object(reply.body) or {}).get("data")
            return reply if isinstance(data, kind) else None

        return await ask(self._pipeline, request, lambda: self._pipeline.send(request), read)


async def ask(
    pipeline: Pipeline,
    request: Request,
    send: Callable[[], Awaitable[Reply]],
    read: Callable[[Reply], T | None],
) -> T:
    """Send a request until its answer can be read: one that is cut off says nothing of channels.

    Every request of this package may be repeated. Raises APIConnectionError where no answer can be
    read.
    """
    for _ in range(_MAX_UNREADABLE):
        found = read(await send())
        if found is not None:
            return found
        await pipeline.clock.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311
    raise APIConnectionError(
        f"{_MAX_UNREADABLE} answers could not be read: cut off, or not the API's",
        request=request.info,
        may_have_applied=request.body is not None,
    )


def _age_of(integration: dict[str, Any]) -> tuple[str, str]:
    # the API's ids begin with their time of creation
    return str(integration.get("createdAt", "")), str(integration.get("_id"))
