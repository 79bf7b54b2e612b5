"""Run one job while files may not grow beyond so many bytes: job file, bytes, from which write."""

import asyncio
import resource
import sys
from itertools import count
from types import SimpleNamespace
from typing import Any

from novu_async.bulk import Bulk
from novu_async.errors import ConfigurationError

_sent = count(1)


def fill_disk() -> None:
    """Let no file of this process grow beyond the limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))


async def add(*_: Any, **__: Any) -> Any:
    """Store nothing."""
    if next(_sent) == int(sys.argv[3]):
        fill_disk()
    await asyncio.sleep(0.002)
    return SimpleNamespace(requests=1)


async def main() -> None:
    """Register; say what the error is, or how many rows are done."""
    if int(sys.argv[3]) == 0:
        fill_disk()
    subscribers = SimpleNamespace(device_tokens=SimpleNamespace(add=add))
    bulk = Bulk(lambda _: (subscribers, int), server_url="", rate_limit=lambda: None)
    rows = [(f"u{i}", "fcm", "t" * 100) for i in range(8000)]
    try:
        report = await bulk.register(rows, job=sys.argv[1])
    except ConfigurationError as error:
        sys.stdout.write(str(error))
    else:
        sys.stdout.write(f"{report.done} done, {report.waiting} waiting")


asyncio.run(main())
