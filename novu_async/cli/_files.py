"""Where a job keeps its files: in the current folder, named after the input, unless told."""

import os
import re
from itertools import chain, count, islice
from pathlib import Path
from typing import NamedTuple

import click

STDIN = "-"

_QUERY = re.compile(r"\s*\(*\s*(select|from|with)\s", re.IGNORECASE)


class JobFiles(NamedTuple):
    """The files of a job; a job file that we named is removed once nothing is left to do.

    `names_failures`: whether we named the failures file, too.
    """

    job: Path
    failures: Path
    is_ours: bool
    names_failures: bool

    def remove_if_ours(self) -> None:
        """Remove the job file, unless the user has named it."""
        if self.is_ours:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.job}{suffix}").unlink(missing_ok=True)

    def keep_earlier_failures(self) -> Path | None:
        """Rename a failures file of our name that has rows; return its new name.

        It may be of another input with the same name, whose failures are nowhere else.
        """
        found = self.failures
        if not self.names_failures or not found.is_file() or found.is_symlink():
            return None
        with found.open("rb") as file:
            lines = list(islice(file, 2))
        if not lines or (len(lines) == 1 and not lines[0].startswith(b"{")):
            return None
        names = (found.with_suffix(f".old{n}{found.suffix}") for n in chain([""], count(2)))
        return found.rename(next(name for name in names if not os.path.lexists(name)))


def choose_files(
    source: str | None, job: str | None, failures: str | None, *, verb: str = ""
) -> JobFiles:
    """Return the files for an input, which is a path, `-`, or None for a query.

    `verb` tells jobs of one input apart. Raises click.UsageError where the failures would overwrite
    the input.
    """
    name, verb = _name_of(source), verb and f".{verb}"
    if failures is not None and source not in (None, STDIN) and _is_same(failures, str(source)):
        raise click.UsageError("--failures would overwrite the input: choose another file")
    return JobFiles(
        Path(f"{name}{verb}.job" if job is None else job),
        _name_failures(name, verb) if failures is None else Path(failures),
        is_ours=job is None,
        names_failures=failures is None,
    )


def choose_files_of_job(job: str, failures: str | None, *, verb: str = "") -> JobFiles:
    """Return the files of a job that is gone on with alone, by the source that it remembers.

    Where it has the name that we give it, it was named by an interrupted run of ours. Raises
    ConfigurationError where the file is no job.
    """
    from novu_async.bulk import read_job

    source = _source_named(read_job(job).source)
    named_by_us = choose_files(source, None, failures, verb=verb)
    return named_by_us._replace(job=Path(job), is_ours=_is_same(job, named_by_us.job))


def _source_named(name: str) -> str | None:
    """Return the path that a job's source was given as, `-`, or None for a query."""
    if name == "standard input":
        return STDIN
    return None if _QUERY.match(name) and not os.path.exists(name) else name


def _name_of(source: str | None) -> str:
    if source is None:
        return "select"
    return "stdin" if source == STDIN else Path(source).name or "input"


def _name_failures(name: str, verb: str) -> Path:
    """Return tokens.failed.csv for tokens.csv, tokens.failed-2.csv for tokens.failed.csv."""
    stem, suffix = os.path.splitext(name.removesuffix(".gz"))
    again = re.fullmatch(r"(.+)\.failed(?:-(\d+))?", stem)
    if again:
        return Path(f"{again[1]}{verb}.failed-{int(again[2] or 1) + 1}{suffix}")
    return Path(f"{stem}{verb}.failed{'.csv' if suffix == '.parquet' else suffix}")


def _is_same(one: str, other: str | Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
