"""Fixtures for pytest: a LocalNovu per test, and a client that talks to it.

Installed with the package; no import and no configuration needed.

- `local_novu`: a LocalNovu in a thread of its own, so it serves async and plain tests alike, and
  code under test with an event loop of its own. Options by a mark:
  `@pytest.mark.local_novu(era="2024", idempotency=True)`.
- `novu`: a client for it. An `async def` test gets `novu_async.Novu`, a plain one
  `novu_sync.Novu`; either is closed when the test ends. Works with the plugins of anyio and of
  pytest-asyncio. An async test's is closed before async fixtures are torn down; one that has to
  clean up makes a client of its own, for `local_novu`.
- `novu_blocking`: `novu_sync.Novu` in any test.

A service made with FastAPI, tested through it:

    # service.py
    @asynccontextmanager
    async def lifespan(app):
        async with Novu() as app.state.novu:  # NOVU_API_KEY and NOVU_SERVER_URL
            yield

    app = FastAPI(lifespan=lifespan)

    @app.put("/devices/{user_id}/{token}", status_code=204)
    async def register(user_id: str, token: str):
        await app.state.novu.subscribers.device_tokens.add(user_id, "fcm", [token])

    # test_service.py
    def test_registers_a_device(local_novu, monkeypatch):
        monkeypatch.setenv("NOVU_API_KEY", local_novu.api_key)
        monkeypatch.setenv("NOVU_SERVER_URL", local_novu.url)
        with TestClient(app) as http:
            assert http.put("/devices/u1/token-1").status_code == 204
        assert local_novu.device_tokens("u1", "fcm") == ["token-1"]
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from novu_async.testing.server import LocalNovu


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line(
        "markers", "local_novu(**options): options of the LocalNovu behind local_novu and novu"
    )


@pytest.fixture
def local_novu(request: pytest.FixtureRequest) -> Iterator["LocalNovu"]:
    """Run a fresh LocalNovu in a thread of its own."""
    from novu_async.testing.server import LocalNovu

    mark = request.node.get_closest_marker("local_novu")
    args, options = (mark.args, mark.kwargs) if mark else ((), {})
    with LocalNovu.in_thread(*args, **options) as local:  # which refuses args
        yield local


@pytest.fixture
def novu(request: pytest.FixtureRequest) -> Any:
    """Make a client of the test's own kind, connected to `local_novu`."""
    if not inspect.iscoroutinefunction(request.function):
        return request.getfixturevalue("novu_blocking")
    from novu_async import Novu

    local: LocalNovu = request.getfixturevalue("local_novu")
    client = Novu(api_key=local.api_key, server_url=local.url)
    request.node.obj = _close_after(request.node.obj, client)
    return client


def _close_after(
    test: Callable[..., Awaitable[None]], client: Any
) -> Callable[..., Awaitable[None]]:
    """Close the client inside the test's own event loop: a fixture would come too late."""

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        async with client:
            await test(*args, **kwargs)

    return run


@pytest.fixture
def novu_blocking(local_novu: "LocalNovu") -> Iterator[Any]:
    """Make a blocking client connected to `local_novu`."""
    from novu_sync import Novu

    with Novu(api_key=local_novu.api_key, server_url=local_novu.url) as client:
        yield client
