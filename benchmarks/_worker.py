"""A client in a process of its own, measured on demand.

It reads lines `IN_FLIGHT SECONDS` and answers each with a line of JSON.
"""

import argparse
import asyncio
import itertools
import json
import sys
import threading
import time
from typing import Any

_WARM_UP_SECONDS = 0.15


def main() -> None:
    """Measure one contestant until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["awaited", "blocking"])
    parser.add_argument("name")
    parser.add_argument("url")
    parser.add_argument("--speed", action="store_true", help="orjson and uvloop")
    arguments = parser.parse_args()
    if not arguments.speed:
        hide_orjson()
    if arguments.kind == "blocking":
        _measure_blocking(arguments.name, arguments.url)
    elif arguments.speed:
        import uvloop

        uvloop.run(_measure_awaited(arguments.name, arguments.url))
    else:
        asyncio.run(_measure_awaited(arguments.name, arguments.url))


def hide_orjson() -> None:
    """Make this process one in which the extra `speed` is not installed."""
    sys.modules["orjson"] = None  # type: ignore[assignment]


def _commands() -> Any:
    for line in sys.stdin:
        in_flight, seconds = line.split()
        yield int(in_flight), float(seconds)


async def _measure_awaited(name: str, url: str) -> None:
    from benchmarks._clients import AWAITED

    numbers = itertools.count()
    async with AWAITED[name](url) as call:

        async def load(in_flight: int, seconds: float) -> int:
            first, until = next(numbers), time.perf_counter() + seconds

            async def caller() -> None:
                while time.perf_counter() < until:
                    number = next(numbers)
                    await call(f"subscriber-{number}", f"token-{number}")

            await asyncio.gather(*(caller() for _ in range(in_flight)))
            return next(numbers) - first - 1

        for in_flight, seconds in _commands():
            await load(in_flight, _WARM_UP_SECONDS)
            watch = _Watch()
            _answer(watch.stop(await load(in_flight, seconds)))


def _measure_blocking(name: str, url: str) -> None:
    from benchmarks._clients import BLOCKING

    numbers = itertools.count()
    with BLOCKING[name](url) as call:

        def load(threads: int, seconds: float) -> int:
            first, until = next(numbers), time.perf_counter() + seconds

            def caller() -> None:
                while time.perf_counter() < until:
                    number = next(numbers)
                    call(f"subscriber-{number}", f"token-{number}")

            started = [threading.Thread(target=caller) for _ in range(threads)]
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
            return next(numbers) - first - 1

        for threads, seconds in _commands():
            load(threads, _WARM_UP_SECONDS)
            watch = _Watch()
            _answer(watch.stop(load(threads, seconds)))


class _Watch:
    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, requests: int) -> dict[str, float]:
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu
        return {"per_second": requests / seconds, "cpu_us": cpu / requests * 1e6}


def _answer(figures: dict[str, float]) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
