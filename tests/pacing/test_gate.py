"""The gate in virtual time, against the server's own bucket."""

import asyncio
import tracemalloc
from collections.abc import Iterable
from contextlib import suppress

import pytest

from novu_async._pacing import Gate, RateLimit
from tests.pacing.bucket import Bucket, Client, LeakyBucket, make_client
from tests.pacing.virtual_time import VirtualClock, run

HEADERS = {
    "ratelimit-limit": "100",
    "ratelimit-remaining": "0",
    "ratelimit-policy": '100;w=5;burst=110;comment="token bucket"',
}


def share_rejected(bucket: Bucket) -> float:
    return bucket.rejected / (bucket.accepted + bucket.rejected)


async def all_of(clients: Iterable[Client], seconds: float) -> None:
    await asyncio.gather(*(client.run(seconds=seconds) for client in clients))


@pytest.mark.parametrize("latency", [0.003, 0.03, 0.1])
@pytest.mark.parametrize("per_second", [20, 80, 200])
def test_one_client_uses_what_the_limit_allows_and_is_not_rejected(
    per_second: int, latency: float
) -> None:
    """In 30 seconds at least 98 % of burst and rate, with at most 0.5 % rejected."""
    bucket = Bucket(per_second)
    run(all_of([make_client(bucket, latency=latency)], 30))
    assert bucket.accepted >= 0.98 * (bucket.burst + 30 * per_second)
    assert share_rejected(bucket) <= 0.005


@pytest.mark.parametrize("latency", [0.003, 0.1])
@pytest.mark.parametrize("per_second", [0.4, 1, 2, 5])
def test_a_small_limit_is_used_too(per_second: float, latency: float) -> None:
    """In five minutes at least 98 % of it; only the first requests meet an unknown bucket."""
    bucket = Bucket(per_second)

    async def main() -> None:
        client = make_client(bucket, latency=latency)
        with suppress(TimeoutError):
            await asyncio.wait_for(client.run(), 300)

    run(main())
    assert bucket.accepted >= 0.98 * (bucket.burst + 300 * per_second)
    assert bucket.rejected <= max(0, 16 - bucket.burst) + 0.005 * bucket.accepted


def test_two_clients_share_a_small_limit() -> None:
    """Of a bucket that refills by one token each time neither takes more than flows in."""
    bucket = Bucket(1)

    async def main() -> None:
        clients = (make_client(bucket, seed=seed, in_flight=3) for seed in (1, 2))
        with suppress(TimeoutError):
            await asyncio.wait_for(all_of(clients, 300), 300)

    run(main())
    assert bucket.accepted >= 0.98 * (bucket.burst + 300)
    assert share_rejected(bucket) <= 0.1


@pytest.mark.parametrize("per_second", [20, 200])
def test_a_job_takes_as_long_as_the_limit_demands(per_second: int) -> None:
    """At most 1.03 times (N - burst) / limit seconds: the burst is used, and nothing is wasted."""
    bucket = Bucket(per_second)
    requests = bucket.burst + 30 * per_second
    assert run(make_client(bucket).run(requests=requests)) <= 1.03 * 30


@pytest.mark.parametrize("per_second", [20, 200])
def test_two_clients_on_one_key_share_the_limit(per_second: int) -> None:
    """Together at least 95 % of what is allowed, with at most 2 % rejected."""
    bucket = Bucket(per_second)
    run(all_of([make_client(bucket, seed=seed) for seed in (1, 2)], 30))
    assert bucket.accepted >= 0.95 * (bucket.burst + 30 * per_second)
    assert share_rejected(bucket) <= 0.02


def test_a_share_leaves_room_for_others() -> None:
    """With share=0.5 half of the rate is used in the long run."""
    bucket = Bucket(200)
    run(all_of([make_client(bucket, share=0.5)], 60))
    assert 0.95 * 60 * 100 <= bucket.accepted <= 1.02 * 60 * 100


def test_a_bucket_that_others_have_used_up_is_met_carefully() -> None:
    """A client that comes late to an empty bucket is hardly ever rejected."""
    bucket = Bucket(20)

    async def late() -> None:
        for _ in range(bucket.burst):
            bucket.take()
        await asyncio.sleep(1)
        await make_client(bucket).run(seconds=30)

    run(late())
    assert bucket.rejected <= 3


def test_one_429_stops_everything_until_its_retry_after_and_no_herd_follows() -> None:
    """Nothing passes meanwhile; after it the requests come at the rate."""
    passed: list[float] = []

    async def main() -> None:
        gate, clock = Gate(1.0, VirtualClock()), asyncio.get_running_loop().time
        assert gate.enter()
        gate.observe(HEADERS, 3.0)

        async def wait() -> None:
            await gate.wait()
            passed.append(clock())
            gate.observe({**HEADERS, "ratelimit-remaining": "60"})

        assert not gate.enter()
        await asyncio.gather(*(wait() for _ in range(50)))

    run(main())
    assert min(passed) >= 3.0
    within_a_second = [t for t in passed if t < min(passed) + 1]
    assert len(within_a_second) <= 20 * 1.25 + 2


def test_no_herd_follows_a_429_of_a_server_that_names_no_limit() -> None:
    """When the wait is over a few go first, for ten seconds."""

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        assert gate.enter()
        gate.observe({}, None)
        assert gate.enter()
        gate.observe({}, 1.0, succeeded=False)
        waiting = [asyncio.create_task(gate.wait()) for _ in range(200)]
        await asyncio.sleep(1.1)
        assert sum(task.done() for task in waiting) == 16
        for _ in range(16):
            gate.observe({}, None)
        await asyncio.sleep(0.1)
        assert sum(task.done() for task in waiting) == 32
        await asyncio.sleep(10)
        gate.observe({}, None)
        await asyncio.gather(*waiting)

    run(main())


@pytest.mark.parametrize("latency", [0.002, 0.05])
def test_a_limit_that_is_not_announced_is_met_by_ever_fewer(latency: float) -> None:
    """A proxy's own: not most requests are rejected, but one of each burst that it lets through."""
    bucket = LeakyBucket(20)
    run(all_of([make_client(bucket, latency=latency)], 60))
    assert bucket.accepted >= 0.3 * 60 * 20
    assert share_rejected(bucket) <= 0.3


def test_the_first_requests_are_few_until_the_limit_is_known() -> None:
    """Sixteen may be on their way before the first answer; then everybody goes."""

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        assert [gate.enter() for _ in range(17)] == [True] * 16 + [False]
        waiting = asyncio.create_task(gate.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.observe({})
        await waiting
        assert all(gate.enter() for _ in range(1000))
        assert gate.known is None

    run(main())


def test_what_is_known_can_be_read() -> None:
    """Limit, window, burst and the last count, as the server sent them."""

    async def main() -> RateLimit | None:
        gate = Gate(1.0, VirtualClock())
        gate.enter()
        gate.observe({**HEADERS, "ratelimit-remaining": "109"})
        return gate.known

    known = run(main())
    assert known is not None
    assert (known.limit, known.window, known.burst, known.remaining) == (100, 5.0, 110, 109)
    assert (known.per_second, known.available, known.stopped_for) == (20.0, 109.0, 0.0)


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit-limit": "x"},
        {"ratelimit-limit": "0", "ratelimit-remaining": "0"},
        {"ratelimit-limit": "-5", "ratelimit-remaining": "1"},
        {"ratelimit-limit": "100"},
        {"ratelimit-limit": "9" * 400, "ratelimit-remaining": "1"},
        {"ratelimit-limit": "100", "ratelimit-remaining": "٣"},
        {"ratelimit-limit": "100", "ratelimit-remaining": "50", "ratelimit-policy": "w=0;burst="},
    ],
)
def test_headers_that_make_no_sense_stop_nobody(headers: dict[str, str]) -> None:
    """The gate goes on as if they were not there."""

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        for _ in range(20):
            if not gate.enter():
                await asyncio.wait_for(gate.wait(), 5)
            gate.observe(headers)

    run(main())


@pytest.mark.parametrize("policy", ["100;w=86400", "1;w=999999999"])
def test_the_quota_of_a_day_is_no_rate(policy: str) -> None:
    """A gateway that counts none remaining stops nobody: only its 429 does, while it says so."""
    quota = {**HEADERS, "ratelimit-policy": policy}

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        for _ in range(20):
            assert gate.enter()
            gate.observe(quota)
        assert gate.known is None
        assert gate.enter()
        gate.observe(quota, 3.0, succeeded=False)
        assert not gate.enter()
        await asyncio.sleep(3)
        assert gate.enter()

    run(main())


def test_a_server_that_stops_announcing_a_limit_is_not_paced() -> None:
    """The gate turns itself off."""

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        gate.enter()
        gate.observe(HEADERS)
        assert not gate.enter()
        gate._in_flight += 1
        gate.observe({})
        assert all(gate.enter() for _ in range(100))

    run(main())


def test_single_calls_are_not_stuck_behind_background_work() -> None:
    """A call passes after at most one of the requests that waited before it in the background."""
    order: list[str] = []

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        gate.enter()
        gate.observe(HEADERS)

        async def wait(name: str, *, background: bool) -> None:
            await gate.wait(background=background)
            order.append(name)
            gate.observe({**HEADERS, "ratelimit-remaining": "0"})

        bulk = [asyncio.create_task(wait("bulk", background=True)) for _ in range(30)]
        await asyncio.sleep(0)
        call = asyncio.create_task(wait("call", background=False))
        await asyncio.gather(*bulk, call)

    run(main())
    assert order.index("call") <= 2


def test_a_cancelled_waiter_takes_nothing_with_it() -> None:
    """The others pass as if it had never waited."""

    async def main() -> None:
        gate = Gate(1.0, VirtualClock())
        gate.enter()
        gate.observe({**HEADERS, "ratelimit-remaining": "3"})
        tasks = [asyncio.create_task(gate.wait()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        for task in tasks[1::2]:
            await task
            gate.observe(HEADERS)
        assert gate._in_flight == 0

    run(main())


def test_a_waiter_cancelled_as_it_passes_gives_its_place_back() -> None:
    """Otherwise every such one would leave room for one request less, for good."""

    async def main() -> None:
        gate = Gate(1.0, VirtualClock(), most=1)
        gate.enter()
        waiting = asyncio.create_task(gate.wait())
        await asyncio.sleep(0)
        gate.observe({})  # lets it pass
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert gate.enter()

    run(main())


def test_ten_thousand_waiters_cost_the_same_each() -> None:
    """The memory for each, and the timers, do not grow with their number."""

    async def peak(waiters: int) -> float:
        gate = Gate(1.0, VirtualClock())
        gate.enter()
        gate.observe({**HEADERS, "ratelimit-limit": "10000", "ratelimit-policy": "w=5"})
        timers = 0
        call_later = gate._clock.call_later

        def counted(seconds: float, callback: object) -> object:
            nonlocal timers
            timers += 1
            return call_later(seconds, callback)  # type: ignore[arg-type]

        gate._clock.call_later = counted  # type: ignore[method-assign]
        tracemalloc.start()
        tasks = [asyncio.create_task(gate.wait()) for _ in range(waiters)]
        await asyncio.sleep(0)
        used = tracemalloc.get_traced_memory()[0] / waiters
        tracemalloc.stop()
        assert timers == 1
        for task in tasks:
            await task
            gate.observe({**HEADERS, "ratelimit-limit": "10000", "ratelimit-remaining": "0"})
        assert timers <= 2 * waiters
        return used

    assert run(peak(10_000)) <= 1.5 * run(peak(1_000))
