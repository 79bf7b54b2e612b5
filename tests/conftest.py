"""Fixtures that most tests need."""

import signal
from collections.abc import AsyncIterator

import pytest

from novu_async import Novu
from novu_async.testing import LocalNovu


def pytest_configure() -> None:
    """Let Ctrl-C be tested also where a script in the background has SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio only: aiohttp needs it."""
    return "asyncio"


@pytest.fixture
async def local(anyio_backend: str) -> AsyncIterator[LocalNovu]:
    """A LocalNovu of the newest era, where any subscriber exists."""
    async with LocalNovu() as local:
        yield local


@pytest.fixture
async def novu(local: LocalNovu) -> AsyncIterator[Novu]:
    """A client of `local` that sends each call once."""
    async with Novu(api_key=local.api_key, server_url=local.url, retries=None) as novu:
        yield novu
