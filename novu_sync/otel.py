"""The names of `novu_async.otel`: the same objects."""

from novu_async.otel import *  # noqa: F403 - whatever it has
from novu_async.otel import __all__ as __all__
