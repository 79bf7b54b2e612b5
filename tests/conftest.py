"""Fixtures that most tests need."""

from collections.abc import AsyncIterator

import pytest

from novu_async import Novu
from novu_async.testing import LocalNovu


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
