"""Start-up: what importing costs, the command's help, and the size of the wheel."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks._harness import ROOT, Goal, Scale, Section, Table, number, spread

_PROGRAM = str(Path(sys.executable).parent / "novu-credentials")
_COMMANDS = {
    "python, nothing imported": ["-c", "pass"],
    "import aiohttp": ["-c", "import aiohttp"],
    "import novu_async": ["-c", "import novu_async"],
    "import novu_async, make a client": ["-c", "import novu_async; novu_async.Novu('key')"],
    "import novu_sync, make a client": ["-c", "import novu_sync; novu_sync.Novu('key').close()"],
    "import novu_py, make a client": ["-Wignore", "-c", "import novu_py; novu_py.Novu('key')"],
    "import click": ["-c", "import click"],
    "novu-credentials --help": [_PROGRAM, "--help"],
}


def run(scale: Scale) -> Section:
    """Start each program many times, in turn."""
    milliseconds: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(scale.pick(2, 21)):
        for name, arguments in _COMMANDS.items():
            milliseconds[name].append(_cpu_milliseconds(arguments))
    rows = [[name, spread(taken)] for name, taken in milliseconds.items()]
    wheel = _wheel_bytes() / 1000
    rows.append(["wheel, KB", number(wheel)])
    return Section(
        title="Start-up",
        about="CPU of whole processes, user and system, the interpreter included.",
        tables=[Table("CPU, ms", ["", "median (lowest to highest)"], rows)],
        goals=_goals(milliseconds, wheel),
    )


def _cpu_milliseconds(arguments: list[str]) -> float:
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, cwd=ROOT.parent
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return (usage.ru_utime + usage.ru_stime) * 1000


def _wheel_bytes() -> int:
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        return next(Path(folder).glob("*.whl")).stat().st_size


def _goals(milliseconds: dict[str, list[float]], wheel: float) -> list[Goal]:
    def compare(name: str, other: str) -> float:
        pairs = zip(milliseconds[name], milliseconds[other], strict=True)
        return median(one / another for one, another in pairs)

    return [
        Goal(
            "import novu_async / import aiohttp",
            compare("import novu_async", "import aiohttp"),
            at_most=1.25,
        ),
        Goal(
            "import novu_async, make a client / import aiohttp",
            compare("import novu_async, make a client", "import aiohttp"),
            at_most=1.25,
        ),
        Goal(
            "novu-credentials --help / import click",
            compare("novu-credentials --help", "import click"),
            at_most=2,
        ),
        Goal("wheel, KB", wheel, at_most=150),
    ]
