"""What the chaos tests share: figures, a ledger of acknowledged tokens, a look for leftovers."""

import asyncio
import os
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from novu_async import BackoffStrategy, Novu, NovuError, RetryConfig
from novu_async._clock import Clock
from novu_async.testing import FAULT_KINDS, FaultKind, LocalNovu

PERSISTENT = RetryConfig("backoff", BackoffStrategy(1, 10, 1.5, 60_000), max_attempts=25)
BRIEF = RetryConfig("backoff", BackoffStrategy(1, 5, 1.5, 60_000), max_attempts=2)
SPEED = 20.0
OVERSIZED_BYTES = 200_000
MAX_REPLY_BYTES = 100_000

Place = tuple[str, str, str]
"""Subscriber, provider, token."""


@define
class Figures:
    """What all chaos tests of one run did; printed at its end."""

    faults: Counter[str] = field(factory=Counter)
    calls: int = 0
    acknowledged: int = 0
    named: int = 0
    lost: int = 0
    cancelled: int = 0
    hostile: int = 0
    texts: int = 0
    secrets: int = 0


FIGURES = Figures()


class FastClock(Clock):
    """Goes twenty times as fast, so that the second a 429 costs is over in 50 ms."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_later(seconds / SPEED, callback)


def make_client(local: LocalNovu, **options: Any) -> Novu:
    """Make a client of `local` on a fast clock, with little patience for large answers."""
    options = {"retries": PERSISTENT, "max_reply_bytes": MAX_REPLY_BYTES, **options}
    novu = Novu(local.api_key, server_url=local.url, **options)
    novu._pipeline.clock = novu._pipeline.gate._clock = FastClock()
    return novu


def schedule(
    local: LocalNovu, kinds: Iterable[FaultKind], *, count: int, seed: int, gap: int = 6
) -> None:
    """Queue faults of these kinds, drawn by the seed, with up to `gap` good requests between."""
    draw = random.Random(seed)  # noqa: S311, repeatable
    chosen = list(kinds)
    for _ in range(count):
        local.faults.next(
            draw.choice(chosen),
            after=draw.randint(0, gap),
            retry_after=0,
            size_bytes=OVERSIZED_BYTES,
        )


def count_faults(local: LocalNovu) -> int:
    """Stop the faults, add those that were injected to the figures, and return their number."""
    local.faults.stop()
    injected = local.faults.total
    FIGURES.faults.update(local.faults.injected)
    local.faults.reset()
    return injected


@define
class Ledger:
    """What must be stored, by the answers that callers got; what failed is not known any more."""

    local: LocalNovu
    stored: dict[Place, bool] = field(factory=dict)
    named: set[Place] = field(factory=set)

    async def note(
        self,
        call: Awaitable[object],
        where: tuple[str, str],
        *,
        adds: Iterable[str] = (),
        removes: Iterable[str] = (),
    ) -> bool:
        """Await a call; note its tokens as acknowledged, or as named in its error."""
        FIGURES.calls += 1
        adds, removes = list(adds), list(removes)
        try:
            await call
        except NovuError:
            for token in (*adds, *removes):
                self.stored.pop((*where, token), None)
                self.named.add((*where, token))
            FIGURES.named += len(adds) + len(removes)
            return False
        FIGURES.acknowledged += len(adds) + len(removes)
        self.stored.update({(*where, token): True for token in adds})
        self.stored.update({(*where, token): False for token in removes})
        return True

    def find_lost(self) -> list[Place]:
        """Return the tokens whose acknowledged state is not the stored one, and count them."""
        wheres = {place[:2] for place in self.stored}
        held = {where: set(self.local.device_tokens(*where)) for where in wheres}
        lost = [
            place for place, is_there in self.stored.items()
            if (place[2] in held[place[:2]]) is not is_there
        ]  # fmt: skip
        FIGURES.lost += len(lost)
        return lost


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail where the block leaves a task, a thread, a connection or a descriptor behind."""
    tasks, threads, descriptors = asyncio.all_tasks(), threading.enumerate(), count_descriptors()
    yield
    await settle(lambda: asyncio.all_tasks() <= tasks and count_descriptors() <= descriptors)
    assert asyncio.all_tasks() - tasks == set()
    assert set(threading.enumerate()) - set(threads) == set()
    assert count_descriptors() <= descriptors


async def settle(is_settled: Callable[[], bool]) -> None:
    """Wait a second at most until it is so: the other end closes its connections a little later."""
    for _ in range(1000):
        if is_settled():
            break
        await asyncio.sleep(0.001)


def count_descriptors() -> int:
    """Count the open files and sockets of this process."""
    return len(os.listdir("/dev/fd"))


def assert_idle(novu: Novu) -> None:
    """No subscriber is being written to, and no request holds a place at the gate.

    A write that timed out may be under way at the server, and keeps its turn for a while.
    """
    ordering = novu._pipeline.ordering
    assert len(ordering) == len(ordering.abandoned)
    assert novu._pipeline.gate._in_flight == 0


def pick_kinds(*, without: Iterable[FaultKind] = ()) -> list[FaultKind]:
    """List the kinds of faults, less some."""
    return [kind for kind in FAULT_KINDS if kind not in set(without)]
