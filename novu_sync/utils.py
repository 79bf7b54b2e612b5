"""The names of `novu_async.utils`: the same objects."""

from novu_async.utils import *  # noqa: F403 - whatever it has
from novu_async.utils import __all__ as __all__
