"""The pytest fixtures, used as a user's test suite uses them."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "novu_async.testing.pytest_plugin"


@pytest.fixture
def run(pytester: pytest.Pytester) -> Any:
    """Give a function that runs a test file in a pytest of its own, with the plugin installed."""
    installed = any(one.value == PLUGIN for one in entry_points(group="pytest11"))
    options = ["-p", "no:hypothesispytest", "-p", "no:randomly"]  # they have no part in this
    options += [] if installed else ["-p", PLUGIN]

    def run_file(content: str, *more: str) -> pytest.RunResult:
        pytester.makepyfile(content)
        return pytester.runpytest_subprocess(*options, "-W", "error", *more)

    return run_file


def test_local_novu_serves_plain_and_async_tests(run: Any) -> None:
    """The server runs in a thread, takes options by a mark, and is fresh for each test."""
    result = run(
        """
        import asyncio, http.client
        import pytest

        def test_plain(local_novu):
            assert local_novu.requests == []
            connection = http.client.HTTPConnection(local_novu.url[7:])
            connection.request("GET", "/")
            assert b"Cannot GET /" in connection.getresponse().read()
            connection.close()
            assert len(local_novu.requests) == 1

        @pytest.mark.local_novu(strict=True, era="2024")
        def test_options(local_novu):
            assert local_novu.integrations == []

        @pytest.mark.local_novu("2024")
        def test_an_option_without_its_name(local_novu):
            pass

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_async(local_novu, anyio_backend):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(local_novu.url[17:]))
            writer.close()
            await writer.wait_closed()
            assert local_novu.requests == []
        """,
        "--strict-markers",
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*in_thread() takes 1 positional argument but 2 were given"])


def test_novu_in_an_async_test_is_the_awaited_client(run: Any) -> None:
    """An async test gets novu_async.Novu, open while it runs and closed when it ends."""
    result = run(
        """
        import pytest, novu_async

        pytestmark = [
            pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])
        ]
        kept = []

        async def test_first(novu, local_novu, anyio_backend):
            assert isinstance(novu, novu_async.Novu)
            await novu.subscribers.device_tokens.add("u1", "fcm", ["a"])
            assert local_novu.device_tokens("u1", "fcm") == ["a"]
            kept.append(novu)

        async def test_second(anyio_backend):
            with pytest.raises(novu_async.ClientClosedError):
                await kept[0].subscribers.device_tokens.add("u1", "fcm", ["a"])

        async def test_a_failure_is_reported(novu, anyio_backend):
            assert False
        """
    )
    result.assert_outcomes(passed=2, failed=1)


def test_novu_in_a_plain_test_is_the_blocking_client(run: Any) -> None:
    """A plain test gets novu_sync.Novu; novu_blocking is the same in any test."""
    result = run(
        """
        import novu_sync

        def test_plain(novu, novu_blocking, local_novu):
            assert novu is novu_blocking
            assert isinstance(novu, novu_sync.Novu)
            novu.subscribers.device_tokens.add("u1", "fcm", ["a"])
            assert local_novu.device_tokens("u1", "fcm") == ["a"]
        """
    )
    result.assert_outcomes(passed=1)


def test_a_service_is_tested_through_it(run: Any) -> None:
    """A FastAPI service with a client of its own, as the plugin's documentation shows."""
    result = run(
        """
        from contextlib import asynccontextmanager
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fastapi import FastAPI
            from fastapi.testclient import TestClient
        from novu_async import Novu

        @asynccontextmanager
        async def lifespan(app):
            async with Novu() as app.state.novu:
                yield

        app = FastAPI(lifespan=lifespan)

        @app.put("/devices/{user_id}/{token}", status_code=204)
        async def register(user_id: str, token: str):
            await app.state.novu.subscribers.device_tokens.add(user_id, "fcm", [token])

        def test_registers_a_device(local_novu, monkeypatch):
            monkeypatch.setenv("NOVU_API_KEY", local_novu.api_key)
            monkeypatch.setenv("NOVU_SERVER_URL", local_novu.url)
            with TestClient(app) as http:
                assert http.put("/devices/u1/token-1").status_code == 204
            assert local_novu.device_tokens("u1", "fcm") == ["token-1"]
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    result.assert_outcomes(passed=1)


def test_the_plugin_imports_no_server(tmp_path: Path) -> None:
    """Loading the plugin imports neither the server nor what only the server needs."""
    program = (
        "import sys, novu_async\n"
        "before = set(sys.modules)\n"
        f"import {PLUGIN}\n"
        "new = set(sys.modules) - before\n"
        "print(sorted(name for name in new if name.startswith(('novu', 'aiohttp'))))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert out.stdout.strip() == f"['novu_async.testing', '{PLUGIN}']"
