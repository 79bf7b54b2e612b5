"""Reads of subscribers and integrations, from servers of any age."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from novu_async import _endpoints
from novu_async._channels import Channel
from novu_async._options import AS_CLIENT, Options
from novu_async._pipeline import Pipeline
from novu_async._retry import BackoffStrategy, RetryConfig
from novu_async._wire import Reply, build_url
from novu_async.errors import (
    APIError,
    ErrorDto,
    NovuError,
    RateLimitError,
    ServerError,
    UnreadableReplyError,
    own_copy,
)

_REMEMBERED_SECONDS = 60.0
_COMPARED_CHARACTERS = 200
"""Of a path that a server quotes: a message is cut off somewhere."""
_ONCE = Options(retries=RetryConfig("backoff", BackoffStrategy(0, 0, 1, 0)))
"""No retry, but a connection that was closed just as it was used is replaced."""


class Reader:
    """What one client reads, and what it has learnt about its server meanwhile."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._integrations: list[dict[str, Any]] | None = None
        self._read_at = float("-inf")
        # weak: a task that has ended is not to keep its error, whose traceback refers to the client
        self._under_way = WeakValueDictionary[Options, asyncio.Task[BaseException | None]]()
        self._inactive: set[str] = set()
        self.identifiers: dict[str, str] = {}
        """The identifier of each integration that was read at any time, by its id."""
        self.newest: dict[str, str] = {}
        """The id of each provider's newest integration, as last read; empty before that."""
        self.has_v2: bool | None = None
        """Whether the server has the uncached read; None before the first one."""

    async def subscriber(self, subscriber_id: str) -> Reply:
        """Read a subscriber, uncached where the server can."""
        if self.has_v2 is not False:
            try:
                reply = await self._get(_endpoints.GET_SUBSCRIBER, subscriber_id)
            except ErrorDto as error:
                if not _has_no_such_route(error, subscriber_id):
                    raise
                self.has_v2 = False
            else:
                # where it was new, in early 2025, it left the channels out
                self.has_v2 = "channels" in reply.document
                if self.has_v2:
                    return reply
        return await self._get(_endpoints.GET_SUBSCRIBER_V1, subscriber_id)

    async def integrations(self, *, fresh: bool = False) -> list[dict[str, Any]] | None:
        """Return the active integrations, oldest first; None where they cannot be read.

        The list is remembered for a minute, unless it shall be `fresh`. Not being able to read it
        fails no call that can do without it.
        """
        if fresh or not self._is_remembered:
            before = self._integrations
            try:
                await self.refresh(_ONCE, joins=not fresh)
            except NovuError as error:
                self._forget(before, error)
                return None
        return self._integrations

    @property
    def _is_remembered(self) -> bool:
        return self._pipeline.clock.monotonic() - self._read_at <= _REMEMBERED_SECONDS

    def _forget(self, before: list[dict[str, Any]] | None, error: NovuError) -> None:
        """Do without the list that was there `before`, unless another read has brought a newer one.

        One that the server refuses is not asked for again at once.
        """
        if self._integrations is not before:
            return
        self._integrations = None
        now = self._pipeline.clock.monotonic()
        self._read_at = now if _is_refusal(error) else float("-inf")

    async def refresh(self, options: Options = AS_CLIENT, *, joins: bool = False) -> bool:
        """Read the active integrations; raise where they cannot be read.

        One that `joins` makes do with a read that others have begun; False where it did, for that
        may lack what is newer.
        """
        task = self._under_way.get(options) if joins else None
        is_own = task is None or task.done()
        if task is None or is_own:
            task = asyncio.get_running_loop().create_task(self._refresh(options))
            self._under_way[options] = task
            self._pipeline.keep(task)
        error = await self._pipeline.wait_for(asyncio.shield(task))
        if error is not None:
            raise own_copy(error)
        return is_own

    async def _refresh(self, options: Options) -> BaseException | None:
        """Return what went wrong: it belongs to those who wait, not to this task."""
        try:
            await self._read_integrations(options)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            return error
        return None

    async def _read_integrations(self, options: Options) -> None:
        request = self._pipeline.build(_endpoints.LIST_INTEGRATIONS, AS_CLIENT)
        listed = (await self._pipeline.send(request, options)).document
        listed = [one for one in listed if one.get("_id")]  # a channel is found by it
        self._integrations = sorted(listed, key=_age_of)
        active = [one for one in self._integrations if one.get("active", True)]
        self.newest = {str(one.get("providerId")): id_of(one) for one in active}
        self._read_at = self._pipeline.clock.monotonic()
        named = [one for one in listed if isinstance(one.get("identifier"), str)]
        self.identifiers |= {id_of(one): one["identifier"] for one in named}

    async def integrations_of(
        self, channels: Iterable[Channel], *, needed: bool
    ) -> list[dict[str, Any]] | None:
        """Return the active integrations, to tell these channels apart; raise where that fails.

        A channel whose integration is not among them has one that is not active, or one that is
        newer than what is remembered: then they are read anew. None where the server refuses them
        and they are not `needed`.
        """
        ids, before = {channel.integration_id for channel in channels}, self._integrations
        try:
            is_new = not self._is_remembered and await self.refresh(joins=True)
            known = self._inactive.union(map(id_of, self._integrations or ()))
            is_known = ids <= known if self._integrations is not None else not needed
            if not (is_new or is_known):
                await self.refresh()
        except NovuError as error:
            if needed or not _is_refusal(error):
                raise
            self._forget(before, error)
            return None
        self._inactive |= ids.difference(map(id_of, self._integrations or ()))
        return self._integrations

    async def integration_id(
        self, provider_id: str, identifier: str | None, *, fresh: bool = False
    ) -> str | None:
        """Return the id of the integration that the API takes for a write; None if not known.

        It takes the newest active one of the provider, and with that identifier if one is given.
        """
        matching = [
            integration
            for integration in await self.integrations(fresh=fresh) or ()
            if integration.get("providerId") == provider_id
            and identifier in (None, integration.get("identifier"))
            and integration.get("active", True)
        ]
        return id_of(matching[-1]) if matching else None

    async def _get(self, endpoint: _endpoints.Endpoint, subscriber_id: str) -> Reply:
        request = self._pipeline.build(endpoint, AS_CLIENT, subscriber_id=subscriber_id)
        return await self._pipeline.send(request)


def _has_no_such_route(error: ErrorDto, subscriber_id: str) -> bool:
    """Tell whether a server is of before 2025, and says nothing of the subscriber.

    It quotes the path as it was sent; another one is the work of a proxy that decodes paths.
    """
    path = build_url("", _endpoints.GET_SUBSCRIBER, subscriber_id=subscriber_id)
    is_quoted = path[:_COMPARED_CHARACTERS] in error.message
    return is_quoted and error.message.startswith("Cannot GET ")


def _is_refusal(error: NovuError) -> bool:
    """Tell whether a server answered, and would answer the same again."""
    passing = isinstance(error, RateLimitError | ServerError)
    return isinstance(error, APIError | UnreadableReplyError) and not passing


def id_of(integration: Mapping[str, Any]) -> str:
    return str(integration.get("_id"))


def _age_of(integration: dict[str, Any]) -> tuple[str, str]:
    # the API's ids begin with their time of creation
    return str(integration.get("createdAt", "")), id_of(integration)
