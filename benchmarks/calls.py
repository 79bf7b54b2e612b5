"""Awaited calls: what one costs beside a bare HTTP client and the official SDK."""

from functools import partial
from statistics import median
from typing import Any

from benchmarks._harness import (
    Goal,
    Samples,
    Scale,
    Section,
    Table,
    Worker,
    ratios,
    spread,
    take_turns,
)

_SHOWN = {
    "aiohttp": "aiohttp, bare",
    "aiohttp-warm": "aiohttp, bare, warm memory",
    "aiohttp uvloop": "aiohttp, bare, uvloop",
    "append": "novu_async append",
    "append speed": "novu_async append, extra speed",
    "add": "novu_async device_tokens.add",
    "add speed": "novu_async device_tokens.add, extra speed",
    "httpx": "httpx, bare",
    "novu-py": "novu-py, awaited",
}
_BARE = "aiohttp"
_LEVELS = (1, 16, 64, 256)


def run(scale: Scale) -> Section:
    """Measure every contestant at 1, 16, 64 and 256 calls in flight."""
    levels = scale.pick((1, 64), _LEVELS)
    contestants = {
        name: partial(Worker, "awaited", name.split()[0], speed=" " in name) for name in _SHOWN
    }
    samples = take_turns(contestants, levels, rounds=scale.pick(1, 7), seconds=scale.pick(0.2, 0.5))
    return Section(
        title="Awaited calls",
        about=(
            "One token for one new subscriber per call. bare: `session.patch(url, json=body)` and "
            "`await response.json()`, and nothing else; warm memory: in a process that has freed a "
            "large block before, as a client does first of all (see below). The standard event "
            "loop and the standard `json`, unless it says uvloop or extra speed (orjson, and "
            "uvloop). CPU is that of the client's process; the server has one of its own. Medians, "
            "with the lowest and highest of all rounds; ratios are taken within each round."
        ),
        tables=[_table(samples, level) for level in levels],
        goals=_goals(samples),
        plot=partial(_plot, samples, levels),
    )


def _table(samples: Samples, level: int) -> Table:
    rows = []
    for name, shown in _SHOWN.items():
        taken = samples[name, level]
        to_bare = ratios(samples, "cpu_us", (name, level), (_BARE, level))
        rows.append(
            [
                shown,
                spread([sample["per_second"] for sample in taken]),
                spread([sample["cpu_us"] for sample in taken]),
                spread(to_bare),
            ]
        )
    columns = ["client", "requests/s", "CPU us/request", "CPU / bare aiohttp"]
    return Table(f"{level} in flight", columns, rows)


def _goals(samples: Samples) -> list[Goal]:
    def cpu(name: str) -> float:
        return median(ratios(samples, "cpu_us", (name, 64), (_BARE, 64)))

    faster = median(ratios(samples, "per_second", ("append", 64), ("novu-py", 64)))
    return [
        Goal("append, 64 in flight: CPU / bare aiohttp", cpu("append"), at_most=1.10),
        Goal("the same with the extra speed", cpu("append speed"), at_most=0.85),
        Goal("append, 64 in flight: requests/s / novu-py", faster, at_least=30),
    ]


def _plot(samples: Samples, levels: tuple[int, ...], axes: Any) -> None:
    for name, shown in _SHOWN.items():
        cpu = [median(sample["cpu_us"] for sample in samples[name, level]) for level in levels]
        axes.plot(levels, cpu, marker="o", label=shown)
    axes.set(xscale="log", yscale="log", xlabel="calls in flight", ylabel="CPU us/request")
    axes.set_xticks(levels, [str(level) for level in levels])
    axes.legend(fontsize=7)
