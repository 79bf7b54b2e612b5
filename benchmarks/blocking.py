"""Blocking calls: one thread beside the other SDKs, many threads beside awaited calls."""

from functools import partial
from statistics import median

from benchmarks._harness import (
    Goal,
    Samples,
    Scale,
    Section,
    Table,
    Worker,
    ratios,
    run_job,
    run_server,
    spread,
    take_turns,
)

_THREADS = 16
_SHOWN = {
    ("novu_sync", 1): "novu_sync append, 1 thread",
    ("novu-py", 1): "novu-py append, 1 thread",
    ("novu", 1): "novu 1.14.0 update, 1 thread",
    ("novu_sync", _THREADS): f"novu_sync append, {_THREADS} threads share one client",
    ("append", _THREADS): f"novu_async append, {_THREADS} in flight",
}
_ONLY = {"append": [_THREADS], "novu-py": [1], "novu": [1]}


def run(scale: Scale) -> Section:
    """Measure single calls, threads that share a client, and a blocking bulk job."""
    blocking = ("novu_sync", "novu-py", "novu")
    contestants = {name: partial(Worker, "blocking", name) for name in blocking}
    contestants["append"] = partial(Worker, "awaited", "append")
    samples = take_turns(
        contestants,
        (1, _THREADS),
        rounds=scale.pick(1, 15),
        seconds=scale.pick(0.2, 0.5),
        only=_ONLY,
    )
    bulk = _measure_bulk(rows=scale.pick(500, 20_000), rounds=scale.pick(1, 7))
    return Section(
        title="Blocking calls",
        about=(
            "The blocking client beside the two other SDKs, and beside the awaited client that it "
            "is made of. Default install. The bulk jobs are `bulk.register` of distinct "
            "subscribers, 64 in flight, from the first row read to the report."
        ),
        tables=[_table(samples), _bulk_table(bulk)],
        goals=_goals(samples, bulk),
    )


def _measure_bulk(rows: int, rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"awaited": [], "blocking": []}
    with run_server() as url:
        for _ in range(rounds):
            for name, kind in (("awaited", "register"), ("blocking", "register-blocking")):
                rates[name].append(rows / run_job("_job", kind, url, rows)["seconds"])
    return rates


def _table(samples: Samples) -> Table:
    rows = [
        [
            shown,
            spread([sample["per_second"] for sample in samples[key]]),
            spread([sample["cpu_us"] for sample in samples[key]]),
        ]
        for key, shown in _SHOWN.items()
    ]
    return Table("Single calls", ["client", "calls/s", "CPU us/call"], rows)


def _bulk_table(bulk: dict[str, list[float]]) -> Table:
    rows = [[f"{name} bulk.register", spread(rates)] for name, rates in bulk.items()]
    return Table("Bulk", ["client", "rows/s"], rows)


def _goals(samples: Samples, bulk: dict[str, list[float]]) -> list[Goal]:
    one = ratios(samples, "per_second", ("novu_sync", 1), ("novu-py", 1))
    many = ratios(samples, "per_second", ("novu_sync", _THREADS), ("append", _THREADS))
    jobs = median(bulk["blocking"]) / median(bulk["awaited"])
    return [
        Goal("novu_sync, 1 thread: calls/s / novu-py", median(one), at_least=6),
        Goal(f"novu_sync, {_THREADS} threads: calls/s / awaited", median(many), at_least=0.6),
        Goal("bulk: blocking / awaited", jobs, at_least=0.95),
    ]
