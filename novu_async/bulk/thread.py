"""A thread of its own for everything that waits for a disk."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from novu_async._shielding import finish

P = ParamSpec("P")
T = TypeVar("T")

Tell = Callable[[Any, BaseException | None], None]


class Thread:
    """Runs calls in one thread, one after another, while the event loop goes on.

    A daemon: a read that waits for a terminal or a pipe does not keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Tell] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"novu-bulk-{name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (next_call := self._calls.get()) is not None:
            call, tell = next_call
            try:
                tell(call(), None)
            except BaseException as error:
                tell(None, error)
            del call, tell, next_call

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and return its result; a call whose caller is cancelled still runs."""
        return await self._submit(lambda: call(*args, **kwargs))

    def _submit(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(_settle, answer, result, error)

        self._calls.put((call, tell))
        return answer

    async def close(self, last: Callable[[], Any]) -> None:
        """Run a last call and end the thread, when the calls before are done.

        A caller that is cancelled meanwhile waits for that, too, while the event loop goes on.
        """
        answer = self._submit(last)
        try:
            await finish(answer)
        finally:
            self._calls.put(None)
            self._thread.join()
        answer.result()

    def abandon(self, last: Callable[[], Any]) -> None:
        """End the thread after a last call, without waiting for either."""
        self._calls.put((last, lambda *_: None))
        self._calls.put(None)


def _settle(answer: "asyncio.Future[T]", result: T, error: BaseException | None) -> None:
    if answer.cancelled():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
