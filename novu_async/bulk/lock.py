"""One process per job file: a lock that the system takes back when its holder dies."""

import contextlib
import os
import sys
from pathlib import Path

from novu_async.errors import ConfigurationError

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class JobLock:
    """An exclusive lock beside a job file, held from the making of this object to `release`."""

    def __init__(self, job: Path) -> None:
        self._path = lock_of(job)
        while True:
            self._descriptor = _open_locked(self._path, job)
            if self._is_current():
                return
            os.close(self._descriptor)

    def _is_current(self) -> bool:
        """Tell whether the lock is on the file that others find, not on one just removed."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        return False

    def release(self) -> None:
        """Give the lock back and remove its file."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def lock_of(job: Path) -> Path:
    """Return the file that holds the lock of a job file: one, by whatever link it is reached."""
    return Path(f"{os.path.realpath(job)}.lock")


def _open_locked(path: Path, job: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the job file {job} cannot be made: {error.strerror}; choose another place"
        ) from error
    try:
        _lock(descriptor)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError | PermissionError):
            raise ConfigurationError(
                f"the job file {job} cannot be locked: {error.strerror}; choose another place"
            ) from error
        raise ConfigurationError(
            f"the job file {job} is in use by another process: wait for it, or stop it"
        ) from error
    return descriptor
