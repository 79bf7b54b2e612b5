"""The models of `novu_async.models`: the same classes."""

from novu_async.models import *  # noqa: F403 - whatever it has
from novu_async.models import __all__ as __all__
