"""Bulk jobs: speed beside a plain loop, and memory as the input grows."""

from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._harness import Goal, Scale, Section, Table, number, run_job, run_server, spread

_MB = 1_000_000

Figures = dict[str, list[dict[str, Any]]]
Growth = dict[int, dict[str, Any]]


def run(scale: Scale) -> Section:
    """Compare `register` with an `append` loop, and measure peak memory."""
    rows = scale.pick(1000, 100_000)
    with run_server() as url:
        figures = _compare(url, rows, rounds=scale.pick(1, 5))
        growth = {size: _run_with_job_file(url, size, each=4) for size in _sizes(scale)}
    return Section(
        title="Bulk",
        about=(
            f"{rows:,} rows of distinct subscribers, 64 in flight, default install. The loop calls "
            "`credentials.append` and keeps nothing; `register` reads, checks and merges all rows "
            "first, and checks every answer for its token. With a job file it can be killed and "
            "resumed. The jobs by size have a job file, four rows for each subscriber, and a "
            "process of their own, whose peak memory is given."
        ),
        tables=[_speed_table(figures, rows), _growth_table(growth)],
        goals=_goals(figures, growth, rows),
        plot=partial(_plot, growth),
        panels=2,
    )


def _sizes(scale: Scale) -> list[int]:
    if scale.quick:
        return [1000, 3000]
    return [10**4, 10**5, 10**6] + [10**7] * scale.all


def _compare(url: str, rows: int, rounds: int) -> Figures:
    figures: Figures = {"append loop": [], "register": [], "register, job file": []}
    for _ in range(rounds):
        figures["append loop"].append(run_job("_job", "append-loop", url, rows))
        figures["register"].append(run_job("_job", "register", url, rows))
        figures["register, job file"].append(_run_with_job_file(url, rows))
    return figures


def _run_with_job_file(url: str, rows: int, each: int = 1) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        return run_job("_job", "register", url, rows, Path(folder) / "benchmark.job", each)


def _send_rates(figures: Figures, name: str, rows: int) -> list[float]:
    return [float(one.get("sent_per_second") or rows / one["seconds"]) for one in figures[name]]


def _speed_table(figures: Figures, rows: int) -> Table:
    table = []
    for name, taken in figures.items():
        loaded = [rows / one["loading"] for one in taken if "loading" in one]
        cpu = [one["cpu_seconds"] / rows * 1e6 for one in taken]
        table.append(
            [
                name,
                spread(loaded) if loaded else "",
                spread(_send_rates(figures, name, rows)),
                spread([rows / one["seconds"] for one in taken]),
                spread(cpu),
            ]
        )
    columns = ["", "rows/s loaded", "requests/s sent", "rows/s of the whole job", "CPU us/row"]
    return Table(f"{rows:,} rows", columns, table)


def _growth_table(growth: Growth) -> Table:
    rows = [
        [
            f"{size:,}",
            number(size / one["loading"]),
            number(one["sent_per_second"]),
            number(one["peak_bytes"] / _MB),
        ]
        for size, one in growth.items()
    ]
    columns = ["rows", "rows/s loaded", "requests/s sent", "peak memory, MB"]
    return Table("Register, job file, by size", columns, rows)


def _goals(figures: Figures, growth: Growth, rows: int) -> list[Goal]:
    memory = {size: one["peak_bytes"] / _MB for size, one in growth.items()}
    loop = median(_send_rates(figures, "append loop", rows))
    sent = median(_send_rates(figures, "register", rows))
    kept = median(_send_rates(figures, "register, job file", rows))
    goals = [
        Goal("register: requests/s sent / append loop", sent / loop, at_least=0.9),
        Goal("job file: requests/s sent / without one", kept / sent, at_least=0.95),
    ]
    if 10**6 in memory:
        ratio = memory[10**6] / memory[10**5]
        goals.append(Goal("peak memory, 1,000,000 rows / 100,000", ratio, at_most=1.3))
        goals.append(Goal("peak memory at 1,000,000 rows, MB", memory[10**6], at_most=200))
    return goals


def _plot(growth: Growth, axes: Any) -> None:
    speed, memory = axes
    sizes = list(growth)
    loaded = [size / growth[size]["loading"] for size in sizes]
    speed.plot(sizes, loaded, marker="o", label="rows loaded")
    sent = [growth[size]["sent_per_second"] for size in sizes]
    speed.plot(sizes, sent, marker="o", label="requests sent")
    speed.set(xscale="log", yscale="log", xlabel="rows", ylabel="a second", ylim=(1000, None))
    speed.legend(fontsize=7)
    memory.plot(sizes, [growth[size]["peak_bytes"] / _MB for size in sizes], marker="o")
    memory.set(xscale="log", xlabel="rows", ylabel="peak memory, MB", ylim=(0, None))
