"""Waiting that no cancellation ends, and whose cancellation it was."""

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


def is_callers_own() -> bool:
    """Tell whether a CancelledError that was caught is meant for the task that runs.

    Otherwise only what it waited for was cancelled, as a client does that is closed.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
