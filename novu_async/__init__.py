"""Register, append and delete Novu subscriber credentials: awaited here, blocking in novu_sync.

The public names of the modules below are all here. Each module is imported when one of its names is
first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from novu_async._version import __version__ as __version__

if TYPE_CHECKING:
    from novu_async import bulk as bulk
    from novu_async import errors as errors
    from novu_async import models as models
    from novu_async import observing as observing
    from novu_async import providers as providers
    from novu_async import testing as testing
    from novu_async import utils as utils
    from novu_async.bulk import *
    from novu_async.client import *
    from novu_async.credentials import *
    from novu_async.device_tokens import *
    from novu_async.errors import *
    from novu_async.models import *
    from novu_async.observing import *
    from novu_async.utils import *

_MODULES = ("bulk", "errors", "models", "observing", "providers", "testing", "utils")
_HOMES = (
    "errors",
    "models",
    "utils",
    "observing",
    "credentials",
    "device_tokens",
    "client",
    "bulk",
)


if not TYPE_CHECKING:  # else a checker would accept any name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name == "__all__":
            return __dir__()
        for home in () if name.startswith("_") else _HOMES:
            module = _load(home)
            if name in module.__all__:
                value = globals()[name] = getattr(module, name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    names = {name for home in _HOMES for name in _load(home).__all__}
    return sorted({"__version__", *_MODULES, *names})


def _load(home: str) -> Any:
    return import_module(f"{__name__}.{home}")
