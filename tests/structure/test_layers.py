"""Imports point downwards, and each dependency has one importer."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = (
    # facts and helpers
    {
        "_version",
        "_secrets",
        "_mappings",
        "_clock",
        "_json",
        "_endpoints",
        "_shielding",
        "providers",
    },
    {"errors"},
    {"models"},
    # rules, each about one thing
    {"_converter", "_channels", "_loop", "_ordering", "_pacing", "_retry", "observing"},
    {"_checks", "utils"},
    {"_settings", "_wire"},
    # one exchange, one call
    {"_options", "_transport", "_aftermath", "_log", "otel"},
    {"_pipeline"},
    # what is built of calls
    {"_reading", "_group_commit"},
    {"_channel_access"},
    {"credentials", "device_tokens"},
    {"bulk"},
    {"client"},
    # programs and doubles
    {"testing"},
    {"cli"},
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}

IMPORTERS = {
    "aiohttp": {"novu_async/_transport.py"},
    "anyio": {"novu_sync/_bridge.py", "novu_async/_shielding.py"},
    "cattrs": {"novu_async/_converter.py"},
    "click": {"novu_async/cli/"},
    "duckdb": {"novu_async/bulk/_duckdb.py"},
    "opentelemetry": {"novu_async/otel.py"},
    "orjson": {"novu_async/_json.py"},
    "rich": {"novu_async/cli/"},
    "sqlite3": {"novu_async/bulk/"},
    "tenacity": {"novu_async/_retry.py"},
    "yarl": {"novu_async/_transport.py", "novu_async/_settings.py"},
}


def source_files() -> list[Path]:
    return sorted([*ROOT.glob("novu_async/**/*.py"), *ROOT.glob("novu_sync/**/*.py")])


@cache
def imports_of(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports at run time."""
    names = set()
    for node in _run_time_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module in ("novu_async", "novu_sync"):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            at_run_time = node.body if "not" in ast.unparse(node.test) else node.orelse
            for inner in at_run_time:
                yield inner
                yield from _run_time_nodes(inner)
            continue
        yield node
        yield from _run_time_nodes(node)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "novu_async").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    """A module of novu_async imports only from lower layers or from its own package."""
    if not path.is_relative_to(ROOT / "novu_async") or path.name == "__init__.py":
        return
    room = room_of(path)
    assert room in LEVELS, f"{path.name} has no layer: give it one in this test"
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "novu_sync":
            assert path.name == "pytest_plugin.py", f"{path.name} imports {name}"
        if parts[0] == "novu_async" and len(parts) > 1 and parts[1] in LEVELS:
            assert parts[1] == room or LEVELS[parts[1]] < LEVELS[room], f"imports {name}"


@pytest.mark.parametrize("dependency", sorted(IMPORTERS))
def test_each_dependency_has_one_importer(dependency: str) -> None:
    """Replacing a library means changing one file, or one folder; LocalNovu stands by itself."""
    importers = {
        str(path.relative_to(ROOT))
        for path in source_files()
        if "novu_async/testing/" not in str(path)
        and any(name.split(".")[0] == dependency for name in imports_of(path))
    }
    allowed = IMPORTERS[dependency]
    assert importers
    assert all(any(one.startswith(place) for place in allowed) for one in importers), importers


def test_local_novu_shares_no_code_with_the_client() -> None:
    """A double that used the client's rules would repeat the client's mistakes."""
    for path in (ROOT / "novu_async/testing").glob("*.py"):
        names = {name for name in imports_of(path) if name.startswith("novu_async.")}
        foreign = {name for name in names if not name.startswith("novu_async.testing")}
        if path.name == "pytest_plugin.py":
            continue  # its fixtures make clients
        assert not foreign, f"{path.name} imports {foreign}"


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    """About 450 lines at the most."""
    lengths = {str(path): len(path.read_text().splitlines()) for path in source_files()}
    assert {path for path, lines in lengths.items() if lines > 450} == set()
