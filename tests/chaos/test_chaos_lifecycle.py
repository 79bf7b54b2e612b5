"""Many loops, other loops, forks and Ctrl-C: what a client goes through in a real program."""

import asyncio
import gc
import importlib.util
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import (
    FIGURES,
    Ledger,
    count_descriptors,
    count_faults,
    make_client,
    schedule,
    settle,
)
from test_chaos_faults import CALLERS, STALLS, call_all

from novu_async import ConfigurationError, Novu
from novu_async.testing import FAULT_KINDS, LocalNovu

HERE = Path(__file__).parent


def environment_of(local: LocalNovu) -> dict[str, str]:
    """Tell a child process where the server is."""
    paths = f"{HERE.parents[1]}{os.pathsep}{HERE}"
    return {
        **os.environ, "NOVU_API_KEY": local.api_key, "NOVU_SERVER_URL": local.url,
        "PYTHONPATH": paths,
    }  # fmt: skip


def test_a_loop_for_each_client() -> None:
    """Sixty asyncio.run() with a client each: nothing is left of them."""
    with LocalNovu.in_thread() as local:

        async def main(number: int) -> None:
            async with Novu(local.api_key, server_url=local.url) as novu:
                await novu.subscribers.device_tokens.add("u", "fcm", f"t{number}")

        async def count(most: float = math.inf) -> int:
            await settle(lambda: count_descriptors() <= most)
            return count_descriptors()

        asyncio.run(main(0))
        descriptors, threads = asyncio.run(count()), threading.active_count()
        for number in range(1, 60):
            asyncio.run(main(number))
        gc.collect()
        assert asyncio.run(count(descriptors)) <= descriptors
        assert threading.active_count() <= threads
        assert len(local.device_tokens("u", "fcm")) == 60
    FIGURES.calls += 60


def test_one_client_for_many_loops() -> None:
    """The first loop works, each later one gets the error that names the way out."""
    with LocalNovu.in_thread() as local:
        novu = Novu(local.api_key, server_url=local.url)

        async def add() -> None:
            await novu.subscribers.device_tokens.add("u", "fcm", "t")

        with asyncio.Runner() as runner:
            runner.run(add())
            for _ in range(20):
                with (
                    asyncio.Runner() as other,
                    pytest.raises(ConfigurationError, match=r"one Novu for each asyncio\.run"),
                ):
                    other.run(add())
            runner.run(add())
            runner.run(novu.aclose())


def make_uvloop() -> Any:
    """Make the other event loop that services use."""
    return pytest.importorskip("uvloop").new_event_loop()


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, make_uvloop])
def test_callers_lose_nothing_on_either_loop(make_loop: Callable[[], Any]) -> None:
    """64 callers under mixed faults, on the standard loop and on uvloop."""
    with LocalNovu.in_thread() as local:
        kinds = [kind for kind in FAULT_KINDS if kind not in (*STALLS, "overwritten")]
        schedule(local, kinds, count=80, seed=11)
        ledger = Ledger(local)

        async def main() -> None:
            async with make_client(local) as novu:
                await call_all(novu, ledger)

        descriptors = count_descriptors()
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(main())
        gc.collect()
        assert count_faults(local) > 0
        assert count_descriptors() <= descriptors + 64  # the server's side may close a little later
        assert ledger.find_lost() == []
        assert len(ledger.stored) > CALLERS


@pytest.mark.parametrize("way", ["add", "remove", "bulk"])
def test_ctrl_c_at_each_stage(way: str) -> None:
    """However far a call has come, Ctrl-C ends the program, and nothing complains."""
    with LocalNovu.in_thread(era="2024") as local:
        done = subprocess.run(
            [sys.executable, str(HERE / "interrupted_calls.py"), local.url, local.api_key, way],
            capture_output=True, text=True, timeout=50, env=environment_of(local), check=False,
        )  # fmt: skip
        assert (done.stderr, done.returncode) == ("", 0)
        assert int(done.stdout.split()[1]) >= 20
        stored = local.device_tokens("after", "fcm")
        assert {f"after-{turns}" for turns in range(45)} <= set(stored)


@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="no gunicorn here")
@pytest.mark.parametrize("workers", ["sync", "gthread"])
def test_a_server_that_forks_its_workers(workers: str, tmp_path: Path) -> None:
    """gunicorn with an application that has used its client before the fork."""
    with LocalNovu.in_thread() as local:
        socket = tmp_path / "port"
        log = tmp_path / "log"
        command = [
            sys.executable, "-W", "error::ResourceWarning", "-m", "gunicorn",
            "prefork_app:application",
            "--preload", "--workers", "2", "--worker-class", workers, "--threads", "3",
            "--bind", "127.0.0.1:0", "--error-logfile", str(log), "--pid", str(socket),
        ]  # fmt: skip
        with subprocess.Popen(command, env=environment_of(local), cwd=tmp_path) as server:
            try:
                url = wait_for_url(log, server)
                pids = {read(f"{url}/token-{number}") for number in range(30)}
                server.send_signal(signal.SIGTERM)
                assert server.wait(20) == 0
            finally:
                server.kill()
        assert 1 <= len(pids) <= 2
        assert str(server.pid).encode() not in pids
        assert sorted(local.device_tokens("shared", "fcm")) == sorted(
            f"token-{i}" for i in range(30)
        )
        assert local.device_tokens("parent", "fcm") == [f"parent-{server.pid}"]
        text = log.read_text()
        assert "Traceback" not in text
        assert "ERROR" not in text


def wait_for_url(log: Path, server: "subprocess.Popen[bytes]") -> str:
    """Return the address that gunicorn writes to its log."""
    while server.poll() is None:
        for line in log.read_text().splitlines() if log.exists() else ():
            if "Listening at: " in line:
                return line.partition("Listening at: ")[2].split()[0]
    raise AssertionError(log.read_text())


def read(url: str) -> bytes:
    """Get a page."""
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310, our own server
        content: bytes = answer.read()
        return content


def use_own_client(server_url: str, token: str) -> None:
    """Use a client in a process that was spawned."""
    from novu_sync import Novu

    with Novu("local-novu-api-key", server_url=server_url) as novu:
        novu.subscribers.device_tokens.add("u", "fcm", token)


def test_processes_that_are_spawned() -> None:
    """A worker that imports everything anew makes a client of its own; another's is refused."""
    import novu_sync

    with LocalNovu.in_thread() as local, novu_sync.Novu("key") as novu:
        spawn = multiprocessing.get_context("spawn")
        with pytest.raises(TypeError, match="holds the API key"):
            spawn.Process(target=novu.subscribers.device_tokens.list, args=("u", "fcm")).start()
        process = spawn.Process(target=use_own_client, args=(local.url, "t"))
        process.start()
        process.join(30)
        assert process.exitcode == 0
        assert local.device_tokens("u", "fcm") == ["t"]
