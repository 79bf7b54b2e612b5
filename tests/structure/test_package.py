"""The package as its users get it: exports, the wheel, and what importing costs."""

import importlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import novu_async
import novu_sync

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", [novu_async, novu_sync], ids=lambda package: package.__name__)
def test_every_exported_name_can_be_had(package: object) -> None:
    """dir() and `import *` list the public names, and each of them exists."""
    for name in dir(package):
        assert getattr(package, name) is not None


def test_the_sdks_names_are_at_the_sdks_places() -> None:
    """What the official documentation imports has the same path here, in both packages."""
    for package in ("novu_async", "novu_sync"):
        root = importlib.import_module(package)
        models = importlib.import_module(f"{package}.models")
        utils = importlib.import_module(f"{package}.utils")
        for name in ("ErrorDto", "ValidationErrorDto", "APIError"):
            assert getattr(models, name) is getattr(novu_async.errors, name)
            assert getattr(root, name) is getattr(models, name)
        for name in (
            "UpdateSubscriberChannelRequestDto",
            "SubscribersControllerUpdateSubscriberChannelResponse",
            "SubscribersControllerModifySubscriberChannelResponse",
            "SubscribersControllerDeleteSubscriberCredentialsResponse",
        ):
            assert getattr(models, name) is getattr(root, name)
        assert utils.RetryConfig is root.RetryConfig
        assert root.UpdateSubscriberChannelRequestDtoProviderID.PUSHPAD == "pushpad"


def test_importing_the_packages_imports_no_library() -> None:
    """Not even aiohttp: that comes with the first client."""
    code = (
        "import novu_async, novu_sync, novu_async.testing.pytest_plugin, sys;"
        "print([n for n in ('aiohttp', 'cattrs', 'tenacity', 'anyio', 'sqlite3', 'click')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.timeout(300)
def test_the_wheel_is_small_and_holds_only_the_packages(built: Path) -> None:
    """Under 250 KB; both packages are typed; no tests."""
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < 250_000
    names = zipfile.ZipFile(wheel).namelist()
    assert {"novu_async/py.typed", "novu_sync/py.typed"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"novu_async", "novu_sync"}
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        inside = {name.partition("/")[2] for name in sources.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py"} <= inside


@pytest.mark.once
@pytest.mark.timeout(300)
def test_the_wheel_works_with_the_five_core_dependencies_alone(built: Path, tmp_path: Path) -> None:
    """Installed into an empty environment: a call, a bulk job, and a clear word from the CLI."""
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(install, check=True, capture_output=True)
    code = """
from novu_async.testing import LocalNovu
from novu_sync import Novu
with LocalNovu.in_thread() as local, Novu(local.api_key, server_url=local.url) as novu:
    novu.subscribers.device_tokens.add("u", "fcm", "token-1")
    assert novu.bulk.register([("u", "fcm", "token-2")]).ok
    assert local.device_tokens("u", "fcm") == ["token-1", "token-2"]
import sys
assert not {"orjson", "click", "rich", "duckdb", "opentelemetry"} & set(sys.modules)
"""
    subprocess.run([python, "-W", "error", "-c", code], check=True, cwd=tmp_path)
    listed = [python, "-m", "pip", "list", "--format", "freeze"]
    found = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    installed = {line.split("==")[0].lower() for line in found.splitlines()}
    assert {"aiohttp", "anyio", "attrs", "cattrs", "tenacity"} <= installed
    assert not {"orjson", "click", "rich", "duckdb", "pydantic", "httpx"} & installed
    program = subprocess.run(
        [tmp_path / "venv/bin/novu-credentials", "--help"], capture_output=True, text=True
    )
    assert program.returncode == 2
    assert "pip install 'novu-async[cli]'" in program.stderr
