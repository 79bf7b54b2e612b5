"""The requests of one verb on one channel, made while holding the subscriber's turn."""

import asyncio
from collections.abc import Awaitable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from novu_async import _endpoints
from novu_async._channels import Channel, Target, adopt, parse_channels
from novu_async._endpoints import Endpoint
from novu_async._options import AS_CLIENT
from novu_async._ordering import Turn
from novu_async._pipeline import Pipeline
from novu_async._reading import Reader, id_of
from novu_async._wire import Reply
from novu_async.errors import (
    CallError,
    DeviceTokensNotStoredError,
    IntegrationNotFoundError,
    NovuError,
)
from novu_async.providers import is_known, nearest_provider

NO_CHANNEL = Channel("", ())


@define
class ChannelAccess:
    """Reads and writes one channel and counts the requests; each returns the channel it finds."""

    pipeline: Pipeline
    reader: Reader
    target: Target
    turn: Turn
    requests: int = 0
    has_written: bool = False
    channels: list[Channel] = field(factory=list)
    """All channels of the provider, by the last answer."""
    home: str | None = None
    """The integration that channels without one count to, as far as the integrations are known."""

    def count_in(self, error: CallError) -> None:
        """Let the error of the last request tell of all requests of the verb."""
        error.attempts += self.requests
        error.may_have_applied |= self.has_written

    def pass_over(self, error: NovuError) -> None:
        """Count the requests of an error that does not end the verb."""
        self.requests += error.attempts if isinstance(error, CallError) else 0

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let an error that ends the verb tell of all its requests."""
        try:
            yield
        except CallError as error:
            self.count_in(error)
            raise

    async def append(self, tokens: list[str]) -> Channel:
        """Add tokens (PATCH) and return the channel that the API added them to."""
        reply = await self._write(_endpoints.APPEND, tokens, self.target.integration_identifier)
        self._parse(reply)
        return self._find_single() or await self._find_written(tokens)

    async def read(self) -> Channel:
        """Read the channel, from a cache where the server is of before 2025.

        It is that of the integration to which the API would write; where the subscriber has none
        there, but one for an older integration that is still active, it is that one. An identifier
        that no active integration has raises IntegrationNotFoundError, as writes do: the channel
        may well be there. Where the list of integrations is needed to tell which channel it is and
        cannot be read, its error is raised.
        """
        if not await self._read_channels():
            await self._check_target()
            return NO_CHANNEL
        provider_id, identifier = self.target.provider_id, self.target.integration_identifier
        needed = len(self.channels) > 1 or identifier is not None
        active = await self.reader.integrations_of(self.channels, needed=needed)
        if active is None:
            return self.channels[0]
        await self._find_home()
        chosen = await self.reader.integration_id(provider_id, identifier)
        if chosen is None and identifier is not None:
            await self.reader.refresh()
            chosen = await self.reader.integration_id(provider_id, identifier)
            if chosen is None:
                raise self._no_integration()
        if identifier is not None:
            return self._channel_of(chosen)
        for integration_id in (chosen, *map(id_of, reversed(active)), ""):
            channel = self._channel_of(integration_id)
            if channel is not NO_CHANNEL:
                return channel
        return NO_CHANNEL

    def _channel_of(self, integration_id: str | None) -> Channel:
        for channel in self.channels:
            if channel.integration_id == integration_id:
                return channel
        return NO_CHANNEL

    async def _check_target(self) -> None:
        """Raise where a channel is missing because its name is mistyped.

        That is where the list of integrations can be read, and has neither the identifier nor, of a
        provider that is new to this version, any. A known provider may have lost its integration.
        """
        provider_id, identifier = self.target.provider_id, self.target.integration_identifier
        if identifier is None and is_known(provider_id):
            return
        for is_fresh in (False, True):
            if await self.reader.integrations(fresh=is_fresh) is None:
                return
            if await self.reader.integration_id(provider_id, identifier) is not None:
                return
        raise self._no_integration()

    def _no_integration(self) -> IntegrationNotFoundError:
        identifier = self.target.integration_identifier
        named = "" if identifier is None else f" {identifier!r}"
        near = nearest_provider(self.target.provider_id)
        hint = f" (did you mean {near!r}?)" if near else ""
        error = IntegrationNotFoundError(
            f"there is no active {self.target.provider_id} integration{named}{hint}",
            status_code=400,
        )
        error.attempts = 0  # nothing was sent for it
        return error

    async def read_certain(self, leaving: Collection[str]) -> Channel:
        """Read the channel as it is stored, on every server.

        Where reads come from a cache, the channel is shown by an append of one token that it has
        already, preferably one of those that are `leaving`: a stale cache may have one that is
        stored no more. A channel that the cache does not show is taken as missing.
        """
        cached = await self.read()
        if self.reader.has_v2 or not cached.device_tokens:
            return cached
        going = [token for token in cached.device_tokens if token in leaving]
        probe = (going or cached.device_tokens)[0]
        reply = await self._write(_endpoints.APPEND, [probe], self._identifier_of(cached))
        return await self._find(reply, cached.integration_id)

    async def replace(self, channel: Channel, tokens: list[str]) -> Channel:
        """Set the tokens of a channel that was read (PUT); an empty list clears them.

        Where a read that cannot be stale found none, there is nothing to replace: then an append
        (PATCH) does the same, and would erase nothing if that were not so.
        """
        identifier = self._identifier_of(channel)
        is_new = channel is NO_CHANNEL and tokens and self.reader.has_v2
        endpoint = _endpoints.APPEND if is_new else _endpoints.UPDATE
        reply = await self._write(endpoint, tokens, identifier)
        if channel is NO_CHANNEL:
            self._parse(reply)
            return await self._find_written(tokens)
        return await self._find(reply, channel.integration_id)

    async def create_subscriber(self, tokens: list[str]) -> None:
        """Create the subscriber with these tokens (POST); one that exists already gets them added.

        Servers before 2025 do not show the channel: whether it was stored is for the caller to see.
        """
        channel = self._document(tokens, self.target.integration_identifier)
        document = {"subscriberId": self.target.subscriber_id, "channels": [channel]}
        await self._send(_endpoints.CREATE_SUBSCRIBER, document)

    async def rebuild(self, chosen: Channel, tokens: list[str]) -> Channel:
        """Make one channel out of several elements, with these tokens.

        Only a delete reaches the duplicates, and it takes all channels of the provider; so
        these are written anew after it. Nothing is begun where one of them could not be, and
        nobody's cancellation ends it half-way.
        """
        await self.reader.refresh()  # one may have been switched off just now
        active = set(map(id_of, await self.reader.integrations() or ()))
        lost = [c for c in self.channels if c.integration_id not in active]
        if lost:
            integration_id = lost[0].integration_id
            why = f"integration {integration_id} is not active"
            if not integration_id:
                why = f"there is no active {self.target.provider_id} integration"
            raise NovuError(
                f"the duplicate channels of {self.target.provider_id!r} cannot be merged without "
                f"losing tokens: {why}; nothing was changed"
            )
        task = asyncio.get_running_loop().create_task(self._rewrite_all(chosen, tokens))
        self.turn.whole = task
        self.pipeline.keep(task, to_its_end=True)
        return await asyncio.shield(task)

    async def _rewrite_all(self, chosen: Channel, tokens: list[str]) -> Channel:
        """Delete all channels of the provider and write them again, the chosen one last."""
        channels = [c for c in self.channels if c is not chosen] + [chosen]
        contents = {c.integration_id: list(c.device_tokens) for c in channels}
        contents[chosen.integration_id] = tokens
        result, unsaved = NO_CHANNEL, list[str]()
        cause: NovuError | None = None
        for channel in channels:
            await self._rehearse(channel, contents[channel.integration_id])
        subscriber_id, provider_id = self.target.subscriber_id, self.target.provider_id
        try:
            await self._send(
                _endpoints.DELETE, subscriber_id=subscriber_id, provider_id=provider_id
            )
        except NovuError as error:
            if isinstance(error, CallError) and not error.may_have_applied:
                raise
            self.pass_over(error)  # it may have happened all the same: everything is written again
        for channel in channels:
            content, identifier = contents[channel.integration_id], self._identifier_of(channel)
            try:
                # an append keeps what another process has added since the delete
                reply = await self._write(_endpoints.APPEND, content, identifier, channel.others)
                result = await self._find(reply, channel.integration_id)
            except NovuError as error:
                self.pass_over(error)
                unsaved += content
                cause = error
        if cause is not None:
            raise DeviceTokensNotStoredError(
                "merging duplicate channels was interrupted; add these tokens again",
                unsaved,
                requests=self.requests,
            ) from cause
        return result

    async def _rehearse(self, channel: Channel, tokens: list[str]) -> None:
        """Write a channel before the delete, so that what the server refuses is refused now.

        The order is another one: the API does not check what changes nothing.
        """
        turned = [*tokens[1:], *tokens[:1]]
        try:
            identifier = self._identifier_of(channel)
            await self._write(_endpoints.UPDATE, turned, identifier, channel.others)
        except NovuError as error:
            error.add_note(
                f"the channel of integration {channel.integration_id} could not be written again: "
                "nothing was deleted, and the duplicates are still there"
            )
            raise

    def _write(
        self,
        endpoint: Endpoint,
        tokens: list[str],
        identifier: str | None,
        others: Mapping[str, Any] | None = None,
    ) -> Awaitable[Reply]:
        document = self._document(tokens, identifier, others)
        return self._send(endpoint, document, subscriber_id=self.target.subscriber_id)

    def _document(
        self, tokens: list[str], identifier: str | None, others: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        document: dict[str, Any] = {
            "providerId": self.target.provider_id,
            "credentials": {**(others or {}), "deviceTokens": tokens},
        }
        if identifier is not None:
            document["integrationIdentifier"] = identifier
        return document

    async def _send(
        self, endpoint: Endpoint, document: Mapping[str, Any] | None = None, **segments: str
    ) -> Reply:
        request = self.pipeline.build(endpoint, AS_CLIENT, document, **segments)
        reply = await self.pipeline.send(request, AS_CLIENT, self.turn)
        self.requests += reply.attempts
        self.has_written = True
        return reply

    def _identifier_of(self, channel: Channel) -> str | None:
        """Return the identifier of a channel's integration; the caller's where it is not known."""
        known = self.reader.identifiers.get(channel.integration_id)
        return known or self.target.integration_identifier

    def _parse(self, reply: Reply) -> list[Channel]:
        self.channels = parse_channels(reply.body, self.target.provider_id) or []
        if self.home is not None:
            self.channels = adopt(self.channels, self.home)
        return self.channels

    async def _find_home(self) -> None:
        """Let the elements without an integration count to the one that the API takes for them."""
        if not all(channel.integration_id for channel in self.channels):
            self.home = await self.reader.integration_id(self.target.provider_id, None)
            self.channels = adopt(self.channels, self.home)

    async def _read_channels(self) -> list[Channel]:
        """Read the channels; after a write, where its answer shows none."""
        reply = await self.reader.subscriber(self.target.subscriber_id)
        self.requests += reply.attempts
        return self._parse(reply)

    async def _find(self, reply: Reply, integration_id: str) -> Channel:
        if not self._parse(reply):
            await self._read_channels()
        return self._channel_of(integration_id)

    def _find_single(self) -> Channel | None:
        """Return the only channel there is; None where it may not be the one that was written to.

        Without an identifier and without a list of integrations, it is taken for that.
        """
        if len(self.channels) != 1:
            return None
        (channel,) = self.channels
        found, identifier = channel.integration_id, self.target.integration_identifier
        if identifier is None:
            is_meant = self.reader.newest.get(self.target.provider_id, found) == found != ""
        else:
            is_meant = self.reader.identifiers.get(found) == identifier
        return channel if is_meant else None

    async def _find_written(self, tokens: list[str]) -> Channel:
        """Pick the channel that the API has written to.

        Answers name integrations by id and never by identifier. Where an answer shows several, the
        list of integrations says which of them it was; where that is not to be had, it is one that
        holds the tokens.
        """
        if not self.channels and not await self._read_channels():
            return NO_CHANNEL
        single = self._find_single()
        if single is not None:
            return single
        await self._find_home()
        wanted = set(tokens)
        for is_fresh in (False, True):
            chosen = await self.reader.integration_id(
                self.target.provider_id, self.target.integration_identifier, fresh=is_fresh
            )
            if chosen is None:
                break
            channel = self._channel_of(chosen)
            if channel is not NO_CHANNEL and wanted.issubset(channel.device_tokens):
                return channel
        if chosen is not None:
            return channel
        holding = [c for c in self.channels if wanted.issubset(c.device_tokens)]
        return holding[0] if holding else self.channels[0]
