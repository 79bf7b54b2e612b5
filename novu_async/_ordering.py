"""At most one write in flight for each subscriber, first come, first served.

The server reads a subscriber, merges in memory and overwrites: of two writes at the same time one
is lost, although both are answered with 200. Writes for different subscribers never wait for each
other, and a subscriber that nobody writes to takes no memory.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Self


class Turn:
    """A place in one subscriber's line; `async with turn` waits for it and leaves it at the end.

    The place is taken when the turn is made, so writes happen in the order of their calls. It is
    left only when the last request has ended (`exchange`), or a `whole` verb that nobody may cut
    off, also where its caller was cancelled; and when the server has had time to end what nobody
    waits for any more (`aftermath`): the next write would race with it.
    """

    def __init__(self, ordering: "Ordering", key: Hashable, label: Any = None) -> None:
        self._ordering = ordering
        self._key = key
        self.label = label
        self.exchange: asyncio.Task[Any] | None = None
        self.aftermath: asyncio.Task[Any] | None = None
        self.quiet_at = float("-inf")  # when it ends, by the clock that it waits on
        self.whole: asyncio.Task[Any] | None = None
        self.waiter: asyncio.Future[None] | None = None
        self._left = False
        ordering._join(key, self)

    async def __aenter__(self) -> Self:
        if self.waiter is not None:
            try:
                await self.waiter
            except asyncio.CancelledError:
                self.abandon()
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left = True
        exchange = self.exchange
        if self.aftermath is None and self.whole is None and (exchange is None or exchange.done()):
            self._ordering._next(self._key)
        else:
            self._leave_late()

    def _leave_late(self, over: asyncio.Task[Any] | None = None) -> None:
        """Let the next one begin when nothing is under way any more."""
        abandoned = self._ordering.abandoned
        if over is not None:
            abandoned.discard(over)
        for task in (self.whole, self.exchange, self.aftermath):
            if task is not None and not task.done():
                abandoned.add(task)
                task.add_done_callback(self._leave_late)
                return
        self._ordering._next(self._key)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call when its request has ended, which may go on though its caller was cancelled."""
        if self.exchange is None or self.exchange.done():
            callback()
        else:
            self.exchange.add_done_callback(lambda _: callback())

    def abandon(self) -> None:
        """Give up the place, unless it was left already."""
        if not self._left:
            self._left = True
            self._ordering._leave(self._key, self)


class Ordering:
    """The lines of all subscribers of one client."""

    def __init__(self) -> None:
        # a key is here while its subscriber is being written to; the line holds who waits
        self._lines: dict[Hashable, deque[Turn] | None] = {}
        self.abandoned: set[asyncio.Task[Any]] = set()
        """Requests under way whose callers were cancelled, and waits for what they left behind."""

    def __len__(self) -> int:
        return len(self._lines)

    def is_free(self, key: Hashable) -> bool:
        """Tell whether a turn for this subscriber would begin at once."""
        return key not in self._lines

    def waiting(self, key: Hashable) -> deque[Turn]:
        """Return who waits for this subscriber, the next one first."""
        return self._lines.get(key) or deque()

    def _join(self, key: Hashable, turn: Turn) -> None:
        if key not in self._lines:
            self._lines[key] = None
            return
        turn.waiter = asyncio.get_running_loop().create_future()
        line = self._lines[key]
        if line is None:
            line = self._lines[key] = deque()
        line.append(turn)

    def _leave(self, key: Hashable, turn: Turn) -> None:
        waiter = turn.waiter
        if waiter is None or (waiter.done() and not waiter.cancelled()):
            # its turn had come just before it was given up
            self._next(key)
        else:
            waiter.cancel()  # `_next` passes over it

    def _next(self, key: Hashable) -> None:
        line = self._lines[key]
        while line:
            waiter = line.popleft().waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
                return
        del self._lines[key]
