"""The way from any thread into the event loop of one blocking client.

Each client has one anyio portal - a thread with an event loop - which its first call starts. The
portal starts and ends that loop. The calls go in past it, several at once where several wait,
because `portal.call` waits for two hand-overs and costs three times as much.
"""

import asyncio
import atexit
import os
import warnings
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import suppress
from importlib import import_module
from threading import Event, RLock, Thread, current_thread, get_ident
from typing import Any, Generic, Protocol, TypeVar

from anyio import move_on_after
from anyio.from_thread import start_blocking_portal

from novu_async._secrets import refuse_copy
from novu_async.errors import ClientClosedError, ConfigurationError
from novu_sync._bell import Bell
from novu_sync._calls import Call, Feed, Stream
from novu_sync._executor import DaemonExecutor

# the loop's thread would import these with the first call and the first retry, and a child that is
# forked meanwhile would wait for the import for ever
for _name in ("anyio._backends._asyncio", "tenacity"):
    with suppress(ImportError):
        import_module(_name)

R = TypeVar("R")
T = TypeVar("T")

_GRACE = 15.0
"""Seconds that a cancelled call, or the closing of the core, may take before it is left alone.

A bulk job lets the requests under way finish, which takes up to 10 seconds by default.
"""

_LISTEN = 0.5
"""Seconds after which a waiting thread handles a signal, at the latest."""


class Core(Protocol):
    """What the bridge leads to: any asynchronous client."""

    async def aclose(self) -> None:
        """Release everything."""


C = TypeVar("C", bound=Core)


class _Portal:
    """One thread with an event loop in which the calls of one client run.

    A second thread, the keeper, holds the portal open: so no signal, garbage collection or fork of
    a caller's thread is ever in the middle of starting or ending it. No lock is held on the way in:
    a signal handler may close the client, or make a call of its own.
    """

    def __init__(self, core: Core) -> None:
        self._pid = os.getpid()
        self._core = core
        self._arrivals: deque[Call[Any]] = deque()
        self._running: set[Call[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._ready = Event()
        self._stopped = Event()
        self._at_exit = self._closing = self._listens = False
        self.failure: Exception | None = None
        """Why the loop could not be started."""
        self._keeper = Thread(target=self._keep, name="novu_sync keeper", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        try:
            with start_blocking_portal() as portal:
                portal.call(self._open)
                self._stopped.wait()
                portal.call(self._close)
        except Exception as error:
            if self._loop is not None:
                raise
            self.failure = error
        finally:
            self._ready.set()

    async def _open(self) -> None:
        with suppress(ImportError):  # anyio uses it where trio is installed
            import sniffio

            sniffio.thread_local.name = "asyncio"  # though a caller's context may say "trio"
        self._thread_id = get_ident()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonExecutor())
        self._bell = Bell(loop, self._begin_arrivals)
        self._loop = loop
        self._ready.set()

    async def _close(self) -> None:
        self._begin_arrivals()
        self._closing = True
        tasks = [call.task for call in self._running if call.task is not None]
        for call in list(self._running):
            call.cancel(forsake=self._at_exit)
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
        with move_on_after(_GRACE):
            await self._core.aclose()
        self._bell.close()

    def _begin_arrivals(self) -> None:
        while self._arrivals:
            call = self._arrivals.popleft()
            if self._closing:
                call.cancel(forsake=self._at_exit)
            else:
                call.begin(self._running)
        self._listen()

    def _listen(self) -> None:
        """See to it that threads handle signals, for as long as any of them waits."""
        if self._running and not self._listens:
            self._listens = True
            asyncio.get_running_loop().call_later(_LISTEN, self._nudge)

    def _nudge(self) -> None:
        for call in self._running:
            call.nudge()
        self._listens = False
        self._listen()

    def _give_up(self, call: Call[Any]) -> None:
        self._begin_arrivals()  # it may be one, and its thread may have been stopped before it rang
        call.cancel()

    def admit(self, call: Call[Any]) -> None:
        """Bring a call into the loop. Raises ClientClosedError once the portal is stopped."""
        if get_ident() == self._thread_id:
            raise RuntimeError(
                "a blocking call inside the client's own event loop would wait for itself; "
                "await it through novu_async instead"
            )
        if self._loop is None:
            self._ready.wait()
        if self._loop is None:
            raise ConfigurationError(f"the client's event loop cannot be started: {self.failure}")
        call.loop = self._loop
        self._arrivals.append(call)
        self._bell.ring()
        if not self._stopped.is_set():
            return  # so whatever stops the loop finds it
        with suppress(ValueError):  # the loop has taken it, and cancels it
            self._arrivals.remove(call)
            if not (self._at_exit and current_thread().daemon):
                raise closed_error()
            # it waits, like the others, until the interpreter stops it

    def check_process(self) -> None:
        """Refuse to go on in a forked child: the loop runs in the parent."""
        if self._pid != os.getpid():
            raise RuntimeError("this stream was begun in another process")

    def abort(self, call: Call[Any]) -> None:
        """Cancel a call that nobody waits for any more, and see it end."""
        if call.done or self._loop is None or self._pid != os.getpid():
            return
        with suppress(RuntimeError):  # the loop is closed, and with it the call
            self._loop.call_soon_threadsafe(self._give_up, call)
            if get_ident() != self._thread_id:
                call.wait_for_end(_GRACE)

    @property
    def stopped(self) -> bool:
        """Whether `stop()` was called."""
        return self._stopped.is_set()

    def stop(self, *, wait: bool = True, at_exit: bool = False) -> None:
        """Cancel the calls under way, close the core, end the loop and its thread.

        At interpreter exit the threads that still wait are daemons: they learn nothing any more.
        """
        self._at_exit = at_exit
        self._stopped.set()
        if wait and get_ident() != self._thread_id:
            self._keeper.join(2 * _GRACE)


def closed_error() -> ClientClosedError:
    """Make the error of a call after `close()`."""
    return ClientClosedError("this client is closed; make another one for further calls")


class Bridge(Generic[C]):
    """The threads' way to one asynchronous client, which `make_core` makes.

    It is made again in a forked child: nothing there may touch what the parent has open.
    """

    def __init__(self, make_core: Callable[[], C], made_at: str = "") -> None:
        self._make_core = make_core
        self._made_at = made_at
        self._lock = RLock()  # a signal handler may close the client meanwhile
        self._closed = False
        self._portal: _Portal | None = None
        self._core: C | None = make_core()
        _bridges.add(self)

    @property
    def core(self) -> C:
        """The asynchronous client of this process."""
        if self._core is None:
            self._core = self._make_core()
        return self._core

    def call(
        self, invoke: Callable[[C], Coroutine[Any, Any, R]], feed: Feed[Any] | None = None
    ) -> R:
        """Run a coroutine of the core in the loop, and wait for its result.

        An exception in the waiting thread, such as KeyboardInterrupt, cancels the coroutine.
        """
        portal, core = self._enter()
        call = Call(lambda: invoke(core))
        if feed is not None:
            feed.call = call
        try:
            portal.admit(call)
            return call.wait()
        except BaseException:
            portal.abort(call)
            raise

    def iterate(
        self, invoke: Callable[[C], AsyncIterator[T]], feed: Feed[Any] | None = None
    ) -> Generator[T, None, None]:
        """Run an asynchronous iterator of the core in the loop, and yield its items here.

        Closing the generator closes the asynchronous iterator, and waits for that.
        """
        portal, core = self._enter()
        stream = Stream(lambda: invoke(core))
        if feed is not None:
            feed.call = stream
        try:
            portal.admit(stream)
            while items := stream.take():
                yield from items
                portal.check_process()
        finally:
            portal.abort(stream)

    def _enter(self) -> tuple[_Portal, C]:
        portal, core = self._portal, self._core
        if portal is not None and core is not None and portal.failure is None:
            return portal, core
        with self._lock:
            if self._closed:
                raise closed_error()
            if self._portal is None or self._portal.failure is not None:
                portal = _Portal(self.core)
                if self._closed:  # by a signal handler, just now
                    portal.stop()
                    raise closed_error()
                self._portal = portal
            return self._portal, self.core

    def close(self) -> None:
        """Cancel the calls under way and release everything; harmless when repeated."""
        with self._lock:
            self._closed = True
            portal, self._portal = self._portal, None
        if portal is not None:
            portal.stop()

    def _abandon(self, *, at_exit: bool) -> None:
        portal = self._portal
        if portal is None or portal.stopped:
            return
        portal.stop(wait=at_exit, at_exit=at_exit)
        warnings.warn(
            f"unclosed novu_sync.Novu, made at {self._made_at}: use `with`, or call close()",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )

    def __del__(self) -> None:
        self._abandon(at_exit=False)

    __reduce__ = refuse_copy

    def _start_afresh(self) -> None:
        if self._portal is not None:
            _left_to_the_parent.append((self._portal, self._core))
        self._lock = RLock()
        self._portal = None
        self._core = None


_bridges: "weakref.WeakSet[Bridge[Any]]" = weakref.WeakSet()
_left_to_the_parent: list[object] = []
"""In a forked child: what must not be finalized there, for it would reach the parent's sockets."""


def _start_all_afresh() -> None:
    for bridge in list(_bridges):
        bridge._start_afresh()


def _abandon_all() -> None:
    for bridge in list(_bridges):
        bridge._abandon(at_exit=True)


atexit.register(_abandon_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_afresh)
