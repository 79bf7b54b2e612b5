"""Register, append and delete Novu subscriber credentials, in blocking code.

The names are those of `novu_async`: the calls without `await`, everything else the same object.
Each module is imported when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import novu_async
from novu_async import __version__ as __version__

if TYPE_CHECKING:
    from novu_async.errors import *
    from novu_async.models import *
    from novu_async.observing import *
    from novu_async.utils import *
    from novu_sync import bulk as bulk
    from novu_sync import errors as errors
    from novu_sync import models as models
    from novu_sync import observing as observing
    from novu_sync import providers as providers
    from novu_sync import testing as testing
    from novu_sync import utils as utils
    from novu_sync.bulk import *
    from novu_sync.client import *
    from novu_sync.credentials import *
    from novu_sync.device_tokens import *

_OWN_MODULES = ("bulk", "errors", "models", "observing", "providers", "testing", "utils")
_OWN_NAMES = {
    "Bulk": "bulk",
    "Credentials": "credentials",
    "DeviceTokens": "device_tokens",
    "Novu": "client",
    "Subscribers": "client",
    "plan": "bulk",
}

if not TYPE_CHECKING:  # else a checker would accept any name

    def __getattr__(name: str) -> Any:
        if name in _OWN_MODULES:
            return import_module(f"{__name__}.{name}")
        home = f"{__name__}.{_OWN_NAMES[name]}" if name in _OWN_NAMES else "novu_async"
        try:
            value = getattr(import_module(home), name)
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        if name != "__all__":
            globals()[name] = value
        return value


def __dir__() -> list[str]:
    return dir(novu_async)
