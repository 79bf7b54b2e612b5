"""The token bucket of the API, as a rule and over HTTP."""

import math
from typing import Any

import pytest
from raw_http import put, send

from novu_async.testing import LocalNovu
from novu_async.testing._rate_limit import RateLimiter

pytestmark = pytest.mark.anyio

NOW = 1_000.0


def take(limiter: RateLimiter, now: float, *, bulk: bool = False) -> tuple[bool, str, str]:
    """Charge a request: (allowed, remaining, reset)."""
    verdict = limiter.take("configuration", bulk=bulk, now=now)
    headers = verdict.headers
    return verdict.allowed, headers["RateLimit-Remaining"], headers["RateLimit-Reset"]


def test_the_first_answer_of_a_free_environment() -> None:
    """20 a second are announced as 100 in 5 s with a burst of 110."""
    verdict = RateLimiter(20).take("configuration", bulk=False, now=NOW)
    assert verdict.headers == {
        "RateLimit-Limit": "100",
        "RateLimit-Remaining": "109",
        "RateLimit-Reset": "1",
        "RateLimit-Policy": '100;w=5;burst=110;comment="token bucket";'
        'category="configuration";cost="single";serviceLevel="free"',
    }


def test_two_a_second_hold_eleven() -> None:
    """At 2 a second eleven requests pass at once and the twelfth waits a second."""
    limiter = RateLimiter(2)
    seen = [take(limiter, NOW) for _ in range(12)]
    assert [one[0] for one in seen] == [True] * 11 + [False]
    assert [one[1] for one in seen] == [str(n) for n in range(10, -1, -1)] + ["0"]
    refused = limiter.take("configuration", bulk=False, now=NOW)
    assert refused.headers["Retry-After"] == "1"


async def test_a_limit_below_one_request_in_a_window_admits_one() -> None:
    """However low it is, the limit answers 429 and never fails."""
    async with LocalNovu(rate_limit=0.1, clock=lambda: NOW) as local:
        replies = [await send(local, "GET", "/v1/subscribers/u1") for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    assert replies[1].headers["retry-after"] == "5"


@pytest.mark.parametrize("limit", [0, -1, math.nan, math.inf])
def test_a_limit_that_is_no_rate_is_refused(limit: float) -> None:
    """When the server is made, not by its first answer."""
    with pytest.raises(ValueError, match="rate_limit must be a number above 0"):
        LocalNovu(rate_limit=limit)


def test_nothing_is_refilled_before_the_bucket_is_empty() -> None:
    """Remaining falls although time passes; the tokens earned come when they are needed."""
    limiter = RateLimiter(2)
    assert take(limiter, NOW)[1] == "10"
    assert take(limiter, NOW + 4) == (True, "9", "0")
    for _ in range(9):
        take(limiter, NOW + 4)
    assert take(limiter, NOW + 4) == (True, "7", "1")


def test_a_refused_request_is_refused_until_its_reset() -> None:
    """A refusal blocks the category for the time announced, and then one token is there."""
    limiter = RateLimiter(2)
    for _ in range(11):
        take(limiter, NOW)
    assert not take(limiter, NOW + 0.4)[0]
    assert not take(limiter, NOW + 0.499)[0]
    assert take(limiter, NOW + 0.5)[0]
    assert not take(limiter, NOW + 0.6)[0]


def test_a_refill_keeps_the_rest_of_the_time() -> None:
    """What is earned is counted from the last whole token, not from the refill."""
    limiter = RateLimiter(2)
    for _ in range(11):
        take(limiter, NOW)
    assert take(limiter, NOW + 0.7)[0]
    assert take(limiter, NOW + 1.0)[0]


def test_what_can_never_pass_is_blocked_for_long() -> None:
    """A bulk call above the burst is refused until its far reset, also when the bucket is gone."""
    limiter = RateLimiter(2)
    assert take(limiter, NOW, bulk=True) == (False, "0", "45")
    assert take(limiter, NOW + 20, bulk=True) == (False, "0", "25")


def test_an_idle_bucket_is_forgotten_after_ten_seconds() -> None:
    """Ten seconds after its last filling a bucket starts anew, full."""
    limiter = RateLimiter(2)
    take(limiter, NOW)
    take(limiter, NOW + 9)
    assert take(limiter, NOW + 10)[1] == "10"


def test_a_bulk_call_costs_a_hundred() -> None:
    """On 20 a second one bulk call passes; the next must wait for 90 tokens."""
    limiter = RateLimiter(20)
    assert take(limiter, NOW, bulk=True)[:2] == (True, "10")
    assert take(limiter, NOW, bulk=True) == (False, "0", "5")
    assert take(limiter, NOW)[0]


async def test_headers_come_with_every_answer_but_a_401() -> None:
    """Errors, reads and replays cost a token; a wrong key and an unknown route do not."""
    async with LocalNovu(
        rate_limit=20, strict=True, integrations=["fcm"], idempotency=True
    ) as local:
        path = "/v1/subscribers/ghost/credentials"
        free = [
            await send(local, "PUT", path, body={}, key="wrong"),
            await send(local, "PUT", "/v1/nothing", body={}),
            await send(local, "PUT", path, body=b"{"),
        ]
        key = {"Idempotency-Key": "k"}
        charged = [
            await send(local, "PUT", path, body={}),
            await put(local, "ghost", "fcm", {}),
            await send(local, "GET", "/v1/subscribers/ghost"),
            await send(local, "DELETE", "/v1/subscribers/ghost/credentials/fcm"),
            await put(local, "ghost", "fcm", {}, method="PATCH", headers=key),
            await put(local, "ghost", "fcm", {}, method="PATCH", headers=key),
        ]
        other = await send(local, "GET", "/v1/integrations")
    assert all("ratelimit-limit" not in reply.headers for reply in free)
    remaining = [int(reply.headers["ratelimit-remaining"]) for reply in charged]
    assert remaining == [109, 108, 107, 106, 105, 104]
    assert 'category="global"' in other.headers["ratelimit-policy"]
    assert other.headers["ratelimit-limit"] == "150"


@pytest.mark.parametrize("era", ["2024", "2026"])
async def test_429_comes_before_validation(era: Any, clock: Any) -> None:
    """An exhausted bucket refuses with Retry-After, whatever the body; later it admits again."""
    path = "/v1/subscribers/u1/credentials"
    async with LocalNovu(era=era, rate_limit=2, clock=clock) as local:
        for _ in range(11):
            await send(local, "PUT", path, body={})
        refused = await send(local, "PUT", path, body={})
        clock.advance(int(refused.headers["retry-after"]))
        admitted = await send(local, "PUT", path, body={})
    expected = {
        "statusCode": 429,
        "timestamp": "",
        "path": path,
        "message": "API rate limit exceeded",
    }
    assert refused.status == 429
    assert {**refused.json, "timestamp": ""} == (
        expected if era == "2024" else {**expected, "ctx": {}}
    )
    assert refused.headers["ratelimit-remaining"] == "0"
    assert refused.headers["content-type"] == "application/json; charset=utf-8"
    assert admitted.status != 429


async def test_no_headers_when_off() -> None:
    """Without a limit nothing is announced."""
    async with LocalNovu() as local:
        reply = await put(local, "u1", "fcm", {})
    assert not [name for name in reply.headers if name.startswith("ratelimit")]
