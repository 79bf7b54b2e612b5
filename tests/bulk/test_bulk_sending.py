"""What the answer to one write says of each row."""

from types import SimpleNamespace
from typing import Any

import pytest

from novu_async import BackoffStrategy, Novu, RetryConfig
from novu_async.bulk import Bulk, WebhookUrl
from novu_async.bulk.plan import Write
from novu_async.bulk.reasons import NOT_READ_BACK
from novu_async.bulk.records import Operation
from novu_async.bulk.sending import Sender
from novu_async.errors import DeviceTokensNotStoredError, SubscriberNotFoundError
from novu_async.models import ChannelCredentials, ChannelSettingsDto
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

WRITE = Write("u", "fcm", None, (1, 2, 3), ("a", "b", "c"))


def overwritten(*missing: str) -> Any:
    """Make `novu.subscribers` whose writes another writer keeps overwriting."""

    async def fail(*_: Any, **__: Any) -> None:
        raise DeviceTokensNotStoredError("overwritten", missing, requests=6)

    return SimpleNamespace(
        device_tokens=SimpleNamespace(add=fail, replace=fail, remove=fail), retrieve=None
    )


async def test_only_the_tokens_that_are_not_stored_fail() -> None:
    """The others of the same write are done."""
    (result,) = await Sender(overwritten("b"), "append").send([WRITE])
    assert list(result.missing) == ["b"]
    assert result.missing["b"].retryable


@pytest.mark.parametrize(
    ("operation", "missing"), [("append", ()), ("replace", ("b",)), ("remove", ("b",))]
)
async def test_a_write_that_is_one_whole_fails_as_one(
    operation: Operation, missing: tuple[str, ...]
) -> None:
    """Part of a replace, fed back, would erase the other part."""
    with pytest.raises(DeviceTokensNotStoredError):
        await Sender(overwritten(*missing), operation).send([WRITE])


async def test_rows_of_a_partly_stored_write_end_up_apart() -> None:
    """The job counts the stored tokens as done and the others as failed."""
    bulk = Bulk(lambda _: (overwritten("b"), int), server_url="", rate_limit=lambda: None)
    report = await bulk.register([("u", "fcm", token) for token in "abc"])
    assert (report.done, report.failed) == (2, 1)
    assert [(one.reason, one.lines) for one in report.failures] == [
        ("acknowledged but not stored", (2,))
    ]


def reads(*channels: ChannelSettingsDto) -> Any:
    """Make `novu.subscribers` where every subscriber has these channels."""

    async def retrieve(_: str) -> Any:
        return SimpleNamespace(channels=[*channels, "nonsense"])

    return SimpleNamespace(retrieve=retrieve)


def channel(**credentials: Any) -> ChannelSettingsDto:
    """Make a channel of FCM."""
    return ChannelSettingsDto(provider_id="fcm", credentials=ChannelCredentials(**credentials))


@pytest.mark.parametrize(
    ("operation", "wrong"), [("append", ["c"]), ("replace", ["c"]), ("remove", ["a", "b"])]
)
async def test_reading_back_compares_with_the_operation(
    operation: Operation, wrong: list[str]
) -> None:
    """What was appended is to be there, what was removed is not."""
    subscribers = reads(channel(device_tokens=["a", "b"]))
    (result,) = await Sender(subscribers, operation).verify([WRITE])
    assert list(result.missing) == wrong


async def test_what_was_stored_may_be_in_any_channel_of_the_provider() -> None:
    """Each of them gets pushes."""
    subscribers = reads(channel(device_tokens=["a"]), channel(device_tokens=["b"]))
    (result,) = await Sender(subscribers, "append").verify([WRITE])
    assert list(result.missing) == ["c"]


async def test_what_was_removed_is_looked_for_where_it_was_removed(
    bulk: Bulk, local: LocalNovu
) -> None:
    """The channel of an older integration, which the API does not write to, does not count."""
    await bulk.register([("u", "fcm", "t")])
    local.add_integration("fcm", "fcm-new")
    await bulk.register([("u", "fcm", "t")])
    report = await bulk.register([("u", "fcm", "t")], operation="remove", verify=True)
    assert (report.done, report.verified) == (1, 1)
    assert local.device_tokens("u", "fcm", "fcm-new") == []
    assert local.device_tokens("u", "fcm", "fcm") == ["t"]


@pytest.mark.parametrize("identifier", ["fcm-off", "fmc"])
async def test_nothing_is_removed_from_an_integration_that_is_not_there(
    bulk: Bulk, local: LocalNovu, identifier: str
) -> None:
    """Its channel may be there all the same: the row fails, also where it is only read back."""
    await bulk.register([("u", "fcm", "t")])
    local.add_integration("fcm", "fcm-off", active=False)
    row = ("u", "fcm", "t", identifier)
    for report in (
        await bulk.register([row], operation="remove", verify=True),
        await bulk.verify([row]),
    ):
        assert (report.done, report.failed) == (0, 1)
        assert report.failures[0].reason == f"no active integration '{identifier}' of this provider"


async def test_only_the_rows_of_a_part_that_fails_are_failed() -> None:
    """A long list travels in parts; what the first of them has stored is done."""
    rows = [("u", "fcm", f"{i:03}" + "x" * 1_000) for i in range(150)]
    async with (
        LocalNovu() as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        report = await novu.bulk.register(rows)
        stored = len(local.device_tokens("u", "fcm"))
    assert 0 < stored < 100
    assert (report.done, report.failed) == (stored, 150 - stored)
    (reason,) = report.failures
    assert (reason.reason, reason.retryable) == ("too many device tokens in the channel", False)


@pytest.mark.parametrize("operation", ["append", "replace", "remove", "delete", "verify"])
@pytest.mark.parametrize("record", [("u", "fcm", "a"), WebhookUrl("u", "slack", "https://h")])
async def test_a_report_counts_every_request(
    local: LocalNovu, operation: Operation, record: Any
) -> None:
    """Those that were repeated too, and those that only read."""
    retries = RetryConfig("backoff", BackoffStrategy(0, 0, 1, 60_000))
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        await novu.subscribers.device_tokens.add("u", "fcm", ["a", "b"])
        before = len(local.requests)
        local.faults.next("error_500", times=2)
        report = await novu.bulk.register([record], operation=operation)
        assert report.requests == len(local.requests) - before


async def test_reading_back_a_delete() -> None:
    """Any channel of the provider that is left is one too many."""
    write = Write("u", "fcm", None, (1,))
    (left,) = await Sender(reads(channel()), "delete").verify([write])
    (gone,) = await Sender(reads(), "delete").verify([write])
    assert left.failure is not None
    assert gone.failure is None


async def test_an_answer_of_unexpected_types_counts_as_not_stored() -> None:
    """Whatever stands where tokens or a webhook URL should be is none of them."""
    broken = ChannelSettingsDto(provider_id="fcm", credentials="x")  # type: ignore[arg-type]
    sender = Sender(reads(broken), "append")
    tokens, webhook = await sender.verify(
        [WRITE, Write("u", "fcm", None, (1,), webhook_url="https://h")]
    )
    assert list(tokens.missing) == ["a", "b", "c"]
    assert webhook.failure is not None


async def test_a_subscriber_that_is_not_there_has_nothing() -> None:
    """Reading back an unknown subscriber is an answer, not an error."""

    async def retrieve(_: str) -> Any:
        raise SubscriberNotFoundError("Subscriber not found for id u")

    (result,) = await Sender(SimpleNamespace(retrieve=retrieve), "append").verify([WRITE])
    assert list(result.missing) == ["a", "b", "c"]


async def test_an_unknown_subscriber_has_nothing_of_an_integration() -> None:
    """Rows that name their integration end as the others do: not stored when read back."""
    async with (
        LocalNovu(subscribers=[]) as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        local.add_integration("fcm", identifier="fcm-eu")
        rows = [("ghost", "fcm", "a", "fcm-eu"), ("ghost", "fcm", "b")]
        report = await novu.bulk.verify(rows)
    assert [(one.reason, one.count) for one in report.failures] == [(NOT_READ_BACK, 2)]
    assert report.requests == len(local.requests)


async def test_a_webhook_url_goes_to_its_integration(bulk: Bulk, local: LocalNovu) -> None:
    """The identifier of the row is the one that is written to."""
    local.add_integration("slack", "slack-eu")
    local.add_integration("slack", "slack-us")
    rows = [WebhookUrl("u", "slack", "https://h", "general", "slack-eu")]
    assert (await bulk.register(rows, verify=True)).verified == 1
    wanted = {one["identifier"]: one["_id"] for one in local.integrations}["slack-eu"]
    assert [one["_integrationId"] for one in local.subscribers["u"]["channels"]] == [wanted]


async def test_an_older_server_is_read_back_too() -> None:
    """The API of 2024 has another read, and lets any provider be written to."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        bulk = novu.bulk
        report = await bulk.register([("u", "fcm", "a"), ("u", "apns", "b")], verify=True)
        assert report.verified == 2
