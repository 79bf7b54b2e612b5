"""The contestants: each gives a function that registers one token of one subscriber.

Clients are used as their own documentation shows, with their defaults. They are imported only where
they are measured, because what one imports costs the others time and memory.
"""

import contextlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

KEY = "benchmark"
PROVIDER = "fcm"

Call = Callable[[str, str], Awaitable[Any]]
BlockingCall = Callable[[str, str], Any]


def make_request(token: str) -> dict[str, Any]:
    """Make the request of the SDKs."""
    return {"provider_id": PROVIDER, "credentials": {"device_tokens": [token]}}


def make_body(token: str) -> dict[str, Any]:
    """Make the JSON of the API."""
    return {"providerId": PROVIDER, "credentials": {"deviceTokens": [token]}}


@contextlib.asynccontextmanager
async def bare_aiohttp(url: str) -> AsyncIterator[Call]:
    """Send with aiohttp and nothing around it: no checks, no order, no retries, no pace."""
    import aiohttp

    async with aiohttp.ClientSession(headers={"Authorization": f"ApiKey {KEY}"}) as session:

        async def call(subscriber_id: str, token: str) -> Any:
            path = f"{url}/v1/subscribers/{subscriber_id}/credentials"
            async with session.patch(path, json=make_body(token)) as response:
                return await response.json()

        yield call


@contextlib.asynccontextmanager
async def bare_aiohttp_in_warm_memory(url: str) -> AsyncIterator[Call]:
    """Do the same in a process that has freed a large block before, as Novu does: see findings."""
    bytes(1 << 20)
    async with bare_aiohttp(url) as call:
        yield call


@contextlib.asynccontextmanager
async def bare_httpx(url: str) -> AsyncIterator[Call]:
    """Send with httpx and nothing around it."""
    import httpx

    headers = {"Authorization": f"ApiKey {KEY}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as session:

        async def call(subscriber_id: str, token: str) -> Any:
            path = f"{url}/v1/subscribers/{subscriber_id}/credentials"
            return (await session.patch(path, json=make_body(token))).json()

        yield call


@contextlib.asynccontextmanager
async def novu_async_append(url: str) -> AsyncIterator[Call]:
    """Call `credentials.append`."""
    import novu_async

    async with novu_async.Novu(api_key=KEY, server_url=url) as novu:
        append = novu.subscribers.credentials.append
        yield lambda subscriber_id, token: append(subscriber_id, make_request(token))


@contextlib.asynccontextmanager
async def novu_async_add(url: str) -> AsyncIterator[Call]:
    """Call `device_tokens.add`, which also checks the answer for the token."""
    import novu_async

    async with novu_async.Novu(api_key=KEY, server_url=url) as novu:
        add = novu.subscribers.device_tokens.add
        yield lambda subscriber_id, token: add(subscriber_id, PROVIDER, token)


@contextlib.asynccontextmanager
async def novu_py_async(url: str) -> AsyncIterator[Call]:
    """Call the official SDK, awaited."""
    warnings.simplefilter("ignore")  # it warns about its own models
    import novu_py

    async with novu_py.Novu(secret_key=KEY, server_url=url) as novu:
        append = novu.subscribers.credentials.append_async
        yield lambda subscriber_id, token: append(
            subscriber_id=subscriber_id, update_subscriber_channel_request_dto=make_request(token)
        )


@contextlib.contextmanager
def novu_sync_append(url: str) -> Iterator[BlockingCall]:
    """Call the blocking `credentials.append`."""
    import novu_sync

    with novu_sync.Novu(api_key=KEY, server_url=url) as novu:
        append = novu.subscribers.credentials.append
        yield lambda subscriber_id, token: append(subscriber_id, make_request(token))


@contextlib.contextmanager
def novu_py_blocking(url: str) -> Iterator[BlockingCall]:
    """Call the official SDK, blocking."""
    warnings.simplefilter("ignore")
    import novu_py

    with novu_py.Novu(secret_key=KEY, server_url=url) as novu:
        append = novu.subscribers.credentials.append
        yield lambda subscriber_id, token: append(
            subscriber_id=subscriber_id, update_subscriber_channel_request_dto=make_request(token)
        )


@contextlib.contextmanager
def novu_community(url: str) -> Iterator[BlockingCall]:
    """Call the community SDK on `requests`; it has update (PUT) and no append."""
    warnings.simplefilter("ignore")
    import requests
    from novu.api import SubscriberApi

    api = SubscriberApi(url, KEY, session=requests.Session())
    yield lambda subscriber_id, token: api.credentials(
        subscriber_id, PROVIDER, device_tokens=[token]
    )


AWAITED = {
    "aiohttp": bare_aiohttp,
    "aiohttp-warm": bare_aiohttp_in_warm_memory,
    "httpx": bare_httpx,
    "append": novu_async_append,
    "add": novu_async_add,
    "novu-py": novu_py_async,
}
BLOCKING = {
    "novu_sync": novu_sync_append,
    "novu-py": novu_py_blocking,
    "novu": novu_community,
}
