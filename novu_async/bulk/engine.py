"""The engine: one task group that feeds, sends and records, and ends in good order.

The feeder reads the job file page by page; each worker makes the writes of one subscriber, one
after another; the recorder commits what became of them a few times a second.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from novu_async._clock import Clock
from novu_async.bulk.journal import Journal, Settled
from novu_async.bulk.loader import DONE, FAILED, VERIFIED, WAITING
from novu_async.bulk.plan import Stored, Write, bundle_by_subscriber, make_writes
from novu_async.bulk.reasons import Failure, explain, is_silence, raise_first
from novu_async.bulk.records import Operation
from novu_async.bulk.report import Phase, Progress
from novu_async.bulk.sending import Result
from novu_async.bulk.stops import (
    OUTAGE_PAUSE_SECONDS,
    Integration,
    StopRule,
    Suspect,
    integration_of,
    may_be_mistyped,
)
from novu_async.bulk.thread import Thread
from novu_async.errors import NovuError

_PAGE_ROWS = 500
_TICK_SECONDS = 0.2
_MOST_UNRECORDED = 10_000
_RATE_TICKS = 50
_FEW = 10
_MOST_DEFERRED = 10
"""Another pass may defer writes again where there are more than a few, and not more than so many
times those that succeeded."""


class Engine:
    """Sends the waiting rows of one job file.

    - `send`: makes one write; with `together`, all writes of one subscriber. Raises NovuError where
      all of it failed.
    - `reads_back`: take the rows that are done, and mark them verified, instead.
    - `count_requests`: returns how many requests were sent so far.
    - `is_kept`: the job file outlives the run, so what is answered is recorded soon.
    """

    def __init__(
        self,
        journal: Journal,
        thread: Thread,
        send: Callable[[list[Write]], Awaitable[list[Result]]],
        *,
        operation: Operation,
        concurrency: int,
        stop_after: int,
        patience: float,
        count_requests: Callable[[], int],
        is_kept: bool,
        progress: Callable[[Progress], Any] | None,
        rate_limit: Callable[[], Any],
        stopped_for: Callable[[], float],
        together: bool = False,
        reads_back: bool = False,
    ) -> None:
        self._journal = journal
        self._thread = thread
        self._send = send
        self._operation = operation
        self._concurrency = concurrency
        self._together = together
        self._most_unrecorded = concurrency if is_kept else _MOST_UNRECORDED
        self._from, self._to = (DONE, VERIFIED) if reads_back else (WAITING, DONE)
        self._phase: Phase = "verifying" if reads_back else "sending"
        self._progress = progress
        self._rate_limit = rate_limit
        self._stopped_for = stopped_for
        self._clock = Clock()
        self._rule = StopRule(stop_after, patience)
        self._deferred = self._succeeded = 0
        self._puts_off = True
        self._put_off: set[tuple[str, str]] = set()
        self._unrecorded: Settled = defaultdict(list)
        self._unrecorded_rows = 0
        self._stopping = False
        self._ended = asyncio.Event()
        self._due = asyncio.Event()
        self.exit: SystemExit | KeyboardInterrupt | None = None
        """What a callback raised to end the program: out of a task, it would end the event loop."""
        self._counts: dict[int, int] = {}
        self._count_requests = count_requests
        self._recorded_requests = 0
        self._began = self._recorded_at = 0.0
        self._rates: deque[tuple[float, int]] = deque(maxlen=_RATE_TICKS)

    @property
    def cause(self) -> NovuError | None:
        """Why the job was stopped, where it was."""
        return self._rule.cause

    @property
    def explanation(self) -> str:
        """The same in words."""
        return self._rule.explanation

    @property
    def stopped(self) -> bool:
        """Whether the job was stopped before its end."""
        return self._stopping

    def stop(self) -> None:
        """Begin no further write."""
        self._stopping = True
        self._ended.set()
        self._due.set()

    async def run(self) -> None:
        """Send until nothing waits, or the job is stopped; everything that is known is recorded."""
        self._began = self._recorded_at = self._clock.monotonic()
        self._recorded_requests = self._count_requests()
        self._counts = await self._thread.run(self._journal.counts)
        try:
            await self._run_passes()
            if not self._stopping:
                await self._judge_refused()
        except ExceptionGroup as group:
            raise_first(group)
        finally:
            await self._record()
            self._report()

    async def _run_passes(self) -> None:
        """Send everything, in as many passes as it takes.

        A second pass sends what met a server in trouble; others follow for as long as one that is
        overloaded, or a proxy that limits the rate, takes some more of many, and wherever an
        integration turned out to be there after all. Each needs a success, so they end: what a
        further pass meets without one is the rows' own.
        """
        self._puts_off = is_left = is_first = True
        while is_left:
            self._deferred = self._succeeded = 0
            self._rule.recovered = False
            await self._run_tasks()
            if self._stopping:
                return
            self._puts_off &= is_first or self._succeeded > 0
            is_first = False
            self._settle_all(self._rule.finish())
            await self._record()
            self._puts_off = _FEW < self._deferred <= _MOST_DEFERRED * self._succeeded
            self._put_off.clear()
            is_left = self._rule.cause is None and (self._deferred > 0 or self._rule.recovered)

    async def _judge_refused(self) -> None:
        """Fail the rows of an integration that only they name, or stop the job for it.

        They were held back until all others were sent, since those show which of it is true.
        """
        if not self._rule.refused:
            return
        worked = await self._thread.run(self._journal.integrations, self._to)
        if self._operation == "remove":  # whose rows are done where there is nothing to remove, too
            worked -= self._rule.refused.keys()
        mistyped: dict[Integration, Failure] = {}
        for integration, error in self._rule.refused.items():
            # one that has worked was switched off meanwhile
            if worked and integration not in worked and may_be_mistyped(integration):
                mistyped[integration] = explain(error, integration[1])
            else:
                self._rule.cause = self._rule.cause or error
        if mistyped:
            await self._fail_all(mistyped)

    async def _fail_all(self, failures: dict[Integration, Failure]) -> None:
        """Fail all rows left that go to some integrations, reading the job file through once."""
        last_id = 0
        while not self._stopping:
            page = await self._thread.run(self._journal.read, self._from, last_id, _PAGE_ROWS)
            if not page:
                return
            last_id = page[-1].id
            for stored in page:
                row = stored.row
                failure = failures.get((row.provider_id, row.integration_identifier))
                if failure is not None:
                    self._take(failure, [stored.id])
            await self._record()

    async def _run_tasks(self) -> None:
        self._ended, self._due = asyncio.Event(), asyncio.Event()
        self._queue: asyncio.Queue[list[Write] | None] = asyncio.Queue()
        self._runs_low = asyncio.Event()
        self._last_subscriber: str | None = None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            group.create_task(self._keep_recording())
            workers = [group.create_task(self._work()) for _ in range(self._concurrency)]
            await asyncio.wait(workers)
            self._ended.set()
            self._due.set()

    async def _feed(self) -> None:
        held: list[Stored] = []
        last_id = 0
        while not self._stopping:
            page = await self._thread.run(
                self._journal.read, self._from, last_id, _PAGE_ROWS, list(self._rule.refused)
            )
            if not page:
                break
            last_id = page[-1].id
            held += page
            cut = self._cut(held)
            ready, held = held[:cut], held[cut:]
            await self._hand_out(ready)
        if not self._stopping:
            await self._hand_out(held)
        for _ in range(self._concurrency):
            self._queue.put_nowait(None)

    def _cut(self, rows: list[Stored]) -> int:
        """Return how many rows can be sent: the last subscriber may go on in the next page."""
        if len(rows) >= 2 * _PAGE_ROWS and self._operation != "replace":
            return len(rows)
        last = rows[-1].row.subscriber_id
        cut = len(rows)
        while cut and rows[cut - 1].row.subscriber_id == last:
            cut -= 1
        return cut

    async def _hand_out(self, rows: list[Stored]) -> None:
        for bundle in bundle_by_subscriber(make_writes(rows, self._operation)):
            if bundle[0].subscriber_id == self._last_subscriber:
                await self._queue.join()  # its first part has to be made before
            self._last_subscriber = bundle[0].subscriber_id
            self._queue.put_nowait(bundle)
        while self._queue.qsize() > 2 * self._concurrency:
            self._runs_low.clear()
            await self._runs_low.wait()

    async def _work(self) -> None:
        while (bundle := await self._queue.get()) is not None:
            if self._queue.qsize() <= 2 * self._concurrency:
                self._runs_low.set()
            if not self._together:
                await self._make_each(bundle)
            elif not self._stopping:
                await self._make(bundle)
            self._queue.task_done()

    async def _make_each(self, bundle: list[Write]) -> None:
        """Make writes one after another.

        A webhook URL that met a server in trouble is sent once more later, and its PUT erases the
        tokens of its channel: those wait with it, also where they come in a later bundle.
        """
        for write in bundle:
            if self._stopping:
                return
            if self._rule.refused and integration_of(write) in self._rule.refused:
                continue  # its rows wait for the end
            channels = (write.subscriber_id, write.provider_id)
            if channels in self._put_off:
                self._deferred += 1
                continue
            is_known = await self._make([write])
            if not is_known and self._puts_off and write.webhook_url is not None:
                self._put_off.add(channels)

    async def _make(self, writes: list[Write]) -> bool:
        """Make writes at once; tell whether the server said what became of them."""
        begun = self._rule.begin()
        try:
            results = await self._send(writes)
        except NovuError as error:
            self._settle_all(self._rule.failed(writes, error, begun, self._clock.monotonic()))
            if self._rule.cause is not None:
                self.stop()
            elif self._rule.is_outage:
                await self._wait_a_little()
            return not is_silence(error)
        except (SystemExit, KeyboardInterrupt) as error:
            self._leave(error)
            return False
        else:
            self._succeeded += len(writes)
            for write, result in zip(writes, results, strict=True):
                self._settle_all(self._rule.succeeded(write, begun))
                self._settle(write, result)
            return True

    async def _wait_a_little(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), OUTAGE_PAUSE_SECONDS)

    def _settle_all(self, failed: list[Suspect]) -> None:
        for writes, error in failed:
            if self._puts_off and is_silence(error):
                self._deferred += 1
                continue
            for write in writes:
                self._settle(write, Result(explain(error, write.integration_identifier)))

    def _settle(self, write: Write, result: Result) -> None:
        if not result.missing:
            self._take(result.failure, write.row_ids)
        else:
            for row_id, token in zip(write.row_ids, write.tokens, strict=True):
                self._take(result.missing.get(token), [row_id])
        if self._unrecorded_rows >= self._most_unrecorded:
            self._due.set()

    def _take(self, failure: Failure | None, row_ids: Sequence[int]) -> None:
        """Take in what became of some rows."""
        state, rows = self._to if failure is None else FAILED, len(row_ids)
        self._unrecorded[state, failure] += row_ids
        self._unrecorded_rows += rows
        self._counts[self._from] -= rows
        self._counts[state] += rows

    async def _keep_recording(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), _TICK_SECONDS)
            self._due.clear()
            await self._record()
            self._report()

    async def _record(self) -> None:
        settled, self._unrecorded = self._unrecorded, defaultdict(list)
        self._unrecorded_rows = 0
        now, counted = self._clock.monotonic(), self._count_requests()
        requests, seconds = counted - self._recorded_requests, now - self._recorded_at
        self._recorded_requests, self._recorded_at = counted, now
        await self._thread.run(self._journal.record, settled, requests=requests, seconds=seconds)

    def _report(self) -> None:
        if self._progress is None:
            return
        try:
            self._progress(self._make_progress())
        except (SystemExit, KeyboardInterrupt) as error:
            self._leave(error)

    def _leave(self, error: SystemExit | KeyboardInterrupt) -> None:
        self.exit = self.exit or error
        self.stop()

    def _make_progress(self) -> Progress:
        now, counted = self._clock.monotonic(), self._count_requests()
        self._rates.append((now, counted))
        (then, before), counts, meta = self._rates[0], self._counts, self._journal.meta
        rate = (counted - before) / (now - then) if now > then else 0.0
        waiting = counts[self._from]
        rows_to_send = meta["rows"] - meta["invalid"] - meta["duplicates"]
        left = meta["planned_requests"] * waiting / rows_to_send if rows_to_send else 0.0
        return Progress(
            phase=self._phase,
            rows=meta["rows"],
            invalid=meta["invalid"],
            duplicates=meta["duplicates"],
            done=counts[DONE] + counts[VERIFIED] if self._to == DONE else counts[VERIFIED],
            failed=counts[FAILED],
            waiting=waiting,
            writes=meta["writes"],
            requests=meta.get("requests", 0) + counted - self._recorded_requests,
            seconds=now - self._began,
            rate=rate,
            seconds_left=left / rate if rate else None,
            rate_limit=self._rate_limit(),
            stopped_for=self._stopped_for(),
        )
