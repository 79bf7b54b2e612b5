"""Run one bulk job in a process of its own, to be killed: url, input, job file."""

import asyncio
import sys

from novu_async import Novu
from novu_async.testing import DEFAULT_API_KEY


async def main(url: str, path: str, job: str) -> None:
    """Say that it begins, and register a file."""
    async with Novu(api_key=DEFAULT_API_KEY, server_url=url) as novu:
        bulk = novu.bulk
        sys.stdout.write("begins\n")
        sys.stdout.flush()
        await bulk.register(path, job=job, concurrency=16)


asyncio.run(main(*sys.argv[1:]))
