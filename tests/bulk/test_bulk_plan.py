"""Dry runs: everything is read and nothing is sent."""

from pathlib import Path
from typing import Any

import pytest

from novu_async._secrets import fingerprint
from novu_async.bulk import Bulk, Progress, WebhookUrl, plan
from novu_async.bulk.plan import Examples
from novu_async.bulk.records import Operation
from novu_async.errors import InvalidRequestError
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio


async def test_a_dry_run_says_what_the_job_would_do(bulk: Bulk, local: LocalNovu) -> None:
    """The figures are those of the job itself, and nothing is sent."""
    rows = [
        *[("full", "fcm", f"t{i}") for i in range(101)],
        ("u", "FCM", "x1"),
        ("u", "FCM", "x2"),
        ("u", "nonsense", "x3"),
        ("u", "apns", "shared"),
        ("v", "apns", "shared"),
        ("v", "apns", "shared"),
        ("", "apns", "y"),
        ("w", "apns", ""),
        ("w", "apns", " "),
    ]
    dry = await bulk.plan(rows)
    assert local.requests == []
    assert (dry.rows, dry.invalid, dry.duplicates, dry.ok) == (110, 3, 1, False)
    assert (dry.subscribers, dry.tokens, dry.writes, dry.requests) == (3, 106, 5, 5)
    assert [(r.reason, r.count, r.lines) for r in dry.invalid_reasons] == [
        ("token must not be empty", 2, (109, 110)),
        ("subscriber_id must not be empty", 1, (108,)),
    ]
    assert [(one.provider_id, one.rows, one.nearest) for one in dry.unknown_providers] == [
        ("FCM", 2, "fcm"),
        ("nonsense", 1, None),
    ]
    (shared,) = dry.shared_tokens.first
    assert dry.shared_tokens.count == 1
    assert (shared.fingerprint, shared.subscribers) == (fingerprint("shared"), 2)
    assert shared.lines == (105, 106, 107)
    (full,) = dry.over_limit.first
    assert (full.subscriber_id, full.provider_id, full.tokens) == ("full", "fcm", 101)
    assert dry.padded == Examples(0, ())
    assert dry.seconds == {"free": 0, "pro": 0, "business": 0, "enterprise": 0}


async def test_white_space_around_values_is_told(bulk: Bulk) -> None:
    """It is sent as it is, and no token or id has any."""
    rows = [("u", "fcm", "t"), ("u", "fcm", " t"), ("u ", "fcm", "t"), ("u", "fcm\ufeff", "t")]
    rows += [(f"u{i}", "fcm", " t") for i in range(4)]
    assert (await bulk.plan(rows)).padded == Examples(7, (2, 3, 4, 5, 6))


async def test_the_figures_hold(bulk: Bulk, local: LocalNovu) -> None:
    """The job sends as many requests as its dry run says."""
    rows = [(f"u{i % 300}", "fcm", f"t{i}") for i in range(900)]
    dry = await plan(rows)
    report = await bulk.register(rows)
    assert dry.requests == report.requests == len(local.requests) == 300
    assert dry.seconds["free"] == pytest.approx((300 - 110) / 20)


async def test_verify_is_planned_as_it_reads(bulk: Bulk, local: LocalNovu) -> None:
    """One request for a subscriber, and one for each of its integrations that is named."""
    local.add_integration("fcm", identifier="fcm-eu")
    local.add_integration("slack", identifier="slack-eu")
    rows: list[Any] = [
        *[("u", provider, f"t{i}") for provider in ("fcm", "apns", "expo") for i in range(3)],
        ("u", "fcm", "t", "fcm-eu"),
        WebhookUrl("u", "slack", "https://h", None, "slack-eu"),
        ("v", "fcm", "t", "fcm-eu"),
        ("w", "apns", "t"),
    ]
    await bulk.register(rows)
    sent = len(local.requests)
    dry = await bulk.plan(rows, operation="verify")
    assert (dry.writes, dry.requests) == (7, 4)
    report = await bulk.verify(rows)
    assert report.ok
    reads = [one for one in local.requests[sent:] if "/subscribers/" in one.path]
    assert len(reads) == 4
    assert report.requests == len(local.requests) - sent


@pytest.mark.parametrize("operation", ["append", "replace", "remove", "delete", "verify"])
async def test_only_what_fills_a_channel_can_be_beyond_its_limit(operation: Operation) -> None:
    """Removing, deleting and reading back are never refused for too many tokens."""
    dry = await plan([("u", "fcm", f"t{i}") for i in range(101)], operation=operation)
    assert dry.over_limit.count == (operation in ("append", "replace"))


async def test_a_dry_run_needs_no_client_and_tells_its_progress() -> None:
    """Reading a large file takes a while."""
    seen: list[Progress] = []
    example = Path(__file__).parents[2] / "examples" / "device_tokens.csv"
    dry = await plan(example, operation="remove", progress=seen.append)
    assert (dry.operation, dry.rows, dry.requests) == ("remove", 2268, 2 * 1335)
    assert [progress.phase for progress in seen] == ["reading", "merging"]
    with pytest.raises(InvalidRequestError, match="does not exist"):
        await plan("missing.csv")
