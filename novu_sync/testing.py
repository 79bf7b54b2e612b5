"""The names of `novu_async.testing`: the same objects."""

from novu_async.testing import *  # noqa: F403 - whatever it has
from novu_async.testing import __all__ as __all__
