"""Bulk jobs: speed beside a plain loop, and memory as the input grows."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._harness import Goal, Scale, Section, Table, median, number, run_job, run_server
from benchmarks._harness import spread as shown

_MB = 1_000_000

Figures = dict[str, list[dict[str, Any]]]


def run(scale: Scale) -> Section:
    """Compare `register` with an `append` loop, and measure peak memory."""
    rows = scale.pick(1000, 100_000)
    with run_server() as url:
        figures = _compare(url, rows, rounds=scale.pick(1, 2))
        memory = {
            size: _run_with_job_file(url, size, each=4)["peak_bytes"] / _MB
            for size in _sizes(scale)
        }
    return Section(
        title="Bulk",
        about=(
            f"{rows:,} rows of distinct subscribers, 64 in flight, default install. The loop calls "
            "`credentials.append` and keeps nothing; `register` reads, checks and merges all rows "
            "first, and checks every answer for its token. With a job file it can be killed and "
            "resumed. Peak memory is that of a whole job with a job file, of four rows for each "
            "subscriber, in a process of its own."
        ),
        tables=[_speed_table(figures, rows), _memory_table(memory)],
        goals=_goals(figures, memory, rows),
        plot=partial(_plot, memory),
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
                shown(loaded) if loaded else "",
                shown(_send_rates(figures, name, rows)),
                shown([rows / one["seconds"] for one in taken]),
                shown(cpu),
            ]
        )
    columns = ["", "rows/s loaded", "requests/s sent", "rows/s of the whole job", "CPU us/row"]
    return Table(f"{rows:,} rows", columns, table)


def _memory_table(memory: dict[int, float]) -> Table:
    rows = [[f"{rows:,}", number(peak)] for rows, peak in memory.items()]
    return Table("Peak memory of register", ["rows", "MB"], rows)


def _goals(figures: Figures, memory: dict[int, float], rows: int) -> list[Goal]:
    loop = median(_send_rates(figures, "append loop", rows))
    sent = median(_send_rates(figures, "register", rows))
    kept = median(_send_rates(figures, "register, job file", rows))
    goals = [
        Goal("register: requests/s sent / append loop", sent / loop, at_least=0.9),
        Goal("job file: requests/s sent / without one", kept / sent, at_least=0.95),
    ]
    if 10**6 in memory:
        growth = memory[10**6] / memory[10**5]
        goals.append(Goal("peak memory, 1,000,000 rows / 100,000", growth, at_most=1.3))
        goals.append(Goal("peak memory at 1,000,000 rows, MB", memory[10**6], at_most=200))
    return goals


def _plot(memory: dict[int, float], axes: Any) -> None:
    axes.plot(list(memory), list(memory.values()), marker="o")
    axes.set(xscale="log", xlabel="rows", ylabel="peak memory, MB", ylim=(0, None))
