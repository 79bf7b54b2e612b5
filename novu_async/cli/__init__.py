"""novu-credentials: the program of the extra `cli`.

Nothing of novu_async imports this package, and it imports click and rich only when it is run.
"""

import os
import sys
from importlib.util import find_spec
from io import TextIOWrapper
from typing import NoReturn


def main() -> NoReturn:
    """Run novu-credentials with the arguments of the process, and exit.

    The exit status is 0 where all is done, 1 where rows failed or a call was refused, 2 for wrong
    usage or configuration, 130 after Ctrl-C and 143 after SIGTERM.
    """
    if find_spec("click") is None or find_spec("rich") is None:
        sys.stderr.write("novu-credentials needs its extra: pip install 'novu-async[cli]'\n")
        sys.exit(2)
    _open_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):  # as standard error escapes what it cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    from novu_async.cli._program import program

    program.main(prog_name="novu-credentials")


def _open_closed_streams() -> None:
    """Keep the numbers 0 to 2 from going to a socket or a job file, where prints would end up."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115, open as long as the process is
