"""Verbs for device tokens that cannot surprise: nothing is lost, nothing erased by accident.

Every verb holds the subscriber's turn from its first request to its last, checks the answer, and
returns a DeviceTokensResult. See `_group_commit` for how concurrent adds are merged.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal

from attrs import field, frozen

from novu_async import _checks, _group_commit
from novu_async._channel_access import NO_CHANNEL, ChannelAccess
from novu_async._channels import Channel, Target, split_by_size, unite, without
from novu_async._group_commit import Batch, Commit
from novu_async._ordering import Turn
from novu_async._pipeline import Pipeline
from novu_async._reading import Reader
from novu_async._secrets import describe_tokens
from novu_async.errors import (
    CallError,
    ClientClosedError,
    DeviceTokenLimitError,
    DeviceTokensNotStoredError,
    InvalidRequestError,
    NovuError,
    PayloadTooLargeError,
    SubscriberNotFoundError,
    ValidationErrorDto,
    own_copy,
)

__all__ = ["DeviceTokens", "DeviceTokensResult"]

Tokens = list[str]
Change = Literal["stored", "unchanged", "replaced", "removed", "cleared", "rotated", "repaired"]
OnMissing = Literal["raise", "create"]

_MAX_REWRITES = 5
_PAUSE_SECONDS = 0.02
"""Two clients that overwrite each other would do so again, were they to resend at once."""


@frozen(kw_only=True)
class DeviceTokensResult:
    """What a verb found and did.

    - `device_tokens`: what the channel holds now, unique, in the server's order.
    - `change`: "stored" (add: they are there now, whether or not they were before), "unchanged"
      (nothing was written), or what the verb did.
    - `removed`: the tokens that the verb took away, in their former order.
    - `appeared`: tokens of another writer that came in between and were left where they are.
    - `resent`: tokens that another writer had overwritten and that were sent again.
    - `integration_id`: the API's id of the integration; None where the subscriber has no channel.
    - `duplicate_channels`: elements that the API pushes to and writes to no more: further ones for
      the same integration, left by earlier races, and those that `POST /v1/subscribers/bulk` made
      without an integration, which count to the newest; `repair` merges them.
    - `requests`: how many requests it took; adds that travelled together share them, and all calls
      of a client share the list of integrations, which is not counted.
    """

    device_tokens: tuple[str, ...] = field(default=(), repr=describe_tokens)
    change: Change = "unchanged"
    removed: tuple[str, ...] = field(default=(), repr=describe_tokens)
    appeared: tuple[str, ...] = field(default=(), repr=describe_tokens)
    resent: tuple[str, ...] = field(default=(), repr=describe_tokens)
    integration_id: str | None = None
    duplicate_channels: int = 0
    requests: int = 0


@frozen
class _Stored:
    """What the channel holds after the tokens of one add or several were sent, and what failed."""

    result: DeviceTokensResult
    failure: NovuError | None = None


class DeviceTokens:
    """`novu.subscribers.device_tokens`.

    `subscriber_id`, `provider_id` and `integration_identifier` name the channel. Without an
    identifier `add` goes to the provider's newest active integration, as the API chooses, and the
    other verbs to the newest in which the subscriber has a channel; the result's `integration_id`
    says which one that was. Tokens in the channel of an older integration still receive pushes:
    its `integration_identifier` reaches them. `tokens` are one text or several.

    Servers before 2025 read from a cache. Where that is stale, a verb may take a channel for empty,
    and may bring back a token that another process has removed.

    A write of another process that overlaps one of these may undo it after its answer. Where
    several processes write to one subscriber at the same moment, give the client `confirm_after`:
    the verbs then look again after so many seconds, and repair what they find.

    Raises: InvalidRequestError before anything is sent; SubscriberNotFoundError,
    IntegrationNotFoundError and the rest of `novu_async.errors`; DeviceTokensNotStoredError where
    other writers kept overwriting.
    """

    def __init__(self, pipeline: Pipeline, reader: Reader) -> None:
        self._pipeline = pipeline
        self._reader = reader

    async def add(
        self,
        subscriber_id: str,
        provider_id: str,
        tokens: str | Iterable[str],
        *,
        integration_identifier: str | None = None,
        on_missing_subscriber: OnMissing = "raise",
        max_resends: int = 5,
    ) -> DeviceTokensResult:
        """Add tokens to a channel and see to it that they are stored.

        Adds that wait for the same channel are sent as one request. The answer is checked: tokens
        that another process has overwritten are sent again, at most `max_resends` times. Long lists
        are split. With `on_missing_subscriber="create"` an unknown subscriber is created.

        A 100-token limit of newer servers raises DeviceTokenLimitError, and nothing of this call is
        stored. Where only a later part of a long list fails, DeviceTokensNotStoredError names the
        tokens that are not stored, and the error of that part is its `__cause__`.
        """
        target = _make_target(subscriber_id, provider_id, integration_identifier)
        given = _check_tokens(tokens)
        if on_missing_subscriber not in ("raise", "create"):
            raise InvalidRequestError("on_missing_subscriber must be 'raise' or 'create'")
        creates = on_missing_subscriber == "create"
        if creates:
            _checks.check_new_subscriber_id(subscriber_id)
        if not isinstance(max_resends, int) or max_resends < 0:
            raise InvalidRequestError("max_resends must be a whole number", "max_resends")

        commit = partial(self._store, target, creates, max_resends)
        self._pipeline.check_usable()
        ordering, line = self._pipeline.ordering, self._pipeline.line_of(target.subscriber_id)
        if ordering.is_free(line):
            async with Turn(ordering, line) as turn:
                return _share(await commit(given, turn), given)
        return await self._join_batch(line, (target, creates, max_resends), given, commit)

    async def replace(
        self,
        subscriber_id: str,
        provider_id: str,
        tokens: str | Iterable[str],
        *,
        integration_identifier: str | None = None,
    ) -> DeviceTokensResult:
        """Make these the tokens of the channel; at least one, `clear` erases them all.

        Nothing is written where they are the tokens already, in this order.
        """
        given = _check_tokens(tokens)
        target = _make_target(subscriber_id, provider_id, integration_identifier)
        return await self._rewrite(target, "replaced", lambda _: given, leaving=())

    async def remove(
        self,
        subscriber_id: str,
        provider_id: str,
        tokens: str | Iterable[str],
        *,
        integration_identifier: str | None = None,
    ) -> DeviceTokensResult:
        """Remove tokens from the channel; those it does not have count as removed already.

        So does every token where there is no channel; but an identifier that no active integration
        has, and an unknown provider without one, raise IntegrationNotFoundError here and in the
        other verbs, unless the list of integrations cannot be read.
        """
        given = _check_tokens(tokens)
        target = _make_target(subscriber_id, provider_id, integration_identifier)
        return await self._rewrite(
            target, "removed", lambda stored: without(stored, given), leaving=given
        )

    async def rotate(
        self,
        subscriber_id: str,
        provider_id: str,
        old: str,
        new: str,
        *,
        integration_identifier: str | None = None,
    ) -> DeviceTokensResult:
        """Put a new token in the place of an old one, in one write.

        The new one is added where the old one is not there, and moved where it is there already.
        """
        gone, come = _checks.check_text(old, "old"), _checks.check_text(new, "new")
        target = _make_target(subscriber_id, provider_id, integration_identifier)

        def exchange(stored: Tokens) -> Tokens:
            if gone not in stored:
                return unite(stored, [come])
            return unite(come if token == gone else token for token in stored)

        return await self._rewrite(target, "rotated", exchange, leaving=[gone])

    async def clear(
        self,
        subscriber_id: str,
        provider_id: str,
        *,
        integration_identifier: str | None = None,
    ) -> DeviceTokensResult:
        """Erase the tokens of the channel; `removed` says which. The channel itself stays.

        On servers before 2025, whose reads may be stale, a channel that is not there is made.
        """
        target = _make_target(subscriber_id, provider_id, integration_identifier)
        return await self._rewrite(target, "cleared", lambda _: [], leaving=())

    async def list(
        self,
        subscriber_id: str,
        provider_id: str,
        *,
        integration_identifier: str | None = None,
    ) -> DeviceTokensResult:
        """Read the tokens of the channel, after the writes that this client has begun."""
        target = _make_target(subscriber_id, provider_id, integration_identifier)
        async with self._open(target) as access:
            return _result(await access.read(), access)

    async def repair(
        self,
        subscriber_id: str,
        provider_id: str,
        *,
        integration_identifier: str | None = None,
    ) -> DeviceTokensResult:
        """Merge the duplicate channels that concurrent first writes and bulk writes have left.

        No token is lost. The API can only delete all channels of a provider, so those of its other
        integrations are written again as well. Nothing is changed where there are no duplicates.
        """
        target = _make_target(subscriber_id, provider_id, integration_identifier)
        return await self._rewrite(target, "repaired", lambda stored: stored, leaving=())

    async def _join_batch(
        self, line: Hashable, group: Hashable, given: Tokens, commit: Commit[_Stored]
    ) -> DeviceTokensResult:
        turn = _group_commit.find_open(self._pipeline.ordering, line, group)
        if turn is None:
            batch = Batch[DeviceTokensResult](group)
            turn = Turn(self._pipeline.ordering, line, batch)
            running = _group_commit.run(turn, commit, _share, _may_be_one_members_fault)
            task = asyncio.get_running_loop().create_task(running)
            task.add_done_callback(partial(_end_batch, batch, turn))
            self._pipeline.keep(task)
        result: DeviceTokensResult = await turn.label.join(given, turn)
        return result

    async def _store(
        self, target: Target, creates: bool, max_resends: int, tokens: Tokens, turn: Turn
    ) -> _Stored:
        access = ChannelAccess(self._pipeline, self._reader, target, turn)
        append = partial(self._create_and_append, access) if creates else access.append
        resent: Tokens = []
        missing, channel = tokens, NO_CHANNEL
        for resend in range(max_resends + 1):
            try:
                for part in split_by_size(missing):
                    channel = await append(part)
            except NovuError as error:
                if isinstance(error, CallError):
                    access.count_in(error)
                return _Stored(_result(channel, access, "stored"), error)
            missing = without(tokens, channel.device_tokens)
            if not missing and self._pipeline.settings.confirm_after is not None:
                with access.telling():
                    channel = await self._confirm(access, channel)
                missing = without(tokens, channel.device_tokens)
            if not missing:
                break
            if resend < max_resends:
                resent = unite(resent, missing)
                await self._pause()
        return _Stored(_result(channel, access, "stored", resent=tuple(resent)))

    async def _create_and_append(self, access: ChannelAccess, part: Tokens) -> Channel:
        """Append; create the subscriber where the API does not know it."""
        try:
            return await access.append(part)
        except SubscriberNotFoundError as error:
            access.pass_over(error)
            await access.create_subscriber(part)
            # changes nothing where they are stored, and shows it
            return await access.append(part)

    async def _rewrite(
        self,
        target: Target,
        change: Change,
        make: Callable[[Tokens], Tokens],
        leaving: Collection[str],
    ) -> DeviceTokensResult:
        """Read, compare, write and check; `make` turns the stored tokens into the wanted ones."""
        async with self._open(target) as access:
            found = await access.read_certain(leaving)
            before = list(found.device_tokens)
            wanted = make(before)
            # a cached read that shows nothing to clear may be wrong
            must_write = change == "cleared" and self._reader.has_v2 is False
            must_merge = change == "repaired" and found.duplicates
            if wanted == before and not (must_write or must_merge):
                return _result(found, access)
            if found.duplicates:
                after = await access.rebuild(found, wanted)
            else:
                after = await access.replace(found, wanted)
            known = unite(before, wanted)
            for _ in range(_MAX_REWRITES):
                if not _is_undone(before, wanted, after.device_tokens):
                    after = await self._confirm(access, after)
                if not _is_undone(before, wanted, after.device_tokens):
                    break
                await self._pause()
                if after is not NO_CHANNEL:  # which says nothing of the tokens
                    stored = list(after.device_tokens)
                    wanted = unite(make(stored), without(stored, known))
                after = await access.replace(found, wanted)
            if _is_undone(before, wanted, after.device_tokens):
                raise DeviceTokensNotStoredError(
                    f"{change} {access.requests} times, and another writer undid it each time",
                    without(wanted, after.device_tokens),
                    requests=access.requests,
                )
            return _result(
                after,
                access,
                change,
                removed=tuple(without(before, wanted)),
                appeared=tuple(without(after.device_tokens, known)),
            )

    @asynccontextmanager
    async def _open(self, target: Target) -> AsyncIterator[ChannelAccess]:
        """Hold the subscriber's turn; an error tells of all requests of the verb."""
        async with self._pipeline.turn(target.subscriber_id) as turn:
            access = ChannelAccess(self._pipeline, self._reader, target, turn)
            with access.telling():
                yield access

    async def _confirm(self, access: ChannelAccess, channel: Channel) -> Channel:
        """Look again after `confirm_after` seconds, where the client is set up to."""
        seconds = self._pipeline.settings.confirm_after
        if seconds is None:
            return channel
        await self._pipeline.pause(seconds)
        return await access.read_certain(())

    async def _pause(self) -> None:
        await self._pipeline.clock.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311


def _end_batch(batch: Batch[DeviceTokensResult], turn: Turn, _: object) -> None:
    """Leave nobody waiting for a batch whose task was cancelled, even before its first step."""
    batch.fail(ClientClosedError("the client was closed"))
    turn.abandon()


def _make_target(subscriber_id: str, provider_id: str, identifier: str | None) -> Target:
    return Target(
        _checks.check_subscriber_id(subscriber_id),
        _checks.check_provider_id(provider_id),
        _checks.check_integration_identifier(identifier),
    )


def _check_tokens(tokens: str | Iterable[str]) -> Tokens:
    given = [tokens] if isinstance(tokens, str) else tokens
    checked = _checks.check_device_tokens(given, "tokens")
    if not checked:
        raise InvalidRequestError("tokens must not be empty", "tokens")
    return checked


def _result(
    channel: Channel,
    access: ChannelAccess,
    change: Change = "unchanged",
    **others: tuple[str, ...],
) -> DeviceTokensResult:
    return DeviceTokensResult(
        device_tokens=channel.device_tokens,
        change=change,
        integration_id=channel.integration_id or None,
        duplicate_channels=channel.duplicates,
        requests=access.requests,
        **others,
    )


def _share(stored: _Stored, own: Tokens) -> DeviceTokensResult:
    """Return the result for some of the tokens that were sent together, or raise their error."""
    result, failure = stored.result, stored.failure
    missing = without(own, result.device_tokens)
    if not missing:
        return result
    if failure is not None and len(missing) == len(own):
        raise own_copy(failure)
    why = "another writer kept overwriting the channel" if failure is None else failure.message
    raise DeviceTokensNotStoredError(
        f"{len(missing)} of {len(own)} device tokens are not stored after {result.requests} "
        f"requests: {why}",
        missing,
        requests=result.requests,
    ) from failure


def _may_be_one_members_fault(stored: _Stored) -> bool:
    return isinstance(
        stored.failure,
        DeviceTokenLimitError | InvalidRequestError | PayloadTooLargeError | ValidationErrorDto,
    )


def _is_undone(before: Tokens, wanted: Tokens, after: Iterable[str]) -> bool:
    """Tell whether a wanted token is missing after a write, or a removed one is back."""
    now = set(after)
    return not now.issuperset(wanted) or not now.isdisjoint(without(before, wanted))
