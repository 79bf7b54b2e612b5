"""The time, so that tests can bring their own."""

import asyncio
import time
from collections.abc import Callable


class Clock:
    """The machine's clocks and the event loop's timers; all durations are float seconds."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Wait; zero gives the other tasks one turn."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_later(seconds, callback)
