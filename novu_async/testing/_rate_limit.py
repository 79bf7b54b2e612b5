"""The API's token bucket, with its delayed refill and its burst. Pure: time is an argument."""

import math
from typing import Final

from attrs import define, field, frozen

WINDOW_SECONDS: Final = 5
_BURST: Final = 0.1
_WINDOW_MS: Final = WINDOW_SECONDS * 1000
_EXPIRY_MS: Final = 10_000
BULK_COST: Final = 100
# At every service level the other routes may be called half as often again.
_GLOBAL_SHARE: Final = 1.5


@define
class _Bucket:
    """Hold the tokens of one category, refilled only when too few are left."""

    limit: int
    burst: int
    tokens: int
    refilled_ms: float
    expires_ms: float

    @property
    def token_ms(self) -> float:
        return _WINDOW_MS / self.limit

    def charge(self, cost: int, now_ms: float) -> bool:
        """Take the cost; change nothing when what was earned does not suffice either."""
        if self.tokens < cost:
            earned = math.floor((now_ms - self.refilled_ms) / self.token_ms)
            filled = min(self.tokens + earned, self.burst)
            if filled < cost:
                return False
            self.tokens = filled
            self.refilled_ms += earned * self.token_ms
            self.expires_ms = now_ms + _EXPIRY_MS
        self.tokens -= cost
        return True

    def find_next_ms(self, cost: int) -> float:
        """Tell when the next request of this cost is due."""
        wait = cost if self.tokens >= cost else cost - self.tokens
        return self.refilled_ms + wait * self.token_ms


@frozen
class Verdict:
    """Say whether a request may pass, and the headers that tell the caller.

    Headers are set on every answer of a limited route; `Retry-After` on a refusal only.
    """

    allowed: bool
    headers: dict[str, str]


@define
class RateLimiter:
    """Keep one bucket per category: `configuration` for subscribers, `global` for the rest.

    `per_second` is the limit of the configuration category, at least one request in a window of
    5 seconds. The bucket is refilled only when too few tokens are left; it is forgotten 10 seconds
    after it was last filled.
    """

    per_second: float
    _buckets: dict[str, _Bucket] = field(factory=dict)
    _blocked_ms: dict[tuple[str, str], float] = field(factory=dict)

    def reset(self) -> None:
        """Forget every bucket."""
        self._buckets.clear()
        self._blocked_ms.clear()

    def take(self, category: str, *, bulk: bool, now: float) -> Verdict:
        """Charge one request (100 tokens for a bulk one) at `now`, in seconds."""
        kind, cost = ("bulk", BULK_COST) if bulk else ("single", 1)
        now_ms = now * 1000
        blocked_ms = self._blocked_ms.get((category, kind), 0.0)
        if blocked_ms > now_ms:
            bucket = self._buckets[category]
            return _make_verdict(category, kind, bucket, blocked_ms - now_ms, allowed=False)
        bucket = self._find_bucket(category, now_ms)
        allowed = bucket.charge(cost, now_ms)
        next_ms = bucket.find_next_ms(cost)
        if not allowed:
            self._blocked_ms[category, kind] = next_ms
        return _make_verdict(category, kind, bucket, next_ms - now_ms, allowed=allowed)

    def _find_bucket(self, category: str, now_ms: float) -> _Bucket:
        bucket = self._buckets.get(category)
        if bucket is None or bucket.expires_ms <= now_ms:
            share = 1.0 if category == "configuration" else _GLOBAL_SHARE
            limit = max(math.floor(self.per_second * share * WINDOW_SECONDS), 1)
            burst = math.floor(limit * (1 + _BURST))
            bucket = _Bucket(limit, burst, burst, now_ms, now_ms + _EXPIRY_MS)
            self._buckets[category] = bucket
        return bucket


def _make_verdict(
    category: str, kind: str, bucket: _Bucket, wait_ms: float, *, allowed: bool
) -> Verdict:
    seconds = max(math.ceil(wait_ms / 1000), 0)
    headers = {
        "RateLimit-Remaining": str(bucket.tokens if allowed else 0),
        "RateLimit-Limit": str(bucket.limit),
        "RateLimit-Reset": str(seconds),
        "RateLimit-Policy": f"{bucket.limit};w={WINDOW_SECONDS};burst={bucket.burst};"
        f'comment="token bucket";category="{category}";cost="{kind}";serviceLevel="free"',
    }
    if not allowed:
        headers["Retry-After"] = str(seconds)
    return Verdict(allowed, headers)
