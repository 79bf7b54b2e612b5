"""How many files this process may have open: each connection is one."""

import sys

import click

_OTHER_FILES = 32
"""What a job has open beside its connections: its own files, SQLite's, the event loop's."""


def make_room(connections: int) -> None:
    """See to it that so many connections can be open at the same time.

    Raises click.UsageError where the system does not allow it.
    """
    if sys.platform == "win32":  # pragma: no cover, it has no such limit
        return
    import resource

    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError):  # it is beyond the hard limit, or another of the system
        _refuse(connections, needed, hard)


def _refuse(connections: int, needed: int, allowed: int) -> None:
    at_most = allowed - _OTHER_FILES
    smaller = f", or give --concurrency {at_most}" if 0 < at_most < connections else ""
    raise click.UsageError(
        f"--concurrency {connections} needs {needed} open files, and this process may have "
        f"{allowed}: raise the limit (ulimit -n){smaller}"
    )
