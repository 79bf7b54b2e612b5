"""Group commit: what many adds for few subscribers cost with and without merging."""

from statistics import median

from benchmarks._harness import Goal, Scale, Section, Table, counts, run_job, run_server, spread

_SHOWN = {"add": "device_tokens.add, merged", "append": "credentials.append, one by one"}


def run(scale: Scale) -> Section:
    """Start all calls at once, for 100 subscribers, and count requests."""
    calls = scale.pick(1000, 10_000)
    requests: dict[str, list[float]] = {name: [] for name in _SHOWN}
    seconds: dict[str, list[float]] = {name: [] for name in _SHOWN}
    for _ in range(scale.pick(1, 3)):
        for name in _SHOWN:
            with run_server() as url:
                seconds[name].append(run_job("_job", "merge", url, calls, name)["seconds"])
                requests[name].append(counts(url)["accepted"])
    rows = [
        [shown, spread(requests[name]), spread(seconds[name])] for name, shown in _SHOWN.items()
    ]
    per_subscriber = median(requests["add"]) / 100
    return Section(
        title="Merged adds",
        about=(
            f"{calls:,} calls started at the same time for 100 subscribers, one token each, on one "
            "client. Adds that wait for the same subscriber travel in one request."
        ),
        tables=[Table(f"{calls:,} calls", ["", "requests", "seconds"], rows)],
        goals=[Goal("merged: requests for each subscriber", per_subscriber, at_most=3)],
    )
