"""What ends a call while it waits: the gate, its caller, or the end of the client."""

import asyncio
from typing import Any, cast

import anyio
import pytest
from attrs import define
from core_doubles import Call, ScriptedTransport, reply, script, settings

from novu_async import BackoffStrategy, Novu, RetryConfig
from novu_async._endpoints import APPEND
from novu_async._options import make_options
from novu_async._pipeline import Pipeline
from novu_async._shielding import finish
from novu_async._wire import Reply, Request
from novu_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ClientClosedError,
    RateLimitError,
    ServerError,
)
from novu_async.testing import LocalNovu
from tests.pacing.virtual_time import VirtualClock, run

pytestmark = pytest.mark.anyio


async def test_a_call_that_the_gate_turns_away_later_raises_its_own_error() -> None:
    """It was sent, and what it met is not hidden by another call's 429."""

    async def unavailable(_: Request) -> Reply:
        assert call.pipeline.gate.enter()
        call.pipeline.gate.observe({}, 300.0, succeeded=False)  # another call's answer
        return reply(503)

    call = script(unavailable)
    with pytest.raises(ServerError) as caught:
        await call()
    assert (caught.value.status_code, caught.value.attempts) == (503, 1)
    assert caught.value.may_have_applied
    assert "not sent again: an earlier answer asked to wait" in caught.value.__notes__[-1]
    with pytest.raises(RateLimitError, match="not sent: an earlier answer"):
        await call()


async def test_a_deadline_that_passes_before_the_gate_is_no_stop() -> None:
    """The note would blame an answer that nobody got; what dropped the call is told."""

    async def oversleep(_: float) -> None:  # as where the machine was suspended
        call.clock.now += 1_000
        while call.pipeline.gate.enter():
            pass

    dropped = APIConnectionError("dropped")
    dropped.__cause__ = ConnectionResetError()
    call = script(dropped)
    call.clock.sleep = oversleep  # type: ignore[method-assign]
    with pytest.raises(APIConnectionError) as caught:
        await call()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert len(call.transport.sent) == 1
    assert not any("not sent again" in note for note in getattr(caught.value, "__notes__", ()))


@define
class ClosingTransport(ScriptedTransport):
    """One that refuses, once it is closed, as the real one does."""

    def check_usable(self) -> None:
        """Raise where it is closed."""
        if self.closed:
            raise ClientClosedError("closed")


def in_virtual_time(*steps: Any) -> Call:
    """Make a call that meets these answers and errors; its waits are those of a virtual loop."""
    transport = ClosingTransport(list(steps))
    return Call(transport, Pipeline(settings(), cast("Any", transport), VirtualClock()))


async def write(call: Call, retries: RetryConfig) -> None:
    """Send one write at the subscriber's turn, as every verb does."""
    options = make_options(retries=retries)
    request = call.pipeline.build(APPEND, options, {}, subscriber_id="u1")
    async with call.pipeline.turn("u1") as turn:
        await call.pipeline.send(request, options, turn)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_call_that_waits_for_a_retry_ends_with_the_client(cancelled: bool) -> None:
    """One that is cancelled just before is cancelled: its caller may wait for that."""

    async def main() -> float:
        call = in_virtual_time(reply(503, Retry_After="100"))
        task = asyncio.create_task(call())
        await asyncio.sleep(1)
        if cancelled:
            task.cancel()
        await call.pipeline.aclose()
        with pytest.raises(asyncio.CancelledError if cancelled else ClientClosedError):
            await task
        return asyncio.get_running_loop().time()

    assert run(main()) == 1


def test_a_retry_that_fails_after_the_end_of_the_client_is_the_last() -> None:
    """The call waits for no further one, which could not be sent."""

    async def main() -> float:
        async def fails_late(_: Request) -> Reply:
            await call.pipeline.aclose()
            return reply(503, Retry_After="50")

        call = in_virtual_time(reply(503, Retry_After="1"), fails_late)
        with pytest.raises(ClientClosedError):
            await call()
        return asyncio.get_running_loop().time()

    assert run(main()) == 1


def test_a_call_that_waits_at_the_gate_ends_with_the_client_also_as_a_429_stops_it() -> None:
    """It is out of the line at that moment, and must not go back into that of a closed client."""

    async def main() -> float:
        call = in_virtual_time(reply())
        gate = call.pipeline.gate
        while gate.enter():
            pass
        waiting = asyncio.create_task(call())
        closing = asyncio.create_task(call.pipeline.aclose())
        await asyncio.sleep(0)
        gate.observe({}, 100.0, succeeded=False)  # an answer that comes just before the end
        await closing
        with pytest.raises(ClientClosedError):
            await waiting
        return asyncio.get_running_loop().time()

    assert run(main()) == 0


async def test_a_verb_that_waits_to_confirm_ends_with_the_client(local: LocalNovu) -> None:
    """`confirm_after` may be long, and nobody wants to know any more."""
    novu = Novu(local.api_key, server_url=local.url, confirm_after=600)
    verb = asyncio.create_task(novu.subscribers.device_tokens.add("u1", "fcm", ["t"]))
    while not local.requests or local.requests[0].status is None:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    await novu.aclose()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(verb, 5)


@pytest.mark.parametrize(
    ("failure", "sent_at"),
    [
        (APITimeoutError("slow", may_have_applied=True), 5),
        (reply(504), 5),
        (reply(524), 5),
        (reply(502), 1),
        (reply(520), 1),
        (APIConnectionError("dropped", may_have_applied=True), 1),
        (APITimeoutError("no connection"), 0),
        (reply(503), 0),
    ],
    ids=[
        "too slow",
        "gateway: slow",
        "Cloudflare: slow",
        "gateway: dropped",
        "Cloudflare: dropped",
        "dropped",
        "not sent",
        "answered",
    ],
)
def test_a_retry_waits_until_the_api_has_ended_the_write(failure: Any, sent_at: float) -> None:
    """Two first writes at the same time would make two channels, of which an update reaches one."""

    async def main() -> float:
        call = in_virtual_time(failure, reply())
        await write(call, RetryConfig("backoff", BackoffStrategy(0, 0, 1, 60_000)))
        assert len(call.transport.sent) == 2
        return asyncio.get_running_loop().time()

    assert run(main()) == sent_at


def test_a_retry_that_cannot_wait_so_long_is_made_all_the_same() -> None:
    """A second channel is rarer than a write that succeeds when it is sent again at once."""

    async def main() -> float:
        call = in_virtual_time(APITimeoutError("slow", may_have_applied=True), reply())
        await write(call, RetryConfig("backoff", BackoffStrategy(1_000, 1_000, 1, 4_000, 0)))
        assert len(call.transport.sent) == 2
        return asyncio.get_running_loop().time()

    assert run(main()) == 1


class Watched(asyncio.Future[None]):
    """Counts how often it was waited for."""

    waits = 0

    def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
        """Count, and wait."""
        self.waits += 1
        super().add_done_callback(*args, **kwargs)


async def test_what_is_finished_in_a_cancelled_scope_is_not_asked_for_all_the_time() -> None:
    """anyio cancels again and again whoever waits in it, which would take a CPU to itself."""
    work = Watched()
    with anyio.CancelScope() as scope:
        scope.cancel()
        asyncio.get_running_loop().call_later(0.05, work.set_result, None)
        await finish(work)
    assert scope.cancelled_caught
    assert work.done()
    assert work.waits < 5
