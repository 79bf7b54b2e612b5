"""How a call gets from any thread into the loop of the client, and back."""

import asyncio
import gc
import inspect
import os
import pydoc
import signal
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import anyio
import pytest
from stub_core import Calls, Client, Core, request_id

from novu_async.errors import ClientClosedError, ConfigurationError, NovuError
from novu_sync import _bell, _bridge
from novu_sync._bell import Bell
from novu_sync._calls import Call


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as client:
        yield client


def portal_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if "keeper" in t.name or "portal" in t.name]


def test_a_result_arrives(client: Client) -> None:
    """A blocking call returns what the coroutine returns."""
    assert client.calls.echo("ab", 2, suffix="!") == "abab!"


def test_no_thread_before_the_first_call() -> None:
    """A client that is made and closed starts no thread."""
    before = len(portal_threads())
    with Client() as client:
        assert len(portal_threads()) == before
        client.calls.echo("a")
        assert len(portal_threads()) > before
    assert len(portal_threads()) == before


def test_an_exception_keeps_its_type_and_shows_both_sides(client: Client) -> None:
    """The traceback leads from the caller's line to the line in the coroutine that raised."""
    with pytest.raises(ZeroDivisionError) as caught:
        client.calls.fail(ZeroDivisionError("nought"))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[0] == "test_an_exception_keeps_its_type_and_shows_both_sides"
    assert names[-1] == "fail"
    assert client.calls.echo("still here") == "still here"


def test_a_wrong_argument_is_a_type_error_that_names_it(client: Client) -> None:
    """A misspelt keyword fails as in any Python call, for plain calls, feeds and streams."""
    with pytest.raises(TypeError, match="tmies"):
        client.calls.echo("a", tmies=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="at_mots"):
        client.calls.count([1], at_mots=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="fial_at"):
        list(client.calls.stream([1], fial_at=2))  # type: ignore[call-arg]


def test_cancellation_inside_the_core_becomes_an_error_of_ours(client: Client) -> None:
    """A coroutine that is cancelled from inside raises NovuError, which `except Exception` sees."""
    with pytest.raises(NovuError, match="cancelled from inside"):
        client.calls.fail(asyncio.CancelledError())


def test_two_hundred_threads_share_one_loop(client: Client) -> None:
    """200 threads get each its own answers through one client and one loop."""

    def work(number: int) -> bool:
        return all(client.calls.echo(f"{number}.{i}") == f"{number}.{i}" for i in range(10))

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(work, range(200)))


def test_first_calls_at_once_start_one_loop() -> None:
    """32 threads that meet an unused client start one loop, not several."""
    barrier = threading.Barrier(32)
    loops = set()

    with Client() as client, ThreadPoolExecutor(32) as pool:

        def work(_: int) -> None:
            barrier.wait()
            client.calls.echo("a")
            loops.add(client.bridge.core.loop)

        list(pool.map(work, range(32)))
    assert len(loops) == 1


def test_inside_a_running_loop(client: Client) -> None:
    """A notebook cell, which runs inside an event loop, can call."""

    async def cell() -> str:
        return client.calls.echo("from a cell")

    assert asyncio.run(cell()) == "from a cell"


def test_inside_a_trio_loop(client: Client) -> None:
    """A call from a function that trio runs does not take its own loop for trio's."""

    async def main() -> str:
        return client.calls.echo("from trio")

    assert anyio.run(main, backend="trio") == "from trio"


def test_inside_its_own_loop_a_call_is_refused(client: Client) -> None:
    """A hook that calls the blocking client from the client's loop gets an error, no deadlock."""

    class Hook:
        async def run(self) -> None:
            client.calls.echo("from inside")

    with pytest.raises(RuntimeError, match="novu_async"):
        client.bridge.call(lambda core: Hook().run())


def test_context_variables_reach_the_call(client: Client) -> None:
    """Each call sees the context variables of its own thread, as tracing needs."""

    def work(name: str) -> str:
        request_id.set(name)
        return client.calls.context()

    with ThreadPoolExecutor(8) as pool:
        names = [f"request-{i}" for i in range(40)]
        assert list(pool.map(lambda name: copy_context().run(work, name), names)) == names
    assert client.calls.context() == "none"


def test_ctrl_c_cancels_the_call_and_leaves_the_client_usable(client: Client) -> None:
    """KeyboardInterrupt reaches the caller once the coroutine is cancelled; the next call works."""
    with pytest.raises(KeyboardInterrupt):
        client.calls.hang(interrupt=True)
    assert client.bridge.core.cancelled == 1
    assert client.calls.echo("next") == "next"


def test_a_call_given_up_before_it_came_in_never_runs(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come while the loop is still busy with something else."""
    client.calls.echo("a")
    loop, portal = client.bridge.core.loop, client.bridge._portal
    assert loop is not None
    assert portal is not None
    busy, release = threading.Event(), threading.Event()
    ran = []

    async def run() -> None:
        ran.append(True)

    loop.call_soon_threadsafe(lambda: (busy.set(), release.wait()))
    busy.wait()
    call = Call(run)
    portal.admit(call)
    monkeypatch.setattr(call, "wait_for_end", lambda seconds: release.set())
    portal.abort(call)
    assert client.calls.echo("next") == "next"
    assert not ran


def test_ctrl_c_between_arrival_and_bell(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that could not wake the loop any more does not keep the next ones from it."""
    client.calls.echo("a")
    bell = client.bridge._portal._bell  # type: ignore[union-attr]
    with monkeypatch.context() as patch:
        patch.setattr(bell, "_ring", lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            client.calls.hang()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(client.calls.echo, "next").result(10) == "next"


def test_ctrl_c_that_another_thread_takes(client: Client) -> None:
    """It interrupts no wait, as one that comes just before the wait; both are noticed soon."""
    with pytest.raises(KeyboardInterrupt):
        client.calls.hang(interrupt_here=True)
    assert client.bridge.core.cancelled == 1


def test_calls_arrive_where_there_is_no_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems than Linux."""
    monkeypatch.delattr(os, "eventfd")
    with Client() as client, ThreadPoolExecutor(16) as pool:
        texts = [str(number) for number in range(100)]
        assert list(pool.map(client.calls.echo, texts)) == texts


def test_a_closed_client_leaves_no_descriptor() -> None:
    """Not even until the garbage is collected."""
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            client = Client()
            client.calls.echo("a")
            client.bridge.close()
        del client
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


class Interrupting(deque[Call[object]]):
    """Arrivals of a portal; a signal comes just after the next one."""

    def append(self, call: Call[object]) -> None:
        super().append(call)
        signal.raise_signal(signal.SIGUSR1)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Set what the handler of SIGUSR1 does, once."""

    def once(action: Callable[[], object]) -> None:
        def handle(*_: object) -> None:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            action()

        signal.signal(signal.SIGUSR1, handle)

    before = signal.getsignal(signal.SIGUSR1)
    yield once
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_may_close_the_client(client: Client, on_signal: Any) -> None:
    """The call that it interrupts on its way in ends, and so do later ones."""
    client.calls.echo("a")
    client.bridge._portal._arrivals = Interrupting()  # type: ignore[union-attr]
    on_signal(client.bridge.close)
    for _ in range(2):
        with pytest.raises(ClientClosedError):
            client.calls.echo("b")
    assert client.bridge.core.closed == 1


def test_a_signal_handler_may_call(client: Client, on_signal: Any) -> None:
    """Its call is answered, and then the one that it interrupts."""
    client.calls.echo("a")
    client.bridge._portal._arrivals = Interrupting()  # type: ignore[union-attr]
    answers = []
    on_signal(lambda: answers.append(client.calls.echo("inside")))
    assert client.calls.echo("outside") == "outside"
    assert answers == ["inside"]


def test_a_signal_handler_may_close_a_client_that_starts(
    on_signal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an orderly shutdown does, whenever it comes; no thread is left."""
    before = len(portal_threads())
    client = Client()
    on_signal(client.bridge.close)
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if "keeper" in thread.name:
            signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(ClientClosedError):
        client.calls.echo("a")
    assert len(portal_threads()) == before


def test_a_loop_that_could_not_start_is_started_by_the_next_call(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process has no more descriptors, say."""
    with monkeypatch.context() as patch:
        patch.setattr(_bridge, "Bell", mock_failure(OSError(24, "Too many open files")))
        with pytest.raises(ConfigurationError, match="Too many open files"):
            client.calls.echo("a")
    assert client.calls.echo("b") == "b"


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="there is no eventfd(2)")
def test_a_bell_that_outlives_its_modules_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does at interpreter exit, where something holds on to a client that nobody closed."""
    loop = asyncio.new_event_loop()
    bell = Bell(loop, print)
    count = bell._count
    assert count is not None
    bell.close()
    loop.close()
    monkeypatch.setattr(_bell, "os", None)
    del bell
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(count)


def mock_failure(error: Exception) -> Callable[..., object]:
    """Make a function that fails."""

    def fail(*_: object) -> object:
        raise error

    return fail


def test_a_call_that_comes_in_while_the_client_closes_is_not_begun() -> None:
    """It ends with ClientClosedError, as those do that were under way."""
    client = Client()
    client.calls.echo("a")
    portal, core = client.bridge._portal, client.bridge.core
    assert portal is not None
    ran = []

    async def run() -> None:
        ran.append(True)

    late = Call(run)

    async def close() -> None:
        portal._arrivals.append(late)
        portal._begin_arrivals()
        await asyncio.sleep(0)

    core.aclose = close  # type: ignore[method-assign]
    client.bridge.close()
    with pytest.raises(ClientClosedError):
        late.wait()
    assert not ran


def test_closing_ends_the_calls_of_other_threads() -> None:
    """`close()` cancels what is under way; who waited for it gets ClientClosedError."""
    client = Client()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(client.calls.hang) for _ in range(3)]
        client.bridge.core.under_way.wait()
        client.bridge.close()
        errors = [future.exception(10) for future in waiting]
    assert [type(error) for error in errors] == [ClientClosedError] * 3
    assert client.bridge.core.closed == 1


def test_a_closed_client_says_so() -> None:
    """After `close()`, which may be repeated, calls and streams raise ClientClosedError."""
    client = Client()
    client.calls.echo("a")
    core = client.bridge.core
    client.bridge.close()
    client.bridge.close()
    assert core.closed == 1
    with pytest.raises(ClientClosedError):
        client.calls.echo("b")
    with pytest.raises(ClientClosedError):
        next(client.calls.stream([1]))


def test_a_client_never_used_closes_at_once() -> None:
    """Closing an unused client needs no loop, and still ends it."""
    client = Client()
    client.bridge.close()
    with pytest.raises(ClientClosedError):
        client.calls.echo("a")


def test_a_client_never_closed_gives_one_warning() -> None:
    """A client that is dropped warns once, says where it was made, and ends its threads."""
    client = Client()
    client.calls.echo("a")
    core, threads = client.bridge.core, portal_threads()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
        for thread in threads:
            thread.join(10)
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert "made at stub_core.py:1" in str(caught[0].message)
    assert not any(thread.is_alive() for thread in threads)
    assert core.closed == 1


def test_a_method_outlives_the_name_of_its_client() -> None:
    """A bound method keeps the client alive: dropping the client's name closes nothing."""
    client = Client()
    bridge, echo = client.bridge, client.calls.echo
    echo("a")
    del client
    gc.collect()
    assert echo("b") == "b"
    bridge.close()


class TestStreams:
    """Blocking iteration over an asynchronous iterator."""

    def test_items_arrive_in_order(self, client: Client) -> None:
        """Every item arrives once, in order, also beyond the size of a batch."""
        assert list(client.calls.stream(range(5_000))) == list(range(5_000))
        assert client.bridge.core.stream_closed.is_set()

    def test_nothing_runs_ahead_without_bound(self, client: Client) -> None:
        """A consumer that stops after one item leaves a bounded number of items made."""
        stream = client.calls.stream(range(1_000_000))
        assert next(stream) == 0
        client.calls.echo("the loop turns")
        stream.close()
        assert client.bridge.core.made < 5_000

    def test_breaking_out_closes_the_asynchronous_iterator(self, client: Client) -> None:
        """After `break` the asynchronous generator has run its clean-up, in the loop."""
        for item in client.calls.stream(range(100)):
            if item == 3:
                break
        assert client.bridge.core.stream_closed.is_set()
        assert client.calls.echo("next") == "next"

    def test_items_before_an_error_arrive_first(self, client: Client) -> None:
        """An error in the middle is raised after the items made before it, in the caller."""
        got: list[int] = []
        with pytest.raises(ValueError, match="no record 2500"):
            got.extend(client.calls.stream(range(5_000), fail_at=2_500))
        assert got == list(range(2_500))

    def test_closing_the_client_ends_a_stream(self) -> None:
        """A stream whose client is closed meanwhile raises ClientClosedError, and does not hang."""
        with Client() as client:
            stream = client.calls.stream(range(100_000))
            next(stream)
        with pytest.raises(ClientClosedError):
            for _ in stream:
                pass

    def test_a_stream_never_begun_starts_nothing(self) -> None:
        """Making a stream and dropping it starts neither loop nor iterator."""
        before = len(portal_threads())
        with Client() as client:
            client.calls.stream([1])
            assert len(portal_threads()) == before


class TestFeeds:
    """Iterables of the caller, read in the caller's thread."""

    def test_a_generator_runs_in_the_thread_of_its_caller(self, client: Client) -> None:
        """A generator of records may use what belongs to its thread, and call the client itself."""
        threads = set()

        def records() -> Iterator[int]:
            for number in range(2_500):
                threads.add(threading.get_ident())
                yield number
            assert client.calls.echo("from a generator") == "from a generator"

        assert client.calls.count(records()) == 2_500
        assert list(client.calls.stream(records=records())) == list(range(2_500))
        assert threads == {threading.get_ident()}

    def test_no_more_is_read_than_needed(self, client: Client) -> None:
        """Of an endless generator only a bounded number of records is read ahead."""
        read = 0

        def records() -> Iterator[int]:
            nonlocal read
            while True:
                read += 1
                yield read

        assert client.calls.count(records(), at_most=10) == 10
        assert read < 5_000

    def test_an_error_in_the_generator_reaches_the_caller(self, client: Client) -> None:
        """An exception raised while reading records ends the call, with its own type."""

        def records() -> Iterator[int]:
            yield 1
            raise LookupError("no such row")

        with pytest.raises(LookupError, match="no such row"):
            client.calls.count(records())
        assert client.calls.echo("next") == "next"

    @pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
    def test_what_ends_iterations_is_an_error(self, client: Client, kind: type[Exception]) -> None:
        """Where `__iter__` lets one out, or the other comes, nothing hangs or ends in silence."""

        class Records:
            def __iter__(self) -> Iterator[int]:
                raise kind

        with pytest.raises(RuntimeError, match=f"the records raised {kind.__name__}"):
            client.calls.count(Records())
        with pytest.raises(RuntimeError, match=f"the records raised {kind.__name__}"):
            deque(client.calls.stream(Records()), maxlen=0)

    def test_ctrl_c_in_the_generator_cancels_the_call(self, client: Client) -> None:
        """KeyboardInterrupt inside the caller's generator is raised, and the call is over."""

        def records() -> Iterator[int]:
            yield 1
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.calls.count(records())
        assert client.calls.echo("next") == "next"

    def test_a_collection_is_handed_over_as_it_is(self, client: Client) -> None:
        """A list needs no thread of its own: the core gets the list itself."""
        assert client.calls.total([1, 2, 3]) == 6


class TestMethods:
    """What a reader sees of a blocking method."""

    def test_the_signature_is_that_of_the_awaited_method(self) -> None:
        """Parameters, defaults, name and docstring are the awaited method's."""
        assert inspect.signature(Calls.echo) == inspect.signature(Core.echo)
        assert Calls.echo.__name__ == "echo"
        assert Calls.echo.__doc__ == Core.echo.__doc__
        assert list(inspect.signature(Client().calls.echo).parameters) == [
            "value",
            "times",
            "suffix",
        ]

    def test_nothing_speaks_of_coroutines(self) -> None:
        """Neither help() nor introspection shows that a coroutine is behind the method."""
        text = pydoc.render_doc(Calls, renderer=pydoc.plaintext)
        assert "echo(self, value: str, /, times: int = 1, *, suffix: str = '') -> str" in text
        assert "-> collections.abc.Iterator[int]" in text
        assert "Repeat a text" in text
        assert not any(word in text for word in ("oroutine", "async ", "AsyncIterator[", "await"))
        assert not inspect.iscoroutinefunction(inspect.unwrap(Calls.echo))
