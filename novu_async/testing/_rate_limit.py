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
    tokens: int
    refilled_ms: float
    expires_ms: float


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
        limit = self._find_limit(category)
        kind, cost = ("bulk", BULK_COST) if bulk else ("single", 1)
        now_ms = now * 1000
        blocked = self._blocked_ms.get((category, kind), 0.0)
        if blocked > now_ms:
            allowed, remaining, reset_ms = False, 0, blocked
        else:
            allowed, remaining, reset_ms = self._charge(category, limit, cost, now_ms)
            if not allowed:
                self._blocked_ms[category, kind] = reset_ms
        seconds = max(math.ceil((reset_ms - now_ms) / 1000), 0)
        return Verdict(
            allowed, self._make_headers(category, kind, limit, remaining, seconds, allowed)
        )

    def _find_limit(self, category: str) -> int:
        share = 1.0 if category == "configuration" else _GLOBAL_SHARE
        return max(math.floor(self.per_second * share * WINDOW_SECONDS), 1)

    def _charge(
        self, category: str, limit: int, cost: int, now_ms: float
    ) -> tuple[bool, int, float]:
        """Take the cost from the bucket: (allowed, tokens left, when the next one is due)."""
        burst = math.floor(limit * (1 + _BURST))
        token_ms = _WINDOW_MS / limit
        bucket = self._buckets.get(category)
        if bucket is None or bucket.expires_ms <= now_ms:
            bucket = _Bucket(burst, now_ms, now_ms + _EXPIRY_MS)
            self._buckets[category] = bucket
        if bucket.tokens < cost and not self._refill(bucket, cost, burst, token_ms, now_ms):
            return False, 0, bucket.refilled_ms + (cost - bucket.tokens) * token_ms
        bucket.tokens -= cost
        wait = cost if bucket.tokens >= cost else cost - bucket.tokens
        return True, bucket.tokens, bucket.refilled_ms + wait * token_ms

    def _refill(
        self, bucket: _Bucket, cost: int, burst: int, token_ms: float, now_ms: float
    ) -> bool:
        """Add the tokens earned since the last refill; change nothing when they do not suffice."""
        earned = math.floor((now_ms - bucket.refilled_ms) / token_ms)
        filled = min(bucket.tokens + earned, burst)
        if filled < cost:
            return False
        bucket.tokens = filled
        bucket.refilled_ms += earned * token_ms
        bucket.expires_ms = now_ms + _EXPIRY_MS
        return True

    def _make_headers(
        self, category: str, kind: str, limit: int, remaining: int, seconds: int, allowed: bool
    ) -> dict[str, str]:
        burst = math.floor(limit * (1 + _BURST))
        headers = {
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Limit": str(limit),
            "RateLimit-Reset": str(seconds),
            "RateLimit-Policy": f'{limit};w={WINDOW_SECONDS};burst={burst};comment="token bucket"'
            f';category="{category}";cost="{kind}";serviceLevel="free"',
        }
        if not allowed:
            headers["Retry-After"] = str(seconds)
        return headers
