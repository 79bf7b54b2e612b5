"""Where a job's files are to be: refused before anything is read, where that would do harm."""

import os
from contextlib import suppress
from pathlib import Path

from novu_async.bulk.failures import explained, target_of
from novu_async.bulk.loader import beside, part_of
from novu_async.bulk.lock import lock_of
from novu_async.errors import ConfigurationError, InvalidRequestError


def check_places(source: Path | None, job: Path | None, failures: Path | None) -> None:
    """Refuse files that would overwrite each other, that have no name, or cannot be written.

    Raises InvalidRequestError for the first, ConfigurationError for the others; leaves nothing.
    """
    _check_named(job, "job")
    _check_named(failures, "failures")
    of_job = () if job is None else _files_of(job)
    if source is not None:
        _check_apart(of_job, source, "job", "the records")
    if failures is None:
        return
    target = target_of(failures)
    written = (target, part_of(target))
    if source is not None:
        _check_apart(written, source, "failures", "the records")
    for number, path in enumerate(of_job):
        what = "a file beside the job file" if number else "the job file"
        _check_apart(written, path, "failures", what)
    _check_writable(failures, part_of(target))


def _files_of(job: Path) -> tuple[Path, ...]:
    """Return a job file, and all that SQLite and we make and remove beside it."""
    real = Path(os.path.realpath(job))
    return (job, part_of(real), lock_of(job), *beside(real))


def _check_named(path: Path | None, what: str) -> None:
    if path is not None and "\0" in str(path):
        raise ConfigurationError(f"the path of the {what} file has a NUL")
    if path is not None and not path.name:
        raise ConfigurationError(f"the {what} file needs a name: its path is empty, or a folder")


def _check_apart(written: tuple[Path, ...], kept: Path, argument: str, what: str) -> None:
    if any(_is_same(path, kept) for path in written):
        raise InvalidRequestError(
            f"{argument} would overwrite {what}, {kept}: choose another file", argument
        )


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _check_writable(failures: Path, part: Path) -> None:
    """Make the file that the failures are first written to, and remove it."""
    with explained(failures), suppress(FileExistsError):  # another job writes there, or was killed
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        part.unlink()
