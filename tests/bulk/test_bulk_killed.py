"""kill -9 at random moments, and going on: nothing lost, nothing reported twice."""

import asyncio
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from novu_async.bulk import read_job, read_outcomes
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).with_name("killed_job.py")
CONCURRENCY = 16


def make_input(path: Path, rows: int) -> set[tuple[str, str, str]]:
    """Write rows for a third as many subscribers, some twice and some invalid."""
    draw = random.Random(rows)  # noqa: S311, repeatable
    good = [(f"u{draw.randrange(rows // 3)}", draw.choice(["fcm", "apns"]), f"t{i}")
            for i in range(rows)]  # fmt: skip
    lines = [",".join(row) for row in good]
    lines += [*draw.sample(lines, rows // 50), "broken", ",fcm,t", "u,fcm"]
    draw.shuffle(lines)
    path.write_text("subscriber_id,provider_id,token\n" + "\n".join(lines))
    return set(good)


async def start_child(local: LocalNovu, path: Path, job: Path) -> asyncio.subprocess.Process:
    """Start the job in another process; return when it begins to read."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), local.url, str(path), str(job),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert await child.stdout.readline() == b"begins\n"
    return child


async def wait_for_requests(local: LocalNovu, number: int) -> None:
    """Wait until so many requests have arrived."""
    while len(local.requests) < number:
        await asyncio.sleep(0.0005)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kills", "rows"), [(6, 2000), pytest.param(50, 20_000, marks=pytest.mark.long)]
)
async def test_kill_9_loses_nothing_and_reports_nothing_twice(
    tmp_path: Path, kills: int, rows: int
) -> None:
    """The same command finishes the job, re-sending at most what was in flight."""
    path, job = tmp_path / "input.csv", tmp_path / "job"
    good = make_input(path, rows)
    draw = random.Random(kills)  # noqa: S311, repeatable
    async with LocalNovu(latency=0.001) as local:
        for number in range(kills):
            child = await start_child(local, path, job)
            if number % 4 == 0:
                await asyncio.sleep(draw.uniform(0, 0.2))  # somewhere in the reading or merging
            else:
                await wait_for_requests(local, len(local.requests) + draw.randrange(1, 200))
            child.kill()
            _, errors = await child.communicate()
            assert child.returncode == -signal.SIGKILL, errors.decode()
        child = await start_child(local, path, job)
        _, errors = await child.communicate()
        assert child.returncode == 0, errors.decode()
        stored = Counter(
            (subscriber_id, channel["providerId"], token)
            for subscriber_id, subscriber in local.subscribers.items()
            for channel in subscriber["channels"]
            for token in channel["credentials"]["deviceTokens"]
        )
        sent = len(local.requests)
    assert set(stored) == good
    assert set(stored.values()) == {1}
    report = read_job(job)
    assert (report.done, report.failed, report.waiting) == (rows, 0, 0)
    assert (report.duplicates, report.invalid) == (rows // 50, 3)
    lines = Counter(outcome.line for outcome in read_outcomes(job))
    assert set(lines.values()) == {1}
    assert len(lines) == report.rows
    # in flight, and answered since the last commit
    assert sent <= report.writes + kills * 4 * CONCURRENCY
