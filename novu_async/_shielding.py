"""Waiting that no cancellation ends."""

import asyncio
from typing import Any


async def finish(task: "asyncio.Future[Any]", timeout: float | None = None) -> None:
    """Wait until a task is done, or for `timeout` seconds, whatever cancels the caller meanwhile.

    The cancellation is raised afterwards; what the task raises is not.
    """
    loop = asyncio.get_running_loop()
    until = None if timeout is None else loop.time() + timeout
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        from anyio import CancelScope  # whose cancelled scopes would end every further wait

        while not task.done() and (until is None or loop.time() < until):
            left = None if until is None else until - loop.time()
            try:
                with CancelScope(shield=True):
                    await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError:
                continue
        raise
