"""Growth: CPU per request as more calls are in flight and as more subscribers come."""

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
    run_job,
    run_server,
    spread,
    take_turns,
)

_SHOWN = {"aiohttp": "aiohttp, bare", "append": "novu_async append", "add": "device_tokens.add"}
_LEVELS = (1, 4, 16, 64, 250, 1000)


def run(scale: Scale) -> Section:
    """Measure CPU per request from 1 to 1,000 in flight, and over many subscribers."""
    contestants = {name: partial(Worker, "awaited", name) for name in _SHOWN}
    levels = scale.pick((1, 250), _LEVELS)
    samples = take_turns(contestants, levels, rounds=scale.pick(1, 5), seconds=scale.pick(0.2, 0.5))
    sizes = [300, 1000] if scale.quick else [10**3, 10**4, 10**5] + [10**6] * scale.all
    subscribers = _measure_subscribers(sizes, rounds=scale.pick(1, 2))
    return Section(
        title="Growth",
        about="CPU of the client's process per request. The cost should not grow with the work.",
        tables=[_levels_table(samples, levels), _sizes_table(subscribers)],
        goals=_goals(samples, subscribers, levels),
        plot=partial(_plot, samples, subscribers, levels),
        panels=2,
    )


def _measure_subscribers(sizes: list[int], rounds: int) -> dict[int, list[float]]:
    """Return CPU us per append, without that of starting the process and the client."""
    found: dict[int, list[float]] = {size: [] for size in sizes}
    with run_server() as url:
        for _ in range(rounds):
            start = run_job("_job", "append-loop", url, 64)["cpu_seconds"]
            for size in sizes:
                spent = run_job("_job", "append-loop", url, size + 64)["cpu_seconds"] - start
                found[size].append(spent / size * 1e6)
    return found


def _levels_table(samples: Samples, levels: tuple[int, ...]) -> Table:
    rows = []
    for level in levels:
        taken = [[one["cpu_us"] for one in samples[name, level]] for name in _SHOWN]
        rows.append([str(level), *map(spread, taken)])
    return Table("CPU us/request by calls in flight", ["in flight", *_SHOWN.values()], rows)


def _sizes_table(subscribers: dict[int, list[float]]) -> Table:
    rows = [[f"{size:,}", spread(cpu)] for size, cpu in subscribers.items()]
    title = "CPU us/request by number of subscribers, 64 in flight"
    return Table(title, ["subscribers", _SHOWN["append"]], rows)


def _goals(
    samples: Samples, subscribers: dict[int, list[float]], levels: tuple[int, ...]
) -> list[Goal]:
    def cpu(level: int) -> float:
        return median(one["cpu_us"] for one in samples["append", level])

    sizes = list(subscribers)
    growth = median(subscribers[sizes[-1]]) / median(subscribers[sizes[0]])
    text = f"append: CPU at {levels[-1]} in flight / at {levels[0]}"
    return [
        Goal(text, cpu(levels[-1]) / cpu(levels[0]), at_most=1.1),
        Goal(f"append: CPU at {sizes[-1]:,} subscribers / {sizes[0]:,}", growth, at_most=1.1),
    ]


def _plot(
    samples: Samples, subscribers: dict[int, list[float]], levels: tuple[int, ...], axes: Any
) -> None:
    flight, many = axes
    for name, shown in _SHOWN.items():
        cpu = [median(one["cpu_us"] for one in samples[name, level]) for level in levels]
        flight.plot(levels, cpu, marker="o", label=shown)
    flight.set(xscale="log", xlabel="calls in flight", ylabel="CPU us/request", ylim=(0, None))
    flight.legend(fontsize=7)
    many.plot(list(subscribers), [median(cpu) for cpu in subscribers.values()], marker="o")
    many.set(xscale="log", xlabel="subscribers", ylim=(0, None))
