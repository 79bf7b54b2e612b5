"""The running event loop, or the way to one, and the memory that it reads into."""

import asyncio
import sys

from novu_async.errors import ConfigurationError


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop; raise with the way out where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(explain_no_loop()) from None


def explain_no_loop() -> str:
    """Say why there is none, and what to do."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return (
            "novu_async works on asyncio only; under trio call novu_sync through "
            "trio.to_thread.run_sync"
        )
    return "no asyncio event loop is running; in plain code use novu_sync"


def keep_large_blocks() -> None:
    """Have glibc keep the memory that the standard event loop reads into.

    The loop asks for 256 KiB before each read and gives nearly all of it back. glibc has such a
    block mapped and unmapped every time, a sixth of a call's CPU over plain HTTP, until it has seen
    a larger one freed (the dynamic threshold in mallopt(3)).
    """
    bytes(1 << 20)
