"""Run one job of so many rows without a network; print the peak memory in MiB: rows, job file."""

import asyncio
import random
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from novu_async.bulk import Bulk


def make_rows(count: int) -> Iterator[tuple[str, str, str]]:
    """Give rows for a third as many subscribers, in no order."""
    draw = random.Random(1)  # noqa: S311, repeatable
    for _ in range(count):
        yield f"user-{draw.randrange(count // 3)}", "fcm", f"{draw.getrandbits(512):0128x}"


async def add(*_: Any, **__: Any) -> Any:
    """Store nothing."""
    return SimpleNamespace(requests=1)


def measure_peak() -> float:
    """Return the most memory that this process has had; maxrss may be that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(count: int, job: str) -> None:
    """Register and say what it took."""
    subscribers = SimpleNamespace(device_tokens=SimpleNamespace(add=add))
    bulk = Bulk(lambda _: (subscribers, int), server_url="", rate_limit=lambda: None)
    report = await bulk.register(make_rows(count), job=job)
    assert report.done == count
    sys.stdout.write(f"{measure_peak()}\n")


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
