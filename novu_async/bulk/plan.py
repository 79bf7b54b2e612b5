"""From rows to writes, and what a job will take; nothing here reads, sends or waits."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from attrs import field, frozen

from novu_async._channels import SAFE_BODY_BYTES
from novu_async._secrets import describe_tokens, describe_url
from novu_async.bulk.records import Operation, Row

T = TypeVar("T")

MAX_TOKENS_PER_WRITE = 500
"""What one write holds at most, so that one subscriber with a million rows stays manageable."""

MAX_CHANNEL_TOKENS = 100
"""The API (March 2026 and later) refuses a channel with more tokens, unless it is set up to."""

PLAN_LIMITS = {"free": 20, "pro": 80, "business": 200, "enterprise": 2000}
"""Requests a second that each plan of Novu Cloud admits on subscribers, for all clients together
(Novu's documentation of its rate limits)."""

_WINDOW_SECONDS = 5
_BURST = 1.1

_REQUESTS_PER_WRITE: Mapping[Operation, int] = {
    "append": 1,
    "replace": 2,  # reads first, and compares
    "remove": 2,
    "delete": 1,
}

REPEATED = "the same row came before"
REPLACED = "a later row replaces it"


class Stored(NamedTuple):
    """A row with its number in the job file."""

    id: int
    row: Row


@frozen
class Write:
    """One write to the API: the merged rows of one subscriber, provider and integration."""

    subscriber_id: str
    provider_id: str
    integration_identifier: str | None
    row_ids: tuple[int, ...]
    tokens: tuple[str, ...] = field(default=(), repr=describe_tokens)
    webhook_url: str | None = field(default=None, repr=describe_url)
    channel: str | None = None


def channel_key(row: Row) -> tuple[str, str, str]:
    """What the rows of one write have in common."""
    return row[1:4]


def mark_duplicates(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield the rows of one channel with why each need not be sent, or "" where it is sent.

    The rows are in the order of the input, except that webhook URLs come first. Of equal tokens
    the first is sent; of webhook URLs, which replace each other, the last. The URL stays before the
    tokens: its write is a PUT, which erases what the channel held.
    """
    seen: set[str | None] = set()
    webhook: Row | None = None
    for row in rows:
        if row.webhook_url is not None:
            if webhook is not None:
                same = webhook[4:7] == row[4:7]
                yield webhook, REPEATED if same else REPLACED
            webhook = row
            continue
        if webhook is not None:
            yield webhook, ""
            webhook = None
        yield row, REPEATED if row.token in seen else ""
        seen.add(row.token)
    if webhook is not None:
        yield webhook, ""


def overwrites(row: Row, operation: Operation) -> bool:
    """Tell whether a row's write erases what another write put into the same channel."""
    return operation == "replace" or (operation == "append" and row.webhook_url is not None)


def make_writes(rows: Iterable[Stored], operation: Operation) -> Iterator[Write]:
    """Merge neighbouring rows of one channel into writes.

    A replace is never split: its second part would erase the first.
    """
    size = None if operation == "replace" else MAX_TOKENS_PER_WRITE
    for (key, is_webhook), group in groupby(rows, key=_write_key):
        if is_webhook:
            yield from (_make_webhook_write(key, stored) for stored in group)
        else:
            while part := list(islice(group, size)):
                yield _make_token_write(key, part)


def _write_key(stored: Stored) -> tuple[tuple[str, str, str], bool]:
    return channel_key(stored.row), stored.row.webhook_url is not None


def _make_token_write(key: tuple[str, str, str], part: list[Stored]) -> Write:
    tokens = tuple([stored.row.token for stored in part if stored.row.token is not None])
    return Write(key[0], key[1], key[2] or None, tuple([stored.id for stored in part]), tokens)


def _make_webhook_write(key: tuple[str, str, str], stored: Stored) -> Write:
    row = stored.row
    return Write(key[0], key[1], key[2] or None, (stored.id,), (), row.webhook_url, row.channel)


def bundle_by_subscriber(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """Put the writes of one subscriber together, for one worker to make one after another."""
    for _, group in groupby(writes, key=attrgetter("subscriber_id")):
        yield list(group)


def count_writes(rows: int, operation: Operation) -> int:
    """Return how many writes so many rows of one channel take."""
    return min(rows, 1) if operation == "replace" else math.ceil(rows / MAX_TOKENS_PER_WRITE)


def count_requests(writes: int, token_bytes: int, operation: Operation) -> int:
    """Return how many requests the writes of one channel take that hold so many bytes.

    Not for verify, which reads all channels of a subscriber with one.
    """
    return max(writes, math.ceil(token_bytes / SAFE_BODY_BYTES)) * _REQUESTS_PER_WRITE[operation]


def seconds_at(requests: int, requests_per_second: float) -> float:
    """Return how long so many requests take at a limit, in seconds, from a full bucket.

    The API's bucket holds 5 seconds' worth and 10 % more, and fills up at the plan's rate.
    """
    burst = int(requests_per_second * _WINDOW_SECONDS * _BURST)
    return max(0.0, (requests - burst) / requests_per_second)


def seconds_by_plan(requests: int) -> dict[str, float]:
    """Return how long so many requests take at the limit of each plan of Novu Cloud."""
    return {plan: seconds_at(requests, limit) for plan, limit in PLAN_LIMITS.items()}


@frozen
class UnknownProvider:
    """A provider id that this version does not know; `nearest` is the known one it resembles."""

    provider_id: str
    rows: int
    nearest: str | None


@frozen
class Channel:
    """A channel that would hold more tokens than the API takes by default."""

    subscriber_id: str
    provider_id: str
    tokens: int


@frozen
class SharedToken:
    """A token, by its fingerprint, that several subscribers have."""

    fingerprint: str
    subscribers: int
    lines: tuple[int, ...]


@frozen
class Examples(Generic[T]):
    """How often something was found, and the first of the findings."""

    count: int
    first: tuple[T, ...]


@frozen
class Reason:
    """How many rows have one reason, and the lines of the first of them."""

    reason: str
    count: int
    lines: tuple[int, ...] = ()
    retryable: bool = False


@frozen
class DryRun:
    """What a job would do; nothing was sent.

    - `rows`: all that were read, `invalid` and `duplicates` among them.
    - `requests`: after merging; subscribers that have to be created first add theirs.
    - `failures`: rows that cannot be sent together with the others, by reason.
    - `over_limit`, `shared_tokens`: counts, with the first examples.
    - `padded`: rows with white space around a value, which is sent as it is; the first lines.
    - `seconds`: how long the requests take at the limit of each plan of Novu Cloud.
    """

    operation: Operation
    rows: int
    invalid: int
    invalid_reasons: tuple[Reason, ...]
    duplicates: int
    subscribers: int
    tokens: int
    writes: int
    requests: int
    unknown_providers: tuple[UnknownProvider, ...]
    shared_tokens: Examples[SharedToken]
    over_limit: Examples[Channel]
    padded: Examples[int]
    seconds: Mapping[str, float]
    failures: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row could be used."""
        return not (self.invalid or self.failures)
