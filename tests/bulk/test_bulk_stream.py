"""Streaming: outcomes as they come, a bounded window, a clean end."""

import asyncio
import io
import os
from collections import Counter
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from novu_async import Novu
from novu_async.bulk import Bulk, Outcome, WebhookUrl, read_file
from novu_async.bulk.stops import StopRule
from novu_async.errors import BulkError, InvalidRequestError
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio


async def collect(bulk: Bulk, records: Any, **options: Any) -> list[Outcome]:
    """Take all outcomes of a stream."""
    return [outcome async for outcome in bulk.stream(records, **options)]


async def test_every_row_has_one_outcome(bulk: Bulk, local: LocalNovu) -> None:
    """Done, duplicate, failed or invalid: each once, with its record."""
    local.add_integration("fcm")
    rows = [("u", "fcm", f"t{i % 30}") for i in range(60)] + [("", "fcm", "t"), None]
    rows += [(f"v{i}", "fcm", "t") for i in range(100)]
    outcomes = await collect(bulk, rows)
    assert sorted(outcome.line for outcome in outcomes) == list(range(1, 163))
    assert Counter(outcome.status for outcome in outcomes) == {
        "done": 130,
        "duplicate": 30,
        "invalid": 2,
    }
    assert len(local.device_tokens("u", "fcm")) == 30
    assert len(local.requests) == 101
    assert all(outcome.ok == (outcome.status != "invalid") for outcome in outcomes)


async def test_what_comes_while_a_write_is_under_way_travels_together(
    bulk: Bulk, local: LocalNovu
) -> None:
    """Fifty rows of one subscriber, one at a time, take far fewer requests, and all are stored."""

    async def rows() -> Any:
        for i in range(50):
            yield ("u", "fcm", f"t{i}")
            await asyncio.sleep(0)

    outcomes = await collect(bulk, rows())
    assert [outcome.status for outcome in outcomes] == ["done"] * 50
    assert local.device_tokens("u", "fcm") == [f"t{i}" for i in range(50)]
    assert len(local.requests) < 25


async def test_a_failure_comes_at_once_with_its_reason() -> None:
    """A row that the API refuses does not wait for the others."""
    async with (
        LocalNovu(subscribers=["known"]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        bulk = novu.bulk
        outcomes = await collect(bulk, [("known", "fcm", "a"), ("ghost", "fcm", "b")])
        (failed,) = (outcome for outcome in outcomes if not outcome.ok)
        assert (failed.line, failed.reason, failed.retryable) == (2, "no such subscriber", False)
        assert "ghost not found" in failed.detail
        assert failed.record is not None
        assert failed.record.subscriber_id == "ghost"
        created = await collect(bulk, [("ghost", "fcm", "b")], on_missing_subscriber="create")
        assert created[0].ok


async def test_an_endless_source_is_read_no_further_than_the_window(bulk: Bulk) -> None:
    """What is not taken is not read ahead; closing early leaves nothing running."""
    read = 0

    def rows() -> Any:
        nonlocal read
        for read in count(1):
            yield (f"u{read}", "fcm", "t")

    tasks = asyncio.all_tasks()
    async with aclosing(bulk.stream(rows(), window=50, concurrency=4)) as outcomes:
        taken = [await anext(outcomes) for _ in range(120)]
    assert len({outcome.line for outcome in taken}) == 120
    assert read <= 120 + 50 + 200
    left = asyncio.all_tasks() - tasks
    assert not [task for task in left if "Flow" in repr(task.get_coro())]


@pytest.mark.parametrize("is_open", [True, False])
async def test_live_input_is_not_waited_for_in_lots(
    bulk: Bulk, local: LocalNovu, tmp_path: Path, is_open: bool
) -> None:
    """The outcome of a line comes while the pipe stays open, also where its path was given."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing, reading = os.open(path, os.O_RDWR), os.open(path, os.O_RDONLY)
    with os.fdopen(writing, "wb", buffering=0) as feed, os.fdopen(reading, "rb") as pipe:
        feed.write(b"subscriber_id,provider_id,token\nu,fcm,t1\n")
        async with aclosing(bulk.stream(read_file(pipe if is_open else path))) as outcomes:
            assert (await anext(outcomes)).ok
            feed.write(b"u,fcm,t2\n")
            assert (await anext(outcomes)).ok
            feed.close()
            with pytest.raises(StopAsyncIteration):
                await anext(outcomes)
    assert local.device_tokens("u", "fcm") == ["t1", "t2"]


async def test_other_operations_stream_too(bulk: Bulk, local: LocalNovu) -> None:
    """Remove and delete work as in a job, webhook URLs too; replace would erase its own rows."""
    await collect(bulk, [("u", "fcm", "a"), ("u", "fcm", "b"), ("u", "apns", "c")])
    await collect(bulk, [("u", "fcm", "a")], operation="remove")
    assert local.device_tokens("u", "fcm") == ["b"]
    with pytest.raises(InvalidRequestError, match="use register"):
        await collect(bulk, [("u", "fcm", "z")], operation="replace")
    assert local.device_tokens("u", "fcm") == ["b"]
    await collect(bulk, [("u", "apns")], operation="delete")
    assert local.device_tokens("u", "apns") == []
    assert (await collect(bulk, [WebhookUrl("u", "slack", "https://h")]))[0].ok


async def test_a_refused_key_ends_the_stream(local: LocalNovu) -> None:
    """The rows that met it are reported first, then comes a BulkError with the counts."""
    async with Novu(api_key="wrong", server_url=local.url) as novu:
        bulk = novu.bulk
        seen: list[Outcome] = []

        async def take() -> None:
            async for outcome in bulk.stream((f"u{i}", "fcm", "t") for i in count()):
                seen.append(outcome)  # noqa: PERF401, it is broken off

        with pytest.raises(BulkError, match="API Key not found") as caught:
            await take()
    assert {outcome.reason for outcome in seen} == {"API key refused"}
    report = caught.value.report
    assert report.failed == len(seen)
    assert report.rows == report.failed + report.waiting


async def test_an_integration_that_rows_may_have_wrong_ends_no_stream(
    bulk: Bulk, local: LocalNovu
) -> None:
    """An identifier that is not there fails its rows, those of the others are stored."""
    rows = [*((f"a{i}", "fcm", "t", "fcm-ue") for i in range(30)), ("b", "fcm", "t")]
    outcomes = await collect(bulk, rows, concurrency=1)
    assert [outcome.ok for outcome in outcomes] == [False] * 30 + [True]
    assert outcomes[0].reason == "no active integration 'fcm-ue' of this provider"


async def test_a_stream_holds_nothing_of_rows_that_it_has_reported(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many identifiers are mistyped, and however long it goes on."""
    rules: list[StopRule] = []

    def make_rule(*args: Any) -> StopRule:
        rules.append(StopRule(*args))
        return rules[-1]

    monkeypatch.setattr("novu_async.bulk.stream.StopRule", make_rule)
    outcomes = await collect(bulk, [(f"u{i}", "fcm", "t", f"no-{i % 50}") for i in range(300)])
    assert not any(outcome.ok for outcome in outcomes)
    (rule,) = rules
    assert rule.refused == rule._missed == {}
    assert rule._unanswered == []


async def test_a_provider_without_integration_ends_the_stream() -> None:
    """No row of a known provider can be stored then, and the error says why."""
    async with (
        LocalNovu(integrations=["apns"]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        with pytest.raises(BulkError, match=r"active fcm integration\. \(provider_id fcm\)"):
            await collect(novu.bulk, ((f"u{i}", "fcm", "t") for i in count()))
        assert len(local.requests) < 100


async def test_an_error_of_the_source_is_raised(bulk: Bulk) -> None:
    """As it is, after the outcomes before it; a useless file is an InvalidRequestError."""

    async def rows() -> Any:
        yield ("u", "fcm", "t")
        raise LookupError("queue is gone")

    with pytest.raises(LookupError, match="queue is gone"):
        await collect(bulk, rows())
    with pytest.raises(InvalidRequestError, match="is empty"):
        await collect(bulk, io.BytesIO(b""))
    with pytest.raises(InvalidRequestError, match="window"):
        await collect(bulk, [], window=0)
    with pytest.raises(InvalidRequestError, match="patience must be a number of seconds"):
        await collect(bulk, [], patience="x")


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("is_async", [True, False])
async def test_rows_before_an_error_of_the_source_have_their_outcomes(
    bulk: Bulk, local: LocalNovu, is_async: bool, error: type[BaseException]
) -> None:
    """All that was read is written and told, then the error is raised as it is."""

    def rows() -> Any:
        yield from ((f"u{i}", "fcm", "t") for i in range(5))
        raise error("queue is gone")

    async def rows_later() -> Any:
        for row in rows():
            yield row

    stream = bulk.stream(rows_later() if is_async else rows())
    outcomes = [await anext(stream) for _ in range(5)]
    with pytest.raises(error, match="queue is gone"):
        await anext(stream)
    assert sorted(outcome.line for outcome in outcomes if outcome.ok) == [1, 2, 3, 4, 5]
    assert len(local.subscribers) == 5


async def test_a_write_under_way_as_a_stream_is_closed_keeps_others_of_its_subscriber_waiting(
    local: LocalNovu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on: the next write for the subscriber waits for its end, those of others do not."""
    local.faults.next("stall")
    aftermath = asyncio.Event()
    async with Novu(local.api_key, server_url=local.url, timeout=0.2) as novu:
        clock = novu._pipeline.clock
        monkeypatch.setattr(clock, "sleep", lambda _: aftermath.wait(), raising=False)
        async with aclosing(novu.bulk.stream([("u", "fcm", "a")])) as outcomes:
            first = asyncio.ensure_future(anext(outcomes))
            while not local.requests:
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait({first})
        add = novu.subscribers.device_tokens.add
        following = asyncio.create_task(add("u", "fcm", "b"))
        await add("another", "fcm", "c")
        assert not following.done()
        assert len(local.requests) == 2
        aftermath.set()
        assert (await following).device_tokens == ("b",)


async def test_a_stream_does_not_verify(bulk: Bulk, local: LocalNovu) -> None:
    """It would write the tokens that it was asked to look for."""
    with pytest.raises(InvalidRequestError, match=r"use bulk\.verify"):
        await anext(bulk.stream([("u1", "fcm", "a")], operation="verify"))
    assert not local.requests
