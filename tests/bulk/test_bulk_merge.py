"""Merging rows into writes, and what a job will take."""

from collections import defaultdict
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novu_async.bulk.plan import (
    MAX_TOKENS_PER_WRITE,
    REPEATED,
    REPLACED,
    Stored,
    bundle_by_subscriber,
    channel_key,
    count_requests,
    count_writes,
    make_writes,
    mark_duplicates,
    seconds_at,
    seconds_by_plan,
)
from novu_async.bulk.records import Operation, Row

few = st.sampled_from("abc")
lines = st.integers(1, 99)
tokens = st.tuples(lines, few, few, st.sampled_from(["", "i"]), few).map(lambda row: Row(*row))
urls = st.tuples(lines, few, few, st.just(""), st.none(), few, st.none() | st.just("channel")).map(
    lambda row: Row(*row)
)
inputs = st.lists(tokens | urls, max_size=40)


def merge_order(rows: list[Row]) -> list[Row]:
    """Put rows into the order in which a job file has them."""
    return sorted(rows, key=lambda row: (channel_key(row), row.webhook_url is None))


def keep(rows: list[Row]) -> list[Row]:
    """Return the rows that are sent."""
    groups = groupby(merge_order(rows), key=channel_key)
    return [row for _, group in groups for row, why in mark_duplicates(group) if not why]


@given(inputs)
def test_every_row_is_marked_once_and_every_token_kept_once(rows: list[Row]) -> None:
    """No row is lost or doubled, and of equal tokens of a channel exactly the first is sent."""
    marked = [
        row
        for _, group in groupby(merge_order(rows), key=channel_key)
        for row, _ in mark_duplicates(group)
    ]
    assert sorted(map(str, marked)) == sorted(map(str, rows))
    kept = [(*channel_key(row), row.token) for row in keep(rows) if row.token]
    assert len(kept) == len(set(kept))
    assert set(kept) == {(*channel_key(row), row.token) for row in rows if row.token}


@given(inputs)
def test_the_last_webhook_url_of_a_channel_wins(rows: list[Row]) -> None:
    """One URL per channel is sent: the one that came last."""
    last = {channel_key(row): row for row in rows if row.webhook_url}
    assert {channel_key(row): row for row in keep(rows) if row.webhook_url} == last


@given(inputs, st.sampled_from(["append", "replace", "remove"]))
def test_writes_have_every_row_in_order(rows: list[Row], operation: Operation) -> None:
    """Each row is in one write of its own channel, the tokens in the order of the input."""
    kept = [Stored(number, row) for number, row in enumerate(keep(rows))]
    writes = list(make_writes(kept, operation))
    assert [number for write in writes for number in write.row_ids] == list(range(len(kept)))
    by_channel: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for write in writes:
        key = (write.subscriber_id, write.provider_id, write.integration_identifier or "")
        by_channel[key] += write.tokens
    for key, found in by_channel.items():
        wanted = [row.token for row in rows if channel_key(row) == key and row.token]
        assert found == list(dict.fromkeys(wanted))


@given(inputs)
def test_bundles_never_split_a_subscriber(rows: list[Row]) -> None:
    """All writes of one subscriber go to one worker."""
    kept = [Stored(number, row) for number, row in enumerate(keep(rows))]
    bundles = list(bundle_by_subscriber(make_writes(kept, "append")))
    owners = [{write.subscriber_id for write in bundle} for bundle in bundles]
    assert all(len(owner) == 1 for owner in owners)
    assert all(a != b for a, b in pairwise(owners))


@pytest.mark.parametrize(("operation", "writes"), [("append", 3), ("remove", 3), ("replace", 1)])
def test_only_a_replace_is_never_split(operation: Operation, writes: int) -> None:
    """The second part of a replace would erase the first."""
    size = 2 * MAX_TOKENS_PER_WRITE + 1
    rows = [Stored(i, Row(i, "u", "fcm", "", f"t{i}")) for i in range(size)]
    made = list(make_writes(rows, operation))
    assert len(made) == writes == count_writes(size, operation)
    assert sum(len(write.tokens) for write in made) == size


def test_repeated_and_replaced_rows_are_told_apart() -> None:
    """The reason of a duplicate says whether it differs from what is sent."""
    rows = [Row(i, "u", "slack", "", None, url) for i, url in enumerate(["a", "b", "b"])]
    assert [why for _, why in mark_duplicates(rows)] == [REPLACED, REPEATED, ""]


@given(inputs)
def test_the_webhook_url_of_a_channel_goes_before_its_tokens(rows: list[Row]) -> None:
    """The PUT of the URL would erase the tokens that were stored before it."""
    for _, group in groupby(keep(rows), key=channel_key):
        is_token = [row.webhook_url is None for row in group]
        assert is_token == sorted(is_token)


@pytest.mark.parametrize(
    ("requests", "per_second", "seconds"),
    [(110, 20, 0.0), (111, 20, 0.05), (2110, 20, 100.0), (11_000, 2000, 0.0), (0, 20, 0.0)],
)
def test_time_at_a_limit(requests: int, per_second: float, seconds: float) -> None:
    """The bucket's 5 seconds and 10 % are free, then the plan's rate counts."""
    assert seconds_at(requests, per_second) == pytest.approx(seconds)


def test_plans() -> None:
    """The plans of Novu Cloud, slowest first."""
    assert list(seconds_by_plan(10_000)) == ["free", "pro", "business", "enterprise"]
    assert seconds_by_plan(10_000)["free"] == pytest.approx(494.5)


def test_requests_of_large_and_of_careful_writes() -> None:
    """Long tokens need several bodies; replace and remove read first."""
    assert count_requests(1, 100, "append") == 1
    assert count_requests(1, 200_000, "append") == 3
    assert count_requests(1, 100, "replace") == 2
    assert count_requests(0, 0, "append") == 0
