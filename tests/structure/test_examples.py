"""The programs of examples/ run as a user would run them."""

import importlib.util
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from novu_async.testing import LocalNovu

EXAMPLES = Path(__file__).parents[2] / "examples"


def make_database(path: Path, rows: int) -> None:
    """Fill a table as an application would have it; every tenth device has no token."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE devices (user_id INTEGER, platform TEXT, push_token TEXT)")
        database.executemany(
            "INSERT INTO devices VALUES (?, ?, ?)",
            (
                (n // 3, ("ios", "android")[n % 2], None if n % 10 == 0 else f"token-{n}")
                for n in range(rows)
            ),
        )
    database.close()


def test_a_database_is_registered_once(tmp_path: Path) -> None:
    """All tokens are stored; run again, the job knows that nothing is left to do."""
    make_database(tmp_path / "devices.db", 300)
    with LocalNovu.in_thread(subscribers=[]) as local:
        environment = {
            **os.environ,
            "NOVU_API_KEY": local.api_key,
            "NOVU_SERVER_URL": local.url,
        }
        command = [sys.executable, "-W", "error", str(EXAMPLES / "from_database.py"), "devices.db"]
        for _ in range(2):
            done = subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            assert "270 of 270 rows are stored" in done.stdout
        stored = {
            token
            for subscriber_id in local.subscribers
            for provider_id in ("fcm", "apns")
            for token in local.device_tokens(subscriber_id, provider_id)
        }
    assert stored == {f"token-{n}" for n in range(300) if n % 10}


def load_service() -> Any:
    """Import examples/service.py."""
    spec = importlib.util.spec_from_file_location("service", EXAMPLES / "service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.anyio
async def test_a_service_registers_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the service, as its own users would: added, removed, refused."""
    async with LocalNovu(strict=True, integrations=["fcm"]) as local:
        monkeypatch.setenv("NOVU_API_KEY", local.api_key)
        monkeypatch.setenv("NOVU_SERVER_URL", local.url)
        app = load_service().app
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as http,
        ):
            for token in ("a", "b"):
                assert (await http.put(f"/users/u/devices/{token}")).status_code == 204
            for user in ("u", "ghost"):
                assert (await http.delete(f"/users/{user}/devices/a")).status_code == 204
            for user, token in (("u", "%20"), ("%00", "a")):
                for send in (http.put, http.delete):
                    answer = await send(f"/users/{user}/devices/{token}")
                    assert answer.status_code == 422
            assert local.device_tokens("u", "fcm") == ["b"]
            full = {"providerId": "fcm", "credentials": {"deviceTokens": [*map(str, range(100))]}}
            local.add_subscriber("v", channels=[full])
            assert (await http.put("/users/v/devices/a")).status_code == 409
