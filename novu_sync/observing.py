"""The names of `novu_async.observing`: the same objects."""

from novu_async.observing import *  # noqa: F403 - whatever it has
from novu_async.observing import __all__ as __all__
