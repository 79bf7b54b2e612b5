"""One write at a time for each subscriber, in the order of the calls."""

import asyncio

import pytest

from novu_async import APITimeoutError, Novu
from novu_async._ordering import Ordering, Turn
from novu_async._settings import check_server_url
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Writer:
    """A write that lasts until it is told to end."""

    def __init__(self, ordering: Ordering, key: str, log: list[str], name: str) -> None:
        self.end = asyncio.Event()
        self.turn = Turn(ordering, key)
        self.log, self.name = log, name
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.turn:
            self.log.append(f"+{self.name}")
            await self.end.wait()
            self.log.append(f"-{self.name}")


async def test_writes_for_one_subscriber_follow_each_other_in_the_order_of_their_calls() -> None:
    """No write begins before the one that was asked for earlier has ended."""
    ordering, log = Ordering(), []
    writers = [Writer(ordering, "u", log, name) for name in "abc"]
    await settle()
    assert log == ["+a"]
    for writer in reversed(writers):
        writer.end.set()
    await asyncio.gather(*(writer.task for writer in writers))
    assert log == ["+a", "-a", "+b", "-b", "+c", "-c"]


async def test_writes_for_different_subscribers_do_not_wait_for_each_other() -> None:
    """A subscriber whose write hangs holds up nobody else."""
    ordering, log = Ordering(), []
    hanging = Writer(ordering, "u", log, "hanging")
    other = Writer(ordering, "v", log, "other")
    other.end.set()
    await other.task
    assert log == ["+hanging", "+other", "-other"]
    hanging.end.set()
    await hanging.task


async def test_a_subscriber_without_writes_takes_no_memory() -> None:
    """After the last write of a subscriber nothing of it is kept."""
    ordering, log = Ordering(), []
    writers = [Writer(ordering, f"u{i % 7}", log, str(i)) for i in range(100)]
    assert len(ordering) == 7
    for writer in writers:
        writer.end.set()
    await asyncio.gather(*(writer.task for writer in writers))
    assert len(ordering) == 0


@pytest.mark.parametrize("cancelled", [0, 1, 2, 3])
async def test_a_cancelled_writer_blocks_nobody(cancelled: int) -> None:
    """Whether it writes or waits: the others go on in their order, and the line empties."""
    ordering, log = Ordering(), []
    writers = [Writer(ordering, "u", log, name) for name in "abcd"]
    await settle()
    writers[cancelled].task.cancel()
    for writer in writers:
        writer.end.set()
    await asyncio.gather(*(writer.task for writer in writers), return_exceptions=True)
    survivors = [w.name for i, w in enumerate(writers) if i != cancelled]
    assert [line[1:] for line in log if line[0] == "-"] == survivors
    assert len(ordering) == 0


async def test_a_writer_cancelled_as_its_turn_comes_passes_the_turn_on() -> None:
    """The turn is not lost between the writer that gives it and the one that no longer wants it."""
    ordering, log = Ordering(), []
    first, second, third = (Writer(ordering, "u", log, name) for name in "abc")
    await settle()
    third.end.set()
    first.end.set()
    await asyncio.sleep(0)  # the first one ends and hands its turn to the second
    second.task.cancel()
    await asyncio.gather(first.task, second.task, third.task, return_exceptions=True)
    assert log[-2:] == ["+c", "-c"]
    assert len(ordering) == 0


async def test_a_turn_given_up_before_it_was_waited_for_frees_its_place() -> None:
    """Both a turn that would have begun at once and one in the line."""
    ordering, log = Ordering(), []
    Turn(ordering, "u").abandon()
    assert len(ordering) == 0
    first = Writer(ordering, "u", log, "a")
    Turn(ordering, "u").abandon()
    last = Writer(ordering, "u", log, "b")
    first.end.set()
    last.end.set()
    await asyncio.gather(first.task, last.task)
    assert len(ordering) == 0


async def test_the_next_write_waits_for_a_request_that_its_caller_abandoned() -> None:
    """The server carries out an abandoned request; a write beside it would be lost."""
    ordering = Ordering()
    release = asyncio.Event()
    log = []

    async def abandoned() -> None:
        async with Turn(ordering, "u") as turn:
            turn.exchange = asyncio.create_task(release.wait())
            await asyncio.shield(turn.exchange)

    async def following() -> None:
        async with Turn(ordering, "u"):
            log.append("following")

    first = asyncio.create_task(abandoned())
    await settle()
    second = asyncio.create_task(following())
    first.cancel()
    await settle()
    assert first.cancelled()
    assert log == []
    release.set()
    await second
    assert log == ["following"]
    assert len(ordering) == 0


async def test_a_write_that_timed_out_keeps_its_turn_for_a_while(
    local: LocalNovu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may still be working on it, and would overwrite the next one; others go on."""
    over = asyncio.Event()
    local.faults.next("stall", subscriber_id="u")
    async with Novu(local.api_key, server_url=local.url, retries=None, timeout=0.1) as novu:
        monkeypatch.setattr(novu._pipeline.clock, "sleep", lambda _: over.wait(), raising=False)
        tokens = novu.subscribers.device_tokens
        with pytest.raises(APITimeoutError):
            await tokens.add("u", "fcm", "a")
        following = asyncio.create_task(tokens.add("u", "fcm", "b"))
        await tokens.add("v", "fcm", "c")
        assert not following.done()
        assert local.device_tokens("u", "fcm") == []
        over.set()
        assert (await following).device_tokens == ("b",)


async def test_one_server_is_one_however_it_is_spelled(local: LocalNovu) -> None:
    """Writes to one subscriber follow each other also where each names the server."""
    urls = [local.url, local.url.upper(), f"{local.url}/"]
    async with Novu(local.api_key, server_url=local.url) as novu:
        append = novu.subscribers.credentials.append
        requests = (
            {"provider_id": "fcm", "credentials": {"device_tokens": [f"t{n}"]}} for n in range(30)
        )
        await asyncio.gather(
            *(append("u", one, server_url=urls[n % 3]) for n, one in enumerate(requests))
        )
    assert len(local.device_tokens("u", "fcm")) == 30


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("HTTPS://API.Novu.co:443/", "https://api.novu.co"),
        ("http://Novu.internal:80/Prefix/", "http://novu.internal/Prefix"),
        ("https://novu.internal:4430", "https://novu.internal:4430"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_the_form_of_a_server(given: str, used: str) -> None:
    """Case and usual port make no difference; the path does."""
    assert check_server_url(given) == used
