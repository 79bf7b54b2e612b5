"""One call on its way: a coroutine in the loop, and the thread that waits for it.

The loop's side and the thread's side of a call share a queue, the inbox of the waiting thread. The
loop puts errands into it (functions which that thread is to run) and, after the last, None.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing, suppress
from contextvars import copy_context
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

from novu_async.errors import ClientClosedError, NovuError

R = TypeVar("R")
T = TypeVar("T")

_BATCH = 1000
"""How many items of a stream cross at once at most."""


class Call(Generic[R]):
    """A coroutine that runs in the loop, in the context of the thread that waits for it."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.task: asyncio.Task[None] | None = None
        self.done = False
        self._start = start
        self._context = copy_context()
        self._inbox: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._running: set[Call[Any]] = set()
        self._value: tuple[R] | None = None
        self._error: BaseException | None = None
        self._begun = False
        self._cancelled = False
        self._forsaken = False

    # In the loop.

    def begin(self, running: set["Call[Any]"]) -> None:
        """Start the coroutine; the call is in `running` for as long as it runs."""
        self._running = running
        running.add(self)
        self.task = self.loop.create_task(self._run(), context=self._context)

    async def _run(self) -> None:
        self._begun = True
        try:
            self._value = (await self._start(),)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._error = error
        finally:
            self._end()  # a callback of the task would cost the loop another round

    def cancel(self, *, forsake: bool = False) -> None:
        """Cancel the coroutine, or see to it that it is never waited for.

        With `forsake` the thread goes on waiting: at interpreter exit it would be stopped anyway.
        """
        self._cancelled = True
        self._forsaken |= forsake
        if self.task is not None:
            self.task.cancel()
        if not self._begun and not self.done:
            self._end()

    def _end(self) -> None:
        self._running.discard(self)
        self.done = True
        if not self._forsaken:
            self._inbox.put(None)

    def nudge(self) -> None:
        """Let the waiting thread handle signals, of which one may have come just before it waited.

        It waits without a timeout: a timer for each call costs a tenth of it.
        """
        if self._inbox.empty() and not self._cancelled:
            self._inbox.put(_do_nothing)

    async def ask(self, errand: Callable[[], T]) -> T:
        """Have the waiting thread run `errand`, and return or raise what came of it."""
        reply: asyncio.Future[T] = self.loop.create_future()
        self._inbox.put(partial(self._answer, errand, reply, os.getpid()))
        return await reply

    # In the waiting thread.

    def _answer(self, errand: Callable[[], T], reply: "asyncio.Future[T]", pid: int) -> None:
        try:
            settle = partial(reply.set_result, errand())
        except (StopIteration, StopAsyncIteration) as error:
            # the one fits in no future, and the other would end the records without a word
            raised = RuntimeError(f"the records raised {type(error).__name__}")
            raised.__cause__ = error
            settle = partial(reply.set_exception, raised)
        except Exception as error:
            settle = partial(reply.set_exception, error)
        if pid != os.getpid():  # the errand forked, and this is the child
            raise RuntimeError("this call was begun in another process")
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self.loop.call_soon_threadsafe(lambda: None if reply.done() else settle())

    def wait(self) -> R:
        """Run errands until the coroutine is over; return its result or raise its exception."""
        while (errand := self._inbox.get()) is not None:
            errand()
        return self._result()

    def wait_for_end(self, seconds: float) -> None:
        """Wait for the coroutine to be over, without running errands; give up after `seconds`."""
        with suppress(Empty):
            while self._inbox.get(timeout=seconds) is not None:
                pass

    def _result(self) -> R:
        self.task = None
        if self._value is not None:
            return self._value[0]
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        if self._cancelled:
            raise ClientClosedError("the client was closed while this call was under way")
        raise NovuError("the call was cancelled from inside the client's event loop")


def _do_nothing() -> None:
    pass


class Stream(Call[None], Generic[T]):
    """A call whose coroutine makes items, which the waiting thread takes some at a time.

    One task advances the asynchronous iterator from beginning to end, as cancel scopes inside it
    demand, and rests while `_BATCH` items wait to be taken.
    """

    def __init__(self, start: Callable[[], AsyncIterator[T]]) -> None:
        super().__init__(self._pump)
        self._items = start
        self._made: list[T] = []
        self._taken: list[T] = []
        self._wanted = False
        self._room = asyncio.Event()

    async def _pump(self) -> None:
        async with aclosing(cast("Any", self._items())) as items:
            async for item in items:
                self._made.append(item)
                if self._wanted:
                    self._hand_over()
                elif len(self._made) >= _BATCH:
                    self._room.clear()
                    await self._room.wait()

    def _want(self) -> None:
        self._wanted = True
        if self._made and not self.done:
            self._hand_over()

    def _hand_over(self) -> None:
        made, self._made = self._made, []
        self._wanted = False
        self._room.set()
        self._inbox.put(partial(self._taken.extend, made))

    def take(self) -> list[T]:
        """Wait for items, which arrive in order; an empty list says that there are no more."""
        self._taken.clear()
        with suppress(RuntimeError):  # the loop is closed, and None waits in the inbox
            self.loop.call_soon_threadsafe(self._want)
        while not self._taken:
            errand = self._inbox.get()
            if errand is None:
                return self._take_last()
            errand()
        return self._taken

    def _take_last(self) -> list[T]:
        if self._made:
            self._inbox.put(None)
            made, self._made = self._made, []
            return made
        self._result()
        return []


class Feed(AsyncIterator[T]):
    """An iterable of the caller, read in the caller's thread, some items at once.

    So a generator may block, and a database cursor stays in the thread to which it belongs. With
    `at_once=1` an item is passed on before the next one is waited for.
    """

    def __init__(self, items: Iterable[T], at_once: int) -> None:
        self.call: Call[Any]
        self._source = items
        self._at_once = at_once
        self._iterator: Iterator[T] | None = None
        self._batch: deque[T] = deque()

    async def __anext__(self) -> T:
        if not self._batch:
            self._batch = await self.call.ask(self._fetch)
        if not self._batch:
            raise StopAsyncIteration
        return self._batch.popleft()

    def _fetch(self) -> deque[T]:
        if self._iterator is None:
            self._iterator = iter(self._source)
        return deque(islice(self._iterator, self._at_once))
