"""A thread of its own for everything that waits for a disk."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Thread:
    """Runs calls in one thread, one after another, while the event loop goes on.

    A daemon: a read that waits for a terminal or a pipe does not keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"novu-bulk-{name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (next_call := self._calls.get()) is not None:
            future, call = next_call
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
            del future, call, next_call

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and return its result; a call whose caller is cancelled still runs."""
        future: Future[T] = Future()
        self._calls.put((future, lambda: call(*args, **kwargs)))
        return await asyncio.shield(asyncio.wrap_future(future))

    async def close(self, last: Callable[[], Any] | None = None) -> None:
        """Run a last call and end the thread, when the calls before are done."""
        try:
            if last is not None:
                await self.run(last)
        finally:
            self._calls.put(None)
            self._thread.join()

    def abandon(self, last: Callable[[], Any]) -> None:
        """End the thread after a last call, without waiting for either."""
        self._calls.put((Future(), last))
        self._calls.put(None)
