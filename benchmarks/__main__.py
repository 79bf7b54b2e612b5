"""Run benchmarks, print their tables, and write RESULTS.md with plots."""

import argparse
import datetime
import importlib
import importlib.metadata
import os
import platform
import re
import time
from pathlib import Path

from benchmarks._harness import Scale, Section, Table, console

NAMES = (
    "calls",
    "blocking",
    "bulk",
    "merging",
    "lost",
    "pacing",
    "startup",
    "scaling",
)
_BY_HAND = "findings"
"""The section of RESULTS.md that no benchmark writes: what profiles showed, and what came of it."""

_HERE = Path(__file__).parent
_RESULTS = _HERE / "RESULTS.md"
_PLOTS = _HERE / "plots"
_VERSIONS = ("novu-async", "aiohttp", "httpx", "novu-py", "novu", "orjson", "uvloop")
_HEAD = """# Benchmarks

Written by `scripts/bench`, all but the last section; every figure is of one of its runs. Speeds
differ between machines and with what else they do; compare the figures of one table with each
other. `scripts/bench NAME` runs one benchmark again and replaces its section.
"""


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = f"of {', '.join(NAMES)}; all without it"
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=names)
    parser.add_argument("--quick", action="store_true", help="a minute; writes no results")
    parser.add_argument("--all", action="store_true", help="the largest inputs too; an hour")
    arguments = parser.parse_args()
    scale = Scale(quick=arguments.quick, all=arguments.all)
    for name in arguments.names or NAMES:
        began = time.perf_counter()
        section = importlib.import_module(f"benchmarks.{name}").run(scale)
        tables = [*section.tables, _goals_table(section)]
        console.rule(f"{section.title} ({time.perf_counter() - began:.0f} s)")
        for table in tables:
            table.print()
        if not scale.quick:
            _write(name, section, tables)


def _goals_table(section: Section) -> Table:
    columns = ["figure to reach", "wanted", "measured", "reached"]
    return Table("Goals", columns, [goal.row for goal in section.goals])


def _write(name: str, section: Section, tables: list[Table]) -> None:
    """Put the section into RESULTS.md, in place of an older one of that name."""
    parts = [f"## {section.title}\n", f"{section.about}\n", f"{_circumstances()}\n"]
    parts += [table.markdown() for table in tables]
    if section.plot is not None:
        _draw(section, _PLOTS / f"{name}.png")
        parts.append(f"![{section.title}](plots/{name}.png)\n")
    old = _read_sections()
    old[name] = "\n".join(parts)
    texts = [f"<!-- {key} -->\n{old[key]}" for key in (*NAMES, _BY_HAND) if key in old]
    _RESULTS.write_text("\n".join([_HEAD, *texts]))


def _read_sections() -> dict[str, str]:
    text = _RESULTS.read_text() if _RESULTS.exists() else ""
    pieces = re.split(r"^<!-- (\w+) -->\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() + "\n" for name, body in zip(pieces[::2], pieces[1::2], strict=True)}


def _circumstances() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _VERSIONS)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{today}, {python}, {platform.system()}, {os.cpu_count()} cores; {versions}."


def _draw(section: Section, path: Path) -> None:
    from matplotlib import pyplot  # not before it is needed: it is large

    assert section.plot is not None
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots(1, section.panels, figsize=(8, 3.6), layout="constrained")
    section.plot(axes)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
