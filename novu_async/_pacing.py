"""The rate at which one client sends, learnt from the server's own headers.

The server keeps one token bucket per environment: `RateLimit-Limit` tokens are refilled in a window
(`w` seconds of `RateLimit-Policy`), it holds `burst` of them, and refills only when it is empty.
`RateLimit-Remaining` therefore falls from refill to refill although tokens accrue; its highest
value since some moment is what the bucket held then. The gate keeps a model of the bucket, corrects
it by that value, and lets a request pass where the model has a token left.
"""

import re
from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Mapping

from attrs import frozen

from novu_async._clock import Clock

_POLITE = 16
"""Requests in flight before the first answer has said what the limit is."""

_RESERVE_SECONDS = 0.1
"""Tokens left for this much time, so that requests which bunch on their way are not rejected."""

_MIN_RESERVE = 2.0
_CORRECTION_SECONDS = 0.5
_DEFAULT_WINDOW = 5.0
_AFTER_STOP = 1.2
"""Times the rate at which what has piled up during a stop is let through."""


@frozen
class RateLimit:
    """What the server has said about its rate limit.

    - `limit`: requests per `window` seconds; `burst`: requests at once, after a pause.
    - `remaining`: what the server counted last, before any refill.
    - `available`: the client's own estimate at the time of reading.
    - `stopped_for`: seconds until the gate opens again after a 429, or 0.
    """

    limit: int
    window: float
    burst: int
    remaining: int
    available: float
    stopped_for: float

    @property
    def per_second(self) -> float:
        """Requests per second, in the long run."""
        return self.limit / self.window


class Gate:
    """One for each client: every request passes it before it is sent."""

    def __init__(self, share: float, clock: Clock) -> None:
        self._share = share
        self._clock = clock
        self._lanes: tuple[deque[Future[None]], deque[Future[None]]] = (deque(), deque())
        self._next_lane = 0
        self._in_flight = 0
        self._answered = False
        self._timer: object | None = None
        self._stopped_until = 0.0
        # the model of the server's bucket; `_rate` is 0 where the server has no limit
        self._limit = self._burst = self._remaining = 0
        self._window = _DEFAULT_WINDOW
        self._rate = 0.0
        self._others = 0.0
        self._tokens = 0.0
        self._updated = 0.0
        # the highest `remaining` since `_since`, beside the model's tokens at that moment
        self._since = 0.0
        self._highest = -1.0
        self._model_then = 0.0
        self._smooth_until = 0.0

    @property
    def known(self) -> RateLimit | None:
        """What is known of the limit; None where the server has announced none."""
        if not self._rate:
            return None
        now = self._clock.monotonic()
        self._refill(now)
        return RateLimit(
            self._limit,
            self._window,
            self._burst,
            self._remaining,
            self._tokens,
            max(0.0, self._stopped_until - now),
        )

    def enter(self) -> bool:
        """Pass at once if nobody waits and there is a token; False means: `await wait()`."""
        if not self._rate and self._answered and not self._stopped_until:
            self._in_flight += 1
            return True
        if self._lanes[0] or self._lanes[1]:
            return False
        return self._take(self._clock.monotonic())

    async def wait(self, *, background: bool = False) -> None:
        """Wait for a token; calls and background work take turns, each in its own order."""
        waiter: Future[None] = get_running_loop().create_future()
        self._lanes[background].append(waiter)
        self._arm(self._clock.monotonic())
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.lost()
            raise

    def lost(self) -> None:
        """Count a request that ended without an answer."""
        self._in_flight -= 1
        self._open()

    def observe(self, headers: Mapping[str, str], rejected_for: float | None = None) -> None:
        """Learn from an answer; `rejected_for` is the Retry-After of a 429."""
        self._in_flight -= 1
        self._answered = True
        limit = headers.get("ratelimit-limit")
        if limit is None and rejected_for is None and not self._rate:
            if self._lanes[0] or self._lanes[1]:
                self._open()
            return
        now = self._clock.monotonic()
        self._refill(now)
        if limit is not None:
            self._learn(limit, headers, now)
        elif rejected_for is None:
            self._rate = 0.0
        if rejected_for is not None:
            self._stop(now, rejected_for)
        self._open()

    def _learn(self, limit: str, headers: Mapping[str, str], now: float) -> None:
        policy = headers.get("ratelimit-policy", "")
        try:
            count, remaining = int(limit), int(headers.get("ratelimit-remaining", "0"))
        except ValueError:
            return
        if count <= 0:
            return
        window = _parse_part(policy, "w") or _DEFAULT_WINDOW
        burst = int(_parse_part(policy, "burst") or count)
        self._remaining = remaining
        if (count, window, burst) != (self._limit, self._window, self._burst) or not self._rate:
            self._limit, self._window, self._burst = count, window, burst
            self._rate = count / window * self._share
            self._others = 0.0
            self._tokens, self._updated = float(remaining - self._in_flight), now
            self._begin_window(now)
        elif remaining > self._highest:
            self._highest, self._model_then = remaining, self._tokens + self._in_flight
        if now - self._since >= _CORRECTION_SECONDS:
            self._correct(now)

    def _correct(self, now: float) -> None:
        """Bring the model in line with the highest count of the last half second."""
        wrong = self._highest - self._model_then
        seconds = now - self._since
        # a count below the model is the use of others; above it, a refill nobody knew of
        self._others = min(max(0.0, self._others - 0.3 * wrong / seconds), self._rate)
        self._tokens = min(self._tokens + wrong, float(self._burst))
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._since, self._highest, self._model_then = now, -1.0, 0.0

    def _stop(self, now: float, seconds: float) -> None:
        self._stopped_until = max(self._stopped_until, now + seconds)
        self._tokens = min(self._tokens, 0.0)
        self._smooth_until = self._stopped_until + seconds
        self._begin_window(self._stopped_until)

    def _refill(self, now: float) -> None:
        if self._rate and now > self._updated:
            gained = (now - self._updated) * (self._rate - self._others)
            self._tokens = min(self._tokens + gained, float(self._burst))
            self._updated = now

    @property
    def _reserve(self) -> float:
        return max(_MIN_RESERVE, self._rate * _RESERVE_SECONDS)

    def _take(self, now: float) -> bool:
        if self._stopped_until:
            if now < self._stopped_until:
                return False
            self._stopped_until = 0.0
        if not self._rate:
            if not self._answered and self._in_flight >= _POLITE:
                return False
        else:
            self._refill(now)
            if self._tokens < self._reserve:
                return False
            self._tokens -= 1
        self._in_flight += 1
        return True

    def _open(self) -> None:
        """Let through whoever may pass now, and set the timer for the next one."""
        if not (self._lanes[0] or self._lanes[1]):
            return
        now = self._clock.monotonic()
        while waiter := self._pop():
            if not self._take(now):
                self._lanes[self._next_lane].appendleft(waiter)
                break
            waiter.set_result(None)
            self._next_lane ^= 1
        self._arm(now)

    def _pop(self) -> Future[None] | None:
        """Take the next one who waits: the two lanes in turn, as long as both have somebody."""
        for lane in (self._next_lane, self._next_lane ^ 1):
            while self._lanes[lane]:
                waiter = self._lanes[lane].popleft()
                if not waiter.done():
                    self._next_lane = lane
                    return waiter
        return None

    def _arm(self, now: float) -> None:
        if self._timer is not None or not (self._lanes[0] or self._lanes[1]):
            return
        if now < self._stopped_until:
            delay = self._stopped_until - now
        elif self._rate:
            missing = self._reserve - self._tokens
            delay = max(0.0, missing) / max(self._rate - self._others, self._rate * 0.05)
        elif self._answered:
            delay = 0.0
        else:
            return  # the first answer opens the gate
        self._timer = self._clock.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._open()


def _parse_part(policy: str, name: str) -> float | None:
    """Read a number such as `burst=110` out of a RateLimit-Policy."""
    found = re.search(rf'(?:^|[;,\s]){name}="?(\d{{1,9}}(?:\.\d{{1,6}})?)', policy)
    return float(found[1]) or None if found else None
