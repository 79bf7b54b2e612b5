"""A call cancelled at any of its suspensions leaves the pool usable and every line free."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from chaos_harness import FIGURES, assert_idle, count_faults, make_client, nothing_left
from interrupting import Interrupted

from novu_async import ClientClosedError, Novu
from novu_async.bulk import read_outcomes
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

PUSH = {"provider_id": "fcm", "credentials": {"device_tokens": ["mine"]}}
ROWS = [(f"user-{i % 3}", "fcm", f"row-{i}") for i in range(9)]
MOST_SUSPENSIONS = 200


@frozen
class Stage:
    """What a cancelled call meets: a client, its server, and a call that was begun before it."""

    novu: Novu
    local: LocalNovu

    @property
    def tokens(self) -> Any:
        """The verbs."""
        return self.novu.subscribers.device_tokens

    async def append(self) -> None:
        await self.novu.subscribers.credentials.append("user", PUSH)

    async def update(self) -> None:
        await self.novu.subscribers.credentials.update("user", PUSH)

    async def delete(self) -> None:
        await self.novu.subscribers.credentials.delete("user", "apns")

    async def retrieve(self) -> None:
        await self.novu.subscribers.retrieve("user")

    async def add(self) -> None:
        await self.tokens.add("user", "fcm", "mine")

    async def remove(self) -> None:
        await self.tokens.remove("user", "fcm", "old")

    async def rotate(self) -> None:
        await self.tokens.rotate("user", "fcm", "old", "new")

    async def repair(self) -> None:
        await self.tokens.repair("user", "fcm")

    async def add_with_retries(self) -> None:
        self.local.faults.next("error_503", retry_after=0)
        self.local.faults.next("truncated_json")
        await self.tokens.add("user", "fcm", "mine")

    async def create(self) -> None:
        await self.tokens.add("stranger", "fcm", "mine", on_missing_subscriber="create")

    async def stream(self) -> None:
        async with aclosing(self.novu.bulk.stream(ROWS, concurrency=2)) as outcomes:
            async for outcome in outcomes:
                assert outcome.ok
                subscriber_id, _, token = ROWS[outcome.line - 1]
                assert token in self.local.device_tokens(subscriber_id, "fcm")


Call = Callable[[Stage], Awaitable[None]]
CALLS = [
    Stage.append, Stage.update, Stage.delete, Stage.retrieve, Stage.add, Stage.remove,
    Stage.rotate, Stage.repair, Stage.add_with_retries, Stage.create, Stage.stream,
]  # fmt: skip


async def interrupt(call: Call, at: int, *, late: bool, others: int = 0, crowd: int = 0) -> bool:
    """Cancel a call at its n-th suspension, between `others`; False where it ended before.

    - `crowd`: calls for other subscribers that fill the connections and the gate before it.
    """
    users = ["user", *(row[0] for row in ROWS[:3]), *(f"crowd-{i}" for i in range(crowd))]
    async with LocalNovu(subscribers=users, latency=0.0005) as local, nothing_left():
        local.add_subscriber("user", channels=make_channels(2 if call is Stage.repair else 1))
        # two places: a connection or a turn that is not given back stops the next call
        async with make_client(local, max_connections=2) as novu:
            tokens = novu.subscribers.device_tokens
            crowding = [
                asyncio.create_task(tokens.add(f"crowd-{i}", "apns", "token")) for i in range(crowd)
            ]
            before = [
                asyncio.create_task(tokens.add("user", "fcm", f"before-{i}")) for i in range(others)
            ]
            await asyncio.sleep(0)
            interrupted = Interrupted(call(Stage(novu, local)), at, late=late)  # type: ignore[arg-type]
            running = asyncio.create_task(interrupted.run())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            after = [tokens.add("user", "fcm", f"after-{i}") for i in range(others + 3)]
            async with asyncio.timeout(10):
                await asyncio.gather(running, *crowding, *before, *after)
                while len(novu._pipeline.ordering):
                    await asyncio.sleep(0.001)
            assert not interrupted.swallowed
            assert_idle(novu)
            count_faults(local)
        stored = set(local.device_tokens("user", "fcm"))
        assert {f"after-{i}" for i in range(others + 3)} <= stored
        if call not in (Stage.update, Stage.delete):
            assert {f"before-{i}" for i in range(others)} <= stored
            assert "kept" in stored
    FIGURES.calls += 1
    FIGURES.cancelled += interrupted.cancelled
    return interrupted.cancelled


def make_channels(number: int) -> list[dict[str, Any]]:
    """Make a channel, or the duplicate channels that a race leaves."""
    return [
        {"providerId": "fcm", "credentials": {"deviceTokens": tokens}}
        for tokens in (["old", "kept"], ["kept", "twin"])[:number]
    ]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "a turn later"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_cancelled_at_every_suspension(call: Call, late: bool) -> None:
    """Cancelled at the 1st, 2nd, ... suspension: the next calls get their turn and connection."""
    at = 1
    while await interrupt(call, at, late=late):
        at += 1
        assert at < MOST_SUSPENSIONS
    assert at > 1


@pytest.mark.parametrize("late", [False, True], ids=["at once", "a turn later"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_cancelled_among_others(call: Call, late: bool) -> None:
    """The same in a line, or in a batch, with calls before and behind it: these are all stored."""
    at = 1
    while await interrupt(call, at, late=late, others=3):
        at += 1
        assert at < MOST_SUSPENSIONS


@pytest.mark.parametrize("call", [Stage.append, Stage.retrieve], ids=lambda call: call.__name__)
async def test_cancelled_in_a_crowd(call: Call) -> None:
    """A call that waits for a connection, or at the gate, gives its place up and takes none."""
    at = 1
    while await interrupt(call, at, late=bool(at % 2), crowd=24):
        at += 1
        assert at < MOST_SUSPENSIONS
    assert at > 2


@pytest.mark.parametrize("late", [False, True], ids=["at once", "a turn later"])
async def test_a_job_cancelled_at_every_suspension(late: bool, tmp_path: Path) -> None:
    """Whenever it is cancelled, what the job file calls done is stored, and the rest follows."""
    for at in range(1, MOST_SUSPENSIONS):
        job = tmp_path / f"job-{at}"
        async with LocalNovu() as local, nothing_left(), make_client(local) as novu:
            run = novu.bulk.register(ROWS, job=job, concurrency=2)
            interrupted = Interrupted(run, at, late=late)
            async with asyncio.timeout(10):
                await interrupted.run()
                if job.exists():
                    for outcome in read_outcomes(job):
                        subscriber_id, _, token = ROWS[outcome.line - 1]
                        assert token in local.device_tokens(subscriber_id, "fcm")
                report = await novu.bulk.register(ROWS, job=job)
            assert (report.ok, report.done) == (True, len(ROWS))
            assert_idle(novu)
        for subscriber_id, _, token in ROWS:
            assert local.device_tokens(subscriber_id, "fcm").count(token) == 1
        assert not interrupted.swallowed
        FIGURES.calls += 1
        FIGURES.cancelled += interrupted.cancelled
        if not interrupted.cancelled:
            return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_closed_at_any_moment(turns: int) -> None:
    """Every call under way ends with an error of ours or its answer, and nothing is left."""
    async with LocalNovu(latency=0.0005) as local, nothing_left():
        local.faults.random(0.3, kinds=["error_503", "reset_before"], seed=turns)
        novu = make_client(local)
        tokens = novu.subscribers.device_tokens
        calls = [asyncio.create_task(tokens.add(f"u{i % 4}", "fcm", f"t{i}")) for i in range(24)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await novu.aclose()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*calls, return_exceptions=True)
        count_faults(local)
        for i, result in enumerate(results):
            if isinstance(result, BaseException):
                assert isinstance(result, ClientClosedError), repr(result)
            else:
                assert f"t{i}" in local.device_tokens(f"u{i % 4}", "fcm")
        FIGURES.calls += len(calls)
