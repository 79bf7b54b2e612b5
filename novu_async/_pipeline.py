"""One call: wait for the turn, then per attempt pace, send and read."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import count
from math import inf
from typing import Any, TypeVar

from attrs import define

from novu_async import _wire
from novu_async._aftermath import seconds_after
from novu_async._clock import Clock
from novu_async._endpoints import Endpoint
from novu_async._log import log_attempt, log_end, log_retry, log_stop, logger
from novu_async._loop import running_loop
from novu_async._options import AS_CLIENT, Options
from novu_async._ordering import Ordering, Turn
from novu_async._pacing import Gate
from novu_async._retry import RetryBudget, RetryConfig, is_retried, retry
from novu_async._settings import Settings, is_plain_http, merge_headers
from novu_async._shielding import finish, is_callers_own
from novu_async._transport import Transport
from novu_async._wire import Reply, Request
from novu_async.errors import APIConnectionError, APIError, CallError, RateLimitError
from novu_async.observing import AttemptInfo, Observer, make_call_info

T = TypeVar("T")


@define(eq=False)
class _Call:
    """A call on its way.

    - `timeout`: seconds for each attempt; `patience`: seconds after which none is begun.
    - `turn`: its turn at the subscriber, if it is a write.
    - `started`: when its first attempt passed the gate; the line before it is not the server's
      fault, and costs a call none of its patience.
    - `refusal`: why the gate turned it away.
    """

    request: Request
    timeout: float
    patience: float
    turn: Turn | None
    gate: Gate
    retries: RetryConfig | None
    started: float | None = None
    attempts: int = 0
    last_error: CallError | None = None
    refusal: str | None = None


class Pipeline:
    """Everything that the calls of one client share."""

    def __init__(self, settings: Settings, transport: Transport, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.ordering = Ordering()
        self._gates: dict[str, Gate] = {}
        self.gate = self._gate_of(AS_CLIENT)
        self._transport = transport
        self._budget = RetryBudget()
        self._background, self._patience = False, 0.0
        self.requests = 0
        """How many were sent, attempts included."""
        self.is_seldom_cancelled = False
        """Whether nothing cancels a call but the end of what it belongs to, or Ctrl-C.

        Such calls send in the caller's task. Where dozens are under way that costs more: tasks of
        their own take the same step one after another, and find its code in the CPU's caches.
        """
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._indispensable: set[asyncio.Task[Any]] = set()

    def _gate_of(self, options: Options) -> Gate:
        """Return the gate of the server that a call goes to: each has its own limit."""
        server_url = options.server_url or self.settings.server_url
        if server_url not in self._gates:
            if is_plain_http(server_url):
                logger.warning("the API key is sent in clear text to %s: use https", server_url)
            most = self.settings.max_connections
            self._gates[server_url] = Gate(self.settings.share, self.clock, most)
        return self._gates[server_url]

    def in_background(self, patience: float) -> "Pipeline":
        """Return a view of this pipeline whose calls let others pass, and that counts its own.

        They wait at the gate for as long as it takes, but for no stop of more than `patience`
        seconds.
        """
        view = copy.copy(self)
        view.requests = 0
        view._background, view._patience, view.is_seldom_cancelled = True, patience, False
        return view

    def check_usable(self) -> None:
        """Raise where the client is closed, or not on the loop that it belongs to."""
        self._transport.check_usable()

    def turn(self, subscriber_id: str, options: Options = AS_CLIENT) -> Turn:
        """Take the next place in the line of a subscriber."""
        self._transport.check_usable()
        return Turn(self.ordering, self.line_of(subscriber_id, options))

    def line_of(self, subscriber_id: str, options: Options = AS_CLIENT) -> tuple[str, str]:
        """Return what writes have in common that must not happen at the same time."""
        return options.server_url or self.settings.server_url, subscriber_id

    def build(
        self,
        endpoint: Endpoint,
        options: Options,
        document: Mapping[str, Any] | None = None,
        **segments: str,
    ) -> Request:
        headers = self.settings.headers
        if options.headers is not None:
            headers = merge_headers(headers, options.headers)
        server_url = options.server_url or self.settings.server_url
        url = _wire.build_url(server_url, endpoint, **segments)
        body = None if document is None else _wire.build_body(document)
        return Request(endpoint, url, headers, body)

    async def send(
        self, request: Request, options: Options = AS_CLIENT, turn: Turn | None = None
    ) -> Reply:
        """Send a request until it succeeds or its retries are used up.

        With a `turn` the request is a write: cancelling the caller does not cut it off, because the
        server would go on with it all the same.
        """
        if turn is not None and turn.aftermath is not None and not turn.aftermath.done():
            await asyncio.wait({turn.aftermath})
        self._transport.check_usable()
        timeout = self.settings.timeout if options.timeout is None else options.timeout
        config = self.settings.retries if options.retries is ... else options.retries
        patience = timeout if config is None else config.backoff.max_elapsed_time / 1000
        call = _Call(request, timeout, patience, turn, self._gate_of(options), config)
        observer = self.settings.observer
        if observer is None:
            return await self._repeat(partial(self._attempt, call), call)
        info = make_call_info(request.endpoint, request.url)
        numbers = count(1)
        with observer.call(info):
            return await self._repeat(
                lambda: self._watch(observer, AttemptInfo(info, next(numbers)), call), call
            )

    async def _watch(self, observer: Observer, info: AttemptInfo, call: _Call) -> Reply:
        with observer.attempt(info):
            sent = call.attempts
            try:
                reply = await self._attempt(call)
            except APIError as error:
                if call.attempts > sent:  # else it is another one's answer
                    info.status_code = error.status_code
                raise
            info.status_code = reply.status
            return reply

    async def _repeat(self, attempt: Callable[[], Awaitable[Reply]], call: _Call) -> Reply:
        try:
            reply = await attempt()
        except CallError as error:
            reply = await self._go_on(error, attempt, call)
        self._budget.earn()
        return reply

    async def _go_on(
        self,
        error: CallError,
        attempt: Callable[[], Awaitable[Reply]],
        call: _Call,
    ) -> Reply:
        self._transport.check_usable()  # it may have been closed meanwhile
        config = call.retries
        if config is None or not is_retried(error, config):
            error.attempts = call.attempts
            log_end(call.request, error, retried=False)
            raise error

        def will_retry(error: CallError, wait: float) -> None:
            call.last_error = error
            log_retry(call.request, error, wait)

        now = self.clock.monotonic()
        try:
            reply = await retry(
                error,
                attempt,
                config,
                started=now if call.started is None else call.started,
                monotonic=self.clock.monotonic,
                sleep=self.pause,
                budget=self._budget,
                quiet_at=lambda: -inf if call.turn is None else call.turn.quiet_at,
                on_retry=will_retry,
            )
        except CallError as caught:
            last = _own_error(caught, call)
            last.attempts = call.attempts
            log_end(call.request, last, retried=True)
            if last is caught:
                raise
            raise last from last.__cause__
        else:
            reply.attempts = call.attempts
            return reply
        finally:
            call.last_error = None  # its traceback refers to frames that refer to this

    async def pause(self, seconds: float) -> None:
        """Wait inside a call, unless the client is closed meanwhile."""
        self._transport.check_usable()
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        self.keep(sleeping)
        await self.wait_for(sleeping)

    async def wait_for(self, kept: Awaitable[T]) -> T:
        """Wait for what is kept; raise ClientClosedError where the end of the client ends it."""
        try:
            return await kept
        except asyncio.CancelledError:
            if not is_callers_own():
                self._transport.check_usable()
            raise

    async def aclose(self) -> None:
        """Cut off what is still under way and close the connections, also when cancelled."""
        closing = running_loop().create_task(self._close())
        await finish(closing)
        await closing

    async def _close(self) -> None:
        while self._indispensable:  # another one may begin meanwhile
            await asyncio.wait(self._indispensable)
        self._transport.closed = True
        for gate in self._gates.values():
            gate.close()
        unfinished = [
            task for task in (*self._unfinished, *self.ordering.abandoned) if not task.done()
        ]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        await self._transport.aclose()

    def keep(self, task: asyncio.Task[Any], *, to_its_end: bool = False) -> None:
        """Hold on to a task until it ends, or until the client is closed.

        Closing waits for a task that must come `to_its_end`.
        """
        tasks = self._indispensable if to_its_end else self._unfinished
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _attempt(self, call: _Call) -> Reply:
        request, gate, paced = call.request, call.gate, call.request.endpoint.paced
        if paced and not gate.enter():
            await self._wait_at(call)
        if call.started is None:
            call.started = self.clock.monotonic()
        call.attempts += 1
        self.requests += 1
        try:
            reply = await self._send_once(call)
            error = _wire.read_error(request, reply, self.clock.wall())
        except BaseException as failure:
            if isinstance(failure, CallError):
                call.attempts += failure.attempts - 1
                self.requests += failure.attempts - 1
            if paced and call.turn is not None:
                call.turn.when_ended(gate.lost)
            elif paced:
                gate.lost()
            log_attempt(request, call.attempts, None, failure)
            raise
        call.attempts += reply.attempts - 1
        self.requests += reply.attempts - 1
        if paced:
            stop = None
            if isinstance(error, RateLimitError):
                stop = 1.0 if error.retry_after is None else error.retry_after
                log_stop(request, stop, gate.stopped_for)
            gate.observe(reply.headers, stop, succeeded=error is None)
        log_attempt(request, call.attempts, reply.status)
        if error is not None:
            raise error
        return reply

    async def _wait_at(self, call: _Call) -> None:
        """Wait for a token; raise where a 429 stops the gate for longer than the call may take.

        A call that was sent before has so much time only until it gives up, with its last error.
        """
        if call.last_error is None or self._background:
            await self._wait_in_line(call)
            return
        try:
            async with asyncio.timeout(self._seconds_left(call)):
                await self._wait_in_line(call)
        except TimeoutError:
            raise call.last_error from call.last_error.__cause__

    def _seconds_left(self, call: _Call) -> float:
        """Return for how long the call may wait at the gate."""
        if call.started is None or self._background:
            return max(call.patience, call.timeout, self._patience)
        return max(0.0, call.started + call.patience - self.clock.monotonic())

    async def _wait_in_line(self, call: _Call) -> None:
        passed = False
        while not passed:
            self._transport.check_usable()  # closed, it lets nobody wait
            stop = call.gate.stopped_for
            if stop > self._seconds_left(call):
                call.refusal = f"an earlier answer asked to wait, for another {stop:.0f} s"
                raise RateLimitError(
                    f"not sent: {call.refusal}",
                    status_code=429,
                    retry_after=stop,
                    request=call.request.info,
                )
            passed = await call.gate.wait(background=self._background)

    def _send_once(self, call: _Call) -> Awaitable[Reply]:
        turn = call.turn
        if turn is None:
            return self._transport.send(call.request, call.timeout, call.retries)
        if self.is_seldom_cancelled:
            return self._send_here(call, turn)
        # a task that fills a future costs less than asyncio.shield, and is cut off as little
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        turn.exchange = loop.create_task(self._fill(answer, call, turn))
        return answer

    async def _send_here(self, call: _Call, turn: Turn) -> Reply:
        """Send in the caller's task: a twentieth cheaper, and cut off where that is cancelled.

        The server goes on with the request then, and nobody learns when it has ended.
        """
        try:
            reply = await self._transport.send(call.request, call.timeout, call.retries)
        except (asyncio.CancelledError, APIConnectionError) as error:
            self._keep_turn(turn, error)
            raise
        if reply.status >= 500 or reply.attempts > 1:
            self._keep_turn(turn, reply)
        return reply

    async def _fill(self, answer: asyncio.Future[Reply], call: _Call, turn: Turn) -> None:
        """Send in a task of its own; the caller may be gone when the answer comes."""
        try:
            reply = await self._transport.send(call.request, call.timeout, call.retries)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except Exception as error:
            self._keep_turn(turn, error)
            if not answer.done():
                answer.set_exception(error)
        else:
            if reply.status >= 500 or reply.attempts > 1:
                self._keep_turn(turn, reply)
            if not answer.done():
                answer.set_result(reply)

    def _keep_turn(self, turn: Turn, outcome: Reply | BaseException) -> None:
        """Let no other write for the subscriber begin while the API may go on with this one."""
        seconds = seconds_after(outcome)
        if not seconds or self._transport.closed:
            return
        now = self.clock.monotonic()
        turn.quiet_at = max(turn.quiet_at, now + seconds)
        if turn.aftermath is not None:
            turn.aftermath.cancel()
        turn.aftermath = asyncio.ensure_future(self.clock.sleep(turn.quiet_at - now))
        self.keep(turn.aftermath)


def _own_error(caught: CallError, call: _Call) -> CallError:
    """Return what a call itself met last, also where the gate has turned it away since."""
    own = call.last_error
    if call.refusal is None or own is None or own is caught:
        return caught
    own.may_have_applied |= caught.may_have_applied
    for note in (*getattr(caught, "__notes__", ()), f"not sent again: {call.refusal}"):
        own.add_note(note)
    return own
