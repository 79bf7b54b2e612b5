"""The rate at which one client sends, learnt from the server's own headers.

The server keeps one token bucket for each environment: `RateLimit-Limit` tokens flow in during a
window (`w` seconds of `RateLimit-Policy`), and it holds `burst` of them. It adds what has flowed in
only when it has no token left, so `RateLimit-Remaining` falls until such a refill and jumps up with
it. What the bucket really holds is therefore the last count plus what has flowed in since the last
jump, whoever else uses it.

The gate sends at the bucket's rate times the fill of the bucket over a small target. A full bucket
is used up quickly; alone, a client settles at the target and so at the very rate; two clients on
one key settle at half the rate each; and near an empty bucket hardly anything is sent.
"""

import re
from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Mapping
from math import inf

from attrs import frozen

from novu_async._clock import Clock
from novu_async.errors import ClientClosedError

_POLITE = 16
"""Requests in flight as long as the state of the bucket is not known.

After a 429 that says nothing of a limit, too; half as many after the next that names no wait
either, as those of proxies.
"""

_TARGET = 4.0
_TARGET_SECONDS = 0.08
"""The fill to settle at: so many tokens, and what flows in during so many seconds.

Half of a small bucket at most: it would never hold so many.
"""

_SHARED_SECONDS = 60.0
_SHARED_TARGET = 9.0
"""So long after a 429 others are taken to use the bucket too, and more is left in it."""

_OUTDATED_SECONDS = 1.0
"""After so long without an answer others may have used the bucket."""

_CALM_SECONDS = 10.0
_CALM_FACTOR = 1.25
"""So long after a 429 at most so many times the rate is sent, even if the bucket has filled up."""

_DEFAULT_WINDOW = 5.0
_LONGEST_WINDOW = 60.0
"""A longer one is a quota, such as a gateway's for the day: its tokens are not worth waiting for.
"""

_TICK = 0.001
"""The shortest timer: at high rates what belongs to one millisecond passes at once."""
_RECKONED = 0.01
"""How soon what flows in is reckoned with at the earliest, so that timers stay few."""


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

    def __init__(self, share: float, clock: Clock, most: int = 1_000_000) -> None:
        self._share = share
        self._most = most  # in flight at once: more would wait for a connection, and time out there
        self._clock = clock
        self._lanes: tuple[deque[Future[bool]], deque[Future[bool]]] = (deque(), deque())
        self._next_lane = 0
        self._in_flight = 0
        self._answered = False
        self._timer: object | None = None
        self._stopped_until = 0.0
        # what the server has said of its bucket; `_rate` is 0 where it has no limit
        self._limit = self._burst = self._remaining = 0
        self._window = _DEFAULT_WINDOW
        self._announced = (0, "")
        self._rate = 0.0
        self._jumped = 0.0  # when `_remaining` last did not fall
        self._heard = 0.0  # when the last answer came
        self._rejected = -inf
        self._polite = _POLITE
        self._last = -inf  # when the last request was due

    @property
    def known(self) -> RateLimit | None:
        """What is known of the limit; None where the server has announced none."""
        if not self._rate:
            return None
        now = self._clock.monotonic()
        return RateLimit(
            self._limit,
            self._window,
            self._burst,
            self._remaining,
            self._available(now),
            self.stopped_for,
        )

    @property
    def stopped_for(self) -> float:
        """How many seconds a 429 keeps the gate shut, or 0."""
        return max(0.0, self._stopped_until - self._clock.monotonic())

    def enter(self) -> bool:
        """Pass at once if nobody waits and there is a token; False means: `await wait()`."""
        if self._lanes[0] or self._lanes[1]:
            return False
        if self._answered and not self._rate and not self._stopped_until:
            # the usual case of a server without a limit, spared a look at the clock
            has_room = self._in_flight < self._most
            self._in_flight += has_room
            return has_room
        return self._take(self._clock.monotonic())

    async def wait(self, *, background: bool = False) -> bool:
        """Wait for a token; calls and background work take turns, each in its own order.

        False, without a token, where a 429 has stopped the gate meanwhile: the call may not want to
        wait that long.
        """
        waiter: Future[bool] = get_running_loop().create_future()
        self._lanes[background].append(waiter)
        self._arm(self._clock.monotonic())
        try:
            return await waiter
        except BaseException:
            done = waiter.done() and not waiter.cancelled() and waiter.exception() is None
            if done and waiter.result():
                self.lost()  # it had passed just before it was cancelled
            raise

    def close(self) -> None:
        """Turn away everybody who waits."""
        for lane in self._lanes:
            while lane:
                waiter = lane.popleft()
                if not waiter.done():
                    waiter.set_exception(ClientClosedError("the client was closed"))

    def lost(self) -> None:
        """Count a request that ended without an answer."""
        self._in_flight -= 1
        self._open()

    def observe(
        self,
        headers: Mapping[str, str],
        rejected_for: float | None = None,
        *,
        succeeded: bool = True,
    ) -> None:
        """Learn from an answer; `rejected_for` is the Retry-After of a 429.

        Only a success without the headers says that there is no limit: errors that are made before
        the server's rate limiter, or by a proxy, come without them.
        """
        self._in_flight -= 1
        limit = headers.get("ratelimit-limit")
        self._answered = self._answered or succeeded or limit is not None
        if limit is None and rejected_for is None and not self._rate:
            if self._lanes[0] or self._lanes[1]:
                self._open()
            return
        now = self._clock.monotonic()
        if limit is not None:
            self._learn(limit, headers, now)
        elif rejected_for is None and succeeded:
            self._rate = 0.0
        if rejected_for is not None:
            if "retry-after" not in headers and now >= self._stopped_until:
                # not one that another of its burst has said already
                is_first = now - self._rejected >= _CALM_SECONDS
                self._polite = _POLITE if is_first else max(1, self._polite // 2)
            self._stop(now, rejected_for)
        self._open()

    def _learn(self, limit: str, headers: Mapping[str, str], now: float) -> None:
        policy = headers.get("ratelimit-policy", "")
        count, remaining = _parse_count(limit), _parse_count(headers.get("ratelimit-remaining"))
        if not count or remaining is None:
            return
        if not self._rate or remaining >= self._remaining:  # a refill of one token
            self._jumped = now
        self._heard = now
        self._remaining = remaining
        if (count, policy) != self._announced:  # nearly always what it was
            self._announced = count, policy
            self._limit = count
            self._window = _parse_part(policy, "w") or _DEFAULT_WINDOW
            self._burst = max(1, int(_parse_part(policy, "burst") or count))
        self._rate = self._limit / self._window if self._window <= _LONGEST_WINDOW else 0.0

    def _stop(self, now: float, seconds: float) -> None:
        """Send nothing for so long; then begin slowly, as if the bucket were empty still."""
        self._stopped_until = max(self._stopped_until, now + seconds)
        self._remaining = 0
        self._rejected = now
        self._jumped = self._stopped_until
        for lane in self._lanes:
            while lane:
                waiter = lane.popleft()
                if not waiter.done():
                    waiter.set_result(False)

    def _available(self, now: float) -> float:
        """Return what the bucket holds, less the requests on their way to it."""
        flowed_in = max(0.0, now - self._jumped) * self._rate
        return min(self._remaining + flowed_in, float(self._burst)) - self._in_flight

    def _pace(self, now: float) -> float:
        """Return the requests per second that the fill of the bucket allows; 0 for none."""
        since_rejected = now - self._rejected
        base = _SHARED_TARGET if since_rejected < _SHARED_SECONDS else _TARGET
        target = max(1.0, min(base + self._rate * _TARGET_SECONDS, self._burst / 2))
        available = self._available(now)
        pace = self._rate * available / target if available >= 1 else 0.0
        if self._share < 1:
            return min(pace, self._rate * self._share)
        if since_rejected < _CALM_SECONDS:
            return min(pace, self._rate * _CALM_FACTOR)
        return pace

    def _room(self, now: float) -> int:
        """Return how many requests may be in flight: few while the bucket's state is not known."""
        if self._rate:
            known, polite = now - self._heard < _OUTDATED_SECONDS, _POLITE
        else:
            known, polite = self._answered and not self._stopped_until, self._polite
        return self._most if known else min(self._most, polite)

    def _take(self, now: float) -> bool:
        if now < self._stopped_until:
            return False
        if self._rate or now - self._rejected >= _CALM_SECONDS:
            self._stopped_until = 0.0
        if self._in_flight >= self._room(now):
            return False
        if self._rate:
            pace = self._pace(now)
            due = self._last + 1 / pace if pace else inf
            if now < due - _TICK:
                return False
            self._last = max(due, now - _TICK)
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
            waiter.set_result(True)
            self._next_lane ^= 1
        self._arm(now)

    def _pop(self) -> Future[bool] | None:
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
        elif self._rate and self._in_flight < self._room(now):
            pace = self._pace(now)
            due = self._last + 1 / pace if pace else inf
            # as tokens flow in the next request is due earlier
            delay = min(due - now, max(1 / self._rate, _RECKONED))
        else:
            return  # the next answer opens the gate
        self._timer = self._clock.call_later(max(delay, _TICK), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._open()


def _parse_count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def _parse_part(policy: str, name: str) -> float | None:
    """Read a number such as `burst=110` out of a RateLimit-Policy."""
    found = re.search(rf'(?:^|[;,\s]){name}="?(\d{{1,9}}(?:\.\d{{1,6}})?)', policy)
    return float(found[1]) or None if found else None
