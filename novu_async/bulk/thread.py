"""A thread of its own for everything that waits for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Thread:
    """Runs calls in one thread, one after another, while the event loop goes on."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="novu-bulk")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and return its result; a call whose caller is cancelled still runs."""
        return await asyncio.wrap_future(self._executor.submit(call, *args, **kwargs))

    def close(self) -> None:
        """Wait for the last call and end the thread."""
        self._executor.shutdown(wait=True)
