"""Job files: made from an input, or gone on with after the input is seen to be the same."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from novu_async._log import logger
from novu_async.bulk.failures import Shape
from novu_async.bulk.journal import Journal
from novu_async.bulk.loader import Fingerprint, Loader
from novu_async.bulk.lock import JobLock
from novu_async.bulk.readers import Source
from novu_async.bulk.reading import read_all
from novu_async.bulk.records import Columns, Operation
from novu_async.bulk.report import Outcome, Phase, Report
from novu_async.bulk.thread import Thread
from novu_async.errors import ConfigurationError, InvalidRequestError

T = TypeVar("T")

Watch = Callable[[Phase, int], None]


@frozen
class Server:
    """Where a job writes: a server, and there the environment that the API key is for.

    - `digest_key`: takes a salt and returns a hash of the key; "" where there is no key.
    """

    url: str
    digest_key: Callable[[str], str] = field(repr=False)


NO_SERVER = Server("", lambda _: "")


@frozen
class Job:
    """An open job file, and whether an earlier run had made it."""

    journal: Journal
    thread: Thread
    resumed: bool

    async def ask(self, question: Callable[[Journal], T]) -> T:
        """Read what may take long; it is broken off where the caller is cancelled."""
        try:
            return await self.thread.run(question, self.journal)
        except asyncio.CancelledError:
            self.journal.interrupt()
            raise

    async def report(self, **more: Any) -> Report:
        """Return what the job did so far."""
        return await self.thread.run(self.journal.report, resumed=self.resumed, **more)


@asynccontextmanager
async def open_job(
    path: Path | None,
    source: Source | None,
    operation: Operation,
    server: Server,
    watch: Watch,
) -> AsyncIterator[Job]:
    """Open a job file, or make it from the source; without a path it is removed at the end.

    Raises ConfigurationError where the file is in use, damaged, or of another job.
    """
    thread = Thread("journal")
    held = ExitStack()  # given back in the thread, after all of its calls
    try:
        place = held.enter_context(_place(path))
        resumed = place.exists()
        if not resumed:
            await _load(place, source, operation, server, thread, watch)
        journal = await thread.run(lambda: held.enter_context(closing(Journal(place))))
        job = Job(journal, thread, resumed)
        if resumed:
            await _check_same(job, source, operation, server, watch)
        yield job
    finally:
        await thread.close(held.close)


@contextmanager
def _place(path: Path | None) -> Iterator[Path]:
    if path is None:
        with tempfile.TemporaryDirectory(prefix="novu-bulk-") as folder:
            yield Path(folder) / "job"
        return
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigurationError(f"the job file {path} cannot be made: something else is there")
    if os.path.islink(path):  # it is made where its lock is, and the link stays one
        path = Path(os.path.realpath(path))
    lock = JobLock(path)
    try:
        yield path
    finally:
        lock.release()


async def _load(
    path: Path,
    source: Source | None,
    operation: Operation,
    server: Server,
    thread: Thread,
    watch: Watch,
) -> None:
    if source is None:
        raise InvalidRequestError(
            f"the job file {path} does not exist: records are needed to make it", "records"
        )
    loader = Loader(path, operation)
    try:
        async with aclosing(read_all(source, operation)) as batches:
            async for rows in batches:
                await thread.run(loader.add, rows)
                watch("reading", loader.fingerprint.rows)
        watch("merging", loader.fingerprint.rows)
        salt = secrets.token_hex(8)
        key = {"key_salt": salt, "key_digest": server.digest_key(salt)}
        facts = {"server_url": server.url, **key, **_describe(source)}
        await thread.run(loader.finish, facts)
    except BaseException:
        loader.interrupt()
        await thread.run(loader.discard)
        raise


async def _check_same(
    job: Job, source: Source | None, operation: Operation, server: Server, watch: Watch
) -> None:
    journal, meta = job.journal, job.journal.meta
    for name, now, what in (
        ("operation", operation, "operation"),
        ("server_url", server.url, "server"),
    ):
        if meta[name] != now:
            raise ConfigurationError(
                f"the job file {journal.path} is for the {what} {meta[name]}, not {now}: "
                "choose another job file"
            )
    await job.ask(Journal.check)
    if source is not None:
        await _check_input(job, source, operation, watch)
    if "key_salt" in meta and server.digest_key(meta["key_salt"]) != meta["key_digest"]:
        await job.thread.run(journal.record, {}, other_keys=1)
        logger.warning(
            "the job file %s was made with another API key: if that is for another environment, "
            "what is done there is not done here; choose another job file then",
            journal.path,
        )


async def _check_input(job: Job, source: Source, operation: Operation, watch: Watch) -> None:
    journal, meta = job.journal, job.journal.meta
    fingerprint = Fingerprint()
    async with aclosing(read_all(source, operation)) as batches:
        async for rows in batches:
            await job.thread.run(fingerprint.add, rows)
            watch("reading", fingerprint.rows)
    if str(fingerprint) != meta["fingerprint"]:
        raise ConfigurationError(
            f"the job file {journal.path} was made from another input ({meta['rows']} rows of "
            f"{meta['source']}; now {fingerprint.rows} rows): give that input again, or choose "
            "another job file"
        )


def _describe(source: Source) -> dict[str, Any]:
    constants = {name: str(value) for name, value in source.columns.constants.items()}
    return {
        "source": source.name,
        "format": source.format,
        "delimiter": source.delimiter,
        "header": source.header,
        "names": dict(source.columns.names),
        "constants": constants,
    }


def shape_of(journal: Journal) -> Shape:
    """Return how the input of a job was written."""
    meta = journal.meta
    columns = Columns(meta["names"], meta["constants"])
    return Shape(meta["format"], meta["delimiter"], tuple(meta["header"]), columns)


def read_job(path: str | Path) -> Report:
    """Return what a job has done so far, also while it runs in another process.

    Raises ConfigurationError where the file is missing, damaged, or no job file.
    """
    journal = Journal(Path(path), read_only=True)
    try:
        return journal.report(job=str(path), resumed=True)
    finally:
        journal.close()


def read_outcomes(path: str | Path) -> Iterator[Outcome]:
    """Yield what became of each row of a job that is dealt with, in no particular order."""
    journal = Journal(Path(path), read_only=True)
    try:
        yield from journal.outcomes()
    finally:
        journal.close()
