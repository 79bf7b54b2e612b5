"""demo and scripts/demo: a run that proves itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_program import BIN, ROOT, Run, list_names

from novu_async.cli._demo import _check
from novu_async.testing import LocalNovu

ROWS = "subscriber_id,provider_id,token\nu1,fcm,one\nu1,fcm,one\nu2,apns,two\nu3,fcm,\n"


def test_demo_stores_and_checks(run: Run, tmp_path: Path) -> None:
    """The demo needs no key, registers the file, and says that all valid tokens are stored."""
    (tmp_path / "in.csv").write_text(ROWS)
    done = run("demo", "in.csv", NOVU_API_KEY="", NOVU_SERVER_URL="")
    assert done.status == 0
    assert "2 of 2 valid tokens of 2 subscribers are stored exactly once" in done.out
    assert "export NOVU_API_KEY=" in done.out
    assert list_names(tmp_path) == {"in.csv"}


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ({"u1": ["one"]}, "1 are missing, 0 are there twice, 0 are not of FILE"),
        ({"u1": ["one", "one"], "u2": ["two"]}, "0 are missing, 1 are there twice"),
        ({"u1": ["one", "x"], "u2": ["two"]}, "1 are not of FILE"),
    ],
)
def test_demo_notices_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stored: dict[str, list[str]], found: str
) -> None:
    """A token that is missing, doubled or foreign fails the demo's check."""
    path = tmp_path / "in.csv"
    path.write_text(ROWS)
    local = LocalNovu()
    for subscriber_id, tokens in stored.items():
        provider = "apns" if subscriber_id == "u2" else "fcm"
        channel = {"providerId": provider, "credentials": {"deviceTokens": tokens}}
        local.add_subscriber(subscriber_id, channels=[channel])
    assert not _check(str(path), local)
    assert found in capsys.readouterr().err


@pytest.mark.once
def test_script_runs_from_anywhere(tmp_path: Path) -> None:
    """scripts/demo finds its checkout by itself, sets it up, and ends as the demo ends."""
    scripts = tmp_path / "checkout" / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "demo", scripts)
    shutil.copytree(ROOT / "examples", scripts.parent / "examples")
    (scripts / "setup").write_text('#!/bin/sh\necho "set up: $*"\n')
    (scripts / "setup").chmod(0o755)
    done = subprocess.run(
        [str(scripts / "demo")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "VENV": str(BIN.parent), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("set up: cli\n")
    assert "2,201 of 2,201 valid tokens of 700 subscribers are stored exactly once" in done.stdout
