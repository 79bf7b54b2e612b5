"""Fixtures of the bulk tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from novu_async import Novu
from novu_async.bulk import Bulk


@pytest.fixture
def bulk(novu: Novu) -> Bulk:
    """Bulk jobs on `local`."""
    return novu.bulk


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write an input file and return its path."""

    def write(content: str | bytes, name: str = "input") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
