"""Many calls, many callers, many threads, with faults: memory and descriptors stay flat.

The small sizes run always; those of the issue's size with `scripts/test --all`.
"""

import asyncio
import gc
import resource
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from chaos_harness import (
    FIGURES,
    PERSISTENT,
    Ledger,
    assert_idle,
    count_descriptors,
    count_faults,
    make_client,
    nothing_left,
)

import novu_sync
from novu_async import Novu
from novu_async.testing import LocalNovu

KINDS = ["reset_before", "drop_before_reply", "close_idle", "error_503", "html_error"]


def long(*values: Any) -> Any:
    """Mark a size that takes minutes."""
    return pytest.param(*values, marks=[pytest.mark.long, pytest.mark.timeout(7200)])


def count_memory() -> int:
    """Return the resident bytes of this process, or its peak where there is no /proc."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


async def call_on(novu: Novu, calls: int, worker: int) -> None:
    """Add, remove and read by turns, on two hundred subscribers: the server keeps little."""
    tokens = novu.subscribers.device_tokens
    for number in range(calls):
        user, token = f"u{(worker * 7 + number) % 200}", f"{worker}-{number % 5}"
        if number % 3 == 0:
            result = await tokens.add(user, "fcm", token)
            assert token in result.device_tokens
        elif number % 3 == 1:
            await tokens.remove(user, "fcm", token)
        else:
            await novu.subscribers.retrieve(user)
    FIGURES.calls += calls


@pytest.mark.anyio
@pytest.mark.parametrize("calls", [10_000, long(1_000_000)])
async def test_many_calls_leave_memory_and_descriptors_flat(calls: int) -> None:
    """Through one client, with two faults in a hundred: the second half takes no more memory."""
    async with LocalNovu(max_requests=100, era="2024") as local, nothing_left():
        local.faults.random(0.02, kinds=KINDS, seed=5)
        async with make_client(local) as novu:
            seen = []
            for _ in range(4):
                workers = (call_on(novu, calls // 4 // 32, worker) for worker in range(32))
                await asyncio.gather(*workers)
                gc.collect()
                seen.append((count_memory(), count_descriptors()))
            assert_idle(novu)
        assert count_faults(local) > 0
    (memory, descriptors), (last_memory, last_descriptors) = seen[1], seen[-1]
    assert last_memory - memory < 8_000_000, seen
    assert last_descriptors - descriptors <= 64, seen


@pytest.mark.anyio
@pytest.mark.parametrize("callers", [1_000, long(10_000)])
async def test_many_callers_at_once(callers: int) -> None:
    """All of them begin at the same moment; each token is stored, over a hundred connections."""
    async with LocalNovu(max_requests=100, era="2024") as local, nothing_left():
        local.faults.random(0.02, kinds=KINDS, seed=6)
        ledger = Ledger(local)
        async with make_client(local) as novu:
            add, user = novu.subscribers.device_tokens.add, (lambda i: (f"u{i % 250}", "fcm"))
            async with asyncio.timeout(50 if callers < 5000 else 600):
                await asyncio.gather(
                    *(ledger.note(add(*user(i), f"t{i}"), user(i), adds=[f"t{i}"])
                      for i in range(callers))
                )  # fmt: skip
            assert_idle(novu)
        count_faults(local)
        assert len(ledger.stored) + len(ledger.named) == callers
        assert len(ledger.stored) > callers * 0.9
        assert ledger.find_lost() == []


@pytest.mark.parametrize("threads", [50, long(200)])
def test_many_threads_on_one_blocking_client(threads: int) -> None:
    """Each thread adds and removes; what it was told is what is stored, and the threads end."""
    stored: list[tuple[str, str]] = []
    errors: list[BaseException] = []
    with LocalNovu.in_thread(max_requests=100) as local:
        local.faults.random(0.05, kinds=["reset_before", "error_500", "html_error"], seed=7)
        with novu_sync.Novu(local.api_key, server_url=local.url, retries=PERSISTENT) as novu:
            work = make_work(novu, stored, errors)
            running = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
        count_faults(local)
        assert errors == []
        assert len(stored) == threads * 2
        for user, token in stored:
            FIGURES.lost += token not in local.device_tokens(user, "fcm")
            assert token in local.device_tokens(user, "fcm")
            assert f"gone-{token}" not in local.device_tokens(user, "fcm")
    FIGURES.calls += threads * 5
    FIGURES.acknowledged += len(stored) * 2
    assert not [thread for thread in threading.enumerate() if "novu" in thread.name]


def make_work(
    novu: novu_sync.Novu, stored: list[tuple[str, str]], errors: list[BaseException]
) -> Callable[[int], None]:
    """Make what each thread does."""

    def work(number: int) -> None:
        tokens, user = novu.subscribers.device_tokens, f"u{number % 10}"
        try:
            for token in (f"a{number}", f"b{number}"):
                tokens.add(user, "fcm", [token, f"gone-{token}"])
                tokens.remove(user, "fcm", f"gone-{token}")
                stored.append((user, token))
        except BaseException as error:
            errors.append(error)

    return work
