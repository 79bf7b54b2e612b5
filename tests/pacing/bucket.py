"""Novu's token bucket as it was read from its source, and clients that send against it."""

import asyncio
import math
import random

from attrs import define

from novu_async._pacing import Gate
from tests.pacing.virtual_time import VirtualClock


@define
class Bucket:
    """Refills only when too few tokens are left; all times in milliseconds, as at the server."""

    per_second: float
    tokens: int | None = None
    refilled: float = 0.0
    accepted: int = 0
    rejected: int = 0

    @property
    def limit(self) -> int:
        return int(self.per_second * 5)

    @property
    def burst(self) -> int:
        return math.floor(self.limit * 1.1)

    def take(self) -> tuple[bool, dict[str, str]]:
        """Answer one request: whether it is accepted, and the headers."""
        now = asyncio.get_running_loop().time() * 1000
        if self.tokens is None:
            self.tokens, self.refilled = self.burst, now
        if self.tokens < 1:
            added = math.floor((now - self.refilled) * self.limit / 5000)
            if not added:
                self.rejected += 1
                return False, {**self._headers(0), "retry-after": "1"}
            self.tokens = min(self.burst, added)
            self.refilled += added * 5000 / self.limit
        self.tokens -= 1
        self.accepted += 1
        return True, self._headers(self.tokens)

    def _headers(self, remaining: int) -> dict[str, str]:
        policy = f'{self.limit};w=5;burst={self.burst};comment="token bucket";cost="single"'
        return {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(remaining),
            "ratelimit-policy": policy,
        }


@define
class LeakyBucket(Bucket):
    """That of nginx (`limit_req` with `burst=5 nodelay`), which announces nothing."""

    excess: float = 0.0

    def take(self) -> tuple[bool, dict[str, str]]:
        """Answer one request; after a 429 that names no wait a client waits for a second."""
        now = asyncio.get_running_loop().time()
        self.excess = max(0.0, self.excess - (now - self.refilled) * self.per_second)
        self.refilled = now
        if self.excess > 5:
            self.rejected += 1
            return False, {}
        self.excess += 1
        self.accepted += 1
        return True, {}


@define
class Client:
    """Keeps `in_flight` requests going through one gate; latency is random around `latency` s."""

    bucket: Bucket
    gate: Gate
    latency: float = 0.01
    in_flight: int = 64
    sent: int = 0
    seed: int = 1

    async def run(self, *, seconds: float = math.inf, requests: float = math.inf) -> float:
        """Send for so long or so many accepted requests; return the seconds it took."""
        random_latency = random.Random(self.seed)  # noqa: S311
        clock = asyncio.get_running_loop().time
        began = clock()

        async def work() -> None:
            while clock() < began + seconds and self.sent < requests:
                self.sent += 1
                if not self.gate.enter():
                    while not await self.gate.wait():
                        pass
                await asyncio.sleep(random_latency.expovariate(2 / self.latency))
                accepted, headers = self.bucket.take()
                await asyncio.sleep(random_latency.expovariate(2 / self.latency))
                self.gate.observe(
                    headers, None if accepted else float(headers.get("retry-after", 1))
                )
                self.sent -= not accepted

        await asyncio.gather(*(work() for _ in range(self.in_flight)))
        return clock() - began


def make_client(bucket: Bucket, share: float = 1.0, **options: float) -> Client:
    return Client(bucket, Gate(share, VirtualClock()), **options)  # type: ignore[arg-type]
