"""Pace: how much of a rate limit each client uses, and how many of its requests are rejected."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from attrs import frozen

from benchmarks._clients import AWAITED, KEY, Call, make_body
from benchmarks._harness import ROOT, Goal, Scale, Section, Table, counts, number, run_server

_SHOWN = {
    "append": "novu_async append",
    "novu-py": "novu-py, awaited",
    "naive": "aiohttp, sleeps Retry-After",
    "pair": "two novu_async clients in two processes",
}
_RATES = (20, 200, 2000)
_IN_FLIGHT = 64
_BURST_SECONDS = 5.5  # the API's bucket holds what flows in during 5 seconds, and a tenth more


@frozen
class Outcome:
    """What one client, or a pair, made of a limit."""

    accepted: float
    rejected: float
    seconds: float
    wanted: float
    rate: int

    @property
    def used(self) -> float:
        """Accepted requests as a part of what the limit allows in that time."""
        return self.accepted / (self.rate * (self.seconds + _BURST_SECONDS))

    @property
    def wasted(self) -> float:
        """Rejected requests as a part of those sent."""
        return self.rejected / (self.accepted + self.rejected)

    @property
    def finished(self) -> bool:
        """Whether the whole job was done in the time it had."""
        return self.accepted >= self.wanted

    @property
    def slower(self) -> float:
        """Return the time of the job as a multiple of the shortest possible."""
        return self.seconds / (self.wanted / self.rate - _BURST_SECONDS)


def run(scale: Scale) -> Section:
    """Give each client a job that lasts 30 seconds at the limit, from a full bucket."""
    seconds = scale.pick(1.5, 30.0)
    rates = scale.pick((200,), _RATES)
    found = {(name, rate): _measure(name, rate, seconds) for rate in rates for name in _SHOWN}
    return Section(
        title="Rate limits",
        about=(
            "The API's token bucket: it holds the requests of 5.5 seconds, is full at the start, "
            "and is refilled only when it is empty. A job is of so many requests that it takes at "
            f"least {seconds:g} seconds, {_IN_FLIGHT} in flight, and is stopped after half as much "
            f"again; the pair has an endless job, stopped after {seconds:g} seconds. used: "
            "accepted / what the limit allows in the time taken. rejected: of the requests sent. "
            "time: that of the job / the shortest possible; a dash where it was not done."
        ),
        tables=[_table(found, rate) for rate in rates],
        goals=[goal for rate in rates for goal in _goals(found, rate)],
        plot=partial(_plot, found, rates),
        panels=2,
    )


def _measure(name: str, rate: int, seconds: float) -> Outcome:
    wanted = int(rate * (seconds + _BURST_SECONDS))
    pair = name == "pair"
    jobs = [("append", 10**9, seconds)] * 2 if pair else [(name, wanted, 1.5 * seconds)]
    with run_server(rate) as url:
        took = _run_clients(url, jobs)
        seen = counts(url)
    return Outcome(seen["accepted"], seen["rejected"], took, wanted, rate)


def _run_clients(url: str, jobs: list[tuple[str, int, float]]) -> float:
    """Start the clients at the same moment; return the seconds of the slowest."""
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.pacing", url, *map(str, job)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            for job in jobs
        ]
        pipes: list[Any] = [(process.stdin, process.stdout) for process in started]
        for _, output in pipes:
            assert output.readline() == "ready\n"
        for go, _ in pipes:
            go.write("go\n")
            go.flush()
        return max(float(json.loads(output.readline())["seconds"]) for _, output in pipes)


def _table(found: dict[tuple[str, int], Outcome], rate: int) -> Table:
    rows = []
    for name, shown in _SHOWN.items():
        one = found[name, rate]
        rows.append(
            [
                shown,
                number(one.accepted),
                f"{one.used:.1%}",
                f"{one.wasted:.2%}",
                f"{one.slower:.3f}" if one.finished and name != "pair" else "-",
            ]
        )
    columns = ["client", "accepted", "used", "rejected", "time"]
    return Table(f"{rate} requests a second", columns, rows)


def _goals(found: dict[tuple[str, int], Outcome], rate: int) -> list[Goal]:
    one, pair = found["append", rate], found["pair", rate]
    return [
        Goal(f"{rate}/s: used", one.used, at_least=0.98),
        Goal(f"{rate}/s: rejected, %", one.wasted * 100, at_most=0.5),
        Goal(f"{rate}/s: time of the job / shortest", one.slower, at_most=1.03),
        Goal(f"{rate}/s, two clients: used", pair.used, at_least=0.95),
        Goal(f"{rate}/s, two clients: rejected, %", pair.wasted * 100, at_most=2),
    ]


def _plot(found: dict[tuple[str, int], Outcome], rates: tuple[int, ...], axes: Any) -> None:
    figures: list[tuple[str, Callable[[Outcome], float]]] = [
        ("used, %", lambda one: one.used * 100),
        ("rejected, % of those sent", lambda one: one.wasted * 100),
    ]
    for panel, (label, figure) in zip(axes, figures, strict=True):
        for offset, (name, shown) in enumerate(_SHOWN.items()):
            places = [rate + offset / 5 for rate in range(len(rates))]
            panel.bar(places, [figure(found[name, rate]) for rate in rates], 0.2, label=shown)
        panel.set_xticks([rate + 0.3 for rate in range(len(rates))], [f"{r}/s" for r in rates])
        panel.set(ylabel=label)
    axes[1].legend(fontsize=7)


@contextlib.asynccontextmanager
async def _naive(url: str) -> Any:
    """Send with aiohttp; after a 429 sleep as long as it says, and send again."""
    import aiohttp

    async with aiohttp.ClientSession(headers={"Authorization": f"ApiKey {KEY}"}) as session:

        async def call(subscriber_id: str, token: str) -> None:
            path = f"{url}/v1/subscribers/{subscriber_id}/credentials"
            while True:
                async with session.patch(path, json=make_body(token)) as response:
                    await response.read()
                    if response.status != 429:
                        return
                    wait = float(response.headers["Retry-After"])
                await asyncio.sleep(wait)

        yield call


async def _run_client(url: str, name: str, wanted: int, limit_seconds: float) -> None:
    """Wait for the start, then make the calls until they are done or the time is over."""
    client: Callable[[str], contextlib.AbstractAsyncContextManager[Call]] = (
        _naive if name == "naive" else AWAITED[name]
    )
    async with client(url) as call:
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.perf_counter()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await _run_calls(call, wanted)
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


async def _run_calls(call: Callable[[str, str], Awaitable[Any]], wanted: int) -> None:
    numbers = iter(range(wanted))

    async def caller() -> None:
        for one in numbers:
            await call(f"subscriber-{one}", f"token-{one}")

    await asyncio.gather(*(caller() for _ in range(_IN_FLIGHT)))


if __name__ == "__main__":
    _url, _name, _wanted, _seconds = sys.argv[1:]
    asyncio.run(_run_client(_url, _name, int(_wanted), float(_seconds)))
