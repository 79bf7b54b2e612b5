"""A LocalNovu in a thread of its own, for callers without an event loop."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novu_async.testing.server import LocalNovu


@contextmanager
def run_in_thread(local: "LocalNovu") -> Iterator["LocalNovu"]:
    """Start a server in a new thread, yield it, and stop it.

    Raises what starting raised: OSError when the port is taken.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(local, started)), name="LocalNovu", daemon=True
    )
    thread.start()
    try:
        loop, stop = started.result()
        try:
            yield local
        finally:
            loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join()


async def _serve(
    local: "LocalNovu", started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]"
) -> None:
    stop = asyncio.Event()
    try:
        await local.start()
    except BaseException as error:
        started.set_exception(error)
        return
    started.set_result((asyncio.get_running_loop(), stop))
    try:
        await stop.wait()
    finally:
        await local.aclose()
