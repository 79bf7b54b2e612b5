"""How a thread wakes the loop."""

import asyncio
import os
from collections.abc import Callable
from functools import partial


class Bell:
    """Any thread rings, and `answer` runs in the loop.

    `call_soon_threadsafe` does the same, and is used where there is no eventfd(2). It makes a
    handle, and writes to and reads from a socket: a blocking call takes a tenth longer with it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        self._loop = loop
        self._answer = answer
        self._count: int | None = None
        self._ring: Callable[[], object] = partial(loop.call_soon_threadsafe, answer)
        if hasattr(os, "eventfd"):
            self._count = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._ring = partial(os.eventfd_write, self._count, 1)
            loop.add_reader(self._count, self._hear, self._count)

    def ring(self) -> None:
        """Wake the loop, unless it is over."""
        try:
            self._ring()
        except RuntimeError:
            return

    def _hear(self, count: int) -> None:
        os.eventfd_read(count)
        self._answer()

    def close(self) -> None:
        """Hear nothing more; in the loop."""
        if self._count is not None:
            self._loop.remove_reader(self._count)
        self._answer = _nobody  # no circle, so that the descriptor is closed soon

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # not before: a thread that still rings would write to whatever has the number by then;
        # and `os` may be gone at interpreter exit
        if self._count is not None:
            close(self._count)


def _nobody() -> None:
    """Answer no more."""
