"""What a call costs, as counts that do not depend on the machine's speed.

A figure here that grows says that work was added to the usual path; `scripts/bench calls` says what
it is worth in time.
"""

import asyncio
import platform
import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import aiohttp
import pytest

from novu_async import Novu
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

CALLS = 50
IDLE = {"_run_once", "_process_events", "select", "time"}
"""What the event loop enters while it waits for the server, the oftener the slower that is."""

REQUEST = {"provider_id": "fcm", "credentials": {"device_tokens": ["token"]}}
BODY = {"providerId": "fcm", "credentials": {"deviceTokens": ["token"]}}


async def count_functions(call: Callable[[str], Awaitable[Any]]) -> float:
    """Return how many Python functions one call enters, resumed coroutines included."""
    entered = 0

    def watch(frame: FrameType, event: str, argument: object) -> None:
        nonlocal entered
        entered += event == "call" and frame.f_code.co_name not in IDLE

    for n in range(CALLS):  # once before, so that yarl knows every address
        await call(f"user-{n}")
    sys.setprofile(watch)
    try:
        for n in range(CALLS):
            await call(f"user-{n}")
    finally:
        sys.setprofile(None)
    return entered / CALLS


async def count_rounds(call: Callable[[str], Awaitable[Any]]) -> float:
    """Return how many callbacks of the event loop one call takes."""
    loop: Any = asyncio.get_running_loop()
    scheduled, call_soon = 0, loop.call_soon

    def watch(*args: Any, **kwargs: Any) -> Any:
        nonlocal scheduled
        scheduled += 1
        return call_soon(*args, **kwargs)

    for n in range(5):
        await call(f"user-{n}")
    loop.call_soon = watch
    try:
        for n in range(CALLS):
            await call(f"user-{n}")
    finally:
        del loop.call_soon
    return scheduled / CALLS


@pytest.fixture
def served() -> Any:
    """A LocalNovu in another thread, so that what it does is not counted."""
    with LocalNovu.in_thread() as local:
        yield local


async def measure(local: LocalNovu, count: Callable[..., Awaitable[float]]) -> list[float]:
    """Count for a bare aiohttp call, for `append` and for `add`, which also reads the answer."""
    headers = {"Authorization": f"ApiKey {local.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        Novu(local.api_key, server_url=local.url) as novu,
    ):

        async def bare(subscriber_id: str) -> Any:
            url = f"{local.url}/v1/subscribers/{subscriber_id}/credentials"
            async with session.patch(url, json=BODY) as response:
                return await response.json()

        credentials, tokens = novu.subscribers.credentials, novu.subscribers.device_tokens
        return [
            await count(bare),
            await count(lambda subscriber_id: credentials.append(subscriber_id, REQUEST)),
            await count(lambda subscriber_id: tokens.add(subscriber_id, "fcm", "token")),
        ]


async def test_a_call_enters_few_more_functions_than_a_bare_one(served: LocalNovu) -> None:
    """Checks, order, pace and retries together are a third of what aiohttp does.

    The difference is counted: what aiohttp itself enters is not the same in every Python.
    """
    bare, append, add = await measure(served, count_functions)
    assert append <= bare + 67
    assert add <= bare + 79


async def test_a_call_takes_two_callbacks_more_than_a_bare_one(served: LocalNovu) -> None:
    """A write has a task of its own, which begins and ends; nothing else waits in between."""
    bare, append, add = await measure(served, count_rounds)
    assert append <= bare + 2
    assert add <= bare + 2


_COUNT_PAGE_FAULTS = """
import asyncio, resource, sys
from novu_async import Novu

async def main(url, key):
    async with Novu(key, server_url=url) as novu:
        async def append(calls):
            for n in range(calls):
                await novu.subscribers.credentials.append(f"user-{n}", REQUEST)
        await append(50)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        await append(200)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 200)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that maps the blocks")
async def test_a_call_maps_no_memory(served: LocalNovu) -> None:
    """In every second fresh process each read of the event loop would cost two page faults."""
    code = _COUNT_PAGE_FAULTS.replace("REQUEST", repr(REQUEST))
    run = [sys.executable, "-c", code, served.url, served.api_key]
    for _ in range(5):
        child = await asyncio.to_thread(subprocess.run, run, check=True, capture_output=True)
        assert float(child.stdout) < 0.5
