"""The program, for tests that call it in this process, and for those that start it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.executable).parent
PROGRAM = str(BIN / "novu-credentials")
ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


def list_names(folder: Path) -> set[str]:
    """Return the names of what is in a folder."""
    return {path.name for path in folder.iterdir()}
