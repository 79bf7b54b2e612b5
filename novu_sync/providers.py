"""The names of `novu_async.providers`: the same objects."""

from novu_async.providers import *  # noqa: F403 - whatever it has
from novu_async.providers import __all__ as __all__
