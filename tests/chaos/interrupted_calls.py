"""Ctrl-C after the n-th turn of the event loop, for every n: `interrupted_calls.py URL KEY WAY`.

Prints how many runs were interrupted, and fails where a later run does not work.
"""

import asyncio
import os
import signal
import sys
import warnings
from collections.abc import Coroutine
from typing import Any

from novu_async import BackoffStrategy, Novu, RetryConfig

URL, KEY, WAY = sys.argv[1:]
FAST = RetryConfig("backoff", BackoffStrategy(1, 5, 1.5, 10_000))


def make_call(novu: Novu) -> Coroutine[Any, Any, Any]:
    """Make the call that is interrupted."""
    if WAY == "add":
        return novu.subscribers.device_tokens.add("u", "fcm", "interrupted")
    if WAY == "remove":
        return novu.subscribers.device_tokens.remove("u", "fcm", "interrupted")
    return novu.bulk.register([(f"u{i}", "fcm", "row") for i in range(5)], concurrency=2)


async def run(turns: int) -> None:
    """Press Ctrl-C after so many turns."""
    async with Novu(KEY, server_url=URL, retries=FAST) as novu:
        call = asyncio.ensure_future(make_call(novu))
        for _ in range(turns):
            await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        await call


async def check(turns: int) -> None:
    """Use a new client after that."""
    async with Novu(KEY, server_url=URL, retries=FAST) as novu:
        # of another subscriber: the server may still be at what was cut off
        await novu.subscribers.device_tokens.add("after", "fcm", f"after-{turns}")


warnings.simplefilter("error")
interrupted = 0
descriptors = 0
for turns in range(45):
    try:
        asyncio.run(run(turns))
    except KeyboardInterrupt:
        interrupted += 1
    asyncio.run(check(turns))
    descriptors = descriptors or len(os.listdir("/dev/fd"))
    assert len(os.listdir("/dev/fd")) <= descriptors
print("interrupted", interrupted)  # noqa: T201, read by the test
