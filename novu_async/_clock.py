"""The time, so that tests can bring their own."""

import asyncio
import time


class Clock:
    """The machine's clocks and asyncio's sleep; all durations are float seconds."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Wait; zero gives the other tasks one turn."""
        await asyncio.sleep(seconds)
