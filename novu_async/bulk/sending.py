"""Making writes: which call each is, and what its answer says of each row."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from novu_async._secrets import describe_tokens
from novu_async.bulk.plan import Write
from novu_async.bulk.reasons import NOT_READ_BACK, STILL_READ_BACK, Failure, explain, is_silence
from novu_async.bulk.records import Operation
from novu_async.device_tokens import DeviceTokensResult
from novu_async.errors import (
    DeviceTokensNotStoredError,
    IntegrationNotFoundError,
    NovuError,
    SubscriberNotFoundError,
)
from novu_async.models import ChannelCredentials, ChannelSettingsDto


@frozen
class Result:
    """What became of one write.

    - `failure`: why all of it failed, where it did; `missing`: the tokens that failed alone.
    """

    failure: Failure | None = None
    missing: Mapping[str, Failure] = field(
        factory=dict, repr=lambda missing: describe_tokens(list(missing))
    )


_ALL_WELL = [Result()]


@frozen
class Sender:
    """Makes writes with the client's own calls, which retry, pace and order them.

    - `subscribers`: `novu.subscribers`.
    - `on_missing_subscriber`: "raise" or "create", for append.
    """

    subscribers: Any
    operation: Operation
    on_missing_subscriber: str = "raise"

    async def send(self, writes: Sequence[Write]) -> list[Result]:
        """Make one write; raise NovuError where all of it failed."""
        (write,) = writes
        if self.operation == "delete":
            await self.subscribers.credentials.delete(write.subscriber_id, write.provider_id)
        elif write.webhook_url is not None:
            await self._webhook(write)
        else:
            try:
                await self._token_verb(write)
            except DeviceTokensNotStoredError as error:
                return [self._partly(write, error)]
        return _ALL_WELL

    async def _webhook(self, write: Write) -> None:
        update = self.subscribers.credentials.update
        try:
            await update(write.subscriber_id, _make_request(write))
        except SubscriberNotFoundError:
            if self.on_missing_subscriber != "create":
                raise
            await self.subscribers.create(write.subscriber_id)
            await update(write.subscriber_id, _make_request(write))

    def _token_verb(self, write: Write) -> Awaitable[DeviceTokensResult]:
        tokens = self.subscribers.device_tokens
        where = (write.subscriber_id, write.provider_id, write.tokens)
        identifier = write.integration_identifier
        verb: Awaitable[DeviceTokensResult]
        if self.operation == "replace":
            verb = tokens.replace(*where, integration_identifier=identifier)
        elif self.operation == "remove":
            verb = tokens.remove(*where, integration_identifier=identifier)
        else:
            verb = tokens.add(
                *where,
                integration_identifier=identifier,
                on_missing_subscriber=self.on_missing_subscriber,
            )
        return verb

    def _partly(self, write: Write, error: DeviceTokensNotStoredError) -> Result:
        """Fail the tokens that are missing; of a replace all, for it is one whole."""
        if self.operation != "append" or not error.device_tokens:
            raise error
        cause = error.__cause__ if isinstance(error.__cause__, NovuError) else error
        if is_silence(cause):
            raise cause
        failure = explain(cause, write.integration_identifier)
        return Result(missing=dict.fromkeys(error.device_tokens, failure))

    async def verify(self, writes: Sequence[Write]) -> list[Result]:
        """Read a subscriber back, and say of each of its writes what is not as it was to be."""
        results: list[Result] = []
        channels: Iterable[ChannelSettingsDto] | None = None
        for write in writes:
            if write.tokens and write.integration_identifier is not None:
                results.append(await self._verify_alone(write))
                continue
            if channels is None:
                channels = await self._read_channels(write.subscriber_id)
            own = [one.credentials for one in channels if one.provider_id == write.provider_id]
            if self.operation == "remove" and write.tokens and len(own) > 1:
                results.append(await self._verify_alone(write))
            else:
                results.append(self._check(write, own))
        return results

    async def _verify_alone(self, write: Write) -> Result:
        """Read the one channel that the write was for, of several that the provider may have."""
        try:
            stored = await self.subscribers.device_tokens.list(
                write.subscriber_id,
                write.provider_id,
                integration_identifier=write.integration_identifier,
            )
        except SubscriberNotFoundError:
            return self._compare(write, ())
        except IntegrationNotFoundError as error:
            return Result(explain(error, write.integration_identifier))
        return self._compare(write, stored.device_tokens)

    async def _read_channels(self, subscriber_id: str) -> list[ChannelSettingsDto]:
        try:
            subscriber = await self.subscribers.retrieve(subscriber_id)
        except SubscriberNotFoundError:
            return []
        return [one for one in subscriber.channels if isinstance(one, ChannelSettingsDto)]

    def _check(self, write: Write, own: Sequence[Any]) -> Result:
        if self.operation == "delete":
            return Result(Failure(STILL_READ_BACK, retryable=True) if own else None)
        if write.webhook_url is None:
            return self._compare(write, (t for one in own for t in _tokens_of(one)))
        wanted = (write.webhook_url, write.channel)
        found = any(
            wanted == (one.webhook_url, write.channel and one.channel)
            for one in own
            if isinstance(one, ChannelCredentials)
        )
        return Result(None if found else Failure(NOT_READ_BACK, retryable=True))

    def _compare(self, write: Write, stored: Iterable[str]) -> Result:
        held = set(stored)
        if self.operation == "remove":
            failure = Failure(STILL_READ_BACK, retryable=True)
            wrong = [token for token in write.tokens if token in held]
        else:
            failure = Failure(NOT_READ_BACK, retryable=True)
            wrong = [token for token in write.tokens if token not in held]
        return Result(missing=dict.fromkeys(wrong, failure))


def _tokens_of(credentials: Any) -> list[str]:
    tokens = getattr(credentials, "device_tokens", None)
    return [t for t in tokens if isinstance(t, str)] if isinstance(tokens, list) else []


def _make_request(write: Write) -> dict[str, Any]:
    credentials = {"webhook_url": write.webhook_url}
    if write.channel is not None:
        credentials["channel"] = write.channel
    request: dict[str, Any] = {"provider_id": write.provider_id, "credentials": credentials}
    if write.integration_identifier is not None:
        request["integration_identifier"] = write.integration_identifier
    return request
