"""An asynchronous client of a few lines, for tests of the bridge alone."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel

from novu_sync._blocking import Resource, blocking, blocking_iterator
from novu_sync._bridge import Bridge
from novu_sync._calls import Feed

request_id: ContextVar[str] = ContextVar("request_id", default="none")


class Core:
    """Remembers what happened to it; `closed` counts the calls of `aclose`."""

    def __init__(self) -> None:
        self.closed = 0
        self.cancelled = 0
        self.made = 0
        self.stream_closed = threading.Event()
        self.under_way = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1

    async def echo(self, value: str, /, times: int = 1, *, suffix: str = "") -> str:
        """Repeat a text.

        `times` may be 0.
        """
        await anyio.lowlevel.checkpoint()
        self.loop = asyncio.get_running_loop()
        return value * times + suffix

    async def fail(self, error: BaseException) -> None:
        """Raise the error given."""
        await asyncio.sleep(0)
        raise error

    async def hang(self, interrupt: bool = False, interrupt_here: bool = False) -> None:
        """Never end; press Ctrl-C meanwhile, the second one such that this thread takes it."""
        self.under_way.set()
        try:
            if interrupt:
                os.kill(os.getpid(), signal.SIGINT)
            if interrupt_here:
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1

    async def context(self) -> str:
        """Tell the request id of the context."""
        return request_id.get()

    async def count(self, records: Iterable[Any] | AsyncIterable[Any], *, at_most: int = 0) -> int:
        """Count records."""
        number = 0
        assert isinstance(records, AsyncIterable)
        async for _ in records:
            number += 1
            if number == at_most:
                break
        return number

    async def total(self, records: Iterable[int] | AsyncIterable[int]) -> int:
        """Add up a collection."""
        assert not isinstance(records, AsyncIterable)
        return sum(records)

    async def stream(
        self, records: Iterable[int] | AsyncIterable[int], *, fail_at: int = -1
    ) -> AsyncIterator[int]:
        """Yield the records again."""
        try:
            with anyio.CancelScope():
                if isinstance(records, AsyncIterable):
                    async for record in records:
                        self.made += 1
                        yield record
                else:
                    for number, record in enumerate(records):
                        if number == fail_at:
                            raise ValueError(f"no record {number}")
                        self.made += 1
                        yield record
        finally:
            await asyncio.sleep(0)
            self.stream_closed.set()


def read_here(records: Any, at_once: int) -> tuple[Any, Feed[Any] | None]:
    """Make a feed of an iterator, not of a collection."""
    if isinstance(records, Collection):
        return records, None
    feed = Feed(records, at_once)
    return feed, feed


class Calls(Resource):
    """The blocking forms of the methods of `Core`."""

    __slots__ = ()

    echo = blocking(Core.echo)
    fail = blocking(Core.fail)
    hang = blocking(Core.hang)
    context = blocking(Core.context)
    count = blocking(Core.count, read=read_here)
    total = blocking(Core.total, read=read_here)
    stream = blocking_iterator(Core.stream, read=read_here)


class Client:
    """A blocking client over `Core`."""

    def __init__(self) -> None:
        self.bridge = Bridge(Core, "stub_core.py:1")
        self.calls = Calls(self.bridge, lambda core: core)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.bridge.close()
