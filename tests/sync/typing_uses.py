"""Right and wrong uses of novu_sync, for type checkers alone: this file is never run.

Lines that end in `# wrong` must be refused, all others accepted.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Protocol, assert_type

import novu_async
import novu_sync
import novu_sync as novu_py
from novu_sync import Novu, models
from novu_sync.bulk import Outcome, Report
from novu_sync.testing import LocalNovu
from novu_sync.utils import BackoffStrategy, RetryConfig

with Novu(api_key="key") as novu:
    assert_type(novu, Novu)
    updated = novu.subscribers.credentials.update(
        subscriber_id="<id>",
        update_subscriber_channel_request_dto={
            "provider_id": novu_py.UpdateSubscriberChannelRequestDtoProviderID.PUSHPAD,
            "credentials": {"device_tokens": ["token1"]},
        },
    )
    assert_type(updated, models.SubscribersControllerUpdateSubscriberChannelResponse)

credentials = novu.subscribers.credentials
assert_type(
    credentials.append("id", {}, retries=None, timeout=3),
    models.SubscribersControllerModifySubscriberChannelResponse,
)
credentials.delete("id", provider_id="fcm", idempotency_key="key")
credentials.update(1, {})  # wrong
credentials.update("id")  # wrong
credentials.update("id", {}, timeout="3")  # wrong
credentials.update("id", {}, tiemout=3)  # wrong
reslt = credentials.update("id", {}).reslt  # wrong
credentials.upsert("id", {})  # wrong

tokens = novu.subscribers.device_tokens
assert_type(tokens.add("id", "fcm", ["a"]), novu_sync.DeviceTokensResult)
assert_type(tokens.list("id", "fcm").device_tokens, tuple[str, ...])
tokens.add("id", "fcm", "a", on_missing_subscriber="create")
tokens.add("id", "fcm", "a", on_missing_subscriber="make")  # wrong
tokens.rotate("id", "fcm", old="a")  # wrong
clear: Callable[[str, str], novu_sync.DeviceTokensResult] = tokens.clear

records = [novu_sync.bulk.DeviceToken("id", "fcm", "a")]
assert_type(novu.bulk.register(records, concurrency=8), Report)
assert_type(novu.bulk.stream(records), Generator[Outcome, None, None])
assert_type(novu_sync.bulk.plan(records), novu_sync.bulk.DryRun)
novu.bulk.register(records, concurency=8)  # wrong
novu.bulk.register(records, operation="apend")  # wrong

Novu("key", server="eu", retries=RetryConfig("none", BackoffStrategy(1, 50, 1.1, 100)))
Novu("key", "eu")  # wrong
Novu("key", sever="eu")  # wrong
Novu("key", timeout="3")  # wrong
novu.aclose()  # wrong
novu_sync.Nuvo()  # wrong
novu_sync.blocking(novu_async.plan)  # wrong


with novu_async.Novu("key"):  # wrong
    pass


async def enter() -> None:
    """Enter a blocking client in the wrong way."""
    async with Novu("key"):  # wrong
        pass


class OwnNovu(Novu):
    """A client of a user's own class."""


assert_type(OwnNovu("key").__enter__(), OwnNovu)


class Deletes(Protocol):
    """What a user's code needs of a client, or of a fake in its place."""

    def delete(self, subscriber_id: str, provider_id: str) -> object: ...


class Upserts(Protocol):
    """A method that no client has."""

    def upsert(self, subscriber_id: str) -> object: ...


class DeletesNumbers(Protocol):
    """A method that takes another type than the client's."""

    def delete(self, subscriber_id: int, provider_id: str) -> object: ...


deletes: Deletes = novu.subscribers.credentials
upserts: Upserts = novu.subscribers.credentials  # wrong
numbers: DeletesNumbers = novu.subscribers.credentials  # wrong

assert_type(LocalNovu.in_thread(era="2024"), AbstractContextManager[LocalNovu])
LocalNovu.in_thread(era="2025")  # wrong
LocalNovu.in_thread(rate_limt=5)  # wrong

novu_sync.models.ErrorDto().status_code = 404
novu_sync.errors.ErrorDto().status_code = "404"  # wrong
assert_type(novu_sync.models.ErrorDto(), novu_async.errors.ErrorDto)
