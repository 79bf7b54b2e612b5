"""The requests of one verb on one channel, made while holding the subscriber's turn."""

import asyncio
from collections.abc import Mapping
from typing import Any

from attrs import define, evolve, field

from novu_async import _endpoints
from novu_async._channels import Channel, Target, parse_channels
from novu_async._endpoints import Endpoint
from novu_async._ordering import Turn
from novu_async._pipeline import AS_CLIENT, Pipeline
from novu_async._reading import Reader, ask
from novu_async._wire import Reply, Request
from novu_async.errors import CallError, DeviceTokensNotStoredError, NovuError

NO_CHANNEL = Channel("", ())


@define
class ChannelAccess:
    """Reads and writes one channel and counts the requests; each returns the channel it finds."""

    pipeline: Pipeline
    reader: Reader
    target: Target
    turn: Turn | None
    requests: int = 0
    channels: list[Channel] = field(factory=list)
    """All channels of the provider, by the last answer."""

    async def append(self, tokens: list[str]) -> Channel:
        """Add tokens (PATCH)."""
        return await self._write(_endpoints.APPEND, tokens, self.target.integration_identifier)

    async def replace(self, tokens: list[str]) -> Channel:
        """Set the tokens (PUT); an empty list clears them."""
        return await self._write(_endpoints.UPDATE, tokens, self.target.integration_identifier)

    async def read(self, probe: list[str]) -> Channel:
        """Read the channel as it is stored.

        Servers before 2025 answer reads from a cache that may be hours old. There an append of
        `probe`, tokens whose presence does no harm, is what shows the stored channel.
        """
        if self.reader.has_v2 is False and probe:
            return await self.append(probe)
        self.requests += 1
        reply = await self.reader.subscriber(self.target.subscriber_id)
        if self.reader.has_v2 is False and probe:
            return await self.append(probe)
        return await self._find(self._parse(reply) or [])

    async def rebuild(self, chosen: Channel, tokens: list[str]) -> Channel:
        """Make one channel out of several elements for the same integration, with these tokens.

        Only a delete reaches the further elements, and it takes all channels of the provider; so
        these are written anew after it, and nothing is begun where one of them could not be.
        """
        integrations = {str(i.get("_id")): i for i in await self.reader.integrations()}
        lost = [c for c in self.channels if c.integration_id not in integrations]
        if lost and (len(self.channels) > 1 or integrations):
            raise NovuError(
                f"the duplicate channels of {self.target.provider_id!r} cannot be merged without "
                f"losing tokens: integration {lost[0].integration_id} is not active; nothing was "
                "changed"
            )
        contents = {c.integration_id: list(c.device_tokens) for c in self.channels}
        contents[chosen.integration_id] = tokens
        rewritten = [c for c in self.channels if c is not chosen] + [chosen]
        # as one exchange: a caller that is cancelled must not leave the channels deleted
        whole = evolve(self, turn=None)
        task = asyncio.create_task(whole._delete_and_restore(rewritten, contents, integrations))
        self.pipeline.keep(task)
        if self.turn is not None:
            self.turn.exchange = task
        try:
            return await asyncio.shield(task)
        finally:
            self.requests = whole.requests

    async def _delete_and_restore(
        self,
        channels: list[Channel],
        contents: dict[str, list[str]],
        integrations: dict[str, dict[str, Any]],
    ) -> Channel:
        result = NO_CHANNEL
        deleted = False
        try:
            await self._delete_provider()
            deleted = True
            for channel in channels:
                named = integrations.get(channel.integration_id, {}).get("identifier")
                identifier = named or self.target.integration_identifier
                stored = contents[channel.integration_id]
                result = await self._write(_endpoints.UPDATE, stored, identifier, channel.others)
        except BaseException as error:
            if isinstance(error, CallError) and not (deleted or error.may_have_applied):
                raise
            tokens = [token for tokens in contents.values() for token in tokens]
            raise DeviceTokensNotStoredError(
                "merging duplicate channels was interrupted; add these tokens again", tokens
            ) from error
        return result

    async def _delete_provider(self) -> None:
        await self._send(
            self.pipeline.build(
                _endpoints.DELETE,
                AS_CLIENT,
                subscriber_id=self.target.subscriber_id,
                provider_id=self.target.provider_id,
            )
        )

    async def create_subscriber(self) -> None:
        """Create the subscriber (POST); one that exists already is left as it is."""
        document = {"subscriberId": self.target.subscriber_id}
        await self._send(self.pipeline.build(_endpoints.CREATE_SUBSCRIBER, AS_CLIENT, document))

    async def _write(
        self,
        endpoint: Endpoint,
        tokens: list[str],
        identifier: str | None,
        others: Mapping[str, Any] | None = None,
    ) -> Channel:
        document: dict[str, Any] = {
            "providerId": self.target.provider_id,
            "credentials": {**(others or {}), "deviceTokens": tokens},
        }
        if identifier is not None:
            document["integrationIdentifier"] = identifier
        subscriber_id = self.target.subscriber_id
        request = self.pipeline.build(endpoint, AS_CLIENT, document, subscriber_id=subscriber_id)
        channels = await ask(self.pipeline, request, lambda: self._send(request), self._parse)
        return await self._find(channels, after_write=True)

    async def _send(self, request: Request) -> Reply:
        self.requests += 1
        return await self.pipeline.send(request, AS_CLIENT, self.turn)

    def _parse(self, reply: Reply) -> list[Channel] | None:
        return parse_channels(reply.body, self.target.provider_id)

    async def _find(self, channels: list[Channel], *, after_write: bool = False) -> Channel:
        """Pick the channel of the integration that the API takes for this target.

        Answers name integrations by id and never by identifier, so where an answer leaves a doubt
        the list of integrations is read.
        """
        self.channels = channels
        certain = after_write or self.target.integration_identifier is None
        if len(channels) <= 1 and (certain or not channels):
            return channels[0] if channels else NO_CHANNEL
        integration_id = await self.reader.integration_id(
            self.target.provider_id, self.target.integration_identifier
        )
        if integration_id is None:
            return channels[0]
        by_id = {channel.integration_id: channel for channel in channels}
        return by_id.get(integration_id, NO_CHANNEL)
