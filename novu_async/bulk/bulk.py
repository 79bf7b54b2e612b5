"""`novu.bulk`: registering many, merged, paced, and surviving what happens meanwhile."""

import asyncio
import inspect
import math
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, get_args

from novu_async._clock import Clock
from novu_async._retry import is_duration
from novu_async._shielding import finish
from novu_async.bulk.engine import Engine
from novu_async.bulk.failures import write_failures
from novu_async.bulk.figures import make_dry_run
from novu_async.bulk.jobs import NO_SERVER, Job, Server, open_job, shape_of
from novu_async.bulk.places import check_places
from novu_async.bulk.plan import DryRun
from novu_async.bulk.readers import FileSource, Source, as_source
from novu_async.bulk.records import Operation
from novu_async.bulk.report import Outcome, Phase, Progress, Report
from novu_async.bulk.sending import Sender
from novu_async.bulk.stream import Flow
from novu_async.errors import BulkError, ConfigurationError, InvalidRequestError, NovuError

Records = Source | Iterable[Any] | AsyncIterable[Any] | os.PathLike[str] | IO[Any]
OnMissing = Literal["raise", "create"]
OnProgress = Callable[[Progress], Any]


class Bulk:
    """`novu.bulk`: many rows as few requests, at the rate that the server admits.

    - `make_subscribers`: given a job's patience makes what is `novu.subscribers` for it, whose
      calls retry, pace and keep the order, and a function that returns how many requests these
      have sent.
    - `rate_limit`: returns the server's limit as the client knows it, for Progress; `stopped_for`
      returns for how many seconds a 429 has stopped the client.
    - `digest_key`: takes a salt and returns a hash of the API key, to tell another one by.
    """

    def __init__(
        self,
        make_subscribers: Callable[[float], tuple[Any, Callable[[], int]]],
        *,
        server_url: str,
        rate_limit: Callable[[], Any],
        stopped_for: Callable[[], float] = lambda: 0.0,
        digest_key: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._make_subscribers = make_subscribers
        self._server_url = server_url
        self._rate_limit = rate_limit
        self._stopped_for = stopped_for
        self._digest_key = digest_key

    async def register(
        self,
        records: Records | None,
        *,
        job: str | os.PathLike[str] | None = None,
        operation: Operation = "append",
        concurrency: int = 64,
        on_missing_subscriber: OnMissing = "raise",
        failures: str | os.PathLike[str] | None = None,
        progress: OnProgress | None = None,
        verify: bool = False,
        stop_after: int = 10,
        patience: float = 60.0,
        grace: float = 10.0,
    ) -> Report:
        """Write all records, merged per subscriber, provider and integration; return the Report.

        The whole input is read, checked and merged before the first request. One row that cannot be
        used, or that the API refuses, never stops the others. Nor does an integration that is not
        there: its rows wait until all others are sent. Then they fail where they may name a wrong
        one (by an identifier, or an unknown provider); otherwise the job is stopped, as it is where
        nothing at all could be written, or (but for "remove") where it has worked in this job.

        - `records`: an iterable or async iterable of DeviceToken, WebhookUrl, dict or tuple; a path
          or open file of CSV, JSON Lines, gzip of both, or Parquet; or what `read_csv`,
          `read_jsonl`, `read_select` and `read_rows` return, which take names of columns.
        - `job`: a file that records what is done. With it the same call finishes a job that was
          stopped or killed, and reports every row once; `records` may then be None. It holds the
          tokens, with mode 0600. Without it nothing is kept. A job belongs to one environment; with
          another API key, which may be that of another one, it goes on with a warning.
        - `operation`: "append"; "replace" (the rows of a channel become its only tokens);
          "remove"; "delete" (all channels of the provider). Writing a webhook URL erases the device
          tokens that its chat channel has (the API's PUT and PATCH both do); tokens of the same job
          come after it.
        - `on_missing_subscriber`: "create" registers unknown subscribers first (append only).
        - `failures`: where to write the rows that failed or were invalid, shaped like the input,
          with `reason` and `retryable`. Of a replace, feed them back with append.
        - `progress`: called with a Progress a few times a second, in the event loop's thread; not
          an async function.
        - `verify`: afterwards read back what was written; what is not there counts as failed.
        - `stop_after`: the job is stopped after so many requests in a row without an answer, and
          nothing more is sent to an integration that so many in a row did not find.
        - `patience`: for so many seconds a server that has answered before may be in trouble; rows
          that met it then are sent once more at the end, and again while it takes a tenth of more
          than ten. Where it asks to wait for longer (429 with a Retry-After) the job is stopped.
        - `grace`: on cancellation, how long requests under way may take to finish, in seconds.

        Raises InvalidRequestError for a source that is no use as a whole, or files that would
        overwrite each other; ConfigurationError for a job file that cannot be used or a failures
        file that cannot be written; BulkError (with `report`) where the job was stopped, or where
        the failures could not be written at its end.
        """
        _check_options(operation, concurrency, on_missing_subscriber, stop_after)
        _check_seconds("patience", patience)
        _check_seconds("grace", grace)
        if records is None and job is None:
            raise InvalidRequestError("records are needed, or a job file to go on with", "records")
        source = None if records is None else as_source(records)
        path = None if job is None else Path(job)
        failed_path = None if failures is None else Path(failures)
        origin = source.path if isinstance(source, FileSource) else None
        check_places(origin, path, failed_path)
        _import_ahead()
        watch = _watch(progress)
        server = Server(self._server_url, self._digest_key)
        async with open_job(path, source, operation, server, watch) as opened:
            subscribers, count_requests = self._make_subscribers(patience)
            sender = Sender(subscribers, operation, on_missing_subscriber)
            make = partial(
                Engine,
                opened.journal,
                opened.thread,
                operation=operation,
                concurrency=concurrency,
                stop_after=stop_after,
                patience=patience,
                count_requests=count_requests,
                is_kept=path is not None,
                progress=progress,
                rate_limit=self._rate_limit,
                stopped_for=self._stopped_for,
            )
            return await _run(_make_engines(make, sender, verify), opened, path, failed_path, grace)

    async def stream(
        self,
        records: Records,
        *,
        operation: Operation = "append",
        concurrency: int = 64,
        window: int = 1000,
        on_missing_subscriber: OnMissing = "raise",
        stop_after: int = 10,
        patience: float = 60.0,
    ) -> AsyncGenerator[Outcome, None]:
        """Write records as they come, also from an endless source, and yield each row's Outcome.

        Nothing is kept on disk. At most `window` rows are read ahead of the outcomes taken; rows of
        one subscriber that wait at the same time travel together. Closing it early (`aclosing`)
        stops at once: what was under way may or may not have been written.

        Rows cannot "replace" here: those of one channel would have to be there all at once. A known
        provider without integration stops the stream after `stop_after` rows in a row, since none
        can wait; other integrations that are not there fail their rows. A webhook URL erases the
        device tokens that earlier rows have put into its chat channel. The other arguments, and the
        errors, are those of `register`.
        """
        if operation == "replace":
            raise InvalidRequestError(
                "a stream cannot replace: rows of one channel that come later would erase the "
                "earlier ones; use register",
                "operation",
            )
        if operation == "verify":
            raise InvalidRequestError("a stream only writes; use bulk.verify", "operation")
        _check_options(operation, concurrency, on_missing_subscriber, stop_after)
        _check_whole("window", window)
        _check_seconds("patience", patience)
        _import_ahead()
        subscribers, count_requests = self._make_subscribers(patience)
        flow = Flow(
            as_source(records),
            Sender(subscribers, operation, on_missing_subscriber),
            concurrency=concurrency,
            window=window,
            stop_after=stop_after,
            patience=patience,
            count_requests=count_requests,
        )
        async with aclosing(flow.outcomes()) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def verify(
        self,
        records: Records | None,
        *,
        job: str | os.PathLike[str] | None = None,
        concurrency: int = 64,
        failures: str | os.PathLike[str] | None = None,
        progress: OnProgress | None = None,
        stop_after: int = 10,
        patience: float = 60.0,
        grace: float = 10.0,
    ) -> Report:
        """Read back what the records say, write nothing, and report what is not stored.

        `done` counts the rows whose token is stored; the others are failed, with the reason
        "not stored when read back". The arguments are those of `register`.
        """
        return await self.register(
            records,
            job=job,
            operation="verify",
            concurrency=concurrency,
            failures=failures,
            progress=progress,
            stop_after=stop_after,
            patience=patience,
            grace=grace,
        )

    async def plan(
        self,
        records: Records,
        *,
        operation: Operation = "append",
        on_missing_subscriber: OnMissing = "raise",
        progress: OnProgress | None = None,
    ) -> DryRun:
        """Read and check everything, send nothing, and say what the job would do."""
        return await plan(
            records,
            operation=operation,
            on_missing_subscriber=on_missing_subscriber,
            progress=progress,
        )


async def plan(
    records: Records,
    *,
    operation: Operation = "append",
    on_missing_subscriber: OnMissing = "raise",
    progress: OnProgress | None = None,
) -> DryRun:
    """Read and check everything, send nothing, and say what the job would do; needs no client."""
    _check_options(operation, 1, on_missing_subscriber, 1)
    watch = _watch(progress)
    async with open_job(None, as_source(records), operation, NO_SERVER, watch) as opened:
        return await opened.ask(make_dry_run)


def _import_ahead() -> None:
    """Import what failing and cancelled calls need, while there are descriptors left."""
    for name in ("tenacity", "encodings.utf_8_sig", "anyio", "anyio._backends._asyncio"):
        import_module(name)


def _check_progress(progress: object) -> None:
    forms = (progress, getattr(progress, "__call__", None))  # noqa: B004, of an object
    if not callable(progress) or any(map(inspect.iscoroutinefunction, forms)):
        raise InvalidRequestError("progress must be a function that is not async", "progress")


def _watch(progress: OnProgress | None) -> Callable[[Phase, int], None]:
    if progress is not None:
        _check_progress(progress)
    clock = Clock()
    began = clock.monotonic()

    def watch(phase: Phase, rows: int) -> None:
        if progress is not None:
            progress(Progress(phase, rows=rows, seconds=clock.monotonic() - began))

    return watch


def _make_engines(make: Callable[..., Engine], sender: Sender, verify: bool) -> list[Engine]:
    if sender.operation == "verify":
        return [make(sender.verify, together=True)]
    reader = [make(sender.verify, together=True, reads_back=True)] if verify else []
    return [make(sender.send), *reader]


async def _run(
    engines: list[Engine],
    opened: Job,
    path: Path | None,
    failures: Path | None,
    grace: float,
) -> Report:
    task = asyncio.create_task(_run_engines(engines))
    try:
        await _finish_or_stop(task, engines, grace)
    except BaseException as error:
        await _write_failures_after(error, opened, failures)
        raise
    written = unwritten = None
    try:
        written = await _write_failures(opened, failures)
    except ConfigurationError as error:
        unwritten = error
    report = await opened.report(job=None if path is None else str(path), failures_path=written)
    stopped = next((engine for engine in engines if engine.cause is not None), None)
    if stopped is not None:
        message = _explain_stop(stopped.explanation, report, unwritten)
        raise BulkError(message, report) from stopped.cause
    if unwritten is not None:
        raise BulkError(_explain_unwritten(unwritten, report), report) from unwritten
    return report


async def _run_engines(engines: list[Engine]) -> None:
    for engine in engines:
        await engine.run()
        if engine.stopped or engine.cause is not None:
            return


async def _finish_or_stop(task: "asyncio.Task[None]", engines: list[Engine], grace: float) -> None:
    try:
        await asyncio.shield(task)
        for engine in engines:
            if engine.exit is not None:
                raise engine.exit
    except asyncio.CancelledError as cancelled:
        for engine in engines:
            engine.stop()
        try:
            await finish(task, timeout=None if grace == math.inf else grace)
        finally:
            task.cancel()
            await finish(task)
        if not task.cancelled() and (failed := task.exception()) is not None:
            cancelled.add_note(f"the job failed meanwhile: {failed}")
        raise


async def _write_failures_after(error: BaseException, opened: Job, failures: Path | None) -> None:
    """Write them beside an error that goes on its way, whatever happens here."""
    try:
        await _write_failures(opened, failures)
    except Exception as another:
        error.add_note(str(another))


async def _write_failures(opened: Job, failures: Path | None) -> str | None:
    if failures is None:
        return None
    journal = opened.journal

    def write() -> int:
        return write_failures(failures, journal.failed_rows(), shape_of(journal))

    return str(failures) if await opened.thread.run(write) else None


def _explain_stop(cause: str, report: Report, unwritten: NovuError | None) -> str:
    next_step = (
        "run it again to go on" if report.job else "with a job file it could be gone on with"
    )
    also = "" if unwritten is None else f"; {unwritten.message}"
    return (
        f"stopped: {cause}; {report.done} rows are done, {report.failed} failed, "
        f"{report.waiting} wait; put the cause right, then {next_step}{also}"
    )


def _explain_unwritten(error: NovuError, report: Report) -> str:
    next_step = (
        "the job file has them: run it again with another failures file"
        if report.job
        else "with a job file they would not be lost"
    )
    rows = report.failed + report.invalid
    return f"{error.message}; {report.done} rows are done, {rows} are not; {next_step}"


def _check_options(
    operation: str, concurrency: int, on_missing_subscriber: str, stop_after: int
) -> None:
    choices = get_args(Operation)
    if operation not in choices:
        raise InvalidRequestError(f"operation must be one of {', '.join(choices)}", "operation")
    if on_missing_subscriber not in get_args(OnMissing):
        raise InvalidRequestError(
            "on_missing_subscriber must be 'raise' or 'create'", "on_missing_subscriber"
        )
    if on_missing_subscriber == "create" and operation != "append":
        raise InvalidRequestError(
            f"only append creates subscribers, not {operation}", "on_missing_subscriber"
        )
    _check_whole("concurrency", concurrency)
    _check_whole("stop_after", stop_after)


def _check_whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidRequestError(f"{name} must be a whole number from 1", name)


def _check_seconds(name: str, value: object) -> None:
    if not is_duration(value):
        raise InvalidRequestError(f"{name} must be a number of seconds from 0", name)
