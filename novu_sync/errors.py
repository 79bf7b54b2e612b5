"""The names of `novu_async.errors`: the same objects."""

from novu_async.errors import *  # noqa: F403 - whatever it has
from novu_async.errors import __all__ as __all__
