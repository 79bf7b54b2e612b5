"""A way to cancel a coroutine exactly where it suspends for the n-th time."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Interrupted(Generic[T]):
    """Awaits a coroutine and cancels its task at the n-th suspension, or one turn later.

    - `cancelled`: whether it came so far; `swallowed`: it went on to its end in spite of it.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, *, late: bool) -> None:
        self._coroutine = coroutine
        self._at = at
        self._late = late
        self._seen = 0
        self.cancelled = False
        self.swallowed = False

    async def run(self) -> T | None:
        """Await it in a task of its own; None where it was cancelled."""
        self._task = asyncio.create_task(self._step_through())
        try:
            result = await self._task
        except asyncio.CancelledError:
            return None
        self.swallowed = self.cancelled
        return result

    async def _step_through(self) -> T:
        return await self

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        try:
            waits_for = next(steps)
            while True:
                self._interrupt()
                try:
                    value = yield waits_for
                except BaseException as error:
                    waits_for = steps.throw(error)
                else:
                    waits_for = steps.send(value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _interrupt(self) -> None:
        self._seen += 1
        if self._seen != self._at:
            return
        if self._late:
            asyncio.get_running_loop().call_soon(self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self.cancelled = self._task.cancel()
