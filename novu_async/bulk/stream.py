"""Streaming: rows as they come, outcomes as they come, a bounded window between them.

Rows that wait while another write of their subscriber is under way, or while all workers are busy,
are merged into the next write.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import groupby

from attrs import define

from novu_async._clock import Clock
from novu_async._shielding import is_callers_own
from novu_async.bulk.plan import Stored, Write, channel_key, make_writes, mark_duplicates
from novu_async.bulk.readers import FileSource, IterableSource, Source
from novu_async.bulk.reading import read_all
from novu_async.bulk.reasons import Failure, explain, raise_first
from novu_async.bulk.records import Invalid, Row
from novu_async.bulk.report import Outcome, Report
from novu_async.bulk.sending import Result, Sender
from novu_async.bulk.stops import OUTAGE_PAUSE_SECONDS, StopRule, integration_of, may_be_mistyped
from novu_async.errors import BulkError, IntegrationNotFoundError, NovuError

_SOME_ROWS = 200


@define
class Counts:
    """What a stream has done so far."""

    rows: int = 0
    done: int = 0
    failed: int = 0
    invalid: int = 0
    duplicates: int = 0
    writes: int = 0


class Flow:
    """One stream under way: a reader, workers, and the outcomes that are not taken yet."""

    def __init__(
        self,
        source: Source,
        sender: Sender,
        *,
        concurrency: int,
        window: int,
        stop_after: int,
        patience: float,
        count_requests: Callable[[], int],
    ) -> None:
        self._source = source
        self._sender = sender
        self._concurrency = concurrency
        self._room = asyncio.Semaphore(window)
        self._waiting: dict[str, list[Row]] = {}
        self._busy: set[str] = set()
        self._ready: asyncio.Queue[str | None] = asyncio.Queue()
        self._outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()
        self._rule = StopRule(stop_after, patience)
        self._clock = Clock()
        self._count_requests = count_requests
        self._counts = Counts()
        self._error: BaseException | None = None
        """What the source or a callback raised: SystemExit out of a task ends the event loop."""
        self._is_over = False

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Yield what becomes of each row; raise BulkError where the stream was stopped."""
        task = asyncio.create_task(self._run())
        try:
            while (outcome := await self._outcomes.get()) is not None:
                self._room.release()
                yield outcome
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._rule.cause is not None:
            message = f"stopped: {self._rule.explanation}"
            raise BulkError(message, self._report()) from self._rule.cause
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                workers = [group.create_task(self._work()) for _ in range(self._concurrency)]
                await asyncio.wait(workers)
                reader.cancel()
        except ExceptionGroup as group:
            raise_first(group)
        finally:
            self._outcomes.put_nowait(None)

    async def _read(self) -> None:
        """Read all rows; where the source fails, those before are still dealt with."""
        try:
            await self._take_all()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_callers_own():
                raise
            self._error = self._error or error
        self._end()

    async def _take_all(self) -> None:
        some = 1 if _is_live(self._source) else _SOME_ROWS
        batches = read_all(self._source, self._sender.operation, file_rows=some, items=some)
        async with aclosing(batches):
            async for rows in batches:
                for row in rows:
                    await self._room.acquire()
                    self._take(row)

    def _take(self, row: Row | Invalid) -> None:
        self._counts.rows += 1
        if isinstance(row, Invalid):
            self._counts.invalid += 1
            self._outcomes.put_nowait(Outcome("invalid", None, row.line, row.reason))
            return
        waiting = self._waiting.setdefault(row.subscriber_id, [])
        waiting.append(row)
        if len(waiting) == 1 and row.subscriber_id not in self._busy:
            self._busy.add(row.subscriber_id)
            self._ready.put_nowait(row.subscriber_id)

    def _end(self) -> None:
        for _ in range(self._concurrency):
            self._ready.put_nowait(None)

    def _stop(self, cause: BaseException | None) -> None:
        if cause is not None:
            self._is_over = True
            self._end()

    async def _work(self) -> None:
        while (subscriber_id := await self._ready.get()) is not None:
            await asyncio.sleep(0)  # rows that the reader has at hand come along
            while rows := self._waiting.pop(subscriber_id, []):
                await self._send(rows)
            self._busy.discard(subscriber_id)

    async def _send(self, rows: list[Row]) -> None:
        rows.sort(key=lambda row: (channel_key(row), row.webhook_url is None, row.line))
        sent: list[Row] = []
        for _, channel in groupby(rows, key=channel_key):
            for row, reason in mark_duplicates(channel):
                if reason:
                    self._counts.duplicates += 1
                    self._outcomes.put_nowait(Outcome("duplicate", row.record, row.line, reason))
                else:
                    sent.append(row)
        stored = (Stored(number, row) for number, row in enumerate(sent))
        for write in make_writes(stored, self._sender.operation):
            if not self._is_over:
                await self._make(write, [sent[number] for number in write.row_ids])

    async def _make(self, write: Write, rows: list[Row]) -> None:
        self._counts.writes += 1
        begun = self._rule.begin()
        try:
            (result,) = await self._sender.send([write])
        except NovuError as error:
            if not self._is_the_rows_own(write, error):
                self._rule.failed([write], error, begun, self._clock.monotonic())
            self._rule.cause = self._rule.cause or next(iter(self._rule.refused.values()), None)
            result = Result(explain(error, write.integration_identifier))
            self._stop(self._rule.cause)
        except (SystemExit, KeyboardInterrupt) as error:
            self._error = error
            self._stop(error)
            return
        else:
            self._rule.succeeded(write, begun)
        for row in rows:
            self._settle(row, result.failure or result.missing.get(row.token or ""))
        if self._rule.is_outage and not self._is_over:
            await self._clock.sleep(OUTAGE_PAUSE_SECONDS)

    def _is_the_rows_own(self, write: Write, error: NovuError) -> bool:
        """Tell whether an integration that is not there may be mistyped.

        Unlike in a job, rows cannot wait here until it is known.
        """
        is_missing = isinstance(error, IntegrationNotFoundError)
        return is_missing and may_be_mistyped(integration_of(write))

    def _settle(self, row: Row, failure: Failure | None) -> None:
        if failure is None:
            self._counts.done += 1
            self._outcomes.put_nowait(Outcome("done", row.record, row.line))
            return
        self._counts.failed += 1
        self._outcomes.put_nowait(
            Outcome(
                "failed", row.record, row.line, failure.reason, failure.detail, failure.retryable
            )
        )

    def _report(self) -> Report:
        counts = self._counts
        settled = counts.done + counts.failed + counts.invalid + counts.duplicates
        return Report(
            self._sender.operation,
            rows=counts.rows,
            done=counts.done,
            failed=counts.failed,
            waiting=counts.rows - settled,
            invalid=counts.invalid,
            duplicates=counts.duplicates,
            writes=counts.writes,
            requests=self._count_requests(),
            source=self._source.name,
        )


def _is_live(source: Source) -> bool:
    if isinstance(source, FileSource):
        return source.is_live
    return isinstance(source, IterableSource) and source.is_async
