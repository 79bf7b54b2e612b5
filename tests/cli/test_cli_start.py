"""What starting the program takes, and what it says where it cannot start."""

import subprocess
import sys

HEAVY = ("aiohttp", "rich", "attr", "asyncio", "novu_async.client", "novu_async.bulk")

ASK_FOR_HELP = f"""
import sys
from novu_async.cli import main
sys.argv = ["novu-credentials", "register", "--help"]
try:
    main()
except SystemExit as error:
    assert not error.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def _python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    """Help comes at once: neither the client nor aiohttp nor rich is imported for it."""
    done = _python(ASK_FOR_HELP)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_package_does_not_import_click() -> None:
    """Importing novu_async and its client needs nothing of the extra."""
    done = _python(
        "import sys, novu_async.bulk; novu_async.Novu; "
        "print({'click', 'rich'} & sys.modules.keys())"
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_missing_extra_is_named() -> None:
    """Without the extra there is one line that says how to install it, and status 2."""
    done = _python(
        "import sys; sys.modules['rich'] = None; from novu_async.cli import main; main()"
    )
    assert done.returncode == 2
    assert done.stderr == "novu-credentials needs its extra: pip install 'novu-async[cli]'\n"
    assert done.stdout == ""


def test_no_command_is_wrong_usage() -> None:
    """Without a command the help goes to standard error, with status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "novu_async.cli"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Commands:" in done.stderr
