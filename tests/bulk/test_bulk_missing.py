"""Subscribers that the API does not know, in bulk."""

import pytest

from novu_async import Novu
from novu_async.bulk import DeviceToken, WebhookUrl
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("on_missing", ["raise", "create"])
async def test_tokens_and_webhooks_of_unknown_subscribers(on_missing: str) -> None:
    """With "create" each is created once and everything is stored; else every row fails."""
    rows = [
        DeviceToken("new-1", "fcm", "token-1"),
        DeviceToken("new-1", "apns", "token-2"),
        WebhookUrl("new-1", "slack", "https://example.com/1"),
        WebhookUrl("new-2", "slack", "https://example.com/2"),
    ]
    async with (
        LocalNovu(subscribers=[]) as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        report = await novu.bulk.register(rows, on_missing_subscriber=on_missing)
        if on_missing == "raise":
            assert (report.done, report.failed) == (0, 4)
            assert not local.subscribers
            return
        assert (report.done, report.failed) == (4, 0)
        assert [request.method for request in local.requests].count("POST") == 2
        assert local.device_tokens("new-1", "fcm") == ["token-1"]
        assert len(local.subscribers["new-1"]["channels"]) == 3
