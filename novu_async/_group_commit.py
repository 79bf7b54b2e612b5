"""Adds that wait for the same channel travel in one request.

While a write for a subscriber is under way, the adds that arrive for one of its channels form a
batch; when its turn comes the batch is sent as one. An add never joins a batch that another verb
has queued up behind, so the order of calls is kept.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from attrs import define, field

from novu_async._ordering import Ordering, Turn
from novu_async.errors import NovuError

R = TypeVar("R")

Commit = Callable[[list[str], Turn], Awaitable[R]]
"""Stores tokens while holding a turn."""

Share = Callable[[R, list[str]], R]
"""Makes one member's result out of the batch's, or raises that member's own error."""


@define(eq=False)
class _Member(Generic[R]):
    tokens: list[str]
    done: asyncio.Future[R]


@define(eq=False)
class Batch(Generic[R]):
    """Adds for one target that wait for the same turn."""

    target: Hashable
    members: list[_Member[R]] = field(factory=list)

    async def join(self, tokens: list[str], turn: Turn) -> R:
        """Let another add travel with this batch; wait for what became of it."""
        member: _Member[R] = _Member(tokens, asyncio.get_running_loop().create_future())
        self.members.append(member)
        try:
            return await member.done
        finally:
            waiting = turn.waiter is not None and not turn.waiter.done()
            if waiting and all(other.done.cancelled() for other in self.members):
                turn.abandon()

    def fail(self, error: Exception) -> None:
        """Answer everybody who has no answer yet."""
        for member in self.members:
            if not member.done.done():
                # one instance in many tasks would collect the tracebacks of all of them
                member.done.set_exception(copy.copy(error))


def find_open(ordering: Ordering, line: Hashable, target: Hashable) -> Turn | None:
    """Return the turn of the batch that an add may join without overtaking another verb."""
    for turn in reversed(ordering.waiting(line)):
        if turn.waiter is None or turn.waiter.done():
            continue
        if not isinstance(turn.label, Batch):
            return None
        if turn.label.target == target:
            return turn
    return None


async def run(
    turn: Turn, commit: Commit[R], share: Share[R], must_split: Callable[[NovuError], bool]
) -> None:
    """Wait for the turn of a batch, store the tokens of all its members, and answer each.

    Where `must_split` says that the tokens of one member may have failed the others, those of each
    are stored by themselves.
    """
    batch: Batch[R] = turn.label
    try:
        async with turn:
            members = [member for member in batch.members if not member.done.done()]
            tokens = list(dict.fromkeys(token for member in members for token in member.tokens))
            if not members:
                return
            try:
                result = await commit(tokens, turn)
            except NovuError as error:
                if len(members) == 1 or not must_split(error):
                    raise
                for member in members:
                    await _store_alone(member, turn, commit, share)
            else:
                for member in members:
                    _settle(member, result, share)
    except Exception as error:  # whatever it is belongs to those who wait, not to this task
        batch.fail(error)


async def _store_alone(member: _Member[R], turn: Turn, commit: Commit[R], share: Share[R]) -> None:
    try:
        result = await commit(member.tokens, turn)
    except NovuError as error:
        if not member.done.done():
            member.done.set_exception(error)
    else:
        _settle(member, result, share)


def _settle(member: _Member[R], result: R, share: Share[R]) -> None:
    if member.done.done():
        return
    try:
        member.done.set_result(share(result, member.tokens))
    except NovuError as error:
        member.done.set_exception(error)
