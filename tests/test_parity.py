"""The two packages have the same surface, in both directions."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import novu_async
import novu_sync
from novu_async import bulk, client, credentials, device_tokens

CLASSES = [
    client.Novu,
    client.Subscribers,
    credentials.Credentials,
    device_tokens.DeviceTokens,
    bulk.Bulk,
]
FUNCTIONS = [bulk.plan]
OTHER_NAMES = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
AWAITED_ONLY = {"update_async", "append_async", "delete_async"}
"""The official SDK's names for what `novu_async` calls `update`, `append` and `delete`."""
COMMAND = {"cli"}
"""Not for import: the command is one for both."""


def public_modules(package: ModuleType) -> set[str]:
    return {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}


MODULES = sorted(public_modules(novu_async) - COMMAND)


def twin(thing: Any) -> Any:
    """Return the blocking form of an asynchronous class or function."""
    module = f"novu_sync.{thing.__module__.split('.')[1]}"
    return getattr(importlib.import_module(module), thing.__name__)


def public(thing: object) -> set[str]:
    """Return the names that a user of a class or object may use, in their blocking form."""
    names = {name for name in dir(thing) if not name.startswith("_") or name in OTHER_NAMES}
    names |= {name for name in OTHER_NAMES.values() if hasattr(thing, name)}
    return {OTHER_NAMES.get(name, name) for name in names - AWAITED_ONLY}


def methods(kind: type) -> Iterator[tuple[Any, Any]]:
    """Yield the public methods of an asynchronous class, each with its blocking form."""
    for name, method in vars(kind).items():
        if name in AWAITED_ONLY:
            continue
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            yield method, getattr(twin(kind), OTHER_NAMES.get(name, name))


def test_the_same_modules() -> None:
    """Every public module of one package has its like in the other."""
    assert public_modules(novu_sync) == set(MODULES)


def test_the_same_names_in_the_packages() -> None:
    """What novu_async exports novu_sync exports, and nothing else."""
    assert sorted(novu_sync.__all__) == sorted(novu_async.__all__)
    assert dir(novu_sync) == dir(novu_async)
    for name in novu_sync.__all__:
        assert hasattr(novu_sync, name), name


@pytest.mark.parametrize("name", MODULES)
def test_the_same_names_in_a_module(name: str) -> None:
    """The modules export the same names, and the same objects but for what blocks."""
    awaited = importlib.import_module(f"novu_async.{name}")
    blocking = importlib.import_module(f"novu_sync.{name}")
    assert set(blocking.__all__) == set(awaited.__all__)
    for exported in awaited.__all__:
        ours, theirs = getattr(blocking, exported), getattr(awaited, exported)
        own = theirs in (*CLASSES, *FUNCTIONS)
        assert (ours is twin(theirs)) if own else (ours is theirs), exported


PATHS = ["", "subscribers", "subscribers.credentials", "subscribers.device_tokens", "bulk"]


@pytest.mark.parametrize("path", PATHS)
def test_the_same_attributes_of_a_client(path: str) -> None:
    """A client has the same methods, properties and groups of calls in both packages."""
    awaited: Any = novu_async.Novu(api_key="key")
    blocking: Any = novu_sync.Novu(api_key="key")
    for name in filter(None, path.split(".")):
        awaited, blocking = getattr(awaited, name), getattr(blocking, name)
    assert public(blocking) == public(awaited)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_same_parameters(kind: type) -> None:
    """Each method has the same parameters, defaults and docstring, and only one side is awaited."""
    for awaited, blocking in methods(kind):
        if awaited.__name__ == "__init__" and kind is not client.Novu:
            continue  # made by the client alone
        assert inspect.signature(blocking).parameters == inspect.signature(awaited).parameters
        assert not inspect.iscoroutinefunction(blocking)
        assert not inspect.isasyncgenfunction(blocking)
        if awaited.__name__ != "aclose":
            assert (blocking.__name__, blocking.__doc__) == (awaited.__name__, awaited.__doc__)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_same_functions(function: Any) -> None:
    """Each function that is awaited has a blocking form with the same parameters."""
    assert inspect.signature(twin(function)) == inspect.signature(function)
    assert not inspect.iscoroutinefunction(twin(function))


def test_every_awaited_function_is_known_here() -> None:
    """A coroutine function that is added to a public module needs a blocking form."""
    found = {
        value
        for name in MODULES
        for value in vars(importlib.import_module(f"novu_async.{name}")).values()
        if inspect.iscoroutinefunction(value)
    }
    assert found == set(FUNCTIONS)
