"""What was acknowledged is stored, or was removed by a later verb: random programs of verbs.

LocalNovu reads, merges and overwrites without a lock, as the server does. One client's writes for
one subscriber happen in the order of its calls, so a simple model says what must be stored.
"""

import asyncio
from typing import Any

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novu_async import Novu, NovuError
from novu_async._clock import Clock
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

PROVIDERS = ("fcm", "apns")
SUBSCRIBERS = ("u", "v")


@frozen
class Step:
    """One call; `pause` and `cancel_after` count turns of the event loop."""

    verb: str
    subscriber_id: str
    provider_id: str
    tokens: tuple[str, ...]
    pause: int
    cancel_after: int | None


steps = st.lists(
    st.builds(
        Step,
        verb=st.sampled_from(["add"] * 5 + ["remove", "remove", "replace", "clear", "delete"]),
        subscriber_id=st.sampled_from(SUBSCRIBERS),
        provider_id=st.sampled_from(PROVIDERS),
        tokens=st.lists(
            st.sampled_from([f"t{i}" for i in range(6)]), min_size=1, max_size=3, unique=True
        ).map(tuple),
        pause=st.integers(0, 4),
        cancel_after=st.none(),
    ),
    min_size=2,
    max_size=25,
)
interrupted_steps = st.lists(
    st.tuples(st.integers(0, 24), st.integers(0, 300)), max_size=8, unique_by=lambda pair: pair[0]
)
random_programs = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class QuietClock(Clock):
    """Waits until the requests that the server is working on are done, whatever the seconds."""

    def __init__(self, local: LocalNovu) -> None:
        self._local = local

    async def sleep(self, seconds: float) -> None:
        begun = [request.number for request in self._local.requests if request.status is None]
        while any(
            request.status is None for request in self._local.requests if request.number in begun
        ):
            await asyncio.sleep(0)


async def call(novu: Novu, step: Step) -> Any:
    subscribers = novu.subscribers
    if step.verb == "delete":
        return await subscribers.credentials.delete(step.subscriber_id, step.provider_id)
    if step.verb == "clear":
        return await subscribers.device_tokens.clear(step.subscriber_id, step.provider_id)
    verb = getattr(subscribers.device_tokens, step.verb)
    return await verb(step.subscriber_id, step.provider_id, step.tokens)


async def run(novu: Novu, program: list[Step]) -> list[Any]:
    """Start every call in order without waiting for any; return the results and errors."""

    async def interrupt(task: asyncio.Task[Any], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    tasks, interrupts = [], []
    for step in program:
        tasks.append(asyncio.create_task(call(novu, step)))
        await asyncio.sleep(0)
        if step.cancel_after is not None:
            interrupts.append(asyncio.create_task(interrupt(tasks[-1], step.cancel_after)))
        for _ in range(step.pause):
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*interrupts)
    return results


def apply(stored: list[str], step: Step) -> list[str]:
    if step.verb == "add":
        return list(dict.fromkeys([*stored, *step.tokens]))
    if step.verb == "remove":
        return [token for token in stored if token not in step.tokens]
    return list(step.tokens) if step.verb == "replace" else []


def must_be_stored(program: list[Step], results: list[Any], where: tuple[str, str]) -> set[str]:
    """Return the tokens that were acknowledged and that no later call may have taken away."""
    sure: set[str] = set()
    for step, result in zip(program, results, strict=True):
        if (step.subscriber_id, step.provider_id) != where:
            continue
        if not isinstance(result, BaseException):
            sure = set(apply(sorted(sure), step))
        elif step.verb == "remove":
            sure -= set(step.tokens)
        elif step.verb == "replace":
            sure &= set(step.tokens)
        elif step.verb != "add":
            sure = set()
    return sure


@random_programs
@given(program=steps)
async def test_any_program_of_concurrent_verbs_ends_as_if_run_in_order(
    program: list[Step],
) -> None:
    """Tokens and their order are those of the same calls made one after the other."""
    async with (
        LocalNovu() as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        results = await run(novu, program)
        assert [result for result in results if isinstance(result, BaseException)] == []
        for subscriber_id in SUBSCRIBERS:
            for provider_id in PROVIDERS:
                expected: list[str] = []
                for step in program:
                    if (step.subscriber_id, step.provider_id) == (subscriber_id, provider_id):
                        expected = apply(expected, step)
                assert local.device_tokens(subscriber_id, provider_id) == expected
        assert len(novu._pipeline.ordering) == 0


@random_programs
@given(program=steps, cuts=interrupted_steps)
async def test_cancelled_calls_take_nothing_from_the_others(
    program: list[Step], cuts: list[tuple[int, int]]
) -> None:
    """A call that was cancelled may or may not have happened; the acknowledged ones have."""
    after = dict(cuts)
    program = [
        Step(s.verb, s.subscriber_id, s.provider_id, s.tokens, s.pause, after.get(i))
        for i, s in enumerate(program)
    ]
    async with (
        # slow enough for the next write to overlap one that was abandoned
        LocalNovu(latency=0.002) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        results = await run(novu, program)
        for subscriber_id in SUBSCRIBERS:
            await novu.subscribers.device_tokens.list(subscriber_id, "fcm")  # the last in its line
            for provider_id in PROVIDERS:
                sure = must_be_stored(program, results, (subscriber_id, provider_id))
                assert sure <= set(local.device_tokens(subscriber_id, provider_id))
        assert len(novu._pipeline.ordering) == 0


@random_programs
@given(program=steps, foreign=st.lists(st.integers(0, 30), min_size=1, max_size=12))
async def test_a_foreign_writer_takes_nothing_away_unnoticed(
    program: list[Step], foreign: list[int]
) -> None:
    """Another process appends to the same channels, without waiting for anybody.

    With confirm_after every acknowledged token outlives it; what could not be kept is an error.
    """
    async with (
        LocalNovu() as local,
        Novu(api_key=local.api_key, server_url=local.url, confirm_after=1) as novu,
        Novu(api_key=local.api_key, server_url=local.url) as stranger,
    ):
        novu._pipeline.clock = QuietClock(local)

        async def interfere(number: int, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            request = {"provider_id": "fcm", "credentials": {"device_tokens": [f"f{number}"]}}
            await stranger.subscribers.credentials.append("u", request)

        others = [asyncio.create_task(interfere(i, turns)) for i, turns in enumerate(foreign)]
        results = await run(novu, program)
        await asyncio.gather(*others)
        assert all(
            isinstance(result, NovuError) or not isinstance(result, BaseException)
            for result in results
        )
        for provider_id in PROVIDERS:
            sure = must_be_stored(program, results, ("u", provider_id))
            assert sure <= set(local.device_tokens("u", provider_id))
