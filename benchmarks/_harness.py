"""What every benchmark needs: processes to measure, rounds in turn, figures, tables and plots."""

import contextlib
import json
import random
import statistics
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from attrs import define, field, frozen
from rich.console import Console
from rich.table import Table as RichTable

console = Console()
ROOT = Path(__file__).parent.parent


@frozen
class Scale:
    """How much to run: `quick` only shows that everything works, `all` takes the largest too."""

    quick: bool = False
    all: bool = False

    def pick(self, quick: Any, full: Any) -> Any:
        """Choose between two sizes."""
        return quick if self.quick else full


@frozen
class Table:
    """Rows of texts under a title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def print(self) -> None:
        """Show it on the terminal."""
        table = RichTable(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [f"**{self.title}**", "", _line(self.columns)]
        lines.append(_line(["---"] + ["---:"] * (len(self.columns) - 1)))
        return "\n".join([*lines, *map(_line, self.rows)]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


@frozen
class Goal:
    """A figure to reach: at most, or at least, a bound."""

    text: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def row(self) -> list[str]:
        """What is wanted, what was measured, and whether it was reached."""
        if self.at_most is not None:
            bound, reached = f"<= {self.at_most:g}", self.value <= self.at_most
        else:
            bound, reached = f">= {self.at_least:g}", self.value >= (self.at_least or 0)
        return [self.text, bound, number(self.value), "yes" if reached else "no"]


@define
class Section:
    """What one benchmark found; `plot` draws on the axes of a figure."""

    title: str
    about: str
    tables: list[Table] = field(factory=list)
    goals: list[Goal] = field(factory=list)
    plot: Callable[[Any], None] | None = None
    panels: int = 1


def number(value: float) -> str:
    """Show three significant digits, and whole numbers whole."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def spread(values: Sequence[float]) -> str:
    """Show the median, and the lowest and highest value where there are several."""
    middle = number(statistics.median(values))
    if min(values) == max(values):
        return middle
    return f"{middle} ({number(min(values))} to {number(max(values))})"


@contextlib.contextmanager
def run_server(rate: int | None = None) -> Iterator[str]:
    """Run the fast server in a process of its own; yield its URL."""
    command = [sys.executable, "-m", "benchmarks.server"]
    command += [] if rate is None else ["--rate", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def counts(url: str) -> dict[str, float]:
    """Ask the fast server how many requests it accepted and rejected."""
    with urllib.request.urlopen(f"{url}/counts", timeout=10) as response:  # noqa: S310
        return dict(json.load(response))


def run_job(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module of this package in a process of its own; return the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return dict(json.loads(done.stdout))


class Worker:
    """A contestant in a process of its own."""

    def __init__(self, kind: str, name: str, url: str, *, speed: bool = False) -> None:
        command = [sys.executable, "-m", "benchmarks._worker", kind, name, url]
        self._process = subprocess.Popen(
            command + ["--speed"] * speed,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def measure(self, in_flight: int, seconds: float) -> dict[str, float]:
        """Load the server for so long with so many calls at a time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{in_flight} {seconds}\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


Samples = Mapping[tuple[str, int], list[dict[str, float]]]
"""By contestant and calls in flight: `per_second` and `cpu_us` of every round."""


def take_turns(
    contestants: Mapping[str, Callable[[str], Worker]],
    levels: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    only: Mapping[str, Sequence[int]] | None = None,
) -> Samples:
    """Measure all contestants in turn, so that what else the machine does strikes them alike.

    Every round starts new processes, because memory is laid out differently in each, and measures
    the contestants in another order. `only` restricts the levels of some.
    """
    samples: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        with run_server() as url, contextlib.ExitStack() as stack:
            workers = {name: stack.enter_context(start(url)) for name, start in contestants.items()}
            for level in levels:
                names = [name for name in workers if level in (only or {}).get(name, levels)]
                for name in random.sample(names, len(names)):
                    samples[name, level].append(workers[name].measure(level, seconds))
    return samples


def ratios(samples: Samples, figure: str, of: tuple[str, int], to: tuple[str, int]) -> list[float]:
    """Divide the figures of one contestant by those of another, round by round."""
    pairs = zip(samples[of], samples[to], strict=True)
    return [one[figure] / other[figure] for one, other in pairs]
