"""Job files: resumed, refused, damaged, and shared by nobody."""

import asyncio
import math
import os
import random
import sqlite3
import stat
import sys
import threading
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from novu_async import Novu
from novu_async.bulk import Bulk, Progress, Report, read_job, read_outcomes
from novu_async.bulk.journal import Journal
from novu_async.bulk.loader import Loader
from novu_async.bulk.lock import JobLock
from novu_async.errors import BulkError, ConfigurationError, InvalidRequestError
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

ROWS = [(f"u{i % 40}", "fcm", f"t{i}") for i in range(120)] + [
    ("u1", "fcm", "t1"),
    ("", "fcm", "x"),
]


async def stop_midway(bulk: Bulk, job: Path, local: LocalNovu) -> Report:
    """Run a job whose key is refused after some writes."""
    local.faults.next("error_503", times=1000, after=15)
    with pytest.raises(BulkError, match="run it again") as caught:
        await bulk.register(ROWS, job=job, concurrency=2, stop_after=3, patience=0)
    local.faults.reset()
    report: Report = caught.value.report
    assert 0 < report.done < 120
    return report


async def test_the_same_call_finishes_a_stopped_job(
    bulk: Bulk, local: LocalNovu, tmp_path: Path
) -> None:
    """What is done is not sent again, and the report counts every row once over all runs."""
    job = tmp_path / "job"
    first = await stop_midway(bulk, job, local)
    sent = len(local.requests)
    report = await bulk.register(ROWS, job=job)
    assert len(local.requests) - sent == 40 - first.done // 3
    assert (report.rows, report.done, report.duplicates, report.invalid) == (122, 120, 1, 1)
    assert (report.failed, report.waiting, report.resumed) == (0, 0, True)
    assert report.requests == len(local.requests)
    assert sorted(t for i in range(40) for t in local.device_tokens(f"u{i}", "fcm")) == sorted(
        f"t{i}" for i in range(120)
    )


async def test_a_finished_job_sends_nothing_more(
    bulk: Bulk, local: LocalNovu, tmp_path: Path
) -> None:
    """Running it once more gives the same report."""
    job = tmp_path / "job"
    first = await bulk.register(ROWS, job=job)
    sent = len(local.requests)
    again = await bulk.register(ROWS, job=job)
    assert len(local.requests) == sent
    assert (again.done, again.requests) == (first.done, first.requests)


async def test_the_order_of_the_input_does_not_matter(bulk: Bulk, tmp_path: Path) -> None:
    """A database may give the same rows in another order the second time."""
    await bulk.register(ROWS, job=tmp_path / "job")
    assert (await bulk.register(random.sample(ROWS, len(ROWS)), job=tmp_path / "job")).resumed


async def test_an_existing_job_needs_no_input(bulk: Bulk, local: LocalNovu, tmp_path: Path) -> None:
    """Everything that is to be sent is in the job file."""
    await stop_midway(bulk, tmp_path / "job", local)
    assert (await bulk.register(None, job=tmp_path / "job")).done == 120
    with pytest.raises(InvalidRequestError, match="does not exist"):
        await bulk.register(None, job=tmp_path / "other")


@pytest.mark.parametrize(
    "rows", [ROWS[1:], [*ROWS, ("u", "fcm", "t")], [*ROWS[:-2], ROWS[0], ROWS[-1]]]
)
async def test_another_input_is_refused(
    bulk: Bulk, local: LocalNovu, tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    """A row less, a row more or a row changed: nothing is sent, and the message says so."""
    await bulk.register(ROWS, job=tmp_path / "job")
    sent = len(local.requests)
    with pytest.raises(ConfigurationError, match="another input"):
        await bulk.register(rows, job=tmp_path / "job")
    assert len(local.requests) == sent


async def test_another_server_or_operation_is_refused(
    bulk: Bulk, novu: Novu, tmp_path: Path
) -> None:
    """A job that was begun on one server does not go on at another."""
    await bulk.register(ROWS, job=tmp_path / "job")
    with pytest.raises(ConfigurationError, match="operation append, not remove"):
        await bulk.register(ROWS, job=tmp_path / "job", operation="remove")
    elsewhere = Bulk(
        lambda _: (novu.subscribers, int), server_url="https://x.test", rate_limit=lambda: None
    )
    with pytest.raises(ConfigurationError, match=r"not https://x\.test"):
        await elsewhere.register(ROWS, job=tmp_path / "job")


async def test_another_key_is_told(
    tmp_path: Path, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of all environments at one URL the key names one; a new key of the same one may go on."""
    job, keys = tmp_path / "job", ["first-key-000", "second-key-00"]
    async with LocalNovu(api_keys=keys) as local:
        async with Novu(keys[0], server_url=local.url, retries=None) as novu:
            await stop_midway(novu.bulk, job, local)
            assert (await stop_midway(novu.bulk, job, local)).other_keys == 0
        assert "another API key" not in caplog.text
        assert not any(key.encode() in job.read_bytes() for key in keys)
        async with Novu(keys[1], server_url=local.url) as novu:
            report = await novu.bulk.register(ROWS, job=job)
    assert (report.done, report.other_keys) == (120, 1)
    assert read_job(job).other_keys == 1
    assert caplog.text.count("was made with another API key") == 1


async def test_only_the_owner_may_read_a_job_file(bulk: Bulk, tmp_path: Path) -> None:
    """It holds the tokens; so do the files that SQLite puts beside it."""
    seen: set[int] = set()

    def look(progress: Progress) -> None:
        seen.update(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir())

    old = os.umask(0)
    try:
        await bulk.register(ROWS, job=tmp_path / "job", progress=look)
    finally:
        os.umask(old)
    assert seen == {0o600}


async def test_a_second_run_at_the_same_time_is_refused(bulk: Bulk, tmp_path: Path) -> None:
    """Also within one process; afterwards the file is free again."""
    job = tmp_path / "job"

    async def rows() -> object:
        yield ROWS[0]
        with pytest.raises(ConfigurationError, match="in use by another process"):
            await bulk.register(ROWS, job=job)

    await bulk.register(rows(), job=job)  # type: ignore[arg-type]
    assert (await bulk.register(ROWS[:1], job=job)).done == 1


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_second_run_through_a_link_is_refused(
    bulk: Bulk, tmp_path: Path, is_there: bool
) -> None:
    """The job is one by whatever name, also while it is made; the link stays one."""
    job, link = tmp_path / "job", tmp_path / "link"
    link.symlink_to(job)
    if is_there:
        await bulk.register(ROWS[:1], job=job)

    async def rows() -> object:
        yield ROWS[0]
        with pytest.raises(ConfigurationError, match="in use by another process"):
            await bulk.register(ROWS, job=job)

    report = await bulk.register(rows(), job=link)  # type: ignore[arg-type]
    assert (report.done, report.job) == (1, str(link))
    assert (await bulk.register(ROWS[:1], job=job)).resumed
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["job", "link"]


async def test_the_lock_dies_with_its_process(bulk: Bulk, tmp_path: Path) -> None:
    """A killed process leaves the lock's file, which locks nobody out."""
    job = tmp_path / "job"
    code = (
        "import pathlib, sys; from novu_async.bulk.lock import JobLock;"
        "lock = JobLock(pathlib.Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(job),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    await child.stdout.readline()
    with pytest.raises(ConfigurationError, match="in use"):
        JobLock(job)
    child.kill()
    await child.communicate()
    assert (await bulk.register(ROWS, job=job)).done == 120


@pytest.mark.parametrize("part", [0, 0.001, 0.01, 0.3, 0.6, 0.75])
async def test_a_torn_job_file_is_named_and_left_alone(
    bulk: Bulk, tmp_path: Path, part: float
) -> None:
    """A job file that lost its end is never gone on with as if it were whole."""
    job = tmp_path / "job"
    await bulk.register(ROWS, job=job)
    torn = job.read_bytes()[: int(part * job.stat().st_size)]
    job.write_bytes(torn)
    with pytest.raises(ConfigurationError, match="damaged, or not a job file"):
        await bulk.register(ROWS, job=job)
    assert job.read_bytes() == torn


@pytest.mark.parametrize("content", [b"u,fcm,t\n" * 999, b"\0" * 8192])
async def test_another_file_is_never_overwritten(
    bulk: Bulk, tmp_path: Path, content: bytes
) -> None:
    """The input named as the job file by mistake stays what it is."""
    job = tmp_path / "job"
    job.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a job file"):
        await bulk.register(ROWS, job=job)
    assert job.read_bytes() == content


async def test_a_database_of_somebody_else_is_refused(bulk: Bulk, tmp_path: Path) -> None:
    """SQLite files have many owners."""
    job = tmp_path / "job"
    db = sqlite3.connect(job)
    db.execute("CREATE TABLE meta (name, value)")
    db.close()
    with pytest.raises(ConfigurationError, match="not a job file"):
        await bulk.register(ROWS, job=job)


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM meta", "DELETE FROM rows WHERE id = 7", "DELETE FROM invalid", "DROP TABLE rows"],
)
async def test_a_job_file_that_lacks_something_is_refused(
    bulk: Bulk, tmp_path: Path, damage: str
) -> None:
    """Rows that are gone would never be reported."""
    job = tmp_path / "job"
    await bulk.register(ROWS, job=job)
    db = sqlite3.connect(job, isolation_level=None)
    db.execute(damage)
    db.close()
    with pytest.raises(ConfigurationError):
        await bulk.register(ROWS, job=job)


async def test_a_job_of_another_version_is_refused(bulk: Bulk, tmp_path: Path) -> None:
    """Its message does not call the file damaged, and says what can be done."""
    job = tmp_path / "job"
    await bulk.register(ROWS, job=job)
    db = sqlite3.connect(job)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigurationError, match="another version of novu-async: go on") as caught:
        await bulk.register(ROWS, job=job)
    assert f"delete or rename {job}" in str(caught.value)


async def test_places_where_no_file_can_be(bulk: Bulk, tmp_path: Path) -> None:
    """A folder, or a folder that is missing, is one clear error."""
    with pytest.raises(ConfigurationError, match="something else is there"):
        await bulk.register(ROWS, job=tmp_path)
    with pytest.raises(ConfigurationError, match="choose another place"):
        await bulk.register(ROWS, job=tmp_path / "missing" / "job")
    with pytest.raises(ConfigurationError, match="choose another place"):
        await bulk.register(ROWS, job=tmp_path / ("x" * 300))
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_job(tmp_path / ("x" * 300))


@pytest.mark.parametrize("argument", ["job", "failures"])
@pytest.mark.parametrize("place", ["", ".", "./", "/"])
async def test_a_file_needs_a_name(bulk: Bulk, local: LocalNovu, argument: str, place: str) -> None:
    """A variable that is empty, or names a folder, is one clear error before anything is read."""
    files: dict[str, Any] = {argument: place}
    with pytest.raises(ConfigurationError, match=f"the {argument} file needs a name"):
        await bulk.register("gone.csv", **files)
    assert local.requests == []


@pytest.mark.parametrize("argument", ["job", "failures"])
async def test_a_path_with_nul_is_refused(bulk: Bulk, local: LocalNovu, argument: str) -> None:
    """As any other file that cannot be."""
    files: dict[str, Any] = {argument: "a\0b"}
    with pytest.raises(ConfigurationError, match=f"the path of the {argument} file has a NUL"):
        await bulk.register(ROWS, **files)
    assert local.requests == []


@pytest.mark.parametrize("place", ["missing/failed.csv", "file/failed.csv", "folder", "x" * 255])
async def test_failures_that_cannot_be_written_are_told_first(
    bulk: Bulk, local: LocalNovu, tmp_path: Path, place: str
) -> None:
    """Not when the job has ended: nothing is sent, and nothing is left."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await bulk.register(ROWS, job=tmp_path / "job", failures=tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []
    assert local.requests == []


async def test_failures_replace_nothing_but_a_regular_file(
    bulk: Bulk, local: LocalNovu, tmp_path: Path
) -> None:
    """A pipe, or a link to one, as a device is: it stays, and nothing is sent."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for place in ("pipe", "link"):
        with pytest.raises(ConfigurationError, match=f"{place} .* is no regular file"):
            await bulk.register(tmp_path / "gone.csv", failures=tmp_path / place)
    assert pipe.is_fifo()
    assert (tmp_path / "link").readlink() == pipe
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]
    assert local.requests == []


@pytest.mark.parametrize("is_there", [True, False])
async def test_failures_are_written_through_a_link(
    bulk: Bulk, tmp_path: Path, is_there: bool
) -> None:
    """The link stays one, and the file that it leads to is made or replaced."""
    folder, link = tmp_path / "folder", tmp_path / "failed.csv"
    folder.mkdir()
    link.symlink_to("folder/target")
    if is_there:
        (folder / "target").write_text("from before")
    report = await bulk.register([("u", "", "t")], failures=link)
    assert report.failures_path == str(link)
    assert link.is_symlink()
    assert (folder / "target").read_text().startswith("subscriber_id,provider_id,token,")
    assert sorted(os.listdir(tmp_path)) == ["failed.csv", "folder"]
    assert os.listdir(folder) == ["target"]


async def test_a_failures_file_from_before_is_left_until_the_end(
    bulk: Bulk, tmp_path: Path
) -> None:
    """Trying whether it can be written does not touch it."""
    failures = tmp_path / "failed.csv"
    failures.write_text("from before")
    with pytest.raises(InvalidRequestError):
        await bulk.register(tmp_path / "gone.csv", failures=failures)
    assert failures.read_text() == "from before"
    assert os.listdir(tmp_path) == ["failed.csv"]


@pytest.mark.parametrize(
    ("job", "failures", "argument"),
    [
        ("job", "job", "failures"),
        ("job", "folder/../job", "failures"),
        ("new.part", "new", "failures"),
        ("new", "new.part", "failures"),
        ("new", "new.lock", "failures"),
        ("new", "new-wal", "failures"),
        ("new", "new-shm", "failures"),
        ("new", "new-journal", "failures"),
        (None, "in.csv", "failures"),
        (None, "link.csv", "failures"),
        ("in.csv", None, "job"),
        ("link.csv", "failed.csv", "job"),
    ],
)
async def test_files_that_would_overwrite_each_other_are_refused(
    bulk: Bulk, local: LocalNovu, tmp_path: Path, job: str | None, failures: str, argument: str
) -> None:
    """The job and the input stay what they are, and nothing is read or sent."""
    (tmp_path / "folder").mkdir()
    source = tmp_path / "in.csv"
    source.write_text("subscriber_id,provider_id,token\nu,fcm,\n")
    (tmp_path / "link.csv").symlink_to(source)
    with source.open("rb") as file:
        for records in (source, str(source), file):
            with pytest.raises(InvalidRequestError, match="choose another file") as caught:
                await bulk.register(
                    records,
                    job=None if job is None else tmp_path / job,
                    failures=None if failures is None else tmp_path / failures,
                )
            assert caught.value.argument == argument
    assert source.read_text().endswith("u,fcm,\n")
    assert sorted(os.listdir(tmp_path)) == ["folder", "in.csv", "link.csv"]
    assert local.requests == []


async def test_failures_in_the_place_of_an_existing_job_are_refused(
    bulk: Bulk, tmp_path: Path
) -> None:
    """Also where the records are in the job file only."""
    await bulk.register([*ROWS, ("", "fcm", "t")], job=tmp_path / "job")
    (tmp_path / "hard").hardlink_to(tmp_path / "job")
    for name in ("job", "hard"):
        with pytest.raises(InvalidRequestError, match="would overwrite the job file"):
            await bulk.register(None, job=tmp_path / "job", failures=tmp_path / name)
    assert read_job(tmp_path / "job").done == 120


@pytest.mark.parametrize(("size", "from_write"), [(100_000, 0), (10_000, 3000)])
async def test_a_full_disk_stops_the_job_and_the_next_run_finishes_it(
    tmp_path: Path, size: int, from_write: int
) -> None:
    """While loading nothing is left behind; while sending what is recorded stays."""

    async def run(*arguments: int) -> str:
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("full_disk_job.py")),
            str(tmp_path / "job"), *map(str, arguments), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await child.communicate()
        return said.decode()

    assert "free space" in await run(size, from_write)
    if from_write == 0:
        assert os.listdir(tmp_path) == []
    else:
        assert 0 < read_job(tmp_path / "job").done < 8000
    assert await run(1 << 30, 0) == "8000 done, 0 waiting"


async def test_a_job_can_be_looked_at_while_it_runs(bulk: Bulk, tmp_path: Path) -> None:
    """Counts and outcomes are read without disturbing it."""
    job = tmp_path / "job"
    seen: list[Report] = []

    def look(progress: Progress) -> None:
        if progress.phase == "sending":
            seen.append(read_job(job))

    await bulk.register(ROWS, job=job, progress=look)
    assert seen
    assert {report.rows for report in seen} == {122}
    assert read_job(job).done == 120
    outcomes = list(read_outcomes(job))
    assert Counter(outcome.status for outcome in outcomes) == {
        "done": 120, "duplicate": 1, "invalid": 1
    }  # fmt: skip
    assert {outcome.line for outcome in outcomes} == set(range(1, 123))
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_job(tmp_path / "other")


async def test_looking_at_a_job_leaves_nothing_beside_it(bulk: Bulk, tmp_path: Path) -> None:
    """SQLite would make two files there, and could not remove them again."""
    await bulk.register(ROWS, job=tmp_path / "job")
    assert read_job(tmp_path / "job").done == len(list(read_outcomes(tmp_path / "job"))) - 2
    assert os.listdir(tmp_path) == ["job"]


async def test_a_job_can_be_looked_at_where_nothing_can_be_written(
    bulk: Bulk, tmp_path: Path
) -> None:
    """Only while a log is left beside it the folder is needed, and the message says so."""
    job, log = tmp_path / "job", tmp_path / "job-wal"
    await bulk.register(ROWS, job=job)
    with closing(sqlite3.connect(job, isolation_level=None)) as db:
        db.execute("UPDATE rows SET reason = 'x'")
        logged = log.read_bytes()
    os.chmod(job, 0o400)
    os.chmod(tmp_path, 0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("root may write anywhere")
        assert read_job(job).done == 120
        os.chmod(tmp_path, 0o700)
        log.write_bytes(logged)
        os.chmod(tmp_path, 0o500)
        with pytest.raises(ConfigurationError, match="its folder must be writable"):
            read_job(job)
    finally:
        os.chmod(tmp_path, 0o700)


@pytest.mark.parametrize("grace", [10, math.inf])
async def test_a_cancelled_job_finishes_what_is_under_way(tmp_path: Path, grace: float) -> None:
    """Nothing more is begun, what was acknowledged is recorded, and the next run goes on."""
    async with (
        LocalNovu(latency=0.005) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        bulk = novu.bulk
        rows = [(f"u{i}", "fcm", "t") for i in range(400)]
        task = asyncio.create_task(
            bulk.register(rows, job=tmp_path / "job", concurrency=4, grace=grace)
        )
        while len(local.requests) < 20:
            await asyncio.sleep(0.001)  # lets the job's thread load the rows
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        report = read_job(tmp_path / "job")
        assert report.done == len(local.requests) == report.requests
        assert 20 <= report.done < 100
        final = await bulk.register(rows, job=tmp_path / "job")
        assert final.done == 400 == len(local.requests)


async def test_without_grace_what_is_under_way_waits_for_the_next_run(
    local: LocalNovu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer holds up no interruption; what it has answered is recorded."""
    monkeypatch.setattr("novu_async.bulk.engine._TICK_SECONDS", 3600)
    job = tmp_path / "job"
    rows = [(f"u{i}", "fcm", "t") for i in range(50)]
    local.faults.next("stall", after=1, times=4)
    async with Novu(api_key=local.api_key, server_url=local.url) as novu:
        bulk = novu.bulk
        task = asyncio.create_task(bulk.register(rows, job=job, concurrency=4, grace=0.0))
        while local.faults.injected["stall"] < 4:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    report = read_job(job)
    assert (report.done, report.waiting) == (1, 49)
    async with Novu(api_key=local.api_key, server_url=local.url) as novu:
        bulk = novu.bulk
        assert (await bulk.register(rows, job=job)).done == 50


async def test_an_interrupted_loading_leaves_nothing(bulk: Bulk, tmp_path: Path) -> None:
    """There is no job file until the input is read to its end."""

    async def endless() -> object:
        while True:
            yield ("u", "fcm", "t")
            await asyncio.sleep(0)

    task = asyncio.create_task(
        bulk.register(endless(), job=tmp_path / "job")  # type: ignore[arg-type]
    )
    while not (tmp_path / "job.part").exists():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == []


async def test_a_cancel_scope_does_not_block_the_event_loop(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on while the disk is waited for, and the job is given back at the end."""
    goes_on = threading.Event()
    waited: list[bool] = []
    others: list[asyncio.Task[None]] = []
    merge = Loader._merge

    def merge_slowly(self: Loader, meta: Any) -> None:
        waited.append(goes_on.wait(2))
        merge(self, meta)

    async def let_go_on() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        goes_on.set()

    monkeypatch.setattr(Loader, "_merge", merge_slowly)
    with anyio.CancelScope() as scope:

        def cancel(progress: Progress) -> None:
            if progress.phase == "merging":
                scope.cancel()
                others.append(asyncio.create_task(let_go_on()))

        await bulk.register(ROWS, job=tmp_path / "job", progress=cancel)
    assert scope.cancelled_caught
    assert waited == [True]
    assert not {"job.lock", "job.part"} & set(os.listdir(tmp_path))


async def test_cancelling_interrupts_the_merge(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows there are, nothing is left a moment later."""
    began = threading.Event()

    def merge_for_long(self: Loader, _: Any) -> None:
        self._db.set_progress_handler(began.set, 1000)
        self._db.execute(
            "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 20000000) "
            "SELECT max(i) FROM n"
        ).fetchall()
        self._db.close()

    monkeypatch.setattr(Loader, "_merge", merge_for_long)
    task = asyncio.create_task(bulk.register(ROWS, job=tmp_path / "job"))
    while not began.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["plan", "resume"])
async def test_cancelling_interrupts_what_reads_the_job_file(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Neither the figures of a dry run nor the check of an old job hold up an interruption."""
    began, ends = threading.Event(), []

    def read_for_long(journal: Journal) -> None:
        journal._db.set_progress_handler(began.set, 1000)
        try:
            journal.query(
                "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 20000000) "
                "SELECT max(i) FROM n"
            )
        except ConfigurationError as error:
            ends.append(str(error))

    await bulk.register(ROWS, job=tmp_path / "job")
    monkeypatch.setattr("novu_async.bulk.bulk.make_dry_run", read_for_long)
    monkeypatch.setattr(Journal, "check", read_for_long)
    calls: Any = {"plan": bulk.plan, "resume": partial(bulk.register, job=tmp_path / "job")}
    task = asyncio.create_task(calls[way](ROWS))
    while not began.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "cannot be used: interrupted" in ends[0]


async def test_a_job_takes_over_no_log_of_a_deleted_one(
    bulk: Bulk, local: LocalNovu, tmp_path: Path
) -> None:
    """A killed job leaves its log; deleting only the job file must not bring its rows back."""
    job, kept = tmp_path / "x.job", tmp_path / "kept"
    with sqlite3.connect(job) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE other (x)")
        db.commit()
        kept.write_bytes((tmp_path / "x.job-wal").read_bytes())
    db.close()
    job.unlink()
    kept.rename(tmp_path / "x.job-wal")
    await bulk.register([("u1", "fcm", "a")], job=job)
    assert local.device_tokens("u1", "fcm") == ["a"]
    with sqlite3.connect(job) as db:
        assert not db.execute("SELECT * FROM sqlite_master WHERE name = 'other'").fetchall()
    db.close()
