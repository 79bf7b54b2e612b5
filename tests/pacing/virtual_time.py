"""An event loop whose time is a number: thirty seconds of pacing take no time at all."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from novu_async._clock import Clock

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = _Selector()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now


class VirtualClock(Clock):
    """The time of the running virtual loop."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    wall = monotonic


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, as asyncio.run does, without waiting for anything."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
