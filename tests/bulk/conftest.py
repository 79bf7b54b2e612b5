"""Fixtures of the bulk tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from novu_async import Novu
from novu_async.bulk import Bulk
from novu_async.testing import LocalNovu


@pytest.fixture
def bulk(novu: Novu, local: LocalNovu) -> Bulk:
    """Bulk jobs on `local`."""
    return Bulk(novu.subscribers, server_url=local.url, rate_limit=lambda: novu.rate_limit)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write an input file and return its path."""

    def write(content: str | bytes, name: str = "input") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
