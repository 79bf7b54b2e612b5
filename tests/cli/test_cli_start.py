"""What starting the program takes, and what it says where it cannot start."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_program import PROGRAM, list_names

from novu_async.testing import LocalNovu

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


def _register_with_files(start: Callable[..., Any], limit: str) -> Any:
    pytest.importorskip("resource")
    command = f"ulimit {limit} && exec '{PROGRAM}' register tokens.csv --concurrency 64"
    process = start("-c", command, command="sh")
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def test_too_few_files_are_told_before_anything_is_read(
    start: Callable[..., Any],
    server: LocalNovu,
    write_tokens: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """The message says what the system allows, and what can be done about it."""
    write_tokens(300)
    status, err = _register_with_files(start, "-n 60")
    assert status == 2
    assert "may have 60: raise the limit (ulimit -n), or give --concurrency 28" in err
    assert err.count("\n") == 1
    assert server.requests == []
    assert list_names(tmp_path) == {"tokens.csv"}


def test_as_many_files_are_opened_as_the_system_allows(
    start: Callable[..., Any], server: LocalNovu, write_tokens: Callable[..., Path]
) -> None:
    """The soft limit of the shell, which is meant for other programs, does not end a job."""
    write_tokens(300)
    assert _register_with_files(start, "-S -n 40") == (0, "")
    assert len(server.subscribers) == 300


def test_what_the_output_cannot_show_is_escaped(start: Callable[..., Any], tmp_path: Path) -> None:
    """Names come from the input, and a terminal may know fewer letters."""
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\nu,ж,t\n", "utf-8")
    process = start("register", "in.csv", "--dry-run", env={"PYTHONIOENCODING": "latin-1"})
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert r"unknown provider \u0436 in 1 row" in out
