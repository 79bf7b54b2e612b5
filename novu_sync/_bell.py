"""How a thread wakes the loop."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial


class Bell:
    """Any thread rings, and `answer` runs in the loop.

    `call_soon_threadsafe` does the same, and is used where the loop cannot watch a socket (that of
    Windows). It makes a handle, and reads its own bell until there is nothing more to read: a
    blocking call takes 6 % longer with it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        self._loop = loop
        self._answer = answer
        self._inside, self._outside = socket.socketpair()
        for end in (self._inside, self._outside):
            end.setblocking(False)
        self._ring: Callable[[], object] = partial(self._outside.send, b"!")
        try:
            loop.add_reader(self._inside, self._hear)
        except NotImplementedError:
            self._ring = partial(loop.call_soon_threadsafe, answer)

    def ring(self) -> None:
        """Wake the loop, unless it is over."""
        try:
            self._ring()
        except (OSError, RuntimeError):
            return

    def _hear(self) -> None:
        self._inside.recv(4096)
        self._answer()

    def close(self) -> None:
        """Hear nothing more; in the loop."""
        with suppress(NotImplementedError):
            self._loop.remove_reader(self._inside)
        self._inside.close()
        self._outside.close()
