"""One job in a process of its own: prints its seconds, CPU seconds and peak memory as JSON."""

import asyncio
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._clients import KEY, PROVIDER, make_request
from benchmarks._worker import hide_orjson

Row = tuple[str, str, str]


def make_rows(count: int, each: int = 1) -> Iterator[Row]:
    """Make rows with tokens as long as those of FCM, so many for `each` subscriber."""
    return ((f"subscriber-{n // each:08}", PROVIDER, f"{n:08}" + "t" * 134) for n in range(count))


async def append_loop(url: str, count: int, in_flight: int = 64) -> dict[str, Any]:
    """Append row after row, so many at a time, as one would without bulk."""
    import novu_async

    rows = make_rows(count)
    async with novu_async.Novu(api_key=KEY, server_url=url) as novu:

        async def worker() -> None:
            for subscriber_id, _, token in rows:
                await novu.subscribers.credentials.append(subscriber_id, make_request(token))

        await asyncio.gather(*(worker() for _ in range(in_flight)))
    return {}


class _Phases:
    """Tells the loading of a job from its sending, by the progress reports."""

    def __init__(self) -> None:
        self._began = self._loaded = time.perf_counter()
        self._sending: tuple[float, int] | None = None

    def __call__(self, progress: Any) -> None:
        if progress.phase != "sending":
            self._loaded = time.perf_counter()
        elif progress.waiting and self._sending is None:
            self._sending = time.perf_counter(), progress.requests

    def figures(self, requests: int) -> dict[str, float]:
        """Return the seconds of loading, and requests a second while sending."""
        since, before = self._sending or (self._loaded, 0)  # a short job ends before it reports
        sent_per_second = (requests - before) / (time.perf_counter() - since)
        sending = requests / sent_per_second
        loading = time.perf_counter() - self._began - sending
        return {"loading": loading, "sent_per_second": sent_per_second}


async def register(url: str, count: int, job: str | None = None, each: str = "1") -> dict[str, Any]:
    """Register all rows with `novu.bulk.register`, so many for `each` subscriber."""
    import novu_async

    async with novu_async.Novu(api_key=KEY, server_url=url) as novu:
        phases = _Phases()
        rows = make_rows(count, int(each))
        report = await novu.bulk.register(rows, progress=phases, job=job)
    assert report.done == count, report
    return phases.figures(report.requests)


def register_blocking(url: str, count: int) -> dict[str, Any]:
    """Register all rows with the blocking `novu.bulk.register`."""
    import novu_sync

    with novu_sync.Novu(api_key=KEY, server_url=url) as novu:
        assert novu.bulk.register(make_rows(count)).done == count
    return {}


async def merge(url: str, count: int, verb: str) -> dict[str, Any]:
    """Start so many calls for 100 subscribers at the same time, with or without merging."""
    import novu_async

    async with novu_async.Novu(api_key=KEY, server_url=url) as novu:
        calls: list[Any] = []
        for number in range(count):
            user, token = f"subscriber-{number % 100}", f"token-{number}"
            if verb == "add":
                calls.append(novu.subscribers.device_tokens.add(user, PROVIDER, token))
            else:
                calls.append(novu.subscribers.credentials.append(user, make_request(token)))
        await asyncio.gather(*calls)
    return {}


def _peak_bytes() -> int:
    """Return the most memory that this process has had.

    On Linux `ru_maxrss` may count the process that started this one; `VmHWM` does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_JOBS: dict[str, Callable[..., Any]] = {
    "append-loop": lambda url, count, *_: asyncio.run(append_loop(url, count)),
    "register": lambda url, count, *rest: asyncio.run(register(url, count, *rest)),
    "register-blocking": lambda url, count, *_: register_blocking(url, count),
    "merge": lambda url, count, verb: asyncio.run(merge(url, count, verb)),
}


def main() -> None:
    """Run the job that the arguments name: KIND URL COUNT [MORE]."""
    hide_orjson()
    for module in ("novu_async.client", "novu_async.bulk", "novu_sync.client"):
        importlib.import_module(module)  # so that no job is charged for it
    kind, url, count, *rest = sys.argv[1:]
    began, cpu = time.perf_counter(), time.process_time()
    figures = _JOBS[kind](url, int(count), *rest)
    figures["seconds"] = time.perf_counter() - began
    figures["cpu_seconds"] = time.process_time() - cpu
    figures["peak_bytes"] = _peak_bytes()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
