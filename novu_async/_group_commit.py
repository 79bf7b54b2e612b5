"""Adds that wait for the same channel travel in one request.

While a write for a subscriber is under way, the adds that arrive for one of its channels form a
batch; when its turn comes the batch is sent as one. An add never joins a batch that another verb
has queued up behind, so the order of calls is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from attrs import define, field

from novu_async._ordering import Ordering, Turn
from novu_async.errors import NovuError, own_copy

R = TypeVar("R")
S = TypeVar("S")

Commit = Callable[[list[str], Turn], Awaitable[S]]
"""Stores tokens while holding a turn; returns what became of them."""

Share = Callable[[S, list[str]], R]
"""Makes one member's result of what became of the batch, or raises that member's own error."""


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

    def fail(self, error: BaseException) -> None:
        """Answer everybody who has no answer yet."""
        for member in self.members:
            if not member.done.done():
                member.done.set_exception(own_copy(error))


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
    turn: Turn, commit: Commit[S], share: Share[S, R], must_split: Callable[[S], bool]
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
            stored = await commit(tokens, turn)
            alone = len(members) > 1 and must_split(stored)
            for member in members:
                own = await commit(member.tokens, turn) if alone else stored
                _settle(member, own, share)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        batch.fail(error)  # whatever it is belongs to those who wait, not to this task


def _settle(member: _Member[R], stored: S, share: Share[S, R]) -> None:
    if member.done.done():
        return
    try:
        member.done.set_result(share(stored, member.tokens))
    except NovuError as error:
        member.done.set_exception(error)
